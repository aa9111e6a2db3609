//! Reading the API's answers.

use serde_json::Value;

/// An answer that is a list, or the list called `name` in it.
pub(super) fn rows<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    let list = if answer.is_array() { Some(answer) } else { answer.get(name) };
    list.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A field of a row as text for a table; `–` when there is nothing.
pub(super) fn text(row: &Value, pointer: &str) -> String {
    match row.pointer(pointer) {
        None | Some(Value::Null) => "–".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
