//! Partitions definitions: the `partitions` section and the inline form on an asset.
//!
//! This reads their keys and types; what makes a definition impossible is the model's to say, and
//! is reported here at the key it is about.

use std::collections::BTreeMap;

use millstream_model::partitions::{
    Cadence, DynamicPartitions, KEY_MAX, PartitionKeyError, PartitionsProblem, TimeWindowPartitions,
};
use millstream_model::{DimensionName, ErrorCode, PartitionKey, PartitionsDef, PartitionsName};

use crate::fields::{Field, Fields, parsed};
use crate::finding::{Findings, Spot};
use crate::keys::{KIND, partitions as keys};
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
        let mut written = KeysWritten::of(&fields);
        for problem in definition.validate() {
            let in_list = written.spot_of(&problem);
            let spot = in_list.unwrap_or_else(|| spot_of(&problem, &fields));
            let found = findings.error(problem.code(), spot, problem.to_string());
            if let Some(help) = help_with(&problem, &definition) {
                found.help(help);
            }
        }
    }
    Some(definition)
}

/// Where keys stand in the lists of a definition and its dimensions.
struct KeysWritten<'n>(BTreeMap<&'n str, Vec<Spot>>);

impl<'n> KeysWritten<'n> {
    fn of(fields: &Fields<'n>) -> Self {
        let mut spots: BTreeMap<&str, Vec<Spot>> = BTreeMap::new();
        let own = fields.get("keys").map(|field| field.node);
        let dimensions = match fields.get("dimensions").map(|field| &field.node.value) {
            Some(Value::Map(entries)) => entries.as_slice(),
            _ => &[],
        };
        let of_dimensions = dimensions.iter().filter_map(|it| it.value.entry("keys"));
        for list in own.into_iter().chain(of_dimensions.map(|entry| &entry.value)) {
            let Value::List(items) = &list.value else { continue };
            for item in items {
                if let Some(key) = item.plain() {
                    spots.entry(key).or_default().push(item.spot);
                }
            }
        }
        Self(spots)
    }

    /// The place of the key that `problem` is about. Of one that stands several times, it is the
    /// last that no problem was about before.
    fn spot_of(&mut self, problem: &PartitionsProblem) -> Option<Spot> {
        use PartitionsProblem as P;
        match problem {
            P::DuplicateKey { key } => self.0.get_mut(key.as_str())?.pop(),
            P::Key(PartitionKeyError { text }) => self.0.get(text.as_str())?.first().copied(),
            P::SeparatorInKey { key, .. } => self.0.get(key.as_str())?.first().copied(),
            _ => None,
        }
    }
}

/// What to write instead of a key that is no key of `definition`.
fn help_with(problem: &PartitionsProblem, definition: &PartitionsDef) -> Option<String> {
    match (problem, definition) {
        (PartitionsProblem::Key(_), PartitionsDef::Dynamic(dynamic)) => {
            let names: Vec<&str> = dynamic.dimensions.iter().map(DimensionName::as_str).collect();
            let form = names.join(&dynamic.separator);
            Some(format!("a key here has {} parts, none of them empty: `{form}`", names.len()))
        }
        (PartitionsProblem::DuplicateKey { .. }, _) => Some("leave one of them out".to_owned()),
        _ => None,
    }
}

/// The keys that a list holds.
fn keys_in(field: Field<'_>, findings: &mut Findings) -> Vec<PartitionKey> {
    let mut keys = Vec::new();
    for item in field.list(findings).unwrap_or_default() {
        match item.plain().map(|text| (text, text.parse())) {
            Some((_, Ok(key))) => keys.push(key),
            Some((text, Err(error))) => {
                let message = match text {
                    "" => "a partition key cannot be empty".to_owned(),
                    _ => PartitionKeyError::to_string(&error),
                };
                let help = format!("a key is text of 1 to {KEY_MAX} bytes in one line");
                findings.error(ErrorCode::DefinitionValue, item.spot, message).help(help);
            }
            None => Field { node: item, ..field }.mistyped("a list of texts", findings),
        }
    }
    keys
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
    Some(PartitionsDef::Static { keys: keys_in(keys, findings) })
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
        keys: fields.get("keys").map(|it| keys_in(it, findings)).unwrap_or_default(),
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
