//! What stands between callers and the database in a simulation: it waits, fails, loses answers,
//! and plants mistakes.
//!
//! Built with the feature `testing` alone, which only the tests of testkit ask for. A release has
//! none of it.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::{Batch, Expect, Sql, Store, StoreError};

/// Stands between the callers of one store handle and the database.
pub trait Interposer: Send + Sync {
    /// Comes before a call reaches the database. It may wait, change what is written, or fail the
    /// call, which then does nothing.
    fn before<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Comes after a batch was committed. It may wait, or lose the answer.
    fn after(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// A call on its way to the database.
#[derive(Debug)]
pub enum Call<'a> {
    /// The question with this name.
    Read(&'static str),
    /// This batch.
    Apply(&'a mut Batch),
}

impl Store {
    /// A handle of the same database whose calls go by `interposer`.
    #[must_use]
    pub fn interposed(&self, interposer: Arc<dyn Interposer>) -> Self {
        let mut handle = self.clone();
        handle.interposer = Some(interposer);
        handle
    }

    pub(crate) async fn interpose(&self, mut batch: Batch) -> Result<Batch, StoreError> {
        if let Some(interposer) = &self.interposer {
            interposer.before(Call::Apply(&mut batch)).await?;
        }
        Ok(batch)
    }

    pub(crate) async fn interpose_read(&self, sql: &'static Sql) -> Result<(), StoreError> {
        match &self.interposer {
            Some(interposer) => interposer.before(Call::Read(sql.name)).await,
            None => Ok(()),
        }
    }

    pub(crate) async fn answered(&self) -> Result<(), StoreError> {
        match &self.interposer {
            Some(interposer) => interposer.after().await,
            None => Ok(()),
        }
    }
}

impl Batch {
    /// The names of its statements, in order.
    pub fn statements(&self) -> impl Iterator<Item = &'static str> {
        self.steps.iter().map(|step| step.sql.name)
    }

    /// Plants a mistake: every statement called as `mistake` is replaced by it, and may touch any
    /// number of rows.
    pub fn plant(&mut self, mistake: &'static Sql) {
        for step in self.steps.iter_mut().filter(|step| step.sql.name == mistake.name) {
            step.sql = mistake;
            step.expect = Expect::Any;
        }
    }
}
