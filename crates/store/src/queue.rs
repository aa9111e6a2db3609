//! The queue across all tenants: the heads of its lanes, what counts against limits, and claims.
//!
//! `control::queue` asks and writes it under the queue's lease. A pass reads the first runs of each
//! lane through an index, so that it costs what the lanes cost and not what waits behind them.

use std::collections::BTreeMap;

use millstream_model::{HoldReason, RunId, TenantId, Timestamp};

use crate::batch::Expect;
use crate::statement::statements;
use crate::value::json;
use crate::{Batch, Scope, Store, StoreError};

statements! {
    // The first of an index is asked for by its whole order, which no other index has: for `MIN` a
    // planner that knows of no rows may as well read all of them.
    LANE_HEADS = "
        WITH RECURSIVE resumed(tenant, lane) AS (/*pairs $3*/),
        waiting(tenant) AS (
            SELECT (SELECT q.tenant FROM live_run q WHERE q.status = 'QUEUED'
                    ORDER BY q.tenant, q.lane, q.run LIMIT 1)
            UNION ALL
            SELECT (SELECT q.tenant FROM live_run q
                    WHERE q.status = 'QUEUED' AND q.tenant > w.tenant
                    ORDER BY q.tenant, q.lane, q.run LIMIT 1)
            FROM waiting w WHERE w.tenant IS NOT NULL),
        begun(tenant, behind) AS (
            SELECT w.tenant, COALESCE((SELECT r.lane FROM resumed r WHERE r.tenant = w.tenant), '')
            FROM waiting w WHERE w.tenant IS NOT NULL),
        lanes(tenant, lane, number) AS (
            SELECT b.tenant,
                   (SELECT q.lane FROM live_run q
                    WHERE q.status = 'QUEUED' AND q.tenant = b.tenant AND q.lane > b.behind
                    ORDER BY q.lane, q.run LIMIT 1), CAST(1 AS BIGINT)
            FROM begun b
            UNION ALL
            SELECT n.tenant,
                   (SELECT q.lane FROM live_run q
                    WHERE q.status = 'QUEUED' AND q.tenant = n.tenant AND q.lane > n.lane
                    ORDER BY q.lane, q.run LIMIT 1), n.number + 1
            FROM lanes n WHERE n.lane IS NOT NULL AND n.number < CAST($2 AS BIGINT)),
        ends(tenant, lane, number, last) AS MATERIALIZED (
            SELECT n.tenant, n.lane, n.number,
                   COALESCE((SELECT q.run FROM live_run q
                             WHERE q.status = 'QUEUED' AND q.tenant = n.tenant AND q.lane = n.lane
                             ORDER BY q.run LIMIT 1
                             OFFSET (CAST($1 AS BIGINT) / (SELECT COUNT(lane) FROM lanes))), 'g')
            FROM lanes n WHERE n.lane IS NOT NULL)
        SELECT h.tenant, h.run, h.priority, h.hold, h.lane, h.tags, (h.again OR h.epoch > 0),
               n.number
        FROM ends n
        /*each live_run h if h.status = 'QUEUED' AND h.tenant = n.tenant AND h.lane = n.lane
                             AND h.run <= n.last*/
        ORDER BY h.tenant, h.lane, h.run";
    // Grouped by an expression: by the column alone SQLite would walk over the primary key, and so
    // over all that wait, because it has the right order.
    COUNT_BY_TENANT = "
        SELECT MIN(tenant), COUNT(*) FROM live_run
        WHERE status <> 'QUEUED' GROUP BY tenant || ''";
    COUNTED_RUNS = "
        SELECT tenant, run, tags, FALSE FROM live_run
        WHERE status <> 'QUEUED'
        UNION ALL
        SELECT tenant, run, tags, TRUE FROM live_run
        WHERE status = 'QUEUED' AND (again OR epoch > 0)";
    STARTS_SINCE = "SELECT tenant, at, tags FROM run_start WHERE at > $1";
    SHARES = "SELECT tenant, served FROM queue_share";
    KEEP_STARTS = "
        INSERT INTO run_start (tenant, run, epoch, at, tags)
        SELECT tenant, run, epoch, CAST($2 AS BIGINT), tags FROM live_run
        WHERE /*among live_run $1 tenant run*/ AND status = 'STARTING'
        ON CONFLICT (tenant, run, epoch) DO NOTHING";
    FORGET_STARTS = "DELETE FROM run_start WHERE at < $1";
    KEEP_SHARES = "
        WITH had(tenant, served) AS (/*pairs $1*/)
        INSERT INTO queue_share (tenant, served)
        SELECT tenant, CAST(served AS BIGINT) FROM had WHERE TRUE
        ON CONFLICT (tenant) DO UPDATE SET served = excluded.served";
    SET_HOLDS = "
        WITH told(tenant, run, hold) AS MATERIALIZED (/*rows $1 text text text*/)
        UPDATE live_run SET hold = told.hold FROM /*keyed live_run told tenant run*/
        WHERE /*key live_run told tenant run*/ AND status = 'QUEUED'";
    SET_LANES = "
        WITH sorted(tenant, run, lane) AS MATERIALIZED (/*rows $1 text text text*/)
        UPDATE live_run SET lane = sorted.lane FROM /*keyed live_run sorted tenant run*/
        WHERE /*key live_run sorted tenant run*/ AND status = 'QUEUED'";
    FIRST_IN_QUEUE = "
        WITH RECURSIVE lanes(lane) AS (
            SELECT (SELECT q.lane FROM live_run q WHERE q.status = 'QUEUED' AND q.tenant = $1
                    ORDER BY q.lane, q.run LIMIT 1)
            UNION ALL
            SELECT (SELECT q.lane FROM live_run q
                    WHERE q.status = 'QUEUED' AND q.tenant = $1 AND q.lane > n.lane
                    ORDER BY q.lane, q.run LIMIT 1)
            FROM lanes n WHERE n.lane IS NOT NULL
        ),
        ends(lane, last) AS MATERIALIZED (
            SELECT n.lane,
                   COALESCE((SELECT q.run FROM live_run q
                             WHERE q.status = 'QUEUED' AND q.tenant = $1 AND q.lane = n.lane
                             ORDER BY q.run LIMIT 1 OFFSET CAST($2 AS BIGINT)), 'g')
            FROM lanes n WHERE n.lane IS NOT NULL
        )
        SELECT h.run
        FROM ends n
        /*each live_run h if h.status = 'QUEUED' AND h.tenant = $1 AND h.lane = n.lane
                             AND h.run <= n.last*/
        ORDER BY h.priority DESC, h.run LIMIT CAST($2 AS BIGINT)";
    COUNT_WAITING = "
        SELECT COUNT(*) FROM live_run WHERE tenant = $1 AND status = 'QUEUED'";
    // By lane, because a lane begins with its priority and its runs stand in the index by age: what
    // waits behind the run is not looked at. The run itself is found by its key: with its plain
    // status, Postgres may look for it among all entries of the lanes.
    RUNS_AHEAD = "
        WITH RECURSIVE it(run, priority) AS (
            SELECT r.run, SUBSTR(r.lane, 1, 10) FROM live_run r
            WHERE r.tenant = $1 AND r.run = $2 AND r.status || '' = 'QUEUED'
        ),
        lanes(lane, number, ahead) AS (
            SELECT (SELECT q.lane FROM live_run q WHERE q.status = 'QUEUED' AND q.tenant = $1
                    ORDER BY q.lane, q.run LIMIT 1),
                   CAST(1 AS BIGINT), CAST(0 AS BIGINT)
            FROM it
            UNION ALL
            SELECT (SELECT q.lane FROM live_run q
                    WHERE q.status = 'QUEUED' AND q.tenant = $1 AND q.lane > n.lane
                    ORDER BY q.lane, q.run LIMIT 1),
                   n.number + 1,
                   n.ahead + (SELECT COUNT(*) FROM (
                       SELECT 1 FROM live_run q
                       WHERE q.status = 'QUEUED' AND q.tenant = $1 AND q.lane = n.lane
                         AND q.run <= CASE WHEN n.lane < i.priority THEN 'g' ELSE i.run END
                       LIMIT CAST($3 AS BIGINT)) AS older)
            FROM lanes n CROSS JOIN it i
            WHERE n.lane IS NOT NULL AND n.number <= CAST($3 AS BIGINT)
              AND n.ahead < CAST($3 AS BIGINT)
              AND SUBSTR(n.lane, 1, 10) <= i.priority
        )
        SELECT COALESCE(MAX(ahead), 0) FROM lanes";
}

