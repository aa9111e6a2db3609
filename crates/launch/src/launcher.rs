//! What every launcher is given and gives back.

use std::fmt;

use futures_util::future::BoxFuture;
use millstream_model::ClaimedRun;
use millstream_model::worker_api::RunToken;
use millstream_worker::ReportError;

/// The name by which a worker is found again from outside.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerName(String);

impl WorkerName {
    /// The name of the worker of this run and epoch.
    pub fn of(run: &ClaimedRun) -> Self {
        Self(run.worker_name())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A worker was not launched. The run goes back to the queue.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The run's plan could not be had.
    #[error("the assignment of {name} cannot be had")]
    Assignment {
        /// The worker's name.
        name: WorkerName,
        /// What the control plane said.
        #[source]
        source: ReportError,
    },
    /// The worker's process could not be started.
    #[error("{name} cannot be started: {what}")]
    Process {
        /// The worker's name.
        name: WorkerName,
        /// What was being done.
        what: &'static str,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
}

/// Starts workers.
pub trait RunLauncher: Send + Sync {
    /// Starts the worker of `run`, which proves itself with `token`, or finds that it is started
    /// already.
    fn launch(
        &self,
        run: ClaimedRun,
        token: RunToken,
    ) -> BoxFuture<'_, Result<WorkerName, LaunchError>>;

    /// Ends a worker from whom its run was taken, with all that it runs; one that is gone, or that
    /// another process has launched, is passed over: it is refused at its next word and ends.
    fn stop<'a>(&'a self, worker: &'a WorkerName) -> BoxFuture<'a, ()>;
}
