//! Live runs: the queue and the runs in progress, one row each until they are over.
//!
//! The row is the truth about a run's status while it exists; `run` keeps the final one. Every
//! change names the old status and the epoch it believes in, so the second of two writers misses.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use millstream_model::{ClaimedRun, HoldReason, RunId, RunStatus, TenantId, Timestamp};

use crate::batch::Expect;
use crate::statement::statements;
use crate::value::json;
use crate::{Batch, Row, Scope, Store, StoreError, Value};

statements! {
    INSERT_LIVE_RUN = "
        INSERT INTO live_run (tenant, run, status, epoch, seq, beat, priority, queued_at,
                              cancel_requested, lane, tags, timeout, again)
        VALUES ($1, $2, 'QUEUED', 0, -1, 0, $3, $4, FALSE, $5, $6, $7, $8)";
    CLAIM_QUEUED_RUNS = "
        UPDATE live_run
        SET status = 'STARTING', epoch = epoch + 1, seq = -1, beat = 0, hold = NULL,
            worker = 'run-' || run || '-' || CAST(epoch + 1 AS TEXT)
        WHERE status = 'QUEUED' AND /*among live_run $1 tenant run*/
          AND EXISTS (SELECT 1 FROM lease
                      WHERE name = 'queue' AND holder = $2 AND fence = $3 /*held*/)
        RETURNING tenant, run, epoch";
    SET_HOLD = "
        UPDATE live_run SET hold = $3
        WHERE tenant = $1 AND run = $2 AND status = 'QUEUED'";
    MOVE_LIVE_RUN = "
        UPDATE live_run
        SET status = $5, handed_back = handed_back + $6,
            lane = CASE WHEN $5 = 'QUEUED' AND lane NOT LIKE '%-again' THEN lane || '-again'
                        ELSE lane END
        WHERE tenant = $1 AND run = $2 AND epoch = $3 AND status = $4";
    ASK_TO_CANCEL = "
        UPDATE live_run SET status = $5, cancel_requested = TRUE
        WHERE tenant = $1 AND run = $2 AND epoch = $3 AND status = $4";
    ADVANCE_LIVE_RUN = "
        UPDATE live_run SET seq = $5, beat = beat + 1, steps_done = steps_done + $6
        WHERE tenant = $1 AND run = $2 AND epoch = $3 AND seq = $4
        RETURNING cancel_requested";
    RAISE_BEAT = "
        UPDATE live_run SET beat = beat + 1
        WHERE tenant = $1 AND run = $2 AND epoch = $3
        RETURNING cancel_requested";
    REMOVE_LIVE_RUN = "
        DELETE FROM live_run
        WHERE tenant = $1 AND run = $2 AND epoch = $3 AND status = $4";
    LIVE_RUN = "
        SELECT tenant, run, status, epoch, seq, beat, cancel_requested, worker, timeout,
               handed_back, FALSE
        FROM live_run WHERE tenant = $1 AND run = $2";
    LIVE_AMONG = "
        SELECT run FROM live_run WHERE /*among live_run $1 tenant run*/";
    QUEUE_HEADS = "
        SELECT tenant, run, priority, queued_at, hold FROM live_run
        WHERE status = 'QUEUED' ORDER BY priority DESC, run LIMIT $1";
    TENANTS_WITH_RUNS = "SELECT DISTINCT tenant FROM live_run ORDER BY tenant LIMIT $1";
    COUNT_IN_PROGRESS = "
        SELECT COUNT(*) FROM live_run WHERE status <> 'QUEUED'";
    // These by the index of the runs in progress: by the tenant's key, SQLite would walk over all
    // that wait.
    COUNT_IN_PROGRESS_OF = "
        SELECT COUNT(*) FROM live_run WHERE tenant || '' = $1 AND status <> 'QUEUED'";
    FIRST_IN_PROGRESS = "
        SELECT run FROM live_run
        WHERE tenant || '' = $1 AND status <> 'QUEUED' ORDER BY run LIMIT $2";
    /// An aggregate: Postgres would answer `EXISTS` by reading all slots into a table of its own.
    RUNS_IN_PROGRESS = "
        SELECT l.tenant, l.run, l.status, l.epoch, l.seq, l.beat, l.cancel_requested, l.worker,
               l.timeout, l.handed_back,
               COALESCE((SELECT MAX(CASE WHEN s.granted THEN 1 ELSE 0 END) = 0 FROM slot s
                         WHERE s.tenant = l.tenant AND s.run = l.run AND s.epoch = l.epoch), FALSE)
        FROM live_run l WHERE l.status <> 'QUEUED' ORDER BY l.run LIMIT $1";
}

