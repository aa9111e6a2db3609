//! Compute logs: the raw bytes of a step's stdout and stderr, and when they came.
//!
//! Beside each log stands a sidecar of 16-byte records, one for each piece that came at once: the
//! offset where the piece begins and its time, both little-endian. All lines of a piece have its
//! time; fixed records let a reader start anywhere.
//!
//! **Invariant.** A log only grows, and a log that does not exist is an empty one.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use millstream_model::{RunId, StepKey, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

/// The bytes of one record of the sidecar.
pub(crate) const TIME_RECORD: usize = 16;

/// The largest log of one attempt and stream; what comes after it is dropped.
const LOG_MAX: u64 = 1 << 30;

/// What stands at the end of a log that reached its largest size.
const LOG_FULL: &[u8] = b"\n[millstream: output beyond 1 GiB is not kept]\n";

/// Which of the two outputs of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl LogStream {
    /// The file name extension, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::Err => "err",
        }
    }
}

/// Which log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogKey {
    /// The tenant.
    pub tenant: TenantId,
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: StepKey,
    /// The attempt, from 1.
    pub attempt: u32,
    /// The stream.
    pub stream: LogStream,
}

/// A piece of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPart {
    /// The bytes, which may begin and end inside of a character.
    pub bytes: Vec<u8>,
    /// Where the next piece begins.
    pub next: u64,
    /// How long the log was when it was read.
    pub size: u64,
}

/// When a piece of a log came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogTime {
    /// Where the piece begins.
    pub offset: u64,
    /// When it came.
    pub at: Timestamp,
}

impl LogTime {
    fn to_record(self) -> [u8; TIME_RECORD] {
        let both =
            (u128::from(self.at.as_micros().cast_unsigned()) << 64) | u128::from(self.offset);
        both.to_le_bytes()
    }

    pub(crate) fn from_record(record: [u8; TIME_RECORD]) -> Self {
        let both = u128::from_le_bytes(record);
        let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or_default();
        Self { offset: half(both), at: Timestamp::from_micros(half(both >> 64).cast_signed()) }
    }
}

/// The sidecar of the log at `path`.
pub(crate) fn times_path(path: &Path) -> PathBuf {
    path.with_added_extension("times")
}

/// Appends to one log, which others may append to as well. The files are made with the first byte.
#[derive(Debug)]
pub struct LogWriter {
    path: PathBuf,
    files: Option<LogFiles>,
}

#[derive(Debug)]
struct LogFiles {
    log: File,
    times: File,
    size: u64,
}

impl LogWriter {
    /// A writer for the log at `path`, which [`crate::Blobs::log_path`] has named.
    pub fn new(path: PathBuf) -> Self {
        Self { path, files: None }
    }

    /// Appends `bytes`, which came at `now`. A log at its largest size stays as it is.
    pub fn append(&mut self, bytes: &[u8], now: Timestamp) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let files = match &mut self.files {
            Some(files) => files,
            none => none.insert(LogFiles::open(&self.path)?),
        };
        files.append(bytes, now)
    }
}

impl LogFiles {
    fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let append = |path: &Path| OpenOptions::new().append(true).create(true).open(path);
        let log = append(path)?;
        let size = log.metadata()?.len();
        Ok(Self { log, times: append(&times_path(path))?, size })
    }

    fn append(&mut self, bytes: &[u8], now: Timestamp) -> io::Result<()> {
        // Another writer may have appended since.
        self.size = self.log.metadata()?.len();
        if self.size >= LOG_MAX {
            return Ok(());
        }
        let room = usize::try_from(LOG_MAX - self.size).unwrap_or(usize::MAX);
        let kept = bytes.get(..room).unwrap_or(bytes);
        // The time first: a reader that sees a line can then always tell when it came.
        self.times.write_all(&LogTime { offset: self.size, at: now }.to_record())?;
        self.log.write_all(kept)?;
        self.size += kept.len() as u64;
        if kept.len() < bytes.len() {
            self.log.write_all(LOG_FULL)?;
            self.size += LOG_FULL.len() as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_record_reads_back() {
        let time = LogTime { offset: 7_000_000_000, at: Timestamp::from_micros(-5) };
        assert_eq!(LogTime::from_record(time.to_record()), time);
    }

    #[test]
    fn a_full_log_says_so_and_grows_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.out");
        let file = File::create(&path).unwrap();
        file.set_len(LOG_MAX - 2).unwrap();
        let mut writer = LogWriter::new(path.clone());
        writer.append(b"abcd", Timestamp::from_micros(0)).unwrap();
        writer.append(b"efgh", Timestamp::from_micros(0)).unwrap();
        let size = std::fs::metadata(&path).unwrap().len();
        assert_eq!(size, LOG_MAX + LOG_FULL.len() as u64);
    }
}
