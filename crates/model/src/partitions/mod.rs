//! How assets are divided: partitions definitions, their keys and the algebra over them.

mod grid;
mod key;
mod list;
mod problem;
mod windows;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{DimensionName, Timestamp};

pub use key::DIMENSION_SEPARATOR;
pub use problem::PartitionsProblem;
pub use windows::Windows;

/// How an asset is divided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PartitionsDef {
    /// The keys stand in the definition.
    Static {
        /// The keys, in their order.
        keys: Vec<PartitionKey>,
    },
    /// Keys are added and removed while the instance runs.
    Dynamic(DynamicPartitions),
    /// One key for each window of time.
    TimeWindow(TimeWindowPartitions),
    /// The product of several definitions. A key is the dimensions' keys, in the order of the
    /// dimensions' names, with `|` between them (`2025-07-01|tenant_a::cpu_usage`).
    Multi {
        /// The dimensions by name.
        dimensions: BTreeMap<DimensionName, PartitionsDef>,
    },
}

/// A set of keys that changes while the instance runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DynamicPartitions {
    /// The parts that a key has; empty for a key of one part without a name.
    #[serde(default)]
    pub dimensions: Vec<DimensionName>,
    /// What stands between the parts. The last part may contain it.
    pub separator: String,
    /// The dimension that holds the tenant: a run for `jfk::day::x` then belongs to tenant `jfk`.
    #[serde(default)]
    pub tenant: Option<DimensionName>,
    /// Keys that are there from the start.
    #[serde(default)]
    pub keys: Vec<PartitionKey>,
}

/// One key for each window of time between two ticks of a cadence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeWindowPartitions {
    /// How long a window is.
    pub cadence: Cadence,
    /// The start of the first window, as local date (`2025-07-01`) or date and time.
    pub start: String,
    /// Where windows stop, exclusive; they go on with time when absent.
    #[serde(default)]
    pub end: Option<String>,
    /// The zone whose days these are, as an IANA name.
    pub timezone: String,
    /// How a key is written, in strftime's letters; the cadence's own when absent.
    #[serde(default)]
    pub format: Option<String>,
}

/// How long the windows are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cadence {
    /// From full hour to full hour.
    Hourly,
    /// From midnight to midnight.
    Daily,
    /// From midnight on Monday to the next.
    Weekly,
    /// From midnight on the first to the next.
    Monthly,
    /// From one tick of a cron expression to the next.
    Cron(String),
}

/// The key of one partition: text without control characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PartitionKey(String);

/// A text cannot be a partition key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Invalid partition key format: {text}")]
pub struct PartitionKeyError {
    /// The rejected text.
    pub text: String,
}

/// The most bytes that a partition key has.
pub const KEY_MAX: usize = 500;

impl PartitionKey {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PartitionKey {
    type Err = PartitionKeyError;

    fn from_str(text: &str) -> Result<Self, PartitionKeyError> {
        if text.is_empty() || text.len() > KEY_MAX || text.chars().any(char::is_control) {
            return Err(PartitionKeyError { text: text.escape_debug().to_string() });
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for PartitionKey {
    type Error = PartitionKeyError;

    fn try_from(text: String) -> Result<Self, PartitionKeyError> {
        text.parse()
    }
}

impl From<PartitionKey> for String {
    fn from(key: PartitionKey) -> String {
        key.0
    }
}

impl fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The time that a partition covers: from `start`, inclusive, to `end`, exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeWindow {
    /// The first instant.
    pub start: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
}
