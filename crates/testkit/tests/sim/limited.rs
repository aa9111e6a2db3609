//! Schedules whose runs are limited, in the simulation of ticks: each run ends after a while, and
//! what was seen of it is checked by its schedule's rules.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_control::Control;
use millstream_model::worker_api::{Report, ReportedEvent};
use millstream_model::{
    CatchUp, EventBody, HumanDuration, RunId, ScheduleDef, SkipReason, TenantId, TickKind, TickRow,
    TickSource, TickStatus,
};
use millstream_store::leases;
use millstream_store::live::claim_queued_runs;
use millstream_testkit::chance::Chance;
use millstream_testkit::limited::{Came, Keeps, Rules, SeenLimited, check_limited};
use millstream_testkit::ticks::TickVerdict;

use crate::clock::START_MICROS;
use crate::executor::{Machines, ProcessId};
use crate::scene::Scene;
use crate::witness::at_once;

/// Who claims the runs and has them end; nothing happens to it.
const PEOPLE: &str = "people";

/// Ticks of one schedule that are read at the end.
const TICKS_MAX: u32 = 100_000;

/// How long the runs of one schedule may take, in milliseconds.
const LASTS: [u64; 3] = [2_000, 30_000, 120_000];

/// How late their ticks may be, in seconds.
const DEADLINES: [u64; 3] = [10, 61, 300];

/// A tenant and the name of a schedule.
pub(crate) type Key = (TenantId, String);

/// All of them, and whoever has their runs end.
pub(crate) struct LimitedSchedules {
    people: ProcessId,
    control: Control,
    machines: Machines,
    chance: Chance,
    schedules: BTreeMap<Key, Limited>,
    owners: BTreeMap<RunId, Key>,
}

struct Limited {
    rules: Rules,
    lasts: u64,
    seen: SeenLimited,
    active: usize,
}

/// How a run ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Canceled,
    /// And is tried again, once.
    Failed,
    Succeeded,
}

impl LimitedSchedules {
    pub(crate) fn new(scene: &mut Scene) -> Self {
        let machines = scene.machines.clone();
        let people = machines.boot();
        // It would end with its last thread.
        machines.spawn(people, std::future::pending());
        let control = scene.calm_and_mistaken();
        at_once(control.store().apply(leases::create("queue", PEOPLE))).unwrap();
        let (schedules, owners) = (BTreeMap::new(), BTreeMap::new());
        Self { people, control, machines, chance: scene.chance.fork(), schedules, owners }
    }

    /// Limits the runs of every third schedule; false for one that is left as it is.
    pub(crate) fn limit(
        &mut self,
        def: &mut ScheduleDef,
        key: &Key,
        (period, offset): (i64, i64),
    ) -> bool {
        if !self.chance.happens(1, 3) {
            return false;
        }
        let keeps = if self.chance.happens(2, 3) { Keeps::All } else { Keeps::Last };
        let limit = 1 + self.chance.below(3);
        let deadline = self.chance.one_of(&DEADLINES).copied();
        let deadline = deadline.filter(|_| self.chance.happens(1, 3)).map(Duration::from_secs);
        def.catch_up = if keeps == Keeps::All { CatchUp::All } else { CatchUp::Last };
        def.max_active_runs = Some(u32::try_from(limit).unwrap());
        def.deadline = deadline.map(HumanDuration);
        let first = if offset == 0 { period } else { offset };
        let rules = Rules {
            first: START_MICROS + first * 1_000_000,
            period: period * 1_000_000,
            limit: usize::try_from(limit).unwrap(),
            keeps,
            deadline: deadline.map(|it| i64::try_from(it.as_micros()).unwrap()),
        };
        let lasts = *self.chance.one_of(&LASTS).unwrap();
        let (launches, under_way, decided) = (Vec::new(), Vec::new(), Vec::new());
        let seen = SeenLimited { rules, decided, launches, under_way, before: START_MICROS };
        self.schedules.insert(key.clone(), Limited { rules, lasts, seen, active: 0 });
        true
    }

    /// A tick of `key` has requested `run`; false when that schedule has no limit.
    pub(crate) fn launched(&mut self, key: &Key, run: RunId, (nominal, now): (i64, i64)) -> bool {
        let Some(schedule) = self.schedules.get_mut(key) else { return false };
        schedule.seen.launches.push((nominal, now));
        self.began(key.clone(), run, now);
        true
    }

    /// `run` is tried again; false when it is none of these.
    pub(crate) fn retried(&mut self, run: RunId, retry: RunId, now: i64) -> bool {
        let Some(key) = self.owners.get(&run).cloned() else { return false };
        self.began(key, retry, now);
        true
    }

