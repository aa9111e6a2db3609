//! Connections that read while the writer writes: WAL gives each read its snapshot.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::{execute, open};
use crate::{Row, Sql, StoreError, Value};

/// Reads at once.
const READERS_MAX: usize = 4;

/// A few connections, opened when they are first needed.
pub(super) struct Readers {
    path: PathBuf,
    places: Semaphore,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let idle = vec![open::reader(path)?];
        Ok(Self {
            path: path.to_owned(),
            places: Semaphore::new(READERS_MAX),
            idle: Arc::new(Mutex::new(idle)),
        })
    }

    pub(super) async fn read(
        &self,
        sql: &'static Sql,
        params: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError> {
        self.with(move |connection| execute::query(connection, sql, &params)).await
    }

    /// Runs `work` on this thread, if a connection is open and free.
    pub(super) fn try_here<T>(&self, work: impl FnOnce(&Connection) -> T) -> Option<T> {
        let _place = self.places.try_acquire().ok()?;
        let connection = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        let outcome = work(&connection);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Some(outcome)
    }

    /// Runs `work` on a free connection, off the async threads.
    pub(super) async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let gone = |_| StoreError::Unavailable("the readers have stopped".to_owned());
        let _place = self.places.acquire().await.map_err(gone)?;
        let idle = Arc::clone(&self.idle);
        let path = self.path.clone();
        let task = tokio::task::spawn_blocking(move || {
            let free = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = free.map_or_else(|| open::reader(&path), Ok)?;
            let outcome = work(&connection);
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            outcome
        });
        task.await.map_err(|error| StoreError::Unavailable(error.to_string()))?
    }
}
