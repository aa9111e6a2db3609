//! One simulation: servers, daemons, workers and one database, and whoever breaks them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use millstream_control::{
    Control, LocationChange, LostWatch, Patience, QueueLimits, QueueWatch, Seams,
};
use millstream_daemon::{Settings as DaemonSettings, queue_pass};
use millstream_model::{Cause, ContentHash, RetryFrom, RunRequest, TenantId};
use millstream_store::{Sql, Store};
use millstream_testkit::chance::{Chance, SeededEntropy};
use millstream_testkit::definitions::{file_of_jobs, live, with_tenants};

use crate::clock::{Measure, ProcessClock};
use crate::executor::{Executor, Machines, ProcessId, Step};
use crate::faults::{Faults, FaultyDatabase, Rates, strikes};
use crate::jobs;
use crate::launcher::{Launcher, Launches};
use crate::network::Servers;
use crate::steps::Effects;
use crate::witness::{Witness, at_once};

/// The tenants of every simulation.
const TENANTS: [&str; 2] = ["jfk", "lga"];

/// When a worker or a daemon counts as gone.
const PATIENCE: Patience = Patience::new(Duration::from_secs(15), 3);

/// How long after everything is well again every run must be over.
const LIVENESS: Duration = Duration::from_mins(30);

/// Steps in which every simulation must be over; more are somebody who turns in circles.
const STEPS_MAX: u64 = 500_000;

/// What a simulation is made of.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// How often what goes wrong.
    pub(crate) rates: Rates,
    /// Whom accidents meet.
    pub(crate) victims: Victims,
    /// How many runs are asked for.
    pub(crate) runs: u64,
    /// How many steps long things go wrong.
    pub(crate) steps: u64,
    /// What there is too little of.
    pub(crate) scarce: Scarce,
    /// What servers and daemons measure durations by.
    pub(crate) measure: Measure,
    /// Mistakes in the product, planted to be found.
    pub(crate) mistakes: &'static [&'static Sql],
}

/// What runs wait for. Where places in the queue are scarce, nothing else is seen to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scarce {
    /// A few runs of all tenants may be in progress.
    Places,
    /// All runs have the same label, of which each tenant has one or two; nothing else limits them.
    Labels,
}

/// The processes that are killed and stopped between two steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Victims {
    /// Workers, servers and daemons.
    Anybody,
    /// Workers alone.
    Workers,
}

/// What came of a simulation in which all held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The hash of everything that happened, in order.
    pub(crate) trace: ContentHash,
    /// Runs that there were.
    pub(crate) runs: usize,
    /// Workers that were lost.
    pub(crate) lost: usize,
    /// Steps, after each of which everything was checked.
    pub(crate) steps: u64,
    /// Attempts that were seen to hold slots.
    pub(crate) holders: usize,
    /// How often a worker was told that another one has its run.
    pub(crate) refused: u64,
}

/// A simulation in which something did not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "seed {seed}, step {step}, after {elapsed:?}: {what}; \
     repeat with `MILLSTREAM_SIM_STEPS={steps} cargo xtask sim {seed}`"
)]
pub(crate) struct Broken {
    pub(crate) seed: u64,
    pub(crate) steps: u64,
    pub(crate) step: u64,
    pub(crate) elapsed: Duration,
    pub(crate) what: String,
}

/// Runs a simulation to its end.
pub(crate) fn simulate(plan: &Plan) -> Result<Outcome, Broken> {
    World::new(plan).run()
}

struct World<'a> {
    plan: &'a Plan,
    executor: Executor,
    machines: Machines,
    chance: Chance,
    store: Store,
    faults: Faults,
    servers: Servers,
    launcher: Launcher,
    daemons: Vec<ProcessId>,
    daemons_wanted: u64,
    clocks: Vec<Arc<ProcessClock>>,
    limits: QueueLimits,
    asked: u64,
    witness: Witness,
    step: u64,
}

impl<'a> World<'a> {
    fn new(plan: &'a Plan) -> Self {
        let mut chance = Chance::new(plan.seed);
        let executor = Executor::new(chance.fork());
        let machines = executor.machines();
        let store = Store::in_memory().unwrap();
        let faults = Faults::new(plan.rates, plan.mistakes);
        let places = u32::try_from(1 + chance.below(4)).unwrap();
        let limits = QueueLimits::of((plan.scarce == Scarce::Places).then_some(places));
        let servers = Servers::default();
        let launcher = Launcher {
            machines: machines.clone(),
            servers: servers.clone(),
            faults: faults.clone(),
            effects: Effects::default(),
            seed: plan.seed,
            state: Arc::new(Mutex::new(Launches::new(chance.fork()))),
        };
        let witness = Witness::new(store.clone(), limits, &TENANTS);
        let daemons_wanted = 1 + chance.below(5);
        let mut world = Self {
            plan,
            executor,
            machines,
            chance,
            store,
            faults,
            servers,
            launcher,
            daemons_wanted,
            limits,
            witness,
            daemons: Vec::new(),
            clocks: Vec::new(),
            asked: 0,
            step: 0,
        };
        world.define_jobs();
        world
    }

