//! The `schedules` and `calendars` sections, and the schedules that jobs declare for themselves.
//!
//! What only the files together can say (does the job exist, do its assets have partitions) is
//! checked in [`crate::triggers`].

use std::collections::BTreeMap;

use millstream_model::{
    CalendarName, CatchUp, DaySpan, DimensionName, ErrorCode, Exclusion, JobName, PartWanted,
    ScheduleCron, ScheduleDef, ScheduleName, ScheduleTarget, Switch, TickPartitions, TickTemplate,
    Timestamp, Zone,
};

use crate::fields::{Field, Fields, parsed};
use crate::finding::Findings;
use crate::keys::schedules::{DAY_RANGE, JOB_SCHEDULE, SCHEDULE};
use crate::queue;
use crate::reader::Reader;
use crate::sight::Sight;
use crate::tree::{Node, Value};
use crate::{cron, template, timing};

/// How a schedule says that each tenant's own `schedule` is meant.
const OF_TENANT: &str = "{{ tenant.schedule }}";

const CATCH_UPS: &[(&str, CatchUp)] =
    &[("none", CatchUp::None), ("last", CatchUp::Last), ("all", CatchUp::All)];

/// The most runs of a schedule that may be allowed at once.
const ACTIVE_MAX: u32 = 100_000;

/// The most days or spans of one calendar or schedule.
const DAYS_MAX: usize = 5_000;

/// The most labels that a schedule adds to its runs.
const TAGS_MAX: usize = 50;

/// Reads a `schedules` section.
pub(crate) fn section(field: &Field<'_>, reader: &mut Reader) {
    let Some(entries) = Fields::any(field.node, "section `schedules`", &mut reader.findings) else {
        return;
    };
    for entry in entries.iter() {
        let findings = &mut reader.findings;
        let name: Option<ScheduleName> = parsed(entry.name, entry.name_spot, findings);
        let what = format!("schedule `{}`", entry.name);
        let fields = Fields::open(entry.node, &what, SCHEDULE.keys, findings);
        let (Some(name), Some(fields)) = (name, fields) else { continue };
        let target = target(&fields, findings);
        let help = "write when it is due: `cron: \"0 6 * * *\"`";
        let cron = fields.need("cron", help, findings).and_then(|it| when_due(&it, findings));
        let (Some(target), Some(cron)) = (target, cron) else { continue };
        let def = ScheduleDef::new(name, cron, target);
        declare(def, &entry, &fields, reader);
    }
}

/// The schedule that a job declares under `schedule`: an expression, or the keys of a schedule.
/// Returns the expression.
pub(crate) fn of_job(job: &JobName, field: &Field<'_>, reader: &mut Reader) -> Option<String> {
    let findings = &mut reader.findings;
    let name: ScheduleName = parsed(job.as_str(), field.node.spot, findings)?;
    if !matches!(field.node.value, Value::Map(_)) {
        let cron = cron::expression(field, findings)?;
        reader.places.note(&["schedule", name.as_str()], field.node.spot);
        reader.manifest.schedules.push(ScheduleDef::of_job(job, name, cron.clone()));
        return Some(cron);
    }
    let fields =
        Fields::open(field.node, &format!("schedule of job `{job}`"), JOB_SCHEDULE.keys, findings)?;
    let help = "write when it is due: `cron: \"0 6 * * *\"`";
    let cron = cron::expression(&fields.need("cron", help, findings)?, findings)?;
    declare(ScheduleDef::of_job(job, name, cron.clone()), field, &fields, reader);
    Some(cron)
}

/// What runs: a job, or what a selection names.
pub(crate) fn target(fields: &Fields<'_>, findings: &mut Findings) -> Option<ScheduleTarget> {
    match (fields.get("job"), fields.get("select")) {
        (Some(job), None) => job.parsed(findings).map(ScheduleTarget::Job),
        (None, Some(select)) => select.filled(findings).map(ScheduleTarget::Select),
        (Some(job), Some(_)) => {
            let message = format!("The {} has both `job` and `select`", fields.what);
            findings
                .error(ErrorCode::DefinitionValue, job.name_spot, message)
                .help("keep `job` for a job or `select` for assets");
            None
        }
        (None, None) => {
            let message = format!("The {} has neither `job` nor `select`", fields.what);
            findings
                .error(ErrorCode::DefinitionMissingKey, fields.spot, message)
                .help("name a job, `job: etl`, or assets, `select: \"orders+\"`");
            None
        }
    }
}

fn when_due(field: &Field<'_>, findings: &mut Findings) -> Option<ScheduleCron> {
    if let Value::Text(text) = &field.node.value
        && text.split_whitespace().eq(OF_TENANT.split_whitespace())
    {
        return Some(ScheduleCron::OfTenant);
    }
    cron::expression(field, findings).map(ScheduleCron::Text)
}

