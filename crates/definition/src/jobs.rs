//! Jobs: a file in document 004's format, and the entries of a `jobs` section.

use std::collections::BTreeMap;

use millstream_model::{
    ErrorCode, JobDef, JobName, JobShape, OpDef, RetryFrom, RunRetries, StepConfig,
};

use crate::fields::{Field, Fields, is_known, parsed, unknown_key};
use crate::file::stem;
use crate::finding::{Findings, Spot};
use crate::keys::SECTIONS;
use crate::keys::jobs::{JOB, JOB_FILE, RUN_RETRIES};
use crate::ops;
use crate::queue;
use crate::reader::Reader;
use crate::schedules;
use crate::sql_params;
use crate::template;
use crate::timing;
use crate::tree::Value;

/// The most labels of a job or an asset.
const TAGS_MAX: usize = 50;

/// The most retries of a run.
const RUN_RETRIES_MAX: u32 = 100;

/// What a retry does again, by its name.
const FROM: &[(&str, RetryFrom)] = &[("failure", RetryFrom::Failure), ("start", RetryFrom::Start)];

/// Reads a file whose top level, `fields`, has `nodes`: one job, named by the file's `path`.
pub(crate) fn of_file(path: &str, fields: &Fields<'_>, reader: &mut Reader) {
    // A section beside `nodes` is reported as what it is.
    let is_strange = |name| !is_known(name, JOB_FILE.keys) && !is_known(name, SECTIONS.keys);
    for field in fields.iter().filter(|field| is_strange(field.name)) {
        unknown_key(&field, "job file", JOB_FILE.keys, &mut reader.findings);
    }
    let stem = stem(path);
    let name: Option<JobName> = parsed(stem, Spot::FILE, &mut reader.findings);
    if let Some(field) = fields.get("name")
        && field.str(&mut reader.findings).is_some_and(|written| written != stem)
    {
        let message = format!("`name` is ignored: the file's path names the job `{stem}`");
        reader
            .findings
            .warning(ErrorCode::DefinitionValue, field.node.spot, message)
            .help("rename the file, or declare the job under `jobs:` in a file of sections");
    }
    let ops = ops::of_job(fields, &mut reader.findings);
    let Some(name) = name else { return };
    job(name, JobShape::Ops(ops), fields, reader);
}

/// Reads a `jobs` section.
pub(crate) fn section(field: &Field<'_>, reader: &mut Reader) {
    let Some(jobs) = Fields::any(field.node, "section `jobs`", &mut reader.findings) else {
        return;
    };
    for entry in jobs.iter() {
        let findings = &mut reader.findings;
        let name: Option<JobName> = parsed(entry.name, entry.name_spot, findings);
        let what = format!("job `{}`", entry.name);
        let fields = Fields::open(entry.node, &what, JOB.keys, findings);
        let (Some(name), Some(fields)) = (name, fields) else { continue };
        reader.places.note(&["job", entry.name], entry.name_spot);
        if let Some(shape) = shape(&fields, findings) {
            job(name, shape, &fields, reader);
        }
    }
}

fn shape(fields: &Fields<'_>, findings: &mut Findings) -> Option<JobShape> {
    let select = fields.get("select");
    match (select, fields.raw("nodes")) {
        (Some(select), None) => {
            if let Some(edges) = fields.get("edges") {
                findings
                    .error(
                        ErrorCode::DefinitionValue,
                        edges.name_spot,
                        "A job that selects assets has no `edges`",
                    )
                    .help("the assets' `deps` give the order");
            }
            select.filled(findings).map(JobShape::Select)
        }
        (None, Some(_)) => Some(JobShape::Ops(ops::of_job(fields, findings))),
        (Some(select), Some(_)) => {
            let message = format!("The {} has both `select` and `nodes`", fields.what);
            findings
                .error(ErrorCode::DefinitionValue, select.name_spot, message)
                .help("keep `select` for assets or `nodes` for ops");
            None
        }
        (None, None) => {
            let message = format!("The {} has neither `select` nor `nodes`", fields.what);
            findings
                .error(ErrorCode::DefinitionMissingKey, fields.spot, message)
                .help("name assets, `select: \"orders+\"`, or list ops under `nodes`");
            None
        }
    }
}

