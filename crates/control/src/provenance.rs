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
use millstream_store::materializations::Versions;

use crate::Control;

/// Of how many assets a worker is told; the steps of further ones are told nothing.
const ASSETS_MAX: usize = 200;

impl Control {
    /// The provenance of the assets in `plan` whose steps may speak Pipes.
    ///
    /// A launch waits for it, so one question finds most of it.
    pub(crate) async fn provenance(
        &self,
        tenant: &TenantId,
        plan: &RunPlan,
    ) -> Result<BTreeMap<AssetKey, Provenance>, StoreError> {
        let steps = plan.steps.iter().filter(|step| may_speak(step));
        let assets: Vec<&AssetStep> =
            steps.filter_map(|step| step.asset.as_ref()).take(ASSETS_MAX).collect();
        let mut all = BTreeMap::new();
        if assets.is_empty() {
            return Ok(all);
        }
        let inputs = assets.iter().flat_map(|asset| &asset.inputs).map(|input| &input.asset);
        let keys: BTreeSet<&AssetKey> =
            assets.iter().map(|asset| &asset.key).chain(inputs).collect();
        let keys: Vec<&AssetKey> = keys.into_iter().collect();
        let newest = self.store.newest_versions(tenant, &keys).await?;
        let past = Past { control: self, tenant, newest };
        for asset in assets {
            if let Some(provenance) = past.provenance_of(asset).await? {
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
}

impl Past<'_> {
    async fn provenance_of(&self, asset: &AssetStep) -> Result<Option<Provenance>, StoreError> {
        let now = Timestamp::from_micros(i64::MAX);
        let latest = self.versions(&asset.key, asset.partition.as_ref(), now).await?;
        let Some(latest) = latest else { return Ok(None) };
        let mut input_data_versions = BTreeMap::new();
        for input in &asset.inputs {
            let read = self.versions(&input.asset, input.partition.as_ref(), latest.at).await?;
            let version = read.and_then(|read| read.data_version);
            input_data_versions.extend(version.map(|version| (input.asset.clone(), version)));
        }
        Ok(Some(Provenance {
            code_version: latest.code_version,
            input_data_versions,
            // An IO manager computes the version of what nobody gave one.
            is_user_provided: latest.data_version.is_some() && asset.io.is_none(),
        }))
    }

    /// The versions of `asset`, or of one partition of it, at `at`.
    async fn versions(
        &self,
        asset: &AssetKey,
        partition: Option<&PartitionKey>,
        at: Timestamp,
    ) -> Result<Option<Versions>, StoreError> {
        match self.newest.get(asset) {
            None => Ok(None),
            Some(newest) if newest.partition.as_ref() == partition && newest.at <= at => {
                Ok(Some(newest.clone()))
            }
            Some(_) => {
                self.control.store.versions_of_asset(self.tenant, asset, partition, at).await
            }
        }
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