    fn define_jobs(&mut self) {
        let jobs = (0..4).map(|n| jobs::random(&format!("job{n}"), 7, &mut self.chance)).collect();
        let file = jobs::limited(with_tenants(file_of_jobs(jobs), &TENANTS), &mut self.chance);
        self.witness.set_limits(&file);
        let control = self.control_over(self.store.clone());
        let location = "local".parse().unwrap();
        at_once(control.add_location(&location, "/definitions")).unwrap();
        let files = vec![live("jobs.yaml", file)];
        let change = LocationChange { location, seen_version: 0, files, stale: None };
        at_once(control.apply_scan(&change)).unwrap();
    }

    fn control_over(&mut self, store: Store) -> Control {
        let origin = Duration::from_millis(self.chance.below(1_000_000));
        let clock = ProcessClock::new(self.machines.clone(), 0, origin);
        let clock = Arc::new(clock.measuring_by(self.plan.measure));
        self.clocks.push(Arc::clone(&clock));
        let entropy = Arc::new(SeededEntropy::new(self.chance.draw()));
        Control::new(store, Seams { clock, entropy })
    }

    /// A process with its own way to the database.
    fn boot(&mut self) -> (ProcessId, Control) {
        let process = self.machines.boot();
        let database = FaultyDatabase {
            machines: self.machines.clone(),
            process,
            faults: self.faults.clone(),
            chance: Mutex::new(self.chance.fork()),
        };
        let store = self.store.interposed(Arc::new(database));
        (process, self.control_over(store))
    }

    fn boot_server(&mut self) {
        let (process, control) = self.boot();
        // A server lives on though nobody asks it.
        self.machines.spawn(process, std::future::pending());
        self.servers.add(process, control);
    }

    fn boot_daemon(&mut self) {
        let (process, control) = self.boot();
        self.daemons.push(process);
        let name = format!("daemon-{}", process.0);
        let settings = DaemonSettings {
            name,
            limits: self.limits,
            patience: PATIENCE,
            scan_interval: Duration::from_secs(1),
            scans: false,
            ticks: false,
            runs: true,
        };
        let machines = self.machines.clone();
        let (queue, launcher) = (control.clone(), self.launcher.clone());
        self.machines.spawn(process, {
            let machines = machines.clone();
            async move {
                let mut watch = QueueWatch::default();
                loop {
                    // A pass that fails is repeated, as the daemon does.
                    queue_pass(&queue, &launcher, &mut watch, &settings).await.ok();
                    machines.sleep(Duration::from_secs(1)).await;
                }
            }
        });
        self.machines.spawn(process, async move {
            let mut watch = LostWatch::default();
            loop {
                control.recover_lost(&mut watch, PATIENCE).await.ok();
                machines.sleep(PATIENCE.time_to_live / 3).await;
            }
        });
    }

    fn run(mut self) -> Result<Outcome, Broken> {
        self.restart_all();
        while self.step < self.plan.steps {
            self.meddle();
            self.go_on()?;
        }
        self.faults.heal();
        self.machines.resume_all();
        self.restart_all();
        while self.asked < self.plan.runs {
            self.ask_for_a_run();
        }
        let healed = self.machines.elapsed();
        // The requests that were just made are runs once the witness has seen them.
        for _ in 0..1_000 {
            self.go_on()?;
        }
        while !self.witness.is_over() || !self.launcher.workers().is_empty() {
            self.go_on()?;
            if self.machines.elapsed() > healed + LIVENESS {
                let what = format!("no end in sight: {}", self.witness.unfinished());
                return Err(self.broken(what));
            }
        }
        let (runs, lost) = self.witness.counts();
        let (trace, holders) = (self.executor.trace_hash(), self.witness.slots.holders());
        let refused = self.faults.refused();
        Ok(Outcome { trace, runs, lost, steps: self.step, holders, refused })
    }

    /// One step, after which everything must hold.
    fn go_on(&mut self) -> Result<(), Broken> {
        self.step += 1;
        if self.executor.step() == Step::Idle {
            // Whatever could go on has died.
            self.restart_all();
        } else if self.step > STEPS_MAX {
            return Err(self.broken("it turns in circles".to_owned()));
        }
        if let Some(what) = self.launcher.effects.broken() {
            return Err(self.broken(what));
        }
        match self.witness.check() {
            Ok(seen) => {
                self.executor.trace(seen.as_bytes());
                Ok(())
            }
            Err(what) => Err(self.broken(what)),
        }
    }

    fn broken(&self, what: String) -> Broken {
        let Plan { seed, steps, .. } = *self.plan;
        Broken { seed, steps, step: self.step, elapsed: self.machines.elapsed(), what }
    }

