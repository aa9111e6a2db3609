//! Metadata of a materialization, each kind shown as what it is.

use askama::Template;
use millstream_model::{MetadataKind, MetadataValue, Timestamp};

use crate::format::{self, Moment};
use crate::parts::part;

/// One metadata value in a page.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "parts/metadata.html")]
pub enum Shown {
    /// A number for people, with its exact value.
    Number {
        /// Humanised.
        text: String,
        /// Exact.
        raw: String,
    },
    /// Plain text.
    Text(String),
    /// Text that keeps its lines: JSON, or Markdown as it was written.
    ///
    /// Markdown is never turned into markup, so that no step can put any into a page.
    Source(String),
    /// A point in time.
    Time(Moment),
    /// An address that a browser may open safely.
    Url(String),
    /// Rows with the columns of the first one.
    Table {
        /// The columns.
        columns: Vec<String>,
        /// The rows, at most `TABLE_ROWS_MAX`.
        rows: Vec<Vec<String>>,
        /// How many rows are not shown.
        more: usize,
    },
    /// Nothing.
    Null,
}

part!(Shown);

/// Most rows of a table in a page; the API has all of them.
const TABLE_ROWS_MAX: usize = 20;

impl Shown {
    /// How `value` is shown; one that does not fit its kind is shown as the JSON it is.
    pub fn new(value: &MetadataValue) -> Self {
        let json = &value.value;
        let shown = match value.kind {
            MetadataKind::Int | MetadataKind::Float => number(json),
            MetadataKind::Bool => json.as_bool().map(|yes| Self::Text(yes.to_string())),
            MetadataKind::Text
            | MetadataKind::Path
            | MetadataKind::Notebook
            | MetadataKind::Run
            | MetadataKind::Asset
            | MetadataKind::Job => text(json).map(Self::Text),
            MetadataKind::Md => text(json).map(Self::Source),
            MetadataKind::Timestamp => time(json).map(|at| Self::Time(Moment::absolute(at))),
            MetadataKind::Url => text(json).map(url),
            MetadataKind::Table => table(json),
            MetadataKind::Null => Some(Self::Null),
            MetadataKind::Json | MetadataKind::TableSchema | MetadataKind::TableColumnLineage => {
                None
            }
        };
        shown.unwrap_or_else(|| Self::Source(format!("{json:#}")))
    }
}

fn text(json: &serde_json::Value) -> Option<String> {
    json.as_str().map(ToOwned::to_owned)
}

fn number(json: &serde_json::Value) -> Option<Shown> {
    let raw = json.to_string();
    let text = match (json.as_u64(), json.as_i64(), json.as_f64()) {
        (Some(whole), _, _) => format::count(whole),
        (None, Some(negative), _) => format!("−{}", format::count(negative.unsigned_abs())),
        (None, None, fraction) => format::decimal(fraction?),
    };
    Some(Shown::Number { text, raw })
}

/// Seconds since the epoch, or RFC 3339 text.
fn time(json: &serde_json::Value) -> Option<Timestamp> {
    if let Some(seconds) = json.as_f64() {
        let micros = seconds * 1e6;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a cast from f64 saturates, and from_micros holds the result in range"
        )]
        return micros.is_finite().then(|| Timestamp::from_micros(micros as i64));
    }
    serde_json::from_value(json.clone()).ok()
}

/// A link only for schemes that open a page; `javascript:` and the like stay text.
fn url(text: String) -> Shown {
    let safe = text.starts_with("https://") || text.starts_with("http://");
    if safe { Shown::Url(text) } else { Shown::Text(text) }
}

fn table(json: &serde_json::Value) -> Option<Shown> {
    let rows = json.get("records").unwrap_or(json).as_array()?;
    let first = rows.first()?.as_object()?;
    let columns: Vec<String> = first.keys().cloned().collect();
    let cell = |row: &serde_json::Value, column: &String| match row.get(column) {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(serde_json::Value::Null) => String::new(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let shown = rows.iter().take(TABLE_ROWS_MAX);
    let cells = shown.map(|row| columns.iter().map(|column| cell(row, column)).collect());
    let more = rows.len().saturating_sub(TABLE_ROWS_MAX);
    Some(Shown::Table { rows: cells.collect(), columns, more })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(kind: &str, value: &serde_json::Value) -> String {
        let value: MetadataValue =
            serde_json::from_value(json!({ "type": kind, "value": value })).unwrap();
        Shown::new(&value).to_string()
    }

    #[test]
    fn r039_each_kind_is_shown_as_what_it_is() {
        assert!(shown("int", &json!(336_776)).contains(r#"title="336776">336,776<"#));
        assert!(shown("float", &json!(12.639_070_257_3)).contains(">12.64<"));
        assert!(shown("timestamp", &json!(1_700_000_000)).contains("2023-11-14 22:13:20 UTC"));
        assert!(shown("timestamp", &json!("2023-11-14T22:13:20Z")).contains("22:13:20 UTC"));
        assert!(shown("json", &json!({"a": 1})).contains("&#34;a&#34;: 1"));
        assert!(shown("table", &json!([{"a": 1}, {"a": 2}])).contains("<td>2</td>"));
        assert!(shown("int", &json!("not a number")).contains("not a number"));
    }

    #[test]
    fn r039_no_step_can_put_markup_or_a_script_into_a_page() {
        for kind in ["text", "md", "json", "path", "url"] {
            let html = shown(kind, &json!("<script>alert(1)</script>[x](javascript:alert(1))"));
            assert!(!html.contains("<script"), "{kind}: {html}");
        }
        assert!(!shown("url", &json!("javascript:alert(1)")).contains("href"));
        assert!(
            shown("url", &json!("https://a.example/")).contains(r#"href="https://a.example/""#)
        );
    }
}
