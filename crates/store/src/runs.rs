//! Runs: one row each, for ever; the status of one that is not over stands in `live_run`.

use std::collections::BTreeMap;

use millstream_model::view::RunRow;
use millstream_model::{
    Cause, ContentHash, JobName, LocationName, PartitionKey, RunId, RunStatus, TenantId, Timestamp,
};

use crate::batch::Expect;
use crate::statement::statements;
use crate::value::json;
use crate::{Batch, Row, Scope, Store, StoreError, Value};

/// The columns of a [`RunRow`], live state laid over the stored one.
macro_rules! run_columns {
    ($rest:literal) => {
        concat!(
            "SELECT r.tenant, r.id, r.job, r.title, COALESCE(l.status, r.status), r.cause, \
             r.partition_key, r.tags, r.queued_at, r.started_at, r.ended_at, r.steps_total, \
             r.steps_done + COALESCE(l.steps_done, 0), \
             COALESCE(l.hold, (SELECT h.hold FROM live_run h \
                               WHERE l.status = 'QUEUED' AND h.status = 'QUEUED' \
                                 AND h.tenant = l.tenant AND h.lane = l.lane \
                                 AND h.run <= l.run ORDER BY h.run LIMIT 1)), \
             r.failure, COALESCE(l.epoch, 0), \
             COALESCE(l.cancel_requested, FALSE), r.retried_as \
             FROM run r LEFT JOIN live_run l ON l.tenant = r.tenant AND l.run = r.id ",
            $rest
        )
    };
}

statements! {
    INSERT_RUN = "
        INSERT INTO run (tenant, id, location, job, title, status, cause, partition_key, tags,
                         context, plan_hash, queued_at, steps_total, steps_done)
        VALUES ($1, $2, $3, $4, $5, 'QUEUED', $6, $7, $8, $9, $10, $11, $12, 0)";
    START_RUN = "
        UPDATE run SET started_at = COALESCE(started_at, $3) WHERE tenant = $1 AND id = $2";
    END_RUN = "
        UPDATE run
        SET status = $3, ended_at = $4, failure = $5,
            steps_done = (SELECT COUNT(*) FROM step s
                          WHERE s.tenant = $1 AND s.run = $2
                            AND s.status NOT IN ('PENDING', 'STARTED', 'RETRYING'))
        WHERE tenant = $1 AND id = $2 AND ended_at IS NULL";
    RUN = run_columns!("WHERE r.tenant = $1 AND r.id = $2");
    RUN_BY_SHORT_ID = run_columns!(
        "WHERE r.tenant IN (/*texts $1*/) AND r.id LIKE $2 ORDER BY r.id DESC LIMIT 6"
    );
    RUN_LIST = run_columns!(
        "WHERE r.tenant IN (/*texts $1*/) AND r.id < $2 \
         AND (CAST($3 AS TEXT) IS NULL OR COALESCE(l.status, r.status) = $3) \
         AND (CAST($4 AS TEXT) IS NULL OR r.job = $4) \
         AND (CAST($5 AS TEXT) IS NULL OR r.partition_key = $5) \
         AND (CAST($6 AS TEXT) IS NULL OR REPLACE(',' || SUBSTR(r.tags, 2), $6, '') \
                                          <> ',' || SUBSTR(r.tags, 2)) \
         AND r.id >= COALESCE(CAST($8 AS TEXT), '') \
         ORDER BY r.id DESC LIMIT $7"
    );
    RUNS_AMONG = run_columns!("WHERE r.tenant = $1 AND r.id IN (/*texts $2*/)");
    RUNS_OF_JOB_AMONG =
        run_columns!("WHERE r.tenant = $1 AND r.id IN (/*texts $2*/) AND r.job = $3");
    RUN_BEHIND = "
        SELECT id FROM run WHERE tenant = $1 AND id < $2 ORDER BY id DESC LIMIT 1 OFFSET $3";
    RUN_COUNTS = "
        SELECT COALESCE(l.status, r.status), COUNT(*)
        FROM run r LEFT JOIN live_run l ON l.tenant = r.tenant AND l.run = r.id
        WHERE r.tenant IN (/*texts $1*/) AND r.id >= $2 GROUP BY 1";
    HAS_HISTORY = "
        SELECT tenant FROM run WHERE tenant = $1
        UNION ALL SELECT tenant FROM asset_state WHERE tenant = $1
        LIMIT 1";
    PLANS_OF_RUNS = "SELECT id, plan_hash FROM run WHERE tenant = $1 AND id IN (/*texts $2*/)";
    RUN_ORDER = "
        SELECT location, plan_hash, context, queued_at, cause FROM run
        WHERE tenant = $1 AND id = $2";
}

