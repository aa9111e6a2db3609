//! Steps of runs: a projection of their events. A step without a row is pending.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::view::DONE_IN;
use millstream_model::worker_api::StepProgress;
use millstream_model::{
    JobName, RunId, StepError, StepEvent, StepKey, StepStatus, TenantId, Timestamp,
};

use crate::batch::Expect;
use crate::statement::statements;
use crate::value::json;
use crate::{Batch, Row, Scope, Store, StoreError, Value};

statements! {
    UPSERT_STEP = "
        INSERT INTO step (tenant, run, step, status, attempt, started_at, ended_at, retry_at,
                          error, reason, result, result_ref)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
        ON CONFLICT (tenant, run, step) DO UPDATE
        SET status = excluded.status, attempt = excluded.attempt,
            started_at = COALESCE(step.started_at, excluded.started_at),
            ended_at = excluded.ended_at, retry_at = excluded.retry_at,
            error = COALESCE(excluded.error, step.error), reason = excluded.reason,
            result = excluded.result, result_ref = excluded.result_ref
        WHERE CAST($13 AS TEXT) LIKE '% ' || step.status || ' %'";
    UPDATE_STEP = "
        UPDATE step
        SET status = $4, attempt = $5, started_at = COALESCE(started_at, $6), ended_at = $7,
            retry_at = $8, error = COALESCE($9, error), reason = $10, result = $11,
            result_ref = $12
        WHERE tenant = $1 AND run = $2 AND step = $3
          AND CAST($13 AS TEXT) LIKE '% ' || status || ' %'";
    END_OPEN_STEPS = "
        UPDATE step
        SET status = 'CANCELED', ended_at = $3, retry_at = NULL, reason = CAST($4 AS TEXT)
        WHERE tenant = $1 AND run = $2 AND status IN ('STARTED', 'RETRYING')";
    COUNT_STEPS_OVER = "
        UPDATE run
        SET steps_done = (SELECT COUNT(*) FROM step s
                          WHERE s.tenant = $1 AND s.run = $2
                            AND s.status NOT IN ('PENDING', 'STARTED', 'RETRYING'))
        WHERE tenant = $1 AND id = $2";
    KEEP_DONE_STEPS = "
        INSERT INTO step (tenant, run, step, status, attempt, started_at, ended_at, reason,
                          result, result_ref)
        SELECT tenant, CAST($3 AS TEXT), step, status, attempt, started_at, ended_at,
               CASE WHEN reason LIKE $5 THEN reason
                    ELSE CAST($4 AS TEXT) || COALESCE(': ' || reason, '') END,
               result, result_ref
        FROM step WHERE tenant = $1 AND run = $2 AND status IN ('SUCCESS', 'SKIPPED')";
    STEP_COUNTS = "
        SELECT run, status, COUNT(*) FROM step
        WHERE tenant = $1 AND run IN (/*texts $2*/) GROUP BY run, status";
    DONE_STEPS = "
        SELECT run, step FROM step
        WHERE tenant = $1 AND run IN (/*texts $2*/) AND status IN ('SUCCESS', 'SKIPPED')";
    NEXT_ATTEMPTS = "
        SELECT run, step, attempt, retry_at FROM step
        WHERE tenant = $1 AND run IN (/*texts $2*/) AND status = 'RETRYING' AND retry_at > $3
        ORDER BY retry_at, step LIMIT $4";
    LAST_LOOKED_AT = "
        SELECT id, queued_at FROM run
        WHERE tenant = $1 AND id >= $2 ORDER BY id DESC LIMIT 1 OFFSET $3";
    STEPS_OF_RUN = "
        SELECT step, status, attempt, started_at, ended_at, retry_at, error, reason, result,
               result_ref
        FROM step WHERE tenant = $1 AND run = $2";
    ENDS_OF_STEP = "
        SELECT s.run, r.job, s.status, s.ended_at, s.error, s.reason
        FROM (SELECT id, job FROM run WHERE tenant = $1 AND id >= $2
              ORDER BY id DESC LIMIT $4) AS r
        JOIN step s ON s.tenant = $1 AND s.run = r.id AND s.step = $3
        WHERE s.status IN ('SUCCESS', 'SKIPPED', 'FAILURE', 'UPSTREAM_FAILED')
          AND s.ended_at > $5
        ORDER BY s.run DESC LIMIT $6";
    // The rule of ENDS_OF_STEP for all assets at once. In a run that succeeded no step failed.
    FAILED_TRIES = "
        WITH looked_at(run, job, status) AS (
            SELECT id, job, status FROM run WHERE tenant = $1 ORDER BY id DESC LIMIT $2
        ),
        failed(step, run) AS (
            SELECT s.step, MAX(s.run) FROM looked_at l
            /*each step s if s.tenant = $1 AND s.run = l.run*/
            LEFT JOIN asset_state a ON a.tenant = $1 AND a.asset = s.step
            WHERE l.status <> 'SUCCESS' AND (l.job IS NULL OR l.job NOT IN (/*texts $3*/))
              AND s.status IN ('FAILURE', 'UPSTREAM_FAILED')
              AND s.ended_at > COALESCE(a.at, 0)
              AND (a.run IS NULL OR a.reported_by IS NOT NULL OR s.run >= a.run)
            GROUP BY s.step
        )
        SELECT s.step, s.run, s.ended_at FROM failed f
        /*each step s if s.tenant = $1 AND s.run = f.run AND s.step = f.step*/
        LEFT JOIN asset_state a ON a.tenant = $1 AND a.asset = f.step
        WHERE NOT EXISTS (
            SELECT 1 FROM looked_at n
            /*each step o if o.tenant = $1 AND o.run = n.run AND o.step = f.step*/
            WHERE n.run > f.run AND (n.job IS NULL OR n.job NOT IN (/*texts $3*/))
              AND o.ended_at > COALESCE(a.at, 0)
              AND (o.status = 'SKIPPED' OR o.status = 'SUCCESS' AND o.reason IS NULL
                                           AND o.run <> COALESCE(a.run, '')))";
}

