//! What one scan of a definition root means: what to parse, what is gone, what to believe.
//!
//! **Invariant.** A root that is missing, or that has lost all its files at once, deletes nothing:
//! an outage of a disk or a bucket looks the same. It is called stale until somebody confirms.
//! **Invariant.** A file is parsed only when its bytes are others than those last looked at, so
//! that a version somebody rolled back to outlives every scan of an unchanged file.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::ContentHash;

/// What is stored of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownFile {
    /// The hash of the bytes that were last looked at.
    pub checksum: ContentHash,
    /// Whether it counts as deleted.
    pub deleted: bool,
}

/// What a scan found at the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sighting {
    /// The files by name, with the hash of their bytes.
    Files(BTreeMap<String, ContentHash>),
    /// The root cannot be read, for this reason.
    Unreadable(String),
}

impl Sighting {
    /// How many files were seen.
    pub fn count(&self) -> usize {
        match self {
            Self::Files(files) => files.len(),
            Self::Unreadable(_) => 0,
        }
    }

    /// The files with their hashes; none when the root cannot be read.
    pub fn into_files(self) -> BTreeMap<String, ContentHash> {
        match self {
            Self::Files(files) => files,
            Self::Unreadable(_) => BTreeMap::new(),
        }
    }
}

/// What to do about a scan.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScanVerdict {
    /// Files whose content is new: they are parsed.
    pub parse: BTreeSet<String>,
    /// Files that are gone: their jobs are disabled, their history stays.
    pub deleted: BTreeSet<String>,
    /// Files that others have changed since, while they are at this root as they were: they are
    /// left.
    pub left: BTreeSet<String>,
    /// Why the root cannot be believed, if it cannot; then nothing else is done.
    pub stale: Option<String>,
}

impl ScanVerdict {
    /// Leaves what others have changed since this server last had everything stored as it was at
    /// its root: `taken` is what it saw then, and `seen` what it sees now.
    ///
    /// Two servers whose files differ would replace each other's at every scan. So the one whose
    /// files have changed last is believed, and one that starts. What is not stored at all is new.
    #[must_use]
    pub fn without_others(
        mut self,
        known: &BTreeMap<String, KnownFile>,
        seen: &BTreeMap<String, ContentHash>,
        taken: &BTreeMap<String, ContentHash>,
    ) -> Self {
        // A file without a hash is to be looked at anew, whoever wants that.
        let is_known = |file: &KnownFile| file.deleted || !file.checksum.as_str().is_empty();
        let is_as_it_was = |name: &String| {
            known.get(name).is_some_and(is_known) && taken.get(name) == seen.get(name)
        };
        let changed = self.parse.iter().chain(&self.deleted);
        self.left = changed.filter(|name| is_as_it_was(name)).cloned().collect();
        self.parse.retain(|name| !self.left.contains(name));
        self.deleted.retain(|name| !self.left.contains(name));
        self
    }
}

/// Whether a root that has lost everything is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletions {
    /// Losing all files at once is taken for an outage.
    Guarded,
    /// Somebody has confirmed that the files are really gone.
    Accepted,
}

/// Decides what a scan means against what is known.
pub fn decide(
    known: &BTreeMap<String, KnownFile>,
    sighting: &Sighting,
    deletions: Deletions,
) -> ScanVerdict {
    let seen = match sighting {
        Sighting::Files(seen) => seen,
        Sighting::Unreadable(reason) => {
            return ScanVerdict { stale: Some(reason.clone()), ..ScanVerdict::default() };
        }
    };
    let live: BTreeSet<&String> =
        known.iter().filter(|(_, file)| !file.deleted).map(|(name, _)| name).collect();
    if seen.is_empty() && !live.is_empty() && deletions == Deletions::Guarded {
        let reason = format!(
            "all {} files are gone at once; if that is meant, run \
             `millstream definitions scan --accept-deletions`",
            live.len()
        );
        return ScanVerdict { stale: Some(reason), ..ScanVerdict::default() };
    }
    let parse = seen
        .iter()
        .filter(|(name, checksum)| {
            known.get(*name).is_none_or(|file| file.deleted || file.checksum != **checksum)
        })
        .map(|(name, _)| name.clone())
        .collect();
    let deleted = live.into_iter().filter(|name| !seen.contains_key(*name)).cloned().collect();
    ScanVerdict { parse, deleted, ..ScanVerdict::default() }
}

