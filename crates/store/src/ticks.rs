//! Ticks as history: what came of each, and the runs it requested.
//!
//! A tick is stored once, in the batch that moves its source's cursor and queues its runs. Its run
//! keys are unique for its source, so that nothing is requested twice however often it is decided.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::{
    LocationName, PartitionKey, RunId, SkipReason, TenantId, TickKind, TickRow, TickRun,
    TickSource, TickStatus, TickWarning, Timestamp,
};

use crate::batch::Expect;
use crate::sources::key;
use crate::statement::statements;
use crate::value::json;
use crate::{Batch, Row, Scope, Store, StoreError, Value};

statements! {
    INSERT_TICKS = "
        INSERT INTO tick (tenant, kind, location, name, nominal, decided_at, status, requested,
                          skipped, error, warnings)
        /*rows $1 text text text text int int text int text text text*/";
    INSERT_TICK_RUNS = "
        INSERT INTO tick_run (tenant, kind, location, name, run_key, nominal, run, partition_key)
        /*rows $1 text text text text text int text text*/";
    /// Its key is its own id, which nobody asks for. By the run: by its kind, the whole history of
    /// the tenant's schedules would be searched.
    COUNT_RETRY = "
        INSERT INTO tick_run (tenant, kind, location, name, run_key, nominal, run, partition_key)
        SELECT t.tenant, t.kind, t.location, t.name, $3, t.nominal, $3, t.partition_key
        FROM (SELECT 1) AS one /*each tick_run t if t.tenant = $1 by t.run = $2*/
        WHERE t.kind || '' = 'schedule'";
    RUN_KEYS_KNOWN = "
        SELECT run_key FROM tick_run
        WHERE tenant = $1 AND kind = $2 AND location = $3 AND name = $4
          AND run_key IN (/*texts $5*/)";
    ACTIVE_RUNS = "
        SELECT t.location, t.name, COUNT(*)
        FROM live_run l JOIN tick_run t ON t.tenant = l.tenant AND t.run = l.run
        WHERE l.tenant = $1 AND t.kind = $2 GROUP BY t.location, t.name";
    /// By the runs that are not over: by its name, a source would be asked for its whole history.
    RUNS_NOT_OVER = "
        SELECT t.location, t.name, l.run
        FROM live_run l
        /*each tick_run t if t.tenant = l.tenant by t.run = l.run*/
        WHERE l.tenant = $1 AND t.kind = $2 AND t.location || '/' || t.name IN (/*texts $3*/)
        ORDER BY l.run";
    TICKS = "
        SELECT kind, location, name, nominal, decided_at, status, requested, skipped, error,
               warnings, times, since
        FROM tick
        WHERE tenant = $1 AND kind = $2 AND location = $3 AND name = $4 AND nominal < $5
        ORDER BY nominal DESC LIMIT $6";
    RUNS_OF_TICKS = "
        SELECT nominal, run_key, run, partition_key FROM tick_run
        WHERE tenant = $1 AND kind = $2 AND location = $3 AND name = $4
          AND nominal >= $5 AND nominal <= $6 AND run_key <> run
        ORDER BY nominal DESC, run_key LIMIT $7";
    LAST_TICKS = "
        SELECT kind, location, name, nominal, decided_at, status, requested, skipped, error,
               warnings, times, since
        FROM tick AS t
        WHERE tenant = $1 AND kind = $2
          AND nominal = (SELECT MAX(nominal) FROM tick AS o
                         WHERE o.tenant = t.tenant AND o.kind = t.kind
                           AND o.location = t.location AND o.name = t.name)
        LIMIT $3";
    FORGET_TICKS = "
        DELETE FROM tick WHERE tenant = $1 AND (kind, location, name, nominal) IN
            (SELECT kind, location, name, nominal FROM tick
             WHERE tenant = $1 AND decided_at < $2 ORDER BY decided_at LIMIT $3)
        RETURNING nominal";
    FORGET_TICK_RUNS = "
        DELETE FROM tick_run WHERE tenant = $1 AND kind = 'schedule' AND (kind, location, name,
            run_key) IN
            (SELECT kind, location, name, run_key FROM tick_run
             WHERE tenant = $1 AND kind = 'schedule' AND nominal < $2 LIMIT $3)";
}

