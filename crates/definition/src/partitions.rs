//! Partitions definitions: the `partitions` section and the inline form on an asset.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use millstream_model::partitions::{Cadence, DynamicPartitions, TimeWindowPartitions};
use millstream_model::{DimensionName, ErrorCode, PartitionKey, PartitionsDef, PartitionsName};

use crate::cron;
use crate::fields::{Field, Fields, parsed};
use crate::finding::Findings;
use crate::reader::Reader;
use crate::tree::{Node, Value};

/// What stands between the parts of a dynamic key unless the file says otherwise.
const SEPARATOR: &str = "::";

/// The kinds that are only a cadence and a start.
pub(crate) const CADENCES: &[&str] = &["hourly", "daily", "weekly", "monthly"];

#[derive(Clone, Copy)]
enum Kind {
    Static,
    Dynamic,
    Hourly,
    Daily,
    Weekly,
    Monthly,
    Cron,
    Multi,
}

const KINDS: &[(&str, Kind)] = &[
    ("static", Kind::Static),
    ("dynamic", Kind::Dynamic),
    ("hourly", Kind::Hourly),
    ("daily", Kind::Daily),
    ("weekly", Kind::Weekly),
    ("monthly", Kind::Monthly),
    ("cron", Kind::Cron),
    ("multi", Kind::Multi),
];

/// Reads a `partitions` section.
pub(crate) fn section(field: &Field<'_>, reader: &mut Reader) {
    let Some(entries) = Fields::any(field.node, "section `partitions`", &mut reader.findings)
    else {
        return;
    };
    for entry in entries.iter() {
        let name: Option<PartitionsName> =
            parsed(entry.name, entry.name_spot, &mut reader.findings);
        let what = format!("partitions definition `{}`", entry.name);
        let definition = definition(entry.node, &what, &mut reader.findings);
        if let (Some(name), Some(definition)) = (name, definition) {
            reader.places.note(&["partitions", entry.name], entry.name_spot);
            reader.manifest.partitions.insert(name, definition);
        }
    }
}

/// The partitions definition in `node`.
pub(crate) fn definition(
    node: &Node,
    what: &str,
    findings: &mut Findings,
) -> Option<PartitionsDef> {
    let fields = Fields::any(node, what, findings)?;
    match kind(&fields, findings)? {
        Kind::Multi => multi(&fields, findings),
        kind => simple(kind, &fields, findings),
    }
}

fn kind(fields: &Fields<'_>, findings: &mut Findings) -> Option<Kind> {
    fields
        .need("kind", "write `kind: daily`, or static, dynamic, …", findings)?
        .choice(KINDS, findings)
}

fn simple(kind: Kind, fields: &Fields<'_>, findings: &mut Findings) -> Option<PartitionsDef> {
    match kind {
        Kind::Static => {
            fields.refuse_unknown(&["kind", "keys"], findings);
            let field = fields.need("keys", "list them: `keys: [a, b]`", findings)?;
            let keys = keys(&field, findings);
            if keys.is_empty() {
                let message = "`keys` must have at least one key";
                findings.error(ErrorCode::DefinitionValue, field.node.spot, message);
            }
            Some(PartitionsDef::Static { keys })
        }
        Kind::Dynamic => dynamic(fields, findings).map(PartitionsDef::Dynamic),
        Kind::Hourly => window(Cadence::Hourly, fields, findings),
        Kind::Daily => window(Cadence::Daily, fields, findings),
        Kind::Weekly => window(Cadence::Weekly, fields, findings),
        Kind::Monthly => window(Cadence::Monthly, fields, findings),
        Kind::Cron => {
            let help = "write the ticks between windows: `cron: \"0 6 * * *\"`";
            let expression = fields.need("cron", help, findings)?;
            window(Cadence::Cron(cron::expression(&expression, findings)?), fields, findings)
        }
        Kind::Multi => {
            let message = format!("The {} cannot itself have several dimensions", fields.what);
            findings
                .error(ErrorCode::DefinitionValue, fields.spot, message)
                .help("name all dimensions side by side");
            None
        }
    }
}

