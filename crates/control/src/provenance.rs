//! Where the assets of a run came from when they were made last, for programs that ask.
//!
//! A worker's assignment carries it, because workers never ask the database.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::worker_api::Provenance;
use millstream_model::{
    AssetKey, AssetStep, HandlerTarget, PartitionKey, PipesChannel, RunPlan, StepConfig, StepPlan,
    TenantId, Timestamp,
};
use millstream_store::StoreError;
use millstream_store::materializations::{AssetPartition, PartitionMade, Versions};

use crate::Control;

/// Of how many assets a worker is told; the steps of further ones are told nothing.
const ASSETS_MAX: usize = 200;

/// How many assets, and partitions of them, are looked up for that, what is read included; from
/// the first step for which that were too many, steps are told nothing.
const LOOKED_UP_MAX: usize = 2_000;

/// How often the history of one asset is searched. An asset for which that were once too often is
/// left out: its step is told nothing.
const SEARCHES_MAX: usize = 20;

impl Control {
    /// The provenance of the assets in `plan` whose steps may speak Pipes.
    ///
    /// A launch waits for it: two questions find what was made in the usual order, and the
    /// searches for the rest are few.
    pub(crate) async fn provenance(
        &self,
        tenant: &TenantId,
        plan: &RunPlan,
    ) -> Result<BTreeMap<AssetKey, Provenance>, StoreError> {
        let mut all = BTreeMap::new();
        let mut wanted = BTreeSet::new();
        let mut assets: Vec<&AssetStep> = Vec::new();
        let steps = plan.steps.iter().filter(|step| may_speak(step));
        for asset in steps.filter_map(|step| step.asset.as_ref()).take(ASSETS_MAX) {
            if wanted.len() + asset.inputs.len() >= LOOKED_UP_MAX {
                break;
            }
            wanted.insert((&asset.key, asset.partition.as_ref()));
            let read = asset.inputs.iter().map(|input| (&input.asset, input.partition.as_ref()));
            wanted.extend(read);
            assets.push(asset);
        }
        if assets.is_empty() {
            return Ok(all);
        }
        let keys: BTreeSet<&AssetKey> = wanted.iter().map(|(asset, _)| *asset).collect();
        let keys: Vec<&AssetKey> = keys.into_iter().collect();
        let newest = self.store.newest_versions(tenant, &keys).await?;
        let is_newest =
            |asset: &AssetKey, key| newest.get(asset).and_then(|it| it.partition.as_ref()) == key;
        // What was never made has no partition that was.
        let partitions: Vec<(&AssetKey, &PartitionKey)> = wanted
            .into_iter()
            .filter(|(asset, key)| newest.contains_key(*asset) && !is_newest(asset, *key))
            .filter_map(|(asset, key)| key.map(|key| (asset, key)))
            .collect();
        let of_partitions = if partitions.is_empty() {
            BTreeMap::new()
        } else {
            self.store.partition_versions(tenant, &partitions).await?
        };
        let mut past =
            Past { control: self, tenant, newest, of_partitions, searches_left: SEARCHES_MAX };
        for asset in assets {
            if let Found::Known(provenance) = past.provenance_of(asset).await? {
                all.insert(asset.key.clone(), provenance);
            }
        }
        Ok(all)
    }
}

/// What is known of a tenant's assets.
struct Past<'a> {
    control: &'a Control,
    tenant: &'a TenantId,
    newest: BTreeMap<AssetKey, Versions>,
    of_partitions: BTreeMap<AssetPartition, PartitionMade>,
    searches_left: usize,
}

/// What a look into the past has found.
enum Found<T> {
    Known(T),
    Never,
    /// It was not looked for: that would have been one search too many.
    Unsearched,
}

impl Past<'_> {
    async fn provenance_of(&mut self, asset: &AssetStep) -> Result<Found<Provenance>, StoreError> {
        let now = Timestamp::from_micros(i64::MAX);
        let latest = match self.versions(&asset.key, asset.partition.as_ref(), now).await? {
            Found::Known(latest) => latest,
            Found::Never => return Ok(Found::Never),
            Found::Unsearched => return Ok(Found::Unsearched),
        };
        let mut input_data_versions = BTreeMap::new();
        for input in &asset.inputs {
            let read = self.versions(&input.asset, input.partition.as_ref(), latest.at).await?;
            let version = match read {
                Found::Known(read) => read.data_version,
                Found::Never => None,
                Found::Unsearched => return Ok(Found::Unsearched),
            };
            input_data_versions.extend(version.map(|version| (input.asset.clone(), version)));
        }
        Ok(Found::Known(Provenance {
            code_version: latest.code_version,
            input_data_versions,
            // An IO manager computes the version of what nobody gave one.
            is_user_provided: latest.data_version.is_some() && asset.io.is_none(),
        }))
    }

    /// The versions of `asset`, or of one partition of it, at `at`.
    async fn versions(
        &mut self,
        asset: &AssetKey,
        partition: Option<&PartitionKey>,
        at: Timestamp,
    ) -> Result<Found<Versions>, StoreError> {
        let Some(newest) = self.newest.get(asset) else { return Ok(Found::Never) };
        if newest.partition.as_ref() == partition {
            if newest.at <= at {
                return Ok(Found::Known(newest.clone()));
            }
        } else if let Some(key) = partition {
            match self.of_partitions.get(&(asset.clone(), key.clone())) {
                None => return Ok(Found::Never),
                Some(PartitionMade::Known(made)) if made.at <= at => {
                    return Ok(Found::Known(made.clone()));
                }
                Some(_) => {}
            }
        }
        let Some(left) = self.searches_left.checked_sub(1) else { return Ok(Found::Unsearched) };
        self.searches_left = left;
        let found = self.control.store.versions_of_asset(self.tenant, asset, partition, at).await?;
        Ok(found.map_or(Found::Never, Found::Known))
    }
}

/// Whether the step is a program that may speak Pipes.
fn may_speak(step: &StepPlan) -> bool {
    let target = step.handler.as_ref().map(|handler| &handler.target);
    let pipes = match (&step.step, target) {
        (StepConfig::Command(step), _) | (_, Some(HandlerTarget::Command(step))) => &step.pipes,
        (StepConfig::Python(step), _) | (_, Some(HandlerTarget::Python(step))) => &step.pipes,
        _ => return false,
    };
    pipes.messages != PipesChannel::Off
}
