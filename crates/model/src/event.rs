//! Events: what happened to a run, in the order it happened.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    AssetKey, Cause, ErrorCode, GaveUp, MetadataValue, PartitionKey, RetryFrom, RunId, StepEvent,
    StepKey, StepUsage, TenantId, Timestamp,
};

/// A number that no worker counts to.
const AFTER_THE_WORKER: i64 = 2_000_000_000;

/// One thing that happened to a run.
///
/// **Invariant.** `(run, epoch, seq)` is unique, so that a redelivered event is harmless. A worker
/// counts `seq` from 0; the control plane's own events have a fixed one for each kind, below or far
/// beyond a worker's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The version of the form, 1.
    pub v: u32,
    /// When it happened, on the clock of whoever saw it.
    pub at: Timestamp,
    /// The tenant whose run it is.
    pub tenant: TenantId,
    /// The run; of what was made elsewhere, the report's own id.
    pub run: RunId,
    /// Which launch of the run's worker, as the store counts.
    pub epoch: i64,
    /// The place among the events of that epoch.
    pub seq: i64,
    /// What happened.
    #[serde(flatten)]
    pub body: EventBody,
}

/// A place in the log of all events: the order in which the store committed them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventPosition(pub i64);

/// What happened, with what there is to say about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "data", rename_all = "snake_case")]
pub enum EventBody {
    /// The run was planned and put in the queue.
    RunQueued {
        /// Why.
        cause: Cause,
    },
    /// The launcher failed; the run is back in the queue.
    LaunchFailed {
        /// What the launcher said.
        error: String,
    },
    /// The worker reported for the first time.
    RunStarted {
        /// Which worker, for people: a process id and host, or a task name.
        worker: String,
    },
    /// Somebody asked for the run to stop.
    CancelRequested {
        /// Who.
        by: String,
    },
    /// All steps are done and none failed.
    RunSucceeded {},
    /// A step failed, or the worker was lost for good.
    RunFailed {
        /// Why, in one sentence that names the first step that failed.
        reason: String,
    },
    /// The run was canceled.
    RunCanceled {},
    /// Another run tries it again.
    RunRetried {
        /// The run that does.
        retry: RunId,
        /// Its number among the retries that the job asked for; 0 when somebody asked.
        number: u32,
        /// How many the job allows.
        max: u32,
        /// What it does again.
        from: RetryFrom,
        /// Who asked for it, when the job did not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// Nothing tries the run again by itself; it is among the dead letters.
    RunGaveUp {
        /// Why.
        reason: GaveUp,
    },
    /// The worker stopped reporting; the run goes back to the queue for another.
    WorkerLost {
        /// What was seen.
        reason: String,
    },
    /// An attempt at a step started.
    StepStarted {
        /// The step.
        step: StepKey,
        /// The attempt, from 1.
        attempt: u32,
    },
    /// The attempt succeeded.
    StepSucceeded {
        /// The step.
        step: StepKey,
        /// The attempt, from 1.
        attempt: u32,
        /// How long it took.
        took_micros: u64,
        /// What it returned, inline up to 64 KiB; `result_ref` says where a larger one is.
        #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
        result: serde_json::Value,
        /// The key of a result that is too large for the event.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result_ref: Option<String>,
        /// What its processes used, if it had any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<StepUsage>,
    },
    /// The step said, with a reason, that there was nothing to do; or an upstream step did.
    StepSkipped {
        /// The step.
        step: StepKey,
        /// The attempt, from 1; 0 when it never started.
        attempt: u32,
        /// Why.
        reason: String,
    },
    /// The attempt failed.
    StepFailed {
        /// The step.
        step: StepKey,
        /// The attempt, from 1; 0 when it never started.
        attempt: u32,
        /// Why.
        error: StepError,
        /// The next attempt, if there will be one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry: Option<PlannedRetry>,
        /// What its processes used, if it had any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<StepUsage>,
    },
    /// A step it needs failed, so it will not start.
    StepUpstreamFailed {
        /// The step.
        step: StepKey,
        /// The step that failed.
        upstream: StepKey,
    },
    /// The step was stopped, or never started, because the run was canceled.
    StepCanceled {
        /// The step.
        step: StepKey,
        /// The attempt, from 1; 0 when it never started.
        attempt: u32,
    },
    /// The worker was lost while the attempt ran; another attempt follows.
    StepLost {
        /// The step.
        step: StepKey,
        /// The attempt, from 1.
        attempt: u32,
    },
    /// An asset, or one partition of it, was made.
    Materialized {
        /// The step that made it.
        step: StepKey,
        /// The asset.
        asset: AssetKey,
        /// The partition, when the asset is partitioned.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        partition: Option<PartitionKey>,
        /// What the step says about it.
        #[serde(default)]
        metadata: BTreeMap<String, MetadataValue>,
        /// The version of the data: what the step said, or the hash of what was stored.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data_version: Option<String>,
        /// The version of the code that made it.
        code_version: String,
        /// What is odd about it, where an op has reported what the definitions do not fit; the
        /// control plane says it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remark: Option<String>,
    },
    /// An asset, or one partition of it, was made elsewhere; no run has this event.
    Reported {
        /// Who reported it.
        by: String,
        /// The asset.
        asset: AssetKey,
        /// The partition, when the asset is partitioned.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        partition: Option<PartitionKey>,
        /// What was said about it.
        #[serde(default)]
        metadata: BTreeMap<String, MetadataValue>,
        /// The version of the data.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data_version: Option<String>,
    },
    /// A step looked at an asset and says whether it is as it should be.
    AssetChecked {
        /// The step that looked.
        step: StepKey,
        /// The asset.
        asset: AssetKey,
        /// The partition, when the asset is partitioned.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        partition: Option<PartitionKey>,
        /// The check's name.
        check: String,
        /// Whether it passed.
        passed: bool,
        /// How bad it is that it did not.
        severity: CheckSeverity,
        /// What the step says about it.
        #[serde(default)]
        metadata: BTreeMap<String, MetadataValue>,
    },
    /// A step said something that only those who know its program understand.
    StepMessage {
        /// The step.
        step: StepKey,
        /// The attempt, from 1.
        attempt: u32,
        /// What it said.
        payload: serde_json::Value,
    },
}

/// How bad it is that a check did not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckSeverity {
    /// Somebody should look at it.
    Warn,
    /// The data should not be used.
    #[default]
    Error,
}

