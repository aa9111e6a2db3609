//! A status as shape, word and colour, always all three.

use askama::Template;
use millstream_model::view::{FileState, PartitionState};
use millstream_model::{LoopState, RunStatus, StepStatus, TickStatus};

use crate::parts::{Glyph, part};

/// A status in a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Template)]
#[template(path = "parts/badge.html")]
pub struct Badge {
    /// Its shape, which has its colour.
    pub glyph: Glyph,
    /// Its word.
    pub word: &'static str,
    /// The class of something that is going on; empty otherwise.
    pub live: &'static str,
}

part!(Badge);

impl Badge {
    const fn new(glyph: Glyph, word: &'static str) -> Self {
        let live = match glyph {
            Glyph::Running => " live",
            _ => "",
        };
        Self { glyph, word, live }
    }

    /// The badge of a run.
    pub fn run(status: RunStatus) -> Self {
        match status {
            RunStatus::Queued => Self::new(Glyph::Queued, "Queued"),
            RunStatus::NotStarted => Self::new(Glyph::Planned, "Not started"),
            RunStatus::Starting => Self::new(Glyph::Starting, "Starting"),
            RunStatus::Started => Self::new(Glyph::Running, "Running"),
            RunStatus::Success => Self::new(Glyph::Ok, "Succeeded"),
            RunStatus::Failure => Self::new(Glyph::Failed, "Failed"),
            RunStatus::Canceling => Self::new(Glyph::Cancelling, "Canceling"),
            RunStatus::Canceled => Self::new(Glyph::Cancelled, "Canceled"),
        }
    }

    /// The badge of a step.
    pub fn step(status: StepStatus) -> Self {
        match status {
            StepStatus::Pending => Self::new(Glyph::Planned, "Not started"),
            StepStatus::Started => Self::new(Glyph::Running, "Running"),
            StepStatus::Retrying => Self::new(Glyph::Retrying, "Retrying"),
            StepStatus::Success => Self::new(Glyph::Ok, "Succeeded"),
            StepStatus::Failure => Self::new(Glyph::Failed, "Failed"),
            StepStatus::Skipped => Self::new(Glyph::Skipped, "Skipped"),
            StepStatus::UpstreamFailed => Self::new(Glyph::Blocked, "Blocked"),
            StepStatus::Canceled => Self::new(Glyph::Cancelled, "Canceled"),
        }
    }

    /// The badge of a partition.
    pub fn partition(state: PartitionState) -> Self {
        match state {
            PartitionState::Failed => Self::new(Glyph::Failed, "Failed"),
            PartitionState::Running => Self::new(Glyph::Running, "Running"),
            PartitionState::Missing => Self::new(Glyph::Never, "Never built"),
            PartitionState::Materialized => Self::new(Glyph::Ok, "Built"),
        }
    }

    /// The badge of a daemon or of one of its loops.
    pub fn health(state: LoopState) -> Self {
        match state {
            LoopState::Healthy => Self::new(Glyph::Ok, "Healthy"),
            LoopState::Silent => Self::new(Glyph::Warning, "Silent"),
            LoopState::Unhealthy => Self::new(Glyph::Failed, "Unhealthy"),
            LoopState::Gone => Self::new(Glyph::Never, "Gone"),
        }
    }

    /// The badge of a definition file.
    pub fn file(state: FileState) -> Self {
        match state {
            FileState::Live => Self::new(Glyph::Ok, "Live"),
            FileState::LastGood => Self::new(Glyph::Warning, "Last good"),
            FileState::Broken => Self::new(Glyph::Failed, "Broken"),
            FileState::Stale => Self::new(Glyph::Stale, "Not seen"),
            FileState::Deleted => Self::new(Glyph::Cancelled, "Deleted"),
        }
    }

    /// The badge of a tick.
    pub fn tick(status: TickStatus) -> Self {
        match status {
            TickStatus::Launched => Self::new(Glyph::Ok, "Launched"),
            TickStatus::Synced => Self::new(Glyph::Synced, "Synced"),
            TickStatus::Skipped => Self::new(Glyph::Skipped, "Skipped"),
            TickStatus::Failed => Self::new(Glyph::Failed, "Failed"),
        }
    }

    /// Whether a job, a schedule or a tenant takes part.
    pub fn switch(enabled: Switch) -> Self {
        match enabled {
            Switch::On => Self::new(Glyph::Ok, "On"),
            Switch::Off => Self::new(Glyph::Paused, "Off"),
        }
    }

    /// An asset that was made before what it is made from.
    pub fn stale() -> Self {
        Self::new(Glyph::Stale, "Stale")
    }

    /// An asset that is one whole, or all of its partitions together.
    pub fn built(latest: Built) -> Self {
        match latest {
            Built::Once => Self::new(Glyph::Ok, "Built"),
            Built::Partly => Self::new(Glyph::Never, "Partly built"),
            Built::Never => Self::new(Glyph::Never, "Never built"),
        }
    }
}

/// Whether something takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// It does.
    On,
    /// It does not.
    Off,
}

/// How much of an asset was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Built {
    /// At least once, and nothing of it is missing.
    Once,
    /// Some of its partitions, and others never.
    Partly,
    /// Not yet.
    Never,
}

impl From<bool> for Switch {
    fn from(enabled: bool) -> Self {
        if enabled { Self::On } else { Self::Off }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn distinct(badges: &[Badge]) {
        let shapes: BTreeSet<&str> = badges.iter().map(|badge| badge.glyph.id()).collect();
        let words: BTreeSet<&str> = badges.iter().map(|badge| badge.word).collect();
        assert_eq!((shapes.len(), words.len()), (badges.len(), badges.len()), "{badges:?}");
    }

    #[test]
    fn statuses_differ_in_shape_and_word_and_not_by_colour_alone() {
        use {FileState as F, PartitionState as P, TickStatus as T};
        distinct(&RunStatus::ALL.map(Badge::run));
        distinct(&StepStatus::ALL.map(Badge::step));
        distinct(&[P::Failed, P::Running, P::Missing, P::Materialized].map(Badge::partition));
        distinct(&[T::Launched, T::Synced, T::Skipped, T::Failed].map(Badge::tick));
        distinct(&[F::Live, F::LastGood, F::Broken, F::Stale, F::Deleted].map(Badge::file));
    }

    #[test]
    fn a_queued_run_is_never_painted_as_running() {
        let queued = Badge::run(RunStatus::Queued).to_string();
        assert!(queued.contains("Queued") && !queued.contains("t-run"), "{queued}");
    }
}
