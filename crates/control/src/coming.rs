//! Which runs that wait or go on will make an asset.

use millstream_decide::why::{Because, coming_words};
use millstream_model::view::RunRow;
use millstream_model::{AssetKey, RunId, TenantId};

use crate::{Control, ControlError};

/// Runs in progress that are looked at, and as many of those that wait.
const LOOKED_AT: u32 = 50;

/// Runs that are told of.
const TOLD: usize = 5;

impl Control {
    /// The first runs of a tenant, those in progress before those that wait, that have yet to make
    /// the asset called `key` or a partition of it.
    pub(crate) async fn coming(
        &self,
        tenant: &TenantId,
        key: &AssetKey,
    ) -> Result<Vec<RunRow>, ControlError> {
        let mut looked_at = self.store.first_in_progress(tenant, LOOKED_AT).await?;
        looked_at.extend(self.store.first_in_queue(tenant, LOOKED_AT).await?);
        if looked_at.is_empty() {
            return Ok(Vec::new());
        }
        let mut runs = Vec::new();
        for run in self.makers_among(tenant, &looked_at, key).await? {
            let row = self.store.run(tenant, run).await?;
            runs.extend(row.filter(|run| !run.status.is_terminal()));
        }
        self.tell_waits(tenant, &mut runs).await?;
        Ok(runs)
    }

    /// What the same runs come to, in words.
    pub(crate) async fn coming_words(
        &self,
        tenant: &TenantId,
        key: &AssetKey,
    ) -> Result<Vec<Because>, ControlError> {
        Ok(self.coming(tenant, key).await?.iter().filter_map(coming_words).collect())
    }

    /// Those of `runs` whose plans have a step that makes the asset and is not done.
    async fn makers_among(
        &self,
        tenant: &TenantId,
        runs: &[RunId],
        key: &AssetKey,
    ) -> Result<Vec<RunId>, ControlError> {
        let plans = self.store.plans_of_runs(tenant, runs).await?;
        let done = self.store.done_steps(tenant, runs).await?;
        let mut makers = Vec::new();
        for run in runs {
            let Some(hash) = plans.get(run) else { continue };
            // A plan that cannot be read keeps nobody from the others.
            let Ok(plan) = self.plan(tenant, hash).await else { continue };
            let mut steps = plan
                .steps
                .iter()
                .filter(|step| step.asset.as_ref().is_some_and(|asset| asset.key == *key));
            if steps.any(|step| !done.contains(&(*run, step.key.clone()))) {
                makers.push(*run);
            }
            if makers.len() == TOLD {
                break;
            }
        }
        Ok(makers)
    }
}
