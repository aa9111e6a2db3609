//! What templates see of things, field by field: whoever fills templates gives these, and a
//! definition that names another field is refused.
//!
//! The worker gives those of steps, control and decide those of sensors. The names of the fields
//! are those that serde writes; the lists beside the types say them once more for definitions, and
//! a test compares the two.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::view::RunRow;
use crate::{
    AssetKey, JobName, LocationName, MetadataValue, PartitionKey, RunId, SensorName, StepKey,
    TenantDef, TenantId, Timestamp,
};

/// The entries of the context that every step in Python sees, beside those of its asset.
pub const CONTEXT_ENTRIES: &[&str] = &[
    "run",
    "tenant",
    "partition",
    "dimensions",
    "trigger",
    "config",
    "step",
    "attempt",
    "asset",
    "upstream_results",
    "params",
    "context",
];

/// `run` in a step.
#[derive(Debug, Clone, Serialize)]
pub struct RunOfStep<'a> {
    /// The run.
    pub id: RunId,
    /// The end of its id, for people.
    pub short: String,
    /// Its job, if it is of one.
    pub job: Option<&'a JobName>,
    /// The code location.
    pub location: &'a LocationName,
    /// When it was queued.
    pub queued_at: Timestamp,
    /// Its labels.
    pub tags: &'a BTreeMap<String, String>,
}

/// `run` where a sensor has found one, or what one has made.
#[derive(Debug, Clone, Serialize)]
pub struct RunFound<'a> {
    /// The run.
    pub id: RunId,
    /// The end of its id, for people.
    pub short: String,
    /// Its job, if it is of one.
    pub job: Option<&'a JobName>,
    /// The code location.
    pub location: &'a str,
    /// The job's name or the assets' keys, for people.
    pub title: &'a str,
    /// Its status.
    pub status: String,
    /// Its partition.
    pub partition: Option<&'a PartitionKey>,
    /// Its labels.
    pub tags: &'a BTreeMap<String, String>,
    /// What it was started with.
    pub context: &'a Map<String, Value>,
    /// The same, under the name that others have for it.
    pub config: &'a Map<String, Value>,
    /// Why it exists.
    pub cause: String,
    /// Why it failed, when it did.
    pub failure: Option<&'a str>,
    /// When it was queued.
    pub queued_at: String,
    /// When its worker first reported.
    pub started_at: Option<String>,
    /// When it ended.
    pub ended_at: Option<String>,
}

/// `event` where a sensor has found a materialization.
#[derive(Debug, Clone, Serialize)]
pub struct EventFound<'a> {
    /// What was made.
    pub asset: &'a AssetKey,
    /// Which partition of it.
    pub partition: Option<&'a PartitionKey>,
    /// What was said about it.
    pub metadata: &'a BTreeMap<String, MetadataValue>,
    /// The version of the data.
    pub data_version: Option<&'a str>,
    /// The run that made it, if one did.
    pub run_id: Option<RunId>,
    /// The step that made it, if one did.
    pub step: Option<&'a StepKey>,
    /// Who reported it, if it was made elsewhere.
    pub reported_by: Option<&'a str>,
    /// When.
    pub at: String,
}

/// `file` where a sensor has found one.
#[derive(Debug, Clone, Serialize)]
pub struct FileFound<'a> {
    /// The folder that is watched and its path below it.
    pub path: &'a str,
    /// The last part of its path.
    pub name: &'a str,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last changed or moved here.
    pub changed_at: String,
}

/// `delivery` of a webhook.
#[derive(Debug, Clone, Serialize)]
pub struct DeliveryFound<'a> {
    /// What it is called.
    pub id: &'a str,
    /// When it came.
    pub received_at: String,
    /// Its headers, by their names in small letters.
    pub headers: &'a Value,
    /// Its body.
    pub body: &'a Value,
}

/// `trigger` in the step that a sensor asks with.
#[derive(Debug, Clone, Serialize)]
pub struct Question<'a> {
    /// The sensor.
    pub sensor: &'a SensorName,
    /// What it remembers.
    pub cursor: Option<&'a str>,
    /// The time that the tick is known by.
    pub nominal: String,
}

impl RunOfStep<'_> {
    /// The names of its fields.
    pub const FIELDS: &'static [&'static str] =
        &["id", "short", "job", "location", "queued_at", "tags"];
}

impl<'a> RunFound<'a> {
    /// The names of its fields.
    pub const FIELDS: &'static [&'static str] = &[
        "id",
        "short",
        "job",
        "location",
        "title",
        "status",
        "partition",
        "tags",
        "context",
        "config",
        "cause",
        "failure",
        "queued_at",
        "started_at",
        "ended_at",
    ];

    /// What templates see of the run in `row`.
    pub fn of(row: &'a RunRow, location: &'a str, context: &'a Map<String, Value>) -> Self {
        Self {
            id: row.run_id,
            short: row.run_id.short(),
            job: row.job.as_ref(),
            location,
            title: &row.title,
            status: row.status.to_string(),
            partition: row.partition.as_ref(),
            tags: &row.tags,
            context,
            config: context,
            cause: row.cause.to_string(),
            failure: row.failure.as_deref(),
            queued_at: row.queued_at.to_string(),
            started_at: row.started_at.map(|at| at.to_string()),
            ended_at: row.ended_at.map(|at| at.to_string()),
        }
    }
}

