//! The `sensors` section.
//!
//! What only the files together can say (does the job exist, are the partitions dynamic) is checked
//! in [`crate::triggers`].

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_model::{
    ErrorCode, FileQuestion, HumanDuration, PartitionSync, RequestTemplate, RunStatus,
    SENSOR_EVERY, SENSOR_EVERY_MIN, SENSOR_TIMEOUT, SensorDef, SensorName, SensorQuestion,
    StepConfig, Switch,
};

use crate::fields::{Field, Fields, parsed};
use crate::finding::Findings;
use crate::keys::sensors::{
    ASSET, FILES, FOUND, GUARD, HTTP, REQUEST, RUN, RUN_STATUS, SHARED, SQL, SYNC, WEBHOOK,
};
use crate::keys::{KIND, Key};
use crate::reader::Reader;
use crate::schedules::{context, switch, target};
use crate::sight::Sight;
use crate::steps::{self, Kind as StepKind};
use crate::webhook::webhook;
use crate::{queue, sql_params, template, timing};

/// What a sensor asks, by its word.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Command,
    Python,
    Sql,
    Http,
    Files,
    Asset,
    RunStatus,
    Webhook,
    PartitionSync,
}

const KINDS: &[(&str, Kind)] = &[
    ("command", Kind::Command),
    ("python", Kind::Python),
    ("sql", Kind::Sql),
    ("http", Kind::Http),
    ("files", Kind::Files),
    ("asset", Kind::Asset),
    ("run_status", Kind::RunStatus),
    ("webhook", Kind::Webhook),
    ("partition_sync", Kind::PartitionSync),
];

const EXISTING: &[(&str, bool)] = &[("take", true), ("skip", false)];

const ENDS: &[(&str, RunStatus)] = &[
    ("SUCCESS", RunStatus::Success),
    ("FAILURE", RunStatus::Failure),
    ("CANCELED", RunStatus::Canceled),
];

/// The part of the keys that a synchronization removes at most, in percent.
const MAX_REMOVED: u32 = 20;

/// How long a file must have been left alone where the definition does not say.
const SETTLE: HumanDuration = HumanDuration(Duration::from_secs(2));

impl Kind {
    /// The keys beside those of every sensor.
    fn keys(self) -> Vec<&'static [Key]> {
        match self {
            Self::Command => vec![StepKind::Command.keys(), RUN],
            Self::Python => vec![StepKind::Python.keys(), RUN],
            Self::Sql => vec![SQL, RUN, FOUND],
            Self::Http => vec![HTTP, RUN, FOUND],
            Self::Files => vec![FILES, RUN, FOUND],
            Self::Asset => vec![ASSET, RUN, FOUND],
            Self::RunStatus => vec![RUN_STATUS, RUN, FOUND],
            Self::Webhook => vec![WEBHOOK, RUN, FOUND],
            Self::PartitionSync => vec![SYNC],
        }
    }

    /// What templates about a thing that was found see of it; nothing where nothing is found.
    fn sight(self) -> &'static Sight {
        match self {
            Self::Command | Self::Python => &Sight::ANSWER,
            Self::Sql | Self::Http | Self::PartitionSync => &Sight::ROW,
            Self::Files => &Sight::FILE,
            Self::Asset => &Sight::EVENT,
            Self::RunStatus => &Sight::RUN,
            Self::Webhook => &Sight::DELIVERY,
        }
    }

    fn question(self, fields: &Fields<'_>, findings: &mut Findings) -> Option<SensorQuestion> {
        match self {
            Self::Command => own(StepKind::Command, fields, findings),
            Self::Python => own(StepKind::Python, fields, findings),
            Self::Sql => rows(StepKind::Sql, fields, findings),
            Self::Http => rows(StepKind::Http, fields, findings),
            Self::Files => files(fields, findings),
            Self::Asset => {
                let help = "name the assets: `select: orders`";
                let select = fields.need("select", help, findings)?.filled(findings)?;
                Some(SensorQuestion::Asset { select })
            }
            Self::RunStatus => run_status(fields, findings),
            Self::Webhook => webhook(fields, findings),
            Self::PartitionSync => sync(fields, findings),
        }
    }
}

