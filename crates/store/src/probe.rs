//! The least that a durable write can cost here: one row, through the way that every batch takes.
//!
//! `millstream bench` sets its figures against it; nothing else calls it.

use crate::batch::Expect;
use crate::statement::statements;
use crate::{Batch, Scope, Store, StoreError};

statements! {
    PROBE_COMMIT = "
        INSERT INTO instance (key, value) VALUES ('bench', $1)
        ON CONFLICT (key) DO UPDATE SET value = excluded.value";
}

impl Store {
    /// Commits one row, durably, as [`Store::apply`] commits a batch; `mark` is what it holds.
    pub async fn probe_commit(&self, mark: i64) -> Result<(), StoreError> {
        let mut batch = Batch::new(Scope::Instance);
        batch.push(&PROBE_COMMIT, vec![mark.to_string().into()], Expect::Rows(1));
        self.apply(batch).await.map(|_| ())
    }
}