/// A live run as decisions see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveRun {
    /// The tenant.
    pub tenant: TenantId,
    /// The run.
    pub run: RunId,
    /// Its status.
    pub status: RunStatus,
    /// The epoch of its newest worker; 0 before the first.
    pub epoch: i64,
    /// The last event of that worker's that is stored; −1 before the first.
    pub seq: i64,
    /// The sign of life that its worker raises.
    pub beat: i64,
    /// Whether it should stop.
    pub cancel_requested: bool,
    /// The worker's external name, once its launch is intended.
    pub worker: Option<String>,
    /// How long it may go on, where its job says so.
    pub timeout: Option<Duration>,
    /// How many of its workers have handed it back in order, which is no loss.
    pub handed_back: i64,
    /// Whether its steps wait for slots and none holds any; known of runs in progress alone.
    pub waits_for_slots: bool,
}

impl LiveRun {
    /// How many workers it was given that have not handed it back in order.
    pub fn launches(&self) -> i64 {
        self.epoch.saturating_sub(self.handed_back)
    }
}

/// A run at the head of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueHead {
    /// The tenant.
    pub tenant: TenantId,
    /// The run.
    pub run: RunId,
    /// Higher goes first.
    pub priority: i64,
    /// When it was queued.
    pub queued_at: Timestamp,
    /// Why it waits, as last stored.
    pub hold: Option<HoldReason>,
}

fn key(tenant: &TenantId, run: RunId) -> Vec<Value> {
    vec![tenant.into(), (&run).into()]
}

/// A run on its way into the queue.
#[derive(Debug, Clone)]
pub struct NewLiveRun<'a> {
    /// The tenant.
    pub tenant: &'a TenantId,
    /// The run.
    pub run: RunId,
    /// Higher goes first.
    pub priority: i64,
    /// Its lane; see [`crate::queue`].
    pub lane: &'a str,
    /// Its labels.
    pub tags: &'a BTreeMap<String, String>,
    /// When it is queued.
    pub queued_at: Timestamp,
    /// How long it may go on, where its job says so.
    pub timeout: Option<Duration>,
    /// Whether it keeps the place of a run that failed under tag limits.
    pub again: bool,
}

/// Puts a run into the queue.
pub fn insert(batch: &mut Batch, new: &NewLiveRun<'_>) {
    let mut params = key(new.tenant, new.run);
    let timeout = new.timeout.map(|limit| i64::try_from(limit.as_micros()).unwrap_or(i64::MAX));
    params.extend([new.priority.into(), new.queued_at.into(), new.lane.into(), json(new.tags)]);
    params.extend([timeout.into(), new.again.into()]);
    batch.push(&INSERT_LIVE_RUN, params, Expect::Rows(1));
    batch.wakes_daemon = true;
}

