//! Putting the files of a code location together, and deciding which version of each is used.
//!
//! Called by the daemon's loader after every scan that found a change. A file that does not fit the
//! others falls back to its live version, or is left out, and its findings say why; the others are
//! used. The checks that make a file not fit are in [`crate::names`] and [`crate::references`].
//!
//! **Invariant.** A version that is live already never gives way to a new one of another file.

use std::collections::BTreeSet;

use millstream_model::{
    ContentHash, Diagnostic, FileManifest, FileVersion, LocationName, Manifest, Severity,
};

use crate::finding::bounded;
use crate::names;
use crate::places::Places;
use crate::references;

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
}

/// A file with the version of it that is tried.
pub(crate) struct Tried<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: Version<'a>,
    pub(crate) is_live: bool,
    live: Option<Version<'a>>,
}

/// A finding about the file at this index.
pub(crate) type Finding = (usize, Diagnostic);

/// Puts `files` together as `location`.
pub fn check_location(location: LocationName, files: &[LocationFile<'_>]) -> LocationCheck {
    let mut tried: Vec<Tried<'_>> = files.iter().filter_map(Tried::first).collect();
    tried.sort_by_key(|file| file.name);
    let mut refused = BTreeSet::new();
    let mut diagnostics = Vec::new();
    loop {
        // Names first: which thing a reference means is known once names are unique.
        let mut findings = names::check(&tried);
        if !blames_a_new_version(&findings, &tried) {
            findings.extend(references::check(&tried));
        }
        if !blames_a_new_version(&findings, &tried) {
            diagnostics.extend(findings.into_iter().map(|(_, diagnostic)| diagnostic));
            break;
        }
        fall_back(findings, &mut tried, &mut refused, &mut diagnostics);
    }
    let versions = tried.iter().map(|file| {
        let hash = file.version.hash.clone();
        (FileVersion { name: file.name.to_owned(), hash }, file.version.manifest)
    });
    let manifest = Manifest::merge(location, versions);
    LocationCheck { manifest, refused, diagnostics: bounded(diagnostics) }
}

impl<'a> Tried<'a> {
    /// The newest content of `file`, or the live version when that cannot be used.
    fn first(file: &LocationFile<'a>) -> Option<Self> {
        let version = file.newest.or(file.live)?;
        let is_live = file.live.is_some_and(|live| live.hash == version.hash);
        Some(Self { name: file.name, version, is_live, live: file.live })
    }
}

fn is_blame(finding: &Finding, tried: &[Tried<'_>]) -> bool {
    finding.1.severity == Severity::Error && tried.get(finding.0).is_some_and(|file| !file.is_live)
}

fn blames_a_new_version(findings: &[Finding], tried: &[Tried<'_>]) -> bool {
    findings.iter().any(|finding| is_blame(finding, tried))
}

/// Replaces each new version that has errors by the live one, or drops the file.
fn fall_back(
    findings: Vec<Finding>,
    tried: &mut Vec<Tried<'_>>,
    refused: &mut BTreeSet<String>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let mut blamed = BTreeSet::new();
    for finding in findings {
        if is_blame(&finding, tried) {
            blamed.insert(finding.0);
            diagnostics.push(finding.1);
        }
    }
    let mut index = 0;
    tried.retain_mut(|file| {
        let is_blamed = blamed.contains(&index);
        index += 1;
        if !is_blamed {
            return true;
        }
        refused.insert(file.name.to_owned());
        let Some(live) = file.live else { return false };
        file.version = live;
        file.is_live = true;
        true
    });
}