    /// `run` is over.
    pub(crate) fn ended(&mut self, run: RunId, now: i64) {
        let Some(key) = self.owners.get(&run) else { return };
        let schedule = self.schedules.get_mut(key).unwrap();
        schedule.active -= 1;
        schedule.seen.under_way.push((now, schedule.active));
    }

    fn began(&mut self, key: Key, run: RunId, now: i64) {
        let schedule = self.schedules.get_mut(&key).unwrap();
        schedule.active += 1;
        schedule.seen.under_way.push((now, schedule.active));
        let lasts = Duration::from_millis(self.chance.below(schedule.lasts));
        let ends = [End::Canceled, End::Failed, End::Succeeded];
        let how = *self.chance.one_of(&ends).unwrap();
        let (control, machines, tenant) =
            (self.control.clone(), self.machines.clone(), key.0.clone());
        self.machines.spawn(self.people, async move {
            machines.sleep(lasts).await;
            end(&control, (tenant, run), how).await;
        });
        self.owners.insert(run, key);
    }

    /// From now on all is well, and clocks are right: remembers where each schedule stands.
    pub(crate) fn all_is_well(&mut self) {
        for (key, schedule) in &mut self.schedules {
            let newest = ticks_of(&self.control, key, 1).pop();
            schedule.seen.before = newest.map_or(START_MICROS, |tick| tick.nominal.as_micros());
        }
    }

    /// What is wrong with them, who have been well since the first of these times.
    pub(crate) fn verdict(&self, times: (i64, i64)) -> Result<TickVerdict, String> {
        let mut all = BTreeMap::new();
        for (key, schedule) in &self.schedules {
            let mut seen = schedule.seen.clone();
            for tick in ticks_of(&self.control, key, TICKS_MAX).iter().rev() {
                let (reached, came) = reached(tick, schedule.rules.period)?;
                let at = tick.decided_at.as_micros();
                seen.decided.extend(reached.into_iter().map(|nominal| (nominal, at, came)));
            }
            all.insert(format!("{} of {}", key.1, key.0), seen);
        }
        Ok(check_limited(all.iter().map(|(name, seen)| (name.as_str(), seen)), times))
    }
}

/// Has a run end that waits in the queue.
async fn end(control: &Control, (tenant, run): (TenantId, RunId), how: End) {
    let step = || "a".parse().unwrap();
    let over = match how {
        End::Canceled => {
            control.cancel(&tenant, run, PEOPLE).await.unwrap();
            return;
        }
        End::Failed => vec![EventBody::RunFailed { reason: "it broke".to_owned() }],
        End::Succeeded => vec![
            EventBody::StepStarted { step: step(), attempt: 1 },
            EventBody::StepSucceeded {
                step: step(),
                attempt: 1,
                took_micros: 1,
                result: serde_json::Value::Null,
                result_ref: None,
                usage: None,
            },
            EventBody::RunSucceeded {},
        ],
    };
    let claim = claim_queued_runs(&[(tenant.clone(), run)], PEOPLE, 1);
    control.store().apply(claim).await.unwrap();
    let started = EventBody::RunStarted { worker: PEOPLE.to_owned() };
    let events = (0..).zip(std::iter::once(started).chain(over));
    let at = control.now();
    let events = events.map(|(seq, body)| ReportedEvent { seq, at, body }).collect();
    control.report(&tenant, run, &Report { epoch: 1, events }).await.unwrap();
}

/// The newest ticks of a schedule, newest first.
fn ticks_of(control: &Control, (tenant, name): &Key, limit: u32) -> Vec<TickRow> {
    let location = "local".parse().unwrap();
    let source = TickSource { kind: TickKind::Schedule, location, name: name.clone() };
    at_once(control.store().ticks(tenant, &source, None, limit)).unwrap()
}

/// The times that a row of the history stands for, and what became of them.
fn reached(tick: &TickRow, period: i64) -> Result<(Vec<i64>, Came), String> {
    let nominal = tick.nominal.as_micros();
    let (first, came) = match (&tick.status, &tick.skipped) {
        (TickStatus::Launched, _) => (nominal, Came::Launched),
        (_, Some(SkipReason::TooLate { .. })) => (nominal, Came::TooLate),
        (_, Some(SkipReason::Missed { .. })) => (nominal, Came::Missed),
        (_, Some(SkipReason::Overlap { .. })) => (nominal, Came::Full),
        (_, Some(SkipReason::ManyTooLate { first, .. })) => (first.as_micros(), Came::TooLate),
        (_, Some(SkipReason::ManyMissed { first, .. })) => (first.as_micros(), Came::Missed),
        _ => return Err(format!("a tick for no reason: {tick:?}")),
    };
    Ok(((first..=nominal).step_by(usize::try_from(period).unwrap()).collect(), came))
}
