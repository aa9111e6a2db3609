//! Runs in lists: each with what it waits for, and for the API and the command line with how its
//! steps stand.

use std::collections::{BTreeMap, BTreeSet};

use millstream_decide::liveness::{NoneLives, not_started, unwatched};
use millstream_model::view::RunRow;
use millstream_model::{
    HoldReason, Holder, PoolName, RunId, RunStatus, StepPlan, StepStatus, TenantId,
};
use millstream_store::runs::RunFilter;
use millstream_store::slots::SlotRow;
use millstream_store::steps::{NextAttempt, StepCounts};
use serde::Serialize;

use crate::views::has_no_worker;
use crate::waiting::pool_words;
use crate::{Control, ControlError, queue};

/// Steps of a tenant that hold slots or wait for some which are looked at.
const SLOTS_MAX: u32 = 1_000;

/// Attempts that wait for their time which are looked at for one list.
const RETRIES_MAX: u32 = 1_000;

/// Steps that are counted for one list.
const COUNTED_MAX: u64 = 20_000;

/// Runs in progress that are named where a run waits for all of them.
const HOLDERS_MAX: u32 = 3;

/// A run in a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ListedRun {
    /// The run.
    #[serde(flatten)]
    pub run: RunRow,
    /// How many of its steps are in which status. Those that wait for others before them stand in
    /// none. Nothing where the newer runs of the list have 20,000 steps and more.
    pub step_counts: Option<StepCounts>,
}

/// The runs whose steps are counted: the first, as long as they have few enough together.
fn counted(runs: &[RunRow]) -> BTreeSet<RunId> {
    let mut left = COUNTED_MAX;
    let fits = |run: &&RunRow| {
        let rest = left.checked_sub(u64::from(run.steps_total));
        left = rest.unwrap_or_default();
        rest.is_some()
    };
    runs.iter().take_while(fits).map(|run| run.run_id).collect()
}

impl Control {
    /// The newest `limit` runs of a tenant that `filter` lets through, newest first.
    pub async fn listed_runs(
        &self,
        tenant: &TenantId,
        filter: &RunFilter,
        limit: u32,
    ) -> Result<Vec<ListedRun>, ControlError> {
        let runs = self.newest_runs(tenant, filter, limit).await?;
        let ids = counted(&runs);
        let mut counts = self.store.step_counts(tenant, &ids).await?;
        let listed = |run: RunRow| {
            let mut of_it = counts.remove(&run.run_id).unwrap_or_default();
            if has_no_worker(run.status)
                && let Some(lost) = of_it.remove(&StepStatus::Started)
            {
                *of_it.entry(StepStatus::Retrying).or_default() += lost;
            }
            ListedRun { step_counts: ids.contains(&run.run_id).then_some(of_it), run }
        };
        Ok(runs.into_iter().map(listed).collect())
    }

    /// The newest `limit` runs of a tenant that `filter` lets through, newest first, and what each
    /// waits for.
    pub async fn newest_runs(
        &self,
        tenant: &TenantId,
        filter: &RunFilter,
        limit: u32,
    ) -> Result<Vec<RunRow>, ControlError> {
        let mut runs = self.store.run_list(std::slice::from_ref(tenant), filter, limit).await?;
        self.tell_waits(tenant, &mut runs).await?;
        Ok(runs)
    }

    /// Says of each of a tenant's `runs` what keeps it back while it goes on, of one in the queue
    /// that no daemon lives, or that a silent one holds the lease, and of one that a limit on all
    /// runs holds back which of the tenant's are in progress.
    pub async fn tell_waits(
        &self,
        tenant: &TenantId,
        runs: &mut [RunRow],
    ) -> Result<(), ControlError> {
        let is_queued = |run: &RunRow| run.status == RunStatus::Queued;
        let mut daemons = None;
        if runs.iter().any(|run| has_worker(run) || is_queued(run)) {
            daemons = self.watchers().await?;
        }
        if let Some(hold) = daemons.as_ref().and_then(not_started) {
            for run in runs.iter_mut().filter(|run| is_queued(run)) {
                run.hold = Some(hold.clone());
            }
        }
        let has_no_reason = |run: &RunRow| is_queued(run) && run.hold.is_none();
        if runs.iter().any(has_no_reason)
            && let Some(left) = self.lease_left(queue::LEASE, daemons.as_ref()).await?
        {
            for run in runs.iter_mut().filter(|run| has_no_reason(run)) {
                run.hold = Some(HoldReason::LeaseLeft(left.clone()));
            }
        }
        if runs.iter().any(has_worker) {
            let mut waits = BTreeMap::new();
            if runs.iter().any(|run| self.may_wait_for_pools(run)) {
                waits = self.waits_for_pools(tenant).await?;
            }
            let mut retries = self.waits_for_retries(tenant, runs).await?;
            for run in runs.iter_mut().filter(|run| has_worker(run)) {
                let began = run.started_at.unwrap_or(run.queued_at);
                let retry = retries.remove(&run.run_id);
                let waits = waits.remove(&run.run_id).or(retry);
                run.waits = match daemons.as_ref().and_then(|it| unwatched(it, began)) {
                    Some(none_lives) => Some(unwatched_words(none_lives)),
                    None => self
                        .silence_words(run)
                        .or_else(|| waits.filter(|_| run.status == RunStatus::Started)),
                };
            }
        }
        let mut in_progress = None;
        for run in runs {
            let Some(
                HoldReason::NoFreeSlot { held_by, .. } | HoldReason::TenantLimit { held_by, .. },
            ) = &mut run.hold
            else {
                continue;
            };
            if in_progress.is_none() {
                in_progress = Some(self.store.first_in_progress(tenant, HOLDERS_MAX).await?);
            }
            // The reason may be from before the run itself began.
            let known = in_progress.iter().flatten().filter(|known| **known != run.run_id);
            *held_by = known.map(|run| Holder { run: *run, step: None }).collect();
        }
        Ok(())
    }

