//! What ticks: where each schedule and sensor stands, when it is due, and who switched it.
//!
//! A tick moves the cursor from the one it was decided from, so that of two daemons that decide the
//! same tick the second conflicts, and nothing of its batch is stored.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::{ContentHash, LocationName, TenantId, TickKind, TickSource, Timestamp};

use crate::batch::Expect;
use crate::leases::Held;
use crate::statement::statements;
use crate::value::json;
use crate::{Batch, Row, Scope, Store, StoreError, Value};

statements! {
    DUE_SOURCES = "
        SELECT tenant, kind, location, name, version, timing, cursor_at, next_due, default_on,
               override_on
        FROM tick_source WHERE next_due <= $1 AND kind = $2
        ORDER BY next_due LIMIT $3";
    SOURCES_AHEAD = "
        SELECT tenant, kind, location, name, version, timing, cursor_at, next_due, default_on,
               override_on
        FROM tick_source
        WHERE next_due > $2 AND /*among tick_source $1 tenant kind location name*/";
    NEXT_DUE = "
        SELECT next_due FROM tick_source WHERE next_due IS NOT NULL AND kind = $1
        ORDER BY next_due LIMIT 1";
    SOURCES_OF_LOCATION = "
        SELECT tenant, kind, location, name, version, timing, cursor_at, next_due, default_on,
               override_on
        FROM tick_source WHERE kind = $1 AND location = $2 LIMIT $3";
    SOURCES_OF_TENANT = "
        SELECT tenant, kind, location, name, version, timing, cursor_at, next_due, default_on,
               override_on, override_by, override_at
        FROM tick_source WHERE tenant = $1 AND kind = $2 LIMIT $3";
    ADOPT_SOURCES = "
        INSERT INTO tick_source (tenant, kind, location, name, version, timing, cursor_at,
                                 next_due, default_on)
        /*rows $1 text text text text int text int int bool*/
        WHERE TRUE
        ON CONFLICT (tenant, kind, location, name) DO UPDATE
        SET version = excluded.version, timing = excluded.timing,
            cursor_at = CASE WHEN tick_source.timing = excluded.timing
                              AND tick_source.cursor_at > excluded.cursor_at
                             THEN tick_source.cursor_at ELSE excluded.cursor_at END,
            next_due = excluded.next_due, default_on = excluded.default_on
        WHERE tick_source.version <= excluded.version";
    RENAME_SOURCE = "
        UPDATE tick_source SET name = $5
        WHERE tenant = $1 AND kind = $2 AND location = $3 AND name = $4
          AND NOT EXISTS (SELECT 1 FROM tick_source AS other
                          WHERE other.tenant = $1 AND other.kind = $2 AND other.location = $3
                            AND other.name = $5)";
    RENAME_TICKS = "
        UPDATE tick SET name = $5
        WHERE tenant = $1 AND kind = $2 AND location = $3 AND name = $4";
    RENAME_TICK_RUNS = "
        UPDATE tick_run SET name = $5
        WHERE tenant = $1 AND kind = $2 AND location = $3 AND name = $4";
    RENAME_DELIVERIES = "
        UPDATE delivery SET sensor = $5
        WHERE tenant = $1 AND 'sensor' = $2 AND location = $3 AND sensor = $4";
    /// With `=` in the last line SQLite would look for what is on in place of the key.
    MOVE_CURSORS = "
        WITH given (kind, location, name, timing, old_cursor, new_cursor, next_due, is_on)
            AS MATERIALIZED (/*rows $2 text text text text int int int bool*/)
        UPDATE tick_source SET cursor_at = given.new_cursor, next_due = given.next_due
        FROM /*keyed tick_source given tenant=$1 kind location name*/
        WHERE /*key tick_source given tenant=$1 kind location name*/
          AND tick_source.timing = given.timing AND tick_source.cursor_at = given.old_cursor
          AND (tick_source.next_due IS NULL) <> given.is_on";
    LOOK_SOON = "
        UPDATE tick_source
        SET next_due = CASE kind WHEN 'sensor' THEN 0 ELSE cursor_at END
        WHERE next_due > cursor_at AND /*among tick_source $1 tenant kind location name*/
          AND NOT EXISTS (SELECT 1 FROM lease WHERE name = $2 AND holder = $3 AND fence = $4)";
    SWITCH_SOURCE = "
        UPDATE tick_source
        SET override_on = $5, override_by = $6, override_at = $7, cursor_at = $8, next_due = $9
        WHERE tenant = $1 AND kind = $2 AND location = $3 AND name = $4 AND cursor_at = $10";
}

