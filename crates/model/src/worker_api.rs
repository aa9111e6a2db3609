//! What a worker and the control plane say to each other, in process or over HTTP.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{AssetKey, EventBody, RunId, RunPlan, StepKey, StepStatus, TenantId, Timestamp};

/// A run handed to a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assignment {
    /// The tenant.
    pub tenant: TenantId,
    /// The run.
    pub run: RunId,
    /// The epoch that every report of this worker carries.
    pub epoch: i64,
    /// What to do.
    pub plan: RunPlan,
    /// The trigger context.
    pub context: serde_json::Map<String, serde_json::Value>,
    /// When the run was queued.
    pub queued_at: Timestamp,
    /// What earlier workers of this run have left: steps that are not pending.
    pub progress: Vec<StepProgress>,
    /// Where the assets that it makes came from when they were made last, for the steps that may
    /// ask.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub provenance: BTreeMap<AssetKey, Provenance>,
}

/// Where an asset came from when it was made last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The version of the code that made it.
    pub code_version: String,
    /// The versions of the data of its upstream assets at that time, of those that had one.
    pub input_data_versions: BTreeMap<AssetKey, String>,
    /// Whether its own version was said by whoever made it, and not computed from its data.
    pub is_user_provided: bool,
}

/// How far a step had come when a worker took the run over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepProgress {
    /// The step.
    pub step: StepKey,
    /// Its status.
    pub status: StepStatus,
    /// The last attempt that started.
    pub attempt: u32,
    /// When the next attempt is due, where one is planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// What it returned, if it succeeded.
    pub result: serde_json::Value,
    /// Where a large result is.
    pub result_ref: Option<String>,
}

/// Events of a worker, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The worker's epoch; an older one than the run's is refused.
    pub epoch: i64,
    /// The events.
    pub events: Vec<ReportedEvent>,
}

/// One event of a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportedEvent {
    /// The place among this worker's events, from 0.
    pub seq: i64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub body: EventBody,
}

/// What the control plane answers to a report or a beat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportAnswer {
    /// Whether the run should stop.
    pub cancel: bool,
}

/// A worker's question for the slots of pools: every step that waits for some, again each time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotAsk {
    /// The worker's epoch.
    pub epoch: i64,
    /// The attempts that would start if they had their slots.
    pub steps: Vec<WaitingStep>,
    /// How long the answer may wait for slots to come free, in milliseconds.
    #[serde(default)]
    pub wait_millis: u64,
}

/// An attempt that waits for its slots.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WaitingStep {
    /// The step.
    pub step: StepKey,
    /// The attempt, from 1.
    pub attempt: u32,
}

/// What the control plane answers to a question for slots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotAnswer {
    /// The attempts that have their slots now; they keep them until they end.
    pub granted: Vec<WaitingStep>,
    /// Whether the run should stop.
    pub cancel: bool,
}

/// The proof that a worker was launched for a run and epoch; the control plane issues it.
///
/// It grants the run's rights, so it never shows in a log, an argument or an error.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunToken(String);

impl RunToken {
    /// The token that reads `text`.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The token as it goes over the wire, and nowhere else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RunToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RunToken(…)")
    }
}
