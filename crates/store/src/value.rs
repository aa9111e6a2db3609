//! Values on their way to and from the database: the few types that both databases share.

use millstream_model::Timestamp;

use crate::StoreError;

/// A bound parameter or a column's content.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// `TEXT`: ids, names, JSON.
    Text(String),
    /// `BIGINT`: counts and microseconds.
    Int(i64),
    /// `BOOLEAN`.
    Bool(bool),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Int(i64::from(number))
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<Timestamp> for Value {
    fn from(time: Timestamp) -> Self {
        Self::Int(time.as_micros())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

macro_rules! value_from_display {
    ($($type:ty),*) => {$(
        impl From<&$type> for Value {
            fn from(value: &$type) -> Self {
                Self::Text(value.to_string())
            }
        }
    )*};
}
value_from_display!(
    millstream_model::TenantId,
    millstream_model::RunId,
    millstream_model::JobName,
    millstream_model::StepKey,
    millstream_model::AssetKey,
    millstream_model::PartitionKey,
    millstream_model::PartitionsName,
    millstream_model::LocationName,
    millstream_model::ContentHash,
    millstream_model::RunStatus,
    millstream_model::StepStatus,
    String
);

/// One row of an answer; columns are read in order, by methods that take the next one.
#[derive(Debug, Clone)]
pub struct Row {
    columns: std::vec::IntoIter<Value>,
    next: usize,
    table: &'static str,
}

impl Row {
    pub(crate) fn new(table: &'static str, columns: Vec<Value>) -> Self {
        Self { columns: columns.into_iter(), next: 0, table }
    }

    fn take(&mut self) -> Value {
        self.next += 1;
        self.columns.next().unwrap_or(Value::Null)
    }

    fn wrong(&self, value: impl std::fmt::Debug) -> StoreError {
        StoreError::UnknownValue {
            statement: self.table,
            column: self.next,
            value: format!("{value:?}"),
        }
    }

    /// The next column as text.
    pub fn text(&mut self) -> Result<String, StoreError> {
        match self.take() {
            Value::Text(text) => Ok(text),
            other => Err(self.wrong(other)),
        }
    }

    /// The next column as text, or `None` when it is NULL.
    pub fn text_opt(&mut self) -> Result<Option<String>, StoreError> {
        match self.take() {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            other => Err(self.wrong(other)),
        }
    }

    /// The next column as a whole number.
    pub fn int(&mut self) -> Result<i64, StoreError> {
        match self.take() {
            Value::Int(number) => Ok(number),
            other => Err(self.wrong(other)),
        }
    }

    /// The next column as a whole number, or `None` when it is NULL.
    pub fn int_opt(&mut self) -> Result<Option<i64>, StoreError> {
        match self.take() {
            Value::Null => Ok(None),
            Value::Int(number) => Ok(Some(number)),
            other => Err(self.wrong(other)),
        }
    }

    /// The next column as a count.
    pub fn count(&mut self) -> Result<u32, StoreError> {
        let number = self.int()?;
        u32::try_from(number).map_err(|_| self.wrong(number))
    }

    /// The next column as a truth value; SQLite keeps it as 0 or 1.
    pub fn truth(&mut self) -> Result<bool, StoreError> {
        match self.take() {
            Value::Bool(truth) => Ok(truth),
            Value::Int(number) => Ok(number != 0),
            other => Err(self.wrong(other)),
        }
    }

    /// The next column as a truth value, or `None` when it is NULL.
    pub fn truth_opt(&mut self) -> Result<Option<bool>, StoreError> {
        match self.take() {
            Value::Null => Ok(None),
            Value::Bool(truth) => Ok(Some(truth)),
            Value::Int(number) => Ok(Some(number != 0)),
            other @ Value::Text(_) => Err(self.wrong(other)),
        }
    }

    /// The next column as a point in time.
    pub fn time(&mut self) -> Result<Timestamp, StoreError> {
        self.int().map(Timestamp::from_micros)
    }

    /// The next column as a point in time, or `None` when it is NULL.
    pub fn time_opt(&mut self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.int_opt()?.map(Timestamp::from_micros))
    }

    /// The next column as text that `T` reads.
    pub fn parse<T: std::str::FromStr>(&mut self) -> Result<T, StoreError> {
        let text = self.text()?;
        text.parse().map_err(|_| self.wrong(text))
    }

    /// The next column as text that `T` reads, or `None` when it is NULL.
    pub fn parse_opt<T: std::str::FromStr>(&mut self) -> Result<Option<T>, StoreError> {
        match self.text_opt()? {
            None => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| self.wrong(text)),
        }
    }

    /// The next column as JSON that `T` reads.
    pub fn json<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, StoreError> {
        let text = self.text()?;
        serde_json::from_str(&text).map_err(|_| self.wrong(text))
    }

    /// The next column as JSON that `T` reads, or `None` when it is NULL.
    pub fn json_opt<T: serde::de::DeserializeOwned>(&mut self) -> Result<Option<T>, StoreError> {
        match self.text_opt()? {
            None => Ok(None),
            Some(text) => serde_json::from_str(&text).map(Some).map_err(|_| self.wrong(text)),
        }
    }
}

/// `value` as JSON for a `TEXT` column.
pub(crate) fn json<T: serde::Serialize>(value: &T) -> Value {
    // Our own types serialize without fail: no map of theirs has a key that is not text.
    serde_json::to_string(value).map_or(Value::Null, Value::Text)
}
