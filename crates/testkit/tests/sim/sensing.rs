//! Sensors that follow the log, tick together and share commits, under all that can go wrong: each
//! requests one run for each run of others that has ended, and never a second one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millstream_control::{Control, LocationChange, Seams, SensorWatch};
use millstream_definition::parse_file;
use millstream_model::{Cause, EventBody, EventPosition, RunId, RunRequest, TenantId};
use millstream_store::{Sql, Store};
use millstream_testkit::chance::{Chance, SeededEntropy};
use millstream_testkit::definitions::live;

use crate::clock::ProcessClock;
use crate::executor::{Executor, Machines, ProcessId, Step};
use crate::faults::{Faults, FaultyDatabase, Rates, strikes};
use crate::witness::at_once;

/// Sensors that tick together.
const SENSORS: usize = 12;

/// Daemons that ask them.
const DAEMONS: usize = 3;

/// How long a beat of a lease may stand still.
const TIME_TO_LIVE: Duration = Duration::from_secs(15);

/// How long the simulation goes on after everything is well again.
const AFTER: Duration = Duration::from_mins(2);

/// Steps after which somebody turns in circles.
const STEPS_MAX: u64 = 3_000_000;

/// What one simulation is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SensePlan {
    pub(crate) seed: u64,
    pub(crate) rates: Rates,
    /// How long things go wrong.
    pub(crate) trouble: Duration,
    /// Mistakes in the product, planted to be found.
    pub(crate) mistakes: &'static [&'static Sql],
}

/// Simulates the sensors of `plan`; how many runs they have requested, each exactly once.
pub(crate) fn simulate_sensors(plan: &SensePlan) -> Result<usize, String> {
    World::new(plan).run()
}

struct World<'a> {
    plan: &'a SensePlan,
    executor: Executor,
    machines: Machines,
    chance: Chance,
    store: Store,
    /// A control plane that nothing happens to.
    calm: Control,
    faults: Faults,
    daemons: Vec<ProcessId>,
    position: EventPosition,
    ended: Vec<RunId>,
    requested: BTreeMap<(String, RunId), u32>,
    steps: u64,
}

fn definitions() -> String {
    let ops = "nodes: [{id: a, type: noop}]";
    let about = "kind: run_status, job: source, on: [CANCELED], every: 5s, request: {job: own}";
    let sensors: Vec<String> = (0..SENSORS).map(|it| format!("  s{it}: {{{about}}}")).collect();
    let sensors = sensors.join("\n");
    format!("jobs:\n  source:\n    {ops}\n  own:\n    {ops}\nsensors:\n{sensors}\n")
}

impl<'a> World<'a> {
    fn new(plan: &'a SensePlan) -> Self {
        let mut chance = Chance::new(plan.seed ^ 0x5e45);
        let executor = Executor::new(chance.fork());
        let (machines, store) = (executor.machines(), Store::in_memory().unwrap());
        let calm = control_over(&machines, &mut chance, store.clone());
        let mut world = Self {
            plan,
            executor,
            machines,
            chance,
            store,
            calm,
            faults: Faults::new(plan.rates, plan.mistakes),
            daemons: Vec::new(),
            position: EventPosition(0),
            ended: Vec::new(),
            requested: BTreeMap::new(),
            steps: 0,
        };
        world.define();
        world
    }

    /// Loads the definitions and has each sensor find its place in the log.
    fn define(&mut self) {
        let location = "local".parse().unwrap();
        at_once(self.calm.add_location(&location, "/definitions")).unwrap();
        let content = parse_file("sensors.yaml", definitions().as_bytes()).manifest.unwrap();
        let files = vec![live("sensors.yaml", content)];
        let change = LocationChange { location, seen_version: 0, files, stale: None };
        at_once(self.calm.apply_scan(&change)).unwrap();
        let mut watch = SensorWatch::default();
        let pass = at_once(self.calm.due_sensors("first", &mut watch, TIME_TO_LIVE)).unwrap();
        assert_eq!(pass.readers.len(), SENSORS);
        for ticked in at_once(self.calm.tick_readers(&pass.readers)) {
            ticked.unwrap();
        }
        at_once(self.calm.release_sensors("first")).unwrap();
    }

