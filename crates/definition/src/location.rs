//! Putting the files of a code location together, and deciding which version of each is used.
//!
//! Called by the daemon's loader after every scan that found a change. A file that does not fit the
//! others falls back to its live version, or is left out, and its findings say why; the others are
//! used. The checks that make a file not fit are in [`crate::names`] and [`crate::references`].
//!
//! What is decided and what is told are two looks. The first sees only what can be used, and blames
//! in rounds. The second sees everything that authors wrote, files with errors included, so that
//! all findings come at once and nothing that a broken file declares is called unknown: see
//! [`crate::telling`].
//!
//! **Invariant.** A version that is live already never gives way to a new one of another file.

use std::collections::BTreeSet;

use millstream_model::{
    ContentHash, Diagnostic, FileManifest, FileVersion, LocationName, Manifest, Severity,
};

use crate::draft::{Draft, Names};
use crate::finding::bounded;
use crate::names;
use crate::places::Places;
use crate::references;
use crate::telling;

/// One content of a file that is good in itself.
#[derive(Debug, Clone, Copy)]
pub struct Version<'a> {
    /// Its hash, from [`crate::file_hash`].
    pub hash: &'a ContentHash,
    /// What it declares.
    pub manifest: &'a FileManifest,
    /// Where it declares it; without it findings name the file alone.
    pub places: Option<&'a Places>,
}

/// A file with what it holds now and what is live of it.
#[derive(Debug, Clone, Copy)]
pub struct LocationFile<'a> {
    /// The path below the root, with `/` between parts.
    pub name: &'a str,
    /// Its newest content, unless that has errors of its own.
    pub newest: Option<Version<'a>>,
    /// What is known of its newest content where that has errors of its own.
    pub draft: Option<(&'a Draft, &'a Places)>,
    /// The version that is live now.
    pub live: Option<Version<'a>>,
}

/// What the files of a location make together.
#[derive(Debug, Clone, PartialEq)]
pub struct LocationCheck {
    /// The merge of the versions that are used.
    ///
    /// A name in it may be dangling where a deleted file declared it; findings say so.
    pub manifest: Manifest,
    /// The files whose newest content is not used.
    pub refused: BTreeSet<String>,
    /// What is wrong between the files; each names the file that it is about.
    pub diagnostics: Vec<Diagnostic>,
    /// Which files are not used although nothing is wrong with them.
    pub waiting: Vec<Waiting>,
}

/// A file that needs what another declares whose content is not used, or a name that is live there.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiting {
    /// The files that have to be corrected.
    pub on: Vec<String>,
    /// Says so, as an error of the file that waits.
    pub diagnostic: Diagnostic,
}

/// A file with the content of it that is looked at.
#[derive(Clone)]
pub(crate) struct Tried<'a> {
    pub(crate) name: &'a str,
    pub(crate) manifest: &'a FileManifest,
    pub(crate) places: Option<&'a Places>,
    pub(crate) is_live: bool,
    /// What is known of its newest content where that has errors.
    pub(crate) draft: Option<&'a Draft>,
    pub(crate) live: Option<Version<'a>>,
    hash: Option<&'a ContentHash>,
}

/// A kind of thing, and the name of one.
pub(crate) type Thing = (&'static str, String);

/// A finding between files.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    /// The file that it is about, by its index.
    pub(crate) file: usize,
    pub(crate) diagnostic: Diagnostic,
    pub(crate) needs: Needs,
}

/// What another file would have to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Needs {
    /// Nothing.
    Nothing,
    /// To declare this thing, which no file does.
    Thing(Thing),
    /// To be the file `owner`, and to declare this thing no longer.
    Name { thing: Thing, owner: String },
}

/// What the first look decides.
pub(crate) struct Settled<'a> {
    used: Vec<Tried<'a>>,
    pub(crate) refused: BTreeSet<String>,
    /// What made it refuse files, and what is wrong with those that are used.
    pub(crate) findings: Vec<(Diagnostic, Needs)>,
}

