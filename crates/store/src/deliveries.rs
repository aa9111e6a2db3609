//! Deliveries: what was posted to webhooks, kept until a tick takes it.
//!
//! One of which no run could be made waits for its next try, behind which the others go on, and is
//! set aside at last: it is taken then, and keeps what it says and what is wrong with it.
//!
//! **Invariant.** A delivery is taken by one tick: in the batch that moves the sensor's cursor, or
//! not at all. Its id stays behind, so that the same delivery, sent again, is known.

use millstream_model::{TenantId, TickSource, Timestamp};

use crate::batch::Expect;
use crate::statement::statements;
use crate::value::json;
use crate::{Batch, Row, Scope, Sql, Store, StoreError, Value};

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
    /// Has the sensor look once the first of what waits is due, and no earlier than it may.
    WAKE_SENSOR_IF_WAITING = "
        WITH first (due) AS (
            SELECT CASE WHEN MIN(due) > $4 THEN MIN(due) ELSE $4 END FROM delivery
            WHERE tenant = $1 AND location = $2 AND sensor = $3 AND taken_at IS NULL
            HAVING COUNT(*) > 0)
        UPDATE tick_source SET next_due = first.due FROM first
        WHERE tick_source.tenant = $1 AND tick_source.kind = 'sensor'
          AND tick_source.location = $2 AND tick_source.name = $3
          AND tick_source.next_due > first.due";
    WAITING_DELIVERIES = "
        SELECT d.id, d.received_at, d.headers, d.body, d.tries
        FROM (SELECT id, SUM(size) OVER (ORDER BY received_at, id) - size AS before_it
              FROM delivery
              WHERE tenant = $1 AND location = $2 AND sensor = $3 AND taken_at IS NULL
                AND due <= $6
              ORDER BY received_at, id LIMIT $5) AS w
        JOIN delivery d
          ON d.tenant = $1 AND d.location = $2 AND d.sensor = $3 AND d.id = w.id
        WHERE CAST(w.before_it AS BIGINT) < $4
        ORDER BY d.received_at, d.id";
    LIST_DELIVERIES = "
        SELECT id, received_at, size, tries, due, problem, taken_at FROM delivery
        WHERE tenant = $1 AND location = $2 AND sensor = $3 AND taken_at IS NULL
        ORDER BY received_at, id LIMIT $4";
    LIST_SET_ASIDE = "
        SELECT id, received_at, size, tries, due, problem, taken_at FROM delivery
        WHERE tenant = $1 AND location = $2 AND sensor = $3
          AND taken_at IS NOT NULL AND problem IS NOT NULL
        ORDER BY taken_at DESC, id LIMIT $4";
    COUNT_SET_ASIDE = "
        SELECT COUNT(*) FROM (
            SELECT id FROM delivery
            WHERE tenant = $1 AND location = $2 AND sensor = $3
              AND taken_at IS NOT NULL AND problem IS NOT NULL
            LIMIT $4) AS aside";
    DELIVERY_IS_KEPT = "
        SELECT id FROM delivery
        WHERE tenant = $1 AND location = $2 AND sensor = $3 AND id = $4
          AND (taken_at IS NULL OR problem IS NOT NULL)";
    COUNT_DELIVERIES = "
        SELECT COUNT(*), MIN(received_at) FROM (
            SELECT received_at FROM delivery
            WHERE tenant = $1 AND location = $2 AND sensor = $3 AND taken_at IS NULL
            ORDER BY received_at LIMIT $4) AS waiting";
    TAKE_DELIVERIES = "
        UPDATE delivery SET taken_at = $4, headers = '{}', body = '', problem = NULL
        WHERE tenant = $1 AND location = $2 AND sensor = $3 AND id IN (/*texts $5*/)
          AND (taken_at IS NULL OR problem IS NOT NULL)";
    PUT_OFF_DELIVERIES = "
        WITH given (id, tries, due, problem, taken_at) AS MATERIALIZED
            (/*rows $4 text int int text int*/)
        UPDATE delivery
        SET tries = given.tries, due = given.due, problem = given.problem,
            taken_at = given.taken_at
        FROM given
        WHERE delivery.tenant = $1 AND delivery.location = $2 AND delivery.sensor = $3
          AND delivery.id = given.id AND delivery.taken_at IS NULL";
    /// Empties what was set aside first, as far as there is more than is kept.
    TRIM_SET_ASIDE = "
        UPDATE delivery SET headers = '{}', body = '', problem = NULL
        WHERE tenant = $1 AND location = $2 AND sensor = $3
          AND taken_at IS NOT NULL AND problem IS NOT NULL
          AND id NOT IN (
              SELECT id FROM (
                  SELECT id, SUM(size) OVER (ORDER BY taken_at DESC, id) AS upto FROM delivery
                  WHERE tenant = $1 AND location = $2 AND sensor = $3
                    AND taken_at IS NOT NULL AND problem IS NOT NULL
                  ORDER BY taken_at DESC, id LIMIT $4) AS kept
              WHERE CAST(upto AS BIGINT) <= $5)";
    RESEND_DELIVERIES = "
        UPDATE delivery SET tries = 0, due = 0, problem = NULL, taken_at = NULL
        WHERE tenant = $1 AND location = $2 AND sensor = $3 AND problem IS NOT NULL
          AND (id = $4 OR $4 = '')
        RETURNING id";
    DUE_AGAIN = "
        UPDATE delivery SET due = 0
        WHERE tenant = $1 AND location = $2 AND sensor = $3 AND taken_at IS NULL AND due > 0";
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
    /// How often no run could be made of it.
    pub tries: u32,
}

