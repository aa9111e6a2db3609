//! What each simulation has, whatever it is about: processes with clocks of their own, one
//! database, and accidents. The worlds of runs, of schedules and of sensors are built on it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use millstream_control::{Control, LocationChange, Seams};
use millstream_model::{FileManifest, RunRequest, TenantId};
use millstream_store::Store;
use millstream_testkit::chance::{Chance, SeededEntropy};
use millstream_testkit::definitions::live;

use crate::clock::{Measure, ProcessClock};
use crate::executor::{Executor, Machines, ProcessId};
use crate::faults::{Faults, FaultyDatabase, strikes};
use crate::witness::at_once;

/// An hour in microseconds: as far as a clock jumps either way.
const HOUR_MICROS: i64 = 3_600_000_000;

/// The processes, the database and the faults of one simulation.
pub(crate) struct Scene {
    pub(crate) executor: Executor,
    pub(crate) machines: Machines,
    pub(crate) chance: Chance,
    pub(crate) store: Store,
    pub(crate) faults: Faults,
    measure: Measure,
    clocks: Vec<Arc<ProcessClock>>,
}

impl Scene {
    pub(crate) fn new(mut chance: Chance, faults: Faults, measure: Measure) -> Self {
        let executor = Executor::new(chance.fork());
        let (machines, store) = (executor.machines(), Store::in_memory().unwrap());
        Self { executor, machines, chance, store, faults, measure, clocks: Vec::new() }
    }

    /// A control plane that nothing happens to.
    pub(crate) fn calm(&mut self) -> Control {
        self.control_over(self.store.clone())
    }

    /// The same, with the mistakes that are planted.
    pub(crate) fn calm_and_mistaken(&mut self) -> Control {
        let store = self.faults.planted_in(&self.store);
        self.control_over(store)
    }

    fn control_over(&mut self, store: Store) -> Control {
        let origin = Duration::from_millis(self.chance.below(1_000_000));
        let clock = ProcessClock::new(self.machines.clone(), 0, origin);
        let clock = Arc::new(clock.measuring_by(self.measure));
        self.clocks.push(Arc::clone(&clock));
        let entropy = Arc::new(SeededEntropy::new(self.chance.draw()));
        Control::new(store, Seams { clock, entropy })
    }

    /// A process with its own way to the database.
    pub(crate) fn boot(&mut self) -> (ProcessId, Control) {
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

    /// The accidents between two steps: a process that `somebody` names is killed or stopped, or
    /// the database is gone for a while.
    pub(crate) fn have_accidents(
        &mut self,
        mut somebody: impl FnMut(&mut Self) -> Option<ProcessId>,
    ) {
        let rates = self.faults.rates();
        if strikes(&mut self.chance, rates.kill)
            && let Some(process) = somebody(self)
        {
            self.machines.kill(process);
        }
        if strikes(&mut self.chance, rates.pause)
            && let Some(process) = somebody(self)
        {
            let length = Duration::from_millis(self.chance.below(90_000));
            self.machines.pause(process, length);
        }
        if strikes(&mut self.chance, rates.outage) {
            let length = Duration::from_millis(self.chance.below(60_000));
            self.faults.start_outage(self.machines.elapsed() + length);
        }
    }

    /// Sets a clock now and then, by up to an hour either way.
    pub(crate) fn set_clocks(&mut self) {
        if strikes(&mut self.chance, self.faults.rates().jump) {
            let hours = u64::try_from(2 * HOUR_MICROS).unwrap();
            let offset = i64::try_from(self.chance.below(hours)).unwrap() - HOUR_MICROS;
            self.chance.one_of(&self.clocks).unwrap().jump_to(offset);
        }
    }

    /// Sets all clocks right.
    pub(crate) fn set_clocks_right(&self) {
        self.clocks.iter().for_each(|clock| clock.jump_to(0));
    }

    /// From now on nothing goes wrong any more, and who stood still goes on.
    pub(crate) fn heal(&self) {
        self.faults.heal();
        self.machines.resume_all();
    }
}

/// Loads `content` as the file called `name` of the only location.
pub(crate) fn define(control: &Control, name: &str, content: FileManifest) {
    let location = "local".parse().unwrap();
    at_once(control.add_location(&location, "/definitions")).unwrap();
    let files = vec![live(name, content)];
    let change = LocationChange { location, seen_version: 0, files, stale: None };
    at_once(control.apply_scan(&change)).unwrap();
}

/// What somebody asks for by hand.
pub(crate) fn request(tenant: TenantId) -> RunRequest {
    RunRequest {
        tenant,
        cause: Control::by_hand("ana"),
        partition: None,
        context: serde_json::Map::new(),
        tags: std::collections::BTreeMap::new(),
    }
}