/// A tick on its way into the store.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTick {
    /// What ticked.
    pub source: TickSource,
    /// The nominal time.
    pub nominal: Timestamp,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// What came of it.
    pub status: TickStatus,
    /// Why nothing was requested.
    pub skipped: Option<SkipReason>,
    /// Why it failed.
    pub error: Option<TickWarning>,
    /// What kept single runs from being requested.
    pub warnings: Vec<TickWarning>,
    /// The runs it requests.
    pub runs: Vec<TickRun>,
}

/// Stores ticks of one tenant with the runs they request; a run key that was there conflicts, and
/// so does a tick that was decided before.
pub fn insert(batch: &mut Batch, tenant: &TenantId, ticks: &[NewTick]) {
    let text = |value: &Value| match value {
        Value::Text(text) => serde_json::Value::String(text.clone()),
        _ => serde_json::Value::Null,
    };
    let mut rows = Vec::with_capacity(ticks.len());
    let mut runs = Vec::new();
    for tick in ticks {
        let TickSource { kind, location, name } = &tick.source;
        let kind = kind.to_string();
        let warnings = (!tick.warnings.is_empty()).then(|| text(&json(&tick.warnings)));
        rows.push(serde_json::json!([
            tenant,
            kind,
            location,
            name,
            tick.nominal.as_micros(),
            tick.decided_at.as_micros(),
            tick.status.to_string(),
            tick.runs.len(),
            tick.skipped.as_ref().map(|reason| text(&json(reason))),
            tick.error.as_ref().map(|error| text(&json(error))),
            warnings,
        ]));
        for run in &tick.runs {
            runs.push(serde_json::json!([
                tenant,
                kind,
                location,
                name,
                run.run_key,
                tick.nominal.as_micros(),
                run.run_id,
                run.partition,
            ]));
        }
    }
    let count = |rows: &[serde_json::Value]| u32::try_from(rows.len()).unwrap_or(u32::MAX);
    batch.push(&INSERT_TICKS, vec![json(&rows)], Expect::Rows(count(&rows)));
    if !runs.is_empty() {
        batch.push(&INSERT_TICK_RUNS, vec![json(&runs)], Expect::Rows(count(&runs)));
    }
}

/// Counts `retry`, which tries `run` again, among the runs of the schedule whose tick requested
/// `run`, if one did; it is none of what that tick requested.
pub fn count_retry(batch: &mut Batch, tenant: &TenantId, (run, retry): (RunId, RunId)) {
    let params = vec![tenant.into(), (&run).into(), (&retry).into()];
    batch.push(&COUNT_RETRY, params, Expect::Any);
}

/// Forgets ticks of a tenant that were decided before `before`, at most `limit`, and the run keys
/// of schedules from then. Sensors' run keys stay: nothing else keeps them from asking again.
/// The first statement returns a row for each tick.
pub fn forget(tenant: &TenantId, before: Timestamp, limit: u32) -> Batch {
    let params = vec![tenant.into(), before.into(), limit.into()];
    Batch::for_tenant(tenant).then(&FORGET_TICKS, params.clone()).then(&FORGET_TICK_RUNS, params)
}

fn tick_row(mut row: Row) -> Result<TickRow, StoreError> {
    Ok(TickRow {
        source: TickSource { kind: row.parse()?, location: row.parse()?, name: row.text()? },
        nominal: row.time()?,
        decided_at: row.time()?,
        status: row.parse()?,
        requested: row.count()?,
        skipped: row.json_opt()?,
        error: row.json_opt()?,
        warnings: row.json_opt()?.unwrap_or_default(),
        times: row.count()?,
        since: row.time_opt()?,
        runs: Vec::new(),
    })
}

