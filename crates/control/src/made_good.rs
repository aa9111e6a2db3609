//! Which failed runs were made good by others: what they have left undone was made since.
//!
//! Pages ask before they say what needs attention. A step that makes no asset is never made good in
//! this way; only a run of the same thing can say that.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::view::RunRow;
use millstream_model::{AssetKey, PartitionKey, RunId, TenantId, Timestamp};
use millstream_store::StoreError;
use millstream_store::materializations::{AssetPartition, PartitionMade};

use crate::Control;

/// Steps of failed runs that are looked at; runs beyond them are not called made good.
const STEPS_MAX: u32 = 2_000;

/// What a run has left undone: assets, or partitions of them.
type Undone<'p> = Vec<(&'p AssetKey, Option<&'p PartitionKey>)>;

/// When assets and partitions of them were made last.
struct MadeAt {
    assets: BTreeMap<AssetKey, Timestamp>,
    partitions: BTreeMap<AssetPartition, Timestamp>,
}

impl Control {
    /// Those of `runs`, which have failed, of which something was not made since, by whatever run
    /// or report.
    pub async fn not_made_good(
        &self,
        tenant: &TenantId,
        mut runs: Vec<RunRow>,
    ) -> Result<Vec<RunRow>, StoreError> {
        let steps = runs.iter().scan(0_u32, |steps, run| {
            *steps = steps.saturating_add(run.steps_total);
            (*steps <= STEPS_MAX).then_some(run.run_id)
        });
        let looked_at: Vec<RunId> = steps.collect();
        if looked_at.is_empty() {
            return Ok(runs);
        }
        let done = self.store.done_steps(tenant, &looked_at).await?;
        let mut plans = BTreeMap::new();
        for (run, hash) in self.store.plans_of_runs(tenant, &looked_at).await? {
            // A plan that cannot be read makes nothing good, and keeps nobody from the others.
            if let Ok(plan) = self.plan(tenant, &hash).await {
                plans.insert(run, plan);
            }
        }
        let undone: BTreeMap<RunId, Undone<'_>> = plans
            .iter()
            .filter_map(|(run, plan)| {
                let open = plan.steps.iter().filter(|it| !done.contains(&(*run, it.key.clone())));
                let open = open.map(|step| {
                    step.asset.as_ref().map(|asset| (&asset.key, asset.partition.as_ref()))
                });
                // One step that makes no asset is enough.
                Some((*run, open.collect::<Option<Undone<'_>>>()?))
            })
            .filter(|(_, undone)| !undone.is_empty())
            .collect();
        let made = self.made_at(tenant, undone.values().flatten().copied().collect()).await?;
        runs.retain(|run| {
            let ended = run.ended_at.unwrap_or(run.queued_at);
            let is_made = |undone: &Undone<'_>| {
                undone.iter().all(|it| made.of(*it).is_some_and(|made| made > ended))
            };
            !undone.get(&run.run_id).is_some_and(is_made)
        });
        Ok(runs)
    }

    /// When each of `wanted` was made last that ever was.
    async fn made_at(
        &self,
        tenant: &TenantId,
        wanted: BTreeSet<(&AssetKey, Option<&PartitionKey>)>,
    ) -> Result<MadeAt, StoreError> {
        let mut made = MadeAt { assets: BTreeMap::new(), partitions: BTreeMap::new() };
        let (mut assets, mut partitions) = (Vec::new(), Vec::new());
        for (asset, partition) in wanted {
            match partition {
                None => assets.push(asset),
                Some(partition) => partitions.push((asset, partition)),
            }
        }
        if !assets.is_empty() {
            let newest = self.store.newest_versions(tenant, &assets).await?;
            made.assets = newest.into_iter().map(|(asset, it)| (asset, it.at)).collect();
        }
        if !partitions.is_empty() {
            let newest = self.store.partition_versions(tenant, &partitions).await?;
            let at = |it| match it {
                PartitionMade::Known(versions) => versions.at,
                PartitionMade::Earlier(at) => at,
            };
            made.partitions = newest.into_iter().map(|(key, it)| (key, at(it))).collect();
        }
        Ok(made)
    }
}

impl MadeAt {
    fn of(&self, (asset, partition): (&AssetKey, Option<&PartitionKey>)) -> Option<Timestamp> {
        match partition {
            None => self.assets.get(asset).copied(),
            Some(key) => self.partitions.get(&(asset.clone(), key.clone())).copied(),
        }
    }
}
