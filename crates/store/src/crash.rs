//! A crash on purpose, just before or just after a commit: for tests that kill real processes.
//!
//! The binary asks for one where its environment says so. Not in release builds; see
//! docs/decisions/0007-crashes-on-purpose.md.

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
    /// The kind of an event in the batch, like `step_succeeded`, or the name of a statement.
    word: String,
    crash: fn(),
}

impl CrashPoint {
    /// The point that `text` names, like `before:step_succeeded`; there `crash` is called.
    pub fn parse(text: &str, crash: fn()) -> Option<Self> {
        let (side, word) = text.split_once(':')?;
        let side = match side {
            "before" => Side::Before,
            "after" => Side::After,
            _ => return None,
        };
        Some(Self { side, word: word.to_owned(), crash })
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

    /// Ends the process if this is the side.
    pub(crate) fn reach(&self, side: Side) {
        if side == self.side {
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
    }
}
