//! One pass over the runs in progress: whose worker is gone, and what follows.

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};

use millstream_decide::lost::{BeatWatch, LostRun, Patience, RunInProgress, SilentWorker};
use millstream_model::view::RunRow;
use millstream_model::{ClaimedRun, Event, EventBody, FailureCause, RunEvent, RunId, RunStatus};
use millstream_store::live::LiveRun;
use millstream_store::runs::RunEnd;
use millstream_store::{Batch, StoreError, events, live, materializations, runs, slots, steps};

use crate::listed::has_worker;
use crate::{Control, ControlError};

/// Runs in progress that one pass looks at.
const RUNS_MAX: u32 = 10_000;

/// What one daemon remembers between its passes.
#[derive(Debug, Default)]
pub struct LostWatch {
    beats: BeatWatch,
    in_progress: usize,
}

impl LostWatch {
    /// Whether the last pass found no run in progress, so that the next may wait for a change.
    pub fn is_idle(&self) -> bool {
        self.in_progress == 0
    }
}

impl Control {
    /// Takes the runs that have lost their worker, or have taken too long, away from it: back to
    /// the queue, or to an end. Returns the workers that nobody waits for any more.
    ///
    /// Safe to apply from many daemons: each change names the status and epoch it believes in. The
    /// old worker, should it live, is refused at its next report, because the next launch has a
    /// newer epoch and a run that is over has none.
    pub async fn recover_lost(
        &self,
        watch: &mut LostWatch,
        patience: Patience,
    ) -> Result<Vec<ClaimedRun>, StoreError> {
        // Mostly an instance is idle, and one number says so.
        let in_progress = match self.store.count_in_progress().await? {
            0 => Vec::new(),
            _ => self.store.runs_in_progress(RUNS_MAX).await?,
        };
        watch.in_progress = in_progress.len();
        let views: Vec<RunInProgress> = in_progress.iter().map(view).collect();
        let elapsed = self.seams.clock.elapsed();
        let lost = watch.beats.lost(&views, elapsed, patience);
        *self.silent_workers() = watch.beats.silent(&views, elapsed, &patience);
        let mut workers = Vec::new();
        for (run, verdict) in lost {
            let Some(live) = in_progress.iter().find(|live| live.run == run.run) else { continue };
            match self.recover(live, &verdict).await {
                Ok(()) => {
                    workers.push(ClaimedRun { tenant: run.tenant, run: run.run, epoch: run.epoch });
                }
                Err(ControlError::Store(error)) if error.is_conflict() => {}
                Err(ControlError::Store(error)) => return Err(error),
                Err(error) => {
                    tracing::error!(tenant = %live.tenant, run = %live.run, %error,
                        "a lost run could not be recovered");
                }
            }
        }
        Ok(workers)
    }

    fn silent_workers(&self) -> MutexGuard<'_, BTreeMap<RunId, SilentWorker>> {
        self.silent_workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// That the worker of a run in progress has given no sign of life for a while, and by when it
    /// is found to be lost, in words; nothing where a daemon of this process has not noticed that.
    pub(crate) fn silence_words(&self, run: &RunRow) -> Option<String> {
        let silent = self.silent_workers().get(&run.run_id).cloned();
        let silent = silent.filter(|silent| silent.epoch == run.epoch && has_worker(run))?;
        Some(silent.in_words(self.now(), self.seams.clock.elapsed()))
    }

