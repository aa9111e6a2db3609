//! The processes that a worker keeps for Python, and the sources that its runs have pinned.
//!
//! `step::python` runs steps in them. A process belongs to one tenant, one version of the code, one
//! interpreter, one module and one environment; no other step ever sees it.
//!
//! Why it is so: `docs/decisions/0010-python-processes.md`.

mod capture;
mod kept;
mod pins;
mod pool;
mod start;

pub(crate) use capture::Capture;
pub(crate) use kept::{HostKey, Python, SourcesError};
pub(crate) use pool::{ForkHost, Forker, Slot, Warm};
pub(crate) use start::{StartError, Starting, end_of};
