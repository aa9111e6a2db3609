//! From what was found to what is requested: conditions, run keys, partitions, labels, contexts.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::{
    ContentHash, ErrorCode, FoundKind, PartitionKey, RequestTemplate, RunId, SensorDef,
};
use serde_json::{Map, Value};

use super::answer::{Unfit, deduplicated};
use super::{Draft, DraftRequest};
use crate::condition::holds;
use crate::template::{TemplateError, Templates};

/// A thing that a tick found: an event, a row, a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// What makes it the same as another, when the definition has no run key.
    pub key: String,
    /// What templates see of it: `run`, `event`, `item` or `file`.
    pub names: Map<String, Value>,
    /// The partition that it is about.
    pub partition: Option<PartitionKey>,
    /// The labels of the run that it is about.
    pub tags: BTreeMap<String, String>,
    /// The run that it is about.
    pub of: Option<RunId>,
}

impl Found {
    /// What it is, by what templates see of it.
    fn kind(&self) -> FoundKind {
        // With an event comes the run that it is of.
        let kinds = [
            ("event", FoundKind::Materialization),
            ("run", FoundKind::Run),
            ("item", FoundKind::Row),
            ("file", FoundKind::File),
            ("delivery", FoundKind::Delivery),
        ];
        let known = kinds.into_iter().find(|(name, _)| self.names.contains_key(*name));
        known.map(|(_, kind)| kind).unwrap_or_default()
    }

    /// What was made and by whom, in words, if it is a materialization.
    fn materialization(&self) -> Option<String> {
        let event = self.names.get("event")?;
        let text = |name: &str| event.get(name).and_then(Value::as_str);
        let of = text("partition").map_or_else(String::new, |key| format!(", partition {key}"));
        let by = match (&self.of, text("reported_by")) {
            (Some(run), _) => format!(", made by run {run}"),
            (None, Some(by)) => format!(", reported by {by}"),
            (None, None) => String::new(),
        };
        Some(format!("{}{of}{by}", text("asset")?))
    }

    /// Its name, if it is a delivery.
    fn delivery(&self) -> Option<&str> {
        self.names.get("delivery").map(|_| self.key.as_str())
    }
}

/// An answer that is a table, `{"columns": […], "rows": [[…]]}`, as a list of objects; any other as
/// it is.
pub(super) fn listed(answer: Value) -> Value {
    let Value::Object(mut table) = answer else { return answer };
    match (table.remove("columns"), table.remove("rows")) {
        (Some(Value::Array(columns)), Some(Value::Array(rows))) if table.is_empty() => {
            let names: Vec<&str> = columns.iter().filter_map(Value::as_str).collect();
            let row = |row: Value| match row {
                Value::Array(values) => {
                    let keys = names.iter().map(|name| (*name).to_owned());
                    Value::Object(keys.zip(values).collect())
                }
                other => other,
            };
            Value::Array(rows.into_iter().map(row).collect())
        }
        (columns, rows) => {
            let back = [("columns", columns), ("rows", rows)];
            table.extend(back.into_iter().filter_map(|(name, it)| Some((name.to_owned(), it?))));
            Value::Object(table)
        }
    }
}

/// The rows of an answer as things that were found; an answer that is no list is one thing.
pub fn rows(answer: Value) -> Vec<Found> {
    let items = match listed(answer) {
        Value::Null => Vec::new(),
        Value::Array(items) => items,
        one => vec![one],
    };
    let found = |item: Value| Found {
        key: ContentHash::of(item.to_string().as_bytes()).to_string().chars().take(32).collect(),
        names: Map::from_iter([("item".to_owned(), item)]),
        partition: None,
        tags: BTreeMap::new(),
        of: None,
    };
    items.into_iter().map(found).collect()
}

