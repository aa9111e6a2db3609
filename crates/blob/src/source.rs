//! Sources of steps, each file under the hash of its content.
//!
//! The loader stores them before the version that names them goes live; a worker that has no copy
//! yet reads them. A content is stored once, however many versions have it. To store or find one
//! that is there renews it, so that [`crate::sweep`] leaves it alone for a while.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use millstream_model::ContentHash;
use tokio::fs;

use crate::store::{at, in_the_background, sync_folders, write_whole};
use crate::sweep::renew;
use crate::{BlobError, Blobs};

/// What there is under a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeptSource {
    /// The source.
    Whole(Vec<u8>),
    /// Something that has another hash, in this file.
    Damaged(PathBuf),
    /// Nothing.
    Gone,
}

impl Blobs {
    /// Stores a source under the hash of its content; one that is there as it was is renewed. It
    /// outlives a power failure once [`Blobs::sync_sources`] was asked to.
    pub async fn put_source(&self, content: &[u8]) -> Result<ContentHash, BlobError> {
        let hash = ContentHash::of(content);
        let path = self.source_path(&hash);
        // Renewed first: what is read afterwards is not removed meanwhile.
        let renewed = path.clone();
        let is_renewed = in_the_background(move || renew(&renewed).is_ok()).await;
        if is_renewed && fs::read(&path).await.is_ok_and(|there| there == content) {
            return Ok(hash);
        }
        write_whole(&path, content).await.map_err(at(&path))?;
        Ok(hash)
    }

    /// Those of `wanted`, which are hashes with sizes, that are not here or are not of that size;
    /// the others are renewed.
    pub async fn missing_sources(&self, wanted: Vec<(ContentHash, u64)>) -> Vec<ContentHash> {
        let blobs = self.clone();
        let is_missing = move |(hash, size): &(ContentHash, u64)| {
            // What cannot be renewed is written anew, which says why that is so.
            !renew(&blobs.source_path(hash)).is_ok_and(|len| len == *size)
        };
        let look = move || wanted.into_iter().filter(is_missing).map(|(hash, _)| hash).collect();
        in_the_background(look).await
    }

    /// Waits until the names of these sources are on the disk, as their contents are.
    pub async fn sync_sources(&self, hashes: &[ContentHash]) -> Result<(), BlobError> {
        let of_source = |hash: &ContentHash| self.source_path(hash).parent().map(Path::to_owned);
        let mut folders: BTreeSet<PathBuf> = hashes.iter().filter_map(of_source).collect();
        if !folders.is_empty() {
            folders.extend([self.root().to_owned(), self.root().join("sources")]);
        }
        sync_folders(folders).await
    }

    /// The source with this hash; `None` when it is not here, or not what it was.
    pub async fn read_source(&self, hash: &ContentHash) -> Result<Option<Vec<u8>>, BlobError> {
        Ok(match self.look_at_source(hash).await? {
            KeptSource::Whole(content) => Some(content),
            KeptSource::Damaged(_) | KeptSource::Gone => None,
        })
    }

    /// What there is under this hash.
    pub async fn look_at_source(&self, hash: &ContentHash) -> Result<KeptSource, BlobError> {
        let path = self.source_path(hash);
        match fs::read(&path).await {
            Ok(content) if ContentHash::of(&content) == *hash => Ok(KeptSource::Whole(content)),
            Ok(_) => Ok(KeptSource::Damaged(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(KeptSource::Gone),
            Err(error) => Err(at(&path)(error)),
        }
    }

    /// The file that holds the source with this hash, if any does.
    pub fn source_path(&self, hash: &ContentHash) -> PathBuf {
        // A hash that came from elsewhere is hashed again, so that it can be no path.
        let is_hash = hash.as_str().bytes().all(|byte| byte.is_ascii_hexdigit());
        let hash = if is_hash { hash.clone() } else { ContentHash::of(hash.as_str().as_bytes()) };
        self.root()
            .join("sources")
            .join(hash.short().get(..2).unwrap_or_default())
            .join(hash.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_source_reads_back_by_its_hash_and_a_spoilt_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::folder(folder.path().to_owned());
        let hash = blobs.put_source(b"echo one").await.unwrap();
        assert_eq!(blobs.put_source(b"echo one").await.unwrap(), hash);
        assert_eq!(blobs.read_source(&hash).await.unwrap().unwrap(), b"echo one");
        std::fs::write(blobs.source_path(&hash), "echo two").unwrap();
        assert_eq!(blobs.read_source(&hash).await.unwrap(), None);
        blobs.put_source(b"echo one").await.unwrap();
        assert_eq!(blobs.read_source(&hash).await.unwrap().unwrap(), b"echo one");
        blobs.sync_sources(std::slice::from_ref(&hash)).await.unwrap();
        let foreign = ContentHash::from_stored("../../secret".to_owned());
        assert_eq!(blobs.read_source(&foreign).await.unwrap(), None);
        assert!(blobs.source_path(&foreign).starts_with(folder.path().join("sources")));
    }
    #[tokio::test]
    async fn a_source_that_is_gone_or_cut_off_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::folder(folder.path().to_owned());
        let mut wanted = Vec::new();
        for content in ["whole", "cut off", "gone"] {
            let hash = blobs.put_source(content.as_bytes()).await.unwrap();
            wanted.push((hash, content.len() as u64));
        }
        std::fs::write(blobs.source_path(&wanted[1].0), "cut").unwrap();
        std::fs::remove_file(blobs.source_path(&wanted[2].0)).unwrap();
        let missing = [wanted[1].0.clone(), wanted[2].0.clone()];
        assert_eq!(blobs.missing_sources(wanted).await, missing);
    }

    #[tokio::test]
    async fn a_source_that_cannot_be_written_leaves_no_draft() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::folder(folder.path().to_owned());
        let path = blobs.source_path(&ContentHash::of(b"echo"));
        std::fs::create_dir_all(path.join("in the way")).unwrap();
        blobs.put_source(b"echo").await.unwrap_err();
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
