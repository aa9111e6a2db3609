//! Lines of a CSV file that Millstream keeps.
//!
//! **Invariant.** What is read back as [`super::Quotes::Text`] is what was written: a text that
//! looks like a number stands in quotes, and so does an empty text beside other fields.

use serde_json::Value;

use crate::sql::Meaning;

/// A line in the making.
#[derive(Debug, Default)]
pub(crate) struct CsvLine {
    text: String,
    fields: usize,
}

impl CsvLine {
    /// Adds the name of a column.
    pub(crate) fn name(&mut self, name: &str) {
        self.separate();
        self.field(name);
    }

    /// Adds a value.
    pub(crate) fn value(&mut self, value: &Value) {
        self.separate();
        match value {
            Value::Null => {}
            Value::String(text) if text.is_empty() || Meaning::of(text) != Meaning::Text => {
                self.quoted(text);
            }
            Value::String(text) => self.field(text),
            Value::Number(number) => self.text.push_str(&numeral(number)),
            other => self.field(&other.to_string()),
        }
    }

    /// The line, which begins anew.
    pub(crate) fn take(&mut self) -> String {
        if self.text.is_empty() {
            // A line without anything is no record to most who read CSV.
            self.text.push_str("\"\"");
        }
        self.text.push('\n');
        self.fields = 0;
        std::mem::take(&mut self.text)
    }

    fn separate(&mut self) {
        if self.fields > 0 {
            self.text.push(',');
        }
        self.fields += 1;
    }

    fn field(&mut self, text: &str) {
        if needs_quotes(text) {
            self.quoted(text);
        } else {
            self.text.push_str(text);
        }
    }

    fn quoted(&mut self, text: &str) {
        self.text.push('"');
        for (index, part) in text.split('"').enumerate() {
            if index > 0 {
                self.text.push_str("\"\"");
            }
            self.text.push_str(part);
        }
        self.text.push('"');
    }
}

/// Whether `text` would end its field, or begin as a quoted one.
pub(super) fn needs_quotes(text: &str) -> bool {
    text.contains([',', '"', '\n', '\r'])
}

/// `number` as it is told from codes that look like numbers: `1e+300`, since `12E3` may be a code.
fn numeral(number: &serde_json::Number) -> String {
    let text = number.to_string();
    if text.contains("e-") || text.contains("e+") {
        return text;
    }
    text.replace('e', "e+")
}
