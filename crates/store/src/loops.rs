//! The loops of daemons, and when each was last seen to get around.

use std::time::Duration;

use millstream_model::Timestamp;

use crate::batch::Expect;
use crate::statement::statements;
use crate::value::json;
use crate::{Batch, Row, Scope, Store, StoreError};

statements! {
    KEEP_LOOPS = "
        WITH told(daemon, name, silence_max, beat_at) AS (/*rows $1 text text int int*/)
        INSERT INTO daemon_loop (daemon, name, silence_max, beat_at)
        SELECT daemon, name, silence_max, beat_at FROM told WHERE TRUE
        ON CONFLICT (daemon, name) DO UPDATE
        SET silence_max = excluded.silence_max, beat_at = excluded.beat_at";
    FORGET_LOOPS = "
        DELETE FROM daemon_loop
        WHERE daemon IN (SELECT daemon FROM daemon_loop
                         GROUP BY daemon HAVING MAX(beat_at) < $1)";
    FORGET_DAEMON = "DELETE FROM daemon_loop WHERE daemon = $1";
    KEEP_END = "
        INSERT INTO instance (key, value)
        SELECT 'daemon_ended_at', CAST($2 AS TEXT)
        WHERE EXISTS (SELECT 1 FROM daemon_loop WHERE daemon = $1)
        ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    LAST_END = "
        SELECT CAST(value AS BIGINT) FROM instance WHERE key = 'daemon_ended_at'";
    FORGET_DAEMONS = "DELETE FROM daemon_loop";
    LOOPS = "
        SELECT daemon, name, silence_max, beat_at FROM daemon_loop
        ORDER BY beat_at DESC, daemon, name LIMIT $1";
}

/// A loop as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLoop {
    /// Its daemon.
    pub daemon: String,
    /// Its name.
    pub name: String,
    /// How long it may be silent.
    pub silence_max: Duration,
    /// When it last got around.
    pub beat_at: Timestamp,
}

/// Stores when `loops` last got around, and forgets the daemons that were silent since `forget`: a
/// loop that hangs is known as long as another of its daemon gets around. Who has no loops forgets
/// nobody.
pub fn keep(loops: &[StoredLoop], forget: Timestamp) -> Batch {
    let micros = |length: Duration| i64::try_from(length.as_micros()).unwrap_or(i64::MAX);
    let rows: Vec<_> = loops
        .iter()
        .map(|it| (&it.daemon, &it.name, micros(it.silence_max), it.beat_at.as_micros()))
        .collect();
    let mut batch = Batch::new(Scope::Instance);
    if loops.is_empty() {
        return batch;
    }
    batch.push(&KEEP_LOOPS, vec![json(&rows)], Expect::Any);
    batch.push(&FORGET_LOOPS, vec![forget.into()], Expect::Any);
    batch
}

/// Forgets the loops of a daemon that ends in order, and keeps when; of one that has none, as one
/// that is there for one command, nothing is kept.
pub fn forget(daemon: &str, now: Timestamp) -> Batch {
    let at = now.as_micros().to_string();
    let mut batch = Batch::new(Scope::Instance);
    batch.push(&KEEP_END, vec![daemon.into(), at.into()], Expect::Any);
    batch.then(&FORGET_DAEMON, vec![daemon.into()])
}

/// Forgets the loops of all daemons.
pub fn forget_all() -> Batch {
    Batch::new(Scope::Instance).then(&FORGET_DAEMONS, Vec::new())
}

fn stored(mut row: Row) -> Result<StoredLoop, StoreError> {
    Ok(StoredLoop {
        daemon: row.text()?,
        name: row.text()?,
        silence_max: Duration::from_micros(u64::try_from(row.int()?).unwrap_or_default()),
        beat_at: row.time()?,
    })
}

impl Store {
    /// The loops that were heard of last, at most `limit`.
    pub async fn daemon_loops(&self, limit: u32) -> Result<Vec<StoredLoop>, StoreError> {
        let rows = self.read_few(Scope::Instance, &LOOPS, vec![limit.into()]).await?;
        rows.into_iter().map(stored).collect()
    }

    /// When the last daemon that ended in order did.
    pub async fn last_daemon_end(&self) -> Result<Option<Timestamp>, StoreError> {
        let rows = self.read_few(Scope::Instance, &LAST_END, Vec::new()).await?;
        rows.into_iter().next().map(|mut row| row.time()).transpose()
    }
}
