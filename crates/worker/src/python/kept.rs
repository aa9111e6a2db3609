//! What a worker keeps for functions in Python: interpreters and processes; and sources, of
//! programs too.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use millstream_blob::{BlobError, Blobs};
use millstream_host::{Code, CodeError, CodeStore, Interpreters, Shim};
use millstream_model::{ContentHash, RunId, SourceSet, TenantId};
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

/// The sources of a step cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourcesError {
    /// They are not where the loader has kept them.
    #[error(
        "the sources of version {} are not in the instance's folder any more; launch the job anew, \
         and should that say so too, restart the server: it stores those of the live version again",
        version.short()
    )]
    Gone {
        /// The version.
        version: ContentHash,
    },
    /// They cannot be read.
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// They cannot be copied.
    #[error(transparent)]
    Copy(CodeError),
}

/// What a worker keeps for functions in Python, and of the sources of all steps.
#[derive(Debug)]
pub(crate) struct Python {
    pub(crate) interpreters: Interpreters,
    pub(crate) forks: ForkPool,
    pub(crate) warm: WarmPool,
    pub(crate) warm_busy: Semaphore,
    blobs: Blobs,
    codes: Arc<CodeStore>,
    pins: Arc<Pins>,
    shim: OnceCell<Shim>,
    scratch: PathBuf,
    sweeper: OnceLock<AbortHandle>,
}

impl Python {
    /// Nothing yet; processes start with the first steps that want them.
    pub(crate) fn new(settings: &WorkerSettings, blobs: Blobs) -> Self {
        Self {
            interpreters: Interpreters::default(),
            forks: ForkPool::default(),
            warm: WarmPool::default(),
            warm_busy: Semaphore::new(WARM_BUSY_MAX),
            blobs,
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

    /// The sources of `version`, or, without one, those that there were when the run first asked.
    pub(crate) async fn code(
        &self,
        (run, epoch): (RunId, i64),
        version: Option<&ContentHash>,
    ) -> Result<Arc<Code>, SourcesError> {
        let cell = self.pins.get((run, epoch), version);
        let code = cell.get_or_try_init(|| async {
            if let Some(version) = version {
                return match self.codes.ready(version) {
                    Some(code) => Ok(code),
                    None => self.checked_out(version).await,
                };
            }
            let codes = Arc::clone(&self.codes);
            blocking(move || codes.pin()).await
        });
        code.await.map(Arc::clone)
    }

    /// The copy of what the loader has kept.
    async fn checked_out(&self, version: &ContentHash) -> Result<Arc<Code>, SourcesError> {
        let (codes, wanted) = (Arc::clone(&self.codes), version.clone());
        if let Some(code) = blocking(move || codes.find(&wanted)).await? {
            return Ok(code);
        }
        let gone = || SourcesError::Gone { version: version.clone() };
        let set = self.blobs.read_source(version).await?.ok_or_else(gone)?;
        let set: SourceSet = serde_json::from_slice(&set).map_err(|_| gone())?;
        let (codes, wanted, files) = (Arc::clone(&self.codes), version.clone(), set.clone());
        if let Some(code) = blocking(move || codes.open(&wanted, files)).await? {
            return Ok(code);
        }
        let mut contents = BTreeMap::new();
        for file in set.files.values() {
            let content = self.blobs.read_source(&file.content).await?.ok_or_else(gone)?;
            contents.insert(file.content.clone(), content);
        }
        let (codes, wanted) = (Arc::clone(&self.codes), version.clone());
        blocking(move || codes.check_out(&wanted, set, &contents)).await
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

/// Does what looks at files where that holds nobody up.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CodeError> + Send + 'static,
) -> Result<T, SourcesError> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    done.map_err(SourcesError::Copy)
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