/// Fills in the rest of `def` from `fields` and declares it.
fn declare(mut def: ScheduleDef, entry: &Field<'_>, fields: &Fields<'_>, reader: &mut Reader) {
    let findings = &mut reader.findings;
    def.description = fields.get("description").and_then(|it| it.text(findings));
    if let Some(zone) = fields.get("timezone").and_then(|it| it.parsed::<Zone>(findings)) {
        def.timezone = zone.to_string();
    }
    def.partitions = fields.get("partitions").and_then(|it| partitions(&it, findings));
    def.run_key = fields.get("run_key").and_then(|it| it.parsed(findings));
    def.catch_up =
        fields.get("catch_up").and_then(|it| it.choice(CATCH_UPS, findings)).unwrap_or_default();
    def.deadline = fields.get("deadline").and_then(|it| timing::duration(&it, findings));
    def.max_active_runs =
        fields.get("max_active_runs").and_then(|it| it.whole(1, ACTIVE_MAX, findings));
    def.exclude = fields.get("exclude").map(|it| exclusions(&it, findings)).unwrap_or_default();
    def.when = fields.get("when").and_then(|it| condition(&it, findings));
    def.tags = fields.get("tags").map(|it| tags(&it, findings)).unwrap_or_default();
    def.context = fields.get("context").map(|it| context(&it, findings)).unwrap_or_default();
    if let Some(switch) = fields.get("enabled").and_then(|it| switch(&it, findings)) {
        def.enabled = switch;
    }
    def.start = fields.get("start").and_then(|it| local_time(&it, findings));
    def.end = fields.get("end").and_then(|it| local_time(&it, findings));
    if let Some(field) = fields.get("end") {
        ends_after_start(&def, &field, findings);
    }
    def.tenants = fields.get("tenants").map(|it| it.parsed_list(findings)).unwrap_or_default();
    def.renamed_from = fields.get("renamed_from").and_then(|it| it.parsed(findings));
    let name = def.name.as_str();
    reader.places.note(&["schedule", name], entry.name_spot);
    for key in ["when", "enabled"] {
        if let Some(field) = fields.get(key) {
            template::note_names(field.node, &["schedule", name], &mut reader.places);
        }
    }
    for key in ["job", "select", "partitions", "run_key", "exclude", "tenants", "tags", "cron"] {
        if let Some(field) = fields.get(key) {
            reader.places.note(&["schedule", name, key], field.node.spot);
        }
    }
    reader.manifest.schedules.push(def);
}

fn partitions(field: &Field<'_>, findings: &mut Findings) -> Option<TickPartitions> {
    match &field.node.value {
        Value::Text(word) if word == "all" => Some(TickPartitions::All),
        Value::Text(word) if word == "latest" => Some(TickPartitions::Latest),
        Value::Map(_) => {
            let parts = Fields::any(field.node, "selection of partitions", findings)?;
            let mut wanted = BTreeMap::new();
            for part in parts.iter() {
                let name: Option<DimensionName> = parsed(part.name, part.name_spot, findings);
                if let (Some(name), Some(part)) = (name, part_wanted(&part, findings)) {
                    wanted.insert(name, part);
                }
            }
            (!wanted.is_empty()).then_some(TickPartitions::Matching(wanted))
        }
        _ => {
            findings
                .error(
                    ErrorCode::DefinitionValue,
                    field.node.spot,
                    "`partitions` must say which partitions a tick asks for",
                )
                .help("write `all`, `latest` for windows of time, or parts like `{ grain: day }`");
            None
        }
    }
}

fn part_wanted(part: &Field<'_>, findings: &mut Findings) -> Option<PartWanted> {
    match &part.node.value {
        Value::Text(word) if word == "latest" => Some(PartWanted::Latest),
        Value::List(_) => Some(PartWanted::OneOf(part.texts(findings))),
        _ => {
            let one = Node { spot: part.node.spot, value: Value::List(vec![part.node.clone()]) };
            let texts = Field { node: &one, ..*part }.texts(findings);
            (!texts.is_empty()).then_some(PartWanted::OneOf(texts))
        }
    }
}

/// Days, ranges of days and calendars, alone or in a list.
fn exclusions(field: &Field<'_>, findings: &mut Findings) -> Vec<Exclusion> {
    let one = std::slice::from_ref(field.node);
    let items = if let Value::List(items) = &field.node.value { items.as_slice() } else { one };
    if items.len() > DAYS_MAX {
        too_many(field, items.len(), findings);
    }
    items.iter().take(DAYS_MAX).filter_map(|item| exclusion(item, field, findings)).collect()
}

fn exclusion(item: &Node, field: &Field<'_>, findings: &mut Findings) -> Option<Exclusion> {
    match &item.value {
        Value::Text(text) if !text.starts_with(|c: char| c.is_ascii_digit()) => {
            parsed::<CalendarName>(text, item.spot, findings).map(Exclusion::Calendar)
        }
        _ => days(item, field, findings).map(Exclusion::Days),
    }
}

