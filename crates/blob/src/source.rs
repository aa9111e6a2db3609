//! Sources of steps, each file under the hash of its content.
//!
//! The loader stores them before the version that names them goes live; a worker that has no copy
//! yet reads them. A content is stored once, however many versions have it, and none is removed:
//! a rollback may ask for any of them.

use std::io;
use std::path::PathBuf;

use millstream_model::ContentHash;
use tokio::fs;

use crate::store::{at, write_whole};
use crate::{BlobError, Blobs};

impl Blobs {
    /// Stores a source under the hash of its content, unless it is there.
    pub async fn put_source(&self, content: &[u8]) -> Result<ContentHash, BlobError> {
        let hash = ContentHash::of(content);
        let path = self.source_path(&hash);
        if fs::try_exists(&path).await.map_err(at(&path))? {
            return Ok(hash);
        }
        write_whole(&path, content).await.map_err(at(&path))?;
        Ok(hash)
    }

    /// The source with this hash; `None` when it is not here, or not what it was.
    pub async fn read_source(&self, hash: &ContentHash) -> Result<Option<Vec<u8>>, BlobError> {
        let path = self.source_path(hash);
        match fs::read(&path).await {
            Ok(content) => Ok(Some(content).filter(|content| ContentHash::of(content) == *hash)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at(&path)(error)),
        }
    }

    fn source_path(&self, hash: &ContentHash) -> PathBuf {
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
        let foreign = ContentHash::from_stored("../../secret".to_owned());
        assert_eq!(blobs.read_source(&foreign).await.unwrap(), None);
        assert!(blobs.source_path(&foreign).starts_with(folder.path().join("sources")));
    }
}
