//! One output of a step's process: a pipe that is read without waiting and appended to a log.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use millstream_blob::LogWriter;
use millstream_model::Timestamp;
use rustix::io::Errno;

use super::tap::Tap;

/// How much of the end of an output is kept for the error message.
const TAIL_MAX: usize = 4 * 1024;

/// How much is read at once when no more will be.
const LAST_READ: usize = 64 * 1024;

/// How often that is done: a pipe holds up to a mebibyte.
const LAST_READS: usize = 16;

/// One output of a process.
#[derive(Debug)]
pub(super) struct Output {
    pipe: Option<OwnedFd>,
    log: LogWriter,
    tap: Option<Tap>,
    tail: Vec<u8>,
    error: Option<String>,
}

impl Output {
    /// The output that comes through `pipe`, to be appended to `log`.
    pub(super) fn new(pipe: Option<OwnedFd>, log: LogWriter, tap: Option<Tap>) -> Self {
        let mut error = None;
        let pipe = pipe.filter(|pipe| match rustix::io::ioctl_fionbio(pipe, true) {
            Ok(()) => true,
            // A pipe that could block the loop is not read at all.
            Err(errno) => {
                error = Some(format!("the output cannot be read: {errno}"));
                false
            }
        });
        Self { pipe, log, tap, tail: Vec::new(), error }
    }

    /// The pipe, while it is open.
    pub(super) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Reads once and appends what there was; whether there was anything.
    ///
    /// A log that cannot be written loses the output and keeps the reason: the step goes on. So it
    /// does when the log is full: what comes then is read and dropped, or the step would wait.
    pub(super) fn read(&mut self, buffer: &mut [u8], now: Timestamp) -> bool {
        let Some(pipe) = &self.pipe else { return false };
        match rustix::io::read(pipe, &mut *buffer) {
            Ok(0) => {
                self.close(now);
                false
            }
            Ok(count) => {
                let bytes = buffer.get(..count).unwrap_or_default();
                match &mut self.tap {
                    None => self.keep(bytes, now),
                    Some(tap) => {
                        let kept = tap.filter(bytes);
                        self.keep_tapped(kept, now);
                    }
                }
                true
            }
            Err(Errno::AGAIN | Errno::INTR) => false,
            Err(errno) => {
                self.error.get_or_insert_with(|| errno.to_string());
                self.pipe = None;
                false
            }
        }
    }

    /// Reads what is there and then no more, appends what was held back, says in the log what is
    /// missing of it, and returns how much that is.
    pub(super) fn finish(&mut self, now: Timestamp) -> u64 {
        if self.pipe.is_some() {
            // Whoever still holds it may write for ever; what the step said fits into the pipe.
            let mut buffer = vec![0; LAST_READ];
            (0..LAST_READS).take_while(|_| self.read(&mut buffer, now)).for_each(drop);
        }
        self.close(now);
        if let Err(error) = self.log.finish(now) {
            self.error.get_or_insert_with(|| error.to_string());
        }
        self.log.dropped()
    }

    fn close(&mut self, now: Timestamp) {
        self.pipe = None;
        if let Some(mut tap) = self.tap.take() {
            self.keep_tapped(tap.let_go(), now);
        }
    }

    fn keep_tapped(&mut self, kept: io::Result<Vec<u8>>, now: Timestamp) {
        match kept {
            Ok(bytes) => self.keep(&bytes, now),
            Err(error) => {
                self.error.get_or_insert_with(|| format!("messages are lost: {error}"));
            }
        }
    }

    fn keep(&mut self, bytes: &[u8], now: Timestamp) {
        if let Err(error) = self.log.append(bytes, now) {
            self.error.get_or_insert_with(|| error.to_string());
        }
        self.keep_tail(bytes);
    }

    fn keep_tail(&mut self, bytes: &[u8]) {
        let kept = bytes.get(bytes.len().saturating_sub(TAIL_MAX)..).unwrap_or_default();
        let excess = (self.tail.len() + kept.len()).saturating_sub(TAIL_MAX);
        self.tail.drain(..excess.min(self.tail.len()));
        self.tail.extend_from_slice(kept);
    }

    /// The end of what came, as text.
    pub(super) fn tail(&self) -> String {
        String::from_utf8_lossy(&self.tail).trim_end().to_owned()
    }

    /// Why some of the output is not in the log.
    pub(super) fn error(&self) -> Option<&String> {
        self.error.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn only_the_end_of_an_output_is_kept_for_the_error() {
        let log = LogWriter::new(PathBuf::from("/nowhere"));
        let mut output = Output::new(None, log, None);
        output.keep_tail(&[b'a'; TAIL_MAX]);
        output.keep_tail(b"end\n");
        assert_eq!(output.tail.len(), TAIL_MAX);
        assert!(output.tail().ends_with("aend"));
        output.keep_tail(&[b'b'; TAIL_MAX * 2]);
        assert_eq!(output.tail, [b'b'; TAIL_MAX]);
    }
}
