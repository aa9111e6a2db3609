//! Removing sources that nobody wants any more, while others store new ones in the same folder.
//!
//! A daemon calls it, and says what is wanted; what is left was not, and nobody has stored, renewed
//! or found it for a week. A source is renamed before it is removed, and looked at once more in
//! between: of two processes, one that stores it and one that removes it, either sees the other.
//!
//! **Invariant.** What was stored or renewed within [`SOURCE_UNUSED`] stays, wanted or not.

use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use millstream_model::ContentHash;

use crate::store::{at, in_the_background};
use crate::{BlobError, Blobs};

/// How long nobody has stored or renewed a source before it may be removed.
pub const SOURCE_UNUSED: Duration = Duration::from_hours(7 * 24);

/// What the name of a source begins with while it is removed.
const GONE: &str = ".gone-";

/// What a removal of sources did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SweptSources {
    /// Files that were removed.
    pub removed: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Blobs {
    /// Removes all sources but those of `wanted`, which are files and lists, and those in use.
    ///
    /// Crash-safe: what is left under another name has its own again after the next removal. Who
    /// no longer waits for it has it end with the folder it is at, of the 256 that there may be.
    pub async fn sweep_sources(
        &self,
        wanted: BTreeSet<ContentHash>,
    ) -> Result<SweptSources, BlobError> {
        let folder = self.root().join("sources");
        let wanted = Arc::new(wanted);
        let mut swept = SweptSources::default();
        for shard in in_the_background(move || entries(&folder)).await? {
            let wanted = Arc::clone(&wanted);
            let of_shard = in_the_background(move || sweep(&shard, &wanted)).await?;
            swept.removed += of_shard.removed;
            swept.bytes += of_shard.bytes;
        }
        Ok(swept)
    }

    /// Renews sources, so that they are not removed for a while; false when one of them is gone.
    pub async fn renew_sources(&self, hashes: Vec<ContentHash>) -> Result<bool, BlobError> {
        let blobs = self.clone();
        in_the_background(move || {
            for hash in &hashes {
                let path = blobs.source_path(hash);
                match renew(&path) {
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                    Err(error) => return Err(at(&path)(error)),
                }
            }
            Ok(true)
        })
        .await
    }
}

/// Has a source count as stored just now, and says how large it is.
pub(crate) fn renew(path: &Path) -> io::Result<u64> {
    let file = File::options().write(true).open(path)?;
    // To give a file the length that it has writes nothing but its time, by the clock of its disk.
    file.set_len(file.metadata()?.len())?;
    // What has its name still is looked at again before it is removed, and seen to be renewed.
    std::fs::metadata(path).map(|it| it.len())
}

fn sweep(shard: &Path, wanted: &BTreeSet<ContentHash>) -> Result<SweptSources, BlobError> {
    let mut swept = SweptSources::default();
    for path in entries(shard)? {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if let Some(name) = name.strip_prefix(GONE) {
            // A process that removed it has ended on the way, or is just about to. One that was
            // stored again since is newer.
            let stored = shard.join(name);
            if stored.exists() {
                removed(&path)?;
            } else {
                rename(&path, &stored)?;
            }
            continue;
        }
        // A name with a dot is that of a draft, which nobody wants.
        let is_wanted = wanted.contains(&ContentHash::from_stored(name.to_owned()));
        if is_wanted || !is_unused(&path)?.is_some_and(|(is_unused, _)| is_unused) {
            continue;
        }
        let gone = shard.join(format!("{GONE}{name}"));
        rename(&path, &gone)?;
        match is_unused(&gone)? {
            Some((true, size)) if removed(&gone)? => {
                swept.removed += 1;
                swept.bytes += size;
            }
            Some((false, _)) => rename(&gone, &path)?,
            _ => {}
        }
    }
    Ok(swept)
}

/// The paths in a folder; none when there is no such folder.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, BlobError> {
    let read = || -> io::Result<Vec<PathBuf>> {
        match std::fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            entries => entries?.map(|entry| Ok(entry?.path())).collect(),
        }
    };
    read().map_err(at(folder))
}

/// Whether nobody has stored or renewed a file lately, and its size; nothing when it is gone.
fn is_unused(path: &Path) -> Result<Option<(bool, u64)>, BlobError> {
    let look = |metadata: Metadata| {
        // A time in the future is that of a clock that was set back: what it says is not old.
        let age = metadata.modified()?.elapsed().unwrap_or_default();
        Ok((metadata.is_file() && age > SOURCE_UNUSED, metadata.len()))
    };
    unless_gone(std::fs::symlink_metadata(path).and_then(look)).map_err(at(path))
}

