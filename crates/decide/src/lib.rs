//! What should happen now: a snapshot and a time in, decisions with reasons out.
//!
//! Pure: nothing here knows that a database exists. `control` loads the snapshots and carries the
//! decisions out; each module is one decision.

pub mod checks;
pub mod condition;
pub mod failure;
pub mod lease;
pub mod liveness;
pub mod lost;
pub mod overdue;
pub mod places;
pub mod pool;
pub mod queue;
pub mod renamed;
pub mod scan;
pub mod schedule;
pub mod sensor;
pub mod sources;
pub mod template;
pub mod why;