/// Moves `runs` from queued to starting and gives each a new epoch, if the lease still holds.
///
/// Safe to apply from two daemons at once: a run is claimed by exactly one of them. One that is
/// changed in this moment may be left for the next pass. The claimed
/// runs are the rows of the batch's first statement; see [`claimed`].
pub fn claim_queued_runs(runs: &[(TenantId, RunId)], holder: &str, fence: i64) -> Batch {
    let pairs: Vec<[String; 2]> =
        runs.iter().map(|(tenant, run)| [tenant.to_string(), run.to_string()]).collect();
    Batch::new(Scope::Daemon)
        .then(&CLAIM_QUEUED_RUNS, vec![json(&pairs), holder.into(), fence.into()])
}

/// The runs that a claim's batch gave back.
pub fn claimed(rows: Vec<Row>) -> Result<Vec<ClaimedRun>, StoreError> {
    rows.into_iter()
        .map(|mut row| {
            Ok(ClaimedRun { tenant: row.parse()?, run: row.parse()?, epoch: row.int()? })
        })
        .collect()
}

/// Stores why a queued run waits; a run that left the queue meanwhile is passed over.
pub fn set_hold(batch: &mut Batch, tenant: &TenantId, run: RunId, hold: &HoldReason) {
    let mut params = key(tenant, run);
    params.push(json(hold));
    batch.push(&SET_HOLD, params, Expect::Any);
}

/// Moves a run from the status that `run` has to `to`, or conflicts. One that goes back to the
/// queue waits in the lane beside its own, where no new run stands before it.
pub fn move_to(batch: &mut Batch, run: &LiveRun, to: RunStatus) {
    change(batch, run, to, 0);
}

/// Moves a run whose worker has given it back in order to the queue, or conflicts.
pub fn hand_back(batch: &mut Batch, run: &LiveRun) {
    change(batch, run, RunStatus::Queued, 1);
}

fn change(batch: &mut Batch, run: &LiveRun, to: RunStatus, handed_back: i64) {
    let mut params = key(&run.tenant, run.run);
    params.extend([run.epoch.into(), (&run.status).into(), (&to).into(), handed_back.into()]);
    batch.push(&MOVE_LIVE_RUN, params, Expect::Rows(1));
    batch.wakes_daemon |= to == RunStatus::Queued;
}

/// Moves a run to `to` and asks its worker to stop, or conflicts.
pub fn ask_to_cancel(batch: &mut Batch, run: &LiveRun, to: RunStatus) {
    let mut params = key(&run.tenant, run.run);
    params.extend([run.epoch.into(), (&run.status).into(), (&to).into()]);
    batch.push(&ASK_TO_CANCEL, params, Expect::Rows(1));
}

/// Moves the worker's place from the first to the second of `places`, adds `done` to the steps that
/// are over and raises its beat, or conflicts: the fence of everything a worker writes. It returns
/// one row: whether a cancel was asked for.
pub fn advance(
    batch: &mut Batch,
    (tenant, run, epoch): (&TenantId, RunId, i64),
    (from, to): (i64, i64),
    done: u32,
) {
    let mut params = key(tenant, run);
    params.extend([epoch.into(), from.into(), to.into(), done.into()]);
    batch.push(&ADVANCE_LIVE_RUN, params, Expect::Rows(1));
}

/// Raises a worker's beat, or conflicts. It returns one row: whether a cancel was asked for.
pub fn raise_beat(tenant: &TenantId, run: RunId, epoch: i64) -> Batch {
    let mut params = key(tenant, run);
    params.push(epoch.into());
    Batch::for_tenant(tenant).then_one(&RAISE_BEAT, params)
}

/// Takes a run that is over out of the live ones, or conflicts.
pub fn remove(batch: &mut Batch, run: &LiveRun) {
    let mut params = key(&run.tenant, run.run);
    params.extend([run.epoch.into(), (&run.status).into()]);
    batch.push(&REMOVE_LIVE_RUN, params, Expect::Rows(1));
    batch.wakes_daemon = true;
    batch.ends.push(run.run);
}

