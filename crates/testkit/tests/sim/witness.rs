//! Looks at the database after every step, and knows what must hold (ARCHITECTURE.md).

use std::collections::{BTreeMap, BTreeSet};

use futures_util::FutureExt;
use millstream_control::QueueLimits;
use millstream_model::view::EventRow;
use millstream_model::{
    Cause, Event, EventBody, EventPosition, FileManifest, RunEvent, RunId, RunPlan, RunStatus,
    StepEvent, StepKey, StepStatus, TenantId,
};
use millstream_store::Store;
use millstream_store::live::LiveRun;
use millstream_store::slots::SlotRow;

use crate::slots::{SlotWitness, check_owners};

/// Batches of events that are read at once; one step commits far fewer.
const BATCHES_MAX: u32 = 10_000;

/// The result of `future`, which never waits: the database in memory answers at once.
pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().unwrap()
}

/// Everything that was ever seen of the runs.
pub(crate) struct Witness {
    store: Store,
    limits: QueueLimits,
    tenants: Vec<TenantId>,
    changes: tokio::sync::watch::Receiver<i64>,
    position: EventPosition,
    runs: BTreeMap<RunId, Seen>,
    /// The runs that were tried again, and by which run.
    retries: BTreeMap<RunId, RunId>,
    pub(crate) slots: SlotWitness,
}

/// What was seen of one run.
struct Seen {
    tenant: TenantId,
    plan: RunPlan,
    status: RunStatus,
    epoch: i64,
    /// The last event of the worker of `epoch`.
    seq: i64,
    said_by_control: BTreeSet<(i64, i64)>,
    steps: BTreeMap<StepKey, SeenStep>,
    lost: u32,
    /// The value of the label that is limited.
    label: Option<String>,
}

struct SeenStep {
    status: StepStatus,
    attempt: u32,
    /// The epoch in which that attempt started.
    epoch: i64,
    lost: u32,
}

impl Witness {
    pub(crate) fn new(store: Store, limits: QueueLimits, tenants: &[&str]) -> Self {
        let mut changes = store.changes();
        changes.mark_changed();
        Self {
            store,
            limits,
            tenants: tenants.iter().map(|id| id.parse().unwrap()).collect(),
            changes,
            position: EventPosition(0),
            runs: BTreeMap::new(),
            retries: BTreeMap::new(),
            slots: SlotWitness::default(),
        }
    }

    /// The limits that `file` declares must hold from now on.
    pub(crate) fn set_limits(&mut self, file: &FileManifest) {
        self.slots = SlotWitness::of(file);
    }

    /// Checks what the last step has stored; the error is what does not hold. Returns the new
    /// events as text, for the trace.
    pub(crate) fn check(&mut self) -> Result<String, String> {
        if !self.changes.has_changed().unwrap() {
            return Ok(String::new());
        }
        self.changes.mark_unchanged();
        let events = at_once(self.store.events_after(&self.tenants, self.position, BATCHES_MAX));
        let events = events.unwrap();
        let live = self.live_rows();
        self.check_limit(&live)?;
        self.meet_new_runs(&events)?;
        self.check_claims(&live)?;
        let mut touched = BTreeSet::new();
        let mut seen = String::new();
        let before: BTreeMap<RunId, RunStatus> =
            self.runs.iter().map(|(run, seen)| (*run, seen.status)).collect();
        for row in &events {
            self.check_position(row)?;
            touched.insert(row.event.run);
            let run = self.runs.get_mut(&row.event.run).ok_or("an event of no run")?;
            run.hear(&row.event).map_err(|what| format!("run {}: {what}", row.event.run))?;
            seen.push_str(&serde_json::to_string(&row.event).unwrap());
        }
        for (run, seen) in &mut self.runs {
            let was = before.get(run).copied();
            seen.check_status(live.get(run), was).map_err(|what| format!("run {run}: {what}"))?;
        }
        let rows = at_once(self.store.slots_held()).unwrap();
        self.slots.check_sums(&rows)?;
        check_owners(&rows, &live)?;
        self.check_started_hold(&rows, &live)?;
        self.check_labels(&live)?;
        for run in touched {
            self.check_rows(run).map_err(|what| format!("run {run}: {what}"))?;
        }
        Ok(seen)
    }