/// Puts `files` together as `location`.
pub fn check_location(location: LocationName, files: &[LocationFile<'_>]) -> LocationCheck {
    let mut written: Vec<Tried<'_>> = files.iter().filter_map(Tried::written).collect();
    written.sort_by_key(|file| file.name);
    let (mut found, mut doubts) = names::check(&written);
    for draft in written.iter().filter_map(|file| file.draft) {
        doubts.extend(&draft.doubtful);
    }
    let is_plain = found.is_empty() && written.iter().all(|file| file.draft.is_none());
    found.extend(references::check(&written, &doubts));
    let settled = if is_plain && !blames_a_new_version(&found, &written) {
        Settled::of(written.clone(), found.clone())
    } else {
        settle(files)
    };
    let (diagnostics, waiting) = telling::tell(&written, found, &settled);
    let versions = settled.used.iter().filter_map(|file| {
        let hash = file.hash?.clone();
        Some((FileVersion { name: file.name.to_owned(), hash }, file.manifest))
    });
    let manifest = Manifest::merge(location, versions);
    let Settled { refused, .. } = settled;
    LocationCheck { manifest, refused, diagnostics: bounded(diagnostics), waiting }
}

/// Decides which content of each file is used.
fn settle<'a>(files: &[LocationFile<'a>]) -> Settled<'a> {
    let mut tried: Vec<Tried<'a>> = files.iter().filter_map(Tried::usable).collect();
    tried.sort_by_key(|file| file.name);
    let mut settled = Settled::of(Vec::new(), Vec::new());
    loop {
        // Names first: which thing a reference means is known once names are unique.
        let (mut findings, _) = names::check(&tried);
        if !blames_a_new_version(&findings, &tried) {
            findings.extend(references::check(&tried, &Names::default()));
        }
        if !blames_a_new_version(&findings, &tried) {
            settled.add(findings);
            settled.used = tried;
            return settled;
        }
        fall_back(findings, &mut tried, &mut settled);
    }
}

impl<'a> Tried<'a> {
    fn of(name: &'a str, version: Version<'a>) -> Self {
        let Version { hash, manifest, places } = version;
        let (hash, is_live) = (Some(hash), false);
        Self { name, manifest, places, is_live, draft: None, hash, live: None }
    }

    /// Whether nothing of it is known: it cannot be read, and never could.
    pub(crate) fn is_unknown(&self) -> bool {
        self.draft.is_some_and(|it| it.is_unread) && self.live.is_none()
    }

    /// The newest content of `file`, or the live version when that cannot be used.
    fn usable(file: &LocationFile<'a>) -> Option<Self> {
        let version = file.newest.or(file.live)?;
        let is_live = file.live.is_some_and(|live| live.hash == version.hash);
        Some(Self { is_live, live: file.live, ..Self::of(file.name, version) })
    }

    /// The newest content of `file`, with errors or without; the live version where nothing of that
    /// could be read.
    fn written(file: &LocationFile<'a>) -> Option<Self> {
        let (None, Some((draft, places))) = (file.newest, file.draft) else {
            return Self::usable(file);
        };
        match Self::usable(file) {
            Some(live) if draft.is_unread => Some(Self { draft: Some(draft), ..live }),
            _ => Some(Self {
                name: file.name,
                manifest: &draft.content,
                places: Some(places),
                is_live: false,
                draft: Some(draft),
                hash: None,
                live: file.live,
            }),
        }
    }
}

impl<'a> Settled<'a> {
    fn of(used: Vec<Tried<'a>>, findings: Vec<Finding>) -> Self {
        let mut settled = Self { used, refused: BTreeSet::new(), findings: Vec::new() };
        settled.add(findings);
        settled
    }

    fn add(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.findings.extend(findings.into_iter().map(|it| (it.diagnostic, it.needs)));
    }
}

fn is_blame(finding: &Finding, tried: &[Tried<'_>]) -> bool {
    finding.diagnostic.severity == Severity::Error
        && tried.get(finding.file).is_some_and(|file| !file.is_live)
}

fn blames_a_new_version(findings: &[Finding], tried: &[Tried<'_>]) -> bool {
    findings.iter().any(|finding| is_blame(finding, tried))
}

/// Replaces each new version that has errors by the live one, or drops the file.
fn fall_back(findings: Vec<Finding>, tried: &mut Vec<Tried<'_>>, settled: &mut Settled<'_>) {
    let (blaming, _): (Vec<_>, Vec<_>) =
        findings.into_iter().partition(|finding| is_blame(finding, tried));
    let blamed: BTreeSet<usize> = blaming.iter().map(|finding| finding.file).collect();
    settled.add(blaming);
    let mut index = 0;
    tried.retain_mut(|file| {
        let is_blamed = blamed.contains(&index);
        index += 1;
        if !is_blamed {
            return true;
        }
        settled.refused.insert(file.name.to_owned());
        let Some(live) = file.live else { return false };
        *file = Tried { is_live: true, live: file.live, ..Tried::of(file.name, live) };
        true
    });
}
