//! The combinators that all decoders are made of: an object's fields, and typed values of them.
//!
//! Each reports what is wrong to [`Findings`] and gives `None` or a neutral value, so that decoding
//! goes on and finds the rest. A key whose value is null counts as absent.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use millstream_model::{ErrorCode, nearest};

use crate::finding::{Findings, Spot};
use crate::keys::Key;
use crate::tree::{Node, Value};

/// The fields of an object, all of them known.
pub(crate) struct Fields<'n> {
    /// What the object describes, for messages (`asset orders`).
    pub(crate) what: String,
    /// Where it starts.
    pub(crate) spot: Spot,
    list: Vec<Field<'n>>,
}

/// A key with its value.
#[derive(Clone, Copy)]
pub(crate) struct Field<'n> {
    pub(crate) name: &'n str,
    pub(crate) name_spot: Spot,
    pub(crate) node: &'n Node,
}

impl<'n> Fields<'n> {
    /// The fields of `node`, unknown keys included; reports a `node` that is no object.
    pub(crate) fn any(node: &'n Node, what: &str, findings: &mut Findings) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            let message = format!("The {what} must be an object, not {}", node.shape());
            findings
                .error(ErrorCode::DefinitionValue, node.spot, message)
                .help("write its keys and values: `{key: value}`");
            return None;
        };
        let list = entries
            .iter()
            .map(|entry| Field { name: &entry.key, name_spot: entry.key_spot, node: &entry.value })
            .collect();
        Some(Self { what: what.to_owned(), spot: node.spot, list })
    }

    /// The fields of `node`; reports each key that is not in `known`.
    pub(crate) fn open(
        node: &'n Node,
        what: &str,
        known: &[&[Key]],
        findings: &mut Findings,
    ) -> Option<Self> {
        let fields = Self::any(node, what, findings)?;
        fields.refuse_unknown(known, findings);
        Some(fields)
    }

    /// Like [`Fields::open`]; null counts as an object without keys.
    pub(crate) fn open_or_empty(
        node: &'n Node,
        what: &str,
        known: &[&[Key]],
        findings: &mut Findings,
    ) -> Option<Self> {
        if node.value == Value::Null {
            return Some(Self::none(what, node.spot));
        }
        Self::open(node, what, known, findings)
    }

    /// No fields at all.
    pub(crate) fn none(what: &str, spot: Spot) -> Self {
        Self { what: what.to_owned(), spot, list: Vec::new() }
    }

    /// Reports each key that is not in `known`.
    pub(crate) fn refuse_unknown(&self, known: &[&[Key]], findings: &mut Findings) {
        for field in &self.list {
            if !is_known(field.name, known) {
                unknown_key(field, &self.what, known, findings);
            }
        }
    }

    /// These fields and those of `inner`, of which `inner`'s win.
    pub(crate) fn merged_under(mut self, inner: Self) -> Self {
        self.list.retain(|field| inner.list.iter().all(|other| other.name != field.name));
        self.list.extend(inner.list);
        self
    }

    /// All fields in the order of the file.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Field<'n>> {
        self.list.iter().copied()
    }

    /// The field called `name`, whatever its value.
    pub(crate) fn raw(&self, name: &str) -> Option<Field<'n>> {
        self.list.iter().find(|field| field.name == name).copied()
    }

    /// The field called `name` unless it is absent or null.
    pub(crate) fn get(&self, name: &str) -> Option<Field<'n>> {
        self.raw(name).filter(|field| field.node.value != Value::Null)
    }

    /// The field called `name`; reports its absence, with `help` on what to write.
    pub(crate) fn need(
        &self,
        name: &str,
        help: &str,
        findings: &mut Findings,
    ) -> Option<Field<'n>> {
        let field = self.get(name);
        if field.is_none() {
            let message = format!("The {} has no `{name}`", self.what);
            findings.error(ErrorCode::DefinitionMissingKey, self.spot, message).help(help);
        }
        field
    }
}

/// Whether a key of these groups is called `name`.
pub(crate) fn is_known(name: &str, groups: &[&[Key]]) -> bool {
    groups.iter().copied().flatten().any(|key| key.name == name)
}

/// Reports a key that nothing here is called by, and the known one it resembles.
pub(crate) fn unknown_key(
    field: &Field<'_>,
    what: &str,
    known: &[&[Key]],
    findings: &mut Findings,
) {
    let message = format!("Unknown key `{}` in the {what}", field.name);
    let known: Vec<&str> = known.iter().copied().flatten().map(|key| key.name).collect();
    let list = known.join("`, `");
    // A text that was cut at its comma leaves such a key: words, and nothing behind them.
    let is_rest = field.node.value == Value::Null && field.name.contains([' ', '(', '\'', '"']);
    let help = match nearest(field.name, known.iter().copied()) {
        _ if is_rest => {
            "a comma ends a value between `{` and `}`: write quotes around a text that \
                         has one, or each key on a line of its own"
                .to_owned()
        }
        Some(near) => format!("did you mean `{near}`? Known keys are `{list}`"),
        None => format!("known keys are `{list}`"),
    };
    findings.error(ErrorCode::DefinitionUnknownKey, field.name_spot, message).help(help);
}