/// A delivery of which no run could be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutOff {
    /// What it is called.
    pub id: String,
    /// How often that was tried.
    pub tries: u32,
    /// What is wrong.
    pub problem: String,
    /// When it is tried again; when absent, it is set aside.
    pub due: Option<Timestamp>,
}

/// A delivery that waits for its sensor or was set aside, without what it says.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct WaitingDelivery {
    /// What it is called.
    pub delivery: String,
    /// When it came.
    pub received_at: Timestamp,
    /// How long its body is.
    pub bytes: u32,
    /// How often no run could be made of it.
    pub tries: u32,
    /// What was wrong at the last try.
    pub problem: Option<String>,
    /// When it is tried again, where it was tried before.
    pub next_try: Option<Timestamp>,
    /// When it was set aside, if it was: no tick reads it any more.
    pub set_aside_at: Option<Timestamp>,
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

/// Puts off the deliveries of which the tick at `nominal` could make no run. Of those that are set
/// aside, the last `count_max` are kept, and no more than `bytes_max` of them.
pub fn put_off(
    batch: &mut Batch,
    tenant: &TenantId,
    source: &TickSource,
    (put_off, nominal): (&[PutOff], Timestamp),
    (count_max, bytes_max): (u32, i64),
) {
    if put_off.is_empty() {
        return;
    }
    let row = |it: &PutOff| {
        let taken_at = it.due.is_none().then(|| nominal.as_micros());
        let due = it.due.map_or(0, Timestamp::as_micros);
        serde_json::json!([it.id, it.tries, due, it.problem, taken_at])
    };
    let rows: Vec<serde_json::Value> = put_off.iter().map(row).collect();
    let mut params = key(tenant, source);
    params.push(json(&rows));
    let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    batch.push(&PUT_OFF_DELIVERIES, params, Expect::Rows(count));
    if put_off.iter().any(|it| it.due.is_none()) {
        let mut params = key(tenant, source);
        params.extend([count_max.into(), bytes_max.into()]);
        batch.push(&TRIM_SET_ASIDE, params, Expect::Any);
    }
}

/// Has what waits for another try tried again at once.
pub fn due_again(batch: &mut Batch, tenant: &TenantId, source: &TickSource) {
    batch.push(&DUE_AGAIN, key(tenant, source), Expect::Any);
}

/// Forgets the ids of what was taken before `before`.
pub fn forget(batch: &mut Batch, tenant: &TenantId, source: &TickSource, before: Timestamp) {
    let mut params = key(tenant, source);
    params.push(before.into());
    batch.push(&FORGET_DELIVERIES, params, Expect::Any);
}

/// Has the sensor look when the first of what waits for it is to be tried, and no earlier than at
/// `due`; it stands behind what moves its cursor, so that nothing that comes in meanwhile is
/// overlooked.
pub fn wake_if_waiting(batch: &mut Batch, tenant: &TenantId, source: &TickSource, due: Timestamp) {
    let mut params = key(tenant, source);
    params.push(due.into());
    batch.push(&WAKE_SENSOR_IF_WAITING, params, Expect::Any);
}

