//! How far a run has come: which steps may start, and what follows when one ends.
//!
//! Pure: the worker tells [`Progress`] what happened and gets back the events that follow from it,
//! in the order in which it must report them. It never starts a step, reads a clock or draws a
//! random number; `worker` does, and passes them in.
//!
//! **Invariant.** A step's status changes only through `StepStatus::after`.
//! **Invariant.** A step starts only when all it depends on has succeeded, no attempt number starts
//! twice, and nothing starts after a cancel.
//! **Invariant.** What becomes of a step does not depend on the order in which others end: it is
//! upstream-failed iff something above it failed, else skipped iff something above was skipped.
//!
//! The whole of a run costs time in proportion to its steps and dependencies.

mod advance;
mod ready;
mod spread;
mod state;

pub use advance::AttemptEnd;
pub use ready::Need;
pub use state::{Progress, ProgressError, RunOutcome};
