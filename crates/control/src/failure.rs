//! What follows a failure, in the batch that stores it: a retry, a dead letter, or nothing; and
//! what people do about it later.

use std::collections::BTreeMap;

use millstream_decide::failure::{AfterFailure, FailedRun, after_failure};
use millstream_decide::queue::{lane_again, lane_of};
use millstream_model::view::RunRow;
use millstream_model::{
    AssetKey, Cause, Closed, ClosedAs, DeadLetter, Event, EventBody, FailureCause, RetryFrom,
    RunId, RunPlan, RunRetries, TenantId, retries_of, shell_word,
};
use millstream_plan::{PartitionChoice, PlanError, plan_assets, plan_job};
use millstream_store::dead_letters::{self, DeadLetterFilter};
use millstream_store::live::{self, NewLiveRun};
use millstream_store::runs::{self, NewRun, RunOrder};
use millstream_store::{Batch, Expect, StoreError, events, steps, ticks};

use crate::launch::priority_in;
use crate::{Control, ControlError, Launched};

/// What follows the failure of a run, ready to be written.
#[derive(Debug, Clone)]
pub(crate) struct Aftermath {
    run: RunRow,
    order: RunOrder,
    timeout: Option<std::time::Duration>,
    priority: i64,
    /// Where a retry waits.
    lane: String,
    decision: AfterFailure,
}

impl Control {
    /// What follows when `cause` ends `run` now.
    pub(crate) async fn aftermath(
        &self,
        (tenant, run): (&TenantId, RunId),
        plan: &RunPlan,
        cause: FailureCause,
    ) -> Result<Aftermath, StoreError> {
        let gone = || StoreError::UnknownValue {
            statement: "RUN",
            column: 0,
            value: format!("no run {run}"),
        };
        let row = self.store.run(tenant, run).await?.ok_or_else(gone)?;
        let order = self.store.run_order(tenant, run).await?.ok_or_else(gone)?;
        let retries = retries_in(plan, &row.tags).filter(|_| self.retries_runs);
        let decision =
            after_failure(FailedRun { cause, retries, earlier: row.cause.retries_so_far() });
        let (timeout, priority) = (plan.timeout.map(|it| it.0), priority_in(plan, &row.tags));
        let lane = self.lane(&row, priority).await?;
        Ok(Aftermath { run: row, order, timeout, priority, lane, decision })
    }

    /// The lane in which a run waits that tries `run` again, under the limits of today.
    async fn lane(&self, run: &RunRow, priority: i64) -> Result<String, StoreError> {
        Ok(lane_of(self.catalog().await?.limits(), &run.tenant, priority, &run.tags))
    }

    /// Adds what follows to the batch of the failure, and its events to `log`.
    pub(crate) fn add_aftermath(
        &self,
        (batch, log): (&mut Batch, &mut Vec<Event>),
        aftermath: &Aftermath,
        (epoch, failure): (i64, &str),
    ) {
        let (tenant, run) = (&aftermath.run.tenant, aftermath.run.run_id);
        match aftermath.decision {
            AfterFailure::Nothing => {}
            AfterFailure::Retry { number, max, from } => {
                let cause = Cause::Retry { of: run, number, from, by: None };
                let retry = self.add_retry((&mut *batch, &mut *log), aftermath, cause);
                let retried = EventBody::RunRetried { retry, number, max, from, by: None };
                log.push(self.control_event(tenant, run, epoch, retried));
            }
            AfterFailure::GiveUp { reason } => {
                dead_letters::insert(batch, (tenant, run), (reason, failure), self.now());
                let gave_up = EventBody::RunGaveUp { reason };
                log.push(self.control_event(tenant, run, epoch, gave_up));
            }
        }
    }

    /// Adds a run that does again what the failed one should have done.
    ///
    /// One that nobody asked for keeps the place of the failed run under tag limits: what waits for
    /// that run to end waits until it is not tried again any more. Among the runs of the schedule
    /// whose tick began it all, each retry counts.
    fn add_retry(
        &self,
        (batch, log): (&mut Batch, &mut Vec<Event>),
        failed: &Aftermath,
        cause: Cause,
    ) -> RunId {
        let (retry, now) = (self.new_id(), self.now());
        let (parent, order) = (&failed.run, &failed.order);
        let tenant = &parent.tenant;
        dead_letters::mark_retried(batch, tenant, parent.run_id, retry);
        let new = NewRun {
            tenant,
            run: retry,
            location: &order.location,
            job: parent.job.as_ref(),
            title: &parent.title,
            cause: &cause,
            partition: parent.partition.as_ref(),
            tags: &parent.tags,
            context: &order.context,
            plan: &order.plan,
            steps: parent.steps_total,
            queued_at: now,
        };
        runs::insert(batch, &new);
        if matches!(parent.cause, Cause::Schedule { .. } | Cause::Retry { .. }) {
            ticks::count_retry(batch, tenant, (parent.run_id, retry));
        }
        if let Some(of) = cause.resumes() {
            steps::keep_done(batch, tenant, of, retry);
        }
        let by_itself = matches!(&cause, Cause::Retry { by: None, .. });
        let lane = if by_itself { lane_again(&failed.lane) } else { failed.lane.clone() };
        let waiting = NewLiveRun {
            tenant,
            run: retry,
            priority: failed.priority,
            lane: &lane,
            tags: &parent.tags,
            queued_at: now,
            timeout: failed.timeout,
            again: by_itself,
        };
        live::insert(batch, &waiting);
        log.push(self.control_event(tenant, retry, 0, EventBody::RunQueued { cause }));
        retry
    }