/// A source as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSource {
    /// The tenant.
    pub tenant: TenantId,
    /// Which it is.
    pub source: TickSource,
    /// The version of the location that it was last taken from.
    pub version: i64,
    /// What the cursor belongs to.
    pub timing: ContentHash,
    /// The nominal time of the last decided tick.
    pub cursor: Timestamp,
    /// When to look again; never when absent.
    pub next_due: Option<Timestamp>,
    /// Whether the definition says that it ticks.
    pub default_on: bool,
    /// What somebody says against it.
    pub override_on: Option<bool>,
}

impl StoredSource {
    /// Whether it ticks.
    pub fn is_on(&self) -> bool {
        self.override_on.unwrap_or(self.default_on)
    }
}

/// Somebody's word on whether a source ticks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceWord {
    /// Who said it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// How far a source's cursor moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorMove {
    /// Which source.
    pub source: TickSource,
    /// What the cursor belongs to.
    pub timing: ContentHash,
    /// Where it stood when the ticks were decided.
    pub from: Timestamp,
    /// Whether it was looked at then: one that is off, or in no definition, is not.
    pub is_on: bool,
    /// The nominal time of the last decided tick.
    pub to: Timestamp,
    /// When to look again.
    pub next_due: Option<Timestamp>,
}

/// Stores where `sources`, all of one tenant, stand by their definitions; one that was taken from
/// a newer version of its location stays as it is. A cursor that has moved on since they were read
/// stays where it is: the ticks before it were decided.
pub fn adopt(batch: &mut Batch, sources: &[StoredSource]) {
    let rows: Vec<serde_json::Value> = sources
        .iter()
        .map(|it| {
            serde_json::json!([
                it.tenant,
                it.source.kind.to_string(),
                it.source.location,
                it.source.name,
                it.version,
                it.timing,
                it.cursor.as_micros(),
                it.next_due.map(Timestamp::as_micros),
                it.default_on,
            ])
        })
        .collect();
    batch.push(&ADOPT_SOURCES, vec![json(&rows)], Expect::Any);
    batch.wakes_daemon = true;
}

/// Gives a source, its ticks and their runs another name, unless that is taken.
pub fn rename(tenant: &TenantId, source: &TickSource, to: &str) -> Batch {
    let mut params = key(tenant, source);
    params.push(to.into());
    Batch::for_tenant(tenant)
        .then_one(&RENAME_SOURCE, params.clone())
        .then(&RENAME_TICKS, params.clone())
        .then(&RENAME_TICK_RUNS, params.clone())
        .then(&RENAME_DELIVERIES, params)
}

/// Moves the cursors of sources of one tenant, or conflicts when one has moved meanwhile, was
/// switched or has left the definitions.
pub fn move_cursors(batch: &mut Batch, tenant: &TenantId, moves: &[CursorMove]) {
    let rows: Vec<serde_json::Value> = moves
        .iter()
        .map(|it| {
            serde_json::json!([
                it.source.kind.to_string(),
                it.source.location,
                it.source.name,
                it.timing,
                it.from.as_micros(),
                it.to.as_micros(),
                it.next_due.map(Timestamp::as_micros),
                it.is_on,
            ])
        })
        .collect();
    let count = u32::try_from(moves.len()).unwrap_or(u32::MAX);
    batch.push(&MOVE_CURSORS, vec![tenant.into(), json(&rows)], Expect::Rows(count));
}

/// Has `sources` of one tenant looked at at once by whoever holds the lease now, where that is not
/// the one whose batch this is any more.
///
/// The time to look again that the batch has stored is by a clock that may be ahead, as is the
/// cursor of a sensor, and the new holder has compared all before.
pub fn look_soon_unless<'s>(
    held: &Held,
    batch: &mut Batch,
    tenant: &TenantId,
    sources: impl Iterator<Item = &'s TickSource>,
) {
    let rows: Vec<[String; 4]> = sources.map(|source| names(tenant, source)).collect();
    let Held { lease, holder, fence } = held;
    let params = vec![json(&rows), (*lease).into(), holder.as_str().into(), (*fence).into()];
    batch.push(&LOOK_SOON, params, Expect::Any);
}

