//! The least that a durable write can cost here: so many rows, through the way that every batch
//! takes.
//!
//! `millstream bench` sets its figures against it; nothing else calls it.

use crate::batch::Expect;
use crate::statement::statements;
use crate::value::json;
use crate::{Batch, Scope, Store, StoreError};

/// About as much as a row of an event holds.
const FILLING: usize = 200;

statements! {
    DURABILITY = "SELECT /*setting fsync*/, /*setting synchronous_commit*/";
    PROBE_COMMIT = "
        INSERT INTO instance (key, value) VALUES ('bench', $1)
        ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    PROBE_ROWS = "
        WITH given(key, value) AS (/*pairs $1*/)
        INSERT INTO instance (key, value) SELECT key, value FROM given WHERE TRUE
        ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    FORGET_PROBES = "DELETE FROM instance WHERE key LIKE 'bench-%'";
}

impl Store {
    /// What the database says of how durable its commits are, as `fsync=on, synchronous_commit=on`.
    pub async fn durability(&self) -> Result<String, StoreError> {
        let rows = self.read_few(Scope::Instance, &DURABILITY, Vec::new()).await?;
        let Some(mut row) = rows.into_iter().next() else { return Ok(String::new()) };
        Ok(format!("fsync={}, synchronous_commit={}", row.text()?, row.text()?))
    }

    /// Commits one row, durably, as [`Store::apply`] commits a batch; `mark` is what it holds.
    pub async fn probe_commit(&self, mark: i64) -> Result<(), StoreError> {
        let mut batch = Batch::new(Scope::Instance);
        batch.push(&PROBE_COMMIT, vec![mark.to_string().into()], Expect::Rows(1));
        self.apply(batch).await.map(|_| ())
    }

    /// Commits `rows` rows, of the size of an event's, by one statement; `mark` tells them from
    /// those of other probes.
    pub async fn probe_rows(&self, mark: i64, rows: u32) -> Result<(), StoreError> {
        let value = "x".repeat(FILLING);
        let pairs: Vec<[String; 2]> =
            (0..rows).map(|row| [format!("bench-{mark}-{row}"), value.clone()]).collect();
        let mut batch = Batch::new(Scope::Instance);
        batch.push(&PROBE_ROWS, vec![json(&pairs)], Expect::Rows(rows));
        self.apply(batch).await.map(|_| ())
    }

    /// Removes what [`Store::probe_rows`] has left.
    pub async fn forget_probes(&self) -> Result<(), StoreError> {
        self.apply(Batch::new(Scope::Instance).then(&FORGET_PROBES, Vec::new())).await.map(|_| ())
    }
}
