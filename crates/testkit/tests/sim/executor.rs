//! Virtual time, and threads of processes that are polled in an order which the seed decides.
//!
//! One real thread polls one simulated thread at a time. Time stands still while anything can go on
//! and then jumps to the next timer, so an hour costs what happens in it.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::future::BoxFuture;
use millstream_model::ContentHasher;
use millstream_testkit::chance::Chance;

/// A process of the simulated machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ProcessId(pub(crate) u64);

/// What one step of the executor was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A thread went on.
    Polled,
    /// Nothing is left that could ever go on.
    Idle,
}

/// Polls the threads.
pub(crate) struct Executor {
    machines: Machines,
    threads: BTreeMap<u64, Thread>,
    next_thread: u64,
    chance: Chance,
    trace: ContentHasher,
    last: Option<ProcessId>,
}

struct Thread {
    process: ProcessId,
    future: BoxFuture<'static, ()>,
}

/// What threads see of the executor: the time, and how to start and end each other.
#[derive(Clone, Default)]
pub(crate) struct Machines(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    now: Duration,
    next_timer: u64,
    timers: BTreeMap<(Duration, u64), Waker>,
    ready: Ready,
    spawned: Vec<Thread>,
    next_process: u64,
    alive: BTreeSet<ProcessId>,
    doomed: BTreeSet<ProcessId>,
    paused: BTreeMap<ProcessId, Duration>,
}

/// The threads that want to go on.
type Ready = Arc<Mutex<BTreeSet<u64>>>;

struct ThreadWaker {
    thread: u64,
    ready: Ready,
}

impl Wake for ThreadWaker {
    fn wake(self: Arc<Self>) {
        lock(&self.ready).insert(self.thread);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Executor {
    pub(crate) fn new(chance: Chance) -> Self {
        Self {
            machines: Machines::default(),
            threads: BTreeMap::new(),
            next_thread: 0,
            chance,
            trace: ContentHasher::default(),
            last: None,
        }
    }

    pub(crate) fn machines(&self) -> Machines {
        self.machines.clone()
    }

    /// The process that went on last: it is in the middle of something.
    pub(crate) fn last(&self) -> Option<ProcessId> {
        self.last
    }

    /// Adds to what two runs of one seed must have in common.
    pub(crate) fn trace(&mut self, what: &[u8]) {
        self.trace.update(what);
    }

    /// The hash of the trace so far.
    pub(crate) fn trace_hash(&self) -> millstream_model::ContentHash {
        self.trace.finish()
    }

    /// Lets one thread go on, or time pass until one can.
    pub(crate) fn step(&mut self) -> Step {
        loop {
            self.reap();
            self.adopt();
            let runnable = self.runnable();
            if runnable.is_empty() {
                if !self.machines.pass_time() {
                    return Step::Idle;
                }
                continue;
            }
            let place = self.chance.below(runnable.len() as u64);
            let thread = runnable[usize::try_from(place).unwrap()];
            self.poll(thread);
            return Step::Polled;
        }
    }

    fn poll(&mut self, id: u64) {
        let ready = Arc::clone(&lock(&self.machines.0).ready);
        lock(&ready).remove(&id);
        let now = self.machines.elapsed();
        self.trace(&id.to_le_bytes());
        self.trace(&now.as_micros().to_le_bytes());
        let Some(thread) = self.threads.get_mut(&id) else { return };
        self.last = Some(thread.process);
        let waker = Waker::from(Arc::new(ThreadWaker { thread: id, ready }));
        if thread.future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            let process = thread.process;
            self.threads.remove(&id);
            // A process ends with the last of its threads, and never comes back.
            let more = self.threads.values().any(|thread| thread.process == process);
            let mut state = lock(&self.machines.0);
            if !more && !state.spawned.iter().any(|thread| thread.process == process) {
                state.alive.remove(&process);
            }
        }
    }

    fn runnable(&self) -> Vec<u64> {
        let state = lock(&self.machines.0);
        let ready = lock(&state.ready);
        let runs = |id: &&u64| {
            let thread = self.threads.get(id);
            thread.is_some_and(|thread| !state.paused.contains_key(&thread.process))
        };
        ready.iter().filter(runs).copied().collect()
    }

    /// Ends the threads of processes that are gone; what they held is dropped.
    fn reap(&mut self) {
        let doomed = std::mem::take(&mut lock(&self.machines.0).doomed);
        if doomed.is_empty() {
            return;
        }
        let dead: Vec<u64> = self
            .threads
            .iter()
            .filter(|(_, thread)| doomed.contains(&thread.process))
            .map(|(id, _)| *id)
            .collect();
        for id in dead {
            self.threads.remove(&id);
        }
        let orphans: Vec<Thread> = {
            let mut state = lock(&self.machines.0);
            state.alive.retain(|process| !doomed.contains(process));
            state.paused.retain(|process, _| !doomed.contains(process));
            let spawned = std::mem::take(&mut state.spawned);
            let (orphans, rest) =
                spawned.into_iter().partition(|thread| doomed.contains(&thread.process));
            state.spawned = rest;
            orphans
        };
        drop(orphans);
    }

    fn adopt(&mut self) {
        let spawned = std::mem::take(&mut lock(&self.machines.0).spawned);
        let ready = Arc::clone(&lock(&self.machines.0).ready);
        for thread in spawned {
            self.next_thread += 1;
            lock(&ready).insert(self.next_thread);
            self.threads.insert(self.next_thread, thread);
        }
    }
}

impl Machines {
    /// A new process without threads.
    pub(crate) fn boot(&self) -> ProcessId {
        let mut state = lock(&self.0);
        state.next_process += 1;
        let process = ProcessId(state.next_process);
        state.alive.insert(process);
        process
    }