impl Store {
    /// Which of `run_keys` a source has requested before.
    pub async fn run_keys_known(
        &self,
        tenant: &TenantId,
        source: &TickSource,
        run_keys: &[String],
    ) -> Result<BTreeSet<String>, StoreError> {
        let mut params = key(tenant, source);
        params.push(json(&run_keys));
        let rows = self.read(Scope::tenant(tenant), &RUN_KEYS_KNOWN, params).await?;
        rows.into_iter().map(|mut row| row.text()).collect()
    }

    /// How many runs of each of a tenant's sources are not over, of schedules with those that try
    /// others of them again.
    pub async fn active_runs(
        &self,
        tenant: &TenantId,
        kind: TickKind,
    ) -> Result<BTreeMap<(LocationName, String), u32>, StoreError> {
        let params = vec![tenant.into(), kind.to_string().into()];
        let rows = self.read(Scope::tenant(tenant), &ACTIVE_RUNS, params).await?;
        rows.into_iter().map(|mut row| Ok(((row.parse()?, row.text()?), row.count()?))).collect()
    }

    /// The same runs of each of these of a tenant's sources, the oldest first.
    pub async fn runs_not_over(
        &self,
        tenant: &TenantId,
        kind: TickKind,
        sources: &[&TickSource],
    ) -> Result<BTreeMap<(LocationName, String), Vec<RunId>>, StoreError> {
        let path = |it: &&TickSource| format!("{}/{}", it.location, it.name);
        let names: Vec<String> = sources.iter().map(path).collect();
        let params = vec![tenant.into(), kind.to_string().into(), json(&names)];
        let rows = self.read(Scope::tenant(tenant), &RUNS_NOT_OVER, params).await?;
        let mut found: BTreeMap<_, Vec<RunId>> = BTreeMap::new();
        for mut row in rows {
            found.entry((row.parse()?, row.text()?)).or_default().push(row.parse()?);
        }
        Ok(found)
    }

    /// The newest `limit` ticks of a source before `before`, newest first, with their runs, of
    /// which there may be more than are shown.
    pub async fn ticks(
        &self,
        tenant: &TenantId,
        source: &TickSource,
        before: Option<Timestamp>,
        limit: u32,
    ) -> Result<Vec<TickRow>, StoreError> {
        let mut params = key(tenant, source);
        params.extend([before.map_or(i64::MAX, Timestamp::as_micros).into(), limit.into()]);
        let rows = self.read(Scope::tenant(tenant), &TICKS, params).await?;
        let mut ticks: Vec<TickRow> =
            rows.into_iter().map(tick_row).collect::<Result<_, StoreError>>()?;
        let (Some(newest), Some(oldest)) = (ticks.first(), ticks.last()) else {
            return Ok(ticks);
        };
        let mut params = key(tenant, source);
        params.extend([oldest.nominal.into(), newest.nominal.into(), RUNS_SHOWN.into()]);
        let rows = self.read(Scope::tenant(tenant), &RUNS_OF_TICKS, params).await?;
        let mut runs: BTreeMap<Timestamp, Vec<TickRun>> = BTreeMap::new();
        for mut row in rows {
            let nominal = row.time()?;
            let run_key = row.text()?;
            let run_id: RunId = row.parse()?;
            let partition: Option<PartitionKey> = row.parse_opt()?;
            runs.entry(nominal).or_default().push(TickRun { run_key, run_id, partition });
        }
        for tick in &mut ticks {
            tick.runs = runs.remove(&tick.nominal).unwrap_or_default();
        }
        Ok(ticks)
    }

    /// The last tick of each of a tenant's sources, without its runs.
    pub async fn last_ticks(
        &self,
        tenant: &TenantId,
        kind: TickKind,
        limit: u32,
    ) -> Result<BTreeMap<TickSource, TickRow>, StoreError> {
        let params = vec![tenant.into(), kind.to_string().into(), limit.into()];
        let rows = self.read(Scope::tenant(tenant), &LAST_TICKS, params).await?;
        rows.into_iter().map(|row| tick_row(row).map(|tick| (tick.source.clone(), tick))).collect()
    }
}

/// Runs of ticks that one list shows.
const RUNS_SHOWN: u32 = 1_000;
