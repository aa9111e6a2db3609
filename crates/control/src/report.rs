//! A worker takes a run over, and says what happens to it.
//!
//! **Invariant.** The events of one epoch are stored in the order of their `seq`, each exactly
//! once: a report moves the run's place from just before its first event to its last, or misses.

use std::collections::BTreeMap;

use millstream_model::view::{MadeBy, MaterializationRow, PartitionState};
use millstream_model::worker_api::{Assignment, Report, ReportAnswer, ReportedEvent, WaitingStep};
use millstream_model::{
    AssetKey, Event, EventBody, FailureCause, RunEvent, RunId, RunPlan, RunStatus, StepEvent,
    StepKey, StepStatus, TenantId,
};
use millstream_store::live::LiveRun;
use millstream_store::materializations::PartitionChange;
use millstream_store::runs::RunEnd;
use millstream_store::steps::StepChange;
use millstream_store::{Applied, Batch, events, live, materializations, runs, slots, steps};

use crate::cancel::TRIES;
use crate::failure::Aftermath;
use crate::{Control, ReportError};

/// Events in one report.
const EVENTS_MAX: usize = 10_000;

impl Control {
    /// What the worker of this launch has to do, and what earlier workers have left.
    pub async fn assignment(
        &self,
        tenant: &TenantId,
        run: RunId,
        epoch: i64,
    ) -> Result<Assignment, ReportError> {
        let stale = || ReportError::Stale { run, epoch };
        let live = self.store.live_run(tenant, run).await?.ok_or_else(stale)?;
        if live.epoch != epoch {
            return Err(stale());
        }
        let order = self.store.run_order(tenant, run).await?.ok_or_else(stale)?;
        let plan = self.plan_of(tenant, run, &order).await?;
        // Before the first epoch's worker nobody has reported anything, but for what a retry keeps.
        let progress = if epoch == 1 && order.cause.resumes().is_none() {
            BTreeMap::new()
        } else {
            self.store.steps_of_run(tenant, run).await?
        };
        Ok(Assignment {
            provenance: self.provenance(tenant, &plan).await?,
            tenant: tenant.clone(),
            run,
            epoch,
            plan: (*plan).clone(),
            context: order.context,
            queued_at: order.queued_at,
            progress: progress.into_iter().map(|(key, step)| step.progress(key)).collect(),
        })
    }

    /// Stores a worker's events in one batch, behind the fence of its epoch.
    pub async fn report(
        &self,
        tenant: &TenantId,
        run: RunId,
        report: &Report,
    ) -> Result<ReportAnswer, ReportError> {
        let Some(first) = report.events.first() else {
            return self.beat(tenant, run, report.epoch).await;
        };
        let refused =
            |problem: String| ReportError::Refused { tenant: tenant.clone(), run, problem };
        if report.events.len() > EVENTS_MAX {
            return Err(refused(format!("it has more than {EVENTS_MAX} events")));
        }
        let in_order = report.events.windows(2).all(|pair| match pair {
            [a, b] => b.seq == a.seq + 1,
            _ => true,
        });
        if !in_order || first.seq < 0 {
            return Err(refused("its events are not numbered one after the other".to_owned()));
        }
        let plan = if let Some(plan) = self.plans.of_run(run) {
            plan
        } else {
            let stale = || ReportError::Stale { run, epoch: report.epoch };
            let order = self.store.run_order(tenant, run).await?.ok_or_else(stale)?;
            self.plan_of(tenant, run, &order).await?
        };
        let fails =
            report.events.iter().any(|event| matches!(event.body, EventBody::RunFailed { .. }));
        let aftermath = if fails {
            Some(self.aftermath((tenant, run), &plan, FailureCause::Step).await?)
        } else {
            None
        };
        let epoch = report.epoch;
        let remarks = self.remarks(tenant, &plan, &report.events).await?;
        let writer = Writer { control: self, tenant, run, epoch, plan: &plan, aftermath, remarks };
        let mut events = report.events.as_slice();
        for _ in 0..TRIES {
            let mut live = None;
            if events.iter().any(|event| run_event(&event.body).is_some()) {
                match writer.standing(events).await? {
                    Standing::Stored(answer) => return Ok(answer),
                    Standing::New { rest, run } => (events, live) = (rest, Some(run)),
                }
            }
            match self.store.apply(writer.batch(events, live)?).await {
                Ok(applied) => return cancel_flag(applied),
                Err(error) if error.is_conflict() => match writer.standing(events).await? {
                    Standing::Stored(answer) => return Ok(answer),
                    Standing::New { rest, .. } => events = rest,
                },
                Err(error) => return Err(error.into()),
            }
        }
        Err(refused("its events do not fit the state of the run's steps".to_owned()))
    }