/// A run at the head of its lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneHead {
    /// The tenant.
    pub tenant: TenantId,
    /// The run.
    pub run: RunId,
    /// Higher goes first.
    pub priority: i64,
    /// Why it waits, as last stored.
    pub hold: Option<HoldReason>,
    /// Its lane.
    pub lane: String,
    /// Its labels.
    pub tags: BTreeMap<String, String>,
    /// Whether it is tried again: it had a worker before, or a run that failed.
    pub again: bool,
    /// The number of its lane among those of its tenant that were looked at, from 1.
    pub lane_number: u32,
}

/// A run that tag limits count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// The tenant.
    pub tenant: TenantId,
    /// The run.
    pub run: RunId,
    /// Its labels.
    pub tags: BTreeMap<String, String>,
    /// Whether it waits to be tried again; otherwise it is in progress.
    pub waits: bool,
}

/// How much of the queue is looked at.
#[derive(Debug, Clone, Copy)]
pub struct HeadsPage {
    /// Runs in all; the lanes share them, and each has one at least.
    pub runs: u32,
    /// Lanes of each tenant.
    pub lanes: u32,
}

/// Remembers in a claim's batch when its runs have started, and forgets what is older than
/// `forget`.
pub fn keep_starts(batch: &mut Batch, runs: &[(TenantId, RunId)], now: Timestamp, forget: i64) {
    let pairs: Vec<[String; 2]> =
        runs.iter().map(|(tenant, run)| [tenant.to_string(), run.to_string()]).collect();
    batch.push(&KEEP_STARTS, vec![json(&pairs), now.into()], Expect::Any);
    let before = now.as_micros().saturating_sub(forget);
    batch.push(&FORGET_STARTS, vec![before.into()], Expect::Any);
}