/// Reads a `sensors` section.
pub(crate) fn section(field: &Field<'_>, reader: &mut Reader) {
    let Some(entries) = Fields::any(field.node, "section `sensors`", &mut reader.findings) else {
        return;
    };
    for entry in entries.iter() {
        let findings = &mut reader.findings;
        let name: Option<SensorName> = parsed(entry.name, entry.name_spot, findings);
        let what = format!("sensor `{}`", entry.name);
        let Some(fields) = Fields::any(entry.node, &what, findings) else { continue };
        let help = "it is one of `command`, `python`, `sql`, `http`, `files`, `asset`, \
                    `run_status`, `webhook` and `partition_sync`";
        let kind = fields.need("kind", help, findings).and_then(|it| it.choice(KINDS, findings));
        let Some(kind) = kind else { continue };
        let mut known = vec![KIND, SHARED];
        known.extend(kind.keys());
        fields.refuse_unknown(&known, findings);
        let question = kind.question(&fields, findings);
        let said = (name, question, kind);
        let Some(def) = declared(said, &fields, findings) else { continue };
        let noted = ["request", "job", "select", "partitions", "source", "query", "tenants"];
        reader.places.note(&["sensor", entry.name], entry.name_spot);
        let question = ["sensor", entry.name, "query"];
        template::note_names(entry.node, &question, &mut reader.places);
        sql_params::note_parameters(entry.node, &question, &mut reader.places);
        for key in noted {
            if let Some(field) = fields.get(key) {
                if ["query", "source"].contains(&key) {
                    reader.places.note_key(field.node, &question, "resource");
                }
                reader.places.note(&["sensor", entry.name, key], field.node.spot);
            }
        }
        reader.manifest.sensors.push(def);
    }
}

/// The sensor, unless its name or its question is wrong; the other keys are read all the same.
fn declared(
    (name, question, kind): (Option<SensorName>, Option<SensorQuestion>, Kind),
    fields: &Fields<'_>,
    findings: &mut Findings,
) -> Option<SensorDef> {
    let description = fields.get("description").and_then(|it| it.text(findings));
    let given = fields.get("every").and_then(|it| every(&it, findings));
    let every = given.unwrap_or(usual(question.as_ref()));
    let timeout = timing::timeout(fields, findings).unwrap_or(SENSOR_TIMEOUT);
    let when = fields.get("when").and_then(|it| {
        template::check_condition(&it, kind.sight(), findings);
        it.filled(findings)
    });
    let request = fields.get("request").map(|it| request(&it, kind, findings)).unwrap_or_default();
    let enabled = fields.get("enabled").and_then(|it| switch(&it, findings));
    let tenants = fields.get("tenants").map(|it| it.parsed_list(findings)).unwrap_or_default();
    let renamed_from = fields.get("renamed_from").and_then(|it| it.parsed(findings));
    Some(SensorDef {
        name: name?,
        description,
        question: question?,
        every,
        timeout,
        when,
        request,
        enabled: enabled.unwrap_or(Switch::Fixed(true)),
        tenants,
        renamed_from,
    })
}

/// The least time between two ticks where a definition does not say.
fn usual(question: Option<&SensorQuestion>) -> HumanDuration {
    match question {
        // Nobody looks at it before something was posted.
        Some(SensorQuestion::Webhook(_)) => SENSOR_EVERY_MIN,
        _ => SENSOR_EVERY,
    }
}

fn every(field: &Field<'_>, findings: &mut Findings) -> Option<HumanDuration> {
    let every = timing::duration(field, findings)?;
    if every.0 < SENSOR_EVERY_MIN.0 {
        let message = "`every` must be at least 1s";
        findings
            .error(ErrorCode::DefinitionValue, field.node.spot, message)
            .help("a sensor that finds more than it can take at once ticks again at once");
        return None;
    }
    Some(every)
}

fn own(kind: StepKind, fields: &Fields<'_>, findings: &mut Findings) -> Option<SensorQuestion> {
    for key in kind.keys() {
        if let Some(field) = fields.get(key.name) {
            template::check(field.node, &Sight::QUESTION, findings);
        }
    }
    let step = Box::new(steps::config(kind, fields, serde_json::Map::new(), findings)?);
    Some(SensorQuestion::Own { step })
}

