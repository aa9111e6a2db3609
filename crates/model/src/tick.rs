//! Ticks: the askings of schedules and sensors, and what came of each.
//!
//! The identity of a schedule's tick is its nominal time. A tick is stored once, with its runs and
//! the moved cursor, in one batch; it is never changed afterwards.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::view::TicksWaiting;
use crate::{CatchUp, ErrorCode, HumanDuration, LocationName, PartitionKey, RunId, Timestamp};

/// What ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TickKind {
    /// A schedule.
    Schedule,
    /// A sensor.
    Sensor,
}

/// What ticks, within a tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TickSource {
    /// Whether it is a schedule or a sensor.
    pub kind: TickKind,
    /// The code location that declares it.
    pub location: LocationName,
    /// Its name.
    pub name: String,
}

/// What came of a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TickStatus {
    /// It requested runs.
    Launched,
    /// It requested no run, and added or removed keys of partitions.
    Synced,
    /// It requested nothing, for a reason.
    Skipped,
    /// It should have requested runs and could not.
    Failed,
}

/// Why a tick requested nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SkipReason {
    /// Its time passed before it was decided, while nothing ran or it waited, and it is not made up
    /// for.
    Missed {
        /// The policy that says so.
        catch_up: CatchUp,
    },
    /// Several ticks in a row were missed; this row stands for all of them.
    ManyMissed {
        /// How many.
        count: u32,
        /// The nominal time of the first.
        first: Timestamp,
        /// The policy that says so.
        catch_up: CatchUp,
    },
    /// Its time passed longer ago than the deadline allows to make up for.
    TooLate {
        /// The deadline.
        deadline: HumanDuration,
    },
    /// Several ticks in a row were too late; this row stands for all of them.
    ManyTooLate {
        /// How many.
        count: u32,
        /// The nominal time of the first.
        first: Timestamp,
        /// The deadline.
        deadline: HumanDuration,
    },
    /// It was due by a timing that was edited before it was decided; this row stands for all such
    /// ticks in a row.
    Retimed {
        /// How many, at most [`SkipReason::RETIMED_MAX`].
        count: u32,
        /// The nominal time of the first.
        first: Timestamp,
    },
    /// It does not fire at this time, which somebody asked about.
    NoTick {
        /// When it fires after that, if it does.
        next: Option<Timestamp>,
        /// The `start` that this time is before, as written.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        start: Option<String>,
        /// The `end` after which it does not fire, where it does not fire again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        end: Option<String>,
    },
    /// Its day is excluded.
    Excluded {
        /// The calendar or the days.
        by: String,
    },
    /// Runs of it are still under way.
    Overlap {
        /// How many.
        active: u32,
        /// How many may be.
        limit: u32,
    },
    /// The job is switched off.
    JobDisabled {},
    /// The condition of `when` does not hold.
    When {
        /// The condition, as written.
        condition: String,
    },
    /// No partition fits.
    NoPartition {},
    /// Everything it would request was requested before.
    Requested {},
    /// Nothing has happened since the last tick.
    NoNews {},
    /// Nothing of what was found fits.
    NoneFits {
        /// What was found.
        #[serde(default)]
        what: FoundKind,
        /// How many things were found.
        count: u32,
        /// Why the first of them does not fit.
        first: String,
    },
    /// It looked after partitions.
    Synced {
        /// How many keys were added.
        added: u32,
        /// How many were removed.
        deleted: u32,
        /// How many there are now.
        total: u32,
    },
    /// It did not tick: somebody dropped a delivery that waited for it.
    Dropped {
        /// The delivery.
        delivery: String,
        /// Who.
        by: String,
    },
    /// What it says itself.
    Said {
        /// Its words.
        reason: String,
    },
}

/// A kind of thing that a tick can find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FoundKind {
    /// Unknown: it is not stored.
    #[default]
    Thing,
    /// A run that has ended.
    Run,
    /// A materialization of an asset.
    Materialization,
    /// A row of an answer.
    Row,
    /// A file.
    File,
    /// A delivery.
    Delivery,
}

