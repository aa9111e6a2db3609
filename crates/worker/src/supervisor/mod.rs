//! The supervisor: one single-threaded child of a worker that starts, watches and ends all steps'
//! processes.
//!
//! [`main`] is the child; [`Supervisor`] is the worker's handle of it. They speak JSON lines over
//! the child's stdin and stdout (`protocol`); the output of steps never goes that way: the child
//! reads it and appends it to the logs.
//!
//! **Invariant.** Every step is the leader of a process group of its own, and no group outlives
//! its step's end or the worker: when the worker's end of the pipe closes, for whatever reason,
//! the child kills all groups and ends.
//! **Invariant.** A group is signalled only while its leader is not reaped, so its id cannot have
//! been given to somebody else.

mod client;
mod kernel;
mod meter;
mod narrow;
mod orders;
mod orphans;
mod output;
mod protocol;
mod serve;
mod session;
mod tap;
mod watched;

pub use client::{Process, SpawnError, Supervisor, SupervisorLost};
pub(crate) use kernel::memory_share;
pub(crate) use meter::{Meter, cpu_time_of};
pub(crate) use narrow::some_cores;
pub use protocol::{EndCause, Ended, Excess, MessageTap, ProcessSpec};
pub use serve::main;
pub(crate) use tap::Tap;
