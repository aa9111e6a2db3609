//! Sensors: what each remembers, the commit of its ticks, and the events that it reads.
//!
//! A tick is stored against the cursor's time and the definition's version that it was asked with,
//! so that of two daemons that ask the same sensor one stores its answer, and one only.
//!
//! **Invariant.** Events are read up to a position that was published before they were asked for,
//! in the order of the log, so that a reader that goes on behind the last one misses none.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_model::view::{EventRow, RunRow};
use millstream_model::{
    ContentHash, Event, EventPosition, LocationName, RunId, TenantId, TickSource, Timestamp,
};

use crate::batch::Expect;
use crate::runs::run_row;
use crate::sources::{StoredSource, key, stored_source};
use crate::statement::statements;
use crate::ticks::NewTick;
use crate::value::json;
use crate::{Applied, Batch, Row, Scope, Store, StoreError, Value};

statements! {
    ADOPT_SENSORS = "
        WITH given (tenant, location, name, version, timing, cursor_at, next_due, default_on,
                    forgets) AS MATERIALIZED
            (/*rows $1 text text text int text int int bool bool*/)
        INSERT INTO tick_source (tenant, kind, location, name, version, timing, cursor_at,
                                 next_due, default_on)
        SELECT tenant, 'sensor', location, name, version, timing, cursor_at, next_due, default_on
        FROM given WHERE NOT forgets
        ON CONFLICT (tenant, kind, location, name) DO UPDATE
        SET version = excluded.version, timing = excluded.timing, next_due = excluded.next_due,
            default_on = excluded.default_on
        WHERE tick_source.version <= excluded.version";
    FORGET_CURSORS = "
        WITH given (tenant, location, name, version, timing, cursor_at, next_due, default_on,
                    forgets) AS MATERIALIZED
            (/*rows $1 text text text int text int int bool bool*/)
        UPDATE tick_source
        SET version = given.version, timing = given.timing, next_due = given.next_due,
            default_on = given.default_on, cursor = NULL
        FROM given
        WHERE given.forgets AND tick_source.tenant = given.tenant AND tick_source.kind = 'sensor'
          AND tick_source.location = given.location AND tick_source.name = given.name
          AND tick_source.version <= given.version";
    NEXT_SENSOR_AFTER = "
        SELECT next_due FROM tick_source WHERE next_due > $1 AND kind = 'sensor'
        ORDER BY next_due LIMIT 1";
    SENSOR_MEMORY = "
        SELECT tenant, kind, location, name, version, timing, cursor_at, next_due, default_on,
               override_on, cursor
        FROM tick_source WHERE tenant = $1 AND kind = $2 AND location = $3 AND name = $4";
    SENSOR_MEMORIES = "
        SELECT tenant, kind, location, name, version, timing, cursor_at, next_due, default_on,
               override_on, cursor
        FROM tick_source
        WHERE tenant = $1 AND kind = 'sensor' AND location = $2 AND name IN (/*texts $3*/)";
    SETTLE_SENSOR = "
        UPDATE tick_source SET cursor_at = $7, cursor = $8, next_due = $9
        WHERE tenant = $1 AND kind = $2 AND location = $3 AND name = $4
          AND timing = $5 AND cursor_at = $6 AND next_due IS NOT NULL";
    SET_CURSOR = "
        UPDATE tick_source SET cursor = $5, cursor_at = $6
        WHERE tenant = $1 AND kind = $2 AND location = $3 AND name = $4 AND cursor_at = $7";
    /// Has sensors look now, but not sooner than `$4` after their last look.
    WAKE_SENSORS = "
        UPDATE tick_source
        SET next_due = CASE WHEN cursor_at + $4 > $5 THEN cursor_at + $4 ELSE $5 END
        WHERE tenant = $1 AND kind = 'sensor' AND location = $2 AND name IN (/*texts $3*/)
          AND next_due > CASE WHEN cursor_at + $4 > $5 THEN cursor_at + $4 ELSE $5 END";
    REPEAT_TICK = "
        UPDATE tick
        SET nominal = $6, decided_at = $7, times = times + 1, since = COALESCE(since, nominal)
        WHERE tenant = $1 AND kind = $2 AND location = $3 AND name = $4 AND nominal = $5
          AND status = $8 AND requested = 0 AND COALESCE(skipped, '') = $9
          AND COALESCE(error, '') = $10 AND COALESCE(warnings, '') = $11
        RETURNING nominal";
    INSERT_UNREPEATED_TICK = "
        INSERT INTO tick (tenant, kind, location, name, nominal, decided_at, status, requested,
                          skipped, error, warnings)
        SELECT $1, $2, $3, $4, $5, $6, $7, 0, NULLIF($8, ''), NULLIF($9, ''), NULLIF($10, '')
        WHERE NOT EXISTS (SELECT 1 FROM tick WHERE tenant = $1 AND kind = $2 AND location = $3
                            AND name = $4 AND nominal = $5)";
    RUNS_OF_KEYS = "
        SELECT run_key, run FROM tick_run
        WHERE tenant = $1 AND kind = $2 AND location = $3 AND name = $4
          AND run_key IN (/*texts $5*/)";
    NEWS = "
        SELECT b.position, e.body
        FROM /*log b e if b.tenant = $1 AND b.position >= $3 AND b.position <= $2*/
        WHERE b.tenant = $1 AND b.position >= $3 AND b.position <= $2 /*places b $3 $2*/
          AND (b.position > $3 OR (b.position = $3
               AND (e.run > $4 OR (e.run = $4 AND (e.epoch > $5 OR (e.epoch = $5
                    AND e.seq > $6))))))
          AND (e.body LIKE $7 OR e.body LIKE $8 OR e.body LIKE $9)
        ORDER BY /*order b e*/ LIMIT $10";
    COUNT_NEWS = "
        SELECT COUNT(*), MIN(at) FROM (
            SELECT e.at AS at
            FROM /*log b e if b.tenant = $1 AND b.position >= $3 AND b.position <= $2*/
            WHERE b.tenant = $1 AND b.position >= $3 AND b.position <= $2 /*places b $3 $2*/
              AND (b.position > $3 OR (b.position = $3
                   AND (e.run > $4 OR (e.run = $4 AND (e.epoch > $5 OR (e.epoch = $5
                        AND e.seq > $6))))))
              AND (e.body LIKE $7 OR e.body LIKE $8 OR e.body LIKE $9)
            LIMIT $10) AS news";
    RUNS_WITH_CONTEXT = "
        WITH asked(id) AS (/*texts $2*/)
        SELECT r.tenant, r.id, r.job, r.title, COALESCE(l.status, r.status), r.cause,
               r.partition_key, r.tags, r.queued_at, r.started_at, r.ended_at, r.steps_total,
               r.steps_done + COALESCE(l.steps_done, 0), l.hold, r.failure, COALESCE(l.epoch, 0),
               COALESCE(l.cancel_requested, FALSE), r.retried_as, r.location, r.context
        FROM asked a
        /*each run r if r.tenant = $1 by r.id = a.id*/
        /*any live_run l if l.tenant = r.tenant AND l.run = r.id*/";
}