    /// Whether a run goes on and is not known to use no pool.
    fn may_wait_for_pools(&self, run: &RunRow) -> bool {
        self.may_wait(run, |step| step.pool.is_some())
    }

    /// Whether a run goes on and is not known to have no step of which `may` is true.
    fn may_wait(&self, run: &RunRow, may: impl Fn(&StepPlan) -> bool) -> bool {
        let plan = self.plans.of_run(run.run_id);
        let may = plan.is_none_or(|plan| plan.steps.iter().any(may));
        may && run.status == RunStatus::Started
    }

    /// For each of a tenant's `runs` with a step whose next attempt has yet to come, the first.
    async fn waits_for_retries(
        &self,
        tenant: &TenantId,
        runs: &[RunRow],
    ) -> Result<BTreeMap<RunId, String>, ControlError> {
        let retries = |step: &StepPlan| step.retry.max > 0;
        let may = runs.iter().filter(|run| self.may_wait(run, retries));
        let may: BTreeSet<RunId> = may.map(|run| run.run_id).collect();
        let found = self.store.next_attempts(tenant, &may, (self.now(), RETRIES_MAX)).await?;
        let words = |NextAttempt { step, attempt, at }| {
            format!("step {step} waits until {at} for attempt {attempt}")
        };
        Ok(found.into_iter().map(|(run, next)| (run, words(next))).collect())
    }

    /// For each run of a tenant with a step that waits for a pool, the first such step and why.
    async fn waits_for_pools(
        &self,
        tenant: &TenantId,
    ) -> Result<BTreeMap<RunId, String>, ControlError> {
        let slots = self.store.slots_of_tenant(tenant, SLOTS_MAX).await?;
        let mut firsts: BTreeMap<&PoolName, &SlotRow> = BTreeMap::new();
        let mut waits = BTreeMap::new();
        for slot in slots.iter().filter(|slot| !slot.granted) {
            // A kept place gets nothing, so that nobody waits behind it.
            if !slot.is_kept_place() {
                firsts.entry(&slot.pool).or_insert(slot);
            }
            let first = firsts.get(&slot.pool).copied();
            let text = format!("step {} is {}", slot.step, pool_words(slot, first));
            waits.entry(slot.run).or_insert(text);
        }
        Ok(waits)
    }
}

/// Whether a run should have a worker.
pub(crate) fn has_worker(run: &RunRow) -> bool {
    matches!(run.status, RunStatus::Starting | RunStatus::Started | RunStatus::Canceling)
}

/// That nobody would notice the loss of a run's worker.
fn unwatched_words(NoneLives { since, in_order }: NoneLives) -> String {
    let gone = match since {
        None => "no server runs".to_owned(),
        Some(at) if in_order => format!("no server runs since the last ended in order at {at}"),
        Some(at) => format!("no daemon has given a sign of life since {at}"),
    };
    format!(
        "{gone}, so that nobody notices whether its worker lives: a server that starts sees to it"
    )
}

#[cfg(test)]
mod tests {
    use millstream_model::{Cause, Timestamp};

    use super::*;

    #[test]
    fn the_steps_of_the_first_runs_are_counted_as_long_as_they_are_few() {
        let run = |number: u64, steps_total: u32| RunRow {
            tenant: TenantId::default_tenant(),
            run_id: format!("01a20242-9dc6-7a2f-9ea8-{number:012}").parse().unwrap(),
            job: None,
            title: String::new(),
            status: RunStatus::Success,
            cause: Cause::User { name: "ana".to_owned() },
            partition: None,
            tags: BTreeMap::new(),
            queued_at: Timestamp::from_micros(0),
            started_at: None,
            ended_at: None,
            steps_total,
            steps_over: 0,
            hold: None,
            waits: None,
            failure: None,
            epoch: 1,
            cancel_requested: false,
            retried_as: None,
        };
        let runs = [run(1, 10_000), run(2, 10_000), run(3, 1), run(4, 0)];
        let first: Vec<RunId> = runs[..2].iter().map(|run| run.run_id).collect();
        assert_eq!(counted(&runs).into_iter().collect::<Vec<_>>(), first);
    }
}
