//! Two values of a field as one line shows them: where they differ.
//!
//! Called for plans and diffs of definitions.

use serde_json::Value;

use crate::output;

/// The most characters of a value that are shown.
const VALUE_MAX: usize = 60;

/// How many characters are shown that stand before the first difference.
const BEFORE_MAX: usize = 24;

/// What is shown of `before` and of `after`: all of them, or both from shortly before the place
/// where they begin to differ.
pub(super) fn compared(before: &Value, after: &Value) -> [String; 2] {
    let texts = [text(before), text(after)];
    let [first, second] = &texts;
    let is_long = |text: &String| text.chars().count() > VALUE_MAX;
    // What was not there has nothing in common with what is.
    if !texts.iter().all(is_long) {
        return texts.map(|text| output::shortened(&text, VALUE_MAX));
    }
    let pairs = first.chars().zip(second.chars());
    let common = pairs.take_while(|(one, other)| one == other).count();
    let from = common.saturating_sub(BEFORE_MAX);
    texts.map(|text| {
        let rest: String = text.chars().skip(from).collect();
        let sign = if from > 0 { "…" } else { "" };
        format!("{sign}{}", output::shortened(&rest, VALUE_MAX))
    })
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn long_values_are_shown_where_they_differ() {
        let sql = |last: u32| {
            json!(format!(
                "insert into delays select day, code, avg(delay) from flights where a > {last}"
            ))
        };
        assert_eq!(
            compared(&sql(1), &sql(2)),
            ["1", "2"].map(|last| format!("… from flights where a > {last}\""))
        );
        let [one, other] = compared(&json!([1]), &sql(2));
        assert_eq!((one.as_str(), other.starts_with("\"insert into")), ("[1]", true));
        assert_eq!(compared(&Value::Null, &json!("b")), ["–", "\"b\""]);
    }
}
