//! The outputs of a step whose pipes the worker reads itself, on their way to the attempt's logs.

use std::convert::Infallible;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use millstream_blob::{LogStream, LogWriter};
use millstream_host::Outputs;
use tokio::net::unix::pipe;

use crate::seams::Clock;
use crate::sink::LogSink;
use crate::supervisor::{MessageTap, Tap};

/// How much is read at once.
const READ_SIZE: usize = 16 * 1024;

/// The logs of an attempt, and the pipes that they are filled from at the moment.
pub(crate) struct Capture {
    out: Stream,
    err: Stream,
    clock: Arc<dyn Clock>,
}

/// One of the two outputs.
struct Stream {
    pipe: Option<pipe::Receiver>,
    sink: LogSink,
}

impl Capture {
    /// Logs without pipes yet.
    pub(crate) fn new(out: LogWriter, err: LogWriter, clock: Arc<dyn Clock>) -> Self {
        let stream = |log| Stream { pipe: None, sink: LogSink::new(log) };
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
        stream.sink.tap(Tap::new(tap.path));
    }

    /// Takes in what was written until now, with what was held of a line that did not end.
    pub(crate) fn finish(&mut self) {
        self.drain();
        for stream in [&mut self.out, &mut self.err] {
            stream.sink.let_tap_go(self.clock.now());
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
        self.err.sink.keep(line.as_bytes(), self.clock.now());
    }

    /// The end of what was written to standard error, or to standard output where that is nothing.
    pub(crate) fn tail(&self) -> String {
        let tails = [&self.err, &self.out].map(|it| it.sink.tail());
        tails.into_iter().find(|tail| !tail.is_empty()).unwrap_or_default()
    }

    /// How much of the output the logs had no room for.
    pub(crate) fn dropped(&self) -> u64 {
        self.out.sink.dropped() + self.err.sink.dropped()
    }

    /// Why some of the output is not in the logs.
    pub(crate) fn error(&self) -> Option<&str> {
        self.out.sink.error().or(self.err.sink.error())
    }
}

impl Drop for Capture {
    /// Says in the logs what is missing of them.
    fn drop(&mut self) {
        for stream in [&mut self.out, &mut self.err] {
            let was_whole = stream.sink.error().is_none();
            stream.sink.finish(self.clock.now());
            if was_whole && let Some(error) = stream.sink.error() {
                tracing::warn!(error, "the end of a log is missing");
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
            Ok(count) => self.sink.take(buffer.get(..count).unwrap_or_default(), clock.now()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) => {
                self.sink.fail(&error);
                self.pipe = None;
            }
        }
        self.pipe.is_some()
    }
}