/// How many runs are searched for those with a label.
pub const TAG_SEARCH_MAX: u32 = 10_000;

/// A run on its way into the store.
#[derive(Debug, Clone)]
pub struct NewRun<'a> {
    /// The tenant.
    pub tenant: &'a TenantId,
    /// The run.
    pub run: RunId,
    /// The code location.
    pub location: &'a LocationName,
    /// The job, if it is one's.
    pub job: Option<&'a JobName>,
    /// What lists call it.
    pub title: &'a str,
    /// Why it exists.
    pub cause: &'a Cause,
    /// Its partition.
    pub partition: Option<&'a PartitionKey>,
    /// Its labels.
    pub tags: &'a BTreeMap<String, String>,
    /// The trigger context.
    pub context: &'a serde_json::Map<String, serde_json::Value>,
    /// Its plan.
    pub plan: &'a ContentHash,
    /// How many steps the plan has.
    pub steps: u32,
    /// When it is queued.
    pub queued_at: Timestamp,
}

/// What a worker needs to know of a run beside its plan.
#[derive(Debug, Clone, PartialEq)]
pub struct RunOrder {
    /// The code location.
    pub location: LocationName,
    /// The plan.
    pub plan: ContentHash,
    /// The trigger context.
    pub context: serde_json::Map<String, serde_json::Value>,
    /// When it was queued.
    pub queued_at: Timestamp,
    /// Why it exists.
    pub cause: Cause,
}

/// Which runs a list shows.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Only those in this status.
    pub status: Option<RunStatus>,
    /// Only those of this job.
    pub job: Option<JobName>,
    /// Only those of this partition.
    pub partition: Option<PartitionKey>,
    /// Only those with this label.
    pub tag: Option<TagFilter>,
    /// Only those before this one, newest first: the last of the page before.
    pub before: Option<RunId>,
}

/// A label that runs must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagFilter {
    /// Its key.
    pub key: String,
    /// Its value; any when none is named.
    pub value: Option<String>,
}

impl TagFilter {
    /// The label written as `key=value`, or as its key alone; `None` when there is no key.
    pub fn parse(text: &str) -> Option<Self> {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (text, None),
        };
        (!key.is_empty()).then(|| Self { key: key.to_owned(), value })
    }

    /// What the text of stored labels contains of it, behind the comma or brace before it. Quotes
    /// inside of texts are escaped there, so nothing else reads like this.
    fn stored(&self) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let value = self.value.as_deref().map(quoted).unwrap_or_default();
        format!(",{}:{value}", quoted(&self.key))
    }
}

impl std::fmt::Display for TagFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.key),
            None => f.write_str(&self.key),
        }
    }
}

/// Stores a new run.
pub fn insert(batch: &mut Batch, new: &NewRun<'_>) {
    let params: Vec<Value> = vec![
        new.tenant.into(),
        (&new.run).into(),
        new.location.into(),
        new.job.into(),
        new.title.into(),
        json(new.cause),
        new.partition.into(),
        json(new.tags),
        json(new.context),
        new.plan.into(),
        new.queued_at.into(),
        new.steps.into(),
    ];
    batch.push(&INSERT_RUN, params, Expect::Rows(1));
}