fn rows(kind: StepKind, fields: &Fields<'_>, findings: &mut Findings) -> Option<SensorQuestion> {
    let help = match kind {
        StepKind::Sql => "write `query: {resource: db, statements: \"select …\"}`",
        _ => "write `query: {resource: api, request: {path: /orders}, rows: /data}`",
    };
    let query = fields.need("query", help, findings);
    let cursor = fields.get("cursor").and_then(|it| {
        template::check(it.node, &Sight::ROW, findings);
        it.filled(findings)
    });
    let query = query?;
    let inner = Fields::open(query.node, "sensor's `query`", &[kind.keys()], findings)?;
    template::check(query.node, &Sight::QUESTION, findings);
    let step = steps::config(kind, &inner, serde_json::Map::new(), findings)?;
    Some(SensorQuestion::Rows { step: Box::new(asking(step)), cursor })
}

/// A step that is asked for its rows and changes nothing.
fn asking(step: StepConfig) -> StepConfig {
    match step {
        StepConfig::Sql(sql) => {
            StepConfig::Sql(millstream_model::SqlStep { rows: true, read_only: true, ..sql })
        }
        other => other,
    }
}

fn files(fields: &Fields<'_>, findings: &mut Findings) -> Option<SensorQuestion> {
    let path = fields.need("path", "name a folder: `path: data/in`", findings);
    let path = path.and_then(|field| {
        let path = field.filled(findings)?;
        if let Some(bucket) = path.strip_prefix(FileQuestion::S3) {
            return is_bucket(&field, bucket, findings).then_some(path);
        }
        let leaves = path.starts_with('/') || path.split('/').any(|part| part == "..");
        if leaves {
            let message = format!("`path` leaves the project's folder: {path:?}");
            findings
                .error(ErrorCode::DefinitionValue, field.node.spot, message)
                .help("write a folder below it, like `data/in`");
            return None;
        }
        Some(path)
    });
    let settle = fields.get("settle").and_then(|it| timing::duration(&it, findings));
    let existing = fields.get("existing").and_then(|it| it.choice(EXISTING, findings));
    Some(SensorQuestion::Files(FileQuestion {
        pattern: fields.get("pattern").and_then(|it| pattern(&it, findings)),
        path: path?,
        settle: settle.unwrap_or(SETTLE),
        existing: existing.unwrap_or(true),
    }))
}

/// A pattern of paths; what stands for nothing else in it is told.
fn pattern(field: &Field<'_>, findings: &mut Findings) -> Option<String> {
    let text = field.filled(findings)?;
    if text.starts_with('/') {
        let message = format!("`pattern` matches nothing: {text:?} begins with `/`");
        findings
            .error(ErrorCode::DefinitionValue, field.node.spot, message)
            .help("it is about paths below `path`, like `**/*.csv`");
        return None;
    }
    if let Some(letter) = text.chars().find(|letter| "[]{}".contains(*letter)) {
        let message = format!("`pattern` has `{letter}`, which stands for itself alone");
        findings
            .warning(ErrorCode::DefinitionValue, field.node.spot, message)
            .help("`*` and `?` stand for letters of a name, and `**` for folders");
    }
    Some(text)
}

/// Whether what follows `s3://` begins with the name of a bucket.
fn is_bucket(field: &Field<'_>, rest: &str, findings: &mut Findings) -> bool {
    let bucket = rest.split('/').next().unwrap_or_default();
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let is_name = (3..=63).contains(&bucket.len()) && bucket.bytes().all(is_letter);
    if !is_name {
        let message = format!("`path` names no bucket: {bucket:?}");
        findings
            .error(ErrorCode::DefinitionValue, field.node.spot, message)
            .help("write it like `s3://bucket/folder`");
    }
    is_name
}

fn run_status(fields: &Fields<'_>, findings: &mut Findings) -> Option<SensorQuestion> {
    let job = fields.get("job").map(|it| it.parsed(findings));
    let help = "write the ends that count: `on: [SUCCESS]`";
    let field = fields.need("on", help, findings)?;
    let items = field.list(findings)?;
    if items.is_empty() {
        let message = "`on` must name at least one end";
        findings.error(ErrorCode::DefinitionValue, field.node.spot, message).help(help);
        return None;
    }
    let one = |item| Field { node: item, ..field }.choice(ENDS, findings);
    let mut on: Vec<RunStatus> = items.iter().filter_map(one).collect();
    on.dedup();
    let job = match job {
        None => None,
        Some(job) => Some(job?),
    };
    Some(SensorQuestion::RunStatus { job, on })
}

