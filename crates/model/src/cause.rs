//! Why a run exists.

use serde::{Deserialize, Serialize};

use crate::{RetryFrom, RunId, Timestamp};

/// What asked for a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Cause {
    /// A person or a program, by page, API or command line.
    User {
        /// Who it was, as the caller names itself.
        name: String,
    },
    /// A schedule's tick.
    Schedule {
        /// The schedule's name.
        name: String,
        /// The nominal time, which is the tick's identity.
        nominal: Timestamp,
    },
    /// A sensor's tick.
    Sensor {
        /// The sensor's name.
        name: String,
        /// When it was asked, which is the tick's identity.
        nominal: Timestamp,
        /// The run that it reacts to, if it is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<RunId>,
    },
    /// A retry of another run.
    Retry {
        /// The run that failed.
        of: RunId,
        /// Its number among the retries that the job asked for, from 1; 0 when somebody asked.
        #[serde(default)]
        number: u32,
        /// What it does again.
        #[serde(default)]
        from: RetryFrom,
        /// Who asked for it, when the job did not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
}

impl Cause {
    /// How many retries a job has asked for before this run, itself included.
    pub fn retries_so_far(&self) -> u32 {
        match self {
            Self::Retry { number, .. } => *number,
            _ => 0,
        }
    }

    /// The run whose finished steps this one keeps, if it keeps any.
    pub fn resumes(&self) -> Option<RunId> {
        match self {
            Self::Retry { of, from: RetryFrom::Failure, .. } => Some(*of),
            _ => None,
        }
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User { name } => write!(f, "launched by {name}"),
            Self::Schedule { name, nominal } => write!(f, "schedule {name}, {nominal}"),
            Self::Retry { of, by: Some(name), .. } => write!(f, "retry of {}, {name}", of.short()),
            Self::Retry { of, .. } => write!(f, "retry of {}", of.short()),
            Self::Sensor { name, of: Some(run), .. } => {
                write!(f, "sensor {name}, after run {}", run.short())
            }
            Self::Sensor { name, nominal, of: None } => write!(f, "sensor {name}, {nominal}"),
        }
    }
}