/// Stores when a run's first worker reported.
pub fn start(batch: &mut Batch, tenant: &TenantId, run: RunId, at: Timestamp) {
    let params = vec![tenant.into(), (&run).into(), at.into()];
    batch.push(&START_RUN, params, Expect::Rows(1));
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct RunEnd {
    /// The final status.
    pub status: RunStatus,
    /// When.
    pub at: Timestamp,
    /// Why, when it failed.
    pub failure: Option<String>,
}

/// Stores how a run ended; ending twice conflicts.
pub fn end(batch: &mut Batch, tenant: &TenantId, run: RunId, end: &RunEnd) {
    let params = vec![
        tenant.into(),
        (&run).into(),
        (&end.status).into(),
        end.at.into(),
        end.failure.as_deref().into(),
    ];
    batch.push(&END_RUN, params, Expect::Rows(1));
}

pub(crate) fn run_row(row: &mut Row) -> Result<RunRow, StoreError> {
    Ok(RunRow {
        tenant: row.parse()?,
        run_id: row.parse()?,
        job: row.parse_opt()?,
        title: row.text()?,
        status: row.parse()?,
        cause: row.json()?,
        partition: row.parse_opt()?,
        tags: row.json()?,
        queued_at: row.time()?,
        started_at: row.time_opt()?,
        ended_at: row.time_opt()?,
        steps_total: row.count()?,
        steps_over: row.count()?,
        hold: row.json_opt()?,
        waits: None,
        failure: row.text_opt()?,
        epoch: row.int()?,
        cancel_requested: row.truth()?,
        retried_as: row.parse_opt()?,
    })
}

/// What the ids of a page of a list come before: no id begins with a `g`.
fn first_text(filter: &RunFilter) -> String {
    filter.before.map_or_else(|| "g".to_owned(), |run| run.to_string())
}

fn in_order_of(runs: &[RunId], rows: Vec<Row>) -> Result<Vec<RunRow>, StoreError> {
    let rows = rows.into_iter().map(|mut row| run_row(&mut row).map(|row| (row.run_id, row)));
    let mut found: BTreeMap<RunId, RunRow> = rows.collect::<Result<_, _>>()?;
    Ok(runs.iter().filter_map(|run| found.remove(run)).collect())
}

impl Store {
    /// The run with this id, or `None` if this tenant has none.
    pub async fn run(&self, tenant: &TenantId, run: RunId) -> Result<Option<RunRow>, StoreError> {
        let params = vec![tenant.into(), (&run).into()];
        let rows = self.read_few(Scope::tenant(tenant), &RUN, params).await?;
        rows.into_iter().next().map(|mut row| run_row(&mut row)).transpose()
    }

    /// Those of `runs` that a tenant has, in the order of `runs`.
    pub async fn runs_among(
        &self,
        tenant: &TenantId,
        runs: &[RunId],
    ) -> Result<Vec<RunRow>, StoreError> {
        let params = vec![tenant.into(), json(&runs)];
        let rows = self.read(Scope::tenant(tenant), &RUNS_AMONG, params).await?;
        in_order_of(runs, rows)
    }

    /// Those of `runs` that are of `job`, in the order of `runs`.
    pub async fn runs_of_job_among(
        &self,
        tenant: &TenantId,
        job: &JobName,
        runs: &[RunId],
    ) -> Result<Vec<RunRow>, StoreError> {
        let params = vec![tenant.into(), json(&runs), job.into()];
        let rows = self.read(Scope::tenant(tenant), &RUNS_OF_JOB_AMONG, params).await?;
        in_order_of(runs, rows)
    }

    /// The newest runs, at most six, whose id ends with `short`: two mean that it is ambiguous.
    pub async fn runs_by_short_id(
        &self,
        tenants: &[TenantId],
        short: &str,
    ) -> Result<Vec<RunRow>, StoreError> {
        // Ids are hex digits and dashes, so nothing in them is a wildcard; the text may hold some.
        let digits = short.chars().filter(char::is_ascii_hexdigit);
        let digits: String = digits.map(|digit| digit.to_ascii_lowercase()).collect();
        let params = vec![json(&tenants), format!("%{digits}").into()];
        let rows = self.read(Scope::Tenants(tenants.to_vec()), &RUN_BY_SHORT_ID, params).await?;
        rows.into_iter().map(|mut row| run_row(&mut row)).collect()
    }

    /// The newest `limit` runs of `tenants` that `filter` lets through, newest first. Those with a
    /// label are searched for down to [`Store::run_search_end`].
    pub async fn run_list(
        &self,
        tenants: &[TenantId],
        filter: &RunFilter,
        limit: u32,
    ) -> Result<Vec<RunRow>, StoreError> {
        let last = self.run_search_end(tenants, filter).await?;
        let params = vec![
            json(&tenants),
            first_text(filter).into(),
            filter.status.as_ref().into(),
            filter.job.as_ref().into(),
            filter.partition.as_ref().into(),
            filter.tag.as_ref().map(TagFilter::stored).into(),
            limit.into(),
            last.as_ref().into(),
        ];
        let rows = self.read(Scope::Tenants(tenants.to_vec()), &RUN_LIST, params).await?;
        rows.into_iter().map(|mut row| run_row(&mut row)).collect()
    }

    /// The last run that a list searches for a label: no index knows labels, and the newest
    /// [`TAG_SEARCH_MAX`] of each tenant are searched. Nothing where all are.
    pub async fn run_search_end(
        &self,
        tenants: &[TenantId],
        filter: &RunFilter,
    ) -> Result<Option<RunId>, StoreError> {
        if filter.tag.is_none() {
            return Ok(None);
        }
        let mut end = None;
        for tenant in tenants {
            let first = first_text(filter);
            let params = vec![tenant.into(), first.into(), (TAG_SEARCH_MAX - 1).into()];
            let rows = self.read(Scope::tenant(tenant), &RUN_BEHIND, params).await?;
            let last = rows.into_iter().next().map(|mut row| row.parse()).transpose()?;
            end = end.max(last);
        }
        Ok(end)
    }

    /// How many runs of `tenants` are in each status, of those made since `since`.
    pub async fn run_counts(
        &self,
        tenants: &[TenantId],
        since: Timestamp,
    ) -> Result<BTreeMap<RunStatus, u32>, StoreError> {
        let first = RunId::new(since, [0; 10]);
        let params = vec![json(&tenants), (&first).into()];
        let rows = self.read(Scope::Tenants(tenants.to_vec()), &RUN_COUNTS, params).await?;
        rows.into_iter().map(|mut row| Ok((row.parse()?, row.count()?))).collect()
    }

    /// The plans of those of `runs` that there are.
    pub async fn plans_of_runs(
        &self,
        tenant: &TenantId,
        runs: &[RunId],
    ) -> Result<BTreeMap<RunId, ContentHash>, StoreError> {
        let params = vec![tenant.into(), json(&runs)];
        let rows = self.read(Scope::tenant(tenant), &PLANS_OF_RUNS, params).await?;
        let plan = |mut row: Row| Ok((row.parse()?, ContentHash::from_stored(row.text()?)));
        rows.into_iter().map(plan).collect()
    }

    /// Whether there are runs or materializations of a tenant.
    pub async fn has_history(&self, tenant: &TenantId) -> Result<bool, StoreError> {
        let rows = self.read_few(Scope::tenant(tenant), &HAS_HISTORY, vec![tenant.into()]).await?;
        Ok(!rows.is_empty())
    }

    /// What a worker needs to know of a run beside its plan.
    pub async fn run_order(
        &self,
        tenant: &TenantId,
        run: RunId,
    ) -> Result<Option<RunOrder>, StoreError> {
        let params = vec![tenant.into(), (&run).into()];
        let rows = self.read_few(Scope::tenant(tenant), &RUN_ORDER, params).await?;
        rows.into_iter()
            .next()
            .map(|mut row| {
                Ok(RunOrder {
                    location: row.parse()?,
                    plan: ContentHash::from_stored(row.text()?),
                    context: row.json()?,
                    queued_at: row.time()?,
                    cause: row.json()?,
                })
            })
            .transpose()
    }
}
