//! A process for each run's worker, which outlives the one that launched it.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use millstream_model::worker_api::{Assignment, RunToken};
use millstream_model::{ClaimedRun, RunId, TenantId};
use millstream_worker::{
    Canceler, ControlPlane, HttpControlPlane, ReportError, RunEnd, Seams, Worker,
};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::{LaunchError, RunLauncher, WorkerName};

/// How long a worker waits before it asks for its assignment again: doubled each time, and after
/// the longest it gives up.
const ASK_AGAIN_MIN: Duration = Duration::from_millis(100);
const ASK_AGAIN_MAX: Duration = Duration::from_secs(4);

/// Starts one process a run.
#[derive(Debug, Clone, Default)]
pub struct ProcessLauncher {
    /// The program: the product's own binary.
    pub program: PathBuf,
    /// The arguments that make it a worker.
    pub args: Vec<String>,
    /// The environment that it starts with; nothing else is inherited.
    pub env: BTreeMap<String, String>,
    /// Where the worker reaches the control plane.
    pub url: String,
    /// The folder for what workers themselves say, a file each.
    pub logs: PathBuf,
    /// The processes that this launcher has started and that have not ended.
    pub children: Children,
}

/// Processes of workers, by their names.
#[derive(Debug, Clone, Default)]
pub struct Children(Arc<Mutex<HashMap<WorkerName, Child>>>);

impl Children {
    fn lock(&self) -> MutexGuard<'_, HashMap<WorkerName, Child>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps `child`, and forgets those that have ended.
    fn keep(&self, name: WorkerName, child: Child) {
        let mut children = self.lock();
        children.retain(|_, child| matches!(child.try_wait(), Ok(None)));
        children.insert(name, child);
    }

    /// Kills the process of `worker`, whose supervisor then ends its steps.
    fn kill(&self, worker: &WorkerName) {
        let Some(mut child) = self.lock().remove(worker) else { return };
        if let Err(error) = child.start_kill() {
            tracing::warn!(%worker, %error, "a worker's process could not be killed");
        }
    }
}

/// What a worker's process reads from its standard input.
///
/// A token in the arguments would show in process lists, and one in the environment to every step
/// that runs as the same user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerOrder {
    /// Where the control plane is.
    pub url: String,
    /// The worker's proof.
    pub token: RunToken,
    /// The tenant.
    pub tenant: TenantId,
    /// The run.
    pub run: RunId,
    /// The epoch.
    pub epoch: i64,
}

impl WorkerOrder {
    /// The order in `input`, to the input's end.
    pub fn read(input: impl io::Read) -> io::Result<Self> {
        Ok(serde_json::from_reader(input)?)
    }

    /// The assignment, asked for again while nobody answers: a server that restarts is back soon,
    /// and a worker that gave up would leave its run to be found lost.
    async fn assignment(&self, control: &HttpControlPlane) -> Result<Assignment, ReportError> {
        let mut wait = ASK_AGAIN_MIN;
        loop {
            match control.assignment(&self.tenant, self.run, self.epoch).await {
                Err(ReportError::Unavailable { .. }) if wait <= ASK_AGAIN_MAX => {
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                answer => return answer,
            }
        }
    }

    /// Has `worker` execute the ordered run: the body of the worker's process.
    pub async fn execute(self, worker: &Worker) -> Result<RunEnd, ReportError> {
        let control = HttpControlPlane::new(&self.url, self.token.clone())
            .map_err(|error| ReportError::Refused { reason: error.to_string() })?;
        let assignment = self.assignment(&control).await?;
        let (_canceler, signal) = Canceler::new();
        Ok(worker.run(assignment, &Seams::system(Arc::new(control)), signal).await)
    }
}

impl ProcessLauncher {
    async fn launch(&self, run: ClaimedRun, token: RunToken) -> Result<WorkerName, LaunchError> {
        let name = WorkerName::of(&run);
        let path = self.logs.join(format!("{name}.log"));
        let log = self.claim_log(&path).map_err(|source| {
            let what = "its log cannot be made";
            LaunchError::Process { name: name.clone(), what, source }
        })?;
        let Some(log) = log else { return Ok(name) };
        match self.start(run, token, log).await {
            Ok(()) => Ok(name),
            Err((what, source)) => {
                // The next launch of this epoch shall not take it for started.
                std::fs::remove_file(&path).ok();
                Err(LaunchError::Process { name, what, source })
            }
        }
    }

    /// Starts the process and gives it its order; the error says what went wrong.
    async fn start(
        &self,
        run: ClaimedRun,
        token: RunToken,
        log: File,
    ) -> Result<(), (&'static str, io::Error)> {
        let name = WorkerName::of(&run);
        let stderr = log.try_clone().map_err(|error| ("its log cannot be shared", error))?;
        let mut child = Command::new(&self.program)
            .args(&self.args)
            .env_clear()
            .envs(&self.env)
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(stderr)
            // A Ctrl-C for the server is not one for the runs.
            .process_group(0)
            .spawn()
            .map_err(|error| ("its program does not start", error))?;
        let order = WorkerOrder {
            url: self.url.clone(),
            token,
            tenant: run.tenant,
            run: run.run,
            epoch: run.epoch,
        };
        let order = serde_json::to_vec(&order)
            .map_err(|error| ("its order cannot be written", error.into()))?;
        if let Some(mut stdin) = child.stdin.take() {
            let sent = stdin.write_all(&order).await;
            sent.map_err(|error| ("it does not take its order", error))?;
        }
        self.children.keep(name, child);
        Ok(())
    }

    /// The worker's log at `path`, or `None` when somebody has launched it already.
    ///
    /// Crash-safe: a crash between the log and the process leaves a run that is found lost, and
    /// its next epoch has a name of its own.
    fn claim_log(&self, path: &Path) -> io::Result<Option<File>> {
        std::fs::create_dir_all(&self.logs)?;
        match OpenOptions::new().append(true).create_new(true).open(path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl RunLauncher for ProcessLauncher {
    fn launch(
        &self,
        run: ClaimedRun,
        token: RunToken,
    ) -> BoxFuture<'_, Result<WorkerName, LaunchError>> {
        self.launch(run, token).boxed()
    }

    fn stop<'a>(&'a self, worker: &'a WorkerName) -> BoxFuture<'a, ()> {
        async move { self.children.kill(worker) }.boxed()
    }
}
