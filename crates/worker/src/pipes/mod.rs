//! Dagster Pipes, the orchestrator's side: what a program is told, and what it says back.
//!
//! A step's program finds two variables (`bootstrap`) and writes messages, one JSON object a line,
//! into a file. Where it writes them to one of its outputs, the supervisor takes them out of the
//! log and puts them into the same file. A [`Session`] follows that file while the program runs;
//! `message` reads the lines, and `ledger` decides what follows from each.
//!
//! **Invariant.** Nothing that a program writes stops its step: what cannot be read is kept in the
//! step's log. Only the end of the process says whether the step failed.

mod bootstrap;
mod ledger;
mod lines;
mod message;
mod metadata;
mod session;
mod traceback;

pub(crate) use bootstrap::{Facts, Partition};
pub(crate) use ledger::Subject;
pub(crate) use lines::LINE_MAX;
pub(crate) use message::may_be_message;
pub(crate) use session::{Channel, Session, Told};
pub(crate) use traceback::Exception;