    fn boot(&mut self) {
        let process = self.machines.boot();
        let database = FaultyDatabase {
            machines: self.machines.clone(),
            process,
            faults: self.faults.clone(),
            chance: Mutex::new(self.chance.fork()),
        };
        let store = self.store.interposed(Arc::new(database));
        let control = control_over(&self.machines, &mut self.chance, store);
        self.daemons.push(process);
        let (machines, name) = (self.machines.clone(), format!("daemon-{}", process.0));
        self.machines.spawn(process, async move {
            let mut watch = SensorWatch::default();
            loop {
                if let Ok(pass) = control.due_sensors(&name, &mut watch, TIME_TO_LIVE).await {
                    // One that could not be stored is due again.
                    drop(control.tick_readers(&pass.readers).await);
                }
                machines.sleep(Duration::from_secs(1)).await;
            }
        });
    }

    fn run(mut self) -> Result<usize, String> {
        self.restart_all();
        while self.machines.elapsed() < self.plan.trouble {
            self.meddle();
            self.go_on()?;
        }
        self.faults.heal();
        self.machines.resume_all();
        self.restart_all();
        let healed = self.machines.elapsed();
        while self.machines.elapsed() < healed + AFTER {
            self.go_on()?;
        }
        for run in &self.ended {
            for sensor in (0..SENSORS).map(|number| format!("s{number}")) {
                if !self.requested.contains_key(&(sensor.clone(), *run)) {
                    return Err(self.broken(&format!("{sensor} has passed over {run}")));
                }
            }
        }
        Ok(self.requested.len())
    }

    fn broken(&self, what: &str) -> String {
        format!("seed {}: {what}", self.plan.seed)
    }

    fn go_on(&mut self) -> Result<(), String> {
        self.steps += 1;
        if self.executor.step() == Step::Idle {
            self.restart_all();
        }
        if self.steps > STEPS_MAX {
            return Err(self.broken("it turns in circles"));
        }
        self.observe()
    }

    /// Hears of the runs that the last step has queued.
    fn observe(&mut self) -> Result<(), String> {
        let events = at_once(self.store.events_after(&[tenant()], self.position, 10_000)).unwrap();
        for row in events {
            self.position = row.position.unwrap();
            let EventBody::RunQueued { cause: Cause::Sensor { name, of: Some(of), .. } } =
                row.event.body
            else {
                continue;
            };
            let times = self.requested.entry((name, of)).or_default();
            *times += 1;
            if *times > 1 {
                return Err(self.broken(&format!("a sensor has requested two runs for {of}")));
            }
        }
        Ok(())
    }

    /// What accidents and people do between two steps.
    fn meddle(&mut self) {
        let rates = self.faults.rates();
        let place = usize::try_from(self.chance.below(self.daemons.len() as u64)).unwrap();
        let somebody = self.daemons[place];
        if strikes(&mut self.chance, rates.kill) {
            self.machines.kill(somebody);
        }
        if strikes(&mut self.chance, rates.pause) {
            self.machines.pause(somebody, Duration::from_millis(self.chance.below(90_000)));
        }
        if strikes(&mut self.chance, rates.outage) {
            let length = Duration::from_millis(self.chance.below(60_000));
            self.faults.start_outage(self.machines.elapsed() + length);
        }
        if self.chance.happens(1, 200) {
            self.end_a_run();
        }
        if self.chance.happens(1, 100) {
            self.restart_all();
        }
    }

    /// A run that is canceled before it begins: an end that needs no worker.
    fn end_a_run(&mut self) {
        let request = RunRequest {
            tenant: tenant(),
            cause: Control::by_hand("ana"),
            partition: None,
            context: serde_json::Map::new(),
            tags: BTreeMap::new(),
        };
        let source = "source".parse().unwrap();
        let run = at_once(self.calm.launch_job(&request, &source)).unwrap().run_id;
        at_once(self.calm.cancel(&tenant(), run, "ana")).unwrap();
        self.ended.push(run);
    }

    fn restart_all(&mut self) {
        let machines = self.machines.clone();
        self.daemons.retain(|process| machines.is_alive(*process));
        while self.daemons.len() < DAEMONS {
            self.boot();
        }
    }
}

fn tenant() -> TenantId {
    TenantId::default_tenant()
}

fn control_over(machines: &Machines, chance: &mut Chance, store: Store) -> Control {
    let origin = Duration::from_millis(chance.below(1_000_000));
    let clock = Arc::new(ProcessClock::new(machines.clone(), 0, origin));
    let entropy = Arc::new(SeededEntropy::new(chance.draw()));
    Control::new(store, Seams { clock, entropy })
}
