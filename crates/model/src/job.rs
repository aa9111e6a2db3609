//! Jobs: what a run runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    HumanDuration, JobName, PoolUse, RetryPolicy, RunRetries, StepConfig, StepKey, StepLimits,
};

/// A job of a code location.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobDef {
    /// Its name; a file in document 004's format is named by its path.
    pub name: JobName,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// Whether it may run; the file's own word, which a person's pause overrides.
    pub enabled: bool,
    /// When it runs, as a cron expression in UTC.
    #[serde(default)]
    pub schedule: Option<String>,
    /// Its steps, or the assets it materializes.
    pub shape: JobShape,
    /// Labels that its runs carry.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// How many steps of a run may go on at once; as many as the machine has cores when absent.
    #[serde(default)]
    pub max_parallel: Option<u32>,
    /// The place of its runs in the queue: higher goes first; 0 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    /// How often a failed run is tried again, as a new run; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_retries: Option<RunRetries>,
    /// How long a run may go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<HumanDuration>,
}

/// Where a job's steps come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobShape {
    /// Ops, in the order of the file.
    Ops(Vec<OpDef>),
    /// The assets that a selection names (`metric_semantic_values+`).
    Select(String),
}

/// A node of a job that is no asset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpDef {
    /// Its id, unique in the job.
    pub id: StepKey,
    /// The ops that must be done before it, from `depends_on` and `edges` together, without
    /// duplicates and in the order they were written.
    #[serde(default)]
    pub depends_on: Vec<StepKey>,
    /// What it runs.
    pub step: StepConfig,
    /// How long an attempt may take; no limit of its own when absent.
    #[serde(default)]
    pub timeout: Option<HumanDuration>,
    /// How often it is tried again.
    #[serde(default)]
    pub retry: Option<RetryPolicy>,
    /// What an attempt may use.
    #[serde(default, skip_serializing_if = "StepLimits::is_none")]
    pub limits: StepLimits,
    /// The slots that an attempt holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolUse>,
}
