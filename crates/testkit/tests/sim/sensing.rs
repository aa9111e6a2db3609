//! Sensors that follow the log, tick together and share commits, under all that can go wrong: each
//! requests one run for each run of others that has ended, and never a second one.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_control::{Control, SensorWatch};
use millstream_definition::parse_file;
use millstream_model::{Cause, EventBody, EventPosition, RunId, TenantId};
use millstream_store::Sql;
use millstream_testkit::chance::Chance;

use crate::clock::Measure;
use crate::executor::{ProcessId, Step};
use crate::faults::{Faults, Rates};
use crate::scene::{Scene, define, request};
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
    scene: Scene,
    /// A control plane that nothing happens to.
    calm: Control,
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
        let chance = Chance::new(plan.seed ^ 0x5e45);
        let faults = Faults::new(plan.rates, plan.mistakes);
        let mut scene = Scene::new(chance, faults, Measure::OwnClock);
        let calm = scene.calm();
        let mut world = Self {
            plan,
            scene,
            calm,
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
        let name = "sensors.yaml";
        let content = parse_file(name, definitions().as_bytes()).manifest.unwrap();
        define(&self.calm, name, content);
        let mut watch = SensorWatch::default();
        let pass = at_once(self.calm.due_sensors("first", &mut watch, TIME_TO_LIVE)).unwrap();
        assert_eq!(pass.readers.len(), SENSORS);
        for ticked in at_once(self.calm.tick_readers(&pass.readers)) {
            ticked.unwrap();
        }
        at_once(self.calm.release_sensors("first")).unwrap();
    }

    fn boot(&mut self) {
        let (process, control) = self.scene.boot();
        self.daemons.push(process);
        let (machines, name) = (self.scene.machines.clone(), format!("daemon-{}", process.0));
        self.scene.machines.spawn(process, async move {
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
        while self.scene.machines.elapsed() < self.plan.trouble {
            self.meddle();
            self.go_on()?;
        }
        self.scene.heal();
        self.restart_all();
        let healed = self.scene.machines.elapsed();
        while self.scene.machines.elapsed() < healed + AFTER {
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
        if self.scene.executor.step() == Step::Idle {
            self.restart_all();
        }
        if self.steps > STEPS_MAX {
            return Err(self.broken("it turns in circles"));
        }
        self.observe()
    }

    /// Hears of the runs that the last step has queued.
    fn observe(&mut self) -> Result<(), String> {
        let (store, tenants) = (&self.scene.store, [tenant()]);
        for row in at_once(store.events_after(&tenants, self.position, 10_000)).unwrap() {
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
        let somebody = self.scene.chance.one_of(&self.daemons).copied();
        self.scene.have_accidents(|_| somebody);
        if self.scene.chance.happens(1, 200) {
            self.end_a_run();
        }
        if self.scene.chance.happens(1, 100) {
            self.restart_all();
        }
    }

    /// A run that is canceled before it begins: an end that needs no worker.
    fn end_a_run(&mut self) {
        let source = "source".parse().unwrap();
        let run = at_once(self.calm.launch_job(&request(tenant()), &source)).unwrap().run_id;
        at_once(self.calm.cancel(&tenant(), run, "ana")).unwrap();
        self.ended.push(run);
    }

    fn restart_all(&mut self) {
        let machines = &self.scene.machines;
        self.daemons.retain(|process| machines.is_alive(*process));
        while self.daemons.len() < DAEMONS {
            self.boot();
        }
    }
}

fn tenant() -> TenantId {
    TenantId::default_tenant()
}
