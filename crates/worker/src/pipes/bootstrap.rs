//! What a program is told: two variables, each JSON in zlib's envelope in base64.
//!
//! The envelope holds the text as it is, for every step pays for it and most programs never look.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use millstream_model::partitions::TimeWindow;
use millstream_model::worker_api::Provenance;
use millstream_model::{AssetStep, PartitionKey, PipesChannel, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};

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
    /// Where the asset came from when it was made last.
    pub(crate) provenance: Option<&'a Provenance>,
    /// The partition.
    pub(crate) partition: Option<Partition<'a>>,
    /// What the author and the run add.
    pub(crate) extras: BTreeMap<&'a str, Cow<'a, Value>>,
}

/// A partition with the time that it covers.
pub(crate) struct Partition<'a> {
    /// The key.
    pub(crate) key: &'a PartitionKey,
    /// The time.
    pub(crate) window: Option<TimeWindow>,
}

/// A first and a last one.
#[derive(Serialize)]
struct Range<T> {
    start: T,
    end: T,
}

/// The context as the protocol has it; every key is always there.
#[derive(Serialize)]
struct Told<'a> {
    asset_keys: Option<[&'a str; 1]>,
    code_version_by_asset_key: Option<BTreeMap<&'a str, &'a str>>,
    provenance_by_asset_key: Option<BTreeMap<&'a str, Option<&'a Provenance>>>,
    partition_key: Option<&'a PartitionKey>,
    partition_key_range: Option<Range<&'a PartitionKey>>,
    partition_time_window: Option<Range<String>>,
    run_id: &'a str,
    job_name: &'a str,
    retry_number: u32,
    extras: &'a BTreeMap<&'a str, Cow<'a, Value>>,
}

impl Facts<'_> {
    /// The context as JSON.
    pub(super) fn context(&self) -> serde_json::Result<String> {
        let key = self.partition.as_ref().map(|partition| partition.key);
        let window = self.partition.as_ref().and_then(|partition| partition.window);
        let name = self.asset.map(|asset| asset.key.to_string());
        let asset = self.asset.zip(name.as_deref());
        serde_json::to_string(&Told {
            asset_keys: asset.map(|(_, name)| [name]),
            code_version_by_asset_key: asset
                .map(|(asset, name)| BTreeMap::from([(name, asset.code_version.as_str())])),
            provenance_by_asset_key: asset
                .map(|(_, name)| BTreeMap::from([(name, self.provenance)])),
            partition_key: key,
            partition_key_range: key.map(|key| Range { start: key, end: key }),
            partition_time_window: window
                .map(|window| Range { start: iso(window.start), end: iso(window.end) }),
            run_id: &self.run,
            job_name: self.job.unwrap_or(ASSET_JOB),
            retry_number: self.attempt.saturating_sub(1),
            extras: &self.extras,
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
    STANDARD.encode(enveloped(json.as_bytes()))
}

/// `text` in zlib's envelope (RFC 1950), in blocks that hold it as it is (RFC 1951 §3.2.4).
///
/// A compressor would clear a quarter of a megabyte of tables for each text that it leaves as it
/// is, which was a tenth of the time of a step in a warm process.
fn enveloped(text: &[u8]) -> Vec<u8> {
    const BLOCK_MAX: usize = u16::MAX as usize;
    let mut bytes = Vec::with_capacity(text.len() + 5 * (text.len() / BLOCK_MAX + 1) + 6);
    bytes.extend([0x78, 0x01]);
    let mut rest = text;
    loop {
        let (block, after) = rest.split_at(rest.len().min(BLOCK_MAX));
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        bytes.push(u8::from(after.is_empty()));
        bytes.extend(length.to_le_bytes());
        bytes.extend((!length).to_le_bytes());
        bytes.extend(block);
        if after.is_empty() {
            break;
        }
        rest = after;
    }
    bytes.extend(adler2::adler32_slice(text).to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::ZlibDecoder;

    use super::*;

    fn said(facts: &Facts<'_>) -> Value {
        serde_json::from_str(&facts.context().unwrap()).unwrap()
    }

    #[test]
    fn a_step_without_asset_and_partition_has_all_keys_and_null_for_what_is_not_there() {
        let facts = Facts {
            run: "r1".to_owned(),
            job: None,
            attempt: 3,
            asset: None,
            provenance: None,
            partition: None,
            extras: BTreeMap::new(),
        };
        let wanted = json!({
            "asset_keys": null, "code_version_by_asset_key": null,
            "provenance_by_asset_key": null, "partition_key": null,
            "partition_key_range": null, "partition_time_window": null,
            "run_id": "r1", "job_name": "__ASSET_JOB", "retry_number": 2, "extras": {},
        });
        assert_eq!(said(&facts), wanted);
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
            provenance: None,
            partition: Some(Partition { key: &key, window: Some(window) }),
            extras: BTreeMap::new(),
        };
        let context = said(&facts);
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
    fn a_variable_holds_its_text_in_an_envelope_of_zlib_in_base64() {
        // Longer than a block of the envelope, of which there are then several.
        let long = "é".repeat(100_000);
        let exact = "x".repeat(2 * usize::from(u16::MAX));
        for text in ["", r#"{"path": "/tmp/messages"}"#, &long, &exact] {
            let envelope = STANDARD.decode(encode(text)).unwrap();
            assert_eq!(envelope[0], 0x78);
            let mut read = String::new();
            ZlibDecoder::new(&*envelope).read_to_string(&mut read).unwrap();
            assert_eq!(read, text);
        }
    }
}
