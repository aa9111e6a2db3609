//! What a program says, read from one line.
//!
//! Lenient, as clients differ: parameters may be null or absent, keys may be unknown, a message may
//! come at any time, and Python writes `NaN` where JSON has no number.

use millstream_model::{CheckSeverity, ExactJson};
use serde_json::{Map, Value};

/// The key by which a line is known as a message. Its value, a version, never said anything.
const MARK: &str = "__dagster_pipes_version";

/// One message.
#[derive(Debug, PartialEq)]
pub(super) enum Message {
    /// The program has begun to speak.
    Opened,
    /// It has nothing more to say; it may say more all the same.
    Closed {
        /// The exception that ended it.
        exception: Option<Value>,
    },
    /// A line for the log.
    Log { level: String, text: String },
    /// Output that the program has caught.
    Output { is_error: bool, text: String },
    /// An asset was made.
    Materialized {
        asset: Option<String>,
        data_version: Option<String>,
        metadata: Map<String, Value>,
    },
    /// An asset was looked at.
    Checked {
        asset: Option<String>,
        check: String,
        passed: bool,
        severity: CheckSeverity,
        metadata: Map<String, Value>,
    },
    /// Something that only its author understands.
    Custom(Value),
    /// A method that is not known here, or one that lacks what it needs.
    Unknown { method: String },
}

/// Whether a line of an output may be a message; [`read`] says whether it is.
pub(crate) fn may_be_message(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    let mark = MARK.as_bytes();
    line.starts_with(b"{")
        && line.ends_with(b"}")
        && line.windows(mark.len()).any(|window| window == mark)
}

/// The message in `line`; `None` when it is none.
pub(super) fn read(line: &[u8]) -> Option<Message> {
    let Value::Object(mut message) = parse(line)? else { return None };
    message.get(MARK)?;
    let method = message.get("method").and_then(Value::as_str).unwrap_or_default().to_owned();
    let params = match message.remove("params") {
        Some(Value::Object(params)) => params,
        _ => Map::new(),
    };
    let read = Params(params).read(&method);
    Some(read.unwrap_or(Message::Unknown { method }))
}

/// `line` as JSON, where Python's words for what is no number become text.
fn parse(line: &[u8]) -> Option<Value> {
    if let Ok(ExactJson { value, .. }) = ExactJson::read(line) {
        return Some(value);
    }
    let text = std::str::from_utf8(line).ok()?;
    serde_json::from_str(&numbers_quoted(text)?).ok()
}

/// `text` with `NaN` and `Infinity` in quotes where they are no text; `None` when there are none.
fn numbers_quoted(text: &str) -> Option<String> {
    const WORDS: &[&str] = &["-Infinity", "Infinity", "NaN"];
    let mut quoted = String::with_capacity(text.len() + 16);
    let mut found = false;
    let mut rest = text;
    let mut is_text = false;
    while let Some(character) = rest.chars().next() {
        if !is_text && let Some(word) = WORDS.iter().find(|word| rest.starts_with(**word)) {
            quoted.extend(["\"", word, "\""]);
            found = true;
            rest = rest.get(word.len()..).unwrap_or_default();
            continue;
        }
        // Behind a backslash in a text stands something that cannot end it.
        let taken = if is_text && character == '\\' { 2 } else { 1 };
        is_text ^= character == '"';
        let end = rest.char_indices().nth(taken).map_or(rest.len(), |(end, _)| end);
        quoted.push_str(rest.get(..end).unwrap_or_default());
        rest = rest.get(end..).unwrap_or_default();
    }
    found.then_some(quoted)
}

/// The parameters of a message.
struct Params(Map<String, Value>);

