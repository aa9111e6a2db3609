//! What limits how much runs at once: limits on runs, and pools of slots for steps.
//!
//! Definitions declare it and `decide` applies it. A limit belongs to each tenant of the location
//! that declares it, which counts its own runs, unless it says `scope: instance`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{HumanDuration, PoolName};

/// Whose runs or steps a limit counts.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum LimitScope {
    /// Each tenant's own, apart from the others'.
    #[default]
    Tenant,
    /// Those of all tenants together.
    Instance,
}

/// A pool: slots that steps hold while an attempt goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolDef {
    /// How many slots there are; 0 lets nothing start.
    pub slots: u32,
    /// Whose steps share them.
    #[serde(default)]
    pub scope: LimitScope,
}

/// The slots that a step needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolUse {
    /// The pool.
    pub name: PoolName,
    /// How many of its slots.
    pub slots: u32,
}

/// What a `queue` section says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct QueueDef {
    /// How many runs of a tenant may be in progress at once; no limit of its own when absent.
    pub max_concurrent_runs: Option<u32>,
    /// How many runs with a label may be in progress at once.
    pub tag_limits: Vec<TagLimit>,
    /// How many runs may start in a time.
    pub rate_limits: Vec<RateLimit>,
}

/// How many runs with a label may be in progress at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagLimit {
    /// The label's key.
    pub key: String,
    /// Which values of it count.
    pub values: TagValues,
    /// The most runs.
    pub limit: u32,
    /// Whose runs count.
    #[serde(default)]
    pub scope: LimitScope,
}

/// Which values of a label a limit is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TagValues {
    /// All of them together.
    All,
    /// Each for itself: Dagster's `applyLimitPerUniqueValue`.
    Each,
    /// This one.
    One(String),
}

/// How many runs may start in a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// The label that the runs have; all runs when absent.
    #[serde(default)]
    pub key: Option<String>,
    /// The label's value; any when absent.
    #[serde(default)]
    pub value: Option<String>,
    /// The most starts.
    pub limit: u32,
    /// The time.
    pub per: HumanDuration,
    /// Whose runs count.
    #[serde(default)]
    pub scope: LimitScope,
}

impl QueueDef {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what `more` says: its limits hold too, and of two totals the smaller.
    pub fn add(&mut self, more: &Self) {
        self.max_concurrent_runs = match (self.max_concurrent_runs, more.max_concurrent_runs) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        for limit in &more.tag_limits {
            if !self.tag_limits.contains(limit) {
                self.tag_limits.push(limit.clone());
            }
        }
        for limit in &more.rate_limits {
            if !self.rate_limits.contains(limit) {
                self.rate_limits.push(limit.clone());
            }
        }
    }
}

impl TagLimit {
    /// What a run with `tags` counts as: `None` when the limit is not about it, and otherwise the
    /// value that is counted apart from others, if values are.
    pub fn counted(&self, tags: &BTreeMap<String, String>) -> Option<Option<String>> {
        let value = tags.get(&self.key)?;
        match &self.values {
            TagValues::All => Some(None),
            TagValues::Each => Some(Some(value.clone())),
            TagValues::One(wanted) if wanted == value => Some(Some(value.clone())),
            TagValues::One(_) => None,
        }
    }
}

impl RateLimit {
    /// Whether a run with `tags` counts.
    pub fn counts(&self, tags: &BTreeMap<String, String>) -> bool {
        let Some(key) = &self.key else { return true };
        match (tags.get(key), &self.value) {
            (Some(value), Some(wanted)) => value == wanted,
            (Some(_), None) => true,
            (None, _) => false,
        }
    }
}

/// The tag with which Dagster names a run's priority.
pub const PRIORITY_TAG: &str = "dagster/priority";

/// The largest priority, and with a minus the smallest.
pub const PRIORITY_MAX: i64 = 1_000_000_000;

/// The priority that a run's labels ask for, or the text that is no priority.
pub fn priority_of(tags: &BTreeMap<String, String>) -> Result<Option<i64>, &str> {
    let Some(text) = tags.get(PRIORITY_TAG) else { return Ok(None) };
    let number = text.trim().parse::<i64>().ok();
    match number.filter(|number| number.abs() <= PRIORITY_MAX) {
        Some(number) => Ok(Some(number)),
        None => Err(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn limit(values: TagValues) -> TagLimit {
        let scope = LimitScope::Tenant;
        TagLimit { key: "quarter".to_owned(), values, limit: 1, scope }
    }

    #[test]
    fn r126_a_limit_counts_all_values_together_each_apart_or_one() {
        let (first, other) = (tags(&[("quarter", "Q1")]), tags(&[("year", "2025")]));
        let one = TagValues::One("Q1".to_owned());
        assert_eq!(limit(TagValues::All).counted(&first), Some(None));
        assert_eq!(limit(TagValues::Each).counted(&first), Some(Some("Q1".to_owned())));
        assert_eq!(limit(one.clone()).counted(&first), Some(Some("Q1".to_owned())));
        assert_eq!(limit(one).counted(&tags(&[("quarter", "Q2")])), None);
        assert_eq!(limit(TagValues::All).counted(&other), None);
    }

    #[test]
    fn r145_a_priority_is_a_whole_number_and_nothing_else() {
        assert_eq!(priority_of(&tags(&[(PRIORITY_TAG, "-1")])), Ok(Some(-1)));
        assert_eq!(priority_of(&tags(&[])), Ok(None));
        assert_eq!(priority_of(&tags(&[(PRIORITY_TAG, "high")])), Err("high"));
        assert_eq!(priority_of(&tags(&[(PRIORITY_TAG, "1e12")])), Err("1e12"));
    }

    #[test]
    fn of_two_queue_sections_both_sets_of_limits_hold_and_the_smaller_total() {
        let mut one = QueueDef { max_concurrent_runs: Some(3), ..QueueDef::default() };
        let more = QueueDef {
            max_concurrent_runs: Some(2),
            tag_limits: vec![limit(TagValues::All)],
            rate_limits: Vec::new(),
        };
        one.add(&more);
        one.add(&more);
        assert_eq!((one.max_concurrent_runs, one.tag_limits.len()), (Some(2), 1));
    }
}