    /// What people and accidents do between two steps.
    fn meddle(&mut self) {
        let rates = self.faults.rates();
        let left = self.plan.runs - self.asked;
        if left > 0 && self.chance.happens(self.plan.runs, self.plan.steps / 2) {
            self.ask_for_a_run();
        }
        if strikes(&mut self.chance, rates.cancel) {
            self.cancel_a_run();
        }
        if strikes(&mut self.chance, rates.retry) {
            self.retry_a_run();
        }
        if strikes(&mut self.chance, rates.kill)
            && let Some(process) = self.somebody()
        {
            self.machines.kill(process);
        }
        if strikes(&mut self.chance, rates.pause)
            && let Some(process) = self.somebody()
        {
            let length = Duration::from_millis(self.chance.below(90_000));
            self.machines.pause(process, length);
        }
        if strikes(&mut self.chance, rates.outage) {
            let length = Duration::from_millis(self.chance.below(60_000));
            self.faults.start_outage(self.machines.elapsed() + length);
        }
        if strikes(&mut self.chance, rates.jump) {
            let hour = 3_600_000_000;
            let offset = i64::try_from(self.chance.below(2 * hour)).unwrap() - 3_600_000_000;
            let place = self.chance.below(self.clocks.len() as u64);
            self.clocks[usize::try_from(place).unwrap()].jump_to(offset);
        }
        if self.chance.happens(1, 100) {
            self.restart_all();
        }
    }

    /// Some process that lives: one that is in the middle of something, or a worker, more often
    /// than the rest.
    fn somebody(&mut self) -> Option<ProcessId> {
        if self.plan.victims == Victims::Anybody && self.chance.happens(1, 2) {
            return self.executor.last();
        }
        let workers = self.launcher.workers();
        let others = self.servers.alive(&self.machines).into_iter().map(|(process, _)| process);
        let others: Vec<ProcessId> = others.chain(self.daemons.iter().copied()).collect();
        let from_workers = self.plan.victims == Victims::Workers || self.chance.happens(2, 3);
        let from = if from_workers { workers } else { others };
        let place = self.chance.below(from.len() as u64);
        from.get(usize::try_from(place).unwrap()).copied()
    }

    /// Starts again what has died.
    fn restart_all(&mut self) {
        let machines = self.machines.clone();
        self.daemons.retain(|process| machines.is_alive(*process));
        while (self.daemons.len() as u64) < self.daemons_wanted {
            self.boot_daemon();
        }
        while self.servers.alive(&self.machines).len() < 2 {
            self.boot_server();
        }
    }

    fn ask_for_a_run(&mut self) {
        let Some((process, control)) = self.a_server() else { return };
        self.asked += 1;
        let labels = if self.plan.scarce == Scarce::Labels { 1 } else { 3 };
        let tenant: TenantId =
            TENANTS[usize::try_from(self.chance.below(2)).unwrap()].parse().unwrap();
        let request = RunRequest {
            tenant,
            cause: Cause::User { name: "ana".to_owned() },
            partition: None,
            context: serde_json::Map::new(),
            tags: [
                ("dagster/priority".to_owned(), self.chance.below(5).to_string()),
                (jobs::LIMITED.to_owned(), format!("Q{}", self.chance.below(labels))),
            ]
            .into(),
        };
        let job = format!("job{}", self.chance.below(4)).parse().unwrap();
        self.machines.spawn(process, async move {
            // A request that fails is the caller's to repeat.
            control.launch_job(&request, &job).await.ok();
        });
    }

    fn cancel_a_run(&mut self) {
        let live = self.witness.live();
        let place = self.chance.below(live.len() as u64);
        let Some((tenant, run)) = live.get(usize::try_from(place).unwrap()).cloned() else {
            return;
        };
        let Some((process, control)) = self.a_server() else { return };
        self.machines.spawn(process, async move {
            control.cancel(&tenant, run, "ana").await.ok();
        });
    }

    /// Two people see the same failed run, and both want it to be tried again.
    fn retry_a_run(&mut self) {
        let failed = self.witness.failed();
        let place = self.chance.below(failed.len() as u64);
        let Some((tenant, run)) = failed.get(usize::try_from(place).unwrap()).cloned() else {
            return;
        };
        for person in ["ana", "bo"] {
            let Some((process, control)) = self.a_server() else { return };
            let tenant = tenant.clone();
            self.machines.spawn(process, async move {
                // One of them is told that the run was retried.
                control.retry_run(&tenant, run, RetryFrom::Start, person).await.ok();
            });
        }
    }

    fn a_server(&mut self) -> Option<(ProcessId, Control)> {
        let servers = self.servers.alive(&self.machines);
        let place = self.chance.below(servers.len() as u64);
        servers.get(usize::try_from(place).unwrap()).cloned()
    }
}
