//! The server database: a pool of connections, and every batch one transaction in one trip.
//!
//! A batch is sent whole, from BEGIN to COMMIT, before the first answer is read; row counts are
//! checked by the server, so a batch that misses one is rolled back without another trip. Whose
//! rows it may touch is the role and the tenants that it enters first; see
//! `docs/decisions/0005-postgres-roles-and-one-trip.md`.
//!
//! **Invariant.** A connection in the pool is never inside a transaction.

mod announce;
mod connect;
mod failure;
mod gather;
mod schema;
mod text;
mod trip;
mod value;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use futures_util::future::BoxFuture;

use crate::batch::{Expect, Step};
use crate::changes::Changes;
use crate::migrate::Witness;
use crate::{Applied, Batch, Row, SchemaState, Scope, Sql, StoreError, Value};
use announce::Announcer;
pub use connect::POSTGRES_OPTIONS;
use failure::{Failure, Repeat};
use text::Texts;

/// How often a batch that the server rolled back for another's sake is tried again.
const REPEATS_MAX: u32 = 8;

/// What the first repetition waits; each later one waits twice as long.
const REPEAT_WAIT: Duration = Duration::from_millis(2);

/// The longest that one trip may take: beyond it the server, or the way to it, is gone. The
/// server's own time-out for a statement is shorter.
const TRIP_MAX: Duration = Duration::from_secs(45);

/// A Postgres database.
pub struct Postgres {
    pool: Pool,
    texts: Texts,
    announcer: Announcer,
    /// Trips made again, so that each waits a little differently.
    repeated: AtomicU32,
}

impl Postgres {
    /// Connects to `url` and follows what others announce there; `changes` hears of it.
    pub(crate) async fn connect(
        url: &str,
        connections: usize,
        changes: Changes,
    ) -> Result<Self, StoreError> {
        let address = connect::address(url)?;
        let pool = connect::pool(address.clone(), connections)?;
        let first = connect::get(&pool).await?;
        connect::check_version(&first).await?;
        let announcer = Announcer::start(address, changes);
        Ok(Self { pool, texts: Texts::new(), announcer, repeated: AtomicU32::new(0) })
    }

    pub(crate) async fn schema_state(&self) -> Result<SchemaState, StoreError> {
        schema::state(&connect::get(&self.pool).await?).await
    }

    pub(crate) async fn migrate(&self, witness: Witness<'_>) -> Result<u32, StoreError> {
        schema::migrate(&mut connect::get(&self.pool).await?, witness).await
    }

    /// Commits `batch`.
    ///
    /// [`StoreError::Unavailable`] says that the outcome is not known: the connection may have been
    /// lost after the server had committed. Whoever applies the batch again must be able to bear
    /// that it is there already, as the keys and fences of our batches are.
    pub(crate) async fn apply(&self, batch: Batch) -> Result<Applied, StoreError> {
        let (steps, places) = gather::gather(batch.steps, &self.texts);
        let rows = self.with_patience(&batch.scope, &steps, Repeat::Always).await?;
        self.announcer.announce();
        Ok(Applied { rows: places.apart(rows) })
    }

    pub(crate) async fn announce_now(&self) -> Result<(), StoreError> {
        announce::now(&self.pool).await
    }

    pub(crate) async fn read(
        &self,
        scope: Scope,
        sql: &'static Sql,
        params: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError> {
        let steps = [Step { sql, params, expect: Expect::Any }];
        let rows = self.with_patience(&scope, &steps, Repeat::Reads).await?;
        Ok(rows.into_iter().next().unwrap_or_default())
    }

    pub(crate) async fn prepare_all(&self) -> Result<usize, StoreError> {
        schema::prepare_all(&connect::get(&self.pool).await?, &self.texts).await
    }

    /// Makes the trip, again while the failure may be repeated by calls of the kind `call`.
    ///
    /// Boxed, so that the driver is compiled here and not in each crate that awaits the store, and
    /// takes no room in what awaits an embedded database.
    fn with_patience<'a>(
        &'a self,
        scope: &'a Scope,
        steps: &'a [Step],
        call: Repeat,
    ) -> BoxFuture<'a, Result<Vec<Vec<Row>>, StoreError>> {
        Box::pin(async move {
            let mut repeats = 0;
            loop {
                let failure = match self.trip(scope, steps).await {
                    Ok(rows) => return Ok(rows),
                    Err(failure) => failure,
                };
                let may_repeat = failure.repeat == Repeat::Always || failure.repeat == call;
                if !may_repeat || repeats == REPEATS_MAX {
                    return Err(failure.error);
                }
                tracing::debug!(error = %failure.error, "the trip to the database is made again");
                // Batches that failed together come back apart, or they would meet again.
                let turn = self.repeated.fetch_add(1, Ordering::Relaxed) % 16;
                tokio::time::sleep(REPEAT_WAIT * 2_u32.pow(repeats) + REPEAT_WAIT * turn).await;
                repeats += 1;
            }
        })
    }

    async fn trip(&self, scope: &Scope, steps: &[Step]) -> Result<Vec<Vec<Row>>, Failure> {
        let connection = connect::get(&self.pool).await.map_err(Failure::final_)?;
        let trip = trip::make(&connection, &self.texts, scope, steps);
        let outcome = match tokio::time::timeout(TRIP_MAX, trip).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::final_(StoreError::Unavailable(format!(
                "no answer within {} s",
                TRIP_MAX.as_secs()
            )))),
        };
        if let Err(Failure { error: StoreError::Unavailable(_), repeat }) = &outcome
            && *repeat != Repeat::Always
        {
            // It may lead to a server that is gone or a standby now; the next one is made new.
            drop(Object::take(connection));
        }
        outcome
    }
}
