//! Schedules under everything that can go wrong: one to five daemons that are killed, stopped, cut
//! off from the database and given wrong clocks, and a checker that matches ticks to launches.
//!
//! When a schedule must have ticked is counted here, with nothing of the product's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millstream_control::{Control, LocationChange, Seams, TickWatch};
use millstream_model::{
    CatchUp, Cause, EventBody, EventPosition, FileManifest, ScheduleCron, ScheduleDef,
    ScheduleTarget, TenantId,
};
use millstream_store::{Sql, Store};
use millstream_testkit::chance::{Chance, SeededEntropy};
use millstream_testkit::definitions::{file_of_jobs, job, live, op, with_tenants};
use millstream_testkit::ticks::{Observed, TickVerdict, check_ticks};

use crate::clock::{ProcessClock, START_MICROS};
use crate::executor::{Executor, Machines, ProcessId, Step};
use crate::faults::{Faults, FaultyDatabase, Rates, strikes};
use crate::witness::at_once;

const TENANTS: [&str; 4] = ["ewr", "jfk", "lga", "sfo"];

/// How long a beat of a lease may stand still.
const TIME_TO_LIVE: Duration = Duration::from_secs(15);

/// How long after its time, or after everything is well again, a tick may come.
const ALLOWED: Duration = Duration::from_secs(30);

/// How long the simulation goes on after everything is well again.
const AFTER: Duration = Duration::from_mins(1);

/// Steps after which somebody turns in circles.
const STEPS_MAX: u64 = 3_000_000;

/// The expressions, each with its period and its first time in seconds.
const CRONS: [(&str, i64, i64); 6] = [
    ("*/10 * * * * *", 10, 0),
    ("*/30 * * * * *", 30, 0),
    ("* * * * *", 60, 0),
    ("15 */2 * * * *", 120, 15),
    ("*/5 * * * *", 300, 0),
    ("7,37 * * * *", 1_800, 420),
];

/// What one simulation is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TickPlan {
    pub(crate) seed: u64,
    pub(crate) rates: Rates,
    /// Schedules over all tenants.
    pub(crate) schedules: u64,
    /// How long things go wrong.
    pub(crate) trouble: Duration,
    /// Mistakes in the product, planted to be found.
    pub(crate) mistakes: &'static [&'static Sql],
}

/// Simulates the schedules of `plan` and checks their ticks.
pub(crate) fn simulate_ticks(plan: &TickPlan) -> Result<TickVerdict, String> {
    World::new(plan).run()
}

struct World<'a> {
    plan: &'a TickPlan,
    executor: Executor,
    machines: Machines,
    chance: Chance,
    store: Store,
    faults: Faults,
    daemons: Vec<ProcessId>,
    daemons_wanted: u64,
    clocks: Vec<Arc<ProcessClock>>,
    changes: tokio::sync::watch::Receiver<i64>,
    position: EventPosition,
    periods: BTreeMap<(TenantId, String), (i64, i64)>,
    launches: BTreeMap<(TenantId, String), Vec<(i64, i64)>>,
    steps: u64,
}

impl<'a> World<'a> {
    fn new(plan: &'a TickPlan) -> Self {
        let mut chance = Chance::new(plan.seed ^ 0x71c5);
        let executor = Executor::new(chance.fork());
        let store = Store::in_memory().unwrap();
        let daemons_wanted = 1 + chance.below(5);
        let mut world = Self {
            plan,
            machines: executor.machines(),
            executor,
            faults: Faults::new(plan.rates, plan.mistakes),
            daemons: Vec::new(),
            daemons_wanted,
            clocks: Vec::new(),
            changes: store.changes(),
            position: EventPosition(0),
            periods: BTreeMap::new(),
            launches: BTreeMap::new(),
            steps: 0,
            chance,
            store,
        };
        world.define();
        world
    }

    fn define(&mut self) {
        let jobs = vec![job("sync", vec![op("a", &[])])];
        let mut file: FileManifest = with_tenants(file_of_jobs(jobs), &TENANTS);
        for number in 0..self.plan.schedules {
            let (cron, period, offset) =
                CRONS[usize::try_from(self.chance.below(CRONS.len() as u64)).unwrap()];
            let tenant: TenantId = TENANTS
                [usize::try_from(self.chance.below(TENANTS.len() as u64)).unwrap()]
            .parse()
            .unwrap();
            let name = format!("s{number}");
            let target = ScheduleTarget::Job("sync".parse().unwrap());
            let cron = ScheduleCron::Text(cron.to_owned());
            let mut def = ScheduleDef::new(name.parse().unwrap(), cron, target);
            def.catch_up = CatchUp::All;
            def.tenants = vec![tenant.clone()];
            file.schedules.push(def);
            self.periods.insert((tenant, name), (period, offset));
        }
        let control = self.control_over(self.store.clone());
        let location = "local".parse().unwrap();
        at_once(control.add_location(&location, "/definitions")).unwrap();
        let files = vec![live("schedules.yaml", file)];
        let change = LocationChange { location, seen_version: 0, files, stale: None };
        at_once(control.apply_scan(&change)).unwrap();
        // The schedules are known from the first instant on.
        let mut watch = TickWatch::default();
        at_once(control.tick_schedules("first", &mut watch, TIME_TO_LIVE)).unwrap();
        at_once(control.release_schedules("first")).unwrap();
    }