/// The requests for what was found; `base` is what templates see beside it.
///
/// One thing that cannot be requested is a warning and keeps no other from being requested.
pub fn draft(def: &SensorDef, found: &[Found], base: &Map<String, Value>) -> Draft {
    let mut draft = Draft::default();
    let bad_template = |problem: String| (ErrorCode::DefinitionTemplate, problem);
    let mut keys = BTreeSet::new();
    for thing in found {
        let mut names = base.clone();
        names.extend(thing.names.clone());
        let names = Value::Object(names);
        if let Some(condition) = &def.when {
            match holds(condition, &names) {
                Ok(true) => {}
                Ok(false) => {
                    draft.unfit(thing, unfit(condition, thing));
                    continue;
                }
                Err(error) => {
                    draft.fail(thing.delivery(), None, bad_template(error.to_string()));
                    continue;
                }
            }
        }
        match request(&def.request, thing, &Templates::over(&names)) {
            Ok(Some(request)) if keys.insert(request.run_key.clone()) => {
                draft.requests.push(request);
            }
            Ok(Some(request)) => {
                let message = deduplicated(&request.run_key, None);
                draft.warn(request.partition, ErrorCode::RunKeyKnown, message);
            }
            Ok(None) => {
                draft.unfit(thing, "the sensor requests no run: it has no `request`".to_owned());
            }
            Err(problem) => {
                draft.fail(thing.delivery(), None, bad_template(problem));
            }
        }
    }
    draft
}

/// Why a thing does not fit, with the thing.
fn unfit(condition: &str, thing: &Found) -> String {
    match (thing.materialization(), &thing.of) {
        (Some(made), _) => format!("its condition does not hold for {made}: {condition}"),
        (None, Some(run)) => format!("its condition does not hold for run {run}: {condition}"),
        (None, None) => format!("its condition does not hold: {condition}"),
    }
}

impl Draft {
    fn unfit(&mut self, thing: &Found, why: String) {
        let unfit = self.unfit.take();
        let Unfit { what, count, first } =
            unfit.unwrap_or_else(|| Unfit { what: thing.kind(), count: 0, first: why });
        self.unfit = Some(Unfit { what, count: count + 1, first });
    }
}

fn request(
    template: &RequestTemplate,
    thing: &Found,
    fill: &Templates<'_>,
) -> Result<Option<DraftRequest>, String> {
    let Some(target) = &template.target else { return Ok(None) };
    let told = |error: TemplateError| error.to_string();
    let run_key = match &template.run_key {
        Some(text) => {
            let filled = fill.key("run key", text)?;
            filled.ok_or_else(|| format!("the run key {text:?} is null"))?
        }
        None => thing.key.clone(),
    };
    fits_key(&run_key)?;
    let partition = match &template.partition {
        Some(text) => match fill.key("partition", text)?.unwrap_or_default().trim() {
            "" => None,
            text => Some(text.parse::<PartitionKey>().map_err(|error| error.to_string())?),
        },
        None => thing.partition.clone(),
    };
    let passed = template.pass_tags.iter().filter_map(|name| thing.tags.get_key_value(name));
    let mut tags: BTreeMap<String, String> =
        passed.map(|(name, value)| (name.clone(), value.clone())).collect();
    for (name, text) in &template.tags {
        tags.insert(name.clone(), fill.text(text).map_err(told)?);
    }
    if let Some(name) = tags.iter().find_map(|(name, value)| value.contains('\0').then_some(name)) {
        return Err(format!("the label `{name}` would hold a NUL character"));
    }
    Ok(Some(DraftRequest {
        target: target.clone(),
        run_key,
        partition,
        tags,
        context: fill.object(&template.context).map_err(told)?,
        of: thing.of,
        delivery: thing.delivery().map(str::to_owned),
    }))
}

/// Refuses a run key that none can be.
pub(super) fn fits_key(run_key: &str) -> Result<(), String> {
    if run_key.trim().is_empty() || run_key.len() > KEY_MAX {
        return Err(format!("the run key {run_key:?} is empty or longer than {KEY_MAX} bytes"));
    }
    if run_key.contains('\0') {
        return Err(format!("the run key {run_key:?} holds a NUL character"));
    }
    Ok(())
}

/// The longest run key in bytes.
const KEY_MAX: usize = 1_000;
