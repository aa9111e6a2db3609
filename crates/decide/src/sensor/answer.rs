//! From a sensor's own answer to requests, and what of them was requested before.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::{
    CURSOR_MAX, ErrorCode, FoundKind, PartitionKey, REQUESTS_MAX, RunId, ScheduleTarget,
    SensorAnswer, SensorDef, SensorRequest, TickWarning, Timestamp,
};
use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::draft::fits_key;

/// Warnings that one tick keeps.
pub const WARNINGS_MAX: usize = 100;

/// The characters of a wrong part of an answer that are shown.
const SHOWN: usize = 100;

/// What a tick asks for, before it is known what was requested before.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Draft {
    /// The runs.
    pub requests: Vec<DraftRequest>,
    /// What kept single things from becoming requests, each told once.
    pub warnings: Vec<TickWarning>,
    /// How often warnings came again, by their places.
    pub again: BTreeMap<usize, u32>,
    /// The things that were found and do not fit.
    pub unfit: Option<Unfit>,
    /// The deliveries of which no run can be made, and why not.
    pub failed: BTreeMap<String, String>,
}

/// Things that were found and do not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// What they are.
    pub what: FoundKind,
    /// How many.
    pub count: u32,
    /// Why the first does not fit.
    pub first: String,
}

/// A run that a tick asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct DraftRequest {
    /// What runs.
    pub target: ScheduleTarget,
    /// What makes two requests the same.
    pub run_key: String,
    /// The partition.
    pub partition: Option<PartitionKey>,
    /// Labels of the run beside the job's.
    pub tags: BTreeMap<String, String>,
    /// The trigger context.
    pub context: serde_json::Map<String, serde_json::Value>,
    /// The run that it reacts to.
    pub of: Option<RunId>,
    /// The delivery that it reacts to.
    pub delivery: Option<String>,
}

/// A sensor's own answer, or what is wrong with it and where. Numbers and flags among the labels
/// are taken as text, as in definitions.
pub fn read_answer(value: Value) -> Result<SensorAnswer, String> {
    let mut value = if value.is_null() { Value::Object(Map::new()) } else { value };
    objects(&value)?;
    let requests = value.get_mut("requests").and_then(Value::as_array_mut);
    for (number, request) in requests.into_iter().flatten().enumerate() {
        let tags = request.get_mut("tags").and_then(Value::as_object_mut);
        for (name, label) in tags.into_iter().flatten() {
            match label {
                Value::Number(_) | Value::Bool(_) => *label = Value::String(label.to_string()),
                Value::String(_) => {}
                Value::Null | Value::Array(_) | Value::Object(_) => {
                    return Err(format!("the answer: requests[{number}].tags.{name} is no text"));
                }
            }
        }
        if let Err(error) = SensorRequest::deserialize(&*request) {
            return Err(format!("the answer: requests[{number}]: {error}"));
        }
    }
    serde_json::from_value(value).map_err(|error| format!("the answer: {error}"))
}

/// Refuses an answer that has something else where an object is wanted: a list would be read by the
/// order of its items.
fn objects(answer: &Value) -> Result<(), String> {
    let fields = object("the answer", answer)?;
    texts("the answer: ", fields, &["cursor", "skip"])?;
    let requests = fields.get("requests").and_then(Value::as_array);
    for (number, request) in requests.into_iter().flatten().enumerate() {
        let place = format!("the answer: requests[{number}]");
        let request = object(&place, request)?;
        texts(&format!("{place}."), request, &["job", "select", "run_key", "partition"])?;
        for name in ["tags", "context"] {
            if let Some(value) = request.get(name) {
                object(&format!("{place}.{name}"), value)?;
            }
        }
    }
    if let Some(partitions) = fields.get("partitions") {
        for (name, change) in object("the answer: partitions", partitions)? {
            object(&format!("the answer: partitions.{name}"), change)?;
        }
    }
    Ok(())
}

fn object<'a>(place: &str, value: &'a Value) -> Result<&'a Map<String, Value>, String> {
    value.as_object().ok_or_else(|| unlike(place, value, "a JSON object"))
}

/// Refuses something else than texts and nulls under `names`.
fn texts(place: &str, fields: &Map<String, Value>, names: &[&str]) -> Result<(), String> {
    for name in names {
        let value = fields.get(*name).filter(|value| !value.is_string() && !value.is_null());
        if let Some(value) = value {
            return Err(unlike(&format!("{place}{name}"), value, "a text"));
        }
    }
    Ok(())
}

/// That something else stands at `place` than what is `wanted` there.
fn unlike(place: &str, value: &Value, wanted: &str) -> String {
    let came = match value {
        Value::Null => return format!("{place} is null; {wanted} is wanted"),
        Value::Object(_) => "an object",
        Value::Array(_) => "a list",
        Value::String(_) => "a text",
        Value::Number(_) => "a number",
        Value::Bool(_) => "a flag",
    };
    let shown: String = value.to_string().chars().take(SHOWN).collect();
    format!("{place} is {came}, {shown}; {wanted} is wanted")
}