/// Where in a batch [`settle`] looks for the tick before.
const REPEATED: usize = 1;

/// Run keys that are looked up on the caller's thread.
const KEYS_FEW: usize = 16;

/// A sensor as stored, with what it remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SensorMemory {
    /// Where it stands.
    pub stored: StoredSource,
    /// What it remembers.
    pub cursor: Option<String>,
}

/// A sensor on its way into the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdoptedSensor {
    /// Where it stands; a stored cursor's time stays as it is.
    pub stored: StoredSource,
    /// Whether what it remembered is forgotten.
    pub forgets: bool,
}

/// A tick of a sensor on its way into the store.
#[derive(Debug, Clone, PartialEq)]
pub struct SensorMove {
    /// Which sensor.
    pub source: TickSource,
    /// The version of the definition that it was asked with.
    pub version: ContentHash,
    /// When it had ticked before.
    pub from: Timestamp,
    /// What it remembers from now on.
    pub cursor: Option<String>,
    /// When it is due again.
    pub next_due: Timestamp,
}

/// A place in the log behind an event, or behind all of a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPlace {
    /// The position.
    pub position: EventPosition,
    /// The event there that was read last; all of them when absent.
    pub event: Option<(RunId, i64, i64)>,
}

/// A run with what its list does not show.
#[derive(Debug, Clone, PartialEq)]
pub struct RunFacts {
    /// The run.
    pub row: RunRow,
    /// The code location.
    pub location: String,
    /// The trigger context.
    pub context: serde_json::Map<String, serde_json::Value>,
}

