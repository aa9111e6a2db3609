//! What follows a run's failure: the retries that its job allows, and what remains when none is
//! left.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{RunId, TenantId, Timestamp};

/// How often a failed run is tried again as a new run, and how much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRetries {
    /// Runs after the first.
    pub max: u32,
    /// What a retry does again.
    #[serde(default)]
    pub from: RetryFrom,
}

/// The tag with which Dagster says how often a failed run is tried again.
pub const RETRIES_TAG: &str = "dagster/max_retries";

/// The most retries that a label asks for.
const RETRIES_MAX: u32 = 1_000;

/// The retries that a run's labels ask for, or the text that is no number of them.
pub fn retries_of(tags: &BTreeMap<String, String>) -> Result<Option<u32>, &str> {
    let Some(text) = tags.get(RETRIES_TAG) else { return Ok(None) };
    let number = text.trim().parse().ok();
    match number.filter(|number| *number <= RETRIES_MAX) {
        Some(number) => Ok(Some(number)),
        None => Err(text),
    }
}

/// What a retry of a run does again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryFrom {
    /// Only what did not succeed: steps that are done keep their results.
    #[default]
    Failure,
    /// Everything.
    Start,
}

/// What ended a run, as far as retries care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureCause {
    /// A step failed.
    Step,
    /// It went on for longer than it may.
    Timeout,
    /// It has lost as many workers as it may.
    WorkersLost {
        /// How many.
        launches: i64,
    },
    /// None of its workers has started in time.
    NotStarted {
        /// How many were asked for.
        launches: i64,
    },
    /// The launcher refused it as often as it may.
    LaunchFailed {
        /// How often.
        launches: i64,
    },
}

/// Why nothing is tried any more, as stored and shown: `stale_after_3_attempts`.
///
/// **Invariant.** The only ways in are [`GaveUp::new`] and [`FromStr`], so the text is a known one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GaveUp {
    kind: GaveUpKind,
    count: i64,
}

/// What happened again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GaveUpKind {
    Stale,
    NotStarted,
    LaunchFailed,
    TimedOut,
    Failed,
}

impl GaveUpKind {
    const ALL: [Self; 5] =
        [Self::Stale, Self::NotStarted, Self::LaunchFailed, Self::TimedOut, Self::Failed];

    fn as_str(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::NotStarted => "not_started",
            Self::LaunchFailed => "launch_failed",
            Self::TimedOut => "timed_out",
            Self::Failed => "failed",
        }
    }
}

impl GaveUp {
    /// The reason after `cause` ended the last of `runs` runs.
    pub fn new(cause: FailureCause, runs: u32) -> Self {
        let (kind, count) = match cause {
            FailureCause::Step => (GaveUpKind::Failed, i64::from(runs)),
            FailureCause::Timeout => (GaveUpKind::TimedOut, i64::from(runs)),
            FailureCause::WorkersLost { launches } => (GaveUpKind::Stale, launches),
            FailureCause::NotStarted { launches } => (GaveUpKind::NotStarted, launches),
            FailureCause::LaunchFailed { launches } => (GaveUpKind::LaunchFailed, launches),
        };
        Self { kind, count }
    }

    /// How often it was tried.
    pub fn attempts(self) -> i64 {
        self.count
    }

    /// The same, for people.
    pub fn in_words(self) -> String {
        let Self { kind, count } = self;
        let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
        match kind {
            GaveUpKind::Stale => format!("its worker was lost {times}"),
            GaveUpKind::NotStarted => format!("its worker did not start, asked for {times}"),
            GaveUpKind::LaunchFailed => format!("the launcher refused it {times}"),
            GaveUpKind::TimedOut => format!("it was tried {times} and ran into its timeout"),
            GaveUpKind::Failed => format!("it was tried {times} and failed each time"),
        }
    }
}

impl fmt::Display for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_after_{}_attempts", self.kind.as_str(), self.count)
    }
}

impl FromStr for GaveUp {
    type Err = String;

    /// Reads the stored text; the error is the rejected text.
    fn from_str(text: &str) -> Result<Self, String> {
        let known = || {
            let (kind, rest) = text.split_once("_after_")?;
            let kind = GaveUpKind::ALL.into_iter().find(|known| known.as_str() == kind)?;
            let count = rest.strip_suffix("_attempts")?.parse().ok()?;
            Some(Self { kind, count })
        };
        known().ok_or_else(|| text.to_owned())
    }
}

impl Serialize for GaveUp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GaveUp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|text| serde::de::Error::custom(format!("no reason reads {text:?}")))
    }
}

/// A failed run that nothing tries again by itself, until somebody retries or discards it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The tenant.
    pub tenant: TenantId,
    /// The run that failed last.
    pub run_id: RunId,
    /// What lists call the run.
    pub title: String,
    /// Why it was given up.
    pub reason: GaveUp,
    /// What the last failure said.
    pub failure: String,
    /// When it was given up.
    pub at: Timestamp,
    /// What somebody made of it, once somebody did.
    pub closed: Option<Closed>,
}

/// What somebody made of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// What.
    #[serde(rename = "as")]
    pub outcome: ClosedAs,
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// What became of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClosedAs {
    /// It was tried again as a new run.
    Retried,
    /// It was put aside.
    Discarded,
}

impl ClosedAs {
    /// The name as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retried => "retried",
            Self::Discarded => "discarded",
        }
    }
}

impl FromStr for ClosedAs {
    type Err = String;

    /// Reads the stored name; the error is the rejected text.
    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Retried, Self::Discarded];
        all.into_iter().find(|known| known.as_str() == text).ok_or_else(|| text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r154_a_reason_names_what_happened_and_how_often_and_reads_back() {
        let reason = GaveUp::new(FailureCause::WorkersLost { launches: 4 }, 1);
        assert_eq!(reason.to_string(), "stale_after_4_attempts");
        assert_eq!(reason.in_words(), "its worker was lost 4 times");
        assert_eq!("stale_after_4_attempts".parse(), Ok(reason));
        assert!("stale_after_four_attempts".parse::<GaveUp>().is_err());
        assert!("lost_after_4_attempts".parse::<GaveUp>().is_err());
    }
}
