//! Deliveries: what was posted to webhooks, kept until a tick takes it.
//!
//! **Invariant.** A delivery is taken by one tick: in the batch that moves the sensor's cursor, or
//! not at all. Its id stays behind, so that the same delivery, sent again, is known.

use millstream_model::{TenantId, TickSource, Timestamp};

use crate::batch::Expect;
use crate::statement::statements;
use crate::value::json;
use crate::{Batch, Scope, Store, StoreError, Value};

statements! {
    INSERT_DELIVERY = "
        INSERT INTO delivery (tenant, location, sensor, id, received_at, size, headers, body)
        SELECT $1, $2, $3, $4, $5, $6, $7, $8
        WHERE (SELECT COUNT(*) FROM delivery WHERE tenant = $1 AND location = $2 AND sensor = $3
                 AND taken_at IS NULL) < $9
          AND (SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM delivery WHERE tenant = $1
                 AND location = $2 AND sensor = $3 AND taken_at IS NULL) < $10
        ON CONFLICT (tenant, location, sensor, id) DO NOTHING
        RETURNING id";
    DELIVERY_KNOWN = "
        SELECT id FROM delivery
        WHERE tenant = $1 AND location = $2 AND sensor = $3 AND id = $4";
    /// Has the sensor look as soon as its least time between two ticks is over.
    WAKE_SENSOR = "
        UPDATE tick_source
        SET next_due = CASE WHEN cursor_at + $4 > $5 THEN cursor_at + $4 ELSE $5 END
        WHERE tenant = $1 AND kind = 'sensor' AND location = $2 AND name = $3
          AND next_due > CASE WHEN cursor_at + $4 > $5 THEN cursor_at + $4 ELSE $5 END";
    WAKE_SENSOR_IF_WAITING = "
        UPDATE tick_source SET next_due = $4
        WHERE tenant = $1 AND kind = 'sensor' AND location = $2 AND name = $3 AND next_due > $4
          AND EXISTS (SELECT 1 FROM delivery WHERE tenant = $1 AND location = $2 AND sensor = $3
                        AND taken_at IS NULL)";
    WAITING_DELIVERIES = "
        SELECT d.id, d.received_at, d.headers, d.body
        FROM (SELECT id, SUM(size) OVER (ORDER BY received_at, id) - size AS before_it
              FROM delivery
              WHERE tenant = $1 AND location = $2 AND sensor = $3 AND taken_at IS NULL
              ORDER BY received_at, id LIMIT $5) AS w
        JOIN delivery d
          ON d.tenant = $1 AND d.location = $2 AND d.sensor = $3 AND d.id = w.id
        WHERE CAST(w.before_it AS BIGINT) < $4
        ORDER BY d.received_at, d.id";
    LIST_DELIVERIES = "
        SELECT id, received_at, size FROM delivery
        WHERE tenant = $1 AND location = $2 AND sensor = $3 AND taken_at IS NULL
        ORDER BY received_at, id LIMIT $4";
    DELIVERY_WAITS = "
        SELECT id FROM delivery
        WHERE tenant = $1 AND location = $2 AND sensor = $3 AND id = $4 AND taken_at IS NULL";
    COUNT_DELIVERIES = "
        SELECT COUNT(*), MIN(received_at) FROM (
            SELECT received_at FROM delivery
            WHERE tenant = $1 AND location = $2 AND sensor = $3 AND taken_at IS NULL
            ORDER BY received_at LIMIT $4) AS waiting";
    TAKE_DELIVERIES = "
        UPDATE delivery SET taken_at = $4, headers = '{}', body = ''
        WHERE tenant = $1 AND location = $2 AND sensor = $3 AND id IN (/*texts $5*/)
          AND taken_at IS NULL";
    FORGET_DELIVERIES = "
        DELETE FROM delivery
        WHERE tenant = $1 AND location = $2 AND sensor = $3 AND taken_at < $4";
}

/// What was posted.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredDelivery {
    /// What it is called.
    pub id: String,
    /// When it came.
    pub received_at: Timestamp,
    /// Its headers, by their names in small letters.
    pub headers: serde_json::Value,
    /// Its body.
    pub body: String,
}

/// A delivery that waits for its sensor, without what it says.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct WaitingDelivery {
    /// What it is called.
    pub delivery: String,
    /// When it came.
    pub received_at: Timestamp,
    /// How long its body is.
    pub bytes: u32,
}

/// What became of a delivery on its way into the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It waits for the sensor's tick.
    New,
    /// It came before.
    Known,
    /// Too much waits already.
    Full,
}

fn key(tenant: &TenantId, source: &TickSource) -> Vec<Value> {
    vec![tenant.into(), (&source.location).into(), source.name.as_str().into()]
}

/// Marks the deliveries called `ids` as taken by the tick at `nominal`; it conflicts when one is
/// not there any more.
pub fn take(
    batch: &mut Batch,
    tenant: &TenantId,
    source: &TickSource,
    (ids, nominal): (&[String], Timestamp),
) {
    if ids.is_empty() {
        return;
    }
    let mut params = key(tenant, source);
    params.extend([nominal.into(), json(&ids)]);
    let count = u32::try_from(ids.len()).unwrap_or(u32::MAX);
    batch.push(&TAKE_DELIVERIES, params, Expect::Rows(count));
}

