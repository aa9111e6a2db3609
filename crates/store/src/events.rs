//! The log of events, and the position that readers follow.
//!
//! Events are stored in batches; a batch has a position once it is committed and published. On
//! SQLite the one writer publishes in the same commit. On Postgres one leased publisher does,
//! because the order of ids is not the order of commits there: a reader that followed `max(id)`
//! would lose the event whose transaction took longer.

use millstream_model::view::EventRow;
use millstream_model::{Event, EventBody, EventPosition, RunId, TenantId};

use crate::batch::Expect;
use crate::statement::statements;
use crate::value::json;
use crate::{Batch, Row, Scope, Store, StoreError, leases};

statements! {
    INSERT_EVENT_BATCH = "/*batch row*/";
    INSERT_EVENT = "
        INSERT INTO event (tenant, run, epoch, seq, batch, at, body /*place column*/)
        VALUES ($1, $2, $3, $4, $5, $6, $7 /*place of $1, $5*/)";
    ANY_UNPUBLISHED = "SELECT tenant FROM /*batch table*/ WHERE /*unpublished*/ LIMIT 1";
    PUBLISH_EVENT_BATCHES = "/*publish*/";
    LAST_POSITION = "/*last position*/";
    RUN_EVENTS = "
        SELECT b.position, e.body FROM event e /*batch b of e*/
        WHERE e.tenant = $1 AND e.run = $2
          AND (b.position > $3 OR (b.position = $3 AND e.seq > $4))
        ORDER BY b.position, e.seq LIMIT $5";
    EVENT_EXISTS = "
        SELECT seq FROM event WHERE tenant = $1 AND run = $2 AND epoch = $3 AND seq = $4";
    CHECKS_OF_RUNS = "
        WITH asked(id) AS (/*texts $2*/)
        SELECT e.body FROM asked a /*each event e if e.tenant = $1 by e.run = a.id*/
        WHERE e.body LIKE '%\"kind\":\"asset_checked\"%'
        ORDER BY e.at DESC, e.epoch DESC, e.seq DESC LIMIT $3";
    EVENTS_AFTER = "
        SELECT b.position, e.body
        FROM /*log b e if b.position > $2 AND b.position <= $3*/
        WHERE b.tenant IN (/*texts $1*/) AND b.position > $2 AND b.position <= $3
              /*places b $2 $3*/
        ORDER BY /*order b e*/";
    /// One look for each tenant, however many batches there are.
    TENANTS_IN_LOG = "
        WITH RECURSIVE known(tenant) AS (
            SELECT MIN(tenant) FROM /*batch table*/
            UNION ALL
            SELECT (SELECT MIN(b.tenant) FROM /*batch table*/ AS b WHERE b.tenant > k.tenant)
            FROM known AS k WHERE k.tenant IS NOT NULL
        )
        SELECT tenant FROM known WHERE tenant IS NOT NULL LIMIT $1";
    BATCH_POSITIONS_AFTER = "
        /*batch positions*/ WHERE tenant IN (/*texts $1*/) AND position > $2 /*behind $2*/
        ORDER BY /*batch order*/ LIMIT $3";
}

/// The lease of the one that publishes.
pub const PUBLISHER_LEASE: &str = "publisher";

/// Batches that are published at once, so that the lease's row is not held for long.
const PUBLISHED_MAX: u32 = 1_000;

/// Stores `events`, which must all be of one tenant, as one batch with the id `id`, which no other
/// batch may have had: take a new one for each.
///
/// Postgres refuses an id that any batch has had, SQLite that of the batch before alone. To find an
/// older one it would need an index by ids again, which each commit between two steps would write.
/// Events of two such batches keep their own positions, so that readers see each once all the same.
pub fn insert(batch: &mut Batch, tenant: &TenantId, id: &str, events: &[Event]) {
    batch.push(&INSERT_EVENT_BATCH, vec![tenant.into(), id.into()], Expect::Rows(1));
    let mut events: Vec<&Event> = events.iter().collect();
    // Readers see them so, and where the order of writing is that of the log, it is this one.
    events.sort_by_key(|event| (event.run, event.epoch, event.seq));
    for event in events {
        let params = vec![
            tenant.into(),
            (&event.run).into(),
            event.epoch.into(),
            event.seq.into(),
            id.into(),
            event.at.into(),
            json(event),
        ];
        batch.push(&INSERT_EVENT, params, Expect::Rows(1));
    }
}