fn live_run(mut row: Row) -> Result<LiveRun, StoreError> {
    Ok(LiveRun {
        tenant: row.parse()?,
        run: row.parse()?,
        status: row.parse()?,
        epoch: row.int()?,
        seq: row.int()?,
        beat: row.int()?,
        cancel_requested: row.truth()?,
        worker: row.text_opt()?,
        timeout: row.int_opt()?.and_then(|it| u64::try_from(it).ok()).map(Duration::from_micros),
        handed_back: row.int()?,
        waits_for_slots: row.truth()?,
    })
}

impl Store {
    /// The live row of a run, or `None` when it is over or not this tenant's.
    pub async fn live_run(
        &self,
        tenant: &TenantId,
        run: RunId,
    ) -> Result<Option<LiveRun>, StoreError> {
        let rows = self.read_few(Scope::tenant(tenant), &LIVE_RUN, key(tenant, run)).await?;
        rows.into_iter().next().map(live_run).transpose()
    }

    /// Those of `runs` that are not over, of a few runs of any tenants.
    pub async fn live_among(
        &self,
        runs: &[(&TenantId, RunId)],
    ) -> Result<BTreeSet<RunId>, StoreError> {
        let pairs: Vec<[String; 2]> =
            runs.iter().map(|(tenant, run)| [tenant.to_string(), run.to_string()]).collect();
        let rows = self.read_few(Scope::Daemon, &LIVE_AMONG, vec![json(&pairs)]).await?;
        rows.into_iter().map(|mut row| row.parse()).collect()
    }

    /// The first `limit` queued runs, highest priority first, then the oldest.
    pub async fn queue_heads(&self, limit: u32) -> Result<Vec<QueueHead>, StoreError> {
        let rows = self.read_few(Scope::Daemon, &QUEUE_HEADS, vec![limit.into()]).await?;
        rows.into_iter()
            .map(|mut row| {
                Ok(QueueHead {
                    tenant: row.parse()?,
                    run: row.parse()?,
                    priority: row.int()?,
                    queued_at: row.time()?,
                    hold: row.json_opt()?,
                })
            })
            .collect()
    }

    /// How many runs hold a place: starting, started or canceling.
    pub async fn count_in_progress(&self) -> Result<u32, StoreError> {
        let rows = self.read_few(Scope::Daemon, &COUNT_IN_PROGRESS, Vec::new()).await?;
        rows.into_iter().next().map_or(Ok(0), |mut row| row.count())
    }

    /// How many runs of a tenant hold a place.
    pub async fn count_in_progress_of(&self, tenant: &TenantId) -> Result<u32, StoreError> {
        let params = vec![tenant.into()];
        let rows = self.read_few(Scope::tenant(tenant), &COUNT_IN_PROGRESS_OF, params).await?;
        rows.into_iter().next().map_or(Ok(0), |mut row| row.count())
    }

    /// The `limit` oldest runs of a tenant that hold a place.
    pub async fn first_in_progress(
        &self,
        tenant: &TenantId,
        limit: u32,
    ) -> Result<Vec<RunId>, StoreError> {
        let params = vec![tenant.into(), limit.into()];
        let rows = self.read_few(Scope::tenant(tenant), &FIRST_IN_PROGRESS, params).await?;
        rows.into_iter().map(|mut row| row.parse()).collect()
    }

    /// The first `limit` tenants with runs that are not over.
    pub async fn tenants_with_runs(&self, limit: u32) -> Result<Vec<TenantId>, StoreError> {
        let rows = self.read(Scope::Daemon, &TENANTS_WITH_RUNS, vec![limit.into()]).await?;
        rows.into_iter().map(|mut row| row.parse()).collect()
    }

    /// The first `limit` runs that a worker should hold.
    pub async fn runs_in_progress(&self, limit: u32) -> Result<Vec<LiveRun>, StoreError> {
        let rows = self.read(Scope::Daemon, &RUNS_IN_PROGRESS, vec![limit.into()]).await?;
        rows.into_iter().map(live_run).collect()
    }
}
