//! What must hold of slots after every step: never more than a pool has, and none without an owner.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::{
    FileManifest, LimitScope, PoolDef, PoolName, RunId, RunStatus, StepKey, TenantId,
};
use millstream_store::live::LiveRun;
use millstream_store::slots::SlotRow;

/// The limits that hold.
#[derive(Default)]
pub(crate) struct SlotWitness {
    pools: BTreeMap<PoolName, PoolDef>,
    /// How many runs of a tenant may have one value of the label that is limited.
    pub(crate) label_limit: Option<u32>,
    /// The attempts that were seen to hold slots.
    seen: BTreeSet<(RunId, StepKey, u32)>,
}

impl SlotWitness {
    pub(crate) fn of(file: &FileManifest) -> Self {
        let label_limit = file.queue.tag_limits.first().map(|limit| limit.limit);
        Self { pools: file.pools.clone(), label_limit, seen: BTreeSet::new() }
    }

    /// How many attempts were seen to hold slots.
    pub(crate) fn holders(&self) -> usize {
        self.seen.len()
    }

    /// No pool is held beyond its size.
    pub(crate) fn check_sums(&mut self, rows: &[SlotRow]) -> Result<(), String> {
        self.seen.extend(rows.iter().map(|row| (row.run, row.step.clone(), row.attempt)));
        let mut held: BTreeMap<(Option<&TenantId>, &PoolName), u32> = BTreeMap::new();
        for row in rows {
            let Some(pool) = self.pools.get(&row.pool) else {
                return Err(format!("slots of {} are held, which is no pool", row.pool));
            };
            let owner = (pool.scope == LimitScope::Tenant).then_some(&row.tenant);
            let sum = held.entry((owner, &row.pool)).or_default();
            *sum += row.slots;
            if *sum > pool.slots {
                return Err(format!("{sum} slots of {} are held of {}", row.pool, pool.slots));
            }
        }
        Ok(())
    }
}

/// Who holds slots is an attempt of the worker that has the run now.
pub(crate) fn check_owners(
    rows: &[SlotRow],
    live: &BTreeMap<RunId, LiveRun>,
) -> Result<(), String> {
    for row in rows {
        let owner = live.get(&row.run).filter(|live| live.status != RunStatus::Queued);
        if owner.is_none_or(|live| live.epoch != row.epoch) {
            return Err(format!("{} slots of {} are nobody's", row.slots, row.pool));
        }
    }
    Ok(())
}
