//! What waits in a tenant's queue and for its pools, and why.

use std::collections::{BTreeMap, BTreeSet};

use millstream_decide::{places, pool};
use millstream_model::view::{PoolRow, PoolStepRow, QueueRow, QueueView, StepRow};
use millstream_model::{LimitScope, PoolName, RunId, RunStatus, StepStatus, TenantId};
use millstream_store::slots::SlotRow;

use crate::catalog::Catalog;
use crate::pools::waits;
use crate::{Control, ControlError};

/// Waiting runs that one view shows.
const RUNS_MAX: u32 = 100;

/// Steps that hold slots or wait for some, in one view.
const STEPS_MAX: u32 = 1_000;

/// Runs that are counted ahead of one.
const PLACES_MAX: u32 = 10_000;

impl Control {
    /// The first runs of a tenant's queue in their order, and its pools with who holds them.
    pub async fn queue_view(&self, tenant: &TenantId) -> Result<QueueView, ControlError> {
        let catalog = self.catalog().await?;
        let (mut places, mut runs) = (Vec::new(), Vec::new());
        let first = self.store.first_in_queue(tenant, RUNS_MAX).await?;
        for (place, run) in (1..).zip(first) {
            // A run that leaves the queue meanwhile is left out; places are as they were.
            let found = self.store.run(tenant, run).await?;
            if let Some(run) = found.filter(|run| run.status == RunStatus::Queued) {
                places.push(place);
                runs.push(run);
            }
        }
        self.tell_waits(tenant, &mut runs).await?;
        let waiting = places.into_iter().zip(runs).map(|(place, run)| QueueRow { place, run });
        let waiting = waiting.collect();
        let slots = self.store.slots_of_tenant(tenant, STEPS_MAX).await?;
        let waiting_total = self.store.count_waiting(tenant).await?;
        let others = self.held_by_others(&catalog, tenant).await?;
        Ok(QueueView { waiting, waiting_total, pools: pools(&catalog, tenant, (&slots, &others)) })
    }

    /// How many slots the steps of other tenants hold, of each pool that a tenant shares with them.
    async fn held_by_others(
        &self,
        catalog: &Catalog,
        tenant: &TenantId,
    ) -> Result<BTreeMap<PoolName, u32>, ControlError> {
        let shared = catalog.pools().iter().filter(|(_, pool)| pool.scope == LimitScope::Instance);
        let (own, others): (Vec<_>, Vec<_>) =
            shared.map(|(key, _)| key).partition(|(of, _)| of == tenant);
        let pools: Vec<PoolName> = own.into_iter().map(|(_, name)| name.clone()).collect();
        let others: BTreeSet<_> = others.into_iter().filter(|it| pools.contains(&it.1)).collect();
        let tenants: BTreeSet<&TenantId> = others.iter().map(|(of, _)| of).collect();
        if tenants.is_empty() {
            return Ok(BTreeMap::new());
        }
        let tenants: Vec<TenantId> = tenants.into_iter().cloned().collect();
        let mut held = BTreeMap::new();
        for (key, slots) in self.store.slots_held_by(&tenants, &pools).await? {
            // Another tenant may have a pool of this name for itself.
            if others.contains(&key) {
                let sum: &mut u32 = held.entry(key.1).or_default();
                *sum = sum.saturating_add(slots);
            }
        }
        Ok(held)
    }

    /// A queued run's place among its tenant's, from 1.
    pub(crate) async fn place(
        &self,
        tenant: &TenantId,
        run: RunId,
    ) -> Result<Option<u32>, ControlError> {
        Ok(self.store.queue_place(tenant, run, PLACES_MAX).await?)
    }

    /// Says of each step that waits for a pool which one, who holds it, and behind whom it waits.
    pub(crate) async fn name_pools(
        &self,
        (tenant, run): (&TenantId, RunId),
        steps: &mut [StepRow],
    ) -> Result<(), ControlError> {
        let mut firsts: BTreeMap<PoolName, Option<SlotRow>> = BTreeMap::new();
        for slot in self.store.slots_of_run(tenant, run).await? {
            let waits = |step: &&mut StepRow| {
                let open = matches!(step.status, StepStatus::Pending | StepStatus::Retrying);
                step.step == slot.step && open && !slot.granted
            };
            let Some(step) = steps.iter_mut().find(waits) else { continue };
            if !firsts.contains_key(&slot.pool) {
                let first = self.store.first_waiting(tenant, &slot.pool).await?;
                firsts.insert(slot.pool.clone(), first);
            }
            let first = firsts.get(&slot.pool).and_then(Option::as_ref);
            step.reason = Some(pool_words(&slot, first));
        }
        Ok(())
    }

    /// Says of each step that waits for others of its run to end that it does; pools come first.
    pub(crate) fn name_places(&self, max_parallel: Option<u32>, steps: &mut [StepRow]) {
        let mut waits = places::waits(steps, max_parallel, self.now());
        for step in steps {
            if let Some(why) = waits.remove(&step.step) {
                step.reason = Some(why);
            }
        }
    }
}

/// That a step waits for slots of a pool, and why where that is stored: at the `first` of its
/// tenant's that wait for them.
pub(crate) fn pool_words(slot: &SlotRow, first: Option<&SlotRow>) -> String {
    if slot.is_kept_place() {
        let pool = &slot.pool;
        return format!(
            "waiting for pool `{pool}`: its worker was lost, and another takes its place in line"
        );
    }
    let stored = first.and_then(|first| Some((first, first.hold.as_ref()?)));
    match stored {
        Some((first, hold)) if (first.run, &first.step) == (slot.run, &slot.step) => {
            hold.to_string()
        }
        Some((first, hold)) => pool::behind((&waits(first), hold), slot.slots).to_string(),
        None => format!("waiting for pool `{}`", slot.pool),
    }
}

/// The pools that a tenant's definitions declare, and those that steps still hold.
fn pools(
    catalog: &Catalog,
    tenant: &TenantId,
    (slots, others): (&[SlotRow], &BTreeMap<PoolName, u32>),
) -> Vec<PoolRow> {
    let declared = catalog.pools().iter().filter(|((of, _), _)| of == tenant);
    declared
        .map(|((_, name), pool)| {
            let of_pool = |granted: bool| {
                let rows =
                    slots.iter().filter(move |row| row.pool == *name && row.granted == granted);
                rows.map(step_row).collect::<Vec<_>>()
            };
            PoolRow {
                name: name.clone(),
                slots: pool.slots,
                scope: pool.scope,
                held_by: of_pool(true),
                held_by_others: others.get(name).copied().unwrap_or_default(),
                waiting: of_pool(false),
            }
        })
        .collect()
}

fn step_row(row: &SlotRow) -> PoolStepRow {
    PoolStepRow {
        run_id: row.run,
        step: row.step.clone(),
        slots: row.slots,
        since: row.asked_at,
        hold: row.hold.clone(),
    }
}
