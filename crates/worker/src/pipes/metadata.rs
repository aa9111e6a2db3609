//! Metadata as programs write it: `{"raw_value": …, "type": …}`, or a bare value.

use std::collections::BTreeMap;

use millstream_model::{MetadataKind, MetadataValue};
use serde_json::{Map, Value};

/// The largest metadata of one event, as JSON.
const SIZE_MAX: usize = 48 * 1024;

/// The metadata in `given`, and the names of what did not fit into an event.
pub(super) fn read(given: Map<String, Value>) -> (BTreeMap<String, MetadataValue>, Vec<String>) {
    let mut size = 0;
    let mut dropped = Vec::new();
    let mut metadata = BTreeMap::new();
    for (name, value) in given {
        let added = name.len() + value.to_string().len();
        if size + added > SIZE_MAX {
            dropped.push(name.chars().take(100).collect());
            continue;
        }
        size += added;
        metadata.insert(name, value_of(value));
    }
    (metadata, dropped)
}

fn value_of(value: Value) -> MetadataValue {
    let Value::Object(mut typed) = value else { return MetadataValue::infer(value) };
    if !typed.contains_key("raw_value") {
        return MetadataValue { kind: MetadataKind::Json, value: Value::Object(typed) };
    }
    let raw = typed.remove("raw_value").unwrap_or_default();
    let named = typed.remove("type").unwrap_or_default();
    match serde_json::from_value::<MetadataKind>(named) {
        Ok(kind) => MetadataValue { kind, value: raw },
        // `__infer__`, or a type of a later version: the shape tells enough.
        Err(_) => inferred(raw),
    }
}

/// The value with the kind of its shape, whatever keys an object has.
fn inferred(raw: Value) -> MetadataValue {
    match raw {
        Value::Object(_) => MetadataValue { kind: MetadataKind::Json, value: raw },
        plain => MetadataValue::infer(plain),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kind(value: Value) -> String {
        let value = value_of(value);
        json!(value.kind).as_str().unwrap().to_owned()
    }

    #[test]
    fn r039_every_type_of_the_protocol_has_its_kind() {
        for name in [
            "text",
            "url",
            "path",
            "notebook",
            "json",
            "md",
            "float",
            "int",
            "bool",
            "dagster_run",
            "asset",
            "job",
            "null",
            "table",
            "table_schema",
            "table_column_lineage",
            "timestamp",
        ] {
            assert_eq!(kind(json!({ "raw_value": 1, "type": name })), name);
        }
    }

    #[test]
    fn what_is_to_be_inferred_or_unknown_has_the_kind_of_its_shape() {
        let inferred = |raw: Value| kind(json!({ "raw_value": raw, "type": "__infer__" }));
        for (raw, wanted) in [
            (json!(1), "int"),
            (json!(1.5), "float"),
            (json!("x"), "text"),
            (json!(true), "bool"),
            (json!(null), "null"),
            (json!([1]), "json"),
            (json!({ "type": "int", "value": 1 }), "json"),
        ] {
            assert_eq!(inferred(raw), wanted);
        }
        assert_eq!(kind(json!({ "raw_value": 1, "type": "hologram" })), "int");
        assert_eq!(kind(json!(3)), "int");
    }

    #[test]
    fn what_does_not_fit_an_event_is_named() {
        let given = json!({ "large": "x".repeat(SIZE_MAX), "small": 1 });
        let Value::Object(given) = given else { unreachable!() };
        let (metadata, dropped) = read(given);
        assert_eq!(metadata.keys().collect::<Vec<_>>(), ["small"]);
        assert_eq!(dropped, ["large"]);
    }
}
