//! The tree that JSON and YAML both become: values with the place where each was written.
//!
//! **Invariant.** No node is deeper than [`DEPTH_MAX`](crate::source::DEPTH_MAX), so functions may
//! recurse over a tree; and no object holds a key twice.

use std::collections::BTreeSet;

use millstream_model::ErrorCode;
use serde_json::Value as Json;

use crate::finding::{Findings, Spot};

/// A value and where it starts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) spot: Spot,
    pub(crate) value: Value,
}

/// What a file can hold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A number, and how it was written: `1.10` as a label's value must not become `1.1`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Number {
    pub(crate) value: serde_json::Number,
    pub(crate) written: String,
}

/// One key of an object with its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_spot: Spot,
    pub(crate) value: Node,
}

impl Node {
    /// What this is, for messages.
    pub(crate) fn shape(&self) -> &'static str {
        match &self.value {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(text) if text.is_empty() => "empty text",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "an object",
        }
    }

    /// The text of a plain value: text itself, or a number or flag as it was written.
    pub(crate) fn plain(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Number(number) => Some(&number.written),
            Value::Bool(true) => Some("true"),
            Value::Bool(false) => Some("false"),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The value of `key`, if this is an object that has it.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The same value without places.
    pub(crate) fn json(&self) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(flag) => Json::Bool(*flag),
            Value::Number(number) => Json::Number(number.value.clone()),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => Json::Array(items.iter().map(Self::json).collect()),
            Value::Map(entries) => Json::Object(
                entries.iter().map(|entry| (entry.key.clone(), entry.value.json())).collect(),
            ),
        }
    }

    /// Calls `visit` with every text in this value.
    pub(crate) fn for_each_text(&self, visit: &mut impl FnMut(Spot, &str)) {
        match &self.value {
            Value::Text(text) => visit(self.spot, text),
            Value::List(items) => {
                for item in items {
                    item.for_each_text(visit);
                }
            }
            Value::Map(entries) => {
                for entry in entries {
                    entry.value.for_each_text(visit);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// Reports every key of `entries` that was there before and drops it, so that the first stays.
pub(crate) fn without_duplicates(entries: Vec<Entry>, findings: &mut Findings) -> Vec<Entry> {
    let mut seen = BTreeSet::new();
    let mut repeated = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        if !seen.insert(entry.key.as_str()) {
            repeated.push(index);
            let message = format!("The key `{}` stands twice in one object", entry.key);
            findings
                .error(ErrorCode::DefinitionDuplicateKey, entry.key_spot, message)
                .help("keep one of the two");
        }
    }
    if repeated.is_empty() {
        return entries;
    }
    let is_kept = |(index, _): &(usize, Entry)| repeated.binary_search(index).is_err();
    entries.into_iter().enumerate().filter(is_kept).map(|(_, entry)| entry).collect()
}
