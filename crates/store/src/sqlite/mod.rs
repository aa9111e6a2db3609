//! The embedded database: one writer thread with group commit, a few readers, one owner.

mod execute;
mod open;
mod owner;
mod readers;
mod writer;

use std::path::Path;

use parking::Inline;
use readers::Readers;
use writer::Writer;

use crate::migrate::Witness;
use crate::{Applied, Batch, Row, Sql, StoreError, Value};

mod parking;

/// An embedded database.
pub struct Sqlite {
    mode: Mode,
    /// Held for as long as the file is open; dropping it gives the file free.
    _owner: Option<owner::Owner>,
}

enum Mode {
    /// A file: a writer thread and readers of their own.
    File { writer: Writer, readers: Readers },
    /// Memory: every statement on the caller's thread.
    Inline(Inline),
}

impl Sqlite {
    /// Opens the file at `path`, becomes its owner and brings its schema up to date.
    pub(crate) fn open(path: &Path, witness: Witness<'_>) -> Result<Self, StoreError> {
        let owner = owner::Owner::take(path)?;
        let mut connection = open::writer(path)?;
        open::migrate(&mut connection, witness)?;
        open::release_leases(&connection)?;
        let readers = Readers::open(path)?;
        let writer = Writer::start(connection)?;
        Ok(Self { mode: Mode::File { writer, readers }, _owner: Some(owner) })
    }

    /// An empty database in memory.
    pub(crate) fn in_memory() -> Result<Self, StoreError> {
        let mut connection = open::memory()?;
        open::migrate(&mut connection, &|_| ())?;
        Ok(Self { mode: Mode::Inline(Inline::new(connection)), _owner: None })
    }

    pub(crate) async fn apply(&self, batch: Batch) -> Result<Applied, StoreError> {
        match &self.mode {
            Mode::File { writer, .. } => writer.apply(batch).await,
            Mode::Inline(inline) => inline.with(|connection| {
                let begin = connection.execute_batch("BEGIN IMMEDIATE");
                begin.map_err(execute::unavailable)?;
                let applied = execute::Prepared::on(connection).batch(&batch);
                let end = if applied.is_ok() { "COMMIT" } else { "ROLLBACK" };
                connection.execute_batch(end).map_err(execute::unavailable)?;
                applied
            }),
        }
    }

    /// As [`Sqlite::apply`] for each of `batches`, in as few commits as hold them.
    pub(crate) async fn apply_each(&self, batches: Vec<Batch>) -> Vec<Result<Applied, StoreError>> {
        match &self.mode {
            Mode::File { writer, .. } => writer.apply_each(batches).await,
            Mode::Inline(inline) => {
                inline.with(|connection| writer::commit_all(connection, &batches))
            }
        }
    }

    pub(crate) async fn read(
        &self,
        sql: &'static Sql,
        params: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError> {
        match &self.mode {
            Mode::File { readers, .. } => readers.read(sql, params).await,
            Mode::Inline(inline) => {
                inline.with(|connection| execute::query(connection, sql, &params))
            }
        }
    }

    /// As [`Sqlite::read`], on the caller's thread when a connection is free.
    pub(crate) async fn read_here(
        &self,
        sql: &'static Sql,
        params: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError> {
        if let Mode::File { readers, .. } = &self.mode
            && let Some(rows) = readers.try_here(|on| execute::query(on, sql, &params))
        {
            return rows;
        }
        self.read(sql, params).await
    }

    pub(crate) async fn prepare_all(&self) -> Result<usize, StoreError> {
        match &self.mode {
            Mode::File { readers, .. } => readers.with(execute::prepare_all).await,
            Mode::Inline(inline) => inline.with(execute::prepare_all),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::leases;

    #[tokio::test]
    async fn a_group_in_memory_is_one_transaction_too_and_a_bad_batch_harms_only_itself() {
        let mut connection = open::memory().unwrap();
        open::migrate(&mut connection, &|_| ()).unwrap();
        let commits = Arc::new(AtomicUsize::new(0));
        let of_hook = Arc::clone(&commits);
        let count = move || {
            of_hook.fetch_add(1, Ordering::Relaxed);
            false
        };
        connection.commit_hook(Some(count)).unwrap();
        let sqlite = Sqlite { mode: Mode::Inline(Inline::new(connection)), _owner: None };
        let named = |name: &str| leases::create(name, "me");
        let told = sqlite.apply_each(vec![named("a"), named("b")]).await;
        assert!(told.iter().all(Result::is_ok), "{told:?}");
        assert_eq!(commits.load(Ordering::Relaxed), 1);
        let group = vec![named("c"), leases::raise("nobody's", "me", 7), named("d")];
        let told = sqlite.apply_each(group).await;
        assert!(told[0].is_ok() && told[2].is_ok(), "{told:?}");
        assert!(told[1].as_ref().is_err_and(StoreError::is_conflict), "{told:?}");
        assert_eq!(commits.load(Ordering::Relaxed), 2);
        for (name, is_taken) in [("a", true), ("b", true), ("c", true), ("d", true), ("e", false)] {
            assert_eq!(sqlite.apply(named(name)).await.is_err(), is_taken, "{name}");
        }
    }
}