impl FoundKind {
    /// So many of them, in words.
    pub fn counted(self, count: u32) -> String {
        let (one, many) = match self {
            Self::Thing => ("thing", "things"),
            Self::Run => ("run", "runs"),
            Self::Materialization => ("materialization", "materializations"),
            Self::Row => ("row", "rows"),
            Self::File => ("file", "files"),
            Self::Delivery => ("delivery", "deliveries"),
        };
        format!("{count} {}", if count == 1 { one } else { many })
    }
}

impl SkipReason {
    /// Ticks that are counted where a timing is edited; of more it is said that there are at least
    /// as many.
    pub const RETIMED_MAX: u32 = TicksWaiting::COUNTED;

    /// Whether keys of partitions were added or removed.
    pub fn is_change(&self) -> bool {
        matches!(self, Self::Synced { added, deleted, .. } if *added > 0 || *deleted > 0)
    }

    /// What it says beside runs that were requested: it is about other things that were found.
    pub fn beside_runs(&self) -> String {
        match self {
            Self::NoneFits { what, count: 1, first } => {
                format!("{} passed over: {first}", what.counted(1))
            }
            Self::NoneFits { what, count, first } => {
                format!("{} passed over, the first because {first}", what.counted(*count))
            }
            other => other.to_string(),
        }
    }
}

/// Something about one wanted run that kept it from being requested; the others are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TickWarning {
    /// The partition, if it is about one.
    pub partition: Option<PartitionKey>,
    /// The stable code.
    pub code: ErrorCode,
    /// What it is.
    pub message: String,
}

/// A tick in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TickRow {
    /// What ticked.
    #[serde(flatten)]
    pub source: TickSource,
    /// The nominal time, which is its identity.
    pub nominal: Timestamp,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// What came of it.
    pub status: TickStatus,
    /// Why nothing was requested, if nothing was; beside runs, what was left out or done as well.
    pub skipped: Option<SkipReason>,
    /// Why it failed, if it did.
    pub error: Option<TickWarning>,
    /// What kept single runs from being requested.
    pub warnings: Vec<TickWarning>,
    /// How many runs it requested.
    pub requested: u32,
    /// How many ticks in a row came to the same nothing; this one is the last of them.
    #[serde(default = "once")]
    pub times: u32,
    /// The nominal time of the first of them, when there is more than one.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// The runs, at most a page of them.
    pub runs: Vec<TickRun>,
}

fn once() -> u32 {
    1
}

/// A run that a tick requested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TickRun {
    /// What makes the request the same as another.
    pub run_key: String,
    /// The run.
    pub run_id: RunId,
    /// Its partition.
    pub partition: Option<PartitionKey>,
}

impl TickRow {
    /// How long after its nominal time it was decided.
    pub fn lateness(&self) -> std::time::Duration {
        self.decided_at.since(self.nominal)
    }
}

const STATUSES: [(TickStatus, &str); 4] = [
    (TickStatus::Launched, "LAUNCHED"),
    (TickStatus::Synced, "SYNCED"),
    (TickStatus::Skipped, "SKIPPED"),
    (TickStatus::Failed, "FAILED"),
];

const KINDS: [(TickKind, &str); 2] =
    [(TickKind::Schedule, "schedule"), (TickKind::Sensor, "sensor")];

/// A text is not one of a few words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no word for {what}")]
pub struct TickWordError {
    /// The rejected text.
    pub text: String,
    /// What it should have said.
    pub what: &'static str,
}

impl fmt::Display for TickStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = STATUSES.iter().find(|(status, _)| status == self);
        f.write_str(found.map_or("", |(_, word)| word))
    }
}

impl std::str::FromStr for TickStatus {
    type Err = TickWordError;

    fn from_str(text: &str) -> Result<Self, TickWordError> {
        let found = STATUSES.iter().find(|(_, word)| *word == text);
        let fail = || TickWordError { text: text.to_owned(), what: "the status of a tick" };
        found.map(|(status, _)| *status).ok_or_else(fail)
    }
}

impl fmt::Display for TickKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(KINDS.iter().find(|(kind, _)| kind == self).map_or("", |(_, word)| word))
    }
}

impl std::str::FromStr for TickKind {
    type Err = TickWordError;

