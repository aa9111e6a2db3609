//! Slots of pools: steps ask for them, a pass of the queue gives them out.

use millstream_decide::pool::{Held, PoolSnapshot, StepOfRun, Waiting, grant};
use millstream_model::worker_api::{SlotAnswer, SlotAsk, WaitingStep};
use millstream_model::{RunId, TenantId};
use millstream_store::live::raise_beat;
use millstream_store::slots::{self, SlotRow};
use millstream_store::{Batch, StoreError};

use crate::catalog::Catalog;
use crate::{Control, ReportError};

/// Steps of each tenant that one pass looks at in each pool.
const WAITING_MAX: u32 = 200;

/// Steps that one worker may have wait at once.
const ASKS_MAX: usize = 1_000;

impl Control {
    /// Has steps of a run wait for the slots of their pools, and says which have them now.
    ///
    /// Asking again changes nothing, however late or often it arrives: an attempt that has started
    /// or ended asks for nothing, and the epoch keeps a replaced worker out. It counts as a sign of
    /// life.
    pub async fn ask_slots(
        &self,
        tenant: &TenantId,
        run: RunId,
        ask: &SlotAsk,
    ) -> Result<SlotAnswer, ReportError> {
        let stale = || ReportError::Stale { run, epoch: ask.epoch };
        let refused =
            |problem: String| ReportError::Refused { tenant: tenant.clone(), run, problem };
        if ask.steps.len() > ASKS_MAX {
            return Err(refused(format!("it asks for more than {ASKS_MAX} steps")));
        }
        let plan = if let Some(plan) = self.plans.of_run(run) {
            plan
        } else {
            let order = self.store.run_order(tenant, run).await?.ok_or_else(stale)?;
            self.plan_of(tenant, run, &order).await?
        };
        let known = self.store.slots_of_run(tenant, run).await?;
        let mut batch: Batch = raise_beat(tenant, run, ask.epoch);
        for wanted in &ask.steps {
            let step = plan.step(&wanted.step);
            let pool = step.and_then(|step| step.pool.as_ref());
            let pool = pool.ok_or_else(|| refused(format!("step {} has no pool", wanted.step)))?;
            if !known.iter().any(|row| row.epoch == ask.epoch && is_for(row, wanted)) {
                slots::ask(&mut batch, (tenant, run, ask.epoch), wanted, pool, self.now());
            }
        }
        let mut applied = match self.store.apply(batch).await {
            Ok(applied) => applied,
            Err(error) if error.is_conflict() => return Err(stale()),
            Err(error) => return Err(error.into()),
        };
        let row = applied.rows(0).into_iter().next();
        let cancel = row.map_or(Ok(false), |mut row| row.truth())?;
        Ok(SlotAnswer { granted: granted(&known, ask), cancel })
    }

    /// As [`Control::ask_slots`], and waits until a step has its slots or `time_out` is over.
    pub async fn wait_for_slots(
        &self,
        (tenant, run): (&TenantId, RunId),
        ask: &SlotAsk,
        time_out: impl Future<Output = ()> + Send,
    ) -> Result<SlotAnswer, ReportError> {
        let mut changes = self.store.slot_changes();
        changes.mark_unchanged();
        let mut answer = self.ask_slots(tenant, run, ask).await?;
        let mut time_out = std::pin::pin!(time_out);
        while answer.granted.is_empty() && !answer.cancel {
            tokio::select! {
                biased;
                () = &mut time_out => break,
                told = changes.changed() => if told.is_err() { break },
            }
            answer.granted = granted(&self.store.slots_of_run(tenant, run).await?, ask);
        }
        Ok(answer)
    }

    /// Gives free slots to those who wait, and stores why the others do.
    ///
    /// Called under the queue's lease, whose fence the write names.
    pub(crate) async fn grant_slots(
        &self,
        catalog: &Catalog,
        me: &str,
        fence: i64,
    ) -> Result<(), StoreError> {
        let waiting = self.store.slots_waited_for(WAITING_MAX).await?;
        if waiting.is_empty() {
            return Ok(());
        }
        let held = self.store.slots_held().await?;
        let snapshot = PoolSnapshot {
            waiting: waiting.iter().map(waits).collect(),
            held: held.iter().map(holds).collect(),
            pools: catalog.pools().clone(),
        };
        let decision = grant(&snapshot);
        for (step, reason) in &decision.hold {
            let known = waiting.iter().find(|row| step_of(row) == *step);
            if known.is_some_and(|row| row.hold.as_ref() != Some(reason)) {
                let mut batch = Batch::for_tenant(&step.tenant);
                let key = (step.tenant.clone(), step.run, step.step.clone());
                slots::set_hold(&mut batch, &key, reason);
                self.store.apply(batch).await?;
            }
        }
        if !decision.grant.is_empty() {
            let steps = decision.grant.into_iter().map(|it| (it.tenant, it.run, it.step));
            self.store.apply(slots::grant(steps, me, fence)).await?;
        }
        Ok(())
    }
}

fn is_for(row: &SlotRow, wanted: &WaitingStep) -> bool {
    row.step == wanted.step && row.attempt == wanted.attempt
}

fn granted(rows: &[SlotRow], ask: &SlotAsk) -> Vec<WaitingStep> {
    let has = |wanted: &&WaitingStep| {
        rows.iter().any(|row| row.granted && row.epoch == ask.epoch && is_for(row, wanted))
    };
    ask.steps.iter().filter(has).cloned().collect()
}

fn step_of(row: &SlotRow) -> StepOfRun {
    StepOfRun { tenant: row.tenant.clone(), run: row.run, step: row.step.clone() }
}

/// A step that waits, as it is decided about.
pub(crate) fn waits(row: &SlotRow) -> Waiting {
    Waiting {
        step: step_of(row),
        pool: row.pool.clone(),
        slots: row.slots,
        priority: row.priority,
        asked_at: row.asked_at,
    }
}

fn holds(row: &SlotRow) -> Held {
    Held { step: step_of(row), pool: row.pool.clone(), slots: row.slots }
}
