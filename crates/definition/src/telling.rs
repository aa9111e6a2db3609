//! What is told of the files of a location once it is decided which of them are used.
//!
//! Called by [`crate::check_location`] with the findings among all that authors wrote, and with
//! those of the decision. A file that only lacks what a broken or a refused file declares is not
//! wrong: it waits, and that is said once, not for each of its references.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::{Diagnostic, ErrorCode, Place, Severity};

use crate::draft::Draft;
use crate::location::{Finding, Settled, Tried, Waiting};
use crate::names::declared;

/// A kind of thing, and the name of one.
type Thing = (&'static str, String);

/// The things that a file lacks, with where it names the first.
type Lacking = (Place, BTreeSet<Thing>);

/// What is wrong with files, and which wait for others.
pub(crate) fn tell(
    written: &[Tried<'_>],
    found: Vec<Finding>,
    settled: &Settled<'_>,
) -> (Vec<Diagnostic>, Vec<Waiting>) {
    let unread: Vec<&str> = written
        .iter()
        .filter(|it| it.draft.is_some_and(|it| it.is_unread))
        .map(|it| it.name)
        .collect();
    let known: BTreeSet<String> = settled
        .findings
        .iter()
        .chain(settled.lacks.iter().map(|(it, _)| it))
        .map(identity)
        .collect();
    let mut told = BTreeSet::new();
    let mut diagnostics = Vec::new();
    let mut unsure: BTreeMap<String, Lacking> = BTreeMap::new();
    for finding in found {
        let Finding { file, diagnostic, lacks } = finding;
        let is_unused = settled.refused.contains(&diagnostic.place.file)
            || written.get(file).is_some_and(|file| file.draft.is_some());
        let identity = identity(&diagnostic);
        // The decision saw what is live: what it finds no fault with is none.
        let is_error = diagnostic.severity == Severity::Error;
        if is_error && !is_unused && !known.contains(&identity) {
            continue;
        }
        told.insert(identity);
        match lacks.filter(|_| !unread.is_empty()) {
            Some(thing) => lack(&mut unsure, diagnostic, thing),
            None => diagnostics.push(diagnostic),
        }
    }
    let missed = settled.lacks.iter().filter(|(it, _)| !told.contains(&identity(it)));
    let (waiting, left) = waits(written, missed);
    diagnostics.extend(left);
    let errors = settled.findings.iter().filter(|it| it.severity == Severity::Error);
    diagnostics.extend(errors.filter(|it| !told.contains(&identity(it))).cloned());
    diagnostics.extend(unsure.into_values().map(|lacking| may_be_declared(lacking, &unread)));
    (diagnostics, waiting)
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

/// The files that wait for what others declare whose content is not used; and what is left, which
/// no file declares.
fn waits<'d>(
    written: &[Tried<'_>],
    missed: impl Iterator<Item = &'d (Diagnostic, Thing)>,
) -> (Vec<Waiting>, Vec<Diagnostic>) {
    let mut missed = missed.peekable();
    if missed.peek().is_none() {
        return (Vec::new(), Vec::new());
    }
    let mut owners: BTreeMap<Thing, &str> = BTreeMap::new();
    for file in written {
        for (kind, name) in declared(file.manifest) {
            owners.entry((kind, name.into_owned())).or_insert(file.name);
        }
        for thing in file.draft.into_iter().flat_map(Draft::doubtful) {
            owners.entry(thing).or_insert(file.name);
        }
    }
    let mut left = Vec::new();
    let mut waiting: BTreeMap<&str, BTreeMap<String, Lacking>> = BTreeMap::new();
    for (diagnostic, thing) in missed {
        match owners.get(thing) {
            Some(owner) => {
                lack(waiting.entry(owner).or_default(), diagnostic.clone(), thing.clone());
            }
            None => left.push(diagnostic.clone()),
        }
    }
    let each = waiting.into_iter().flat_map(|(owner, files)| {
        files.into_values().map(move |lacking| Waiting {
            on: vec![owner.to_owned()],
            diagnostic: waits_for(lacking, owner),
        })
    });
    (each.collect(), left)
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

fn may_be_declared((place, things): Lacking, unread: &[&str]) -> Diagnostic {
    let (things, verb) = listed(&things);
    let files = match unread {
        [only] => format!("`{only}`, which cannot be read, may declare"),
        [first, rest @ ..] => {
            format!("`{first}` and {} more files, which cannot be read, may declare", rest.len())
        }
        [] => "other files may declare".to_owned(),
    };
    let it = if verb == "is" { "it" } else { "them" };
    Diagnostic {
        code: ErrorCode::DefinitionReference,
        severity: Severity::Error,
        message: format!("{things} {verb} declared in no file that can be read; {files} {it}"),
        place,
        help: Some("correct the file that cannot be read first".to_owned()),
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
    let text = match shown.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        Some((only, _)) => only.clone(),
        None => String::new(),
    };
    let text = text.strip_prefix("the ").map(|rest| format!("The {rest}")).unwrap_or(text);
    (text, if things.len() == 1 { "is" } else { "are" })
}
