//! Runs before they have a plan, and why they wait.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Cause, PartitionKey, TenantId};

/// A wish for a run: what, for whom, why, and with which context.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRequest {
    /// The tenant whose run it will be.
    pub tenant: TenantId,
    /// Why.
    pub cause: Cause,
    /// The partition, for what is partitioned.
    pub partition: Option<PartitionKey>,
    /// The trigger context that every step sees: an object.
    pub context: serde_json::Map<String, serde_json::Value>,
    /// Labels beside the job's own.
    pub tags: BTreeMap<String, String>,
}

/// Why a queued run has not started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum HoldReason {
    /// As many runs are in progress as the instance allows.
    NoFreeSlot {
        /// The limit.
        limit: u32,
        /// The place in the queue, from 1.
        place: u32,
    },
    /// The launcher could not start a worker; it is tried again.
    LaunchFailed {
        /// What the launcher said.
        error: String,
    },
}

impl fmt::Display for HoldReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFreeSlot { limit, place } => write!(
                f,
                "number {place} in the queue: {limit} of {limit} runs are in progress \
                 (queue.max_concurrent_runs)"
            ),
            Self::LaunchFailed { error } => write!(f, "the worker could not be launched: {error}"),
        }
    }
}