/// What a scan saw of a file whose live version is pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinnedSight<'a> {
    /// Bytes of this hash.
    Bytes(&'a ContentHash),
    /// A file that cannot be read: nothing is known of its bytes.
    Unreadable,
    /// No file.
    Gone,
}

/// Whether a pin that was set when the file's bytes hashed to `pinned` stays: it ends with the
/// bytes that it was set against.
pub fn pin_stays(pinned: &ContentHash, sight: PinnedSight<'_>) -> bool {
    match sight {
        PinnedSight::Bytes(seen) => seen == pinned,
        PinnedSight::Unreadable => true,
        PinnedSight::Gone => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(names: &[(&str, &str)]) -> BTreeMap<String, KnownFile> {
        names
            .iter()
            .map(|(name, content)| {
                let checksum = ContentHash::of(content.as_bytes());
                ((*name).to_owned(), KnownFile { checksum, deleted: false })
            })
            .collect()
    }

    fn seen(names: &[(&str, &str)]) -> Sighting {
        let files = names
            .iter()
            .map(|(name, content)| ((*name).to_owned(), ContentHash::of(content.as_bytes())))
            .collect();
        Sighting::Files(files)
    }

    #[test]
    fn r162_only_new_and_changed_content_is_parsed() {
        let known = known(&[("a", "1"), ("b", "1")]);
        let verdict =
            decide(&known, &seen(&[("a", "1"), ("b", "2"), ("c", "1")]), Deletions::Guarded);
        assert_eq!(verdict.parse, BTreeSet::from(["b".to_owned(), "c".to_owned()]));
        assert!(verdict.deleted.is_empty());
    }

    #[test]
    fn r177_a_file_that_is_gone_while_others_stay_is_deleted_and_comes_back_when_it_returns() {
        let mut known = known(&[("a", "1"), ("b", "1")]);
        let verdict = decide(&known, &seen(&[("a", "1")]), Deletions::Guarded);
        assert_eq!(verdict.deleted, BTreeSet::from(["b".to_owned()]));

        known.get_mut("b").unwrap().deleted = true;
        let verdict = decide(&known, &seen(&[("a", "1"), ("b", "1")]), Deletions::Guarded);
        assert_eq!(verdict.parse, BTreeSet::from(["b".to_owned()]));
        let verdict = decide(&known, &seen(&[("a", "1")]), Deletions::Guarded);
        assert!(verdict.deleted.is_empty(), "it is not deleted twice");
    }

    #[test]
    fn r178_an_emptied_or_unreadable_root_deletes_nothing_until_somebody_confirms() {
        let known = known(&[("a", "1"), ("b", "1")]);
        let verdict = decide(&known, &seen(&[]), Deletions::Guarded);
        assert!(verdict.deleted.is_empty());
        assert!(verdict.stale.is_some());

        let gone = Sighting::Unreadable("no such directory".to_owned());
        assert_eq!(
            decide(&known, &gone, Deletions::Accepted).stale.as_deref(),
            Some("no such directory")
        );

        let verdict = decide(&known, &seen(&[]), Deletions::Accepted);
        assert_eq!(verdict.deleted.len(), 2);
        assert_eq!(verdict.stale, None);
    }

    #[test]
    fn r204_a_pin_ends_with_the_bytes_it_was_set_against_and_no_sooner() {
        let (then, now) = (ContentHash::of(b"1"), ContentHash::of(b"2"));
        assert!(pin_stays(&then, PinnedSight::Bytes(&then)));
        assert!(pin_stays(&then, PinnedSight::Unreadable), "a disk's bad moment is no edit");
        assert!(!pin_stays(&then, PinnedSight::Bytes(&now)));
        assert!(!pin_stays(&then, PinnedSight::Gone));
    }

    #[test]
    fn an_empty_root_that_never_had_files_is_not_stale() {
        assert_eq!(
            decide(&BTreeMap::new(), &seen(&[]), Deletions::Guarded),
            ScanVerdict::default()
        );
    }
}