/// Remembers in a claim's batch what tenants have had of the queue.
pub fn keep_shares(batch: &mut Batch, served: &BTreeMap<TenantId, i64>) {
    let pairs: Vec<[String; 2]> =
        served.iter().map(|(tenant, had)| [tenant.to_string(), had.to_string()]).collect();
    batch.push(&KEEP_SHARES, vec![json(&pairs)], Expect::Any);
}

/// Stores why runs wait; one that left the queue meanwhile is passed over.
pub fn set_holds<'a>(holds: impl Iterator<Item = (&'a TenantId, RunId, &'a HoldReason)>) -> Batch {
    let triples: Vec<[String; 3]> = holds
        .filter_map(|(tenant, run, hold)| {
            Some([tenant.to_string(), run.to_string(), serde_json::to_string(hold).ok()?])
        })
        .collect();
    batch_of_triples(&SET_HOLDS, &triples)
}

/// Moves waiting runs to other lanes.
pub fn set_lanes<'a>(lanes: impl Iterator<Item = (&'a TenantId, RunId, &'a str)>) -> Batch {
    let triples: Vec<[String; 3]> = lanes
        .map(|(tenant, run, lane)| [tenant.to_string(), run.to_string(), lane.to_owned()])
        .collect();
    batch_of_triples(&SET_LANES, &triples)
}

fn batch_of_triples(sql: &'static crate::Sql, triples: &[[String; 3]]) -> Batch {
    let batch = Batch::new(Scope::Daemon);
    if triples.is_empty() { batch } else { batch.then(sql, vec![json(&triples)]) }
}