    fn from_str(text: &str) -> Result<Self, TickWordError> {
        let found = KINDS.iter().find(|(_, word)| *word == text);
        let fail = || TickWordError { text: text.to_owned(), what: "what ticks" };
        found.map(|(kind, _)| *kind).ok_or_else(fail)
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missed { catch_up } => {
                write!(f, "its time passed undecided (catch_up: {catch_up})")
            }
            Self::ManyMissed { count, first, catch_up } => {
                write!(f, "{count} ticks from {first} on passed undecided (catch_up: {catch_up})")
            }
            Self::TooLate { deadline } => {
                write!(f, "its time passed more than {deadline} ago (deadline)")
            }
            Self::ManyTooLate { count, first, deadline } => {
                write!(
                    f,
                    "{count} ticks from {first} on passed more than {deadline} ago (deadline)"
                )
            }
            Self::Retimed { count: 1, .. } => {
                f.write_str("its schedule's timing was edited before it was decided")
            }
            Self::Retimed { count, first } => {
                let least = if *count >= Self::RETIMED_MAX { "at least " } else { "" };
                write!(
                    f,
                    "{least}{count} ticks from {first} on were not decided before the timing was \
                     edited"
                )
            }
            Self::NoTick { next, start, end } => {
                match start {
                    Some(start) => write!(f, "it does not fire before its `start`, {start}")?,
                    None => f.write_str("it does not fire at this time")?,
                }
                match (next, end) {
                    (Some(next), _) => write!(f, "; it does at {next}"),
                    (None, Some(end)) => write!(f, ", nor after it: its `end` is {end}"),
                    (None, None) => f.write_str(", nor after it"),
                }
            }
            Self::Excluded { by } => write!(f, "its day is excluded by {by}"),
            Self::Overlap { active, limit } => {
                let were = if *active == 1 { "was" } else { "were" };
                write!(f, "{active} of its runs {were} under way (max_active_runs: {limit})")
            }
            Self::JobDisabled {} => f.write_str("its job is switched off"),
            Self::When { condition } => write!(f, "its condition does not hold: {condition}"),
            Self::NoPartition {} => f.write_str("no partition fits"),
            Self::Requested {} => f.write_str("its runs were requested before (run_key)"),
            Self::NoNews {} => f.write_str("nothing new"),
            Self::NoneFits { count: 1, first, .. } => f.write_str(first),
            Self::NoneFits { count, first, .. } => write!(f, "{first} (and {} more)", count - 1),
            Self::Synced { added, deleted, total } => {
                write!(f, "partitions: added={added} deleted={deleted} total={total}")
            }
            Self::Dropped { delivery, by } => write!(f, "{by} dropped the delivery {delivery}"),
            Self::Said { reason } => f.write_str(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beside_runs_what_did_not_fit_is_counted() {
        let what = FoundKind::Delivery;
        let unfit = |count| SkipReason::NoneFits { what, count, first: "it is old".to_owned() };
        assert_eq!(unfit(1).beside_runs(), "1 delivery passed over: it is old");
        assert_eq!(unfit(3).beside_runs(), "3 deliveries passed over, the first because it is old");
        assert_eq!(unfit(3).to_string(), "it is old (and 2 more)");
        let stored = r#"{"kind": "none_fits", "count": 2, "first": "it is old"}"#;
        let stored: SkipReason = serde_json::from_str(stored).unwrap();
        assert!(stored.beside_runs().starts_with("2 things passed over"), "stored without a kind");
    }

    #[test]
    fn what_lapses_with_a_timing_is_counted_with_its_first() {
        let first = Timestamp::from_micros(0);
        let said = |count| SkipReason::Retimed { count, first }.to_string();
        assert_eq!(said(1), "its schedule's timing was edited before it was decided");
        let many =
            "ticks from 1970-01-01T00:00:00Z on were not decided before the timing was edited";
        assert_eq!(said(3), format!("3 {many}"));
        assert_eq!(said(SkipReason::RETIMED_MAX), format!("at least 1000 {many}"));
    }

    #[test]
    fn words_are_read_back_as_they_are_written() {
        for (status, _) in STATUSES {
            assert_eq!(status.to_string().parse(), Ok(status));
        }
        for (kind, _) in KINDS {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert!("skipped".parse::<TickStatus>().is_err());
    }
}
