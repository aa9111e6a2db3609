//! One process under watch: from its start, through signals, to the last byte of its output.
//!
//! Called by the supervisor's loop only, which says what time it is.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use millstream_blob::{LogStream, LogWriter};
use millstream_model::{ByteSize, StepUsage, Timestamp};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};

use super::kernel::{self, ReapedTime};
use super::meter::Meter;
use super::narrow::{self, Narrowed};
use super::orphans;
use super::output::Output;
use super::protocol::{EndCause, Ended, Excess, ProcessSpec};
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
    meter: Meter,
    look_at: Instant,
    /// Descendants that outlived their parents, not reaped yet.
    orphans: Vec<Pid>,
    /// The processor time of what was reaped.
    reaped: Duration,
    may_have_ended: bool,
    /// Whether the kernel knows that it goes before the server.
    is_offered: bool,
}

/// What all processes under watch share.
#[derive(Debug)]
pub(super) struct Ledger {
    /// The time of reaped processes, which is counted for all together.
    pub(super) reaped: ReapedTime,
    /// How many processes the kernel had ended for want of memory when that was last asked.
    pub(super) killed: u64,
}

impl Ledger {
    /// A ledger that begins now.
    pub(super) fn new() -> Self {
        Self { reaped: ReapedTime::new(), killed: kernel::killed_for_memory() }
    }

