//! What the columns of rows are: found by looking at every value, or declared.
//!
//! **Invariant.** A value that is stored in the column found for it comes back equal, but for
//! columns of mixed kinds, which are text and said to be.

use std::collections::BTreeMap;

use millstream_model::{ColumnType, ContentHash, ContentHasher};
use serde_json::Value;

use crate::csv_file::{CsvColumn, CsvLook};
use crate::sql::Meaning;
use crate::stream::RowStream;
use crate::{TableError, TableFile};

/// A column of a table that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    /// Its name.
    pub(crate) name: String,
    /// What its values are; `None` when all of them are null and nobody said.
    pub(crate) kind: Option<ColumnType>,
}

/// What a first reading of rows finds.
#[derive(Debug)]
pub(crate) struct Shape {
    /// The columns in their order.
    pub(crate) columns: Vec<Column>,
    /// How many rows there are.
    pub(crate) rows: u64,
    /// The bytes that they take as JSON.
    pub(crate) bytes: u64,
    /// The hash of their JSON: the version of the data.
    pub(crate) hash: ContentHash,
    /// What an author should know; lines for the step's log.
    pub(crate) notes: Vec<String>,
}

impl Shape {
    /// Reads all of `file`. Types in `declared` need no looking.
    pub(crate) fn of(
        file: &TableFile,
        declared: &BTreeMap<String, ColumnType>,
    ) -> Result<Self, TableError> {
        let mut stream = RowStream::open(file)?;
        let names = match stream.columns() {
            [] => declared.keys().cloned().collect(),
            names => names.to_vec(),
        };
        let mut looked = match stream.look() {
            Some(look) => Looked::Fields(look),
            None => Looked::Values(vec![Seen::default(); names.len()]),
        };
        let mut hasher = ContentHasher::default();
        let mut bytes = 0;
        while let Some(row) = stream.next_row()? {
            let json = serde_json::Value::Array(row);
            let text = json.to_string();
            hasher.update(text.as_bytes());
            hasher.update(b"\n");
            bytes += text.len() as u64 + 1;
            match &mut looked {
                Looked::Fields(look) => stream.show(look),
                Looked::Values(seen) => {
                    for (seen, value) in seen.iter_mut().zip(json.as_array().into_iter().flatten())
                    {
                        seen.look(value);
                    }
                }
            }
        }
        let mut notes: Vec<String> = stream.note().cloned().into_iter().collect();
        let columns = names
            .into_iter()
            .zip(looked.columns(file))
            .map(|(name, found)| {
                let found = || {
                    notes.extend(found.note.map(|note| format!("column {name:?} {note}")));
                    found.kind
                };
                let kind = declared.get(&name).copied().or_else(found);
                Column { name, kind }
            })
            .collect();
        Ok(Self { columns, rows: stream.number(), bytes, hash: hasher.finish(), notes })
    }
}

/// What was seen in the columns of a file.
enum Looked {
    /// Its fields say nothing of themselves.
    Fields(CsvLook),
    /// Each of its values says what it is.
    Values(Vec<Seen>),
}

impl Looked {
    fn columns(self, file: &TableFile) -> Vec<CsvColumn> {
        let of_values = |seen: Seen| {
            let (kind, why) = seen.kind();
            CsvColumn { kind, note: why.map(|why| format!("is text, because {why}")) }
        };
        match self {
            Self::Fields(look) => look.columns(file.path()),
            Self::Values(seen) => seen.into_iter().map(of_values).collect(),
        }
    }
}

/// What was seen in a column.
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that was seen or not")]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    whole: bool,
    /// A whole number that a double does not hold.
    large: bool,
    real: bool,
    flag: bool,
    text: bool,
    json: bool,
    /// A number that a database would not give back as it was: `007`, or one of 70 digits.
    lookalike: bool,
}

/// Doubles hold whole numbers up to this.
const EXACT_MAX: u64 = 1 << 53;

impl Seen {
    /// Looks at `value`, which says what it is.
    pub(crate) fn look(&mut self, value: &Value) {
        match value {
            Value::Null => {}
            Value::Bool(_) => self.flag = true,
            Value::Number(number) => match (number.as_i64(), number.is_f64()) {
                (Some(whole), _) => self.whole(whole),
                (None, true) => self.real = true,
                (None, false) => self.lookalike = true,
            },
            Value::String(_) => self.text = true,
            Value::Array(_) | Value::Object(_) => self.json = true,
        }
    }

    /// Looks at a field of a CSV file that is not empty.
    pub(crate) fn mean(&mut self, meaning: Meaning) {
        match meaning {
            Meaning::Whole(whole) => self.whole(whole),
            Meaning::Real(_) => self.real = true,
            Meaning::Text => self.text = true,
            Meaning::Lookalike => self.lookalike = true,
        }
    }

    fn whole(&mut self, whole: i64) {
        self.whole = true;
        self.large |= whole.unsigned_abs() > EXACT_MAX;
    }