/// A day, a range like `2026-12-24..2027-01-01`, or `{ from: …, to: … }`.
fn days(item: &Node, field: &Field<'_>, findings: &mut Findings) -> Option<DaySpan> {
    if let Value::Map(_) = &item.value {
        let fields = Fields::open(item, "range of days", DAY_RANGE.keys, findings)?;
        let help = "write both ends: `{ from: 2026-12-24, to: 2027-01-01 }`";
        let from = fields.need("from", help, findings)?.str(findings)?;
        let to = fields.need("to", help, findings)?.str(findings)?;
        return parsed(&format!("{from}..{to}"), item.spot, findings);
    }
    parsed(Field { node: item, ..*field }.str(findings)?, item.spot, findings)
}

fn too_many(field: &Field<'_>, count: usize, findings: &mut Findings) {
    let message = format!("`{}` has {count} entries; at most {DAYS_MAX} are kept", field.name);
    findings
        .error(ErrorCode::DefinitionTooLarge, field.node.spot, message)
        .help("write days in a row as a range: `2026-12-24..2027-01-01`");
}

/// Reads a `calendars` section.
pub(crate) fn calendars(field: &Field<'_>, reader: &mut Reader) {
    let findings = &mut reader.findings;
    let Some(entries) = Fields::any(field.node, "section `calendars`", findings) else { return };
    for entry in entries.iter() {
        let findings = &mut reader.findings;
        let name: Option<CalendarName> = parsed(entry.name, entry.name_spot, findings);
        let Some(items) = entry.list(findings) else { continue };
        if items.len() > DAYS_MAX {
            too_many(&entry, items.len(), findings);
        }
        let spans =
            items.iter().take(DAYS_MAX).filter_map(|item| days(item, &entry, findings)).collect();
        if let Some(name) = name {
            reader.places.note(&["calendar", entry.name], entry.name_spot);
            reader.manifest.calendars.insert(name, spans);
        }
    }
}

/// A condition over `env` and `tenant`.
fn condition(field: &Field<'_>, findings: &mut Findings) -> Option<String> {
    let text = field.filled(findings)?;
    template::check_condition(field, &Sight::CONDITION, findings);
    Some(text)
}

/// Whether something is on: a flag, or a template over `env` and `tenant`.
pub(crate) fn switch(field: &Field<'_>, findings: &mut Findings) -> Option<Switch> {
    match &field.node.value {
        Value::Bool(flag) => Some(Switch::Fixed(*flag)),
        Value::Text(text) if text.contains("{{") => {
            template::check(field.node, &Sight::CONDITION, findings);
            Some(Switch::Template(text.clone()))
        }
        _ => {
            let wanted = "true, false or a template like `{{ env.NIGHTLY | default(false) }}`";
            field.mistyped(wanted, findings);
            None
        }
    }
}

fn tags(field: &Field<'_>, findings: &mut Findings) -> BTreeMap<String, TickTemplate> {
    let texts = field.text_map(findings);
    queue::check_tag(field, &texts, findings);
    if texts.len() > TAGS_MAX {
        let message = format!("`tags` has {} labels; at most {TAGS_MAX} are kept", texts.len());
        findings
            .error(ErrorCode::DefinitionTooLarge, field.node.spot, message)
            .help("say the rest in the runs' `context`");
    }
    let read = |(key, text): (String, String)| {
        Some((key, parsed::<TickTemplate>(&text, field.node.spot, findings)?))
    };
    texts.into_iter().filter_map(read).collect()
}

/// A trigger context.
pub(crate) fn context(
    field: &Field<'_>,
    findings: &mut Findings,
) -> serde_json::Map<String, serde_json::Value> {
    if let serde_json::Value::Object(map) = field.node.json() {
        return map;
    }
    field.mistyped("an object", findings);
    serde_json::Map::new()
}

/// Reports a schedule that ends before it starts.
fn ends_after_start(def: &ScheduleDef, field: &Field<'_>, findings: &mut Findings) {
    let Ok(zone) = def.timezone.parse::<Zone>() else { return };
    let instant = |text: &Option<String>| Timestamp::at_local(text.as_deref()?, &zone);
    let (Some(start), Some(end)) = (instant(&def.start), instant(&def.end)) else { return };
    if end <= start {
        let message = format!("schedule `{}` ends before it starts, and never ticks", def.name);
        findings
            .error(ErrorCode::DefinitionValue, field.node.spot, message)
            .help("write an `end` after its `start`: from `end` on it does not tick");
    }
}

/// A local date, or date and time.
fn local_time(field: &Field<'_>, findings: &mut Findings) -> Option<String> {
    let text = field.filled(findings)?;
    if Timestamp::at_local(&text, &Zone::UTC).is_some() {
        return Some(text);
    }
    let message = format!("`{}` is no date or time: {text:?}", field.name);
    findings
        .error(ErrorCode::DefinitionValue, field.node.spot, message)
        .help("write it like `2026-01-31` or `2026-01-31T06:00`, in the schedule's `timezone`");
    None
}