impl Store {
    /// The first runs of each lane. A tenant in `resumed` is looked at behind the lane named there.
    pub async fn lane_heads(
        &self,
        page: HeadsPage,
        resumed: &BTreeMap<TenantId, String>,
    ) -> Result<Vec<LaneHead>, StoreError> {
        let pairs: Vec<[&str; 2]> =
            resumed.iter().map(|(tenant, lane)| [tenant.as_str(), lane.as_str()]).collect();
        let params = vec![page.runs.into(), page.lanes.into(), json(&pairs)];
        let rows = self.read_few(Scope::Daemon, &LANE_HEADS, params).await?;
        rows.into_iter()
            .map(|mut row| {
                Ok(LaneHead {
                    tenant: row.parse()?,
                    run: row.parse()?,
                    priority: row.int()?,
                    hold: row.json_opt()?,
                    lane: row.text()?,
                    tags: row.json()?,
                    again: row.truth()?,
                    lane_number: row.count()?,
                })
            })
            .collect()
    }

    /// How many runs of each tenant hold a place: starting, started or canceling.
    pub async fn in_progress_by_tenant(&self) -> Result<BTreeMap<TenantId, u32>, StoreError> {
        let rows = self.read_few(Scope::Daemon, &COUNT_BY_TENANT, Vec::new()).await?;
        rows.into_iter().map(|mut row| Ok((row.parse()?, row.count()?))).collect()
    }

    /// The runs that tag limits count. All of them: one that was left out would be one too many.
    pub async fn counted_runs(&self) -> Result<Vec<Counted>, StoreError> {
        let rows = self.read_few(Scope::Daemon, &COUNTED_RUNS, Vec::new()).await?;
        rows.into_iter()
            .map(|mut row| {
                Ok(Counted {
                    tenant: row.parse()?,
                    run: row.parse()?,
                    tags: row.json()?,
                    waits: row.truth()?,
                })
            })
            .collect()
    }

    /// What has started after `since`: whose, when, and with which labels.
    pub async fn starts_since(
        &self,
        since: Timestamp,
    ) -> Result<Vec<(TenantId, Timestamp, BTreeMap<String, String>)>, StoreError> {
        let rows = self.read_few(Scope::Daemon, &STARTS_SINCE, vec![since.into()]).await?;
        rows.into_iter().map(|mut row| Ok((row.parse()?, row.time()?, row.json()?))).collect()
    }

    /// What each tenant has had of the queue.
    pub async fn queue_shares(&self) -> Result<BTreeMap<TenantId, i64>, StoreError> {
        let rows = self.read_few(Scope::Daemon, &SHARES, Vec::new()).await?;
        rows.into_iter().map(|mut row| Ok((row.parse()?, row.int()?))).collect()
    }

    /// The first `limit` runs of a tenant that wait: highest priority first, then the oldest.
    pub async fn first_in_queue(
        &self,
        tenant: &TenantId,
        limit: u32,
    ) -> Result<Vec<RunId>, StoreError> {
        let params = vec![tenant.into(), limit.into()];
        let rows = self.read(Scope::tenant(tenant), &FIRST_IN_QUEUE, params).await?;
        rows.into_iter().map(|mut row| row.parse()).collect()
    }

    /// How many runs of a tenant wait.
    pub async fn count_waiting(&self, tenant: &TenantId) -> Result<u32, StoreError> {
        let rows = self.read(Scope::tenant(tenant), &COUNT_WAITING, vec![tenant.into()]).await?;
        rows.into_iter().next().map_or(Ok(0), |mut row| row.count())
    }

    /// A queued run's place among its tenant's, from 1, counted up to `most`; `None` when it does
    /// not wait.
    pub async fn queue_place(
        &self,
        tenant: &TenantId,
        run: RunId,
        most: u32,
    ) -> Result<Option<u32>, StoreError> {
        let params = vec![tenant.into(), (&run).into(), most.into()];
        let rows = self.read_few(Scope::tenant(tenant), &RUNS_AHEAD, params).await?;
        let place = rows.into_iter().next().map_or(Ok(0), |mut row| row.count())?;
        Ok((place > 0).then_some(place.min(most)))
    }
}