    /// The type of the column, and why it is text where that has to be told.
    pub(crate) fn kind(self) -> (Option<ColumnType>, Option<&'static str>) {
        let is_number = self.whole || self.real;
        let kinds = [is_number || self.lookalike, self.flag, self.text, self.json];
        let text = |why: &'static str| (Some(ColumnType::Text), Some(why));
        match kinds.into_iter().filter(|is_seen| *is_seen).count() {
            0 => (None, None),
            1 if self.lookalike => {
                text("it has numbers that would change as numbers, as `007` does")
            }
            1 if self.real && self.large => {
                text("it has fractions and whole numbers of more than 15 digits")
            }
            1 if self.real => (Some(ColumnType::Real), None),
            1 if self.whole => (Some(ColumnType::Integer), None),
            1 if self.flag => (Some(ColumnType::Boolean), None),
            1 if self.text => (Some(ColumnType::Text), None),
            _ if self.json => (Some(ColumnType::Json), None),
            _ if is_number || self.flag => text("it has values of several kinds"),
            // Codes among words.
            _ => (Some(ColumnType::Text), None),
        }
    }

    /// Whether there are whole numbers beside those with a fraction.
    pub(crate) fn has_whole_beside_real(self) -> bool {
        self.whole && self.kind().0 == Some(ColumnType::Real)
    }
}

/// `value` as a column of `kind` takes it: null, a flag, a number, or text; or what is wrong.
pub(crate) fn fit(kind: ColumnType, value: Value) -> Result<Value, String> {
    let refused = |value: &Value| {
        let shown: String = value.to_string().chars().take(SHOWN_MAX).collect();
        Err(format!("{shown} is not of the type `{}`", kind.as_str()))
    };
    match (kind, value) {
        (_, Value::Null) => Ok(Value::Null),
        (ColumnType::Json, value) => Ok(Value::String(value.to_string())),
        (ColumnType::Text, Value::String(text)) => Ok(Value::String(text)),
        (ColumnType::Text, value) => Ok(Value::String(value.to_string())),
        (ColumnType::Boolean, value @ Value::Bool(_)) => Ok(value),
        (ColumnType::Boolean, value) => match flag(&value) {
            Some(flag) => Ok(Value::Bool(flag)),
            None => refused(&value),
        },
        (ColumnType::Integer, value) => match whole(&value) {
            Some(whole) => Ok(whole.into()),
            None => refused(&value),
        },
        (ColumnType::Real, value) => match real(&value) {
            Some(real) => Ok(serde_json::Number::from_f64(real)
                .map_or_else(|| Value::String(endless(real).to_owned()), Value::Number)),
            None => refused(&value),
        },
    }
}

/// The most characters of a value that an error repeats.
const SHOWN_MAX: usize = 60;

fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Number(number) => match number.as_i64()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "1" => Some(true),
            "false" | "f" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn real(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// How Postgres writes a number that JSON has not.
pub(crate) fn endless(real: f64) -> &'static str {
    match real {
        real if real.is_nan() => "NaN",
        real if real > 0.0 => "Infinity",
        _ => "-Infinity",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kind(values: &Value) -> Option<ColumnType> {
        let mut seen = Seen::default();
        values.as_array().unwrap().iter().for_each(|value| seen.look(value));
        seen.kind().0
    }

    #[test]
    fn the_type_of_a_column_follows_from_its_values() {
        for (values, wanted) in [
            (json!([null, null]), None),
            (json!([1, null, 2]), Some(ColumnType::Integer)),
            (json!([i64::MAX, i64::MIN]), Some(ColumnType::Integer)),
            (json!([1, 1.5]), Some(ColumnType::Real)),
            (json!([true, null]), Some(ColumnType::Boolean)),
            (json!(["2013-01-01", "NaN"]), Some(ColumnType::Text)),
            (json!([{"a": 1}, [1]]), Some(ColumnType::Json)),
            (json!(["a", {"a": 1}]), Some(ColumnType::Json)),
            (json!([1, "a"]), Some(ColumnType::Text)),
            // As a double, or as 64 bits, these would come back as others.
            (json!([i64::MAX, 1.5]), Some(ColumnType::Text)),
            (json!([u64::MAX]), Some(ColumnType::Text)),
        ] {
            assert_eq!(kind(&values), wanted, "{values}");
        }
    }

    #[test]
    fn a_value_that_a_declared_type_does_not_take_is_named() {
        assert_eq!(fit(ColumnType::Integer, json!("12")), Ok(json!(12)));
        assert_eq!(fit(ColumnType::Real, json!("NaN")), Ok(json!("NaN")));
        assert_eq!(fit(ColumnType::Boolean, json!(1)), Ok(json!(true)));
        assert_eq!(fit(ColumnType::Text, json!(7)), Ok(json!("7")));
        for (kind, value) in [
            (ColumnType::Integer, json!(1.5)),
            (ColumnType::Integer, json!("")),
            (ColumnType::Boolean, json!(2)),
            (ColumnType::Real, json!({})),
        ] {
            let problem = fit(kind, value.clone()).unwrap_err();
            assert!(problem.contains(&value.to_string()), "{problem}");
        }
    }
}