    /// Whether the kernel has ended processes for want of memory since this was last asked.
    fn has_new_kill(&mut self) -> bool {
        let now = kernel::killed_for_memory();
        now > std::mem::replace(&mut self.killed, now)
    }
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
    pub(super) fn spawn(id: u64, spec: &ProcessSpec, now: Instant) -> io::Result<Self> {
        let mut narrowed = Narrowed::to(&spec.limits, id);
        let mut child = match start(id, spec) {
            Err(error) if is_out_of_files(&error) && narrowed.widen_files() => start(id, spec),
            started => started,
        }?;
        drop(narrowed);
        let group = Pid::from_child(&child);
        narrow::seal(group, &spec.limits);
        let log = |path: &Path| LogWriter::new(path.to_owned()).up_to(spec.output_max);
        let tap = |stream| {
            let tap = spec.tap.as_ref().filter(|tap| tap.stream == stream);
            tap.map(|tap| Tap::new(tap.path.clone()))
        };
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let meter = Meter::new(spec.limits);
        Ok(Self {
            id,
            group,
            leads_session: spec.leads_session,
            exit_signal: rustix::process::pidfd_open(group, PidfdFlags::empty()).ok(),
            out: Output::new(out.map(OwnedFd::from), log(&spec.out), tap(LogStream::Out)),
            err: Output::new(err.map(OwnedFd::from), log(&spec.err), tap(LogStream::Err)),
            child,
            grace: spec.grace,
            cause: EndCause::Itself,
            phase: Phase::Running {
                timeout_at: spec.timeout.and_then(|timeout| now.checked_add(timeout)),
            },
            look_at: now + meter.wait(),
            meter,
            orphans: Vec::new(),
            reaped: Duration::ZERO,
            may_have_ended: false,
            is_offered: false,
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
            Phase::Running { timeout_at } => {
                Some(timeout_at.map_or(self.look_at, |at| at.min(self.look_at)))
            }
            Phase::AskedToEnd { kill_at } => Some(kill_at.min(self.look_at)),
            Phase::Killed => None,
            Phase::Draining { until, .. } => Some(until),
        }
    }

    /// Whether its use is to be looked at.
    pub(super) fn wants_a_look(&self, now: Instant) -> bool {
        let runs = matches!(self.phase, Phase::Running { .. } | Phase::AskedToEnd { .. });
        runs && self.look_at <= now
    }

    /// Looks at what its processes use, and ends them when that is too much.
    pub(super) fn look(&mut self, now: Instant) {
        let roots = self.orphans.iter().copied().chain([self.group]);
        let excess = self.meter.look(roots, self.reaped);
        self.look_at = now + self.meter.wait();
        if let Some(excess) = excess {
            if self.cause == EndCause::Itself {
                self.cause = EndCause::OverLimit(excess);
            }
            self.kill();
        }
    }

    /// Whether its leader has ended and only what it left is waited for.
    pub(super) fn is_draining(&self) -> bool {
        matches!(self.phase, Phase::Draining { .. })
    }

    /// Whether `child` is its leader or one of its orphans.
    pub(super) fn is_known(&self, child: Pid) -> bool {
        child == self.group && !self.is_draining() || self.orphans.contains(&child)
    }

    /// Whether `orphan`, which is in `group`, is seen to descend from its leader.
    pub(super) fn is_kin(&self, orphan: Pid, group: Option<Pid>) -> bool {
        group == Some(self.group) || self.meter.family().contains(&orphan)
    }

    /// Whether it has descendants that lost their parents.
    pub(super) fn has_orphans(&self) -> bool {
        !self.orphans.is_empty()
    }

    /// Reads what is left in its pipes.
    pub(super) fn read_rest(&mut self, buffer: &mut [u8], now: Timestamp) {
        while self.out.read(buffer, now) {}
        while self.err.read(buffer, now) {}
    }

    /// Has the next [`Watched::advance`] ask whether its leader has ended.
    pub(super) fn ask(&mut self) {
        self.may_have_ended = true;
    }

    /// Takes over a descendant that has lost its parent; it does not outlive the leader.
    pub(super) fn adopt(&mut self, orphan: Pid) {
        if self.is_draining() {
            orphans::kill(orphan);
        }
        self.orphans.push(orphan);
    }

    /// Reads what `source` has; whether it was output.
    pub(super) fn read(&mut self, source: Source, buffer: &mut [u8], now: Timestamp) -> bool {
        match source {
            Source::Exit => {
                self.may_have_ended = true;
                false
            }
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

    /// Reaps the descendants that lost their parents and have ended.
    pub(super) fn reap_orphans(&mut self, ledger: &mut Ledger) {
        self.orphans.retain(|orphan| !orphans::is_reaped(*orphan));
        self.reaped += ledger.reaped.more();
    }

    /// Does what is due. Returns whether only the rest of its output and of its descendants is
    /// waited for now.
    pub(super) fn advance(&mut self, now: Instant, ledger: &mut Ledger) -> bool {
        match self.phase {
            Phase::Running { timeout_at: Some(at) } if at <= now => {
                self.cause = EndCause::TimedOut;
                self.ask_to_end(self.grace, now);
            }
            Phase::AskedToEnd { kill_at } if kill_at <= now => self.kill(),
            _ => {}
        }
        let may_have_ended = std::mem::take(&mut self.may_have_ended) || self.needs_asking();
        if may_have_ended
            && !self.is_draining()
            && let Some(exit) = self.take_exit()
        {
            self.reaped += ledger.reaped.more();
            self.blame_machine(exit, ledger);
            self.phase = Phase::Draining { exit, until: now + DRAIN };
        }
        if !self.is_draining() {
            self.offer();
        }
        self.is_draining()
    }

    /// Has the kernel choose it before the server when memory runs out. Not at its start: many are
    /// over by the next look.
    pub(super) fn offer(&mut self) {
        if !std::mem::replace(&mut self.is_offered, true) {
            kernel::offer_to_oom_killer(self.group);
        }
    }

    /// Notes that the kernel ended the process for want of memory, if that is what happened.
    fn blame_machine(&mut self, exit: Exit, ledger: &mut Ledger) {
        let was_killed = exit.signal == Some(Signal::KILL.as_raw());
        if self.cause == EndCause::Itself && was_killed && ledger.has_new_kill() {
            let peak = ByteSize(self.meter.peak());
            self.cause = EndCause::OverLimit(Excess::MachineMemory { peak });
        }
    }

    /// How the process ended, once that, its output and its descendants' end are complete.
    pub(super) fn completed(&mut self, now: Instant, wall_clock: Timestamp) -> Option<Ended> {
        match self.phase {
            Phase::Draining { exit, until } if until <= now || self.is_drained() => {
                Some(self.ended(exit, wall_clock))
            }
            _ => None,
        }
    }

    fn is_drained(&self) -> bool {
        self.out.pipe().is_none() && self.err.pipe().is_none() && self.orphans.is_empty()
    }

    /// How the leader ended, if it has.
    ///
    /// What is left of the group is killed first, while the unreaped leader still keeps the
    /// group's id from being given away.
    fn take_exit(&mut self) -> Option<Exit> {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match rustix::process::waitid(WaitId::Pid(self.group), look) {
            Ok(None) => return None,
            Ok(Some(_)) => {
                self.signal(Signal::KILL);
                self.orphans.iter().copied().for_each(orphans::kill);
            }
            Err(_) => return Some(Exit::default()),
        }
        match self.child.try_wait() {
            Ok(status) => {
                status.map(|status| Exit { code: status.code(), signal: status.signal() })
            }
            Err(_) => Some(Exit::default()),
        }
    }

    /// The end of its standard error, or of its standard output where that is empty.
    fn tail(&self) -> String {
        let tails = [&self.err, &self.out].map(Output::tail);
        tails.into_iter().find(|tail| !tail.is_empty()).unwrap_or_default()
    }

    fn ended(&mut self, exit: Exit, wall_clock: Timestamp) -> Ended {
        let dropped = self.out.finish(wall_clock) + self.err.finish(wall_clock);
        Ended {
            usage: StepUsage {
                cpu_micros: u64::try_from(self.reaped.as_micros()).unwrap_or(u64::MAX),
                peak_memory_bytes: self.meter.peak(),
                output_dropped_bytes: dropped,
            },
            code: exit.code,
            signal: exit.signal,
            cause: self.cause,
            tail: self.tail(),
            log_error: self.out.error().or(self.err.error()).map(str::to_owned),
        }
    }
}

fn start(id: u64, spec: &ProcessSpec) -> io::Result<Child> {
    let mut command = Command::new(&spec.program);
    if !spec.leads_session {
        // The leader of a group cannot become that of a session.
        command.process_group(0);
    }
    command
        .args(&spec.args)
        .env_clear()
        .envs(&spec.env)
        .env(orphans::OWNER, orphans::name(rustix::process::getpid(), id))
        .current_dir(&spec.cwd)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

fn is_out_of_files(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::MFILE.raw_os_error())
}
