//! One output of a step's process: a pipe that is read without waiting and appended to a log.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use millstream_blob::LogWriter;
use millstream_model::Timestamp;
use rustix::io::Errno;

use super::tap::Tap;
use crate::sink::LogSink;

/// How much is read at once when no more will be.
const LAST_READ: usize = 64 * 1024;

/// How often that is done: a pipe holds up to a mebibyte.
const LAST_READS: usize = 16;

/// One output of a process.
#[derive(Debug)]
pub(super) struct Output {
    pipe: Option<OwnedFd>,
    sink: LogSink,
}

impl Output {
    /// The output that comes through `pipe`, to be appended to `log`.
    pub(super) fn new(pipe: Option<OwnedFd>, log: LogWriter, tap: Option<Tap>) -> Self {
        let mut sink = LogSink::new(log);
        if let Some(tap) = tap {
            sink.tap(tap);
        }
        let pipe = pipe.filter(|pipe| match rustix::io::ioctl_fionbio(pipe, true) {
            Ok(()) => true,
            // A pipe that could block the loop is not read at all.
            Err(errno) => {
                sink.fail(&format!("the output cannot be read: {errno}"));
                false
            }
        });
        Self { pipe, sink }
    }

    /// The pipe, while it is open.
    pub(super) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Reads once and appends what there was; whether there was anything.
    ///
    /// What comes when the log is full is read and dropped, or the step would wait.
    pub(super) fn read(&mut self, buffer: &mut [u8], now: Timestamp) -> bool {
        let Some(pipe) = &self.pipe else { return false };
        match rustix::io::read(pipe, &mut *buffer) {
            Ok(0) => {
                self.close(now);
                false
            }
            Ok(count) => {
                self.sink.take(buffer.get(..count).unwrap_or_default(), now);
                true
            }
            Err(Errno::AGAIN | Errno::INTR) => false,
            Err(errno) => {
                self.sink.fail(&errno);
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
        self.sink.finish(now);
        self.sink.dropped()
    }

    fn close(&mut self, now: Timestamp) {
        self.pipe = None;
        self.sink.let_tap_go(now);
    }

    /// The end of what came, as text.
    pub(super) fn tail(&self) -> String {
        self.sink.tail()
    }

    /// Why some of the output is not in the log.
    pub(super) fn error(&self) -> Option<&str> {
        self.sink.error()
    }
}