/// Takes sensors of one tenant over from the definitions of a location.
pub fn adopt(batch: &mut Batch, sensors: &[AdoptedSensor]) {
    let rows: Vec<serde_json::Value> = sensors
        .iter()
        .map(|AdoptedSensor { stored: it, forgets }| {
            serde_json::json!([
                it.tenant,
                it.source.location,
                it.source.name,
                it.version,
                it.timing,
                it.cursor.as_micros(),
                it.next_due.map(Timestamp::as_micros),
                it.default_on,
                forgets,
            ])
        })
        .collect();
    batch.push(&ADOPT_SENSORS, vec![json(&rows)], Expect::Any);
    if sensors.iter().any(|sensor| sensor.forgets) {
        batch.push(&FORGET_CURSORS, vec![json(&rows)], Expect::Any);
    }
    batch.wakes_daemon = true;
}

/// Moves a sensor's cursor to `tick`, and stores the tick without its runs when it requested
/// nothing. It conflicts when the sensor has ticked, was edited or was switched meanwhile, or has
/// left the definitions.
pub fn settle(batch: &mut Batch, tenant: &TenantId, (to, tick): (&SensorMove, &NewTick)) {
    let mut params = key(tenant, &to.source);
    params.extend([
        (&to.version).into(),
        to.from.into(),
        tick.nominal.into(),
        to.cursor.as_deref().into(),
        to.next_due.into(),
    ]);
    batch.push(&SETTLE_SENSOR, params, Expect::Rows(1));
    if !tick.runs.is_empty() {
        crate::ticks::insert(batch, tenant, std::slice::from_ref(tick));
        return;
    }
    // An empty text is what is not there: a parameter that is compared cannot be NULL.
    let none = || Value::Text(String::new());
    let said = [
        Value::Text(tick.status.to_string()),
        tick.skipped.as_ref().map_or_else(none, json),
        tick.error.as_ref().map_or_else(none, json),
        if tick.warnings.is_empty() { none() } else { json(&tick.warnings) },
    ];
    let mut params = key(tenant, &to.source);
    params.extend([to.from.into(), tick.nominal.into(), tick.decided_at.into()]);
    params.extend(said.clone());
    batch.push(&REPEAT_TICK, params, Expect::Any);
    let mut params = key(tenant, &to.source);
    params.extend([tick.nominal.into(), tick.decided_at.into()]);
    params.extend(said);
    batch.push(&INSERT_UNREPEATED_TICK, params, Expect::Any);
}

/// Whether the tick that [`settle`] put into a batch came to the same as the one before it.
pub fn is_repeated(applied: &mut Applied) -> bool {
    !applied.rows(REPEATED).is_empty()
}

/// Gives a sensor another cursor, or none; it conflicts when it has ticked meanwhile.
pub fn set_cursor(known: &StoredSource, cursor: Option<&str>, at: Timestamp) -> Batch {
    let mut params = key(&known.tenant, &known.source);
    params.extend([cursor.into(), at.into(), known.cursor.into()]);
    Batch::for_tenant(&known.tenant).then_one(&SET_CURSOR, params)
}

/// Has those sensors of a location look at `now` that are called `names`, but no sooner than
/// `least` after their last ticks; one that is off stays so.
pub fn wake(
    batch: &mut Batch,
    tenant: &TenantId,
    (location, names): (&LocationName, &[&str]),
    (least, now): (Duration, Timestamp),
) {
    let least = i64::try_from(least.as_micros()).unwrap_or(i64::MAX);
    let params = vec![tenant.into(), location.into(), json(&names), least.into(), now.into()];
    batch.push(&WAKE_SENSORS, params, Expect::Any);
    batch.wakes_daemon = true;
}

impl Store {
    /// When the next sensor is due after `now`, over all tenants.
    pub async fn next_sensor_after(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let rows = self.read_few(Scope::Daemon, &NEXT_SENSOR_AFTER, vec![now.into()]).await?;
        rows.into_iter().next().map_or(Ok(None), |mut row| row.time_opt())
    }

    /// Where a sensor stands and what it remembers.
    pub async fn sensor_memory(
        &self,
        tenant: &TenantId,
        source: &TickSource,
    ) -> Result<Option<SensorMemory>, StoreError> {
        let rows = self.read_few(Scope::tenant(tenant), &SENSOR_MEMORY, key(tenant, source));
        rows.await?.into_iter().next().map(memory).transpose()
    }

