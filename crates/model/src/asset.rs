//! Assets: things that runs make and keep.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    AssetKey, HumanDuration, IoName, MetadataValue, PartitionsName, PoolUse, RetryPolicy,
    StepConfig, StepLimits,
};

/// An asset of a code location.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AssetDef {
    /// Its key.
    pub key: AssetKey,
    /// The assets it is made from.
    #[serde(default)]
    pub deps: Vec<AssetKey>,
    /// What it is.
    #[serde(default)]
    pub description: Option<String>,
    /// The group it is shown in; `default` when the file names none.
    pub group: String,
    /// What it is made with or of (`sql`, `table`).
    #[serde(default)]
    pub kinds: Vec<String>,
    /// Who answers for it.
    #[serde(default)]
    pub owners: Vec<String>,
    /// Labels for selections.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// What its author says about it.
    #[serde(default)]
    pub metadata: BTreeMap<String, MetadataValue>,
    /// How it is divided; one whole when absent.
    #[serde(default)]
    pub partitions: Option<PartitionsName>,
    /// Where its result lives; the step takes care of that itself when absent.
    #[serde(default)]
    pub io: Option<IoRef>,
    /// What makes it; an asset without a step is made elsewhere and only observed.
    #[serde(default)]
    pub step: Option<StepConfig>,
    /// How long an attempt may take.
    #[serde(default)]
    pub timeout: Option<HumanDuration>,
    /// How often it is tried again.
    #[serde(default)]
    pub retry: Option<RetryPolicy>,
    /// What an attempt may use.
    #[serde(default, skip_serializing_if = "StepLimits::is_none")]
    pub limits: StepLimits,
    /// The slots that an attempt at making it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolUse>,
    /// The version of its code; the hash of its definition when absent.
    #[serde(default)]
    pub code_version: Option<String>,
    /// Whether making nothing is allowed: a step without a result then records no materialization.
    #[serde(default = "yes")]
    pub output_required: bool,
}

fn yes() -> bool {
    true
}

/// The IO manager of an asset, by name.
pub type IoRef = IoName;
