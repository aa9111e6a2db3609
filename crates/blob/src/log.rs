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

use millstream_model::{ByteSize, RunId, StepKey, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

/// The bytes of one record of the sidecar.
pub(crate) const TIME_RECORD: usize = 16;

/// The largest log of one attempt and stream where nothing else is said.
pub const LOG_MAX: ByteSize = ByteSize(256 << 20);

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
///
/// What the log has no room for, or the disk refuses, is counted, and the log says so where it is
/// missing as soon as it can.
#[derive(Debug)]
pub struct LogWriter {
    path: PathBuf,
    max: ByteSize,
    files: Option<LogFiles>,
    /// Bytes beyond the largest size, once that is reached.
    beyond: Option<u64>,
    /// Bytes that could not be written since the last that could.
    refused: u64,
    dropped: u64,
}

#[derive(Debug)]
struct LogFiles {
    log: File,
    times: File,
    size: u64,
    /// How large it was when this writer came to it.
    found: u64,
}

impl LogWriter {
    /// A writer for the log at `path`, which [`crate::Blobs::log_path`] has named.
    pub fn new(path: PathBuf) -> Self {
        Self { path, max: LOG_MAX, files: None, beyond: None, refused: 0, dropped: 0 }
    }

    /// Lets the log grow to `max`, and by the lines that say what is missing.
    #[must_use]
    pub fn up_to(self, max: ByteSize) -> Self {
        Self { max, ..self }
    }

    /// Appends `bytes`, which came at `now`, as far as there is room.
    ///
    /// The next call tries again after an error; the bytes of this one are lost.
    pub fn append(&mut self, bytes: &[u8], now: Timestamp) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.beyond.is_none() {
            match self.try_append(bytes, now) {
                Ok(room) if room == bytes.len() => return Ok(()),
                Ok(room) => self.drop_beyond(bytes.len() - room),
                Err((written, error)) => {
                    let lost = (bytes.len() - written) as u64;
                    self.refused += lost;
                    self.dropped += lost;
                    return Err(error);
                }
            }
        } else {
            self.drop_beyond(bytes.len());
        }
        Ok(())
    }

    /// Says in the log what is missing at its end.
    pub fn finish(&mut self, now: Timestamp) -> io::Result<()> {
        self.tell_refused(now)?;
        match (self.beyond.take(), &mut self.files) {
            (Some(count), Some(files)) if count > 0 => {
                files.write(format!("[millstream: {count} bytes dropped]\n").as_bytes(), now)
            }
            _ => Ok(()),
        }
    }

    /// How many bytes are not in the log.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn drop_beyond(&mut self, count: usize) {
        self.dropped += count as u64;
        self.beyond = Some(self.beyond.unwrap_or_default() + count as u64);
    }

    /// Writes as much of `bytes` as there is room for and returns how much that was. The error
    /// comes with what was written all the same.
    fn try_append(&mut self, bytes: &[u8], now: Timestamp) -> Result<usize, (usize, io::Error)> {
        self.tell_refused(now).map_err(|error| (0, error))?;
        let max = self.max;
        let files = self.files().map_err(|error| (0, error))?;
        files.look().map_err(|error| (0, error))?;
        let room = usize::try_from(max.0.saturating_sub(files.size)).unwrap_or(usize::MAX);
        let kept = bytes.get(..room).unwrap_or(bytes);
        let before = files.size;
        if let Err(error) = files.write(kept, now) {
            let written = usize::try_from(files.size.saturating_sub(before)).unwrap_or_default();
            return Err((written.min(kept.len()), error));
        }
        if kept.len() < bytes.len() && !files.was_full(max) {
            let line = format!("\n[millstream: output capped at {max}; what follows is dropped]\n");
            files.write(line.as_bytes(), now).map_err(|error| (kept.len(), error))?;
        }
        Ok(kept.len())
    }

    /// Says how much was lost before, now that the disk may take it.
    fn tell_refused(&mut self, now: Timestamp) -> io::Result<()> {
        if self.refused == 0 {
            return Ok(());
        }
        let line = format!("\n[millstream: {} bytes could not be written here]\n", self.refused);
        self.files()?.write(line.as_bytes(), now)?;
        self.refused = 0;
        Ok(())
    }

    fn files(&mut self) -> io::Result<&mut LogFiles> {
        match &mut self.files {
            Some(files) => Ok(files),
            none => Ok(none.insert(LogFiles::open(&self.path)?)),
        }
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
        Ok(Self { log, times: append(&times_path(path))?, size, found: size })
    }

    /// Takes in what another writer may have appended since.
    fn look(&mut self) -> io::Result<()> {
        self.size = self.log.metadata()?.len();
        Ok(())
    }

    /// Whether another writer has filled it already, and said so.
    fn was_full(&self, max: ByteSize) -> bool {
        self.found >= max.0
    }

    /// Writes all of `bytes`; after an error `size` counts what was written of them.
    fn write(&mut self, bytes: &[u8], now: Timestamp) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        // The time first: a reader that sees a line can then always tell when it came.
        self.times.write_all(&LogTime { offset: self.size, at: now }.to_record())?;
        let written = self.log.write_all(bytes);
        self.size = match &written {
            Ok(()) => self.size + bytes.len() as u64,
            Err(_) => self.log.metadata().map_or(self.size, |metadata| metadata.len()),
        };
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn a_time_record_reads_back() {
        let time = LogTime { offset: 7_000_000_000, at: Timestamp::from_micros(-5) };
        assert_eq!(LogTime::from_record(time.to_record()), time);
    }

    #[test]
    fn a_full_log_says_so_once_and_at_the_end_how_much_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.out");
        let mut writer = LogWriter::new(path.clone()).up_to(ByteSize(6));
        for bytes in [b"abcd", b"efgh", b"ijkl"] {
            writer.append(bytes, at(0)).unwrap();
        }
        assert_eq!(writer.dropped(), 6);
        writer.finish(at(0)).unwrap();
        let capped = "abcdef\n[millstream: output capped at 6 B; what follows is dropped]\n";
        let all = format!("{capped}[millstream: 6 bytes dropped]\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), all);

        // The same when the log is full to the byte before something is dropped.
        let exact = folder.path().join("b.out");
        let mut writer = LogWriter::new(exact.clone()).up_to(ByteSize(6));
        writer.append(b"abcdef", at(0)).unwrap();
        writer.append(b"g", at(0)).unwrap();
        assert_eq!(std::fs::read_to_string(&exact).unwrap(), capped);

        let mut another = LogWriter::new(path.clone()).up_to(ByteSize(6));
        another.append(b"more", at(0)).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), all);
        assert_eq!(another.dropped(), 4);
    }

    #[test]
    fn what_a_disk_refused_is_counted_and_told_when_it_takes_something_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/a.out");
        // A file where the folder should be refuses as a full disk does: later it may work.
        std::fs::write(folder.path().join("logs"), "").unwrap();
        let mut writer = LogWriter::new(path.clone());
        assert!(writer.append(b"lost", at(0)).is_err());
        std::fs::remove_file(folder.path().join("logs")).unwrap();
        writer.append(b"kept\n", at(0)).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "\n[millstream: 4 bytes could not be written here]\nkept\n"
        );
        assert_eq!(writer.dropped(), 4);
    }
}
