//! Where one output of a step goes: into the attempt's log, without the messages that a tap takes
//! out, and its end into the step's error.
//!
//! The supervisor fills one for each pipe of a process, the worker for each pipe of a process that
//! steps share.
//!
//! **Invariant.** A log that cannot be written loses the output and keeps the reason: the step goes
//! on. So it does when the log is full.

use std::io;

use millstream_blob::LogWriter;
use millstream_model::Timestamp;

use crate::supervisor::Tap;

/// How much of the end of an output is kept for the error message.
const TAIL_MAX: usize = 4 * 1024;

/// One output on its way into a log.
#[derive(Debug)]
pub(crate) struct LogSink {
    log: LogWriter,
    tap: Option<Tap>,
    tail: Vec<u8>,
    error: Option<String>,
}

impl LogSink {
    /// What goes into `log`.
    pub(crate) fn new(log: LogWriter) -> Self {
        Self { log, tap: None, tail: Vec::new(), error: None }
    }

    /// Takes messages out of the output with `tap`, from now on.
    pub(crate) fn tap(&mut self, tap: Tap) {
        self.tap = Some(tap);
    }

    /// Takes in what the step has written.
    pub(crate) fn take(&mut self, bytes: &[u8], now: Timestamp) {
        match &mut self.tap {
            None => self.keep(bytes, now),
            Some(tap) => {
                let kept = tap.filter(bytes);
                self.keep_tapped(kept, now);
            }
        }
    }

    /// Takes in text that is no step's, past the tap.
    pub(crate) fn keep(&mut self, bytes: &[u8], now: Timestamp) {
        if let Err(error) = self.log.append(bytes, now) {
            self.fail(&error);
        }
        let kept = bytes.get(bytes.len().saturating_sub(TAIL_MAX)..).unwrap_or_default();
        let excess = (self.tail.len() + kept.len()).saturating_sub(TAIL_MAX);
        self.tail.drain(..excess.min(self.tail.len()));
        self.tail.extend_from_slice(kept);
    }

    /// Lets the tap go, with what it held of a line that did not end.
    pub(crate) fn let_tap_go(&mut self, now: Timestamp) {
        if let Some(mut tap) = self.tap.take() {
            self.keep_tapped(tap.let_go(), now);
        }
    }

    /// Says in the log what is missing of it.
    pub(crate) fn finish(&mut self, now: Timestamp) {
        if let Err(error) = self.log.finish(now) {
            self.fail(&error);
        }
    }

    /// Remembers why some of the output is missing; the first reason is kept.
    pub(crate) fn fail(&mut self, error: &impl ToString) {
        self.error.get_or_insert_with(|| error.to_string());
    }

    /// How much of the output the log had no room for.
    pub(crate) fn dropped(&self) -> u64 {
        self.log.dropped()
    }

    /// The end of what came, as text.
    pub(crate) fn tail(&self) -> String {
        String::from_utf8_lossy(&self.tail).trim_end().to_owned()
    }

    /// Why some of the output is not in the log.
    pub(crate) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    fn keep_tapped(&mut self, kept: io::Result<Vec<u8>>, now: Timestamp) {
        match kept {
            Ok(bytes) => self.keep(&bytes, now),
            Err(error) => self.fail(&format!("messages are lost: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_an_output_is_kept_for_the_error() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let mut sink = LogSink::new(LogWriter::new(folder.path().join("file/log")));
        let now = Timestamp::from_micros(0);
        sink.take(&[b'a'; TAIL_MAX], now);
        sink.take(b"end\n", now);
        assert_eq!(sink.tail.len(), TAIL_MAX);
        assert!(sink.tail().ends_with("aend"));
        sink.take(&[b'b'; TAIL_MAX * 2], now);
        assert_eq!(sink.tail, [b'b'; TAIL_MAX]);
        assert!(sink.error().is_some(), "below a file nothing can be written");
    }
}
