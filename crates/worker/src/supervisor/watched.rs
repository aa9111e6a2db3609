//! One process under watch: from its start, through signals, to the last byte of its output.
//!
//! Called by the supervisor's loop only, which says what time it is.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use millstream_blob::LogStream;
use millstream_model::Timestamp;
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};

use super::output::Output;
use super::protocol::{EndCause, Ended, ProcessSpec};
use super::session;
use super::tap::Tap;

/// How long output is still read after the group is gone. Only a process that left its group can
/// hold the pipe open then, and it shall not hold up the step's end.
const DRAIN: Duration = Duration::from_millis(250);

/// A process under watch.
#[derive(Debug)]
pub(super) struct Watched {
    id: u64,
    child: Child,
    group: Pid,
    leads_session: bool,
    exit_signal: Option<OwnedFd>,
    out: Output,
    err: Output,
    grace: Duration,
    cause: EndCause,
    phase: Phase,
}

/// Where a process is on its way.
#[derive(Debug, Clone, Copy)]
enum Phase {
    Running { timeout_at: Option<Instant> },
    AskedToEnd { kill_at: Instant },
    Killed,
    Draining { exit: Exit, until: Instant },
}

/// What the kernel said of a leader's end; nothing when somebody else has reaped it, as happens
/// where this program was started with SIGCHLD ignored.
#[derive(Debug, Clone, Copy, Default)]
struct Exit {
    code: Option<i32>,
    signal: Option<i32>,
}

/// Which pipe of a process has something to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Exit,
    Out,
    Err,
}

impl Watched {
    /// Starts `spec` as the leader of a new process group.
    pub(super) fn spawn(id: u64, spec: ProcessSpec, now: Instant) -> io::Result<Self> {
        let stdin = match &spec.stdin {
            Some(path) => Stdio::from(std::fs::File::open(path)?),
            None => Stdio::null(),
        };
        let mut command = Command::new(&spec.program);
        if !spec.leads_session {
            // The leader of a group cannot become that of a session.
            command.process_group(0);
        }
        let mut child = command
            .args(&spec.args)
            .env_clear()
            .envs(&spec.env)
            .current_dir(&spec.cwd)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let group = Pid::from_child(&child);
        let tap = |stream| {
            let tap = spec.tap.as_ref().filter(|tap| tap.stream == stream);
            tap.map(|tap| Tap::new(tap.path.clone()))
        };
        Ok(Self {
            id,
            group,
            leads_session: spec.leads_session,
            exit_signal: rustix::process::pidfd_open(group, PidfdFlags::empty()).ok(),
            out: Output::new(child.stdout.take().map(OwnedFd::from), spec.out, tap(LogStream::Out)),
            err: Output::new(child.stderr.take().map(OwnedFd::from), spec.err, tap(LogStream::Err)),
            child,
            grace: spec.grace,
            cause: EndCause::Itself,
            phase: Phase::Running {
                timeout_at: spec.timeout.and_then(|timeout| now.checked_add(timeout)),
            },
        })
    }

    /// What the worker calls it.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Its process id, which is its group's.
    pub(super) fn pid(&self) -> i32 {
        self.group.as_raw_nonzero().get()
    }

    /// What the loop waits for on its behalf.
    pub(super) fn sources(&self) -> impl Iterator<Item = (Source, BorrowedFd<'_>)> {
        let exit = match self.phase {
            Phase::Draining { .. } => None,
            _ => self.exit_signal.as_ref().map(|fd| (Source::Exit, fd.as_fd())),
        };
        let out = self.out.pipe().map(|pipe| (Source::Out, pipe));
        let err = self.err.pipe().map(|pipe| (Source::Err, pipe));
        [exit, out, err].into_iter().flatten()
    }

    /// Whether its end is only found by asking, for want of a pidfd.
    pub(super) fn needs_asking(&self) -> bool {
        self.exit_signal.is_none() && !matches!(self.phase, Phase::Draining { .. })
    }

