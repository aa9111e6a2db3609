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

/// Forgets the loops of a daemon that ends.
pub fn forget(daemon: &str) -> Batch {
    Batch::new(Scope::Instance).then(&FORGET_DAEMON, vec![daemon.into()])
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
}
