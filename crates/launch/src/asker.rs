//! Questions that are no run's: what a sensor asks of its own code, a database or a service.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use millstream_model::worker_api::Assignment;
use millstream_worker::{Answered, ControlPlane, Seams, Worker};

/// Asks questions.
pub trait Asker: Send + Sync {
    /// Asks the one step of `question`. Dropping the future ends what it started.
    fn ask(&self, question: Assignment) -> BoxFuture<'_, Answered>;
}

/// Asks from this process; what runs is a process of its own all the same.
#[derive(Clone)]
pub struct LocalAsker {
    worker: Worker,
    seams: Seams,
}

impl LocalAsker {
    /// An asker that runs steps as `worker` does.
    pub fn new(worker: Worker, control: Arc<dyn ControlPlane>) -> Self {
        Self { worker, seams: Seams::system(control) }
    }
}

impl Asker for LocalAsker {
    fn ask(&self, question: Assignment) -> BoxFuture<'_, Answered> {
        Box::pin(async move { self.worker.ask(&question, &self.seams).await })
    }
}