    /// When something is due for it, whatever its pipes do.
    pub(super) fn due_at(&self) -> Option<Instant> {
        match self.phase {
            Phase::Running { timeout_at } => timeout_at,
            Phase::AskedToEnd { kill_at } => Some(kill_at),
            Phase::Killed => None,
            Phase::Draining { until, .. } => Some(until),
        }
    }

    /// Reads what `source` has.
    pub(super) fn read(&mut self, source: Source, buffer: &mut [u8], now: Timestamp) {
        match source {
            Source::Exit => {}
            Source::Out => self.out.read(buffer, now),
            Source::Err => self.err.read(buffer, now),
        }
    }

    /// Asks the group to end, and lets it have `grace` before it is killed.
    pub(super) fn stop(&mut self, grace: Duration, now: Instant) {
        match self.phase {
            Phase::Running { .. } => {
                self.cause = EndCause::Stopped;
                self.ask_to_end(grace, now);
            }
            // A second, more impatient order shortens the wait.
            Phase::AskedToEnd { kill_at } => {
                let kill_at = now.checked_add(grace).map_or(kill_at, |at| at.min(kill_at));
                self.phase = Phase::AskedToEnd { kill_at };
            }
            Phase::Killed | Phase::Draining { .. } => {}
        }
    }

    fn ask_to_end(&mut self, grace: Duration, now: Instant) {
        self.signal(Signal::TERM);
        self.phase = Phase::AskedToEnd { kill_at: now.checked_add(grace).unwrap_or(now) };
    }

    /// Kills the group at once.
    pub(super) fn kill(&mut self) {
        if !matches!(self.phase, Phase::Draining { .. }) {
            self.signal(Signal::KILL);
            self.phase = Phase::Killed;
        }
    }

    /// Signals the group. The leader is not reaped yet, so the id is still the group's.
    fn signal(&self, signal: Signal) {
        if self.leads_session {
            session::signal(self.group, signal);
            return;
        }
        // A group that is gone has nothing left to signal.
        rustix::process::kill_process_group(self.group, signal).ok();
    }

    /// Does what is due. Returns how the process ended, once that and its output are complete.
    pub(super) fn advance(&mut self, now: Instant, at: Timestamp) -> Option<Ended> {
        match self.phase {
            Phase::Running { timeout_at: Some(at) } if at <= now => {
                self.cause = EndCause::TimedOut;
                self.ask_to_end(self.grace, now);
            }
            Phase::AskedToEnd { kill_at } if kill_at <= now => self.kill(),
            _ => {}
        }
        if !matches!(self.phase, Phase::Draining { .. })
            && let Some(exit) = self.take_exit()
        {
            self.phase = Phase::Draining { exit, until: now + DRAIN };
        }
        match self.phase {
            Phase::Draining { exit, until } if until <= now || self.is_drained() => {
                self.out.close(at);
                self.err.close(at);
                Some(self.ended(exit))
            }
            _ => None,
        }
    }

    fn is_drained(&self) -> bool {
        self.out.pipe().is_none() && self.err.pipe().is_none()
    }

    /// How the leader ended, if it has.
    ///
    /// What is left of the group is killed first, while the unreaped leader still keeps the
    /// group's id from being given away.
    fn take_exit(&mut self) -> Option<Exit> {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match rustix::process::waitid(WaitId::Pid(self.group), look) {
            Ok(None) => return None,
            Ok(Some(_)) => self.signal(Signal::KILL),
            Err(_) => return Some(Exit::default()),
        }
        match self.child.try_wait() {
            Ok(status) => {
                status.map(|status| Exit { code: status.code(), signal: status.signal() })
            }
            Err(_) => Some(Exit::default()),
        }
    }

    fn ended(&self, exit: Exit) -> Ended {
        Ended {
            code: exit.code,
            signal: exit.signal,
            cause: self.cause,
            stderr_tail: self.err.tail(),
            log_error: self.out.error().or(self.err.error()).cloned(),
        }
    }
}