impl EventFound<'_> {
    /// The names of its fields.
    pub const FIELDS: &'static [&'static str] =
        &["asset", "partition", "metadata", "data_version", "run_id", "step", "reported_by", "at"];
}

impl FileFound<'_> {
    /// The names of its fields.
    pub const FIELDS: &'static [&'static str] = &["path", "name", "size", "changed_at"];
}

impl DeliveryFound<'_> {
    /// The names of its fields.
    pub const FIELDS: &'static [&'static str] = &["id", "received_at", "headers", "body"];
}

impl Question<'_> {
    /// The names of its fields.
    pub const FIELDS: &'static [&'static str] = &["sensor", "cursor", "nominal"];
}

impl TenantDef {
    /// The names of what templates see of every tenant; its labels are fields beside them.
    pub const FIELDS: &'static [&'static str] = &[
        "id",
        "name",
        "database_url",
        "s3_bucket",
        "s3_prefix",
        "schema_name",
        "schedule",
        "enabled",
        "weight",
        "labels",
    ];

    /// What templates see of the tenant `id`, whose definition this is.
    pub fn seen(&self, id: &TenantId) -> Map<String, Value> {
        let mut fields = match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        // The usual weight is not written.
        fields.insert("weight".to_owned(), self.weight.into());
        fields.insert("id".to_owned(), id.as_str().into());
        for (name, label) in &self.labels {
            // A field keeps its name.
            fields.entry(name).or_insert_with(|| label.as_str().into());
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Cause, RunStatus};

    fn run() -> RunId {
        RunId::new(Timestamp::from_micros(5), [3; 10])
    }

    fn row() -> RunRow {
        RunRow {
            tenant: "jfk".parse().unwrap(),
            run_id: run(),
            job: None,
            title: "etl".to_owned(),
            status: RunStatus::Success,
            cause: Cause::User { name: "ann".to_owned() },
            partition: None,
            tags: BTreeMap::new(),
            queued_at: Timestamp::from_micros(5),
            started_at: None,
            ended_at: None,
            steps_total: 1,
            steps_over: 1,
            hold: None,
            waits: None,
            failure: None,
            epoch: 1,
            cancel_requested: false,
            retried_as: None,
        }
    }

    #[test]
    fn definitions_may_name_what_is_given_and_nothing_else() {
        let (location, sensor) = ("main".parse().unwrap(), "watch".parse().unwrap());
        let asset = "orders".parse().unwrap();
        let (context, tags, row) = (Map::new(), BTreeMap::new(), row());
        let run = RunOfStep {
            id: run(),
            short: String::new(),
            job: None,
            location: &location,
            queued_at: Timestamp::from_micros(5),
            tags: &tags,
        };
        let event = EventFound {
            asset: &asset,
            partition: None,
            metadata: &BTreeMap::new(),
            data_version: None,
            run_id: None,
            step: None,
            reported_by: None,
            at: String::new(),
        };
        let file = FileFound { path: "", name: "", size: 1, changed_at: String::new() };
        let (headers, body) = (&json!({}), &json!({}));
        let delivery = DeliveryFound { id: "", received_at: String::new(), headers, body };
        let question = Question { sensor: &sensor, cursor: None, nominal: String::new() };
        for (given, fields) in [
            (json!(run), RunOfStep::FIELDS),
            (json!(RunFound::of(&row, "main", &context)), RunFound::FIELDS),
            (json!(event), EventFound::FIELDS),
            (json!(file), FileFound::FIELDS),
            (json!(delivery), DeliveryFound::FIELDS),
            (json!(question), Question::FIELDS),
            (json!(TenantDef::default().seen(&"jfk".parse().unwrap())), TenantDef::FIELDS),
        ] {
            let mut fields = fields.to_vec();
            fields.sort_unstable();
            let given: Vec<&String> = given.as_object().unwrap().keys().collect();
            assert_eq!(given, fields);
        }
    }

    #[test]
    fn a_label_is_a_field_beside_a_tenant_s_own_and_never_in_place_of_one() {
        let labels = [("city", "Oslo"), ("weight", "7"), ("id", "x")];
        let labels = labels.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let def = TenantDef { labels: labels.into(), ..TenantDef::default() };
        let seen = json!(def.seen(&"jfk".parse().unwrap()));
        assert_eq!(
            [&seen["city"], &seen["weight"], &seen["id"]],
            [&json!("Oslo"), &json!(1), &json!("jfk")]
        );
    }
}