fn sync(fields: &Fields<'_>, findings: &mut Findings) -> Option<SensorQuestion> {
    let help = "name dynamic partitions: `partitions: shops`";
    let partitions = fields.need("partitions", help, findings).and_then(|it| it.parsed(findings));
    let help = "write the step whose rows name the keys: `source: {kind: http, …}`";
    let source = fields
        .need("source", help, findings)
        .and_then(|it| steps::of_object(&it, &Sight::QUESTION, findings));
    let keys = fields.get("keys").and_then(|it| {
        template::check(it.node, &Sight::ROW, findings);
        it.filled(findings)
    });
    let max_removed = fields.get("guard").and_then(|guard| {
        let fields = Fields::open(guard.node, "sensor's `guard`", GUARD.keys, findings)?;
        percent(&fields.get("max_removed")?, findings)
    });
    Some(SensorQuestion::PartitionSync(Box::new(PartitionSync {
        partitions: partitions?,
        source: asking(source?),
        keys,
        remove_missing: fields
            .get("remove_missing")
            .and_then(|it| it.flag(findings))
            .unwrap_or_default(),
        max_removed: max_removed.unwrap_or(MAX_REMOVED),
    })))
}

/// A part like `20%`.
fn percent(field: &Field<'_>, findings: &mut Findings) -> Option<u32> {
    let text = field.str(findings)?;
    let number = text.strip_suffix('%').and_then(|text| text.trim().parse::<u32>().ok());
    let fitting = number.filter(|number| *number <= 100);
    if fitting.is_none() {
        let message = format!("`{}` must be a part of at most 100%", field.name);
        findings
            .error(ErrorCode::DefinitionValue, field.node.spot, message)
            .help("write it like `20%`");
    }
    fitting
}

fn request(field: &Field<'_>, kind: Kind, findings: &mut Findings) -> RequestTemplate {
    let what = "sensor's `request`";
    let Some(fields) = Fields::open(field.node, what, REQUEST.keys, findings) else {
        return RequestTemplate::default();
    };
    template::check(field.node, kind.sight(), findings);
    if matches!(kind, Kind::Command | Kind::Python) {
        said_by_answer(&fields, findings);
    }
    RequestTemplate {
        target: target(&fields, findings),
        run_key: fields.get("run_key").and_then(|it| it.filled(findings)),
        partition: fields.get("partition").and_then(|it| it.filled(findings)),
        tags: fields.get("tags").map(|it| tags(&it, findings)).unwrap_or_default(),
        pass_tags: fields.get("pass_tags").map(|it| it.texts(findings)).unwrap_or_default(),
        context: fields.get("context").map(|it| context(&it, findings)).unwrap_or_default(),
    }
}

/// Warns of keys of a request that only an answer says.
fn said_by_answer(fields: &Fields<'_>, findings: &mut Findings) {
    for key in ["run_key", "partition", "tags", "pass_tags"] {
        if let Some(field) = fields.get(key) {
            let message = format!("`{key}` of this `request` does nothing: the answer says it");
            findings
                .warning(ErrorCode::DefinitionValue, field.name_spot, message)
                .help("say it in each of the answer's `requests`");
        }
    }
}

/// The labels of a request; what a template comes to is checked at each tick.
fn tags(field: &Field<'_>, findings: &mut Findings) -> BTreeMap<String, String> {
    let texts = field.text_map(findings);
    let fixed = texts.iter().filter(|(_, text)| !text.contains("{{"));
    let fixed = fixed.map(|(key, text)| (key.clone(), text.clone())).collect();
    queue::check_tag(field, &fixed, findings);
    texts
}

/// The steps that a sensor asks with.
pub(crate) fn step_of(question: &SensorQuestion) -> Option<&StepConfig> {
    match question {
        SensorQuestion::Own { step } | SensorQuestion::Rows { step, .. } => Some(step),
        SensorQuestion::PartitionSync(sync) => Some(&sync.source),
        SensorQuestion::Files(_)
        | SensorQuestion::Asset { .. }
        | SensorQuestion::RunStatus { .. }
        | SensorQuestion::Webhook(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_kinds_are_those_of_the_schema() {
        let decoded: Vec<&str> = KINDS.iter().map(|(word, _)| *word).collect();
        let listed: Vec<&str> =
            crate::keys::sensors::SENSOR.list.iter().map(|kind| kind.word).collect();
        assert_eq!(decoded, listed);
    }
}
