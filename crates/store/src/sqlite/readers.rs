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
    places: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let idle = vec![open::reader(path)?];
        Ok(Self {
            path: path.to_owned(),
            places: Arc::new(Semaphore::new(READERS_MAX)),
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
    ///
    /// The place is waited for by a task: a caller that is not looked at for a while, as one of
    /// several that another waits for, must not keep it from others. With a caller that is gone
    /// it ends too, and what it waited to read is not read.
    pub(super) async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let gone = |_| StoreError::Unavailable("the readers have stopped".to_owned());
        let (places, idle) = (Arc::clone(&self.places), Arc::clone(&self.idle));
        let path = self.path.clone();
        let mut waiting = AbortOnDrop(tokio::spawn(async move {
            let place = places.acquire_owned().await.map_err(gone)?;
            let reading = tokio::task::spawn_blocking(move || {
                let _place = place;
                let free = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let connection = free.map_or_else(|| open::reader(&path), Ok)?;
                let outcome = work(&connection);
                idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
                outcome
            });
            reading.await.map_err(|error| StoreError::Unavailable(error.to_string()))?
        }));
        (&mut waiting.0).await.map_err(|error| StoreError::Unavailable(error.to_string()))?
    }
}

/// What ends with whoever waits for it.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future as _, poll_fn};
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        open::writer(&path).unwrap();
        let readers = Readers::open(&path).unwrap();
        let places = Arc::clone(&readers.places);
        let all = places.acquire_many(u32::try_from(READERS_MAX).unwrap()).await.unwrap();
        let (read, was_read) = tokio::sync::oneshot::channel();
        let mut waiting = Box::pin(readers.with(move |_| Ok(read.send(()))));
        let looked = poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context)));
        assert!(looked.await.is_pending());
        drop(waiting);
        drop(all);
        assert!(was_read.await.is_err());
    }

    #[tokio::test]
    async fn those_who_read_and_are_not_looked_at_keep_no_place_from_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        open::writer(&path).unwrap();
        let readers = Readers::open(&path).unwrap();
        let mut waiting: Vec<_> =
            (0..3 * READERS_MAX).map(|_| Box::pin(readers.with(|_| Ok(())))).collect();
        for one in &mut waiting {
            let looked = poll_fn(|context| Poll::Ready(one.as_mut().poll(context)));
            assert!(looked.await.is_pending());
        }
        let mine = readers.with(|_| Ok(7));
        let mine = tokio::time::timeout(std::time::Duration::from_secs(30), mine).await;
        assert_eq!(mine.unwrap().unwrap(), 7);
    }
}
