//! What can be wrong with a partitions definition, and the check that finds it.

use std::collections::BTreeSet;

use super::{
    DIMENSION_SEPARATOR, DynamicPartitions, PartitionKey, PartitionKeyError, PartitionsDef,
};
use crate::cron::CronScheduleError;
use crate::{DimensionName, ErrorCode, ZoneError};

/// Most keys that a definition may hold itself; more belong in the store, as dynamic ones.
const KEYS_MAX: usize = 10_000;

/// Most dimensions of one definition.
const DIMENSIONS_MAX: usize = 8;

/// One thing that is wrong with a partitions definition, with what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartitionsProblem {
    /// The zone is not known.
    #[error(transparent)]
    Zone(#[from] ZoneError),
    /// The cron expression is not valid.
    #[error(transparent)]
    Cron(#[from] CronScheduleError),
    /// A key does not have the form that the definition itself asks for.
    #[error(transparent)]
    Key(#[from] PartitionKeyError),
    /// A cron expression with a field for seconds.
    #[error("cron {text:?} fires within minutes; partitions are at least a minute long")]
    CronSeconds {
        /// The expression.
        text: String,
    },
    /// `start` or `end` is no local time.
    #[error("{text:?} is no date; write `2025-07-01` or `2025-07-01T06:00`, in the local time")]
    Time {
        /// The rejected text.
        text: String,
    },
    /// No window begins after `start`.
    #[error("no window begins after {start:?}")]
    NoWindow {
        /// The start.
        start: String,
    },
    /// There is no time between `start` and `end`.
    #[error("end {end:?} is not later than start {start:?}; `end` is exclusive")]
    EndBeforeStart {
        /// The start.
        start: String,
        /// The end.
        end: String,
    },
    /// The format loses what tells one window from the next.
    #[error(
        "format {format:?} does not tell windows apart; write the date and, for windows shorter \
         than a day, the time, like `%Y-%m-%d-%H:%M`"
    )]
    Format {
        /// The format.
        format: String,
    },
    /// There is no key, no dimension, or too many of them.
    #[error("there are {count} {what}; write 1 to {max}")]
    Count {
        /// `keys` or `dimensions`.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// A key stands twice.
    #[error("key `{key}` stands twice")]
    DuplicateKey {
        /// The key.
        key: PartitionKey,
    },
    /// Two dimensions have one name.
    #[error("dimension `{name}` stands twice")]
    DuplicateDimension {
        /// The name.
        name: DimensionName,
    },
    /// Parts could not be told apart.
    #[error("the separator of several dimensions is empty; write one like `::`")]
    EmptySeparator,
    /// The tenant's dimension is not one of the dimensions.
    #[error("tenant: `{name}` is none of the dimensions")]
    TenantDimension {
        /// The name.
        name: DimensionName,
    },
    /// A dimension is itself of several dimensions.
    #[error("dimension `{name}` is of kind multi; list its dimensions beside the others")]
    Nested {
        /// The name.
        name: DimensionName,
    },
    /// A key of a dimension holds what stands between dimensions.
    #[error("key `{key}` of dimension `{name}` has a `|`, which stands between dimensions")]
    SeparatorInKey {
        /// The dimension.
        name: DimensionName,
        /// The key.
        key: PartitionKey,
    },
}

impl PartitionsProblem {
    /// The stable code.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Cron(_) => ErrorCode::DefinitionCron,
            Self::Key(_) => ErrorCode::PartitionKey,
            Self::TenantDimension { .. } => ErrorCode::DefinitionReference,
            Self::DuplicateKey { .. } | Self::DuplicateDimension { .. } => {
                ErrorCode::DefinitionDuplicateKey
            }
            _ => ErrorCode::DefinitionValue,
        }
    }
}

impl PartitionsDef {
    /// Everything that is wrong with the definition; nothing when it can be used.
    pub fn validate(&self) -> Vec<PartitionsProblem> {
        match self {
            Self::Static { keys } => {
                let mut problems = count("keys", keys.len(), KEYS_MAX);
                problems.extend(duplicates(keys));
                problems
            }
            Self::TimeWindow(windows) => windows.windows().err().into_iter().collect(),
            Self::Dynamic(dynamic) => dynamic.validate(),
            Self::Multi { dimensions } => {
                let mut problems = count("dimensions", dimensions.len(), DIMENSIONS_MAX);
                let mut names: BTreeSet<&DimensionName> = dimensions.keys().collect();
                for (name, def) in dimensions {
                    if matches!(def, Self::Multi { .. }) {
                        problems.push(PartitionsProblem::Nested { name: name.clone() });
                        continue;
                    }
                    problems.extend(def.validate());
                    problems.extend(separators(name, def.declared_keys()));
                    let Self::Dynamic(dynamic) = def else { continue };
                    for inner in &dynamic.dimensions {
                        if !names.insert(inner) {
                            let name = inner.clone();
                            problems.push(PartitionsProblem::DuplicateDimension { name });
                        }
                    }
                }
                problems
            }
        }
    }

    /// The keys that stand in the definition itself.
    pub fn declared_keys(&self) -> &[PartitionKey] {
        match self {
            Self::Static { keys } => keys,
            Self::Dynamic(dynamic) => &dynamic.keys,
            Self::TimeWindow(_) | Self::Multi { .. } => &[],
        }
    }
}

impl DynamicPartitions {
    fn validate(&self) -> Vec<PartitionsProblem> {
        let mut problems = Vec::new();
        if self.dimensions.len() > DIMENSIONS_MAX {
            problems.extend(count("dimensions", self.dimensions.len(), DIMENSIONS_MAX));
        }
        if self.dimensions.len() > 1 && self.separator.is_empty() {
            problems.push(PartitionsProblem::EmptySeparator);
        }
        let mut names = BTreeSet::new();
        for name in &self.dimensions {
            if !names.insert(name) {
                problems.push(PartitionsProblem::DuplicateDimension { name: name.clone() });
            }
        }
        if let Some(name) = self.tenant.as_ref().filter(|tenant| !names.contains(tenant)) {
            problems.push(PartitionsProblem::TenantDimension { name: name.clone() });
        }
        if self.keys.len() > KEYS_MAX {
            problems.extend(count("keys", self.keys.len(), KEYS_MAX));
        }
        problems.extend(duplicates(&self.keys));
        let keys: BTreeSet<&PartitionKey> = self.keys.iter().collect();
        problems.extend(keys.iter().filter_map(|key| self.parse_key(key).err()).map(Into::into));
        problems
    }
}

fn count(what: &'static str, count: usize, max: usize) -> Vec<PartitionsProblem> {
    if (1..=max).contains(&count) {
        return Vec::new();
    }
    vec![PartitionsProblem::Count { what, count, max }]
}

fn duplicates(keys: &[PartitionKey]) -> Vec<PartitionsProblem> {
    let mut seen = BTreeSet::new();
    keys.iter()
        .filter(|key| !seen.insert(*key))
        .map(|key| PartitionsProblem::DuplicateKey { key: key.clone() })
        .collect()
}

fn separators(name: &DimensionName, keys: &[PartitionKey]) -> Vec<PartitionsProblem> {
    keys.iter()
        .filter(|key| key.as_str().contains(DIMENSION_SEPARATOR))
        .map(|key| PartitionsProblem::SeparatorInKey { name: name.clone(), key: key.clone() })
        .collect()
}
