//! A connection that is used on whatever thread asks, one at a time.

use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

/// A connection behind a lock; the lock is never held over an await.
pub(super) struct Inline(Mutex<Connection>);

impl Inline {
    pub(super) fn new(connection: Connection) -> Self {
        Self(Mutex::new(connection))
    }

    /// Uses the connection. A panic of an earlier user leaves no transaction that matters: SQLite
    /// rolls back what was not committed when the next one begins.
    pub(super) fn with<T>(&self, use_it: impl FnOnce(&Connection) -> T) -> T {
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        use_it(&connection)
    }
}
