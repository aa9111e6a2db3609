//! What is told of the files of a location once it is decided which of them are used.
//!
//! Called by [`crate::check_location`] with the findings among all that authors wrote, and with
//! those of the decision. A file that only lacks what a broken or a refused file declares is not
//! wrong: it waits, and that is said once, not for each of its references. So does one that
//! declares what such a file does no longer: until that is corrected, its live version keeps the
//! name.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use millstream_model::{Diagnostic, ErrorCode, Place, Severity};

use crate::draft::Draft;
use crate::finding::listed_words;
use crate::location::{Finding, Needs, Settled, Thing, Tried, Waiting};
use crate::names::declared;

/// The things that a file lacks, with where it names the first.
type Lacking = (Place, BTreeSet<Thing>);

/// What is wrong with files, and which wait for others.
pub(crate) fn tell(
    written: &[Tried<'_>],
    found: Vec<Finding>,
    settled: &Settled<'_>,
) -> (Vec<Diagnostic>, Vec<Waiting>) {
    if found.is_empty() && settled.findings.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let unread = written.iter().filter(|it| it.draft.is_some_and(|it| it.is_unread));
    let unread: Vec<&str> = unread.map(|it| it.name).collect();
    let known: BTreeSet<String> = settled.findings.iter().map(|(it, _)| identity(it)).collect();
    let (mut told, mut diagnostics) = (BTreeSet::new(), Vec::new());
    let mut waits = Waits::of(written);
    for finding in found {
        let Finding { file, diagnostic, needs } = finding;
        let is_unused = settled.refused.contains(&diagnostic.place.file)
            || written.get(file).is_some_and(|file| file.draft.is_some());
        let identity = identity(&diagnostic);
        // The decision saw what is live: what it finds no fault with is none.
        let is_error = diagnostic.severity == Severity::Error;
        if is_error && !is_unused && !known.contains(&identity) {
            continue;
        }
        told.insert(identity);
        match needs {
            Needs::Thing(_) if !unread.is_empty() => diagnostics.push(unless(diagnostic, &unread)),
            Needs::Name { thing, owner } if unread.contains(&owner.as_str()) => {
                waits.keep(&owner, diagnostic, thing);
            }
            _ => diagnostics.push(diagnostic),
        }
    }
    for (diagnostic, needs) in &settled.findings {
        let is_told = told.contains(&identity(diagnostic));
        match needs {
            _ if is_told => {}
            Needs::Name { thing, owner } if !waits.is_declared(thing, owner) => {
                waits.keep(owner, diagnostic.clone(), thing.clone());
            }
            Needs::Thing(thing) if waits.lacks(diagnostic, thing) => {}
            Needs::Nothing if diagnostic.severity != Severity::Error => {}
            _ => diagnostics.push(diagnostic.clone()),
        }
    }
    (diagnostics, waits.finish())
}

/// What makes two findings the same; what they suggest may differ.
fn identity(diagnostic: &Diagnostic) -> String {
    format!("{} {} {}", diagnostic.place, diagnostic.code, diagnostic.message)
}

fn lack(lacking: &mut BTreeMap<String, Lacking>, diagnostic: Diagnostic, thing: Thing) {
    let place = diagnostic.place;
    let (first, things) =
        lacking.entry(place.file.clone()).or_insert_with(|| (place.clone(), BTreeSet::new()));
    if place < *first {
        *first = place;
    }
    things.insert(thing);
}

/// The files that wait for others whose newest content is not used.
struct Waits<'w> {
    written: &'w [Tried<'w>],
    /// The files that declare each thing, in the order of their names, once somebody asks.
    owners: OnceCell<BTreeMap<Thing, Vec<&'w str>>>,
    /// What files lack, by the file that declares it and by theirs.
    lacking: BTreeMap<&'w str, BTreeMap<String, Lacking>>,
    /// What files declare that is live in another, by that and by theirs.
    kept: BTreeMap<String, BTreeMap<String, Lacking>>,
}

