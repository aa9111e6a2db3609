//! A host that forks: one order and one socket a step.
//!
//! A fork can be made before there is a step for it, so that the step need not wait for it.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::net::RecvFlags;
use tokio::io::BufReader;
use tokio::net::UnixStream;

use crate::channel::{Channel, Handed, HostLost, Outputs, read_line};
use crate::protocol::{Ended, Exit, Forked, Order, Outcome, StepOrder, line};

/// A host that has loaded its code and forks for each step.
///
/// Clones are handles of the same one; it ends when the last is gone.
#[derive(Debug, Clone)]
pub struct Forks {
    channel: Arc<Channel>,
    next: Arc<AtomicU64>,
    /// A fork that no step has taken yet.
    spare: Arc<Mutex<Option<Fork>>>,
}

/// A fork that waits for its step.
#[derive(Debug)]
pub struct Fork {
    /// What it writes.
    pub outputs: Outputs,
    /// What it is given its step by.
    pub step: ForkStep,
    /// What its process group is signalled by.
    pub signaler: Signaler,
}

/// The socket to one fork.
#[derive(Debug)]
pub struct ForkStep {
    stream: BufReader<UnixStream>,
    /// What came before it was given a step.
    heard: Vec<u8>,
}

/// Signals the process group of a fork, for as long as that is one.
#[derive(Debug, Clone)]
pub struct Signaler {
    channel: Arc<Channel>,
    number: u64,
}

/// How a fork ended.
#[derive(Debug, Clone, PartialEq)]
pub struct ForkEnd {
    /// What it said of its step, if it came to that.
    pub outcome: Option<Outcome>,
    /// Its exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// The processor time of the fork and of all that it has left behind, in microseconds.
    pub cpu_micros: u64,
}

impl Forks {
    /// The host behind `channel`, which has said that it is ready.
    pub fn new(channel: Channel) -> Self {
        Self { channel: Arc::new(channel), next: Arc::default(), spare: Arc::default() }
    }

    /// A fork for a step: the spare one, or a new one.
    pub async fn take(&self) -> Result<Fork, HostLost> {
        match self.take_spare() {
            Some(fork) => Ok(fork),
            None => self.fork().await,
        }
    }

    /// The spare fork, if there is one that is alive.
    pub fn take_spare(&self) -> Option<Fork> {
        let spare = self.spare().take();
        spare.and_then(|mut fork| fork.step.is_waiting().then_some(fork))
    }

    /// Has the host fork for a step that may come, unless there is a spare fork already.
    ///
    /// A host that is gone shows when a step wants to take one.
    pub async fn prepare(&self) {
        if self.spare().is_some() {
            return;
        }
        if let Ok(fork) = self.fork().await {
            *self.spare() = Some(fork);
        }
    }

    fn spare(&self) -> MutexGuard<'_, Option<Fork>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fork(&self) -> Result<Fork, HostLost> {
        let (ours, theirs) = StdStream::pair()?;
        ours.set_nonblocking(true)?;
        let (outputs, out, err) = Outputs::new()?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let descriptors = [theirs.as_fd(), out.as_fd(), err.as_fd()];
        self.channel.send(&Order::Fork(number), &descriptors).await?;
        let stream = BufReader::new(UnixStream::from_std(ours)?);
        let step = ForkStep { stream, heard: Vec::new() };
        let signaler = Signaler { channel: Arc::clone(&self.channel), number };
        Ok(Fork { outputs, step, signaler })
    }
}

impl ForkStep {
    /// Whether nothing is known against its being alive. It may have been handed a step, and has
    /// not been told to begin.
    pub fn is_waiting(&mut self) -> bool {
        let mut buffer = [0; 256];
        loop {
            match rustix::net::recv(self.stream.get_ref(), &mut buffer, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return false,
                Ok((count, _)) => {
                    self.heard.extend_from_slice(buffer.get(..count).unwrap_or_default());
                }
                Err(Errno::AGAIN) => break,
                Err(_) => return false,
            }
        }
        // Before it begins there is nothing else to say.
        lines(&self.heard).all(|line| line.starts_with(FORKED))
    }

    /// Gives the fork a step that it is to begin when [`ForkStep::run`] says so, without waiting.
    pub fn hand(&self, order: &StepOrder<'_>) -> Result<Handed, HostLost> {
        Ok(Handed::to(self.stream.get_ref(), line(order)?))
    }

    /// Has the fork begin the step that it was handed, and waits until it is over and all that it
    /// has left behind is gone. `started` hears of its process, whose parent reaps it as soon as it
    /// ends.
    ///
    /// An error means that the host was lost, and the fork with it.
    pub async fn run(mut self, handed: Handed, started: impl Fn(i32)) -> Result<ForkEnd, HostLost> {
        // A fork that died before it had read the order says so below.
        handed.begin(&mut self.stream).await.ok();
        for line in lines(&self.heard) {
            let Forked { forked } = serde_json::from_slice(line)?;
            started(forked);
        }
        let mut outcome = None;
        loop {
            let line = read_line(&mut self.stream).await?;
            if line.starts_with(br#"{"ended""#) {
                let Ended { ended } = serde_json::from_slice(&line)?;
                let Exit { code, signal, cpu_micros } = ended;
                return Ok(ForkEnd { outcome, code, signal, cpu_micros });
            }
            if line.starts_with(FORKED) {
                let Forked { forked } = serde_json::from_slice(&line)?;
                started(forked);
            } else {
                outcome = Some(Outcome::read(&line));
            }
        }
    }
}

/// What the line begins with that says that there is a fork.
const FORKED: &[u8] = br#"{"forked""#;

fn lines(heard: &[u8]) -> impl Iterator<Item = &[u8]> {
    heard.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

impl Signaler {
    /// Sends the signal of this number. A fork that is gone is signalled no more.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        self.channel.send_now(&Order::Signal(self.number, signal))
    }
}
