//! The runs that failed and are the last of what they are about: what somebody has to look at.
//!
//! `control::attention` asks. What is open is found by what it is about, and not by how new it is,
//! so that no schedule pushes out what it has nothing to do with.

use millstream_model::view::RunRow;
use millstream_model::{JobName, RunId, TenantId};

use crate::statement::statements;
use crate::value::json;
use crate::{Scope, Store, StoreError};

statements! {
    // The newest runs are there for selections of assets, which no job's index knows.
    LAST_FAILED = "
        WITH jobs(job) AS (/*texts $2*/),
        looked_at(run) AS (
            SELECT newest.id FROM (
                SELECT n.id FROM run n WHERE n.tenant = $1
                ORDER BY n.id DESC LIMIT CAST($3 AS BIGINT)) AS newest
            UNION
            SELECT (SELECT o.id FROM run o
                    WHERE o.tenant = $1 AND o.job = j.job AND o.status IN ('SUCCESS', 'FAILURE')
                    ORDER BY o.job DESC, o.id DESC LIMIT 1)
            FROM jobs j
            UNION
            SELECT letter.run FROM (
                SELECT d.run FROM dead_letter d WHERE d.tenant = $1 AND d.closed_at IS NULL
                ORDER BY d.run DESC LIMIT CAST($4 AS BIGINT)) AS letter
        ),
        last(run) AS (
            SELECT MAX(e.id) FROM looked_at k
            /*each run e if e.tenant = $1 AND e.status IN ('SUCCESS', 'FAILURE') by e.id = k.run*/
            GROUP BY e.title, e.partition_key
        )
        SELECT r.id FROM last l
        /*each run r if r.tenant = $1 AND r.status = 'FAILURE' by r.id = l.run*/
        WHERE NOT EXISTS (
            SELECT 1 FROM dead_letter a
            WHERE a.tenant = $1 AND a.run = l.run AND a.closed_as = 'discarded')
        ORDER BY l.run DESC";
}

/// Where it is looked for runs that failed.
#[derive(Debug, Clone, Copy)]
pub struct Among<'a> {
    /// The last run of each of these jobs that came to an end of its own.
    pub jobs: &'a [&'a JobName],
    /// So many of the newest dead letters that are open.
    pub letters: u32,
    /// So many of the newest runs, whatever they are of.
    pub newest: u32,
}

impl Store {
    /// The runs `among` a tenant's that failed, of which no newer one of the same title and
    /// partition succeeded or failed, and whose dead letter nobody put aside; newest first.
    pub async fn last_failed(
        &self,
        tenant: &TenantId,
        among: Among<'_>,
    ) -> Result<Vec<RunRow>, StoreError> {
        let params =
            vec![tenant.into(), json(&among.jobs), among.newest.into(), among.letters.into()];
        let rows = self.read(Scope::tenant(tenant), &LAST_FAILED, params).await?;
        let runs: Vec<RunId> =
            rows.into_iter().map(|mut row| row.parse()).collect::<Result<_, _>>()?;
        self.runs_among(tenant, &runs).await
    }
}