/// The requests of a sensor's own answer, or what is wrong with the answer.
pub fn of_answer(
    def: &SensorDef,
    answer: &SensorAnswer,
    nominal: Timestamp,
) -> Result<Draft, TickWarning> {
    let wrong =
        |message: String| TickWarning { partition: None, code: ErrorCode::SensorAnswer, message };
    if answer.cursor.as_ref().is_some_and(|cursor| cursor.len() > CURSOR_MAX) {
        return Err(wrong("the cursor is longer than 1 MiB; keep a shorter one".to_owned()));
    }
    let changed: usize =
        answer.partitions.values().map(|change| change.add.len() + change.remove.len()).sum();
    for (count, what) in [(answer.requests.len(), "runs"), (changed, "partitions")] {
        if count > REQUESTS_MAX {
            return Err(wrong(format!(
                "the answer names {count} {what}, more than {REQUESTS_MAX} of one tick; request \
                 the rest at the next one, with the cursor"
            )));
        }
    }
    let mut draft = Draft::default();
    let mut seen = BTreeSet::new();
    for (number, request) in answer.requests.iter().enumerate() {
        let target = match (&request.job, &request.select) {
            (Some(job), None) => ScheduleTarget::Job(job.clone()),
            (None, Some(select)) => ScheduleTarget::Select(select.clone()),
            (None, None) => match &def.request.target {
                Some(target) => target.clone(),
                None => {
                    return Err(wrong(format!(
                        "request {number} names neither `job` nor `select`, and the sensor has no \
                         `request` that does"
                    )));
                }
            },
            (Some(_), Some(_)) => {
                return Err(wrong(format!("request {number} names both `job` and `select`")));
            }
        };
        let run_key = request.run_key.clone().unwrap_or_else(|| format!("{nominal} {number}"));
        if let Err(problem) = fits_key(&run_key) {
            let message = format!("requests[{number}]: {problem}");
            draft.warn(None, ErrorCode::SensorAnswer, message);
            continue;
        }
        if !seen.insert(run_key.clone()) {
            draft.warn(None, ErrorCode::RunKeyKnown, deduplicated(&run_key, None));
            continue;
        }
        let context =
            if request.context.is_empty() { &def.request.context } else { &request.context };
        draft.requests.push(DraftRequest {
            target,
            run_key,
            partition: request.partition.clone(),
            tags: request.tags.clone(),
            context: context.clone(),
            of: None,
            delivery: None,
        });
    }
    Ok(draft)
}

/// `draft` without what was requested before, as `known` says by run key; each is listed.
#[must_use]
pub fn without_known(mut draft: Draft, known: &BTreeMap<String, RunId>) -> Draft {
    let (again, fresh): (Vec<_>, Vec<_>) =
        draft.requests.into_iter().partition(|request| known.contains_key(&request.run_key));
    draft.requests = fresh;
    for request in again {
        let run = known.get(&request.run_key).copied();
        let message = deduplicated(&request.run_key, run);
        draft.warn(request.partition, ErrorCode::RunKeyKnown, message);
    }
    draft
}

pub(super) fn deduplicated(run_key: &str, run: Option<RunId>) -> String {
    match run {
        Some(run) => format!("deduplicated: run {} has the key {run_key}", run.short()),
        None => format!("deduplicated: key {run_key}, twice in one tick"),
    }
}

impl Draft {
    /// Adds a warning, up to the limit; one that is there already is counted.
    pub fn warn(&mut self, partition: Option<PartitionKey>, code: ErrorCode, message: String) {
        let warning = TickWarning { partition, code, message };
        if let Some(place) = self.warnings.iter().position(|known| *known == warning) {
            *self.again.entry(place).or_default() += 1;
        } else if self.warnings.len() < WARNINGS_MAX {
            self.warnings.push(warning);
        }
    }

    /// The warnings, each with how often it came where that is more than once.
    pub fn told(&self) -> Vec<TickWarning> {
        let mut told = self.warnings.clone();
        for (place, again) in &self.again {
            if let Some(warning) = told.get_mut(*place) {
                warning.message = format!("{} ({} times)", warning.message, again + 1);
            }
        }
        told
    }

    /// Adds why no run can be made of a thing, which is named where it is a delivery.
    pub fn fail(
        &mut self,
        delivery: Option<&str>,
        partition: Option<PartitionKey>,
        (code, problem): (ErrorCode, String),
    ) {
        let Some(id) = delivery else { return self.warn(partition, code, problem) };
        self.warn(partition, code, format!("delivery {id}: {problem}"));
        self.failed.insert(id.to_owned(), problem);
    }
}