    /// Refuses to start anew what a run did whose tenant or job is off by now. A job that no file
    /// has any more is not: its run keeps its plan.
    pub(crate) async fn check_may_start(
        &self,
        run: &RunRow,
        order: &RunOrder,
    ) -> Result<(), ControlError> {
        let tenant = &run.tenant;
        let catalog = self.catalog().await?;
        let found = catalog.tenant(tenant);
        if !found.declared {
            return Err(ControlError::TenantUnknown { tenant: tenant.to_string() });
        }
        if !found.tenant.enabled {
            return Err(PlanError::TenantDisabled { tenant: tenant.clone() }.into());
        }
        let manifest = catalog.manifests().find(|it| it.location == order.location);
        match (manifest, &run.job) {
            (Some(manifest), Some(job)) => self.check_enabled(manifest, tenant, job).await,
            _ => Ok(()),
        }
    }

    /// Tries a run that failed or was canceled again, because somebody asks for it; its dead letter
    /// is closed by that. A run is tried again once: what fails then is the run to retry. Where its
    /// tenant or its job is off, it is not.
    pub async fn retry_run(
        &self,
        tenant: &TenantId,
        run: RunId,
        from: RetryFrom,
        by: &str,
    ) -> Result<Launched, ControlError> {
        let unknown = || ControlError::RunUnknown { run: run.to_string() };
        let row = self.store.run(tenant, run).await?.ok_or_else(unknown)?;
        if let Some(retry) = row.retried_as {
            return Err(ControlError::RunRetried { run, retry });
        }
        if !row.status.may_be_retried() {
            return Err(ControlError::RunStatus { run, status: row.status, wanted: "retried" });
        }
        let order = self.store.run_order(tenant, run).await?.ok_or_else(unknown)?;
        self.check_may_start(&row, &order).await?;
        let plan = self.plan_of(tenant, run, &order).await?;
        let partition = row.partition.clone();
        let max = retries_in(&plan, &row.tags).map_or(0, |retries| retries.max);
        let (timeout, priority) =
            (plan.timeout.map(|limit| limit.0), priority_in(&plan, &row.tags));
        let lane = self.lane(&row, priority).await?;
        let failed =
            Aftermath { run: row, order, timeout, priority, lane, decision: AfterFailure::Nothing };
        let (mut batch, mut log) = (Batch::for_tenant(tenant), Vec::new());
        let asked_by = Some(by.to_owned());
        let cause = Cause::Retry { of: run, number: 0, from, by: asked_by.clone() };
        let retry = self.add_retry((&mut batch, &mut log), &failed, cause);
        let retried = EventBody::RunRetried { retry, number: 0, max, from, by: asked_by };
        // The run has no epoch any more; the mark on its row makes this event the only one.
        log.push(self.control_event(tenant, run, 0, retried));
        dead_letters::close(
            &mut batch,
            (tenant, run),
            &self.closed(ClosedAs::Retried, by),
            Expect::Any,
        );
        events::insert(&mut batch, tenant, &self.new_id().to_string(), &log);
        match self.store.apply(batch).await {
            Ok(_) => Ok(Launched { tenant: tenant.clone(), run_id: retry, partition }),
            Err(error) if error.is_conflict() => Err(ControlError::Contended { run }),
            Err(error) => Err(error.into()),
        }
    }