/// Stores somebody's word on whether `known` ticks, or takes it back; its cursor moves to `cursor`.
/// It conflicts when the source has ticked meanwhile.
pub fn switch(
    known: &StoredSource,
    (word, by): (Option<bool>, &SourceWord),
    (cursor, next_due): (Timestamp, Option<Timestamp>),
) -> Batch {
    let mut params = key(&known.tenant, &known.source);
    let by = word.is_some().then_some(by);
    params.extend([
        word.map_or(Value::Null, Value::Bool),
        by.map(|by| by.by.as_str()).into(),
        by.map(|by| by.at).into(),
        cursor.into(),
        next_due.into(),
        known.cursor.into(),
    ]);
    let mut batch = Batch::for_tenant(&known.tenant).then_one(&SWITCH_SOURCE, params);
    batch.wakes_daemon = true;
    batch
}

pub(crate) fn key(tenant: &TenantId, source: &TickSource) -> Vec<Value> {
    vec![
        tenant.into(),
        source.kind.to_string().into(),
        (&source.location).into(),
        source.name.as_str().into(),
    ]
}

fn names(tenant: &TenantId, TickSource { kind, location, name }: &TickSource) -> [String; 4] {
    [tenant.to_string(), kind.to_string(), location.to_string(), name.clone()]
}

pub(crate) fn stored_source(row: &mut Row) -> Result<StoredSource, StoreError> {
    Ok(StoredSource {
        tenant: row.parse()?,
        source: TickSource { kind: row.parse()?, location: row.parse()?, name: row.text()? },
        version: row.int()?,
        timing: ContentHash::from_stored(row.text()?),
        cursor: row.time()?,
        next_due: row.time_opt()?,
        default_on: row.truth()?,
        override_on: row.truth_opt()?,
    })
}

impl Store {
    /// The first `limit` sources that are due at `now`, over all tenants, the longest due first.
    pub async fn due_sources(
        &self,
        kind: TickKind,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<StoredSource>, StoreError> {
        let params = vec![now.into(), kind.to_string().into(), limit.into()];
        let rows = self.read(Scope::Daemon, &DUE_SOURCES, params).await?;
        rows.into_iter().map(|mut row| stored_source(&mut row)).collect()
    }

    /// Those of `sources`, a few of any tenants, that are due later than `now`.
    pub async fn sources_ahead(
        &self,
        sources: &[(TenantId, TickSource)],
        now: Timestamp,
    ) -> Result<Vec<StoredSource>, StoreError> {
        let rows = sources.iter().map(|(tenant, source)| names(tenant, source));
        let rows: Vec<[String; 4]> = rows.collect();
        let params = vec![json(&rows), now.into()];
        let tenants: BTreeSet<&TenantId> = sources.iter().map(|(tenant, _)| tenant).collect();
        let scope = Scope::Tenants(tenants.into_iter().cloned().collect());
        let rows = self.read_few(scope, &SOURCES_AHEAD, params).await?;
        rows.into_iter().map(|mut row| stored_source(&mut row)).collect()
    }

    /// When the next source is due, over all tenants.
    pub async fn next_due(&self, kind: TickKind) -> Result<Option<Timestamp>, StoreError> {
        let params = vec![kind.to_string().into()];
        let rows = self.read_few(Scope::Daemon, &NEXT_DUE, params).await?;
        rows.into_iter().next().map_or(Ok(None), |mut row| row.time_opt())
    }

    /// The first `limit` sources of a location, over all tenants.
    pub async fn sources_of_location(
        &self,
        kind: TickKind,
        location: &LocationName,
        limit: u32,
    ) -> Result<Vec<StoredSource>, StoreError> {
        let params = vec![kind.to_string().into(), location.into(), limit.into()];
        let rows = self.read(Scope::Daemon, &SOURCES_OF_LOCATION, params).await?;
        rows.into_iter().map(|mut row| stored_source(&mut row)).collect()
    }

    /// The first `limit` sources of a tenant, each with whose word its switch follows.
    pub async fn sources_of_tenant(
        &self,
        kind: TickKind,
        tenant: &TenantId,
        limit: u32,
    ) -> Result<BTreeMap<TickSource, (StoredSource, Option<SourceWord>)>, StoreError> {
        let params = vec![tenant.into(), kind.to_string().into(), limit.into()];
        let rows = self.read(Scope::tenant(tenant), &SOURCES_OF_TENANT, params).await?;
        rows.into_iter()
            .map(|mut row| {
                let stored = stored_source(&mut row)?;
                let word = match (row.text_opt()?, row.time_opt()?) {
                    (Some(by), Some(at)) => Some(SourceWord { by, at }),
                    _ => None,
                };
                Ok((stored.source.clone(), (stored, word)))
            })
            .collect()
    }
}