    fn live_rows(&self) -> BTreeMap<RunId, LiveRun> {
        let heads = at_once(self.store.queue_heads(BATCHES_MAX)).unwrap();
        let queued = heads
            .into_iter()
            .map(|head| at_once(self.store.live_run(&head.tenant, head.run)).unwrap().unwrap());
        let busy = at_once(self.store.runs_in_progress(BATCHES_MAX)).unwrap();
        queued.chain(busy).map(|live| (live.run, live)).collect()
    }

    fn check_limit(&self, live: &BTreeMap<RunId, LiveRun>) -> Result<(), String> {
        let busy = live.values().filter(|live| live.status != RunStatus::Queued).count();
        match self.limits.max_in_progress {
            Some(limit) if busy > limit as usize => {
                Err(format!("{busy} runs are in progress where {limit} may be"))
            }
            _ => Ok(()),
        }
    }

    fn meet_new_runs(&mut self, events: &[EventRow]) -> Result<(), String> {
        for Event { tenant, run, body, .. } in events.iter().map(|row| &row.event) {
            let EventBody::RunQueued { cause } = body else { continue };
            if let Cause::Retry { of, .. } = cause
                && let Some(first) = self.retries.insert(*of, *run)
            {
                return Err(format!("run {of} is retried by {first} and by {run}"));
            }
            let order = at_once(self.store.run_order(tenant, *run)).unwrap().unwrap();
            let plan = at_once(self.store.plan(tenant, &order.plan)).unwrap().unwrap();
            let row = at_once(self.store.run(tenant, *run)).unwrap().unwrap();
            let label = row.tags.get(crate::jobs::LIMITED).cloned();
            self.runs.insert(*run, Seen::new(tenant.clone(), plan, label));
        }
        Ok(())
    }

    /// A run leaves the queue for a worker only by a claim, which gives it the next epoch; and
    /// nothing else does.
    fn check_claims(&mut self, live: &BTreeMap<RunId, LiveRun>) -> Result<(), String> {
        for (run, seen) in &mut self.runs {
            let Some(live) = live.get(run) else { continue };
            let claimed = seen.status == RunStatus::Queued && live.status != RunStatus::Queued;
            let next = seen.epoch + i64::from(claimed);
            if live.epoch != next {
                return Err(format!("run {run} has epoch {} after {}", live.epoch, seen.epoch));
            }
            if claimed {
                (seen.status, seen.epoch, seen.seq) = (RunStatus::Starting, next, -1);
            }
        }
        Ok(())
    }

    fn check_position(&mut self, row: &EventRow) -> Result<(), String> {
        let position = row.position.ok_or("an event without a position")?;
        if position < self.position {
            return Err(format!("position {} after {}", position.0, self.position.0));
        }
        self.position = position;
        Ok(())
    }

    /// The projections say what the events say.
    fn check_rows(&self, run: RunId) -> Result<(), String> {
        let Some(seen) = self.runs.get(&run) else { return Err("it was never queued".to_owned()) };
        let row = at_once(self.store.run(&seen.tenant, run)).unwrap().ok_or("it has no row")?;
        if row.status != seen.status {
            return Err(format!("its row says {} where it is {}", row.status, seen.status));
        }
        let steps = at_once(self.store.steps_of_run(&seen.tenant, run)).unwrap();
        let mut done = 0;
        for (key, told) in &seen.steps {
            let stored = steps.get(key);
            let status = stored.map_or(StepStatus::Pending, |step| step.status);
            let attempt = stored.map_or(0, |step| step.attempt);
            done += u32::from(status.is_terminal());
            // What a worker leaves open is canceled when its run ends without it.
            let settled = seen.status.is_terminal() && status == StepStatus::Canceled;
            if status != told.status && !settled {
                return Err(format!("step {key} is {status} where its events say {}", told.status));
            }
            if attempt != told.attempt {
                return Err(format!("step {key} has attempt {attempt}, not {}", told.attempt));
            }
            let open = matches!(status, StepStatus::Started | StepStatus::Retrying);
            if seen.status.is_terminal() && open {
                return Err(format!("it is {} and step {key} goes on", seen.status));
            }
        }
        if done != row.steps_over {
            return Err(format!("{done} steps are over and {} are counted", row.steps_over));
        }
        Ok(())
    }