    /// Raises a worker's beat.
    pub async fn beat(
        &self,
        tenant: &TenantId,
        run: RunId,
        epoch: i64,
    ) -> Result<ReportAnswer, ReportError> {
        match self.store.apply(live::raise_beat(tenant, run, epoch)).await {
            Ok(applied) => cancel_flag(applied),
            Err(error) if error.is_conflict() => Err(ReportError::Stale { run, epoch }),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a cancel was asked for: the row that the fence returns.
fn cancel_flag(mut applied: Applied) -> Result<ReportAnswer, ReportError> {
    let row = applied.rows(0).into_iter().next();
    let cancel = row.map_or(Ok(false), |mut row| row.truth())?;
    Ok(ReportAnswer { cancel })
}

/// What an event of a worker does to the run's status; `None` when nothing.
fn run_event(body: &EventBody) -> Option<RunEvent> {
    match body {
        EventBody::RunStarted { .. } => Some(RunEvent::WorkerStarted),
        EventBody::RunSucceeded {} => Some(RunEvent::AllStepsSucceeded),
        EventBody::RunFailed { .. } => Some(RunEvent::Broke),
        EventBody::RunCanceled {} => Some(RunEvent::WorkerStopped),
        _ => None,
    }
}

/// How a report stands to what is stored.
enum Standing<'a> {
    /// All of it is stored: it came before, and its answer was lost.
    Stored(ReportAnswer),
    /// These events of it are new.
    New { rest: &'a [ReportedEvent], run: LiveRun },
}

/// One report on its way into a batch.
struct Writer<'a> {
    control: &'a Control,
    tenant: &'a TenantId,
    run: RunId,
    epoch: i64,
    plan: &'a RunPlan,
    /// What follows, where the report says that the run has failed.
    aftermath: Option<Aftermath>,
    /// What is odd about what ops report, by the event's `seq`.
    remarks: BTreeMap<i64, String>,
}

impl Writer<'_> {
    fn batch(
        &self,
        reported: &[ReportedEvent],
        live: Option<LiveRun>,
    ) -> Result<Batch, ReportError> {
        let (tenant, run) = (self.tenant, self.run);
        let mut batch = Batch::for_tenant(tenant);
        let (first, last) = ends(reported);
        let done = reported.iter().filter(|event| ends_step(&event.body)).count();
        let done = u32::try_from(done).unwrap_or(u32::MAX);
        live::advance(&mut batch, (tenant, run, self.epoch), (first - 1, last), done);

        let mut log: Vec<Event> = reported.iter().map(|event| self.event(event)).collect();
        let mut live = live;
        for event in reported {
            self.step(&mut batch, event);
            if let Some(happened) = run_event(&event.body) {
                self.move_run(&mut batch, &mut live, happened, event)?;
            }
        }
        self.follow(&mut batch, &mut log, live.as_ref(), reported);
        events::insert(&mut batch, tenant, &self.control.new_id().to_string(), &log);
        Ok(batch)
    }

    /// Adds what follows where these events have failed the run: a canceled one earns no retry.
    fn follow(
        &self,
        batch: &mut Batch,
        log: &mut Vec<Event>,
        live: Option<&LiveRun>,
        reported: &[ReportedEvent],
    ) {
        let failed = live.is_some_and(|live| live.status == RunStatus::Failure);
        let reason = reported.iter().rev().find_map(|event| match &event.body {
            EventBody::RunFailed { reason } => Some(reason),
            _ => None,
        });
        if let (true, Some(aftermath), Some(reason)) = (failed, &self.aftermath, reason) {
            self.control.add_aftermath((batch, log), aftermath, (self.epoch, reason));
        }
    }

    fn event(&self, event: &ReportedEvent) -> Event {
        let mut body = event.body.clone();
        if let EventBody::Materialized { remark, .. } = &mut body {
            *remark = self.remarks.get(&event.seq).cloned();
        }
        Event {
            v: 1,
            at: event.at,
            tenant: self.tenant.clone(),
            run: self.run,
            epoch: self.epoch,
            seq: event.seq,
            body,
        }
    }

    fn move_run(
        &self,
        batch: &mut Batch,
        live: &mut Option<LiveRun>,
        happened: RunEvent,
        event: &ReportedEvent,
    ) -> Result<(), ReportError> {
        let stale = || ReportError::Stale { run: self.run, epoch: self.epoch };
        let current = live.as_mut().filter(|live| live.epoch == self.epoch).ok_or_else(stale)?;
        let refused = |problem: millstream_model::IllegalTransition| ReportError::Refused {
            tenant: self.tenant.clone(),
            run: self.run,
            problem: problem.to_string(),
        };
        let status = current.status.after(happened).map_err(refused)?;
        if status.is_terminal() {
            live::remove(batch, current);
            if self.plan.steps.iter().any(|step| step.pool.is_some()) {
                slots::free_all(batch, self.tenant, self.run);
            }
            let failure = match &event.body {
                EventBody::RunFailed { reason } => Some(reason.clone()),
                _ => None,
            };
            let end = RunEnd { status, at: event.at, failure };
            runs::end(batch, self.tenant, self.run, &end);
        } else {
            live::move_to(batch, current, status);
            runs::start(batch, self.tenant, self.run, event.at);
        }
        current.status = status;
        Ok(())
    }

    /// Adds what an event does to a step, an asset and a partition.
    fn step(&self, batch: &mut Batch, event: &ReportedEvent) {
        self.asset(batch, event);
        let (Some(step), Some(happened)) = (event.body.step(), event.body.step_event()) else {
            return;
        };
        let change = StepChange {
            step,
            event: happened,
            status: status_after(happened),
            attempt: 0,
            at: event.at,
            retry_at: None,
            error: None,
            reason: None,
            result: None,
            result_ref: None,
        };
        let change = with_details(change, &event.body);
        self.slots(batch, &change);
        steps::change(batch, self.tenant, self.run, &change);
    }

    /// Whether the run may have reported `asset` before: in an earlier attempt or epoch of the
    /// step, or by another step, where it is none that the step itself makes.
    fn may_repeat(&self, step: &StepKey, asset: &AssetKey) -> bool {
        let sole = self.plan.step(step).is_some_and(|step| {
            let own = step.asset.as_ref().is_some_and(|own| &own.key == asset);
            own && step.retry.attempts() == 1
        });
        self.epoch > 1 || !sole
    }

    /// An attempt starts with the slots that it holds, and frees them in the batch of its end. One
    /// that was lost with its worker was freed of them then, and has its step's place in line.
    fn slots(&self, batch: &mut Batch, change: &StepChange<'_>) {
        if self.plan.step(change.step).is_none_or(|step| step.pool.is_none()) {
            return;
        }
        match change.event {
            StepEvent::Started => {
                let (step, attempt) = (change.step.clone(), change.attempt);
                slots::must_hold(batch, self.tenant, self.run, &WaitingStep { step, attempt });
            }
            StepEvent::WorkerLost => {}
            _ => slots::free(batch, self.tenant, self.run, change.step),
        }
    }

    fn asset(&self, batch: &mut Batch, event: &ReportedEvent) {
        if let EventBody::Materialized {
            step,
            asset,
            partition,
            metadata,
            data_version,
            code_version,
            remark: _,
        } = &event.body
        {
            let row = MaterializationRow {
                asset: asset.clone(),
                partition: partition.clone(),
                made_by: MadeBy::Run { run_id: self.run, step: step.clone() },
                at: event.at,
                metadata: metadata.clone(),
                data_version: data_version.clone(),
                code_version: code_version.clone(),
            };
            if self.may_repeat(step, asset) {
                materializations::replace(batch, self.tenant, &row);
            } else {
                materializations::insert(batch, self.tenant, &row);
            }
        }
        let Some(step) = event.body.step().and_then(|key| self.plan.step(key)) else { return };
        let Some(asset) = &step.asset else { return };
        let Some(partition) = &asset.partition else { return };
        let change = |state| PartitionChange {
            asset: &asset.key,
            partition,
            state,
            run: self.run,
            reported_by: None,
            at: event.at,
        };
        match &event.body {
            EventBody::StepStarted { .. } => {
                let change = change(PartitionState::Running);
                materializations::change_partition(batch, self.tenant, &change);
            }
            EventBody::Materialized { .. } => {
                let change = change(PartitionState::Materialized);
                materializations::change_partition(batch, self.tenant, &change);
            }
            EventBody::StepFailed { retry: None, .. } | EventBody::StepUpstreamFailed { .. } => {
                let change = change(PartitionState::Failed);
                materializations::change_partition(batch, self.tenant, &change);
            }
            // Nothing new was made, so the partition is again what it was before.
            EventBody::StepSucceeded { .. }
            | EventBody::StepSkipped { .. }
            | EventBody::StepCanceled { .. } => {
                let key = (&asset.key, partition);
                materializations::settle_partition(batch, self.tenant, key, self.run);
            }
            _ => {}
        }
    }

    /// How `reported` stands to what is stored, when the fence or a status missed or may miss.
    ///
    /// A worker that had no answer sends the same events again, and those that came since.
    async fn standing<'e>(
        &self,
        reported: &'e [ReportedEvent],
    ) -> Result<Standing<'e>, ReportError> {
        let (first, last) = ends(reported);
        let Some(live) = self.control.store.live_run(self.tenant, self.run).await? else {
            return self.already_ended(last).await.map(Standing::Stored);
        };
        if live.epoch != self.epoch {
            return Err(ReportError::Stale { run: self.run, epoch: self.epoch });
        }
        if live.seq >= last {
            return Ok(Standing::Stored(ReportAnswer { cancel: live.cancel_requested }));
        }
        if live.seq < first - 1 {
            return Err(ReportError::Refused {
                tenant: self.tenant.clone(),
                run: self.run,
                problem: format!("event {first} was reported after event {}", live.seq),
            });
        }
        let stored = reported.partition_point(|event| event.seq <= live.seq);
        Ok(Standing::New { rest: reported.get(stored..).unwrap_or_default(), run: live })
    }

    /// A run that is over: fine when this very report ended it and its answer was lost.
    async fn already_ended(&self, last: i64) -> Result<ReportAnswer, ReportError> {
        let stored = self.control.store.event_exists(self.tenant, self.run, (self.epoch, last));
        if stored.await? {
            return Ok(ReportAnswer { cancel: false });
        }
        Err(ReportError::Stale { run: self.run, epoch: self.epoch })
    }
}