    fn control_over(&mut self, store: Store) -> Control {
        let origin = Duration::from_millis(self.chance.below(1_000_000));
        let clock = Arc::new(ProcessClock::new(self.machines.clone(), 0, origin));
        self.clocks.push(Arc::clone(&clock));
        let entropy = Arc::new(SeededEntropy::new(self.chance.draw()));
        Control::new(store, Seams { clock, entropy })
    }

    /// A daemon that lets schedules tick, and waits as the product's does.
    fn boot(&mut self) {
        let process = self.machines.boot();
        let database = FaultyDatabase {
            machines: self.machines.clone(),
            process,
            faults: self.faults.clone(),
            chance: Mutex::new(self.chance.fork()),
        };
        let control = self.control_over(self.store.interposed(Arc::new(database)));
        self.daemons.push(process);
        let (machines, name) = (self.machines.clone(), format!("daemon-{}", process.0));
        self.machines.spawn(process, async move {
            let mut watch = TickWatch::default();
            let idle = TIME_TO_LIVE / 3;
            loop {
                let wait = match control.tick_schedules(&name, &mut watch, TIME_TO_LIVE).await {
                    Ok(pass) if pass.unsettled > 0 => Duration::from_secs(1),
                    Ok(pass) => {
                        pass.next_due.map_or(idle, |due| due.since(control.now())).min(idle)
                    }
                    Err(_) => Duration::from_secs(1),
                };
                machines.sleep(wait.max(Duration::from_millis(5))).await;
            }
        });
    }

    fn run(mut self) -> Result<TickVerdict, String> {
        self.restart_all();
        while self.machines.elapsed() < self.plan.trouble {
            self.meddle();
            self.go_on()?;
        }
        self.faults.heal();
        self.machines.resume_all();
        for clock in &self.clocks {
            clock.jump_to(0);
        }
        self.restart_all();
        let healed = self.machines.elapsed();
        while self.machines.elapsed() < healed + AFTER {
            self.go_on()?;
        }
        Ok(self.verdict(healed))
    }

    fn go_on(&mut self) -> Result<(), String> {
        self.steps += 1;
        if self.executor.step() == Step::Idle {
            self.restart_all();
        }
        if self.steps > STEPS_MAX {
            return Err(format!("seed {}: it turns in circles", self.plan.seed));
        }
        self.observe()
    }

    /// Hears of the runs that the last step has queued.
    fn observe(&mut self) -> Result<(), String> {
        if !self.changes.has_changed().unwrap() {
            return Ok(());
        }
        self.changes.mark_unchanged();
        let now = START_MICROS + i64::try_from(self.machines.elapsed().as_micros()).unwrap();
        let tenants: Vec<TenantId> = TENANTS.iter().map(|id| id.parse().unwrap()).collect();
        let events = at_once(self.store.events_after(&tenants, self.position, 10_000)).unwrap();
        for row in events {
            self.position = row.position.ok_or("an event without a position")?;
            let EventBody::RunQueued { cause: Cause::Schedule { name, nominal } } = row.event.body
            else {
                return Err(format!("seed {}: a run that no schedule wanted", self.plan.seed));
            };
            let launches = self.launches.entry((row.event.tenant, name)).or_default();
            launches.push((nominal.as_micros(), now));
        }
        Ok(())
    }

    /// What accidents do between two steps.
    fn meddle(&mut self) {
        let rates = self.faults.rates();
        let somebody = |chance: &mut Chance, daemons: &[ProcessId]| {
            let place = chance.below(daemons.len() as u64);
            daemons.get(usize::try_from(place).unwrap()).copied()
        };
        if strikes(&mut self.chance, rates.kill)
            && let Some(process) = somebody(&mut self.chance, &self.daemons)
        {
            self.machines.kill(process);
        }
        if strikes(&mut self.chance, rates.pause)
            && let Some(process) = somebody(&mut self.chance, &self.daemons)
        {
            self.machines.pause(process, Duration::from_millis(self.chance.below(90_000)));
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

    fn restart_all(&mut self) {
        let machines = self.machines.clone();
        self.daemons.retain(|process| machines.is_alive(*process));
        while (self.daemons.len() as u64) < self.daemons_wanted {
            self.boot();
        }
    }

    /// Every time that came and could be acted on by now must have been launched for once. A clock
    /// that is ahead lets later times tick early; those must be times of the schedule's too.
    fn verdict(&self, healed: Duration) -> TickVerdict {
        let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap();
        let end = START_MICROS + micros(self.machines.elapsed()) - micros(ALLOWED);
        let mut all = BTreeMap::new();
        for (key, (period, offset)) in &self.periods {
            let is_time = |at: i64| (at - START_MICROS - offset * 1_000_000) % (period * 1_000_000);
            let first = (1..=*period).map(|second| START_MICROS + second * 1_000_000);
            let first = first.clone().find(|at| is_time(*at) == 0).unwrap();
            let step = usize::try_from(period * 1_000_000).unwrap();
            let launches = self.launches.get(key).cloned().unwrap_or_default();
            let mut targets: std::collections::BTreeSet<i64> =
                (first..=end).step_by(step).collect();
            let early = launches.iter().map(|(nominal, _)| *nominal);
            targets.extend(early.filter(|nominal| *nominal > end && is_time(*nominal) == 0));
            all.insert(format!("{} of {}", key.1, key.0), Observed { targets, launches });
        }
        let healed = START_MICROS + micros(healed);
        let allowed = |target: i64| target.max(healed) + micros(ALLOWED);
        check_ticks(all.iter().map(|(name, observed)| (name.as_str(), observed)), allowed)
    }
}