impl Params {
    fn read(mut self, method: &str) -> Option<Message> {
        Some(match method {
            "opened" => Message::Opened,
            "closed" => Message::Closed { exception: self.exception() },
            "log" => Message::Log {
                level: self.text("level").unwrap_or_else(|| "INFO".to_owned()),
                text: self.text("message")?,
            },
            "log_external_stream" => Message::Output {
                is_error: self.text("stream").is_some_and(|stream| stream == "stderr"),
                text: self.text("text")?,
            },
            "report_asset_materialization" => Message::Materialized {
                asset: self.text("asset_key"),
                data_version: self.text("data_version"),
                metadata: self.map("metadata"),
            },
            "report_asset_check" => Message::Checked {
                asset: self.text("asset_key"),
                check: self.text("check_name")?,
                passed: self.0.get("passed")?.as_bool()?,
                severity: match self.text("severity").as_deref() {
                    Some("WARN") => CheckSeverity::Warn,
                    _ => CheckSeverity::Error,
                },
                metadata: self.map("metadata"),
            },
            "report_custom_message" => Message::Custom(self.0.remove("payload")?),
            _ => return None,
        })
    }

    fn text(&mut self, key: &str) -> Option<String> {
        match self.0.remove(key) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    fn map(&mut self, key: &str) -> Map<String, Value> {
        match self.0.remove(key) {
            Some(Value::Object(map)) => map,
            _ => Map::new(),
        }
    }

    /// The exception under its own key, or its fields among the parameters, as one client does.
    fn exception(&mut self) -> Option<Value> {
        match self.0.remove("exception") {
            Some(exception @ Value::Object(_)) => Some(exception),
            _ if self.0.get("message").is_some_and(Value::is_string) => {
                Some(Value::Object(std::mem::take(&mut self.0)))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(method: &str, params: &Value) -> Message {
        let line = json!({ MARK: "0.1", "method": method, "params": params, "later": 1 });
        assert!(may_be_message(line.to_string().as_bytes()));
        read(line.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn each_method_is_read_with_nulls_and_unknown_keys() {
        assert_eq!(message("opened", &json!({ "extras": {} })), Message::Opened);
        assert_eq!(message("closed", &Value::Null), Message::Closed { exception: None });
        assert_eq!(
            message("log", &json!({ "message": "hi", "level": "DEBUG" })),
            Message::Log { level: "DEBUG".to_owned(), text: "hi".to_owned() }
        );
        let params = json!({ "asset_key": "a", "data_version": null, "metadata": null, "new": 1 });
        assert_eq!(
            message("report_asset_materialization", &params),
            Message::Materialized {
                asset: Some("a".to_owned()),
                data_version: None,
                metadata: Map::new()
            }
        );
        let params = json!({ "asset_key": "a", "check_name": "c", "passed": false });
        assert_eq!(
            message("report_asset_check", &params),
            Message::Checked {
                asset: Some("a".to_owned()),
                check: "c".to_owned(),
                passed: false,
                severity: CheckSeverity::Error,
                metadata: Map::new()
            }
        );
        assert_eq!(message("report_custom_message", &json!({ "payload": [1] })), {
            Message::Custom(json!([1]))
        });
        assert_eq!(
            message("log_external_stream", &json!({ "stream": "stderr", "text": "x" })),
            Message::Output { is_error: true, text: "x".to_owned() }
        );
        assert_eq!(message("dance", &json!({})), Message::Unknown { method: "dance".to_owned() });
    }

    #[test]
    fn an_exception_stands_under_its_key_or_directly_in_the_parameters() {
        let exception = json!({ "message": "no", "name": "E", "stack": [] });
        let wanted = Message::Closed { exception: Some(exception.clone()) };
        assert_eq!(message("closed", &json!({ "exception": exception })), wanted);
        assert_eq!(message("closed", &exception), wanted);
    }

    #[test]
    fn other_json_and_other_text_are_no_messages() {
        for line in ["hello", "{}", "[1]", r#"{"method": "opened"}"#, "{oops", "\u{0}"] {
            assert_eq!(read(line.as_bytes()), None, "{line}");
            assert!(!may_be_message(line.as_bytes()), "{line}");
        }
        assert_eq!(read(b"\xff\xfe"), None);
    }

    #[test]
    fn python_s_words_for_no_number_become_text() {
        let line = format!(
            r#"{{"{MARK}": "0.1", "method": "report_custom_message",
                "params": {{"payload": [NaN, -Infinity, "a \" NaN", 1]}}}}"#
        );
        assert_eq!(
            read(line.as_bytes()),
            Some(Message::Custom(json!(["NaN", "-Infinity", "a \" NaN", 1])))
        );
    }
}
