//! Which queued runs may start now.
//!
//! Pure: [`decide`] maps a [`QueueSnapshot`] to a [`QueueDecision`]. It never reads the store or a
//! clock; `control::queue` loads the snapshot and carries the decision out.
//!
//! Tenants take turns: the next place goes to the one that holds the fewest in proportion to its
//! weight, and among equals to the one that was served least. Within a tenant the highest priority
//! goes first, and then the oldest run. A run that a limit holds back lets the others pass.
//!
//! **Invariant.** Launching never takes the runs in progress above a limit that they are under.
//! **Invariant.** A run that is about to be tried again keeps its place under its tag limits.
//! **Invariant.** Deciding twice on one snapshot gives the same decision.

mod decide;
mod limits;
mod share;

pub use decide::{CountedRun, QueueDecision, QueueSnapshot, QueuedRun, RecentStart, decide};
pub use limits::{Limits, lane_again, lane_of};

#[cfg(test)]
mod tests;
