//! The worker's handle of its supervisor.
//!
//! Orders go into its pipe from wherever they are given; a task hears what it says, so that a full
//! pipe one way never stops the other.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{oneshot, watch};

use super::orders::Orders;
use super::orphans;
use super::protocol::{Ended, Notice, Order, ProcessSpec};

/// A supervisor, started when the first process is wanted and again should it ever be lost.
///
/// Clones are handles of the same one. When the last handle and the last [`Process`] are gone, the
/// child ends and takes what is left of its processes with it.
#[derive(Debug, Clone)]
pub struct Supervisor {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    program: PathBuf,
    args: Vec<String>,
    next_id: AtomicU64,
    live: tokio::sync::Mutex<Option<Live>>,
    /// How many children of it and of the others of its family have not ended.
    children: Arc<watch::Sender<usize>>,
}

/// How long [`Supervisor::end`] waits: longer than a supervisor takes that can kill its processes.
const END_MAX: Duration = Duration::from_secs(5);

/// A running supervisor.
#[derive(Debug, Clone)]
struct Live {
    orders: Orders,
    processes: Arc<Mutex<Processes>>,
}

/// The processes that the supervisor is to report about.
#[derive(Debug, Default)]
struct Processes {
    is_lost: bool,
    all: HashMap<u64, Watch>,
}

#[derive(Debug)]
struct Watch {
    started: Option<oneshot::Sender<Result<i32, String>>>,
    ended: Option<oneshot::Sender<Ended>>,
    group: Option<Pid>,
}

/// A process was not started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The operating system refused; the definition or the machine has to change.
    #[error("cannot start {program:?} in {}: {message}", cwd.display())]
    Refused {
        /// The program.
        program: String,
        /// Where it should have run.
        cwd: PathBuf,
        /// The reason in words.
        message: String,
    },
    /// The supervisor itself could not be started.
    #[error("the supervisor of steps, {}, cannot be started", program.display())]
    NoSupervisor {
        /// Its program.
        program: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The supervisor ended while it was asked.
    #[error(transparent)]
    Lost(#[from] SupervisorLost),
}

/// The supervisor ended, and all its processes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the supervisor of steps was lost, and its processes were killed")]
pub struct SupervisorLost;

impl Supervisor {
    /// A supervisor that runs as `program` with `args`, not started yet.
    pub fn new(program: PathBuf, args: Vec<String>) -> Self {
        Self::in_family(program, args, Arc::default())
    }

    /// Another supervisor of the same program and family, not started yet.
    #[must_use]
    pub fn another(&self) -> Self {
        let Shared { program, args, children, .. } = &*self.shared;
        Self::in_family(program.clone(), args.clone(), Arc::clone(children))
    }

    fn in_family(program: PathBuf, args: Vec<String>, children: Arc<watch::Sender<usize>>) -> Self {
        let (next_id, live) = (AtomicU64::new(1), tokio::sync::Mutex::new(None));
        Self { shared: Arc::new(Shared { program, args, next_id, live, children }) }
    }

    /// Ends all processes at once, as the end of this process would, and waits until they are gone:
    /// its own, and those of its family whose handles are gone. It is started again when the next
    /// process is wanted.
    pub async fn end(&self) {
        if let Some(live) = self.shared.live.lock().await.take() {
            // One that is gone has no processes left.
            live.orders.give(&Order::End).ok();
        }
        let mut children = self.shared.children.subscribe();
        let ended = children.wait_for(|count| *count == 0);
        if tokio::time::timeout(END_MAX, ended).await.is_err() {
            tracing::warn!("processes of steps could not be killed");
        }
    }

    /// Starts a process. It is ended when the returned handle is dropped.
    pub async fn spawn(&self, spec: ProcessSpec) -> Result<Process, SpawnError> {
        let live = self.live().await?;
        live.orders.has_room().await;
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let (started_sender, started) = oneshot::channel();
        let (ended_sender, ended) = oneshot::channel();
        let watch = Watch { started: Some(started_sender), ended: Some(ended_sender), group: None };
        let program = spec.program.clone();
        let cwd = spec.cwd.clone();
        {
            let mut processes = lock(&live.processes);
            if processes.is_lost {
                return Err(SupervisorLost.into());
            }
            processes.all.insert(id, watch);
        }
        let orders = live.orders.clone();
        // From here on a dropped future ends the process, whether or not it has started yet.
        let mut process = Process { id, pid: 0, ended, known: None, orders };
        let order = Order::Spawn { id, spec: Box::new(spec) };
        live.orders.give(&order).map_err(|_| SupervisorLost)?;
        match started.await.map_err(|_| SupervisorLost)? {
            Ok(pid) => {
                process.pid = pid;
                Ok(process)
            }
            Err(message) => Err(SpawnError::Refused { program, cwd, message }),
        }
    }

    async fn live(&self) -> Result<Live, SpawnError> {
        let mut live = self.shared.live.lock().await;
        if let Some(live) = &*live
            && !lock(&live.processes).is_lost
        {
            return Ok(live.clone());
        }
        let Shared { program, args, children, .. } = &*self.shared;
        let started = start(program, args, children)
            .map_err(|source| SpawnError::NoSupervisor { program: program.clone(), source })?;
        *live = Some(started.clone());
        Ok(started)
    }
}

/// A process of a step.
#[derive(Debug)]
pub struct Process {
    id: u64,
    pid: i32,
    ended: oneshot::Receiver<Ended>,
    known: Option<Ended>,
    orders: Orders,
}

impl Process {
    /// Its process id, which is also its group's.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Asks its group to end, and has it killed after `grace`.
    pub fn stop(&self, grace: Duration) {
        // A supervisor that is gone has killed the group already.
        self.orders.give(&Order::Stop { id: self.id, grace }).ok();
    }

    /// Waits for its end. Dropping the future and calling again is fine.
    pub async fn ended(&mut self) -> Result<Ended, SupervisorLost> {
        if let Some(ended) = &self.known {
            return Ok(ended.clone());
        }
        let ended = (&mut self.ended).await.map_err(|_| SupervisorLost)?;
        Ok(self.known.insert(ended).clone())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.known.is_none() {
            self.stop(Duration::ZERO);
        }
    }
}

fn lock(processes: &Mutex<Processes>) -> MutexGuard<'_, Processes> {
    processes.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start(
    program: &PathBuf,
    args: &[String],
    children: &Arc<watch::Sender<usize>>,
) -> io::Result<Live> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // Its own group: a Ctrl-C for the worker shall not end it before it ended the steps.
        .process_group(0)
        .spawn()?;
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::Error::other("the supervisor has no pipes"));
    };
    let orders = Orders::into(stdin)?;
    let processes = Arc::new(Mutex::new(Processes::default()));
    children.send_modify(|count| *count += 1);
    let (notices, children) =
        (receive_notices(child, stdout, Arc::clone(&processes)), Arc::clone(children));
    tokio::spawn(async move {
        notices.await;
        children.send_modify(|count| *count = count.saturating_sub(1));
    });
    Ok(Live { orders, processes })
}