fn job(name: JobName, shape: JobShape, fields: &Fields<'_>, reader: &mut Reader) {
    let schedule = fields.get("schedule").and_then(|it| schedules::of_job(&name, &it, reader));
    let findings = &mut reader.findings;
    if let Some(metadata) = fields.get("metadata") {
        // Document 004 declares it and gives it no meaning.
        Fields::any(metadata.node, "job's `metadata`", findings);
    }
    let job = JobDef {
        description: fields.get("description").and_then(|it| it.text(findings)),
        enabled: fields.get("enabled").and_then(|it| it.flag(findings)).unwrap_or(true),
        schedule,
        tags: tags(fields, findings),
        max_parallel: fields.get("max_parallel").and_then(|it| it.whole(1, 10_000, findings)),
        priority: queue::priority(fields, findings),
        run_retries: run_retries(fields, findings),
        timeout: fields.get("timeout").and_then(|it| timing::positive(&it, findings)),
        name,
        shape,
    };
    if let JobShape::Ops(ops) = &job.shape {
        note_ops(&job.name, ops, fields, reader);
    }
    reader.manifest.jobs.push(job);
}

/// The retries of whole runs in `fields`: their number, or an object.
fn run_retries(fields: &Fields<'_>, findings: &mut Findings) -> Option<RunRetries> {
    let field = fields.get("run_retries")?;
    if !matches!(field.node.value, Value::Map(_)) {
        let max = field.whole(0, RUN_RETRIES_MAX, findings)?;
        return Some(RunRetries { max, from: RetryFrom::default() });
    }
    let fields = Fields::open(field.node, "key `run_retries`", RUN_RETRIES.keys, findings)?;
    let max = fields.need("max", "write the number of runs after the first", findings);
    Some(RunRetries {
        max: max?.whole(0, RUN_RETRIES_MAX, findings)?,
        from: fields.get("from").and_then(|it| it.choice(FROM, findings)).unwrap_or_default(),
    })
}

/// Remembers the places of ops of which something is only found out later: they name a handler, a
/// resource, a pool or a tenant, which another file may declare, or run files of the project.
fn note_ops(name: &JobName, ops: &[OpDef], fields: &Fields<'_>, reader: &mut Reader) {
    let is_told_later = |op: &OpDef| !matches!(op.step, StepConfig::Noop(_)) || op.pool.is_some();
    if !ops.iter().any(is_told_later) {
        return;
    }
    let nodes = fields.get("nodes").and_then(|it| it.list(&mut reader.findings));
    for node in nodes.unwrap_or_default() {
        let Some(id) = node.entry("id").and_then(|id| id.value.plain()) else { continue };
        let path = ["job", name.as_str(), id];
        reader.places.note(&path, node.spot);
        for key in ["pool", "resource"] {
            reader.places.note_key(node, &path, key);
        }
        if let Some(config) = node.entry("config") {
            reader.places.note_key(&config.value, &path, "resource");
        }
        template::note_names(node, &path, &mut reader.places);
        sql_params::note_parameters(node, &path, &mut reader.places);
    }
}

/// The labels in `fields`.
pub(crate) fn tags(fields: &Fields<'_>, findings: &mut Findings) -> BTreeMap<String, String> {
    let Some(field) = fields.get("tags") else { return BTreeMap::new() };
    let tags = field.text_map(findings);
    if tags.len() > TAGS_MAX {
        let message = format!("`tags` has {} labels; at most {TAGS_MAX} are kept", tags.len());
        findings
            .error(ErrorCode::DefinitionTooLarge, field.node.spot, message)
            .help("say the rest under `metadata`");
    }
    tags
}