impl<'n> Field<'n> {
    /// Reports that the value is not `wanted`.
    pub(crate) fn mistyped(&self, wanted: &str, findings: &mut Findings) {
        let message = format!("`{}` must be {wanted}, not {}", self.name, self.node.shape());
        let told = findings.error(ErrorCode::DefinitionValue, self.node.spot, message);
        match self.node.plain() {
            Some(text) if wanted.starts_with("a list") && !text.contains('\n') => {
                told.help(format!("write brackets around it: `[{text}]`"));
            }
            _ if wanted.starts_with("an object") => told.help("write it like `{key: value}`"),
            _ => {}
        }
    }

    /// The text, which may be empty.
    pub(crate) fn text(&self, findings: &mut Findings) -> Option<String> {
        self.str(findings).map(str::to_owned)
    }

    /// The text, which may not be empty.
    pub(crate) fn filled(&self, findings: &mut Findings) -> Option<String> {
        let text = self.str(findings)?;
        if text.trim().is_empty() {
            let message = format!("`{}` must not be empty", self.name);
            findings.error(ErrorCode::DefinitionValue, self.node.spot, message);
            return None;
        }
        Some(text.to_owned())
    }

    /// The text as it stands in the tree; numbers and flags read as they were written.
    pub(crate) fn str(&self, findings: &mut Findings) -> Option<&'n str> {
        let text = self.node.plain();
        if text.is_none() {
            self.mistyped("text", findings);
        }
        text
    }

    /// True or false.
    pub(crate) fn flag(&self, findings: &mut Findings) -> Option<bool> {
        if let Value::Bool(flag) = self.node.value {
            return Some(flag);
        }
        self.mistyped("true or false", findings);
        None
    }

    /// A whole number within `from..=to`.
    pub(crate) fn whole(&self, from: u32, to: u32, findings: &mut Findings) -> Option<u32> {
        let number = match &self.node.value {
            Value::Number(number) => number.value.as_u64().and_then(|n| u32::try_from(n).ok()),
            _ => None,
        };
        let fitting = number.filter(|number| (from..=to).contains(number));
        if fitting.is_none() {
            let message = format!("`{}` must be a whole number from {from} to {to}", self.name);
            findings.error(ErrorCode::DefinitionValue, self.node.spot, message);
        }
        fitting
    }

    /// Text that is a `T`; what `T` says of other texts is the message.
    pub(crate) fn parsed<T>(&self, findings: &mut Findings) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        parsed(self.str(findings)?, self.node.spot, findings)
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(
        &self,
        words: &[(&'static str, T)],
        findings: &mut Findings,
    ) -> Option<T> {
        let text = self.str(findings)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let message = format!("`{}` cannot be `{text}`", self.name);
        findings
            .error(ErrorCode::DefinitionValue, self.node.spot, message)
            .help(one_of(text, &known));
        None
    }

    /// The items of a list.
    pub(crate) fn list(&self, findings: &mut Findings) -> Option<&'n [Node]> {
        if let Value::List(items) = &self.node.value {
            return Some(items);
        }
        self.mistyped("a list", findings);
        None
    }

    /// The items of a list of texts that are each a `T`.
    pub(crate) fn parsed_list<T>(&self, findings: &mut Findings) -> Vec<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let items = self.list(findings).unwrap_or_default();
        let mut values = Vec::with_capacity(items.len());
        for item in items {
            let field = Field { node: item, ..*self };
            match item.plain() {
                Some(text) => values.extend(parsed(text, item.spot, findings)),
                None => field.mistyped("a list of texts", findings),
            }
        }
        values
    }

    /// The items of a list of texts.
    pub(crate) fn texts(&self, findings: &mut Findings) -> Vec<String> {
        self.parsed_list(findings)
    }

    /// The entries of an object whose values are plain: text, or a number or flag as written; an
    /// entry that is null counts as left out.
    pub(crate) fn text_map(&self, findings: &mut Findings) -> BTreeMap<String, String> {
        let Value::Map(entries) = &self.node.value else {
            self.mistyped("an object with texts as values", findings);
            return BTreeMap::new();
        };
        let mut map = BTreeMap::new();
        for entry in entries {
            if let Some(text) = entry.value.plain() {
                map.insert(entry.key.clone(), text.to_owned());
            } else if entry.value.value != Value::Null {
                let shape = entry.value.shape();
                let message = format!("`{}.{}` must be text, not {shape}", self.name, entry.key);
                findings.error(ErrorCode::DefinitionValue, entry.value.spot, message);
            }
        }
        map
    }
}

/// Reads `text` as a `T`, reporting what `T` says of it.
pub(crate) fn parsed<T>(text: &str, spot: Spot, findings: &mut Findings) -> Option<T>
where
    T: FromStr,
    T::Err: Display,
{
    match text.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            findings.error(ErrorCode::DefinitionValue, spot, T::Err::to_string(&error));
            None
        }
    }
}

/// A way out for a word that is none of `known`.
pub(crate) fn one_of(text: &str, known: &[&str]) -> String {
    let list = known.join("`, `");
    match nearest(text, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? It is one of `{list}`"),
        None => format!("it is one of `{list}`"),
    }
}
