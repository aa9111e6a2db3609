//! What a worker keeps for functions in Python: interpreters, sources and processes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use millstream_host::{Code, CodeError, CodeStore, Interpreters, Shim};
use millstream_model::{ContentHash, RunId, TenantId};
use tokio::sync::{OnceCell, Semaphore};
use tokio::task::AbortHandle;

use super::pins::{Pinned, Pins};
use super::pool::{ForkPool, WarmPool};
use crate::worker::WorkerSettings;

/// How many warm processes run steps at once; further steps wait for one.
const WARM_BUSY_MAX: usize = 16;

/// After this long a process that did nothing ends, or after up to twice as long.
const IDLE: Duration = Duration::from_mins(5);

/// What belongs to one process.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct HostKey {
    pub(crate) tenant: TenantId,
    pub(crate) code: ContentHash,
    pub(crate) root: PathBuf,
    pub(crate) interpreter: PathBuf,
    /// The file or module that it has imported.
    pub(crate) place: String,
    /// The environment that it was imported in.
    pub(crate) env: BTreeMap<String, String>,
}

/// What a worker keeps for functions in Python.
#[derive(Debug)]
pub(crate) struct Python {
    pub(crate) interpreters: Interpreters,
    pub(crate) forks: ForkPool,
    pub(crate) warm: WarmPool,
    pub(crate) warm_busy: Semaphore,
    codes: Arc<CodeStore>,
    pins: Arc<Pins>,
    shim: OnceCell<Shim>,
    scratch: PathBuf,
    sweeper: OnceLock<AbortHandle>,
}

impl Python {
    /// Nothing yet; processes start with the first steps that want them.
    pub(crate) fn new(settings: &WorkerSettings) -> Self {
        Self {
            interpreters: Interpreters::default(),
            forks: ForkPool::default(),
            warm: WarmPool::default(),
            warm_busy: Semaphore::new(WARM_BUSY_MAX),
            codes: Arc::new(CodeStore::new(settings.code.clone(), settings.root.clone())),
            pins: Arc::default(),
            shim: OnceCell::new(),
            scratch: settings.scratch.clone(),
            sweeper: OnceLock::new(),
        }
    }

    /// Keeps what the run pins until this is dropped.
    pub(crate) fn pinned(&self, run: RunId, epoch: i64) -> Pinned {
        Pinned::new(Arc::clone(&self.pins), (run, epoch))
    }

    /// The sources as they were when the run first asked for them.
    pub(crate) async fn code(&self, run: RunId, epoch: i64) -> Result<Arc<Code>, CodeError> {
        let codes = Arc::clone(&self.codes);
        let pin = move || async move {
            let pinning = tokio::task::spawn_blocking(move || codes.pin()).await;
            pinning.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
        };
        let cell = self.pins.get((run, epoch));
        cell.get_or_try_init(pin).await.map(Arc::clone)
    }

    /// The package that processes begin with.
    pub(crate) async fn shim(&self) -> std::io::Result<&Shim> {
        let folder = self.scratch.with_file_name("host");
        self.shim.get_or_try_init(|| async { Shim::install(&folder) }).await
    }

    /// Ends processes that nobody has used for a while, from now on.
    pub(crate) fn sweep(self: &Arc<Self>) {
        self.sweeper.get_or_init(|| {
            let python = Arc::downgrade(self);
            tokio::spawn(sweep(python)).abort_handle()
        });
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        if let Some(sweeper) = self.sweeper.get() {
            sweeper.abort();
        }
    }
}

async fn sweep(python: Weak<Python>) {
    loop {
        tokio::time::sleep(IDLE).await;
        let Some(python) = python.upgrade() else { return };
        python.forks.sweep();
        python.warm.sweep();
    }
}