/// Steps of one run that are read on the caller's thread.
const STEPS_FEW: usize = 64;

/// Runs that are looked through for those of a step.
pub(crate) const RUNS_MAX: u32 = 1_000;

/// How many steps of a run are in which status.
pub type StepCounts = BTreeMap<StepStatus, u32>;

/// How steps ended, as far back as was looked.
#[derive(Debug, Clone, PartialEq)]
pub struct StepEnds {
    /// The newest of them, newest first.
    pub newest: Vec<StepEnd>,
    /// When the oldest run was queued that was looked at, where older ones may count too.
    pub looked_since: Option<Timestamp>,
}

/// A step's new state.
#[derive(Debug, Clone)]
pub struct StepChange<'a> {
    /// The step.
    pub step: &'a StepKey,
    /// What happened to it; its old status must be one that this can happen to.
    pub event: StepEvent,
    /// The status that follows.
    pub status: StepStatus,
    /// The attempt it is about; 0 when none started.
    pub attempt: u32,
    /// When it happened.
    pub at: Timestamp,
    /// When the next attempt is due.
    pub retry_at: Option<Timestamp>,
    /// Why the attempt failed.
    pub error: Option<&'a StepError>,
    /// Why it was skipped, or what it is blocked by.
    pub reason: Option<&'a str>,
    /// What it returned.
    pub result: Option<&'a serde_json::Value>,
    /// Where a large result is.
    pub result_ref: Option<&'a str>,
}

/// A stored step.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredStep {
    /// Its status.
    pub status: StepStatus,
    /// The last attempt that started.
    pub attempt: u32,
    /// When its first attempt started.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// When the next attempt is due.
    pub retry_at: Option<Timestamp>,
    /// Why the last attempt failed.
    pub error: Option<StepError>,
    /// Why it was skipped, or what it is blocked by.
    pub reason: Option<String>,
    /// What it returned.
    pub result: serde_json::Value,
    /// Where a large result is.
    pub result_ref: Option<String>,
}

/// Stores a step's change, or conflicts when its status is not one that this can happen to.
pub fn change(batch: &mut Batch, tenant: &TenantId, run: RunId, change: &StepChange<'_>) {
    let from: Vec<&str> = StepStatus::ALL
        .into_iter()
        .filter(|status| status.after(change.event).is_ok())
        .map(StepStatus::as_str)
        .collect();
    let started = change.event == StepEvent::Started;
    let params: Vec<Value> = vec![
        tenant.into(),
        (&run).into(),
        change.step.into(),
        (&change.status).into(),
        change.attempt.into(),
        started.then_some(change.at).into(),
        change.status.is_terminal().then_some(change.at).into(),
        change.retry_at.into(),
        change.error.map_or(Value::Null, json),
        change.reason.into(),
        change.result.filter(|result| !result.is_null()).map_or(Value::Null, json),
        change.result_ref.into(),
        format!(" {} ", from.join("  ")).into(),
    ];
    // A step without a row is pending, so only what can happen to a pending step may insert one.
    let may_insert = StepStatus::Pending.after(change.event).is_ok();
    let sql = if may_insert { &UPSERT_STEP } else { &UPDATE_STEP };
    batch.push(sql, params, Expect::Rows(1));
}

