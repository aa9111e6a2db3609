//! The partitions algebra: windows of time against calendars written here, and keys of all kinds.

#![expect(clippy::unwrap_used, reason = "a test stops where its own input is wrong")]

mod keys;
mod windows;

use millstream_model::partitions::{Cadence, TimeWindowPartitions};
use millstream_model::{PartitionKey, Timestamp};

/// Windows of `cadence` since `start` in `zone`.
fn windows_since(cadence: Cadence, start: &str, zone: &str) -> TimeWindowPartitions {
    TimeWindowPartitions {
        cadence,
        start: start.to_owned(),
        end: None,
        timezone: zone.to_owned(),
        format: None,
    }
}

fn time(text: &str) -> Timestamp {
    Timestamp::from(text.parse::<jiff::Timestamp>().unwrap())
}

fn key(text: &str) -> PartitionKey {
    text.parse().unwrap()
}

fn texts(keys: &[PartitionKey]) -> Vec<&str> {
    keys.iter().map(PartitionKey::as_str).collect()
}
