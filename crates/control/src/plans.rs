//! The plans of recent runs, kept at hand.
//!
//! Reports, assignments and what follows a failure ask for a run's plan; it never changes, so what
//! is kept need never be thrown away but for room.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use millstream_model::{ContentHash, RunId, RunPlan, TenantId};
use millstream_store::StoreError;
use millstream_store::runs::RunOrder;

use crate::Control;

/// Plans that are kept at hand.
const PLANS_KEPT: usize = 256;

/// The plans of recent runs, so that a report need not load one.
#[derive(Default)]
pub(crate) struct PlanCache {
    by_hash: Mutex<HashMap<ContentHash, Arc<RunPlan>>>,
    by_run: Mutex<HashMap<RunId, Arc<RunPlan>>>,
}

impl PlanCache {
    pub(crate) fn keep(&self, hash: &ContentHash, plan: RunPlan) -> Arc<RunPlan> {
        let plan = Arc::new(plan);
        bounded(&self.by_hash, hash.clone(), Arc::clone(&plan));
        plan
    }

    pub(crate) fn of_run(&self, run: RunId) -> Option<Arc<RunPlan>> {
        self.by_run.lock().unwrap_or_else(PoisonError::into_inner).get(&run).cloned()
    }

    fn get(&self, hash: &ContentHash) -> Option<Arc<RunPlan>> {
        self.by_hash.lock().unwrap_or_else(PoisonError::into_inner).get(hash).cloned()
    }
}

fn bounded<K: std::hash::Hash + Eq>(
    map: &Mutex<HashMap<K, Arc<RunPlan>>>,
    key: K,
    plan: Arc<RunPlan>,
) {
    let mut map = map.lock().unwrap_or_else(PoisonError::into_inner);
    if map.len() >= PLANS_KEPT {
        map.clear();
    }
    map.insert(key, plan);
}

impl Control {
    /// The plan of a run, from what is kept or from the store.
    pub(crate) async fn plan_of(
        &self,
        tenant: &TenantId,
        run: RunId,
        order: &RunOrder,
    ) -> Result<Arc<RunPlan>, StoreError> {
        let plan = self.plan(tenant, &order.plan).await?;
        bounded(&self.plans.by_run, run, Arc::clone(&plan));
        Ok(plan)
    }

    /// The plan with this hash, from what is kept or from the store.
    pub(crate) async fn plan(
        &self,
        tenant: &TenantId,
        hash: &ContentHash,
    ) -> Result<Arc<RunPlan>, StoreError> {
        if let Some(plan) = self.plans.get(hash) {
            return Ok(plan);
        }
        let lost = || StoreError::UnknownValue {
            statement: "PLAN",
            column: 1,
            value: format!("no plan {hash}"),
        };
        let plan = self.store.plan(tenant, hash).await?.ok_or_else(lost)?;
        Ok(self.plans.keep(hash, plan))
    }
}
