//! Workers as tasks of this process; their steps are processes as everywhere.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use millstream_model::worker_api::RunToken;
use millstream_model::{ClaimedRun, RunId};
use millstream_worker::{Canceler, ControlPlane, RunEnd, Seams, Worker};
use tokio::task::{AbortHandle, JoinSet};

use crate::{LaunchError, RunLauncher, WorkerName};

/// Runs each worker as a task of this process, all through one supervisor.
///
/// The queue's limit on runs in progress bounds how many there are.
#[derive(Clone)]
pub struct LocalLauncher {
    worker: Worker,
    control: Arc<dyn ControlPlane>,
    workers: Arc<Mutex<Workers>>,
}

#[derive(Debug, Default)]
struct Workers {
    set: JoinSet<WorkerName>,
    running: HashMap<WorkerName, Running>,
}

/// A worker at work.
#[derive(Debug)]
struct Running {
    run: ClaimedRun,
    canceler: Canceler,
    handle: AbortHandle,
}

impl LocalLauncher {
    /// A launcher whose runs are executed as `worker` says and reported to `control`.
    pub fn new(worker: Worker, control: Arc<dyn ControlPlane>) -> Self {
        Self { worker, control, workers: Arc::default() }
    }

    /// Tells the worker of `run` to stop, if it is one of these; no beat has to say so first.
    pub fn cancel(&self, run: RunId) {
        for worker in self.lock().running.values().filter(|worker| worker.run.run == run) {
            worker.canceler.cancel();
        }
    }

    /// How many workers are not done.
    pub fn running(&self) -> usize {
        let mut workers = self.lock();
        workers.forget_done();
        workers.set.len()
    }

    /// Waits until all workers are done. Nothing may be launched meanwhile.
    pub async fn finish(&self) {
        let mut set = {
            let mut workers = self.lock();
            workers.running.clear();
            std::mem::take(&mut workers.set)
        };
        while let Some(done) = set.join_next().await {
            if let Err(error) = done
                && !error.is_cancelled()
            {
                tracing::error!(%error, "a worker broke; its run will be found lost");
            }
        }
    }

    /// Ends all workers at once, as the end of the process would, and waits until they and all
    /// processes of their steps are gone. Returns the runs that they had: whoever gets one next
    /// meets nothing of it any more.
    pub async fn shut_down(&self) -> Vec<ClaimedRun> {
        let (mut set, running) = {
            let mut workers = self.lock();
            workers.forget_done();
            (std::mem::take(&mut workers.set), std::mem::take(&mut workers.running))
        };
        set.shutdown().await;
        if !running.is_empty() {
            self.worker.end_processes().await;
        }
        running.into_values().map(|running| running.run).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Workers> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn launch(&self, claimed: ClaimedRun) -> Result<WorkerName, LaunchError> {
        let ClaimedRun { tenant, run, epoch } = &claimed;
        let name = WorkerName::of(&claimed);
        if self.lock().is_running(&name) {
            return Ok(name);
        }
        let assignment = self
            .control
            .assignment(tenant, *run, *epoch)
            .await
            .map_err(|source| LaunchError::Assignment { name: name.clone(), source })?;
        let mut workers = self.lock();
        if workers.is_running(&name) {
            return Ok(name);
        }
        let (canceler, signal) = Canceler::new();
        let (worker, seams) = (self.worker.clone(), Seams::system(Arc::clone(&self.control)));
        let own_name = name.clone();
        let handle = workers.set.spawn(async move {
            let end = worker.run(assignment, &seams, signal).await;
            tell(&own_name, &end);
            own_name
        });
        workers.running.insert(name.clone(), Running { run: claimed, canceler, handle });
        Ok(name)
    }
}

impl Workers {
    /// Whether the worker called `name` is at work, after forgetting those that are done.
    fn is_running(&mut self, name: &WorkerName) -> bool {
        self.forget_done();
        self.running.contains_key(name)
    }

    fn forget_done(&mut self) {
        while let Some(done) = self.set.try_join_next() {
            match done {
                Ok(name) => {
                    self.running.remove(&name);
                }
                // It was stopped, because its run was taken from it.
                Err(error) if error.is_cancelled() => {}
                Err(error) => tracing::error!(%error, "a worker broke; its run will be found lost"),
            }
        }
    }
}

fn tell(worker: &WorkerName, end: &RunEnd) {
    match end {
        RunEnd::Finished(_) => {}
        RunEnd::Replaced => tracing::warn!(%worker, "another worker has the run"),
        RunEnd::GivenUp { reason } => tracing::error!(%worker, reason, "the run was given up"),
    }
}

impl RunLauncher for LocalLauncher {
    // Within the process nobody has to prove anything.
    fn launch(
        &self,
        run: ClaimedRun,
        _token: RunToken,
    ) -> BoxFuture<'_, Result<WorkerName, LaunchError>> {
        self.launch(run).boxed()
    }

    fn stop<'a>(&'a self, worker: &'a WorkerName) -> BoxFuture<'a, ()> {
        async move {
            if let Some(running) = self.lock().running.remove(worker) {
                running.handle.abort();
            }
        }
        .boxed()
    }
}
