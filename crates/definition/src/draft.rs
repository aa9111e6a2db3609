//! What is known of a file that has errors: enough to judge the files that refer to it.
//!
//! [`crate::parse_file`] makes it, [`crate::check_location`] looks at it; nothing of it goes live.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::{AssetKey, FileManifest, nearest};

use crate::finding::{Findings, Spot};
use crate::keys;
use crate::tree::{Entry, Node, Value};

/// The sections that declare things by name, with what the things are called.
const SECTIONS: &[(&str, &str)] = &[
    ("assets", "asset"),
    ("partitions", "partitions"),
    ("jobs", "job"),
    ("resources", "resource"),
    ("io", "io"),
    ("handlers", "handler"),
    ("tenants", "tenant"),
    ("schedules", "schedule"),
    ("calendars", "calendar"),
    ("pools", "pool"),
];

/// The keys of a thing of which nothing follows for the things that refer to it.
const ITS_OWN: &[&str] = &[
    "timeout",
    "retry",
    "run_retries",
    "description",
    "metadata",
    "enabled",
    "priority",
    "max_parallel",
    "code_version",
];

/// What could be read of a file that has errors.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Draft {
    /// What it declares, as far as it could be read.
    pub content: FileManifest,
    /// The things it declares of which not all could be read.
    pub(crate) doubtful: Names,
    /// Whether nothing of it could be read, so that it may declare anything.
    pub is_unread: bool,
}

impl Draft {
    /// Nothing of the file could be read.
    pub(crate) fn unread() -> Self {
        Self { is_unread: true, ..Self::default() }
    }

    /// The kinds and names of the things it declares of which not all could be read.
    pub(crate) fn doubtful(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        let all = self.doubtful.0.iter();
        all.flat_map(|(kind, names)| names.iter().map(|name| (*kind, name.clone())))
    }

    /// Whether it declares an asset or partitions of which not all is known.
    pub fn is_vague_about_partitions(&self) -> bool {
        self.is_unread || self.doubtful.any("asset") || self.doubtful.any("partitions")
    }
}

/// Names of things, by their kinds.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Names(BTreeMap<&'static str, BTreeSet<String>>);

impl Names {
    /// Adds the thing of this kind and name.
    pub(crate) fn insert(&mut self, kind: &'static str, name: &str) {
        self.0.entry(kind).or_default().insert(name.to_owned());
    }

    /// Adds all of `others`.
    pub(crate) fn extend(&mut self, others: &Self) {
        for (kind, names) in &others.0 {
            self.0.entry(kind).or_default().extend(names.iter().cloned());
        }
    }

    /// Whether the thing of this kind and name is among them.
    pub(crate) fn has(&self, kind: &str, name: &str) -> bool {
        self.0.get(kind).is_some_and(|names| names.contains(name))
    }

    /// Whether a thing of this kind is among them.
    pub(crate) fn any(&self, kind: &str) -> bool {
        self.0.contains_key(kind)
    }
}

/// The things that the sections of `root` declare and that errors among `findings` are about.
pub(crate) fn doubtful(root: &Node, findings: &Findings) -> Names {
    let mut names = Names::default();
    let Value::Map(sections) = &root.value else { return names };
    for (section, end) in spans(sections, None) {
        let Some(kind) = kind_of(&section.key) else { continue };
        let Value::Map(things) = &section.value.value else { continue };
        let is_misnamed = SECTIONS.iter().all(|(known, _)| *known != section.key);
        for (thing, end) in spans(things, end) {
            if !is_misnamed && !is_doubtful(thing, end, findings) {
                continue;
            }
            match (kind, thing.key.parse::<AssetKey>()) {
                // The one text of a key that can be written in several ways.
                ("asset", Ok(key)) => names.insert(kind, &key.to_string()),
                _ => names.insert(kind, &thing.key),
            }
        }
    }
    names
}

/// What the things below a section are called; a section's name may be a near miss.
fn kind_of(section: &str) -> Option<&'static str> {
    let known = SECTIONS.iter().map(|(name, _)| *name);
    let meant = nearest(section, known)?;
    SECTIONS.iter().find(|(name, _)| *name == meant).map(|(_, kind)| *kind)
}

/// The entries of an object, each with the place where the next one begins.
fn spans(
    entries: &[Entry],
    end: Option<Spot>,
) -> impl Iterator<Item = (&Entry, Option<Spot>)> + '_ {
    let next = entries.iter().skip(1).map(|entry| Some(entry.key_spot));
    entries.iter().zip(next.chain(std::iter::once(end)))
}

/// Whether an error is about more of `thing` than what is its own.
fn is_doubtful(thing: &Entry, end: Option<Spot>, findings: &Findings) -> bool {
    let Value::Map(fields) = &thing.value.value else {
        return findings.has_error_within(thing.key_spot, end);
    };
    let first = fields.first().map_or(end, |field| Some(field.key_spot));
    findings.has_error_within(thing.key_spot, first)
        || spans(fields, end).any(|(field, end)| {
            !ITS_OWN.contains(&field.key.as_str()) && findings.has_error_within(field.key_spot, end)
        })
}

/// Whether `key`, at the top of a file without `nodes`, is a section or meant to be one.
pub(crate) fn is_meant_as_section(entry: &Entry) -> bool {
    let sections = || keys::SECTIONS.keys.iter().copied().flatten().map(|key| key.name);
    let of_jobs = keys::jobs::JOB_FILE.keys.iter().copied().flatten().map(|key| key.name);
    let is_section = |name: &str| sections().any(|section| section == name);
    if entry.key == "schedule" {
        // A job's own `schedule` is text; what has names in it is the section.
        return matches!(entry.value.value, Value::Map(_));
    }
    nearest(&entry.key, of_jobs.chain(sections())).is_some_and(is_section)
}
