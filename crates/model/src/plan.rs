//! The frozen plan of a run: what its worker does, whatever happens to the definitions meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::partitions::TimeWindow;
use crate::{
    AssetKey, ContentHash, HandlerDef, HumanDuration, IoDef, JobName, LocationName, PartitionKey,
    PoolUse, Program, ResourceDef, ResourceName, RetryPolicy, RunRetries, StepConfig, StepKey,
    StepLimits, TenantDef, TenantId,
};

/// What a run does, step by step. Its JSON, hashed, is its id in the store: equal plans are one.
///
/// **Invariant.** `steps` is in topological order: a step comes after all that it depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunPlan {
    /// The tenant whose run it is.
    pub tenant: TenantId,
    /// What the definitions say of the tenant.
    pub tenant_def: TenantDef,
    /// The code location it was planned from.
    pub location: LocationName,
    /// The job, or `None` for a selection of assets made by hand.
    pub job: Option<JobName>,
    /// The partition all partitioned steps are about.
    pub partition: Option<PartitionKey>,
    /// The parts of the partition key by the names of its dimensions.
    #[serde(default)]
    pub dimensions: BTreeMap<String, String>,
    /// The steps in topological order.
    pub steps: Vec<StepPlan>,
    /// The resources that the steps name.
    pub resources: BTreeMap<ResourceName, ResourceDef>,
    /// How many steps may go on at once; the worker's own default when absent.
    pub max_parallel: Option<u32>,
    /// Labels of the run.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// How often it is tried again after a failure, as a new run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<RunRetries>,
    /// How long it may go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<HumanDuration>,
    /// The place in the queue: higher goes first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepPlan {
    /// Its name within the run.
    pub key: StepKey,
    /// The steps of this plan that must be done before it.
    pub depends_on: Vec<StepKey>,
    /// What it runs.
    pub step: StepConfig,
    /// The handler that a `local` step's module resolved to when the run was planned.
    #[serde(default)]
    pub handler: Option<HandlerDef>,
    /// How long an attempt may take.
    #[serde(default)]
    pub timeout: Option<HumanDuration>,
    /// How often it is tried.
    pub retry: RetryPolicy,
    /// What an attempt may use; the worker's own defaults where nothing is said.
    #[serde(default, skip_serializing_if = "StepLimits::is_none")]
    pub limits: StepLimits,
    /// The slots that an attempt holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolUse>,
    /// The asset it makes, if it makes one.
    #[serde(default)]
    pub asset: Option<AssetStep>,
}

/// The asset that a step makes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AssetStep {
    /// The asset.
    pub key: AssetKey,
    /// The partition, when the asset is partitioned.
    pub partition: Option<PartitionKey>,
    /// The time that the partition covers, when it is one of time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<TimeWindow>,
    /// Where the result goes.
    pub io: Option<IoDef>,
    /// What it reads.
    pub inputs: Vec<StepInput>,
    /// The version of the code that makes it.
    pub code_version: String,
    /// Whether a step without a result still records a materialization.
    pub output_required: bool,
}

/// An asset that a step reads, made in this run or long before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepInput {
    /// The upstream asset.
    pub asset: AssetKey,
    /// The partition of it that is read.
    pub partition: Option<PartitionKey>,
    /// Where its result lives.
    pub source: InputSource,
    /// Whether there may be none, because making it may come to nothing.
    #[serde(default)]
    pub optional: bool,
}

/// Where an input's content is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputSource {
    /// An IO manager holds it.
    Io(IoDef),
    /// The step that made it takes care of that itself; only the order is known here.
    None,
}

impl InputSource {
    /// The IO manager, if one holds the input.
    pub fn io(&self) -> Option<&IoDef> {
        match self {
            Self::Io(io) => Some(io),
            Self::None => None,
        }
    }
}

impl RunPlan {
    /// The hash of the plan's JSON, which is its id in the store.
    pub fn hash(json: &str) -> ContentHash {
        ContentHash::of(json.as_bytes())
    }

    /// The step called `key`.
    pub fn step(&self, key: &StepKey) -> Option<&StepPlan> {
        self.steps.iter().find(|step| &step.key == key)
    }

    /// The versions of the sources that its steps run.
    pub fn sources(&mut self) -> BTreeSet<ContentHash> {
        let programs = self.steps.iter_mut().flat_map(|step| {
            let handler = step.handler.as_mut();
            let handling = handler.and_then(|handler| Program::handling(&mut handler.target));
            Program::of(&mut step.step).into_iter().chain(handling)
        });
        programs.filter_map(|program| program.code().cloned()).collect()
    }

    /// What pages and lists call this run: its job's name, or its assets.
    pub fn title(&self) -> String {
        if let Some(job) = &self.job {
            return job.to_string();
        }
        let assets: Vec<String> = self
            .steps
            .iter()
            .filter_map(|step| step.asset.as_ref())
            .map(|asset| asset.key.to_string())
            .collect();
        match assets.as_slice() {
            [] => "run".to_owned(),
            [one] => one.clone(),
            [first, rest @ ..] => format!("{first} and {} more", rest.len()),
        }
    }
}