    /// That the definitions of a run have changed since it was planned, and what runs them as they
    /// are now, in words: a retry of it keeps its plan. Nothing where they have not, or are gone.
    pub async fn older_plan_words(
        &self,
        tenant: &TenantId,
        run: RunId,
    ) -> Result<Option<String>, ControlError> {
        let unknown = || ControlError::RunUnknown { run: run.to_string() };
        let order = self.store.run_order(tenant, run).await?.ok_or_else(unknown)?;
        let plan = self.plan_of(tenant, run, &order).await?;
        let assets: Vec<AssetKey> =
            plan.steps.iter().filter_map(|step| Some(step.asset.as_ref()?.key.clone())).collect();
        let catalog = self.catalog().await?;
        let manifest = match (&plan.job, assets.first()) {
            (Some(job), _) => catalog.for_job(tenant, job),
            (None, Some(first)) => catalog.for_asset(tenant, first),
            (None, None) => None,
        };
        let Some(manifest) = manifest else { return Ok(None) };
        let choice = self.choice(manifest, tenant, plan.partition.as_ref()).await?;
        let choice = choice.map(|choice| PartitionChoice { now: order.queued_at, ..choice });
        let today = match &plan.job {
            Some(job) => plan_job(manifest, tenant, job, choice.as_ref()),
            None => plan_assets(manifest, tenant, &assets, choice.as_ref()),
        };
        let Ok(today) = today else { return Ok(None) };
        if today == *plan {
            return Ok(None);
        }
        let what = if let Some(job) = &plan.job {
            format!("job launch {}", shell_word(job.as_str()))
        } else {
            let keys: Vec<String> = assets.iter().map(ToString::to_string).collect();
            format!("asset materialize {}", shell_word(&keys.join(" or ")))
        };
        let of = plan.partition.as_ref();
        let of = of.map(|key| format!(" --partition {}", shell_word(key.as_str())));
        let of = of.unwrap_or_default();
        let is_default = *tenant == TenantId::default_tenant();
        let by = if is_default { String::new() } else { format!(" --tenant {tenant}") };
        Ok(Some(format!(
            "the definitions have changed since run {} was planned, and a retry keeps its plan: \
             `millstream {what}{of}{by}` takes them as they are now",
            run.short()
        )))
    }

    fn closed(&self, outcome: ClosedAs, by: &str) -> Closed {
        Closed { outcome, by: by.to_owned(), at: self.now() }
    }

    /// The dead letters of `tenant`, newest first.
    pub async fn dead_letters(
        &self,
        tenant: &TenantId,
        page: (DeadLetterFilter, Option<RunId>),
        limit: u32,
    ) -> Result<Vec<DeadLetter>, ControlError> {
        Ok(self.store.dead_letters(tenant, page, limit).await?)
    }

    /// The dead letter of a run, or an error that says it has none.
    pub async fn dead_letter(
        &self,
        tenant: &TenantId,
        run: RunId,
    ) -> Result<DeadLetter, ControlError> {
        let none = || ControlError::DeadLetterUnknown { run };
        self.store.dead_letter(tenant, run).await?.ok_or_else(none)
    }

    /// Tries the run of an open dead letter again.
    pub async fn retry_dead_letter(
        &self,
        tenant: &TenantId,
        run: RunId,
        from: RetryFrom,
        by: &str,
    ) -> Result<Launched, ControlError> {
        self.open_dead_letter(tenant, run).await?;
        self.retry_run(tenant, run, from, by).await
    }

    /// Puts an open dead letter aside.
    pub async fn discard_dead_letter(
        &self,
        tenant: &TenantId,
        run: RunId,
        by: &str,
    ) -> Result<DeadLetter, ControlError> {
        let letter = self.open_dead_letter(tenant, run).await?;
        let closed = self.closed(ClosedAs::Discarded, by);
        let mut batch = Batch::for_tenant(tenant);
        dead_letters::close(&mut batch, (tenant, run), &closed, Expect::Rows(1));
        match self.store.apply(batch).await {
            Ok(_) => Ok(DeadLetter { closed: Some(closed), ..letter }),
            Err(error) if error.is_conflict() => Err(ControlError::Contended { run }),
            Err(error) => Err(error.into()),
        }
    }

    async fn open_dead_letter(
        &self,
        tenant: &TenantId,
        run: RunId,
    ) -> Result<DeadLetter, ControlError> {
        let letter = self.dead_letter(tenant, run).await?;
        match &letter.closed {
            None => Ok(letter),
            Some(closed) => Err(ControlError::DeadLetterClosed { run, closed: closed.clone() }),
        }
    }
}

/// The retries of a run of `plan` with these labels; one that is no number was refused before, by
/// [`crate::launch::numbers_in`] or with the definition.
fn retries_in(plan: &RunPlan, tags: &BTreeMap<String, String>) -> Option<RunRetries> {
    match retries_of(tags) {
        Ok(Some(max)) => Some(RunRetries {
            max,
            from: plan.retries.map_or_else(RetryFrom::default, |it| it.from),
        }),
        _ => plan.retries,
    }
}
