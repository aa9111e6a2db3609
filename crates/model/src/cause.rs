//! Why a run exists.

use serde::{Deserialize, Serialize};

use crate::{RunId, Timestamp};

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
    /// A retry of another run.
    Retry {
        /// The run that failed.
        of: RunId,
    },
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User { name } => write!(f, "{name}, manual"),
            Self::Schedule { name, nominal } => write!(f, "schedule {name}, {nominal}"),
            Self::Retry { of } => write!(f, "retry of {}", of.short()),
        }
    }
}
