//! Partitions definitions: the `partitions` section and the inline form on an asset.
//!
//! This reads their keys and types; what makes a definition impossible is the model's to say, and
//! is reported here at the key it is about.

use std::collections::BTreeMap;

use millstream_model::partitions::{
    Cadence, DynamicPartitions, PartitionsProblem, TimeWindowPartitions,
};
use millstream_model::{DimensionName, PartitionsDef, PartitionsName};

use crate::fields::{Field, Fields, parsed};
use crate::finding::{Findings, Spot};
use crate::keys::{KIND, partitions as keys};
use crate::reader::Reader;
use crate::tree::Node;

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
    let help = "write `kind: daily`, or static, dynamic, …";
    let kind = fields.need("kind", help, findings)?.choice(KINDS, findings)?;
    let before = findings.error_count();
    let definition = match kind {
        Kind::Static => fixed(&fields, findings),
        Kind::Dynamic => dynamic(&fields, findings),
        Kind::Hourly => windows(Cadence::Hourly, &fields, findings),
        Kind::Daily => windows(Cadence::Daily, &fields, findings),
        Kind::Weekly => windows(Cadence::Weekly, &fields, findings),
        Kind::Monthly => windows(Cadence::Monthly, &fields, findings),
        Kind::Cron => {
            let help = "write the ticks between windows: `cron: \"0 6 * * *\"`";
            let text = fields.need("cron", help, findings)?.filled(findings)?;
            windows(Cadence::Cron(text), &fields, findings)
        }
        Kind::Multi => multi(&fields, findings),
    }?;
    // What could not be read is reported already, and would be again as what it was taken for.
    if findings.error_count() == before {
        for problem in definition.validate() {
            let spot = spot_of(&problem, &fields);
            findings.error(problem.code(), spot, problem.to_string());
        }
    }
    Some(definition)
}

/// The place of the key that `problem` is about.
fn spot_of(problem: &PartitionsProblem, fields: &Fields<'_>) -> Spot {
    use PartitionsProblem as P;
    let is_end = |text: &str| fields.get("end").is_some_and(|it| it.node.json() == *text);
    let key = match problem {
        P::Zone(_) => "timezone",
        P::Cron(_) | P::CronSeconds { .. } => "cron",
        P::Time { text } if is_end(text) => "end",
        P::Time { .. } | P::NoWindow { .. } => "start",
        P::EndBeforeStart { .. } => "end",
        P::Format { .. } => "format",
        P::Count { what, .. } => what,
        P::Key(_) | P::DuplicateKey { .. } => "keys",
        P::EmptySeparator => "separator",
        P::TenantDimension { .. } => "tenant",
        P::DuplicateDimension { .. } | P::Nested { .. } | P::SeparatorInKey { .. } => "dimensions",
    };
    fields.get(key).map_or(fields.spot, |field| field.node.spot)
}

fn fixed(fields: &Fields<'_>, findings: &mut Findings) -> Option<PartitionsDef> {
    fields.refuse_unknown(&[KIND, keys::STATIC], findings);
    let keys = fields.need("keys", "list them: `keys: [a, b]`", findings)?;
    Some(PartitionsDef::Static { keys: keys.parsed_list(findings) })
}

fn dynamic(fields: &Fields<'_>, findings: &mut Findings) -> Option<PartitionsDef> {
    fields.refuse_unknown(&[KIND, keys::DYNAMIC], findings);
    let separator = match fields.get("separator") {
        Some(field) => field.text(findings)?,
        None => SEPARATOR.to_owned(),
    };
    Some(PartitionsDef::Dynamic(DynamicPartitions {
        dimensions: fields.get("dimensions").map(|it| it.parsed_list(findings)).unwrap_or_default(),
        separator,
        tenant: fields.get("tenant").and_then(|it| it.parsed(findings)),
        keys: fields.get("keys").map(|it| it.parsed_list(findings)).unwrap_or_default(),
    }))
}

fn windows(
    cadence: Cadence,
    fields: &Fields<'_>,
    findings: &mut Findings,
) -> Option<PartitionsDef> {
    let mut known = vec![KIND, keys::WINDOWS];
    if matches!(cadence, Cadence::Cron(_)) {
        known.push(keys::CRON);
    }
    fields.refuse_unknown(&known, findings);
    let help = "write the first day: `start: 2025-01-01`";
    let start = fields.need("start", help, findings).and_then(|it| it.filled(findings));
    let mut text = |key: &str| fields.get(key).and_then(|it| it.filled(findings));
    let (end, timezone, format) = (text("end"), text("timezone"), text("format"));
    Some(PartitionsDef::TimeWindow(TimeWindowPartitions {
        cadence,
        start: start?,
        end,
        timezone: timezone.unwrap_or_else(|| "UTC".to_owned()),
        format,
    }))
}

fn multi(fields: &Fields<'_>, findings: &mut Findings) -> Option<PartitionsDef> {
    fields.refuse_unknown(&[KIND, keys::MULTI], findings);
    let help = "name each dimension: `dimensions: {day: {kind: daily, start: 2025-01-01}}`";
    let field = fields.need("dimensions", help, findings)?;
    let entries = Fields::any(field.node, "dimensions", findings)?;
    let mut dimensions = BTreeMap::new();
    for entry in entries.iter() {
        let name: Option<DimensionName> = parsed(entry.name, entry.name_spot, findings);
        let what = format!("dimension `{}`", entry.name);
        let definition = definition(entry.node, &what, findings);
        if let (Some(name), Some(definition)) = (name, definition) {
            dimensions.insert(name, definition);
        }
    }
    Some(PartitionsDef::Multi { dimensions })
}
