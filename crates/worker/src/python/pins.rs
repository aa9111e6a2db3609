//! Which version of the sources each run has pinned.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use millstream_host::Code;
use millstream_model::{ContentHash, RunId};
use tokio::sync::OnceCell;

/// A run and the epoch in which this worker has it.
type Key = (RunId, i64);

type Cell = Arc<OnceCell<Arc<Code>>>;

/// The copies of a run: those of the versions that its steps name, and what it has pinned for those
/// that name none.
type Cells = BTreeMap<Option<ContentHash>, Cell>;

/// The versions that runs have pinned, by run.
#[derive(Debug, Default)]
pub(super) struct Pins(Mutex<HashMap<Key, Cells>>);

impl Pins {
    /// Where the run's copy of `version` is, or will be.
    pub(super) fn get(&self, key: Key, version: Option<&ContentHash>) -> Cell {
        let mut pins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(pins.entry(key).or_default().entry(version.cloned()).or_default())
    }
}

/// A run that is under way; what it has pinned is let go when this is dropped.
#[derive(Debug)]
pub(crate) struct Pinned {
    pins: Arc<Pins>,
    key: Key,
}

impl Pinned {
    pub(super) fn new(pins: Arc<Pins>, key: Key) -> Self {
        Self { pins, key }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        self.pins.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}
