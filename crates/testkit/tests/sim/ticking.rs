//! Schedules under everything that can go wrong: one to five daemons that are killed, stopped, cut
//! off from the database and given wrong clocks, and a checker that matches ticks to launches.
//!
//! Some have limits, and their runs end; those of the others never do, which changes nothing there.
//! When a schedule must have ticked is counted here, with nothing of the product's.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use millstream_control::TickWatch;
use millstream_model::{
    CatchUp, Cause, EventBody, EventPosition, FileManifest, JobDef, RetryFrom, RunRetries,
    ScheduleCron, ScheduleDef, ScheduleTarget, TenantId,
};
use millstream_store::Sql;
use millstream_testkit::chance::Chance;
use millstream_testkit::definitions::{file_of_jobs, job, op, with_tenants};
use millstream_testkit::ticks::{Observed, TickVerdict, check_ticks};

use crate::clock::{Measure, START_MICROS};
use crate::executor::{ProcessId, Step};
use crate::faults::{Faults, Rates};
use crate::limited::{Key, LimitedSchedules};
use crate::scene::{Scene, define};
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
    scene: Scene,
    daemons: Vec<ProcessId>,
    daemons_wanted: u64,
    changes: tokio::sync::watch::Receiver<i64>,
    position: EventPosition,
    periods: BTreeMap<Key, (i64, i64)>,
    launches: BTreeMap<Key, Vec<(i64, i64)>>,
    limited: LimitedSchedules,
    steps: u64,
}

impl<'a> World<'a> {
    fn new(plan: &'a TickPlan) -> Self {
        let chance = Chance::new(plan.seed ^ 0x71c5);
        let faults = Faults::new(plan.rates, plan.mistakes);
        let mut scene = Scene::new(chance, faults, Measure::OwnClock);
        let mut world = Self {
            plan,
            daemons: Vec::new(),
            daemons_wanted: 1 + scene.chance.below(5),
            changes: scene.store.changes(),
            position: EventPosition(0),
            periods: BTreeMap::new(),
            launches: BTreeMap::new(),
            limited: LimitedSchedules::new(&mut scene),
            steps: 0,
            scene,
        };
        world.define();
        world
    }

    fn define(&mut self) {
        let run_retries = Some(RunRetries { max: 1, from: RetryFrom::Start });
        let jobs = vec![JobDef { run_retries, ..job("sync", vec![op("a", &[])]) }];
        let mut file: FileManifest = with_tenants(file_of_jobs(jobs), &TENANTS);
        for number in 0..self.plan.schedules {
            let (cron, period, offset) = self.scene.chance.one_of(&CRONS).unwrap();
            let tenant: TenantId = self.scene.chance.one_of(&TENANTS).unwrap().parse().unwrap();
            let name = format!("s{number}");
            let target = ScheduleTarget::Job("sync".parse().unwrap());
            let cron = ScheduleCron::Text((*cron).to_owned());
            let mut def = ScheduleDef::new(name.parse().unwrap(), cron, target);
            def.catch_up = CatchUp::All;
            def.tenants = vec![tenant.clone()];
            let (key, times) = ((tenant, name), (*period, *offset));
            if !self.limited.limit(&mut def, &key, times) {
                self.periods.insert(key, times);
            }
            file.schedules.push(def);
        }
        let control = self.scene.calm();
        define(&control, "schedules.yaml", file);
        // The schedules are known from the first instant on.
        let mut watch = TickWatch::default();
        at_once(control.tick_schedules("first", &mut watch, TIME_TO_LIVE)).unwrap();
        at_once(control.release_schedules("first")).unwrap();
    }

    /// A daemon that lets schedules tick, and waits as the product's does.
    fn boot(&mut self) {
        let (process, control) = self.scene.boot();
        self.daemons.push(process);
        let (machines, name) = (self.scene.machines.clone(), format!("daemon-{}", process.0));
        self.scene.machines.spawn(process, async move {
            let mut watch = TickWatch::default();
            let mut changes = control.store().daemon_changes();
            let idle = TIME_TO_LIVE / 3;
            loop {
                changes.mark_unchanged();
                let pass = control.tick_schedules(&name, &mut watch, TIME_TO_LIVE).await;
                let (wait, waiting) = match pass {
                    Ok(pass) if pass.unsettled > 0 => (Duration::from_secs(1), 0),
                    Ok(pass) => {
                        let due = pass.next_due.map_or(idle, |due| due.since(control.now()));
                        (due.min(idle), pass.waiting)
                    }
                    Err(_) => (Duration::from_secs(1), 0),
                };
                let wait = wait.max(Duration::from_millis(5));
                // Where nothing waits, no change has anything tick.
                if waiting == 0 {
                    machines.sleep(wait).await;
                    continue;
                }
                let least = wait.min(Duration::from_millis(10));
                machines.sleep(least).await;
                let rest = machines.sleep(wait.saturating_sub(least));
                if let Either::Right((heard, _)) = select(rest, pin!(changes.changed())).await {
                    heard.unwrap();
                }
            }
        });
    }