    /// Every attempt that runs and needs slots holds them.
    fn check_started_hold(
        &self,
        rows: &[SlotRow],
        live: &BTreeMap<RunId, LiveRun>,
    ) -> Result<(), String> {
        for (run, seen) in &self.runs {
            let Some(live) = live.get(run).filter(|it| it.status != RunStatus::Queued) else {
                continue;
            };
            for planned in seen.plan.steps.iter().filter(|planned| planned.pool.is_some()) {
                let Some(step) = seen.steps.get(&planned.key) else { continue };
                let runs = step.status == StepStatus::Started && step.epoch == live.epoch;
                let holds = |row: &SlotRow| {
                    row.run == *run && row.step == planned.key && row.attempt == step.attempt
                };
                if runs && !rows.iter().any(holds) {
                    return Err(format!("step {} of {run} runs without slots", planned.key));
                }
            }
        }
        Ok(())
    }

    /// No label has more runs in progress than its limit.
    fn check_labels(&self, live: &BTreeMap<RunId, LiveRun>) -> Result<(), String> {
        let mut counts: BTreeMap<(&TenantId, String), u32> = BTreeMap::new();
        for (run, live) in live.iter().filter(|(_, live)| live.status != RunStatus::Queued) {
            let Some(value) = self.runs.get(run).and_then(|seen| seen.label.clone()) else {
                continue;
            };
            let count = counts.entry((&live.tenant, value)).or_default();
            *count += 1;
            if self.slots.label_limit.is_some_and(|limit| *count > limit) {
                return Err(format!("{count} runs have the label of {run}"));
            }
        }
        Ok(())
    }

    /// Whether every run is over.
    pub(crate) fn is_over(&self) -> bool {
        self.runs.values().all(|seen| seen.status.is_terminal())
    }

    /// Nothing is left of the slots that steps held, waited for or had places for.
    pub(crate) fn check_over(&self) -> Result<(), String> {
        for tenant in &self.tenants {
            let left = at_once(self.store.slots_of_tenant(tenant, 1)).unwrap();
            if let Some(row) = left.first() {
                let SlotRow { run, step, pool, .. } = row;
                return Err(format!("step {step} of {run}, which is over, is left at pool {pool}"));
            }
        }
        Ok(())
    }

    /// The runs that are not over, as text.
    pub(crate) fn unfinished(&self) -> String {
        let open = self.runs.iter().filter(|(_, seen)| !seen.status.is_terminal());
        let open: Vec<String> = open
            .map(|(run, seen)| format!("{run} is {} in epoch {}", seen.status, seen.epoch))
            .collect();
        if open.is_empty() { "a worker does not end".to_owned() } else { open.join(", ") }
    }

    /// The runs that are not over.
    pub(crate) fn live(&self) -> Vec<(TenantId, RunId)> {
        let live = self.runs.iter().filter(|(_, seen)| !seen.status.is_terminal());
        live.map(|(run, seen)| (seen.tenant.clone(), *run)).collect()
    }

    /// The runs that failed or were canceled.
    pub(crate) fn failed(&self) -> Vec<(TenantId, RunId)> {
        let has_failed =
            |seen: &Seen| matches!(seen.status, RunStatus::Failure | RunStatus::Canceled);
        let failed = self.runs.iter().filter(|(_, seen)| has_failed(seen));
        failed.map(|(run, seen)| (seen.tenant.clone(), *run)).collect()
    }

    /// How many runs there were, and how many workers they lost.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let lost: u32 = self.runs.values().map(|seen| seen.lost).sum();
        (self.runs.len(), lost as usize)
    }
}

impl Seen {
    fn new(tenant: TenantId, plan: RunPlan, label: Option<String>) -> Self {
        let step = |key: &StepKey| {
            (key.clone(), SeenStep { status: StepStatus::Pending, attempt: 0, epoch: 0, lost: 0 })
        };
        let steps = plan.steps.iter().map(|planned| step(&planned.key)).collect();
        Self {
            tenant,
            plan,
            status: RunStatus::Queued,
            epoch: 0,
            seq: -1,
            said_by_control: BTreeSet::new(),
            steps,
            lost: 0,
            label,
        }
    }