/// Ends the steps of a run that is over and whose worker cannot say what became of them, and
/// counts them among those that are over; `reason` is why.
pub fn end_open(
    batch: &mut Batch,
    (tenant, run): (&TenantId, RunId),
    reason: &str,
    now: Timestamp,
) {
    let params = vec![tenant.into(), (&run).into(), now.into(), reason.into()];
    batch.push(&END_OPEN_STEPS, params, Expect::Any);
    batch.push(&COUNT_STEPS_OVER, vec![tenant.into(), (&run).into()], Expect::Rows(1));
}

/// Lets the run `retry` begin with the steps of `run` that are done, and their results.
pub fn keep_done(batch: &mut Batch, tenant: &TenantId, run: RunId, retry: RunId) {
    let reason = format!("{DONE_IN}{}", run.short());
    // What that run has kept itself stays the work of the one that did it.
    let kept = format!("{DONE_IN}%");
    let params = vec![tenant.into(), (&run).into(), (&retry).into(), reason.into(), kept.into()];
    batch.push(&KEEP_DONE_STEPS, params, Expect::Any);
    batch.push(&COUNT_STEPS_OVER, vec![tenant.into(), (&retry).into()], Expect::Rows(1));
}

/// An attempt that waits for its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextAttempt {
    /// The step.
    pub step: StepKey,
    /// Its number.
    pub attempt: u32,
    /// When it is due.
    pub at: Timestamp,
}

/// How a step ended in one of the runs that have it.
#[derive(Debug, Clone, PartialEq)]
pub struct StepEnd {
    /// The run.
    pub run: RunId,
    /// Its job, if it is one's.
    pub job: Option<JobName>,
    /// How the step ended.
    pub status: StepStatus,
    /// When.
    pub at: Timestamp,
    /// Why, when it failed.
    pub error: Option<StepError>,
    /// Why it was skipped, or what it is blocked by.
    pub reason: Option<String>,
}

fn step_end(mut row: Row) -> Result<StepEnd, StoreError> {
    Ok(StepEnd {
        run: row.parse()?,
        job: row.parse_opt()?,
        status: row.parse()?,
        at: row.time()?,
        error: row.json_opt()?,
        reason: row.text_opt()?,
    })
}

fn stored_step(mut row: Row) -> Result<(StepKey, StoredStep), StoreError> {
    let key = row.parse()?;
    let step = StoredStep {
        status: row.parse()?,
        attempt: row.count()?,
        started_at: row.time_opt()?,
        ended_at: row.time_opt()?,
        retry_at: row.time_opt()?,
        error: row.json_opt()?,
        reason: row.text_opt()?,
        result: row.json_opt()?.unwrap_or(serde_json::Value::Null),
        result_ref: row.text_opt()?,
    };
    Ok((key, step))
}

impl Store {
    /// The steps of a run that are not simply pending, by key.
    pub async fn steps_of_run(
        &self,
        tenant: &TenantId,
        run: RunId,
    ) -> Result<BTreeMap<StepKey, StoredStep>, StoreError> {
        let params = vec![tenant.into(), (&run).into()];
        let rows = self.read(Scope::tenant(tenant), &STEPS_OF_RUN, params).await?;
        rows.into_iter().map(stored_step).collect()
    }

    /// As [`Store::steps_of_run`], for a run that has `count` steps.
    pub async fn steps_of_run_with(
        &self,
        (tenant, run): (&TenantId, RunId),
        count: usize,
    ) -> Result<BTreeMap<StepKey, StoredStep>, StoreError> {
        if count > STEPS_FEW {
            return self.steps_of_run(tenant, run).await;
        }
        let params = vec![tenant.into(), (&run).into()];
        let rows = self.read_few(Scope::tenant(tenant), &STEPS_OF_RUN, params).await?;
        rows.into_iter().map(stored_step).collect()
    }