    /// Starts a thread in a process, unless the process is gone.
    pub(crate) fn spawn(
        &self,
        process: ProcessId,
        future: impl Future<Output = ()> + Send + 'static,
    ) {
        let mut state = lock(&self.0);
        if state.alive.contains(&process) && !state.doomed.contains(&process) {
            state.spawned.push(Thread { process, future: Box::pin(future) });
        }
    }

    /// Ends a process as `kill -9` does: no thread of it goes on.
    pub(crate) fn kill(&self, process: ProcessId) {
        lock(&self.0).doomed.insert(process);
    }

    /// Stops a process for a while as SIGSTOP does; time passes without it.
    pub(crate) fn pause(&self, process: ProcessId, length: Duration) {
        let mut state = lock(&self.0);
        let until = state.now + length;
        if state.alive.contains(&process) {
            state.paused.insert(process, until);
        }
    }

    /// Lets every process go on.
    pub(crate) fn resume_all(&self) {
        lock(&self.0).paused.clear();
    }

    pub(crate) fn is_alive(&self, process: ProcessId) -> bool {
        let state = lock(&self.0);
        state.alive.contains(&process) && !state.doomed.contains(&process)
    }

    /// The virtual time since the simulation began.
    pub(crate) fn elapsed(&self) -> Duration {
        lock(&self.0).now
    }

    /// Waits.
    pub(crate) fn sleep(&self, length: Duration) -> Sleep {
        let until = self.elapsed() + length;
        Sleep { machines: self.clone(), until, timer: None }
    }

    /// Moves time to the next timer or the end of the next pause; false when there is neither.
    fn pass_time(&self) -> bool {
        let mut state = lock(&self.0);
        let timer = state.timers.keys().next().map(|(at, _)| *at);
        let pause = state.paused.values().min().copied();
        let next = match (timer, pause) {
            (Some(timer), Some(pause)) => timer.min(pause),
            (Some(at), None) | (None, Some(at)) => at,
            (None, None) => return false,
        };
        state.now = state.now.max(next);
        let now = state.now;
        state.paused.retain(|_, until| *until > now);
        let later = state.timers.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut state.timers, later);
        drop(state);
        due.into_values().for_each(Waker::wake);
        true
    }
}

/// A wait in virtual time.
pub(crate) struct Sleep {
    machines: Machines,
    until: Duration,
    timer: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let machines = self.machines.clone();
        let mut state = lock(&machines.0);
        // Every wait waits once, so that whoever waits for nothing again and again is seen to.
        if state.now >= self.until && self.timer.is_some() {
            return Poll::Ready(());
        }
        let timer = *self.timer.get_or_insert_with(|| {
            state.next_timer += 1;
            state.next_timer
        });
        if state.now >= self.until {
            context.waker().wake_by_ref();
        } else {
            state.timers.insert((self.until, timer), context.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            lock(&self.machines.0).timers.remove(&(self.until, timer));
        }
    }
}
