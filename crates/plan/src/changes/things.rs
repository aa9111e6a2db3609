//! What two manifests declare differently, thing by thing and field by field.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::{HandlerDef, Manifest};
use serde::Serialize;
use serde_json::Value;

use super::diff::{Change, ChangeKind, FIELDS_MAX, FieldChange};

/// The things of one kind, by name.
type Things = BTreeMap<String, Value>;

/// Everything that differs.
pub(super) fn changed(old: &Manifest, new: &Manifest) -> Vec<Change> {
    let mut found = Vec::new();
    for ((kind, old), (_, new)) in sections(old).into_iter().zip(sections(new)) {
        section(kind, &old, &new, &mut found);
    }
    found
}

/// The sections of a manifest in the order in which they are shown. A new section is a line here.
fn sections(manifest: &Manifest) -> Vec<(&'static str, Things)> {
    vec![
        ("tenants", named(&manifest.tenants)),
        ("resources", named(&manifest.resources)),
        ("io", named(&manifest.io)),
        ("handlers", handlers(&manifest.handlers)),
        ("partitions", named(&manifest.partitions)),
        ("assets", named(&manifest.assets)),
        ("jobs", named(&manifest.jobs)),
        ("sensors", named(&manifest.sensors)),
    ]
}

fn named<K: ToString, V: Serialize>(things: &BTreeMap<K, V>) -> Things {
    // A definition came from JSON, so that it always has a JSON form.
    let value = |thing: &V| serde_json::to_value(thing).unwrap_or_default();
    things.iter().map(|(name, thing)| (name.to_string(), value(thing))).collect()
}

/// The handlers by pattern; of two rows with one pattern only the first is ever used.
fn handlers(rows: &[HandlerDef]) -> Things {
    let mut things = Things::new();
    for row in rows {
        let target = serde_json::to_value(&row.target).unwrap_or_default();
        things.entry(row.pattern.clone()).or_insert(target);
    }
    things
}

fn section(kind: &str, old: &Things, new: &Things, found: &mut Vec<Change>) {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let (change, fields) = match (old.get(name), new.get(name)) {
            (None, _) => (ChangeKind::Added, Vec::new()),
            (_, None) => (ChangeKind::Removed, Vec::new()),
            (Some(old), Some(new)) if old == new => continue,
            (Some(old), Some(new)) => {
                let mut fields = Vec::new();
                compare(String::new(), old, new, &mut fields);
                (ChangeKind::Changed, fields)
            }
        };
        found.push(Change { kind: kind.to_owned(), name: name.clone(), change, fields });
    }
}

/// Adds each field below `path` that differs. Recursion is as deep as a definition file may be.
fn compare(path: String, old: &Value, new: &Value, fields: &mut Vec<FieldChange>) {
    if old == new || fields.len() >= FIELDS_MAX {
        return;
    }
    let below =
        |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for name in names {
                let side = |map: &serde_json::Map<String, Value>| {
                    map.get(name).cloned().unwrap_or(Value::Null)
                };
                compare(below(name), &side(old), &side(new), fields);
            }
        }
        (Value::Array(old), Value::Array(new)) if let Some(pairs) = same_ids(old, new) => {
            for (id, old, new) in pairs {
                compare(below(id), old, new, fields);
            }
        }
        _ => fields.push(FieldChange { field: path, before: old.clone(), after: new.clone() }),
    }
}

/// The items of two lists in pairs, where both list the same ids in the same order: a job's ops.
fn same_ids<'v>(
    old: &'v [Value],
    new: &'v [Value],
) -> Option<Vec<(&'v str, &'v Value, &'v Value)>> {
    if old.len() != new.len() || old.is_empty() {
        return None;
    }
    let id = |value: &'v Value| value.get("id").and_then(Value::as_str);
    old.iter()
        .zip(new)
        .map(|(old, new)| match (id(old), id(new)) {
            (Some(before), Some(after)) if before == after => Some((before, old, new)),
            _ => None,
        })
        .collect()
}
