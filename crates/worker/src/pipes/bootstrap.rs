//! What a program is told: two variables, each JSON in zlib's envelope in base64.
//!
//! The envelope holds the text as it is, for every step pays for it and most programs never look.

use millstream_model::partitions::TimeWindow;
use millstream_model::{AssetStep, PartitionKey, PipesChannel, Timestamp};
use serde_json::{Map, Value, json};

/// The variable that says where the context is.
pub(super) const CONTEXT: &str = "DAGSTER_PIPES_CONTEXT";

/// The variable that says where messages go.
pub(super) const MESSAGES: &str = "DAGSTER_PIPES_MESSAGES";

/// The job of a run that was asked for by naming assets.
const ASSET_JOB: &str = "__ASSET_JOB";

/// The largest context that stands in the variable itself; a system takes 128 KiB for each.
pub(super) const INLINE_MAX: usize = 48 * 1024;

/// What there is to tell about an attempt.
pub(crate) struct Facts<'a> {
    /// The run.
    pub(crate) run: String,
    /// The job, if the run is one's.
    pub(crate) job: Option<&'a str>,
    /// The attempt, from 1.
    pub(crate) attempt: u32,
    /// The asset that the step makes.
    pub(crate) asset: Option<&'a AssetStep>,
    /// The partition.
    pub(crate) partition: Option<Partition<'a>>,
    /// What the author and the run add.
    pub(crate) extras: Map<String, Value>,
}

/// A partition with the time that it covers.
pub(crate) struct Partition<'a> {
    /// The key.
    pub(crate) key: &'a PartitionKey,
    /// The time.
    pub(crate) window: Option<TimeWindow>,
}

impl Facts<'_> {
    /// The context as the protocol has it; every key is always there.
    pub(super) fn context(self) -> Value {
        let by_asset = |value: fn(&AssetStep) -> Value| match self.asset {
            Some(asset) => json!({ (asset.key.to_string()): value(asset) }),
            None => Value::Null,
        };
        let key = self.partition.as_ref().map(|partition| partition.key);
        let window = self.partition.as_ref().and_then(|partition| partition.window);
        json!({
            "asset_keys": self.asset.map(|asset| [asset.key.to_string()]),
            "code_version_by_asset_key": by_asset(|asset| json!(asset.code_version)),
            "provenance_by_asset_key": by_asset(|_| Value::Null),
            "partition_key": key,
            "partition_key_range": key.map(|key| json!({ "start": key, "end": key })),
            "partition_time_window":
                window.map(|window| json!({ "start": iso(window.start), "end": iso(window.end) })),
            "run_id": self.run,
            "job_name": self.job.unwrap_or(ASSET_JOB),
            "retry_number": self.attempt.saturating_sub(1),
            "extras": self.extras,
        })
    }
}

/// A time as Python of every version reads it.
fn iso(at: Timestamp) -> String {
    at.to_string().replace('Z', "+00:00")
}

/// What the second variable says of `channel`, whose file is at `path`; `None` when there is none.
pub(super) fn messages(channel: PipesChannel, path: &str) -> Option<Value> {
    match channel {
        PipesChannel::Off => None,
        PipesChannel::File => Some(json!({ "path": path, "include_stdio_in_messages": false })),
        PipesChannel::Stdout => Some(json!({ "stdio": "stdout" })),
        PipesChannel::Stderr => Some(json!({ "stdio": "stderr" })),
        PipesChannel::BufferedStdout => Some(json!({ "buffered_stdio": "stdout" })),
        PipesChannel::BufferedStderr => Some(json!({ "buffered_stdio": "stderr" })),
    }
}

/// `json` as a variable holds it.
pub(super) fn encode(json: &str) -> String {
    base64(&zlib(json.as_bytes()))
}

/// `bytes` in zlib's envelope, stored as they are.
fn zlib(bytes: &[u8]) -> Vec<u8> {
    // The method and window, and a checksum of the two without a dictionary.
    let mut out = vec![0x78, 0x01];
    let mut blocks = bytes.chunks(usize::from(u16::MAX)).peekable();
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.push(u8::from(blocks.peek().is_none()));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    out.extend(adler32(bytes).to_be_bytes());
    out
}

/// The checksum at the end of zlib's envelope.
fn adler32(bytes: &[u8]) -> u32 {
    const MODULUS: u32 = 65_521;
    let (mut low, mut high) = (1_u32, 0_u32);
    // So many sums stay below 2^32 before the modulus is due.
    for part in bytes.chunks(5_552) {
        for byte in part {
            low += u32::from(*byte);
            high += low;
        }
        (low, high) = (low % MODULUS, high % MODULUS);
    }
    (high << 16) | low
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |place: usize| u32::from(group.get(place).copied().unwrap_or_default());
        let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for place in 0..4_usize {
            let letter = LETTERS.get((bits >> (18 - 6 * place)) as usize & 63);
            let is_there = place <= group.len();
            text.push(letter.filter(|_| is_there).map_or('=', |letter| char::from(*letter)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_without_asset_and_partition_has_all_keys_and_null_for_what_is_not_there() {
        let facts = Facts {
            run: "r1".to_owned(),
            job: None,
            attempt: 3,
            asset: None,
            partition: None,
            extras: Map::new(),
        };
        let wanted = json!({
            "asset_keys": null, "code_version_by_asset_key": null,
            "provenance_by_asset_key": null, "partition_key": null,
            "partition_key_range": null, "partition_time_window": null,
            "run_id": "r1", "job_name": "__ASSET_JOB", "retry_number": 2, "extras": {},
        });
        assert_eq!(facts.context(), wanted);
    }

    #[test]
    fn a_partition_of_time_has_its_key_range_and_window() {
        let key = "2024-03-01".parse().unwrap();
        let window = TimeWindow {
            start: serde_json::from_value(json!("2024-03-01T00:00:00Z")).unwrap(),
            end: serde_json::from_value(json!("2024-03-02T00:00:00Z")).unwrap(),
        };
        let facts = Facts {
            run: "r1".to_owned(),
            job: Some("daily"),
            attempt: 1,
            asset: None,
            partition: Some(Partition { key: &key, window: Some(window) }),
            extras: Map::new(),
        };
        let context = facts.context();
        assert_eq!(
            context["partition_key_range"],
            json!({ "start": "2024-03-01", "end": "2024-03-01" })
        );
        assert_eq!(
            context["partition_time_window"],
            json!({ "start": "2024-03-01T00:00:00+00:00", "end": "2024-03-02T00:00:00+00:00" })
        );
    }

    #[test]
    fn base64_pads_what_is_no_multiple_of_three() {
        for (bytes, wanted) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v")] {
            assert_eq!(base64(bytes.as_bytes()), wanted);
        }
    }

    #[test]
    fn the_checksum_is_adler_s() {
        assert_eq!(adler32(b"Wikipedia"), 0x11E6_0398);
    }
}
