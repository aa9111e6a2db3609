//! A crash on purpose, just before or just after a commit: for tests that kill real processes.
//!
//! The binary asks for one where its environment says so. Not in release builds; see
//! docs/decisions/0007-crashes-on-purpose.md.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::Batch;
use crate::value::Value;

/// On which side of a commit the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Nothing of the batch is stored.
    Before,
    /// The batch is stored, and nobody has heard of it.
    After,
}

/// The commit at which the process ends.
#[derive(Debug, Clone)]
pub struct CrashPoint {
    side: Side,
    /// The kind of an event in the batch, like `step_succeeded`, or the name of a statement or of a
    /// migration.
    word: String,
    /// How many such commits there are until it crashes; counts on below zero.
    to_go: Arc<AtomicI64>,
    crash: fn(),
}

impl CrashPoint {
    /// The point that `text` names, like `before:step_succeeded`, or `before:step_succeeded#2` for
    /// the second such commit; there, and nowhere after it, `crash` is called.
    pub fn parse(text: &str, crash: fn()) -> Option<Self> {
        let (point, number) = match text.split_once('#') {
            Some((point, number)) => (point, number.parse::<i64>().ok()?),
            None => (text, 1),
        };
        let (side, word) = point.split_once(':')?;
        let side = match side {
            "before" => Side::Before,
            "after" => Side::After,
            _ => return None,
        };
        let to_go = Arc::new(AtomicI64::new(number));
        Some(Self { side, word: word.to_owned(), to_go, crash })
    }

    /// Whether `batch` is the one.
    pub(crate) fn is_in(&self, batch: &Batch) -> bool {
        let kind = format!("\"kind\":\"{}\"", self.word);
        batch.steps.iter().any(|step| {
            let names_kind =
                |value: &Value| matches!(value, Value::Text(text) if text.contains(&kind));
            step.sql.name == self.word
                || (step.sql.name == "INSERT_EVENT" && step.params.iter().any(names_kind))
        })
    }

    /// Crashes if `crash` is before the commit of the migration called `name`, whose statements
    /// have been executed.
    pub(crate) fn in_migration(crash: Option<&Self>, name: &str) {
        if let Some(crash) = crash.filter(|crash| crash.word == name) {
            crash.reach(Side::Before);
        }
    }

    /// Crashes if this is the side, and the commit is the one in its order.
    pub(crate) fn reach(&self, side: Side) {
        if side == self.side && self.to_go.fetch_sub(1, Ordering::Relaxed) == 1 {
            (self.crash)();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live;

    #[test]
    fn a_point_names_a_side_and_what_is_committed() {
        let claim = live::claim_queued_runs(&[], "daemon", 1);
        let at = |text| CrashPoint::parse(text, || {});
        assert!(at("after:CLAIM_QUEUED_RUNS").unwrap().is_in(&claim));
        assert!(!at("after:step_succeeded").unwrap().is_in(&claim));
        assert!(at("during:step_succeeded").is_none());
        assert!(at("before").is_none());
        assert!(at("before:step_succeeded#second").is_none());
    }

    #[test]
    fn a_point_with_a_number_is_reached_at_that_commit_and_at_none_after_it() {
        static CRASHES: AtomicI64 = AtomicI64::new(0);
        let crash = || {
            CRASHES.fetch_add(1, Ordering::Relaxed);
        };
        let point = CrashPoint::parse("before:RAISE_LEASE#2", crash).unwrap();
        let crashes = |side| {
            point.reach(side);
            CRASHES.load(Ordering::Relaxed)
        };
        assert_eq!(
            [Side::Before, Side::After, Side::Before, Side::Before].map(crashes),
            [0, 0, 1, 1]
        );
    }
}
