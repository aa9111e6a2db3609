//! What a run and a step can be, and what can follow what.
//!
//! Two total functions, [`RunStatus::after`] and [`StepStatus::after`], are the only way from one
//! status to the next; `docs/concepts/run-states.md` shows their tables as a test prints them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The status of a run; the names are Dagster's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RunStatus {
    /// Waits in the queue.
    Queued,
    /// Planned by a caller who will start it by hand; it is not in the queue.
    NotStarted,
    /// Claimed by a daemon; its worker is being launched.
    Starting,
    /// Its worker runs.
    Started,
    /// Every step succeeded or was skipped.
    Success,
    /// A step failed, or the worker was lost.
    Failure,
    /// A cancel was asked for; the worker is stopping its steps.
    Canceling,
    /// It was canceled.
    Canceled,
}

/// What can happen to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunEvent {
    /// The caller asked for a planned run to be queued.
    Enqueued,
    /// A daemon claimed it.
    Dequeued,
    /// The launcher could not start a worker, and may try again.
    LaunchFailed,
    /// Its worker reported for the first time.
    WorkerStarted,
    /// The worker finished and no step failed.
    AllStepsSucceeded,
    /// A step failed, or the worker was lost and no attempt is left.
    Broke,
    /// Somebody asked for it to stop.
    CancelRequested,
    /// The worker stopped its steps after a cancel.
    WorkerStopped,
    /// The worker was lost, and the run goes back to the queue for another.
    WorkerLost,
}

/// An event that cannot happen in this state. Callers log it and drop the event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{event} cannot happen to a {what} that is {from}")]
pub struct IllegalTransition {
    /// `run` or `step`.
    pub what: &'static str,
    /// The status it was in.
    pub from: String,
    /// What should have happened to it.
    pub event: String,
}

impl RunStatus {
    /// Every status, in the order of a run's life.
    pub const ALL: [Self; 8] = [
        Self::NotStarted,
        Self::Queued,
        Self::Starting,
        Self::Started,
        Self::Canceling,
        Self::Success,
        Self::Failure,
        Self::Canceled,
    ];

    /// The state after `event`.
    pub fn after(self, event: RunEvent) -> Result<Self, IllegalTransition> {
        use {RunEvent as E, RunStatus as S};
        Ok(match (self, event) {
            (S::NotStarted, E::Enqueued) => S::Queued,
            (S::Queued, E::Dequeued) => S::Starting,
            (S::Starting, E::WorkerStarted) => S::Started,
            // The worker may finish before its first report arrives; the work counts.
            (S::Starting | S::Started, E::AllStepsSucceeded) => S::Success,
            (S::Queued | S::Starting | S::Started, E::Broke) => S::Failure,
            // No worker holds it any more, so it waits for another one.
            (S::Starting, E::LaunchFailed) | (S::Starting | S::Started, E::WorkerLost) => S::Queued,

            // Nothing runs yet, so there is no worker to wait for.
            (S::NotStarted | S::Queued, E::CancelRequested) => S::Canceled,
            (S::Starting | S::Started | S::Canceling, E::CancelRequested) => S::Canceling,
            // However the worker ended, the cancel that was asked for has happened.
            (S::Canceling, E::WorkerStopped | E::Broke | E::WorkerLost | E::LaunchFailed) => {
                S::Canceled
            }
            (S::Canceling, E::WorkerStarted) => S::Canceling,
            // The work was done before the cancel arrived; the outputs exist, so say so.
            (S::Canceling, E::AllStepsSucceeded) => S::Success,

            (from, event) => {
                return Err(IllegalTransition {
                    what: "run",
                    from: from.to_string(),
                    event: format!("{event:?}"),
                });
            }
        })
    }

    /// Whether nothing can happen to the run any more.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Success | Self::Failure | Self::Canceled)
    }

    /// Whether another run may do again what this one did not do.
    pub fn may_be_retried(self) -> bool {
        matches!(self, Self::Failure | Self::Canceled)
    }

    /// The name as stored and shown by the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::NotStarted => "NOT_STARTED",
            Self::Starting => "STARTING",
            Self::Started => "STARTED",
            Self::Success => "SUCCESS",
            Self::Failure => "FAILURE",
            Self::Canceling => "CANCELING",
            Self::Canceled => "CANCELED",
        }
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for RunStatus {
    type Err = String;

    /// Reads the stored name; the error is the rejected text.
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|s| s.as_str() == text).ok_or_else(|| text.to_owned())
    }
}