/// Forgets the ids of what was taken before `before`.
pub fn forget(batch: &mut Batch, tenant: &TenantId, source: &TickSource, before: Timestamp) {
    let mut params = key(tenant, source);
    params.push(before.into());
    batch.push(&FORGET_DELIVERIES, params, Expect::Any);
}

/// Has the sensor look at `due` if something waits for it; it stands behind what moves its cursor,
/// so that what comes in meanwhile is not overlooked.
pub fn wake_if_waiting(batch: &mut Batch, tenant: &TenantId, source: &TickSource, due: Timestamp) {
    let mut params = key(tenant, source);
    params.push(due.into());
    batch.push(&WAKE_SENSOR_IF_WAITING, params, Expect::Any);
}

impl Store {
    /// Keeps a delivery for a sensor that rests for `every` between two ticks, and wakes it; unless
    /// so many wait for it already, or so many bytes.
    pub async fn keep_delivery(
        &self,
        (tenant, source): (&TenantId, &TickSource),
        delivery: &StoredDelivery,
        every: std::time::Duration,
        (count_max, bytes_max): (u32, i64),
    ) -> Result<Kept, StoreError> {
        let mut params = key(tenant, source);
        params.extend([
            delivery.id.as_str().into(),
            delivery.received_at.into(),
            i64::try_from(delivery.body.len()).unwrap_or(i64::MAX).into(),
            json(&delivery.headers),
            delivery.body.as_str().into(),
            count_max.into(),
            bytes_max.into(),
        ]);
        let mut wake = key(tenant, source);
        let every = i64::try_from(every.as_micros()).unwrap_or(i64::MAX);
        wake.extend([every.into(), delivery.received_at.into()]);
        let mut batch =
            Batch::for_tenant(tenant).then(&INSERT_DELIVERY, params).then(&WAKE_SENSOR, wake);
        batch.wakes_daemon = true;
        if !self.apply(batch).await?.rows(0).is_empty() {
            return Ok(Kept::New);
        }
        let mut params = key(tenant, source);
        params.push(delivery.id.as_str().into());
        let known = self.read_few(Scope::tenant(tenant), &DELIVERY_KNOWN, params).await?;
        Ok(if known.is_empty() { Kept::Full } else { Kept::Known })
    }

    /// The first deliveries that wait for a sensor, in the order in which they came: at most
    /// `limit`, and no further one where they come to `bytes`.
    pub async fn waiting_deliveries(
        &self,
        tenant: &TenantId,
        source: &TickSource,
        (limit, bytes): (u32, i64),
    ) -> Result<Vec<StoredDelivery>, StoreError> {
        let mut params = key(tenant, source);
        params.extend([bytes.into(), limit.into()]);
        let rows = self.read(Scope::tenant(tenant), &WAITING_DELIVERIES, params).await?;
        rows.into_iter()
            .map(|mut row| {
                let (id, received_at) = (row.text()?, row.time()?);
                let (headers, body) = (row.json()?, row.text()?);
                Ok(StoredDelivery { id, received_at, headers, body })
            })
            .collect()
    }

    /// The first `limit` deliveries that wait for a sensor, in the order in which they came.
    pub async fn list_deliveries(
        &self,
        tenant: &TenantId,
        source: &TickSource,
        limit: u32,
    ) -> Result<Vec<WaitingDelivery>, StoreError> {
        let mut params = key(tenant, source);
        params.push(limit.into());
        let rows = self.read(Scope::tenant(tenant), &LIST_DELIVERIES, params).await?;
        rows.into_iter()
            .map(|mut row| {
                let (delivery, received_at) = (row.text()?, row.time()?);
                Ok(WaitingDelivery { delivery, received_at, bytes: row.count()? })
            })
            .collect()
    }

    /// Whether the delivery called `id` waits for a sensor.
    pub async fn delivery_waits(
        &self,
        tenant: &TenantId,
        source: &TickSource,
        id: &str,
    ) -> Result<bool, StoreError> {
        let mut params = key(tenant, source);
        params.push(id.into());
        let found = self.read_few(Scope::tenant(tenant), &DELIVERY_WAITS, params).await?;
        Ok(!found.is_empty())
    }

    /// How many deliveries wait for a sensor, at most `limit`, and when the first came.
    pub async fn count_deliveries(
        &self,
        tenant: &TenantId,
        source: &TickSource,
        limit: u32,
    ) -> Result<(u32, Option<Timestamp>), StoreError> {
        let mut params = key(tenant, source);
        params.push(limit.into());
        let rows = self.read_few(Scope::tenant(tenant), &COUNT_DELIVERIES, params).await?;
        let first = rows.into_iter().next();
        first.map_or(Ok((0, None)), |mut row| Ok((row.count()?, row.time_opt()?)))
    }
}
