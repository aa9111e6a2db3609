//! What every use case works with.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use millstream_decide::liveness::DaemonWatch;
use millstream_decide::lost::SilentWorker;
use millstream_model::{Clock, Entropy, RunId, Secrets, Timestamp};
use millstream_store::Store;

use crate::catalog::CatalogCache;
use crate::lease::Leases;
use crate::plans::PlanCache;
use crate::refused::RefusedDeliveries;

/// The seams that a simulation replaces.
#[derive(Clone)]
pub struct Seams {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
}

/// The use cases of one instance; clones share the store and the caches.
#[derive(Clone)]
pub struct Control {
    pub(crate) store: Store,
    pub(crate) seams: Seams,
    pub(crate) catalogs: Arc<CatalogCache>,
    pub(crate) plans: Arc<PlanCache>,
    pub(crate) leases: Arc<Leases>,
    pub(crate) token_secret: Arc<OnceLock<String>>,
    pub(crate) env: Arc<BTreeMap<String, String>>,
    /// What deliveries are checked with.
    pub(crate) secrets: Arc<Secrets>,
    /// The deliveries that this process has refused.
    pub(crate) refused: Arc<RefusedDeliveries>,
    /// Whether failed runs are tried again as their jobs say.
    pub(crate) retries_runs: bool,
    /// The daemon of this process, where the database is this process's alone.
    pub(crate) own_daemon: Arc<OnceLock<String>>,
    /// Set once this process itself notices the loss of workers.
    pub(crate) misses_workers: Arc<OnceLock<()>>,
    /// The workers that a daemon of this process has not heard of for a while.
    pub(crate) silent_workers: Arc<Mutex<BTreeMap<RunId, SilentWorker>>>,
    /// The signs of life of daemons that this process has seen.
    pub(crate) daemons_seen: Arc<Mutex<DaemonWatch>>,
}

impl Control {
    /// The use cases over `store`.
    pub fn new(store: Store, seams: Seams) -> Self {
        Self {
            store,
            seams,
            catalogs: Arc::default(),
            plans: Arc::default(),
            leases: Arc::default(),
            token_secret: Arc::default(),
            env: Arc::default(),
            secrets: Arc::default(),
            refused: Arc::default(),
            retries_runs: true,
            own_daemon: Arc::default(),
            misses_workers: Arc::default(),
            silent_workers: Arc::default(),
            daemons_seen: Arc::default(),
        }
    }

    /// The same use cases, which never retry a run by themselves.
    #[must_use]
    pub fn without_run_retries(self) -> Self {
        Self { retries_runs: false, ..self }
    }

    /// The same use cases, with the variables that definitions may name.
    #[must_use]
    pub fn with_env(self, env: BTreeMap<String, String>) -> Self {
        Self { env: Arc::new(env), ..self }
    }

    /// The same use cases, with the secrets that definitions may name.
    #[must_use]
    pub fn with_secrets(self, secrets: Secrets) -> Self {
        Self { secrets: Arc::new(secrets), ..self }
    }

    /// The store, for questions that are no use case.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The time of day.
    pub fn now(&self) -> Timestamp {
        self.seams.clock.now()
    }

    /// The seams, for whoever works beside the use cases.
    pub fn seams(&self) -> &Seams {
        &self.seams
    }

    /// A new id that sorts by its time.
    pub fn new_id(&self) -> RunId {
        let mut random = [0; 10];
        self.seams.entropy.fill(&mut random);
        RunId::new(self.now(), random)
    }
}
