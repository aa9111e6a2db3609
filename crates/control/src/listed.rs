//! Runs in lists for the API and the command line: each with how its steps stand, and what those
//! of a run that goes on wait for.

use std::collections::BTreeMap;

use millstream_model::view::RunRow;
use millstream_model::{HoldReason, PoolName, RunId, RunStatus, TenantId};
use millstream_store::runs::RunFilter;
use millstream_store::steps::StepCounts;
use serde::Serialize;

use crate::{Control, ControlError};

/// Steps of a tenant that hold slots or wait for some which are looked at.
const SLOTS_MAX: u32 = 1_000;

/// A run in a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ListedRun {
    /// The run.
    #[serde(flatten)]
    pub run: RunRow,
    /// How many of its steps are in which status. Those that wait for others before them stand in
    /// none.
    pub step_counts: StepCounts,
    /// What a step of it waits for while the run goes on, where that is a pool.
    pub waits: Option<String>,
}

impl Control {
    /// The newest `limit` runs of a tenant that `filter` lets through, newest first.
    pub async fn listed_runs(
        &self,
        tenant: &TenantId,
        filter: &RunFilter,
        limit: u32,
    ) -> Result<Vec<ListedRun>, ControlError> {
        let runs = self.store.run_list(std::slice::from_ref(tenant), filter, limit).await?;
        let ids: Vec<RunId> = runs.iter().map(|run| run.run_id).collect();
        let mut counts = self.store.step_counts(tenant, &ids).await?;
        let goes_on = |run: &RunRow| run.status == RunStatus::Started;
        let mut waits = if runs.iter().any(goes_on) {
            self.waits_for_pools(tenant).await?
        } else {
            BTreeMap::new()
        };
        let listed = |run: RunRow| ListedRun {
            step_counts: counts.remove(&run.run_id).unwrap_or_default(),
            waits: waits.remove(&run.run_id).filter(|_| goes_on(&run)),
            run,
        };
        Ok(runs.into_iter().map(listed).collect())
    }

    /// For each run of a tenant with a step that waits for a pool, the first such step and why.
    async fn waits_for_pools(
        &self,
        tenant: &TenantId,
    ) -> Result<BTreeMap<RunId, String>, ControlError> {
        let slots = self.store.slots_of_tenant(tenant, SLOTS_MAX).await?;
        // Why a pool's steps wait is stored at the first of them.
        let mut holds: BTreeMap<&PoolName, &HoldReason> = BTreeMap::new();
        let mut waits = BTreeMap::new();
        for slot in slots.iter().filter(|slot| !slot.granted) {
            if let Some(hold) = &slot.hold {
                holds.entry(&slot.pool).or_insert(hold);
            }
            let plain = || format!("waiting for pool `{}`", slot.pool);
            let reason = holds.get(&slot.pool).map_or_else(plain, ToString::to_string);
            let text = format!("step {} is {reason}", slot.step);
            waits.entry(slot.run).or_insert(text);
        }
        Ok(waits)
    }
}