/// The numbers of the first and the last of `reported`.
fn ends(reported: &[ReportedEvent]) -> (i64, i64) {
    let number = |event: Option<&ReportedEvent>| event.map_or(0, |event| event.seq);
    (number(reported.first()), number(reported.last()))
}

/// Whether the step that `body` is about is over with it.
fn ends_step(body: &EventBody) -> bool {
    let happened = body.step().and_then(|_| body.step_event());
    happened.is_some_and(|happened| status_after(happened).is_terminal())
}

/// The status that a step has after `event`, whichever of the allowed ones it had before.
fn status_after(event: StepEvent) -> StepStatus {
    StepStatus::ALL
        .into_iter()
        .find_map(|from| from.after(event).ok())
        .unwrap_or(StepStatus::Pending)
}

fn with_details<'a>(change: StepChange<'a>, body: &'a EventBody) -> StepChange<'a> {
    match body {
        EventBody::StepStarted { attempt, .. } | EventBody::StepLost { attempt, .. } => {
            StepChange { attempt: *attempt, ..change }
        }
        EventBody::StepSucceeded { attempt, result, result_ref, .. } => StepChange {
            attempt: *attempt,
            result: Some(result),
            result_ref: result_ref.as_deref(),
            ..change
        },
        EventBody::StepSkipped { attempt, reason, .. } => {
            StepChange { attempt: *attempt, reason: Some(reason), ..change }
        }
        EventBody::StepFailed { attempt, error, retry, .. } => StepChange {
            attempt: *attempt,
            error: Some(error),
            retry_at: retry.map(|retry| change.at.after(retry.delay())),
            ..change
        },
        EventBody::StepUpstreamFailed { upstream, .. } => {
            StepChange { reason: Some(upstream.as_str()), ..change }
        }
        EventBody::StepCanceled { attempt, .. } => StepChange { attempt: *attempt, ..change },
        _ => change,
    }
}
