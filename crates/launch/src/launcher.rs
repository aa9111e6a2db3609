//! What every launcher is given and gives back.

use std::fmt;

use futures_util::future::BoxFuture;
use millstream_model::worker_api::RunToken;
use millstream_model::{RunId, TenantId};
use millstream_worker::ReportError;

/// A run that a daemon has claimed for a launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedRun {
    /// The tenant.
    pub tenant: TenantId,
    /// The run.
    pub run: RunId,
    /// The epoch that the claim issued.
    pub epoch: i64,
    /// What the worker proves itself with.
    pub token: RunToken,
}

impl ClaimedRun {
    /// The name of the run's worker, wherever it runs: `run-<id>-<epoch>`.
    pub fn worker_name(&self) -> WorkerName {
        WorkerName::of(self.run, self.epoch)
    }
}

/// The name by which a worker is found again from outside.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerName(String);

impl WorkerName {
    /// The name of the worker of this run and epoch.
    pub fn of(run: RunId, epoch: i64) -> Self {
        Self(format!("run-{run}-{epoch}"))
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
    /// Starts the worker of `run`, or finds that it is started already.
    fn launch(&self, run: ClaimedRun) -> BoxFuture<'_, Result<WorkerName, LaunchError>>;

    /// Ends a worker from whom its run was taken, with all that it runs; one that is gone, or that
    /// another process has launched, is passed over: it is refused at its next word and ends.
    fn stop<'a>(&'a self, worker: &'a WorkerName) -> BoxFuture<'a, ()>;
}