    fn run(mut self) -> Result<TickVerdict, String> {
        self.restart_all();
        while self.scene.machines.elapsed() < self.plan.trouble {
            self.meddle();
            self.go_on()?;
        }
        self.scene.heal();
        self.scene.set_clocks_right();
        self.restart_all();
        let healed = self.scene.machines.elapsed();
        self.go_on_until(healed + ALLOWED)?;
        self.limited.all_is_well();
        let well = self.now();
        self.go_on_until(healed + AFTER)?;
        let mut verdict = self.verdict(healed);
        verdict.add(self.limited.verdict((well, self.now()))?);
        Ok(verdict)
    }

    fn now(&self) -> i64 {
        START_MICROS + i64::try_from(self.scene.machines.elapsed().as_micros()).unwrap()
    }

    fn go_on_until(&mut self, end: Duration) -> Result<(), String> {
        while self.scene.machines.elapsed() < end {
            self.go_on()?;
        }
        Ok(())
    }

    fn go_on(&mut self) -> Result<(), String> {
        self.steps += 1;
        if self.scene.executor.step() == Step::Idle {
            self.restart_all();
        }
        if self.steps > STEPS_MAX {
            return Err(format!("seed {}: it turns in circles", self.plan.seed));
        }
        self.observe()
    }

    /// Hears of the runs that the last step has queued or ended.
    fn observe(&mut self) -> Result<(), String> {
        if !self.changes.has_changed().unwrap() {
            return Ok(());
        }
        self.changes.mark_unchanged();
        let now = self.now();
        let tenants: Vec<TenantId> = TENANTS.iter().map(|id| id.parse().unwrap()).collect();
        let events = self.scene.store.events_after(&tenants, self.position, 10_000);
        let mut events = at_once(events).unwrap();
        // What a batch ends has ended before what it begins.
        events.sort_by_key(|row| {
            (row.position, matches!(row.event.body, EventBody::RunQueued { .. }))
        });
        for row in events {
            self.position = row.position.ok_or("an event without a position")?;
            let (run, limited) = (row.event.run, &mut self.limited);
            let is_known = match row.event.body {
                EventBody::RunQueued { cause: Cause::Schedule { name, nominal } } => {
                    let (key, times) = ((row.event.tenant, name), (nominal.as_micros(), now));
                    if !limited.launched(&key, run, times) {
                        self.launches.entry(key).or_default().push(times);
                    }
                    true
                }
                EventBody::RunQueued { cause: Cause::Retry { of, .. } } => {
                    limited.retried(of, run, now)
                }
                EventBody::RunQueued { .. } => false,
                EventBody::RunSucceeded {}
                | EventBody::RunFailed { .. }
                | EventBody::RunCanceled {} => {
                    limited.ended(run, now);
                    true
                }
                _ => true,
            };
            if !is_known {
                return Err(format!("seed {}: a run that no schedule wanted", self.plan.seed));
            }
        }
        Ok(())
    }

    /// What accidents do between two steps.
    fn meddle(&mut self) {
        self.scene.have_accidents(|scene| scene.chance.one_of(&self.daemons).copied());
        self.scene.set_clocks();
        if self.scene.chance.happens(1, 100) {
            self.restart_all();
        }
    }

    fn restart_all(&mut self) {
        let machines = &self.scene.machines;
        self.daemons.retain(|process| machines.is_alive(*process));
        while (self.daemons.len() as u64) < self.daemons_wanted {
            self.boot();
        }
    }

    /// Every time that came and could be acted on by now must have been launched for once. A clock
    /// that is ahead lets later times tick early; those must be times of the schedule's too.
    fn verdict(&self, healed: Duration) -> TickVerdict {
        let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap();
        let end = START_MICROS + micros(self.scene.machines.elapsed()) - micros(ALLOWED);
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
