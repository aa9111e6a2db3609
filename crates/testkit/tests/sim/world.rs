//! One simulation: servers, daemons, workers and one database, and whoever breaks them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use millstream_control::{Control, LostWatch, Patience, QueueLimits, QueueWatch};
use millstream_daemon::{Settings as DaemonSettings, queue_pass};
use millstream_model::{ContentHash, RetryFrom, RunRequest, TenantId};
use millstream_store::Sql;
use millstream_testkit::chance::Chance;
use millstream_testkit::definitions::{file_of_jobs, with_tenants};

use crate::clock::Measure;
use crate::executor::{ProcessId, Step};
use crate::faults::{Faults, Rates, strikes};
use crate::jobs;
use crate::launcher::{Launcher, Launches};
use crate::network::Servers;
use crate::scene::{self, Scene};
use crate::steps::Effects;
use crate::witness::Witness;

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
    scene: Scene,
    servers: Servers,
    launcher: Launcher,
    daemons: Vec<ProcessId>,
    daemons_wanted: u64,
    limits: QueueLimits,
    asked: u64,
    witness: Witness,
    step: u64,
}

impl<'a> World<'a> {
    fn new(plan: &'a Plan) -> Self {
        let faults = Faults::new(plan.rates, plan.mistakes);
        let mut scene = Scene::new(Chance::new(plan.seed), faults, plan.measure);
        let places = u32::try_from(1 + scene.chance.below(4)).unwrap();
        let limits = QueueLimits::of((plan.scarce == Scarce::Places).then_some(places));
        let servers = Servers::default();
        let launcher = Launcher {
            machines: scene.machines.clone(),
            servers: servers.clone(),
            faults: scene.faults.clone(),
            effects: Effects::default(),
            seed: plan.seed,
            state: Arc::new(Mutex::new(Launches::new(scene.chance.fork()))),
        };
        let witness = Witness::new(scene.store.clone(), limits, &TENANTS);
        let daemons_wanted = 1 + scene.chance.below(5);
        let mut world = Self {
            plan,
            scene,
            servers,
            launcher,
            daemons_wanted,
            limits,
            witness,
            daemons: Vec::new(),
            asked: 0,
            step: 0,
        };
        world.define_jobs();
        world
    }

    fn define_jobs(&mut self) {
        let chance = &mut self.scene.chance;
        let jobs = (0..4).map(|n| jobs::random(&format!("job{n}"), 7, chance)).collect();
        let file = jobs::limited(with_tenants(file_of_jobs(jobs), &TENANTS), chance);
        self.witness.set_limits(&file);
        scene::define(&self.scene.calm(), "jobs.yaml", file);
    }

    fn boot_server(&mut self) {
        let (process, control) = self.scene.boot();
        // A server lives on though nobody asks it.
        self.scene.machines.spawn(process, std::future::pending());
        self.servers.add(process, control);
    }