fn rename(from: &Path, to: &Path) -> Result<(), BlobError> {
    unless_gone(std::fs::rename(from, to)).map(|_| ()).map_err(at(from))
}

fn removed(path: &Path) -> Result<bool, BlobError> {
    unless_gone(std::fs::remove_file(path)).map(|it| it.is_some()).map_err(at(path))
}

/// What another process has renamed or removed meanwhile is its business.
fn unless_gone<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        done => done.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn blobs() -> (tempfile::TempDir, Blobs) {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::folder(folder.path().to_owned());
        (folder, blobs)
    }

    fn is_there(blobs: &Blobs, hash: &ContentHash) -> bool {
        blobs.source_path(hash).is_file()
    }

    fn age(path: &Path) {
        let old = SystemTime::now() - 2 * SOURCE_UNUSED;
        File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
    }

    /// A stored source that nobody has touched for two weeks.
    async fn old(blobs: &Blobs, content: &str) -> ContentHash {
        let hash = blobs.put_source(content.as_bytes()).await.unwrap();
        age(&blobs.source_path(&hash));
        hash
    }

    #[tokio::test]
    async fn what_is_old_and_not_wanted_goes_and_all_else_stays() {
        let (_folder, blobs) = blobs();
        let (wanted, unwanted) = (old(&blobs, "wanted").await, old(&blobs, "unwanted").await);
        let recent = blobs.put_source(b"recent").await.unwrap();
        let draft = blobs.source_path(&wanted).with_added_extension("draft-1-1");
        std::fs::write(&draft, "left").unwrap();
        age(&draft);
        let swept = blobs.sweep_sources([wanted.clone()].into()).await.unwrap();
        assert_eq!(swept, SweptSources { removed: 2, bytes: 8 + 4 });
        assert_eq!(
            [&wanted, &recent, &unwanted].map(|it| is_there(&blobs, it)),
            [true, true, false]
        );
        assert!(!draft.exists());
    }

    #[tokio::test]
    async fn a_source_that_is_stored_or_found_again_is_not_removed() {
        let (_folder, blobs) = blobs();
        let (stored, found) = (old(&blobs, "stored").await, old(&blobs, "found").await);
        blobs.put_source(b"stored").await.unwrap();
        assert!(blobs.missing_sources(vec![(found.clone(), 5)]).await.is_empty());
        assert_eq!(blobs.sweep_sources(BTreeSet::new()).await.unwrap().removed, 0);
        assert!(is_there(&blobs, &stored) && is_there(&blobs, &found));
    }

    #[tokio::test]
    async fn a_source_whose_removal_was_cut_off_has_its_name_again() {
        let (_folder, blobs) = blobs();
        let cut_off = old(&blobs, "cut off").await;
        let path = blobs.source_path(&cut_off);
        let gone = path.with_file_name(format!("{GONE}{}", cut_off.as_str()));
        std::fs::rename(&path, gone).unwrap();
        blobs.sweep_sources([cut_off.clone()].into()).await.unwrap();
        assert_eq!(blobs.read_source(&cut_off).await.unwrap().unwrap(), b"cut off");
    }

    #[tokio::test]
    async fn a_source_that_was_stored_again_is_not_replaced_by_the_one_that_was_to_go() {
        let (_folder, blobs) = blobs();
        let again = old(&blobs, "again").await;
        let path = blobs.source_path(&again);
        let gone = path.with_file_name(format!("{GONE}{}", again.as_str()));
        std::fs::rename(&path, &gone).unwrap();
        blobs.put_source(b"again").await.unwrap();
        // The new one is too young to go; with the time of the old one it would.
        for _ in 0..2 {
            blobs.sweep_sources(BTreeSet::new()).await.unwrap();
            assert!(is_there(&blobs, &again) && !gone.exists());
        }
    }

    #[tokio::test]
    async fn a_source_that_is_renewed_is_not_removed_and_one_that_is_gone_cannot_be() {
        let (_folder, blobs) = blobs();
        let renewed = old(&blobs, "renewed").await;
        assert!(blobs.renew_sources(vec![renewed.clone()]).await.unwrap());
        assert_eq!(blobs.sweep_sources(BTreeSet::new()).await.unwrap().removed, 0);
        let gone = ContentHash::of(b"gone");
        assert!(!blobs.renew_sources(vec![renewed, gone]).await.unwrap());
    }

    #[tokio::test]
    async fn a_place_without_sources_has_nothing_to_remove() {
        let (_folder, blobs) = blobs();
        assert_eq!(blobs.sweep_sources(BTreeSet::new()).await.unwrap(), SweptSources::default());
    }
}
