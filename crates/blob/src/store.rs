//! Where blobs are and how they are read.

use std::collections::BTreeSet;
use std::io;
use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use millstream_model::{RunId, TenantId};
use tokio::fs;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use crate::log::{TIME_RECORD, times_path};
use crate::part::encode;
use crate::{LogKey, LogPart, LogTime, RESULT_MAX, RESULT_WAYS, ResultKey};

/// The most bytes that one read of a log returns.
const READ_MAX: u64 = 4 * 1024 * 1024;

/// The most time records that one read returns.
const TIMES_MAX: usize = 100_000;

/// A failed access to a blob.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The file system refused.
    #[error("the blob at {path} cannot be used; check the folder's permissions and free space")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// A reference to a result is not one that this store has given.
    #[error("{reference:?} is not a reference to a result")]
    Reference {
        /// The rejected text.
        reference: String,
    },
    /// A result is larger than results may be.
    #[error("a result of {size} bytes is over the limit of 16 MiB{}", RESULT_WAYS)]
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
}

/// The place of compute logs and large results.
#[derive(Debug, Clone)]
pub struct Blobs {
    place: Place,
}

/// The kinds of place; object storage becomes another one.
#[derive(Debug, Clone)]
enum Place {
    Folder(PathBuf),
}

impl Blobs {
    /// Blobs in files below `root`, which is made when the first one is written.
    pub fn folder(root: PathBuf) -> Self {
        Self { place: Place::Folder(root) }
    }

    pub(crate) fn root(&self) -> &Path {
        let Place::Folder(root) = &self.place;
        root
    }

    fn logs_folder(&self, tenant: &TenantId, run: RunId) -> PathBuf {
        self.root().join("logs").join(encode(tenant.as_str())).join(run.to_string())
    }

    /// The file that holds `key`'s log, for a [`crate::LogWriter`].
    pub fn log_path(&self, key: &LogKey) -> PathBuf {
        let step = encode(key.step.as_str());
        let name = format!("{step}.{}.{}", key.attempt, key.stream.extension());
        self.logs_folder(&key.tenant, key.run).join(name)
    }

    /// Up to `limit` bytes of a log from `offset` on. A log that was never written is empty.
    pub async fn read_log(
        &self,
        key: &LogKey,
        offset: u64,
        limit: u64,
    ) -> Result<LogPart, BlobError> {
        let path = self.log_path(key);
        let Some((mut file, size)) = open(&path).await.map_err(at(&path))? else {
            return Ok(LogPart { bytes: Vec::new(), next: offset, size: 0 });
        };
        let mut bytes = Vec::new();
        if offset < size {
            file.seek(SeekFrom::Start(offset)).await.map_err(at(&path))?;
            let wanted = limit.min(READ_MAX);
            file.take(wanted).read_to_end(&mut bytes).await.map_err(at(&path))?;
        }
        let next = offset.saturating_add(bytes.len() as u64);
        // It may have grown since its size was asked for; an offset beyond its end says nothing.
        let size = if bytes.is_empty() { size } else { size.max(next) };
        Ok(LogPart { bytes, next, size })
    }

    /// When the pieces of a log came, from the `skip`-th piece on.
    pub async fn read_log_times(
        &self,
        key: &LogKey,
        skip: usize,
    ) -> Result<Vec<LogTime>, BlobError> {
        let path = times_path(&self.log_path(key));
        let Some((mut file, _)) = open(&path).await.map_err(at(&path))? else {
            return Ok(Vec::new());
        };
        let start = skip.saturating_mul(TIME_RECORD) as u64;
        file.seek(SeekFrom::Start(start)).await.map_err(at(&path))?;
        let mut bytes = Vec::new();
        let wanted = (TIMES_MAX * TIME_RECORD) as u64;
        file.take(wanted).read_to_end(&mut bytes).await.map_err(at(&path))?;
        let (records, _) = bytes.as_chunks::<TIME_RECORD>();
        Ok(records.iter().copied().map(LogTime::from_record).collect())
    }

    /// Stores a large result and returns the reference that its event carries.
    ///
    /// Storing an attempt's result again replaces it; a reader sees the old or the new one whole.
    pub async fn put_result(&self, key: ResultKey<'_>, json: &[u8]) -> Result<String, BlobError> {
        if json.len() > RESULT_MAX {
            return Err(BlobError::TooLarge { size: json.len() });
        }
        let reference = result_reference(key);
        let path = self.root().join(&reference);
        write_whole(&path, json).await.map_err(at(&path))?;
        // A file whose name is not on the disk is not there after a power failure.
        let folders = path.ancestors().skip(1).take_while(|it| it.starts_with(self.root()));
        sync_folders(folders.map(Path::to_owned).collect()).await?;
        Ok(reference)
    }

    /// The result that `reference` names, or `None` when it has been deleted.
    pub async fn read_result(&self, reference: &str) -> Result<Option<Vec<u8>>, BlobError> {
        if !is_result_reference(reference) {
            return Err(BlobError::Reference { reference: reference.to_owned() });
        }
        let path = self.root().join(reference);
        match fs::read(&path).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at(&path)(error)),
        }
    }
}