/// Hands notices to those who wait for them, until the supervisor ends.
async fn receive_notices(mut child: Child, stdout: ChildStdout, processes: Arc<Mutex<Processes>>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line) {
            Ok(notice) => lock(&processes).take(notice),
            Err(error) => {
                tracing::error!(%error, line, "the supervisor said something unknown");
                break;
            }
        }
    }
    lock(&processes).lose();
    if let Some(supervisor) = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
        tokio::task::spawn_blocking(move || orphans::end_all_of(supervisor)).await.ok();
    }
    // Only now: who hears it may try its step again, and shall not meet what the first try left.
    lock(&processes).tell_all();
    if let Err(error) = child.wait().await {
        tracing::error!(%error, "the supervisor's end cannot be awaited");
    }
}

impl Processes {
    fn take(&mut self, notice: Notice) {
        match notice {
            Notice::Started { id, pid } => {
                if let Some(watch) = self.all.get_mut(&id) {
                    watch.group = Pid::from_raw(pid);
                    // A caller that has stopped waiting also has ordered the process's end.
                    watch.started.take().and_then(|sender| sender.send(Ok(pid)).ok());
                }
            }
            Notice::Refused { id, message } => {
                if let Some(watch) = self.all.remove(&id) {
                    watch.started.and_then(|sender| sender.send(Err(message)).ok());
                }
            }
            Notice::Ended { id, ended } => {
                if let Some(watch) = self.all.remove(&id) {
                    watch.ended.and_then(|sender| sender.send(ended).ok());
                }
            }
        }
    }

    /// The supervisor is gone. One that was killed could not end its groups, so that is done here.
    fn lose(&mut self) {
        self.is_lost = true;
        for group in self.all.values().filter_map(|watch| watch.group) {
            rustix::process::kill_process_group(group, Signal::KILL).ok();
        }
    }

    /// Has those who wait hear that the supervisor was lost, which the end of their senders says.
    fn tell_all(&mut self) {
        self.all.clear();
    }
}