/// The status of a step within its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StepStatus {
    /// Waits for its upstream steps or for a free place.
    Pending,
    /// An attempt runs.
    Started,
    /// An attempt failed, and another will follow after a delay.
    Retrying,
    /// An attempt succeeded.
    Success,
    /// The last attempt failed.
    Failure,
    /// It reported, with a reason, that there was nothing to do; or an upstream step did.
    Skipped,
    /// A step it needs failed, so it never started.
    UpstreamFailed,
    /// The run was canceled before it finished.
    Canceled,
}

/// What can happen to a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StepEvent {
    /// An attempt started.
    Started,
    /// The attempt succeeded.
    Succeeded,
    /// The attempt said that there was nothing to do, or an upstream step did.
    Skipped,
    /// The attempt failed and its policy has another one.
    FailedWillRetry,
    /// The attempt failed and it was the last.
    Failed,
    /// A step that it needs failed.
    UpstreamFailed,
    /// The run was canceled.
    Canceled,
    /// The worker was lost while the attempt ran; the next worker starts a new attempt.
    WorkerLost,
}

impl StepStatus {
    /// Every status.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Started,
        Self::Retrying,
        Self::Success,
        Self::Failure,
        Self::Skipped,
        Self::UpstreamFailed,
        Self::Canceled,
    ];

    /// The state after `event`.
    pub fn after(self, event: StepEvent) -> Result<Self, IllegalTransition> {
        use {StepEvent as E, StepStatus as S};
        Ok(match (self, event) {
            (S::Pending | S::Retrying, E::Started) => S::Started,
            (S::Started, E::Succeeded) => S::Success,
            (S::Pending | S::Started, E::Skipped) => S::Skipped,
            (S::Started, E::FailedWillRetry) | (S::Started | S::Retrying, E::WorkerLost) => {
                S::Retrying
            }
            // A step may fail before its attempt starts: its configuration cannot be resolved.
            (S::Pending | S::Retrying | S::Started, E::Failed) => S::Failure,
            (S::Pending, E::UpstreamFailed) => S::UpstreamFailed,
            (S::Pending | S::Started | S::Retrying, E::Canceled) => S::Canceled,

            (from, event) => {
                return Err(IllegalTransition {
                    what: "step",
                    from: from.to_string(),
                    event: format!("{event:?}"),
                });
            }
        })
    }

    /// Whether nothing can happen to the step any more.
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Pending | Self::Started | Self::Retrying)
    }

    /// The name as stored and shown by the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Started => "STARTED",
            Self::Retrying => "RETRYING",
            Self::Success => "SUCCESS",
            Self::Failure => "FAILURE",
            Self::Skipped => "SKIPPED",
            Self::UpstreamFailed => "UPSTREAM_FAILED",
            Self::Canceled => "CANCELED",
        }
    }
}

impl fmt::Display for StepStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for StepStatus {
    type Err = String;

    /// Reads the stored name; the error is the rejected text.
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|s| s.as_str() == text).ok_or_else(|| text.to_owned())
    }
}

/// The whole table of a run's states, one legal transition a line.
pub fn run_status_table() -> String {
    use RunEvent as E;
    let events = [
        E::Enqueued,
        E::Dequeued,
        E::LaunchFailed,
        E::WorkerStarted,
        E::AllStepsSucceeded,
        E::Broke,
        E::CancelRequested,
        E::WorkerStopped,
        E::WorkerLost,
    ];
    table(&RunStatus::ALL, &events, |from, event| from.after(event).ok())
}

/// The whole table of a step's states, one legal transition a line.
pub fn step_status_table() -> String {
    use StepEvent as E;
    let events = [
        E::Started,
        E::Succeeded,
        E::Skipped,
        E::FailedWillRetry,
        E::Failed,
        E::UpstreamFailed,
        E::Canceled,
        E::WorkerLost,
    ];
    table(&StepStatus::ALL, &events, |from, event| from.after(event).ok())
}

fn table<S, E>(states: &[S], events: &[E], after: impl Fn(S, E) -> Option<S>) -> String
where
    S: Copy + fmt::Display,
    E: Copy + fmt::Debug,
{
    let mut lines = String::new();
    for from in states {
        for event in events {
            if let Some(to) = after(*from, *event) {
                lines.extend([format!("{from} --{event:?}--> {to}\n")]);
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_a_terminal_status() {
        for line in run_status_table().lines() {
            let from: RunStatus = line.split(' ').next().unwrap().parse().unwrap();
            assert!(!from.is_terminal(), "{line}");
        }
        for line in step_status_table().lines() {
            let from: StepStatus = line.split(' ').next().unwrap().parse().unwrap();
            assert!(!from.is_terminal(), "{line}");
        }
    }

    #[test]
    fn stored_names_read_back() {
        for status in RunStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        for status in StepStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        assert!("RUNNING".parse::<RunStatus>().is_err());
    }
}