    /// Where those of a location's sensors stand that are called `names`, and what they remember.
    pub async fn sensor_memories(
        &self,
        tenant: &TenantId,
        location: &LocationName,
        names: &[&str],
    ) -> Result<BTreeMap<TickSource, SensorMemory>, StoreError> {
        let params = vec![tenant.into(), location.into(), json(&names)];
        let rows = self.read_few(Scope::tenant(tenant), &SENSOR_MEMORIES, params).await?;
        let keyed = |it: SensorMemory| (it.stored.source.clone(), it);
        rows.into_iter().map(|row| memory(row).map(keyed)).collect()
    }

    /// The runs that a source requested under `run_keys`.
    pub async fn runs_of_keys(
        &self,
        tenant: &TenantId,
        source: &TickSource,
        run_keys: &[&str],
    ) -> Result<BTreeMap<String, RunId>, StoreError> {
        let mut params = key(tenant, source);
        params.push(json(&run_keys));
        let scope = Scope::tenant(tenant);
        let rows = if run_keys.len() > KEYS_FEW {
            self.read(scope, &RUNS_OF_KEYS, params).await?
        } else {
            self.read_few(scope, &RUNS_OF_KEYS, params).await?
        };
        rows.into_iter().map(|mut row| Ok((row.text()?, row.parse()?))).collect()
    }

    /// The first `limit` events of a tenant behind `after`, up to the position `upto`, whose kinds
    /// are among `kinds`, of which there are at most three; further ones may be among them.
    pub async fn news(
        &self,
        tenant: &TenantId,
        (after, upto): (LogPlace, EventPosition),
        kinds: &[&str],
        limit: u32,
    ) -> Result<Vec<EventRow>, StoreError> {
        let params = news_params(tenant, (after, upto), kinds, limit);
        let rows = self.read(Scope::tenant(tenant), &NEWS, params).await?;
        rows.into_iter()
            .map(|mut row: Row| {
                let position = row.int_opt()?.map(EventPosition);
                Ok(EventRow { position, event: row.json::<Event>()? })
            })
            .collect()
    }

    /// How many events [`Store::news`] would find, at most `limit`, and when the first happened.
    pub async fn count_news(
        &self,
        tenant: &TenantId,
        (after, upto): (LogPlace, EventPosition),
        kinds: &[&str],
        limit: u32,
    ) -> Result<(u32, Option<Timestamp>), StoreError> {
        let params = news_params(tenant, (after, upto), kinds, limit);
        let rows = self.read(Scope::tenant(tenant), &COUNT_NEWS, params).await?;
        let first = rows.into_iter().next();
        first.map_or(Ok((0, None)), |mut row| Ok((row.count()?, row.time_opt()?)))
    }

    /// The runs called `ids`, with their locations and contexts.
    pub async fn runs_with_context(
        &self,
        tenant: &TenantId,
        ids: &[RunId],
    ) -> Result<BTreeMap<RunId, RunFacts>, StoreError> {
        let params = vec![tenant.into(), json(&ids)];
        let rows = self.read(Scope::tenant(tenant), &RUNS_WITH_CONTEXT, params).await?;
        rows.into_iter()
            .map(|mut row| {
                let facts = RunFacts {
                    row: run_row(&mut row)?,
                    location: row.text()?,
                    context: row.json()?,
                };
                Ok((facts.row.run_id, facts))
            })
            .collect()
    }
}

fn memory(mut row: Row) -> Result<SensorMemory, StoreError> {
    Ok(SensorMemory { stored: stored_source(&mut row)?, cursor: row.text_opt()? })
}

/// The parameters of a question about events.
fn news_params(
    tenant: &TenantId,
    (after, upto): (LogPlace, EventPosition),
    kinds: &[&str],
    limit: u32,
) -> Vec<Value> {
    let (run, epoch, seq) = match after.event {
        Some((run, epoch, seq)) => (run.to_string(), epoch, seq),
        // Behind every id: they are hexadecimal digits.
        None => ("g".to_owned(), 0, 0),
    };
    let pattern = |index: usize| match kinds.get(index) {
        Some(kind) => Value::Text(format!("%\"kind\":\"{kind}\"%")),
        None => Value::Text(String::new()),
    };
    vec![
        tenant.into(),
        upto.0.into(),
        after.position.0.into(),
        run.into(),
        epoch.into(),
        seq.into(),
        pattern(0),
        pattern(1),
        pattern(2),
        limit.into(),
    ]
}
