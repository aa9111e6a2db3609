//! The plan of a selection of assets.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::partitions::TimeWindow;
use millstream_model::{
    AssetDef, AssetKey, AssetStep, ContentHash, InputSource, IoDef, Manifest, PartitionKey,
    PartitionsDef, PartitionsName, RetryPolicy, RunPlan, StepConfig, StepInput, StepKey, StepPlan,
    TenantId, nearest,
};

use crate::job::{handler_of, resources_of};
use crate::partition::{check_choice, enabled_tenant};
use crate::selection::select;
use crate::{PartitionChoice, PlanError, order};

/// Plans a run that makes `assets` for `tenant`, one partition of those that are partitioned.
///
/// Assets without a step are made elsewhere and are left out.
pub fn plan_assets(
    manifest: &Manifest,
    tenant: &TenantId,
    assets: &[AssetKey],
    partition: Option<&PartitionChoice>,
) -> Result<RunPlan, PlanError> {
    let tenant_def = enabled_tenant(manifest, tenant)?.clone();
    let made = with_steps(manifest, assets)?;
    let divided: Vec<&AssetDef> = made.iter().map(|(asset, _)| *asset).collect();
    let division = division_of(manifest, &divided, partition)?;
    let dimensions = match (division, partition) {
        (Some(division), Some(choice)) => check_choice(manifest, tenant, division, choice)?,
        _ => BTreeMap::new(),
    };

    let keys: BTreeSet<&AssetKey> = made.iter().map(|(asset, _)| &asset.key).collect();
    let planner = Planner { manifest, keys, partition };
    let steps: Vec<StepPlan> = made
        .iter()
        .map(|(asset, step)| planner.step(asset, step))
        .collect::<Result<_, PlanError>>()?;
    let steps = order::topological(steps)?;
    Ok(RunPlan {
        tenant: tenant.clone(),
        tenant_def,
        location: manifest.location.clone(),
        job: None,
        partition: partition.map(|choice| choice.key.clone()),
        dimensions,
        resources: resources_of(manifest, &steps),
        steps,
        max_parallel: None,
        tags: BTreeMap::new(),
        retries: None,
        timeout: None,
        priority: 0,
    })
}

/// Plans a run that makes the assets that `selection` names (`metric_semantic_values+`).
pub fn plan_selection(
    manifest: &Manifest,
    tenant: &TenantId,
    selection: &str,
    partition: Option<&PartitionChoice>,
) -> Result<RunPlan, PlanError> {
    let assets = select(manifest, selection)?;
    if assets.is_empty() {
        return Err(PlanError::SelectionEmpty { selection: selection.to_owned() });
    }
    plan_assets(manifest, tenant, &assets, partition)
}

/// Checks that `asset` can have been made by somebody in `tenant`: that it is declared, and that
/// `partition` is one of its own, or absent where it is one whole.
pub fn check_made(
    manifest: &Manifest,
    tenant: &TenantId,
    asset: &AssetKey,
    partition: Option<&PartitionChoice>,
) -> Result<(), PlanError> {
    enabled_tenant(manifest, tenant)?;
    let division = division_of(manifest, &[find(manifest, asset)?], partition)?;
    if let (Some(division), Some(choice)) = (division, partition) {
        check_choice(manifest, tenant, division, choice)?;
    }
    Ok(())
}

/// The selected assets that can be made, in the order of their keys and each once.
fn with_steps<'a>(
    manifest: &'a Manifest,
    assets: &[AssetKey],
) -> Result<Vec<(&'a AssetDef, &'a StepConfig)>, PlanError> {
    let mut made = Vec::with_capacity(assets.len());
    for key in assets.iter().collect::<BTreeSet<_>>() {
        let asset = find(manifest, key)?;
        made.extend(asset.step.as_ref().map(|step| (asset, step)));
    }
    if made.is_empty() {
        let names: Vec<String> = assets.iter().map(ToString::to_string).collect();
        return Err(PlanError::SelectionEmpty { selection: names.join(", ") });
    }
    Ok(made)
}

fn find<'a>(manifest: &'a Manifest, key: &AssetKey) -> Result<&'a AssetDef, PlanError> {
    manifest.assets.get(key).ok_or_else(|| asset_unknown(manifest, key))
}

/// The error for a key that no asset has.
pub(crate) fn asset_unknown(manifest: &Manifest, key: &AssetKey) -> PlanError {
    let known: Vec<AssetKey> = manifest.assets.keys().cloned().collect();
    let texts: Vec<String> = known.iter().map(ToString::to_string).collect();
    let likely = nearest(&key.to_string(), texts.iter().map(String::as_str));
    PlanError::AssetUnknown {
        asset: key.clone(),
        nearest: likely.and_then(|text| text.parse().ok()),
        known,
    }
}

type Division<'a> = (&'a PartitionsName, &'a PartitionsDef);