/// What [`WAKE_SENSOR`] is told.
fn wake(
    (tenant, source): (&TenantId, &TickSource),
    every: std::time::Duration,
    now: Timestamp,
) -> Vec<Value> {
    let every = i64::try_from(every.as_micros()).unwrap_or(i64::MAX);
    let mut params = key(tenant, source);
    params.extend([every.into(), now.into()]);
    params
}

fn listed(mut row: Row) -> Result<WaitingDelivery, StoreError> {
    let (delivery, received_at) = (row.text()?, row.time()?);
    let (bytes, tries, due) = (row.count()?, row.count()?, row.time()?);
    let (problem, taken_at) = (row.text_opt()?, row.time_opt()?);
    let next_try = (tries > 0 && taken_at.is_none()).then_some(due);
    let set_aside_at = taken_at;
    Ok(WaitingDelivery { delivery, received_at, bytes, tries, problem, next_try, set_aside_at })
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
        let wake = wake((tenant, source), every, delivery.received_at);
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

    /// The first deliveries that wait for a sensor and are to be tried by `due`, in the order in
    /// which they came: at most `limit`, and no further one where they come to `bytes`.
    pub async fn waiting_deliveries(
        &self,
        tenant: &TenantId,
        source: &TickSource,
        (limit, bytes, due): (u32, i64, Timestamp),
    ) -> Result<Vec<StoredDelivery>, StoreError> {
        let mut params = key(tenant, source);
        params.extend([bytes.into(), limit.into(), due.into()]);
        let rows = self.read(Scope::tenant(tenant), &WAITING_DELIVERIES, params).await?;
        rows.into_iter()
            .map(|mut row| {
                let (id, received_at) = (row.text()?, row.time()?);
                let (headers, body) = (row.json()?, row.text()?);
                Ok(StoredDelivery { id, received_at, headers, body, tries: row.count()? })
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
        self.listed_by(&LIST_DELIVERIES, (tenant, source), limit).await
    }

    /// The last `limit` deliveries that were set aside, the last one first.
    pub async fn list_set_aside(
        &self,
        tenant: &TenantId,
        source: &TickSource,
        limit: u32,
    ) -> Result<Vec<WaitingDelivery>, StoreError> {
        self.listed_by(&LIST_SET_ASIDE, (tenant, source), limit).await
    }

    async fn listed_by(
        &self,
        statement: &'static Sql,
        (tenant, source): (&TenantId, &TickSource),
        limit: u32,
    ) -> Result<Vec<WaitingDelivery>, StoreError> {
        let mut params = key(tenant, source);
        params.push(limit.into());
        let rows = self.read(Scope::tenant(tenant), statement, params).await?;
        rows.into_iter().map(listed).collect()
    }

    /// How many deliveries were set aside, at most `limit`.
    pub async fn count_set_aside(
        &self,
        tenant: &TenantId,
        source: &TickSource,
        limit: u32,
    ) -> Result<u32, StoreError> {
        let mut params = key(tenant, source);
        params.push(limit.into());
        let rows = self.read_few(Scope::tenant(tenant), &COUNT_SET_ASIDE, params).await?;
        rows.into_iter().next().map_or(Ok(0), |mut row| row.count())
    }

    /// Has the delivery called `id` tried anew, or all that were set aside or wait for another try
    /// where none is named, and wakes the sensor, which rests for `every` between two ticks: how
    /// many there are.
    pub async fn resend_deliveries(
        &self,
        (tenant, source): (&TenantId, &TickSource),
        id: Option<&str>,
        (every, now): (std::time::Duration, Timestamp),
    ) -> Result<usize, StoreError> {
        let mut params = key(tenant, source);
        params.push(id.unwrap_or_default().into());
        let mut batch = Batch::for_tenant(tenant)
            .then(&RESEND_DELIVERIES, params)
            .then(&WAKE_SENSOR, wake((tenant, source), every, now));
        batch.wakes_daemon = true;
        Ok(self.apply(batch).await?.rows(0).len())
    }

    /// Whether the delivery called `id` waits for a sensor, or was set aside.
    pub async fn delivery_is_kept(
        &self,
        tenant: &TenantId,
        source: &TickSource,
        id: &str,
    ) -> Result<bool, StoreError> {
        let mut params = key(tenant, source);
        params.push(id.into());
        let found = self.read_few(Scope::tenant(tenant), &DELIVERY_IS_KEPT, params).await?;
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
