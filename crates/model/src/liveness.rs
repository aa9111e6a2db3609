//! The daemons of an instance and the loops of each, as pages, the API and the command line show
//! them, and the leases that silent ones hold. `decide::liveness` says how each daemon is,
//! `decide::lease` of which lease nothing is done.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{HumanDuration, Timestamp};

/// How a loop, or all loops of a daemon together, are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoopState {
    /// It has got around of late.
    Healthy,
    /// Nothing was heard of it for longer than a living one needs to tell of itself, but not yet
    /// for as long as it may be silent.
    Silent,
    /// It has been silent for longer than it may be.
    Unhealthy,
    /// Nothing of its daemon was heard for as long: the process is gone, stands still, or is cut
    /// off from the database.
    Gone,
}

impl LoopState {
    /// The state, as shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Silent => "silent",
            Self::Unhealthy => "unhealthy",
            Self::Gone => "gone",
        }
    }
}

/// One loop of a daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoopRow {
    /// What it does: `queue`, `losses`, `schedules`, `sensors`, `requests`, `publisher`, `scans`.
    pub name: String,
    /// How it is.
    pub state: LoopState,
    /// When it last got around, by the clock of its machine.
    pub beat_at: Timestamp,
    /// Since when nothing was heard of it, by the clock of who looks; of a silent one alone.
    #[serde(default)]
    pub silent_since: Option<Timestamp>,
    /// How long it may be silent.
    pub silence_max: HumanDuration,
    /// For work that one daemon does at a time: whether this one does it, or stands by.
    pub holds_lease: Option<bool>,
}

impl LoopRow {
    /// How it is, and since when it is silent.
    pub fn state_words(&self) -> String {
        match self.silent_since {
            Some(since) => format!("{} since {since}", self.state.as_str()),
            None => self.state.as_str().to_owned(),
        }
    }

    /// What part of the work it does, in words.
    pub fn work(&self) -> &'static str {
        match (self.state, self.holds_lease) {
            (LoopState::Gone, _) => "does nothing any more",
            (LoopState::Silent, Some(true)) => "holds the lease, until another takes it over",
            (LoopState::Silent, _) => "may do nothing any more",
            (_, Some(true)) => "does it for all",
            (_, Some(false)) => "stands by",
            (_, None) => "does its part",
        }
    }
}

/// One daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonRow {
    /// Its name.
    pub name: String,
    /// How it is: unhealthy when one of its loops is, or else silent when one of them is.
    pub state: LoopState,
    /// Its loops, by name.
    pub loops: Vec<LoopRow>,
}

impl DaemonRow {
    /// Its loop of this name.
    pub fn loop_called(&self, name: &str) -> Option<&LoopRow> {
        self.loops.iter().find(|it| it.name == name)
    }
}

/// Whether some daemon lives and no loop of a living one hangs; one that is gone or silent is
/// replaced.
pub fn are_healthy(daemons: &[DaemonRow]) -> bool {
    let has = |state| daemons.iter().any(|daemon| daemon.state == state);
    has(LoopState::Healthy) && !has(LoopState::Unhealthy)
}

/// A lease whose holder is silent and that nobody has taken over yet. It is never stored: it is so
/// when somebody looks. Those who see one tenant alone are told of it, so it names no daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseLeft {
    /// What is done under it: `queue`, `schedules`, `sensors`.
    pub lease: String,
    /// For how long nothing was heard of the daemon that holds it.
    pub silent_for: HumanDuration,
    /// How long it takes at most until another daemon has it; absent where none is known to live.
    pub taken_within: Option<HumanDuration>,
}

impl fmt::Display for LeaseLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lease, silent_for, taken_within } = self;
        let of = if lease.ends_with('s') { "'" } else { "'s" };
        write!(f, "the {lease}{of} lease is held by a daemon silent for {silent_for}, and ")?;
        match taken_within {
            Some(within) => write!(f, "is taken over within {within}"),
            None => f.write_str("no other daemon lives that would take it over"),
        }
    }
}