/// The one partitions definition of the assets; none when no asset has one.
fn division_of<'a>(
    manifest: &'a Manifest,
    made: &[&'a AssetDef],
    partition: Option<&PartitionChoice>,
) -> Result<Option<Division<'a>>, PlanError> {
    let mut divided =
        made.iter().filter_map(|asset| asset.partitions.as_ref().map(|name| (&asset.key, name)));
    let Some((asset, name)) = divided.next() else {
        return match (partition, made.first()) {
            (Some(choice), Some(first)) => Err(PlanError::PartitionNotTaken {
                what: first.key.to_string(),
                key: choice.key.clone(),
            }),
            _ => Ok(None),
        };
    };
    if let Some((other, other_by)) = divided.find(|(_, other_by)| *other_by != name) {
        return Err(PlanError::PartitionsDiffer {
            first: asset.clone(),
            first_by: name.clone(),
            second: other.clone(),
            second_by: other_by.clone(),
        });
    }
    if partition.is_none() {
        let (asset, partitions) = (asset.clone(), name.clone());
        return Err(PlanError::PartitionNeeded { asset, partitions });
    }
    match manifest.partitions.get(name) {
        Some(def) => Ok(Some((name, def))),
        None => {
            Err(PlanError::PartitionsMissing { asset: asset.clone(), partitions: name.clone() })
        }
    }
}

/// What every step of one plan is made from.
struct Planner<'a> {
    manifest: &'a Manifest,
    /// The assets that this run makes.
    keys: BTreeSet<&'a AssetKey>,
    partition: Option<&'a PartitionChoice>,
}

impl Planner<'_> {
    fn step(&self, asset: &AssetDef, step: &StepConfig) -> Result<StepPlan, PlanError> {
        let mut depends_on = Vec::new();
        let mut inputs = Vec::new();
        for key in asset.deps.iter().collect::<BTreeSet<_>>() {
            if self.keys.contains(key) {
                depends_on.push(step_key(key)?);
            }
            inputs.push(self.input(asset, key)?);
        }
        Ok(StepPlan {
            key: step_key(&asset.key)?,
            depends_on,
            step: step.clone(),
            handler: handler_of(self.manifest, step),
            timeout: asset.timeout,
            retry: asset.retry.clone().unwrap_or(RetryPolicy::NEVER),
            limits: asset.limits,
            pool: asset.pool.clone(),
            asset: Some(AssetStep {
                key: asset.key.clone(),
                window: self.window_of(asset),
                partition: self.partition_of(asset).cloned(),
                io: self.io_of(asset)?,
                inputs,
                code_version: code_version(asset),
                output_required: asset.output_required,
            }),
        })
    }

    fn partition_of(&self, asset: &AssetDef) -> Option<&PartitionKey> {
        asset.partitions.as_ref().and(self.partition).map(|choice| &choice.key)
    }

    fn window_of(&self, asset: &AssetDef) -> Option<TimeWindow> {
        let def = self.manifest.partitions.get(asset.partitions.as_ref()?)?;
        def.window_of(self.partition_of(asset)?)
    }

    fn input(&self, asset: &AssetDef, key: &AssetKey) -> Result<StepInput, PlanError> {
        let upstream = find(self.manifest, key)?;
        let partition = match (&upstream.partitions, &asset.partitions) {
            (None, _) => None,
            (Some(upstream_by), Some(by)) if upstream_by == by => {
                self.partition.map(|choice| choice.key.clone())
            }
            (Some(upstream_by), by) => {
                return Err(PlanError::PartitionMapping {
                    asset: asset.key.clone(),
                    by: by.clone(),
                    upstream: key.clone(),
                    upstream_by: upstream_by.clone(),
                });
            }
        };
        let source = self.io_of(upstream)?.map_or(InputSource::None, InputSource::Io);
        let optional = !upstream.output_required;
        Ok(StepInput { asset: key.clone(), partition, source, optional })
    }

    fn io_of(&self, asset: &AssetDef) -> Result<Option<IoDef>, PlanError> {
        let Some(name) = &asset.io else { return Ok(None) };
        match self.manifest.io.get(name) {
            Some(def) => Ok(Some(def.clone())),
            None => Err(PlanError::IoMissing { asset: asset.key.clone(), io: name.clone() }),
        }
    }
}

fn step_key(asset: &AssetKey) -> Result<StepKey, PlanError> {
    asset.to_string().parse().map_err(|error: millstream_model::NameError| PlanError::StepName {
        asset: asset.clone(),
        problem: error.problem,
    })
}

/// What the author says, or the hash of the definition: either changes when the code does.
pub fn code_version(asset: &AssetDef) -> String {
    match (&asset.code_version, serde_json::to_vec(asset)) {
        (Some(version), _) => version.clone(),
        (None, Ok(json)) => ContentHash::of(&json).to_string(),
        // A definition came from JSON; should it not go back, its step still has its own text.
        (None, Err(_)) => ContentHash::of(format!("{asset:?}").as_bytes()).to_string(),
    }
}