    fn boot_daemon(&mut self) {
        let (process, control) = self.scene.boot();
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
        let machines = self.scene.machines.clone();
        let (queue, launcher) = (control.clone(), self.launcher.clone());
        self.scene.machines.spawn(process, {
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
        self.scene.machines.spawn(process, async move {
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
        self.scene.heal();
        self.restart_all();
        while self.asked < self.plan.runs {
            self.ask_for_a_run();
        }
        let healed = self.scene.machines.elapsed();
        // The requests that were just made are runs once the witness has seen them.
        for _ in 0..1_000 {
            self.go_on()?;
        }
        while !self.witness.is_over() || !self.launcher.workers().is_empty() {
            self.go_on()?;
            if self.scene.machines.elapsed() > healed + LIVENESS {
                let what = format!("no end in sight: {}", self.witness.unfinished());
                return Err(self.broken(what));
            }
        }
        self.witness.check_over().map_err(|what| self.broken(what))?;
        let (runs, lost) = self.witness.counts();
        let (trace, holders) = (self.scene.executor.trace_hash(), self.witness.slots.holders());
        let refused = self.scene.faults.refused();
        Ok(Outcome { trace, runs, lost, steps: self.step, holders, refused })
    }

    /// One step, after which everything must hold.
    fn go_on(&mut self) -> Result<(), Broken> {
        self.step += 1;
        if self.scene.executor.step() == Step::Idle {
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
                self.scene.executor.trace(seen.as_bytes());
                Ok(())
            }
            Err(what) => Err(self.broken(what)),
        }
    }

    fn broken(&self, what: String) -> Broken {
        let Plan { seed, steps, .. } = *self.plan;
        Broken { seed, steps, step: self.step, elapsed: self.scene.machines.elapsed(), what }
    }

    /// What people and accidents do between two steps.
    fn meddle(&mut self) {
        let rates = self.scene.faults.rates();
        let left = self.plan.runs - self.asked;
        if left > 0 && self.scene.chance.happens(self.plan.runs, self.plan.steps / 2) {
            self.ask_for_a_run();
        }
        if strikes(&mut self.scene.chance, rates.cancel) {
            self.cancel_a_run();
        }
        if strikes(&mut self.scene.chance, rates.retry) {
            self.retry_a_run();
        }
        let Self { scene, plan, launcher, servers, daemons, .. } = self;
        // Some process that lives: one that is in the middle of something, or a worker, more often
        // than the rest.
        scene.have_accidents(|scene| {
            if plan.victims == Victims::Anybody && scene.chance.happens(1, 2) {
                return scene.executor.last();
            }
            let workers = launcher.workers();
            let others = servers.alive(&scene.machines).into_iter().map(|(process, _)| process);
            let others: Vec<ProcessId> = others.chain(daemons.iter().copied()).collect();
            let from_workers = plan.victims == Victims::Workers || scene.chance.happens(2, 3);
            scene.chance.one_of(if from_workers { &workers } else { &others }).copied()
        });
        scene.set_clocks();
        if scene.chance.happens(1, 100) {
            self.restart_all();
        }
    }

    /// Starts again what has died.
    fn restart_all(&mut self) {
        let machines = &self.scene.machines;
        self.daemons.retain(|process| machines.is_alive(*process));
        while (self.daemons.len() as u64) < self.daemons_wanted {
            self.boot_daemon();
        }
        while self.servers.alive(&self.scene.machines).len() < 2 {
            self.boot_server();
        }
    }

    fn ask_for_a_run(&mut self) {
        let Some((process, control)) = self.a_server() else { return };
        self.asked += 1;
        let labels = if self.plan.scarce == Scarce::Labels { 1 } else { 3 };
        let chance = &mut self.scene.chance;
        let tenant: TenantId = chance.one_of(&TENANTS).unwrap().parse().unwrap();
        let tags = [
            ("dagster/priority".to_owned(), chance.below(5).to_string()),
            (jobs::LIMITED.to_owned(), format!("Q{}", chance.below(labels))),
        ];
        let request = RunRequest { tags: tags.into(), ..scene::request(tenant) };
        let job = format!("job{}", chance.below(4)).parse().unwrap();
        self.scene.machines.spawn(process, async move {
            // A request that fails is the caller's to repeat.
            control.launch_job(&request, &job).await.ok();
        });
    }

    fn cancel_a_run(&mut self) {
        let live = self.witness.live();
        let Some((tenant, run)) = self.scene.chance.one_of(&live).cloned() else { return };
        let Some((process, control)) = self.a_server() else { return };
        self.scene.machines.spawn(process, async move {
            control.cancel(&tenant, run, "ana").await.ok();
        });
    }

    /// Two people see the same failed run, and both want it to be tried again.
    fn retry_a_run(&mut self) {
        let failed = self.witness.failed();
        let Some((tenant, run)) = self.scene.chance.one_of(&failed).cloned() else { return };
        for person in ["ana", "bo"] {
            let Some((process, control)) = self.a_server() else { return };
            let tenant = tenant.clone();
            self.scene.machines.spawn(process, async move {
                // One of them is told that the run was retried.
                control.retry_run(&tenant, run, RetryFrom::Start, person).await.ok();
            });
        }
    }

    fn a_server(&mut self) -> Option<(ProcessId, Control)> {
        let servers = self.servers.alive(&self.scene.machines);
        self.scene.chance.one_of(&servers).cloned()
    }
}
