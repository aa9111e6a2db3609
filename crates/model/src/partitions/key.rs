//! What a key says: its form, its parts and whose it is.

use std::collections::{BTreeMap, BTreeSet};

use super::{DynamicPartitions, PartitionKey, PartitionKeyError, PartitionsDef, TimeWindow};
use crate::{DimensionName, Timestamp};

/// What stands between the dimensions of a key of several.
pub const DIMENSION_SEPARATOR: char = '|';

impl PartitionsDef {
    /// The parts of `key` by dimension name; the error when it lacks the definition's form.
    ///
    /// A definition without named dimensions has no parts. The parts of a dimension that has
    /// named ones of its own stand beside it: `context`, and the `tenant` and `metric` in it.
    pub fn parse_key(
        &self,
        key: &PartitionKey,
    ) -> Result<BTreeMap<String, String>, PartitionKeyError> {
        match self {
            Self::Static { .. } => Ok(BTreeMap::new()),
            Self::TimeWindow(def) => {
                let window = def.windows().ok().and_then(|windows| windows.window_of(key));
                let known = window.map(|_| BTreeMap::new());
                known.ok_or_else(|| PartitionKeyError { text: key.to_string() })
            }
            Self::Dynamic(dynamic) => dynamic.parse_key(key),
            Self::Multi { .. } => {
                let mut parts = BTreeMap::new();
                for (name, def, text) in self.dimensions_of(key)? {
                    parts.extend(def.parse_key(&text)?);
                    parts.insert(name.to_string(), text.into());
                }
                Ok(parts)
            }
        }
    }

    /// The names of the parts of a key, as [`Self::parse_key`] gives them.
    pub fn part_names(&self) -> Vec<String> {
        match self {
            Self::Static { .. } | Self::TimeWindow(_) => Vec::new(),
            Self::Dynamic(dynamic) => dynamic.dimensions.iter().map(ToString::to_string).collect(),
            Self::Multi { dimensions } => dimensions
                .iter()
                .flat_map(|(name, def)| std::iter::once(name.to_string()).chain(def.part_names()))
                .collect(),
        }
    }

    /// How keys look, for whoever wrote one that lacks the form: the key of a window of time that
    /// exists at `now`, a key of a list, or the names of the parts where there are several.
    pub fn form(&self, now: Timestamp) -> String {
        match self {
            Self::Static { keys } => keys.first().map_or_else(|| "KEY".to_owned(), key_text),
            Self::TimeWindow(def) => {
                let windows = def.windows().ok();
                let key = windows.and_then(|windows| windows.key_of(windows.sample(now)?));
                key.as_ref().map_or_else(|| "KEY".to_owned(), key_text)
            }
            Self::Dynamic(dynamic) if dynamic.dimensions.is_empty() => "KEY".to_owned(),
            Self::Dynamic(dynamic) => {
                let names: Vec<&str> =
                    dynamic.dimensions.iter().map(DimensionName::as_str).collect();
                names.join(&dynamic.separator)
            }
            Self::Multi { dimensions } => {
                let forms: Vec<String> = dimensions.values().map(|def| def.form(now)).collect();
                forms.join(&DIMENSION_SEPARATOR.to_string())
            }
        }
    }

    /// The dimension that holds the tenant, if the definition names one.
    pub fn tenant_dimension(&self) -> Option<&DimensionName> {
        match self {
            Self::Static { .. } | Self::TimeWindow(_) => None,
            Self::Dynamic(dynamic) => dynamic.tenant.as_ref(),
            Self::Multi { dimensions } => dimensions.values().find_map(Self::tenant_dimension),
        }
    }

    /// The time that `key` covers; `None` when no dimension of it is time.
    pub fn window_of(&self, key: &PartitionKey) -> Option<TimeWindow> {
        match self {
            Self::Static { .. } | Self::Dynamic(_) => None,
            Self::TimeWindow(def) => def.windows().ok()?.window_of(key),
            Self::Multi { .. } => {
                let dimensions = self.dimensions_of(key).ok()?;
                dimensions.iter().find_map(|(_, def, text)| def.window_of(text))
            }
        }
    }

    /// The keys in `key` that exist only if they were added while the instance ran.
    ///
    /// `contains` is told which of them exist; looking them up is the caller's.
    pub fn dynamic_keys(&self, key: &PartitionKey) -> Vec<PartitionKey> {
        match self {
            Self::Static { .. } | Self::TimeWindow(_) => Vec::new(),
            Self::Dynamic(dynamic) if dynamic.keys.contains(key) => Vec::new(),
            Self::Dynamic(_) => vec![key.clone()],
            Self::Multi { .. } => self
                .dimensions_of(key)
                .unwrap_or_default()
                .into_iter()
                .flat_map(|(_, def, text)| def.dynamic_keys(&text))
                .collect(),
        }
    }

    /// Whether `key` exists at `now`, where `added` holds those of its dynamic keys that do.
    pub fn contains(
        &self,
        key: &PartitionKey,
        now: Timestamp,
        added: &BTreeSet<PartitionKey>,
    ) -> bool {
        match self {
            Self::Static { keys } => keys.contains(key),
            Self::TimeWindow(def) => def.windows().is_ok_and(|w| w.contains(key, now)),
            Self::Dynamic(dynamic) => {
                dynamic.parse_key(key).is_ok()
                    && (dynamic.keys.contains(key) || added.contains(key))
            }
            Self::Multi { .. } => self.dimensions_of(key).is_ok_and(|dimensions| {
                dimensions.iter().all(|(_, def, text)| def.contains(text, now, added))
            }),
        }
    }

    /// The dimensions of a key of several: name, definition and the dimension's own key.
    fn dimensions_of(
        &self,
        key: &PartitionKey,
    ) -> Result<Vec<(&DimensionName, &Self, PartitionKey)>, PartitionKeyError> {
        let Self::Multi { dimensions } = self else { return Ok(Vec::new()) };
        let texts: Vec<&str> = key.as_str().split(DIMENSION_SEPARATOR).collect();
        if texts.len() != dimensions.len() {
            return Err(PartitionKeyError { text: key.to_string() });
        }
        dimensions
            .iter()
            .zip(texts)
            .map(|((name, def), text)| match text.parse() {
                Ok(own) => Ok((name, def, own)),
                Err(_) => Err(PartitionKeyError { text: key.to_string() }),
            })
            .collect()
    }
}

fn key_text(key: &PartitionKey) -> String {
    key.to_string()
}

impl DynamicPartitions {
    /// The parts of `key` by dimension name. The last part keeps any further separators.
    pub fn parse_key(
        &self,
        key: &PartitionKey,
    ) -> Result<BTreeMap<String, String>, PartitionKeyError> {
        let names = &self.dimensions;
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let parts: Vec<&str> = key.as_str().splitn(names.len(), self.separator.as_str()).collect();
        if parts.len() != names.len() || parts.iter().any(|part| part.is_empty()) {
            return Err(PartitionKeyError { text: key.to_string() });
        }
        Ok(names
            .iter()
            .map(ToString::to_string)
            .zip(parts.into_iter().map(str::to_owned))
            .collect())
    }
}
