//! One attempt at one step: from its templates to its result.
//!
//! The run's loop calls [`StepRunner::execute`]; everything that a step does to the world is below.

mod asset;
mod attempt;
mod builtin;
mod context;
mod process;
mod result;
mod scratch;
mod speech;
mod sql;
mod template;

pub use attempt::{AttemptDone, AttemptOrder, StepRunner};
pub(crate) use scratch::RunScratch;