impl Blobs {
    /// Removes the logs and results of a run.
    pub async fn remove_run(&self, tenant: &TenantId, run: RunId) -> Result<(), BlobError> {
        let results = self.root().join("results").join(encode(tenant.as_str()));
        for folder in [self.logs_folder(tenant, run), results.join(run.to_string())] {
            match fs::remove_dir_all(&folder).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(at(&folder)(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> BlobError {
    move |source| BlobError::Io { path: path.to_owned(), source }
}

async fn open(path: &Path) -> io::Result<Option<(fs::File, u64)>> {
    match fs::File::open(path).await {
        Ok(file) => {
            let size = file.metadata().await?.len();
            Ok(Some((file, size)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file that is there whole or not at all.
pub(crate) async fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).await?;
    }
    // Another writer of the same has a draft of its own.
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let draft = path.with_added_extension(format!("draft-{}-{number}", std::process::id()));
    let written = async {
        let mut file = fs::File::create(&draft).await?;
        file.write_all(bytes).await?;
        // The event that refers to it is durable, so it has to be too.
        file.sync_all().await?;
        fs::rename(&draft, path).await
    };
    let written = written.await;
    if written.is_err() {
        // What takes space is most needed to go where there is none.
        fs::remove_file(&draft).await.ok();
    }
    written
}

/// Waits until the names in these folders are on the disk.
pub(crate) async fn sync_folders(folders: BTreeSet<PathBuf>) -> Result<(), BlobError> {
    let sync = move || {
        folders.iter().try_for_each(|folder| {
            std::fs::File::open(folder).and_then(|it| it.sync_all()).map_err(at(folder))
        })
    };
    in_the_background(sync).await
}

/// Does what looks at files where that holds nobody up.
pub(crate) async fn in_the_background<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

fn result_reference(key: ResultKey<'_>) -> String {
    let tenant = encode(key.tenant.as_str());
    let step = encode(key.step.as_str());
    format!("results/{tenant}/{}/{step}/{}", key.run, key.attempt)
}

/// Whether `text` is `results/` and four encoded parts.
fn is_result_reference(text: &str) -> bool {
    let mut parts = text.split('/');
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"%_-.~".contains(&b))
    };
    parts.next() == Some("results") && parts.clone().count() == 4 && parts.all(is_part)
}

#[cfg(test)]
mod tests {
    use millstream_model::{StepKey, Timestamp};

    use super::*;
    use crate::{LogStream, LogWriter};

    fn log_key(step: &str) -> LogKey {
        LogKey {
            tenant: TenantId::default_tenant(),
            run: run(),
            step: step.parse().unwrap(),
            attempt: 1,
            stream: LogStream::Out,
        }
    }

    fn run() -> RunId {
        RunId::new(Timestamp::from_micros(1_000_000), [7; 10])
    }

    #[tokio::test]
    async fn r010_a_log_is_readable_by_offset_while_it_grows() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::folder(folder.path().to_owned());
        let key = log_key("extract");
        assert_eq!(blobs.read_log(&key, 0, 100).await.unwrap().size, 0);

        let mut writer = LogWriter::new(blobs.log_path(&key));
        writer.append(b"one\n", Timestamp::from_micros(1)).unwrap();
        let first = blobs.read_log(&key, 0, 100).await.unwrap();
        writer.append(b"two\nthree\n", Timestamp::from_micros(2)).unwrap();
        let second = blobs.read_log(&key, first.next, 4).await.unwrap();

        assert_eq!(first.bytes, b"one\n");
        assert_eq!((second.bytes.as_slice(), second.next, second.size), (&b"two\n"[..], 8, 14));
        let times = blobs.read_log_times(&key, 1).await.unwrap();
        assert_eq!(times, [LogTime { offset: 4, at: Timestamp::from_micros(2) }]);
    }

    #[test]
    fn a_step_called_dot_dot_or_with_slashes_stays_in_its_run_s_folder() {
        let blobs = Blobs::folder(PathBuf::from("/root"));
        let run_folder = format!("/root/logs/default/{}", run());
        for step in ["..", "a/b", "../../etc/passwd", "."] {
            let path = blobs.log_path(&log_key(step));
            assert_eq!(path.parent().unwrap().to_str().unwrap(), run_folder, "{step}");
        }
    }

    #[tokio::test]
    async fn a_large_result_reads_back_by_its_reference_and_no_other_text_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::folder(folder.path().to_owned());
        let tenant = TenantId::default_tenant();
        let step: StepKey = "../a".parse().unwrap();
        let key = ResultKey { tenant: &tenant, run: run(), step: &step, attempt: 2 };
        let reference = blobs.put_result(key, b"{}").await.unwrap();
        assert_eq!(blobs.read_result(&reference).await.unwrap().unwrap(), b"{}");
        for text in ["results/../../../x", "logs/a/b/c/d", "results/a/b/c", "/etc/passwd", ""] {
            let answer = blobs.read_result(text).await;
            assert!(matches!(answer, Err(BlobError::Reference { .. })), "{text:?}");
        }
    }

    #[tokio::test]
    async fn a_result_over_16_mib_is_refused() {
        let blobs = Blobs::folder(PathBuf::from("/nowhere"));
        let tenant = TenantId::default_tenant();
        let step: StepKey = "a".parse().unwrap();
        let key = ResultKey { tenant: &tenant, run: run(), step: &step, attempt: 1 };
        let answer = blobs.put_result(key, &vec![b'0'; RESULT_MAX + 1]).await;
        assert!(matches!(answer, Err(BlobError::TooLarge { .. })));
    }
}