impl<'w> Waits<'w> {
    fn of(written: &'w [Tried<'w>]) -> Self {
        let (lacking, kept) = (BTreeMap::new(), BTreeMap::new());
        Self { written, owners: OnceCell::new(), lacking, kept }
    }

    /// The files that declare `thing`, in the order of their names.
    fn owners(&self, thing: &Thing) -> &[&'w str] {
        let all = self.owners.get_or_init(|| {
            let mut owners: BTreeMap<Thing, Vec<&'w str>> = BTreeMap::new();
            for file in self.written {
                let things = declared(file.manifest).map(|(kind, name)| (kind, name.into_owned()));
                for thing in things.chain(file.draft.into_iter().flat_map(Draft::doubtful)) {
                    owners.entry(thing).or_default().push(file.name);
                }
            }
            owners
        });
        all.get(thing).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether what is written in `file` declares `thing`.
    fn is_declared(&self, thing: &Thing, file: &str) -> bool {
        self.owners(thing).contains(&file)
    }

    /// Notes that a file lacks `thing`; false when no file declares it.
    fn lacks(&mut self, diagnostic: &Diagnostic, thing: &Thing) -> bool {
        let Some(owner) = self.owners(thing).first().copied() else { return false };
        lack(self.lacking.entry(owner).or_default(), diagnostic.clone(), thing.clone());
        true
    }

    /// Notes that a file declares `thing`, which is live in `owner`.
    fn keep(&mut self, owner: &str, diagnostic: Diagnostic, thing: Thing) {
        lack(self.kept.entry(owner.to_owned()).or_default(), diagnostic, thing);
    }

    fn finish(self) -> Vec<Waiting> {
        let lacking = self.lacking.into_iter().flat_map(|(owner, files)| {
            files.into_values().map(move |it| (owner.to_owned(), waits_for(it, owner)))
        });
        let kept = self.kept.into_iter().flat_map(|(owner, files)| {
            files.into_values().map(move |it| (owner.clone(), still_live(it, &owner)))
        });
        let each = lacking.chain(kept);
        each.map(|(owner, diagnostic)| Waiting { on: vec![owner], diagnostic }).collect()
    }
}

fn waits_for((place, things): Lacking, owner: &str) -> Diagnostic {
    let (things, verb) = listed(&things);
    Diagnostic {
        code: ErrorCode::DefinitionReference,
        severity: Severity::Error,
        message: format!("{things} {verb} declared in `{owner}`, which has errors"),
        place,
        help: Some(format!("correct `{owner}`: this file is then used with it")),
    }
}

fn still_live((place, things): Lacking, owner: &str) -> Diagnostic {
    let (things, verb) = listed(&things);
    let them = if verb == "is" { "it" } else { "them" };
    Diagnostic {
        code: ErrorCode::DefinitionNameTaken,
        severity: Severity::Error,
        message: format!(
            "{things} {verb} still live from an older version of `{owner}`, which is not used as \
             it is now"
        ),
        place,
        help: Some(format!(
            "correct `{owner}`: once it is used without {them}, this file is used too"
        )),
    }
}

/// The same finding, where it may be due to what stands in files that cannot be read.
fn unless(diagnostic: Diagnostic, unread: &[&str]) -> Diagnostic {
    let otherwise = diagnostic.help.map_or_else(String::new, |help| format!("; otherwise: {help}"));
    Diagnostic {
        message: format!("{} that can be read", diagnostic.message),
        help: Some(format!("{} it: correct that first{otherwise}", may_declare(unread))),
        ..diagnostic
    }
}

fn may_declare(unread: &[&str]) -> String {
    match unread {
        [only] => format!("`{only}`, which cannot be read, may declare"),
        [first, rest @ ..] => {
            let files = if rest.len() == 1 { "file" } else { "files" };
            let more = format!("{} more {files}", rest.len());
            format!("`{first}` and {more}, which cannot be read, may declare")
        }
        [] => "other files may declare".to_owned(),
    }
}

/// Up to three things in words, and the verb that follows them.
fn listed(things: &BTreeSet<Thing>) -> (String, &'static str) {
    let word = |(kind, name): &Thing| match *kind {
        "io" => format!("the IO manager `{name}`"),
        kind => format!("the {kind} `{name}`"),
    };
    let mut shown: Vec<String> = things.iter().take(3).map(word).collect();
    let rest = things.len().saturating_sub(shown.len());
    if rest > 0 {
        shown.push(format!("{rest} more"));
    }
    let text = listed_words(&shown);
    let text = text.strip_prefix("the ").map(|rest| format!("The {rest}")).unwrap_or(text);
    (text, if things.len() == 1 { "is" } else { "are" })
}
