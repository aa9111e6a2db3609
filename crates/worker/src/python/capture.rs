//! The outputs of a step whose pipes the worker reads itself, on their way to the attempt's logs.

use std::convert::Infallible;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use millstream_blob::{LogStream, LogWriter};
use millstream_host::Outputs;
use tokio::net::unix::pipe;

use crate::seams::Clock;
use crate::supervisor::{MessageTap, Tap};

/// How much is read at once.
const READ_SIZE: usize = 16 * 1024;

/// How much of the end of an output is kept for the error message.
const TAIL_MAX: usize = 4 * 1024;

/// The logs of an attempt, and the pipes that they are filled from at the moment.
pub(crate) struct Capture {
    out: Stream,
    err: Stream,
    clock: Arc<dyn Clock>,
}

/// One of the two outputs.
struct Stream {
    pipe: Option<pipe::Receiver>,
    log: LogWriter,
    /// Takes messages out on their way into the log.
    tap: Option<Tap>,
    tail: Vec<u8>,
    error: Option<String>,
}

impl Capture {
    /// Logs without pipes yet.
    pub(crate) fn new(out: LogWriter, err: LogWriter, clock: Arc<dyn Clock>) -> Self {
        let stream = |log| Stream { pipe: None, log, tap: None, tail: Vec::new(), error: None };
        Self { out: stream(out), err: stream(err), clock }
    }

    /// Reads `outputs` from now on, in the place of what it read until now.
    pub(crate) fn attach(&mut self, outputs: Outputs) {
        self.drain();
        self.out.pipe = Some(outputs.out);
        self.err.pipe = Some(outputs.err);
    }

    /// Takes messages out of the output that `tap` names, from now on.
    pub(crate) fn tap(&mut self, tap: MessageTap) {
        let stream = match tap.stream {
            LogStream::Out => &mut self.out,
            LogStream::Err => &mut self.err,
        };
        stream.tap = Some(Tap::new(tap.path));
    }

    /// Takes in what was written until now, with what was held of a line that did not end.
    pub(crate) fn finish(&mut self) {
        self.drain();
        for stream in [&mut self.out, &mut self.err] {
            if let Some(mut tap) = stream.tap.take() {
                stream.keep_tapped(tap.let_go(), &*self.clock);
            }
        }
    }

    /// Takes in what was written until now and gives the pipes back, if both are still open.
    pub(crate) fn detach(&mut self) -> Option<Outputs> {
        self.drain();
        Some(Outputs { out: self.out.pipe.take()?, err: self.err.pipe.take()? })
    }

    /// Takes in what comes, for as long as it is polled. It never ends.
    pub(crate) async fn pump(&mut self) -> Infallible {
        let mut buffer = vec![0; READ_SIZE];
        loop {
            tokio::select! {
                () = self.out.readable() => self.out.read_ready(&mut buffer, &*self.clock),
                () = self.err.readable() => self.err.read_ready(&mut buffer, &*self.clock),
            }
        }
    }

    /// Takes in what is there now.
    pub(crate) fn drain(&mut self) {
        let mut buffer = [0; READ_SIZE];
        while self.out.read(&mut buffer, &*self.clock) {}
        while self.err.read(&mut buffer, &*self.clock) {}
    }

    /// Writes a line of the worker's own to the log of standard error.
    pub(crate) fn note(&mut self, text: &str) {
        let line = format!("[millstream: {text}]\n");
        self.err.keep(line.as_bytes(), &*self.clock);
    }

    /// The end of what was written to standard error.
    pub(crate) fn tail(&self) -> String {
        String::from_utf8_lossy(&self.err.tail).trim_end().to_owned()
    }

    /// How much of the output the logs had no room for.
    pub(crate) fn dropped(&self) -> u64 {
        self.out.log.dropped() + self.err.log.dropped()
    }

    /// Why some of the output is not in the logs.
    pub(crate) fn error(&self) -> Option<&str> {
        self.out.error.as_deref().or(self.err.error.as_deref())
    }
}

impl Drop for Capture {
    /// Says in the logs what is missing of them.
    fn drop(&mut self) {
        for stream in [&mut self.out, &mut self.err] {
            if let Err(error) = stream.log.finish(self.clock.now()) {
                tracing::warn!(%error, "the end of a log is missing");
            }
        }
    }
}

impl Stream {
    async fn readable(&self) {
        match &self.pipe {
            Some(pipe) if pipe.readable().await.is_ok() => {}
            _ => std::future::pending().await,
        }
    }

    /// Reads once what the runtime says is there.
    fn read_ready(&mut self, buffer: &mut [u8], clock: &dyn Clock) {
        let Some(pipe) = &self.pipe else { return };
        let read = pipe.try_io(|| Ok(rustix::io::read(pipe.as_fd(), &mut *buffer)?));
        self.take(read, buffer, clock);
    }

    /// Reads once, whatever the runtime has heard by now; false when there is nothing more.
    fn read(&mut self, buffer: &mut [u8], clock: &dyn Clock) -> bool {
        let Some(pipe) = &self.pipe else { return false };
        let read = rustix::io::read(pipe.as_fd(), &mut *buffer).map_err(io::Error::from);
        self.take(read, buffer, clock)
    }

    fn take(&mut self, read: io::Result<usize>, buffer: &[u8], clock: &dyn Clock) -> bool {
        match read {
            Ok(0) => self.pipe = None,
            Ok(count) => self.append(buffer.get(..count).unwrap_or_default(), clock),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) => {
                self.error.get_or_insert_with(|| error.to_string());
                self.pipe = None;
            }
        }
        self.pipe.is_some()
    }

    fn append(&mut self, bytes: &[u8], clock: &dyn Clock) {
        match &mut self.tap {
            None => self.keep(bytes, clock),
            Some(tap) => {
                let kept = tap.filter(bytes);
                self.keep_tapped(kept, clock);
            }
        }
    }

    fn keep_tapped(&mut self, kept: io::Result<Vec<u8>>, clock: &dyn Clock) {
        match kept {
            Ok(bytes) => self.keep(&bytes, clock),
            Err(error) => {
                self.error.get_or_insert_with(|| format!("messages are lost: {error}"));
            }
        }
    }

    /// A log that cannot be written loses the output and keeps the reason: the step goes on.
    fn keep(&mut self, bytes: &[u8], clock: &dyn Clock) {
        if let Err(error) = self.log.append(bytes, clock.now()) {
            self.error.get_or_insert_with(|| error.to_string());
        }
        let kept = bytes.get(bytes.len().saturating_sub(TAIL_MAX)..).unwrap_or_default();
        let excess = (self.tail.len() + kept.len()).saturating_sub(TAIL_MAX);
        self.tail.drain(..excess.min(self.tail.len()));
        self.tail.extend_from_slice(kept);
    }
}