/// Why an attempt at a step failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepError {
    /// The code, whose page explains it.
    pub code: ErrorCode,
    /// What happened, in words.
    pub message: String,
    /// More of it: the end of stderr, a traceback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The next attempt at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedRetry {
    /// Its number, from 2.
    pub attempt: u32,
    /// How long it waits.
    pub delay_micros: u64,
}

impl PlannedRetry {
    /// How long it waits.
    pub fn delay(&self) -> Duration {
        Duration::from_micros(self.delay_micros)
    }
}

impl EventBody {
    /// The kind's name, as stored and shown.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RunQueued { .. } => "run_queued",
            Self::LaunchFailed { .. } => "launch_failed",
            Self::RunStarted { .. } => "run_started",
            Self::CancelRequested { .. } => "cancel_requested",
            Self::RunSucceeded {} => "run_succeeded",
            Self::RunFailed { .. } => "run_failed",
            Self::RunCanceled {} => "run_canceled",
            Self::RunRetried { .. } => "run_retried",
            Self::RunGaveUp { .. } => "run_gave_up",
            Self::WorkerLost { .. } => "worker_lost",
            Self::StepStarted { .. } => "step_started",
            Self::StepSucceeded { .. } => "step_succeeded",
            Self::StepSkipped { .. } => "step_skipped",
            Self::StepFailed { .. } => "step_failed",
            Self::StepUpstreamFailed { .. } => "step_upstream_failed",
            Self::StepCanceled { .. } => "step_canceled",
            Self::StepLost { .. } => "step_lost",
            Self::Materialized { .. } => "materialized",
            Self::Reported { .. } => "reported",
            Self::AssetChecked { .. } => "asset_checked",
            Self::StepMessage { .. } => "step_message",
        }
    }

    /// The `seq` of an event when the control plane writes it; `None` for what only a worker says.
    ///
    /// Each can happen at most once in an epoch, so a fixed number makes a repeated write harmless.
    pub fn control_seq(&self) -> Option<i64> {
        match self {
            Self::RunQueued { .. } => Some(-9),
            Self::LaunchFailed { .. } => Some(-7),
            Self::CancelRequested { .. } => Some(-6),
            Self::WorkerLost { .. } => Some(-5),
            Self::RunCanceled {} => Some(-4),
            Self::RunFailed { .. } => Some(-3),
            // After whatever its worker has said.
            Self::RunRetried { .. } => Some(AFTER_THE_WORKER),
            Self::RunGaveUp { .. } => Some(AFTER_THE_WORKER + 1),
            _ => None,
        }
    }

    /// The step it is about, if it is about one.
    pub fn step(&self) -> Option<&StepKey> {
        match self {
            Self::StepStarted { step, .. }
            | Self::StepSucceeded { step, .. }
            | Self::StepSkipped { step, .. }
            | Self::StepFailed { step, .. }
            | Self::StepUpstreamFailed { step, .. }
            | Self::StepCanceled { step, .. }
            | Self::StepLost { step, .. }
            | Self::Materialized { step, .. }
            | Self::AssetChecked { step, .. }
            | Self::StepMessage { step, .. } => Some(step),
            _ => None,
        }
    }

    /// What it does to the step's status; `None` when it does nothing to it.
    pub fn step_event(&self) -> Option<StepEvent> {
        match self {
            Self::StepStarted { .. } => Some(StepEvent::Started),
            Self::StepSucceeded { .. } => Some(StepEvent::Succeeded),
            Self::StepSkipped { .. } => Some(StepEvent::Skipped),
            Self::StepFailed { retry: Some(_), .. } => Some(StepEvent::FailedWillRetry),
            Self::StepFailed { retry: None, .. } => Some(StepEvent::Failed),
            Self::StepUpstreamFailed { .. } => Some(StepEvent::UpstreamFailed),
            Self::StepCanceled { .. } => Some(StepEvent::Canceled),
            Self::StepLost { .. } => Some(StepEvent::WorkerLost),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_in_json_is_the_kind_that_the_store_writes() {
        let body = EventBody::StepSkipped {
            step: "a".parse().unwrap(),
            attempt: 1,
            reason: "nothing new".into(),
        };
        let event = Event {
            v: 1,
            at: Timestamp::from_micros(0),
            tenant: TenantId::default_tenant(),
            run: RunId::new(Timestamp::from_micros(0), [0; 10]),
            epoch: 1,
            seq: 0,
            body,
        };
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!(json["kind"], event.body.kind());
        assert_eq!(serde_json::from_value::<Event>(json).unwrap(), event);
    }
}
