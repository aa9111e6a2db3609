//! One attempt at one step: from its templates to its result.
//!
//! The run's loop calls [`StepRunner::execute`]; everything that a step does to the world is below.

mod asset;
mod attempt;
mod bounds;
mod builtin;
mod context;
mod filters;
mod forked;
mod gauge;
mod http;
mod io;
mod lambda;
mod load;
mod process;
mod python;
mod quotes;
mod result;
mod scratch;
mod sources;
mod speech;
mod sql;
mod template;
mod unmade;
mod warm;

pub(crate) use attempt::RunSteps;
pub use attempt::{AttemptDone, AttemptOrder, StepRunner, Taken};
pub(crate) use process::signal_name;
