//! Launches that fail, and launches whose answer is lost; each worker is a process of its own.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use millstream_launch::{LaunchError, RunLauncher, WorkerName};
use millstream_model::ClaimedRun;
use millstream_model::worker_api::RunToken;
use millstream_testkit::chance::Chance;
use millstream_worker::{Canceler, ControlPlane, Entropy, Seams, WorkerSettings, drive};

use crate::clock::ProcessClock;
use crate::executor::{Machines, ProcessId};
use crate::faults::{Faults, strikes};
use crate::network::{Network, Servers};
use crate::steps::{Effects, SimulatedSteps};

/// Where workers run.
#[derive(Clone)]
pub(crate) struct Launcher {
    pub(crate) machines: Machines,
    pub(crate) servers: Servers,
    pub(crate) faults: Faults,
    pub(crate) effects: Effects,
    pub(crate) seed: u64,
    pub(crate) state: Arc<Mutex<Launches>>,
}

/// What was launched.
pub(crate) struct Launches {
    chance: Chance,
    names: BTreeSet<WorkerName>,
    workers: Vec<ProcessId>,
}

impl Launches {
    pub(crate) fn new(chance: Chance) -> Self {
        Self { chance, names: BTreeSet::new(), workers: Vec::new() }
    }
}

impl Launcher {
    fn state(&self) -> MutexGuard<'_, Launches> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The workers that live.
    pub(crate) fn workers(&self) -> Vec<ProcessId> {
        let mut state = self.state();
        state.workers.retain(|process| self.machines.is_alive(*process));
        state.workers.clone()
    }

    async fn launch(&self, run: ClaimedRun) -> Result<WorkerName, LaunchError> {
        let (takes, fails, answer_lost) = {
            let rates = self.faults.rates();
            let chance = &mut self.state().chance;
            let longest = if strikes(chance, rates.call_slow) { 30_000 } else { 300 };
            let takes = Duration::from_millis(chance.below(longest));
            let fails = strikes(chance, rates.launch_fails);
            (takes, fails, strikes(chance, rates.launch_answer_lost))
        };
        let name = WorkerName::of(&run);
        let failed = |what: &'static str| LaunchError::Process {
            name: name.clone(),
            what,
            source: std::io::Error::other("the simulation says so"),
        };
        self.machines.sleep(takes).await;
        if fails {
            return Err(failed("it does not start"));
        }
        self.start(run);
        if answer_lost {
            return Err(failed("no answer came"));
        }
        Ok(name)
    }

    fn start(&self, run: ClaimedRun) {
        let chance = {
            let mut state = self.state();
            if !state.names.insert(WorkerName::of(&run)) {
                return;
            }
            state.chance.fork()
        };
        let process = self.machines.boot();
        self.state().workers.push(process);
        let worker = self.clone();
        self.machines.spawn(process, async move { worker.work(run, chance).await });
    }

    /// The body of a worker's process.
    async fn work(self, run: ClaimedRun, mut chance: Chance) {
        let skew = i64::try_from(chance.below(7_200_000_000)).unwrap() - 3_600_000_000;
        let clock = ProcessClock::new(self.machines.clone(), skew, Duration::ZERO);
        let entropy = WorkerEntropy(AtomicU64::new(chance.draw()));
        let network = Arc::new(Network {
            machines: self.machines.clone(),
            servers: self.servers.clone(),
            faults: self.faults.clone(),
            chance: Mutex::new(chance),
        });
        let Ok(assignment) = network.assignment(&run.tenant, run.run, run.epoch).await else {
            return;
        };
        let (machines, effects) = (self.machines.clone(), self.effects.clone());
        let steps = SimulatedSteps { machines, effects, seed: self.seed };
        let seams = Seams { control: network, clock: Arc::new(clock), entropy: Arc::new(entropy) };
        let settings = settings(WorkerName::of(&run).to_string());
        let (_canceler, signal) = Canceler::new();
        drive(&settings, &steps, assignment, &seams, signal).await;
    }
}

fn settings(name: String) -> WorkerSettings {
    let nowhere = || PathBuf::from("/nowhere");
    let mut settings = WorkerSettings::new(name, nowhere(), nowhere(), nowhere());
    settings.max_parallel = 2;
    settings.beat_every = Duration::from_secs(3);
    settings.outage_max = Duration::from_mins(5);
    settings
}

impl RunLauncher for Launcher {
    fn launch(
        &self,
        run: ClaimedRun,
        _token: RunToken,
    ) -> BoxFuture<'_, Result<WorkerName, LaunchError>> {
        self.launch(run).boxed()
    }

    // A worker that is not told hears it from the store.
    fn stop<'a>(&'a self, _: &'a WorkerName) -> BoxFuture<'a, ()> {
        futures_util::future::ready(()).boxed()
    }
}

/// A worker's chance, from the seed.
struct WorkerEntropy(AtomicU64);

impl Entropy for WorkerEntropy {
    fn unit(&self) -> f64 {
        let drawn = Chance::new(self.0.fetch_add(1, Ordering::Relaxed)).draw();
        f64::from(u32::try_from(drawn >> 32).unwrap()) / (f64::from(u32::MAX) + 1.0)
    }
}