    /// How many steps of each of `runs` are in which status; those that are pending and were never
    /// tried are not counted.
    pub async fn step_counts(
        &self,
        tenant: &TenantId,
        runs: &BTreeSet<RunId>,
    ) -> Result<BTreeMap<RunId, StepCounts>, StoreError> {
        let mut counts: BTreeMap<RunId, StepCounts> = BTreeMap::new();
        if runs.is_empty() {
            return Ok(counts);
        }
        let params = vec![tenant.into(), json(&runs)];
        for mut row in self.read(Scope::tenant(tenant), &STEP_COUNTS, params).await? {
            let (run, status) = (row.parse()?, row.parse()?);
            counts.entry(run).or_default().insert(status, row.count()?);
        }
        Ok(counts)
    }

    /// Of each of `runs` the attempt that is due first of those that are due after `now`, among the
    /// first `limit` of them all.
    pub async fn next_attempts(
        &self,
        tenant: &TenantId,
        runs: &BTreeSet<RunId>,
        (now, limit): (Timestamp, u32),
    ) -> Result<BTreeMap<RunId, NextAttempt>, StoreError> {
        let mut first = BTreeMap::new();
        if runs.is_empty() {
            return Ok(first);
        }
        let params = vec![tenant.into(), json(&runs), now.into(), limit.into()];
        for mut row in self.read(Scope::tenant(tenant), &NEXT_ATTEMPTS, params).await? {
            let (run, step) = (row.parse()?, row.parse()?);
            let attempt = row.count()?.saturating_add(1);
            let next = NextAttempt { step, attempt, at: row.time()? };
            first.entry(run).or_insert(next);
        }
        Ok(first)
    }

    /// The steps of `runs` that are done, each with its run.
    pub async fn done_steps(
        &self,
        tenant: &TenantId,
        runs: &[RunId],
    ) -> Result<BTreeSet<(RunId, StepKey)>, StoreError> {
        let params = vec![tenant.into(), json(&runs)];
        let rows = self.read(Scope::tenant(tenant), &DONE_STEPS, params).await?;
        rows.into_iter().map(|mut row| Ok((row.parse()?, row.parse()?))).collect()
    }

    /// How steps called `step` ended later than `at` in the run `first` and those after it: the
    /// newest `limit`, among the newest thousand runs of the tenant.
    pub async fn ends_of_step(
        &self,
        (tenant, step): (&TenantId, &StepKey),
        (first, at): (Option<RunId>, Timestamp),
        limit: u32,
    ) -> Result<StepEnds, StoreError> {
        let begin = first.map_or_else(String::new, |run| run.to_string());
        let looked = vec![tenant.into(), begin.as_str().into(), (RUNS_MAX - 1).into()];
        let params = vec![
            tenant.into(),
            begin.into(),
            step.into(),
            RUNS_MAX.into(),
            at.into(),
            limit.into(),
        ];
        let rows = self.read(Scope::tenant(tenant), &ENDS_OF_STEP, params).await?;
        let newest = rows.into_iter().map(step_end).collect::<Result<Vec<_>, _>>()?;
        let rows = self.read(Scope::tenant(tenant), &LAST_LOOKED_AT, looked).await?;
        let last = rows.into_iter().next().map(|mut row| Ok((row.parse()?, row.time()?)));
        let last: Option<Result<(RunId, Timestamp), StoreError>> = last;
        let last = last.transpose()?;
        let looked_since = last.filter(|(run, _)| Some(*run) != first).map(|(_, at)| at);
        Ok(StepEnds { newest, looked_since })
    }
}

impl Store {
    /// The steps of assets whose newest try since the asset was made failed, each with the run and
    /// when, among the newest thousand runs of the tenant; those of the jobs `but` are of none.
    pub async fn failed_tries(
        &self,
        tenant: &TenantId,
        but: &[&JobName],
    ) -> Result<BTreeMap<String, (RunId, Timestamp)>, StoreError> {
        let params = vec![tenant.into(), RUNS_MAX.into(), json(&but)];
        let rows = self.read(Scope::tenant(tenant), &FAILED_TRIES, params).await?;
        rows.into_iter().map(|mut row| Ok((row.text()?, (row.parse()?, row.time()?)))).collect()
    }
}

impl StoredStep {
    /// The step as the next worker of its run needs it.
    pub fn progress(self, step: StepKey) -> StepProgress {
        StepProgress {
            step,
            status: self.status,
            attempt: self.attempt,
            retry_at: self.retry_at,
            result: self.result,
            result_ref: self.result_ref,
        }
    }
}
