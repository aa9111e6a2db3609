//! An exception of a program as text, in the form that Python gives it.

use serde_json::Value;

/// How many exceptions that led to one another are told.
const DEPTH_MAX: usize = 8;

/// The most bytes of a traceback; what is cut is its beginning.
const SIZE_MAX: usize = 3_800;

/// An exception that ended a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exception {
    /// What was raised, in one line.
    pub(crate) headline: String,
    /// Where, and what led to it.
    pub(crate) traceback: String,
}

impl Exception {
    /// The exception that a message describes.
    pub(super) fn new(described: &Value) -> Self {
        let mut parts = Vec::new();
        tell(described, DEPTH_MAX, &mut parts);
        let traceback = parts.concat();
        Self { headline: headline(described), traceback: end_of(traceback.trim_end()) }
    }
}

/// What led to an exception comes before it.
fn tell(described: &Value, depth: usize, parts: &mut Vec<String>) {
    let cause = described.get("cause").filter(|cause| cause.is_object());
    let context = described.get("context").filter(|context| context.is_object());
    let led = match (cause, context) {
        (Some(cause), _) => Some((cause, "The above exception was the direct cause of this one:")),
        (None, Some(context)) => Some((context, "While it was handled, another one occurred:")),
        (None, None) => None,
    };
    if let Some((before, words)) = led.filter(|_| depth > 1) {
        tell(before, depth - 1, parts);
        parts.push(format!("\n{words}\n\n"));
    }
    let stack = described.get("stack").and_then(Value::as_array);
    let frames = stack.into_iter().flatten().filter_map(Value::as_str);
    let mut frames = frames.map(with_end).peekable();
    if frames.peek().is_some() {
        parts.push("Traceback (most recent call last):\n".to_owned());
    }
    parts.extend(frames);
    parts.push(with_end(&message(described)));
}

/// The message, behind the name of the exception unless it begins with that.
fn message(described: &Value) -> String {
    let text = |key: &str| described.get(key).and_then(Value::as_str).unwrap_or_default();
    let (name, message) = (text("name"), text("message").trim_end());
    match (name, message) {
        ("", "") => "an exception without a message".to_owned(),
        (name, "") => name.to_owned(),
        ("", message) => message.to_owned(),
        // Python's own text begins with the name, or with its module before it.
        (name, message) if message.split(':').next().is_some_and(|it| it.ends_with(name)) => {
            message.to_owned()
        }
        (name, message) => format!("{name}: {message}"),
    }
}

fn headline(described: &Value) -> String {
    let message = message(described);
    message.lines().next().unwrap_or_default().chars().take(500).collect()
}

fn with_end(text: &str) -> String {
    format!("{}\n", text.trim_end())
}

fn end_of(text: &str) -> String {
    if text.len() <= SIZE_MAX {
        return text.to_owned();
    }
    let from = text.ceil_char_boundary(text.len() - SIZE_MAX);
    format!("… {}", text.get(from..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cause_is_told_before_the_exception_that_it_led_to() {
        let exception = Exception::new(&json!({
            "message": "RuntimeError: outer\n", "name": "RuntimeError",
            "stack": ["  File \"a.py\", line 2, in main\n    run()\n"],
            "cause": {
                "message": "ValueError: inner\n", "name": "ValueError", "stack": [],
                "cause": null, "context": null,
            },
            "context": null,
        }));
        assert_eq!(exception.headline, "RuntimeError: outer");
        let wanted = "ValueError: inner\n\n\
             The above exception was the direct cause of this one:\n\n\
             Traceback (most recent call last):\n  \
             File \"a.py\", line 2, in main\n    run()\nRuntimeError: outer";
        assert_eq!(exception.traceback, wanted);
    }

    #[test]
    fn a_name_that_the_message_lacks_is_put_before_it() {
        let exception = Exception::new(&json!({ "message": "broken pipe", "name": "IoError" }));
        assert_eq!(exception.headline, "IoError: broken pipe");
    }

    #[test]
    fn of_a_long_traceback_the_end_is_kept() {
        let stack = vec!["  File \"ü.py\"\n"; 1_000];
        let exception = Exception::new(&json!({ "message": "last", "stack": stack }));
        assert!(exception.traceback.len() < SIZE_MAX + 10);
        assert!(exception.traceback.ends_with("last"));
    }
}
