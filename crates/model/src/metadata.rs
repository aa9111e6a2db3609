//! What a step says about what it made.

use serde::{Deserialize, Serialize};

/// One metadata value with the kind that decides how it is shown.
///
/// The kinds are those of Dagster Pipes, under its names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetadataValue {
    /// How to read and show the value.
    #[serde(rename = "type")]
    pub kind: MetadataKind,
    /// The value as JSON.
    pub value: serde_json::Value,
}

/// The kinds of metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetadataKind {
    /// A whole number; charted.
    Int,
    /// A number; charted.
    Float,
    /// True or false.
    Bool,
    /// Plain text.
    Text,
    /// Seconds since the epoch, or RFC 3339 text.
    Timestamp,
    /// Any JSON, shown as a tree.
    Json,
    /// Markdown, sanitised before it is shown.
    Md,
    /// A web address.
    Url,
    /// A path on some file system.
    Path,
    /// The path of a notebook.
    Notebook,
    /// The id of a run.
    #[serde(rename = "dagster_run")]
    Run,
    /// The key of an asset.
    Asset,
    /// The name of a job.
    Job,
    /// Rows of flat objects.
    Table,
    /// The columns of a table with their types.
    TableSchema,
    /// Which columns of other assets each column is made from.
    TableColumnLineage,
    /// Nothing.
    Null,
}

impl MetadataValue {
    /// A whole number.
    pub fn int(value: i64) -> Self {
        Self { kind: MetadataKind::Int, value: value.into() }
    }

    /// A number with a fraction.
    pub fn float(value: f64) -> Self {
        Self { kind: MetadataKind::Float, value: value.into() }
    }

    /// Plain text.
    pub fn text(value: impl Into<String>) -> Self {
        Self { kind: MetadataKind::Text, value: serde_json::Value::String(value.into()) }
    }

    /// The value that a step gave as bare JSON, with the kind that its shape implies, or as
    /// `{"type": …, "value": …}` with the kind named.
    pub fn infer(value: serde_json::Value) -> Self {
        use serde_json::Value as V;
        if let V::Object(map) = &value
            && map.len() == 2
            && map.contains_key("type")
            && map.contains_key("value")
            && let Ok(named) = serde_json::from_value::<Self>(value.clone())
        {
            return named;
        }
        let kind = match &value {
            V::Null => MetadataKind::Null,
            V::Bool(_) => MetadataKind::Bool,
            V::Number(number) if number.is_i64() || number.is_u64() => MetadataKind::Int,
            V::Number(_) => MetadataKind::Float,
            V::String(_) => MetadataKind::Text,
            V::Array(_) | V::Object(_) => MetadataKind::Json,
        };
        Self { kind, value }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::MetadataKind as K;
    use super::*;

    #[test]
    fn r039_a_bare_value_gets_the_kind_of_its_shape_and_a_named_kind_wins() {
        let kinds: Vec<MetadataKind> = [
            json!(3),
            json!(1.5),
            json!("x"),
            json!({"a": 1}),
            json!({"type": "timestamp", "value": 1_700_000_000}),
            json!({"type": "md", "value": "# hi"}),
        ]
        .into_iter()
        .map(|value| MetadataValue::infer(value).kind)
        .collect();
        assert_eq!(kinds, [K::Int, K::Float, K::Text, K::Json, K::Timestamp, K::Md]);
    }

    #[test]
    fn an_object_that_only_looks_like_a_named_kind_stays_json() {
        let value = MetadataValue::infer(json!({"type": "sedan", "value": 3}));
        assert_eq!(value.kind, MetadataKind::Json);
    }
}