/// The keys in a list; reports one that stands twice.
fn keys(field: &Field<'_>, findings: &mut Findings) -> Vec<PartitionKey> {
    let keys: Vec<PartitionKey> = field.parsed_list(findings);
    let mut seen = BTreeSet::new();
    if let Some(repeated) = keys.iter().find(|key| !seen.insert(*key)) {
        let message = format!("`{}` has the key `{repeated}` twice", field.name);
        findings.error(ErrorCode::DefinitionValue, field.node.spot, message);
    }
    keys
}

fn dynamic(fields: &Fields<'_>, findings: &mut Findings) -> Option<DynamicPartitions> {
    fields.refuse_unknown(&["kind", "dimensions", "separator", "tenant", "keys"], findings);
    let dimensions: Vec<DimensionName> =
        fields.get("dimensions").map(|it| it.parsed_list(findings)).unwrap_or_default();
    let distinct: BTreeSet<&DimensionName> = dimensions.iter().collect();
    if let Some(field) = fields.get("dimensions").filter(|_| distinct.len() < dimensions.len()) {
        let message = "`dimensions` names a dimension twice";
        findings.error(ErrorCode::DefinitionValue, field.node.spot, message);
    }
    let separator = match fields.get("separator") {
        Some(field) => field.filled(findings)?,
        None => SEPARATOR.to_owned(),
    };
    let tenant = fields.get("tenant");
    let tenant_dimension: Option<DimensionName> = tenant.and_then(|it| it.parsed(findings));
    if let (Some(field), Some(name)) = (tenant, &tenant_dimension)
        && !dimensions.contains(name)
    {
        let message = format!("`tenant` names `{name}`, which is none of the `dimensions`");
        findings
            .error(ErrorCode::DefinitionReference, field.node.spot, message)
            .help("name the dimension whose part of the key is the tenant's id");
    }
    let keys_field = fields.get("keys");
    let keys = keys_field.map(|it| keys(&it, findings)).unwrap_or_default();
    for key in &keys {
        let parts = key.as_str().splitn(dimensions.len(), separator.as_str());
        if !dimensions.is_empty()
            && parts.filter(|part| !part.is_empty()).count() < dimensions.len()
        {
            let message = format!("Invalid partition key format: {key}");
            let names: Vec<&str> = dimensions.iter().map(DimensionName::as_str).collect();
            let spot = keys_field.map_or(fields.spot, |field| field.node.spot);
            findings
                .error(ErrorCode::PartitionKey, spot, message)
                .help(format!("write it like `{}`", names.join(&separator)));
        }
    }
    Some(DynamicPartitions { dimensions, separator, tenant: tenant_dimension, keys })
}

fn window(cadence: Cadence, fields: &Fields<'_>, findings: &mut Findings) -> Option<PartitionsDef> {
    let mut known = vec!["kind", "start", "end", "timezone", "format"];
    if matches!(cadence, Cadence::Cron(_)) {
        known.push("cron");
    }
    fields.refuse_unknown(&known, findings);
    let help = "write the first day: `start: 2025-01-01`";
    let start_field = fields.need("start", help, findings);
    let start = start_field.and_then(|it| moment(&it, findings));
    let end_field = fields.get("end");
    let end = end_field.and_then(|it| moment(&it, findings));
    if let (Some((first, _)), Some((last, _)), Some(field)) = (&start, &end, end_field)
        && last <= first
    {
        findings
            .error(ErrorCode::DefinitionValue, field.node.spot, "`end` must be later than `start`")
            .help("`end` is exclusive; leave it out for windows that go on with time");
    }
    let timezone = fields.get("timezone");
    let format = fields.get("format").and_then(|it| format(&cadence, &it, findings));
    Some(PartitionsDef::TimeWindow(TimeWindowPartitions {
        cadence,
        start: start?.1,
        end: end.map(|(_, written)| written),
        timezone: match timezone {
            Some(field) => zone(&field, findings)?,
            None => "UTC".to_owned(),
        },
        format,
    }))
}

