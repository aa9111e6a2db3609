//! Where a run's worker runs: [`LocalLauncher`] in this process, [`ProcessLauncher`] in one of its
//! own.
//!
//! `daemon` calls [`RunLauncher::launch`] for a run that it has claimed. A launcher knows neither
//! the queue nor the store, and does not watch the run: its worker reports, and a worker that does
//! not is found lost by its lease.
//!
//! **Invariant.** The worker's name follows from run and epoch alone, and launching the same name
//! again starts nothing.

mod asker;
mod launcher;
mod local;
mod process;

pub use asker::{Asker, LocalAsker};
pub use launcher::{LaunchError, RunLauncher, WorkerName};
pub use local::LocalLauncher;
pub use millstream_worker::{Answered, Asked, ControlPlane, ReportError};
pub use process::{ProcessLauncher, WorkerOrder};