    /// Takes a run back from its worker, which was stopped in order for `reason`: into the queue,
    /// or to its end when a cancel was under way. It does not count as a loss.
    ///
    /// Returns whether that worker still had the run.
    pub async fn hand_back(&self, run: &ClaimedRun, reason: &str) -> Result<bool, ControlError> {
        let live = self.store.live_run(&run.tenant, run.run).await?;
        let Some(live) = live.filter(|live| live.epoch == run.epoch) else { return Ok(false) };
        let verdict = LostRun::handed_back(live.status, reason.to_owned());
        let Some(verdict) = verdict else { return Ok(false) };
        match self.recover(&live, &verdict).await {
            Ok(()) => Ok(true),
            Err(ControlError::Store(error)) if error.is_conflict() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn recover(&self, live: &LiveRun, verdict: &LostRun) -> Result<(), ControlError> {
        let (LostRun::Requeue { reason }
        | LostRun::Fail { reason, .. }
        | LostRun::Cancel { reason }
        | LostRun::HandBack { reason }) = verdict;
        let mut log = Vec::new();
        if !matches!(verdict, LostRun::Fail { cause: FailureCause::Timeout, .. }) {
            let lost = EventBody::WorkerLost { reason: reason.clone() };
            log.push(self.control_event(&live.tenant, live.run, live.epoch, lost));
        }
        let mut batch = Batch::for_tenant(&live.tenant);
        match verdict {
            LostRun::Requeue { .. } => {
                let status = live.status.after(RunEvent::WorkerLost)?;
                live::move_to(&mut batch, live, status);
                slots::keep_places(&mut batch, &live.tenant, live.run);
            }
            LostRun::HandBack { .. } => {
                live::hand_back(&mut batch, live);
                slots::keep_places(&mut batch, &live.tenant, live.run);
            }
            LostRun::Fail { reason, cause } => {
                self.fail_live((&mut batch, &mut log), live, reason, *cause).await?;
            }
            LostRun::Cancel { .. } => {
                let status = live.status.after(RunEvent::WorkerLost)?;
                self.end_live(&mut batch, live, status, (None, reason)).await?;
                let over = EventBody::RunCanceled {};
                log.push(self.control_event(&live.tenant, live.run, live.epoch, over));
            }
        }
        events::insert(&mut batch, &live.tenant, &self.new_id().to_string(), &log);
        let (tenant, run) = (&live.tenant, live.run);
        self.store.apply(batch).await?;
        match verdict {
            LostRun::HandBack { .. } => {
                tracing::info!(%tenant, %run, %reason, "a run was handed back to the queue");
            }
            LostRun::Fail { cause: FailureCause::Timeout, .. } => {
                tracing::warn!(%tenant, %run, %reason, "a run went over its timeout and failed");
            }
            LostRun::Requeue { .. } | LostRun::Fail { .. } | LostRun::Cancel { .. } => {
                tracing::warn!(%tenant, %run, %reason, "a run was taken from its worker");
            }
        }
        Ok(())
    }

    /// Fails a run by the control plane's word alone, and adds what follows from it.
    pub(crate) async fn fail_live(
        &self,
        (batch, log): (&mut Batch, &mut Vec<Event>),
        live: &LiveRun,
        reason: &str,
        cause: FailureCause,
    ) -> Result<(), ControlError> {
        let (tenant, run) = (&live.tenant, live.run);
        let status = live.status.after(RunEvent::Broke)?;
        let why = format!("the run failed: {reason}");
        self.end_live(batch, live, status, (Some(reason.to_owned()), &why)).await?;
        let failed = EventBody::RunFailed { reason: reason.to_owned() };
        log.push(self.control_event(tenant, run, live.epoch, failed));
        let unknown = || ControlError::RunUnknown { run: run.to_string() };
        let order = self.store.run_order(tenant, run).await?.ok_or_else(unknown)?;
        let plan = self.plan_of(tenant, run, &order).await?;
        let aftermath = self.aftermath((tenant, run), &plan, cause).await?;
        self.add_aftermath((batch, log), &aftermath, (live.epoch, reason));
        Ok(())
    }

    /// Why a step is open whose run ends while it waits for another worker, however the last ended.
    pub(crate) const WORKER_GONE: &str = "its worker was gone";

    /// Ends a run by the control plane's word alone, and with it what its last worker left open:
    /// running steps, for which `why` is the reason, and partitions.
    pub(crate) async fn end_live(
        &self,
        batch: &mut Batch,
        live: &LiveRun,
        status: RunStatus,
        (failure, why): (Option<String>, &str),
    ) -> Result<(), StoreError> {
        live::remove(batch, live);
        let end = RunEnd { status, at: self.now(), failure };
        runs::end(batch, &live.tenant, live.run, &end);
        // Without a worker there was never a step.
        if live.epoch == 0 {
            return Ok(());
        }
        slots::free_all(batch, &live.tenant, live.run);
        steps::end_open(batch, (&live.tenant, live.run), why, self.now());
        let Some(order) = self.store.run_order(&live.tenant, live.run).await? else {
            return Ok(());
        };
        let plan = self.plan_of(&live.tenant, live.run, &order).await?;
        for asset in plan.steps.iter().filter_map(|step| step.asset.as_ref()) {
            if let Some(partition) = &asset.partition {
                let key = (&asset.key, partition);
                materializations::settle_partition(batch, &live.tenant, key, live.run);
            }
        }
        Ok(())
    }
}

fn view(live: &LiveRun) -> RunInProgress {
    RunInProgress {
        tenant: live.tenant.clone(),
        run: live.run,
        status: live.status,
        epoch: live.epoch,
        launches: live.launches(),
        beat: live.beat,
        timeout: live.timeout,
        waits_for_slots: live.waits_for_slots,
    }
}