/// A local date, or date and time, with how it was written.
fn moment(field: &Field<'_>, findings: &mut Findings) -> Option<(DateTime, String)> {
    let text = field.str(findings)?;
    let moment = match text.parse::<Date>() {
        Ok(date) if text.len() <= "-009999-01-01".len() => Some(date.at(0, 0, 0, 0)),
        _ => text.parse::<DateTime>().ok(),
    };
    if moment.is_none() {
        let message = format!("`{}` is `{text}`, which is no date", field.name);
        findings
            .error(ErrorCode::DefinitionValue, field.node.spot, message)
            .help("write it like `2025-01-31` or `2025-01-31T06:00`");
    }
    moment.map(|moment| (moment, text.to_owned()))
}

/// The IANA name of a time zone.
pub(crate) fn zone(field: &Field<'_>, findings: &mut Findings) -> Option<String> {
    let name = field.str(findings)?;
    if TimeZone::get(name).is_ok() {
        return Some(name.to_owned());
    }
    let message = format!("`{}` is `{name}`, which is no time zone", field.name);
    findings
        .error(ErrorCode::DefinitionValue, field.node.spot, message)
        .help("write an IANA name like `Europe/Berlin` or `UTC`");
    None
}

/// How keys are written; two windows in a row must have different keys.
fn format(cadence: &Cadence, field: &Field<'_>, findings: &mut Findings) -> Option<String> {
    let text = field.filled(findings)?;
    // Two starts of neighbouring windows, a Monday and a first of the month among them.
    let (one, other) = match cadence {
        Cadence::Hourly => ((2024, 1, 1, 0), (2024, 1, 1, 1)),
        Cadence::Daily | Cadence::Cron(_) => ((2024, 1, 1, 0), (2024, 1, 2, 0)),
        Cadence::Weekly => ((2024, 1, 1, 0), (2024, 1, 8, 0)),
        Cadence::Monthly => ((2024, 1, 1, 0), (2024, 2, 1, 0)),
    };
    let key = |(year, month, day, hour)| {
        let moment = DateTime::new(year, month, day, hour, 0, 0, 0).ok()?;
        let zoned = moment.to_zoned(TimeZone::UTC).ok()?;
        jiff::fmt::strtime::format(&text, &zoned).ok()
    };
    let problem = match (key(one), key(other)) {
        (Some(one), Some(other)) if one != other => return Some(text),
        (Some(one), Some(_)) => format!("gives several windows the key `{one}`"),
        _ => "has letters that mean no part of a time".to_owned(),
    };
    let message = format!("`format` is `{text}`, which {problem}");
    findings
        .error(ErrorCode::DefinitionValue, field.node.spot, message)
        .help("write it in strftime's letters, like `%Y-%m-%d` or `%Y-%m-%d-%H:%M`");
    None
}

fn multi(fields: &Fields<'_>, findings: &mut Findings) -> Option<PartitionsDef> {
    fields.refuse_unknown(&["kind", "dimensions"], findings);
    let help = "name each dimension: `dimensions: {day: {kind: daily, start: 2025-01-01}}`";
    let field = fields.need("dimensions", help, findings)?;
    let entries = Fields::any(field.node, "dimensions", findings)?;
    let mut dimensions = BTreeMap::new();
    for entry in entries.iter() {
        let name: Option<DimensionName> = parsed(entry.name, entry.name_spot, findings);
        let what = format!("dimension `{}`", entry.name);
        let definition = Fields::any(entry.node, &what, findings)
            .and_then(|inner| simple(kind(&inner, findings)?, &inner, findings));
        if let (Some(name), Some(definition)) = (name, definition) {
            dimensions.insert(name, definition);
        }
    }
    if let Value::Map(entries) = &field.node.value
        && entries.len() < 2
    {
        findings
            .error(
                ErrorCode::DefinitionValue,
                field.node.spot,
                "`dimensions` must name at least two dimensions",
            )
            .help("with one dimension, write its kind directly");
    }
    Some(PartitionsDef::Multi { dimensions })
}
