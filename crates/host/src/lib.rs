//! User code: the Python that runs it, its sources as of one version, and what is said to it.
//!
//! The worker calls it. Processes are the worker's: it starts what [`Shim`] says through its
//! supervisor, and gets a [`Channel`] to it from a [`Listener`]. Nothing here knows runs or where
//! output is kept; a process that forks and one that stays warm speak the same orders, and further
//! kinds of host add theirs to `protocol`.
//!
//! **Invariant.** What a run has pinned as its [`Code`] does not change, whatever happens to the
//! project's files.

mod beside;
mod channel;
mod code;
mod copies;
mod forks;
mod interpreter;
mod protocol;
mod shim;
mod tree;

pub use channel::{Channel, Expected, Handed, HostLost, Listener, Outputs, Turn};
pub use code::{CODE_BYTES_MAX, Code, CodeStore};
pub use forks::{Fork, ForkEnd, ForkStep, Forks, Signaler};
pub use interpreter::{InterpreterError, Interpreters};
pub use protocol::{Confines, Failure, Load, Loaded, Outcome, StepOrder};
pub use shim::Shim;
pub use tree::{CodeError, PythonFiles, Stamp, python_files};