fn event_row(mut row: Row) -> Result<EventRow, StoreError> {
    Ok(EventRow { position: row.int_opt()?.map(EventPosition), event: row.json()? })
}

impl Store {
    /// The first `limit` tenants of which anything was ever said.
    pub async fn tenants_in_log(&self, limit: u32) -> Result<Vec<TenantId>, StoreError> {
        let rows = self.read(Scope::Daemon, &TENANTS_IN_LOG, vec![limit.into()]).await?;
        rows.into_iter().map(|mut row| row.parse()).collect()
    }

    /// The published events of a run in the order of the log, at most `limit`, after the one with
    /// this position and `seq`; `(0, i64::MIN)` begins at the first.
    pub async fn run_events(
        &self,
        tenant: &TenantId,
        run: RunId,
        after: (i64, i64),
        limit: u32,
    ) -> Result<Vec<EventRow>, StoreError> {
        let params =
            vec![tenant.into(), (&run).into(), after.0.into(), after.1.into(), limit.into()];
        let rows = self.read(Scope::tenant(tenant), &RUN_EVENTS, params).await?;
        rows.into_iter().map(event_row).collect()
    }

    /// The newest `limit` answers of checks in `runs`, the newest first, published or not.
    pub async fn checks_of_runs(
        &self,
        tenant: &TenantId,
        runs: &[RunId],
        limit: u32,
    ) -> Result<Vec<Event>, StoreError> {
        let params = vec![tenant.into(), json(&runs), limit.into()];
        let rows = self.read(Scope::tenant(tenant), &CHECKS_OF_RUNS, params).await?;
        let events = rows.into_iter().map(|mut row| row.json());
        // What a step says for itself may look like one.
        let is_check = |it: &Event| matches!(it.body, EventBody::AssetChecked { .. });
        events.filter(|it| it.as_ref().map_or(true, is_check)).collect()
    }

    /// Whether the event of a run with this epoch and `seq` is stored.
    pub async fn event_exists(
        &self,
        tenant: &TenantId,
        run: RunId,
        (epoch, seq): (i64, i64),
    ) -> Result<bool, StoreError> {
        let params = vec![tenant.into(), (&run).into(), epoch.into(), seq.into()];
        let rows = self.read_few(Scope::tenant(tenant), &EVENT_EXISTS, params).await?;
        Ok(!rows.is_empty())
    }

    /// The events of at most `batches` published batches after `position`, in the order of the
    /// log. A batch is never cut in two, so the last row's position is the next cursor.
    pub async fn events_after(
        &self,
        tenants: &[TenantId],
        position: EventPosition,
        batches: u32,
    ) -> Result<Vec<EventRow>, StoreError> {
        let scope = Scope::Tenants(tenants.to_vec());
        let params = vec![json(&tenants), position.0.into(), batches.into()];
        let positions = self.read(scope.clone(), &BATCH_POSITIONS_AFTER, params).await?;
        let Some(mut last) = positions.into_iter().next_back() else {
            return Ok(Vec::new());
        };
        let params = vec![json(&tenants), position.0.into(), last.int()?.into()];
        let rows = self.read(scope, &EVENTS_AFTER, params).await?;
        rows.into_iter().map(event_row).collect()
    }

    /// Gives positions to batches that have none, at most 1,000, and returns how many it gave; it
    /// conflicts when `holder` has lost the lease [`PUBLISHER_LEASE`].
    ///
    /// A reader that follows `position` misses nothing: raising the lease locks its row until the
    /// commit, so publishers go one after the other, and each reads the last position after the
    /// one before it has committed. Where the writer publishes in its own commits it returns 0.
    pub async fn publish(&self, holder: &str, fence: i64) -> Result<u32, StoreError> {
        if self.read_few(Scope::Daemon, &ANY_UNPUBLISHED, Vec::new()).await?.is_empty() {
            return Ok(0);
        }
        let batch = leases::raise(PUBLISHER_LEASE, holder, fence)
            .then(&PUBLISH_EVENT_BATCHES, vec![PUBLISHED_MAX.into()]);
        let published = self.apply(batch).await?.rows(1).len();
        Ok(u32::try_from(published).unwrap_or(u32::MAX))
    }

    /// The position of the newest published batch.
    pub async fn last_position(&self) -> Result<EventPosition, StoreError> {
        let rows = self.read_few(Scope::Daemon, &LAST_POSITION, Vec::new()).await?;
        rows.into_iter().next().map_or(Ok(EventPosition(0)), |mut row| row.int().map(EventPosition))
    }
}