    /// Takes in an event, which must be one that can happen now.
    fn hear(&mut self, event: &Event) -> Result<(), String> {
        let kind = event.body.kind();
        // A run that is over has no epoch any more when somebody retries it.
        let by_hand = matches!(event.body, EventBody::RunRetried { number: 0, .. });
        if event.epoch != self.epoch && !by_hand {
            return Err(format!("{kind} of epoch {} in epoch {}", event.epoch, self.epoch));
        }
        // What the control plane says has a fixed number; a worker counts.
        if event.body.control_seq() == Some(event.seq) {
            if !self.said_by_control.insert((event.epoch, event.seq)) {
                return Err(format!("{kind} twice in one epoch"));
            }
        } else if event.seq == self.seq + 1 {
            self.seq = event.seq;
        } else {
            return Err(format!("event {} after event {}", event.seq, self.seq));
        }
        let follows = matches!(
            event.body,
            EventBody::RunCanceled {} | EventBody::RunRetried { .. } | EventBody::RunGaveUp { .. }
        );
        if self.status.is_terminal() && !follows {
            return Err(format!("{kind} after its end as {}", self.status));
        }
        if let (Some(step), Some(happened)) = (event.body.step(), event.body.step_event()) {
            self.hear_step(step, happened, &event.body)?;
        }
        self.lost += u32::from(matches!(event.body, EventBody::WorkerLost { .. }));
        if let Some(happened) = run_event(&event.body, event.seq < 0) {
            self.status = self.status.after(happened).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn hear_step(
        &mut self,
        key: &StepKey,
        happened: StepEvent,
        body: &EventBody,
    ) -> Result<(), String> {
        if happened == StepEvent::Started {
            self.check_start(key)?;
        }
        let planned = self.plan.step(key).ok_or("a step that is not in the plan")?;
        let (attempts, epoch) = (planned.retry.attempts(), self.epoch);
        let step = self.steps.get_mut(key).ok_or("a step that is not in the plan")?;
        step.status =
            step.status.after(happened).map_err(|error| format!("step {key}: {error}"))?;
        match body {
            EventBody::StepStarted { attempt, .. } if *attempt != step.attempt + 1 => {
                Err(format!("attempt {attempt} at step {key} after attempt {}", step.attempt))
            }
            EventBody::StepStarted { attempt, .. } => {
                (step.attempt, step.epoch) = (*attempt, epoch);
                if *attempt > attempts + step.lost {
                    return Err(format!("step {key} starts more often than it may"));
                }
                Ok(())
            }
            EventBody::StepLost { .. } => {
                step.lost += 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A step starts after all it depends on, and with no more others than its run allows.
    fn check_start(&self, key: &StepKey) -> Result<(), String> {
        let planned = self.plan.step(key).ok_or("a step that is not in the plan")?;
        for above in &planned.depends_on {
            let status = self.steps.get(above).map(|step| step.status);
            if status != Some(StepStatus::Success) {
                return Err(format!("step {key} starts before {above} has succeeded"));
            }
        }
        let going = self.steps.values().filter(|step| step.status == StepStatus::Started).count();
        match self.plan.max_parallel {
            Some(limit) if going >= limit as usize => {
                Err(format!("step {key} starts beside {going} others where {limit} may go on"))
            }
            _ => Ok(()),
        }
    }

    /// The live row says what the events say, and is there exactly while the run is not over.
    fn check_status(
        &mut self,
        live: Option<&LiveRun>,
        was: Option<RunStatus>,
    ) -> Result<(), String> {
        if let Some(was) = was.filter(|was| was.is_terminal() && *was != self.status) {
            return Err(format!("it was {was} and is {} now", self.status));
        }
        match live {
            Some(live) if live.status != self.status => Err(format!(
                "its live row says {} where its events say {}",
                live.status, self.status
            )),
            Some(live) if live.seq != self.seq => {
                Err(format!("its live row says event {} where {} was last", live.seq, self.seq))
            }
            None if !self.status.is_terminal() => {
                Err(format!("it is {} without a live row", self.status))
            }
            _ => Ok(()),
        }
    }
}

/// What an event does to its run. What the control plane says of an end repeats the cancel or the
/// loss before it.
fn run_event(body: &EventBody, by_control: bool) -> Option<RunEvent> {
    match body {
        EventBody::RunStarted { .. } => Some(RunEvent::WorkerStarted),
        EventBody::RunSucceeded {} => Some(RunEvent::AllStepsSucceeded),
        EventBody::RunCanceled {} if by_control => None,
        EventBody::RunCanceled {} => Some(RunEvent::WorkerStopped),
        EventBody::RunFailed { .. } => Some(RunEvent::Broke),
        EventBody::CancelRequested { .. } => Some(RunEvent::CancelRequested),
        EventBody::LaunchFailed { .. } => Some(RunEvent::LaunchFailed),
        EventBody::WorkerLost { .. } => Some(RunEvent::WorkerLost),
        _ => None,
    }
}
