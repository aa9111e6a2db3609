//! What failed for good: a row for each run that was given up, until somebody looks at it; and the
//! mark on a run that another one tries again.

use millstream_model::{Closed, ClosedAs, DeadLetter, GaveUp, RunId, TenantId, Timestamp};

use crate::batch::Expect;
use crate::statement::statements;
use crate::{Batch, Row, Scope, Store, StoreError};

statements! {
    MARK_RETRIED = "
        UPDATE run SET retried_as = $3
        WHERE tenant = $1 AND id = $2 AND retried_as IS NULL";
    INSERT_DEAD_LETTER = "
        INSERT INTO dead_letter (tenant, run, reason, failure, at) VALUES ($1, $2, $3, $4, $5)";
    CLOSE_DEAD_LETTER = "
        UPDATE dead_letter SET closed_as = $3, closed_by = $4, closed_at = $5
        WHERE tenant = $1 AND run = $2 AND closed_at IS NULL";
    DEAD_LETTER = "
        SELECT d.tenant, d.run, r.title, d.reason, d.failure, d.at, d.closed_as, d.closed_by,
               d.closed_at
        FROM dead_letter d JOIN run r ON r.tenant = d.tenant AND r.id = d.run
        WHERE d.tenant = $1 AND d.run = $2";
    DEAD_LETTERS = "
        SELECT d.tenant, d.run, r.title, d.reason, d.failure, d.at, d.closed_as, d.closed_by,
               d.closed_at
        FROM (
            SELECT l.tenant, l.run, l.reason, l.failure, l.at, l.closed_as, l.closed_by,
                   l.closed_at
            FROM dead_letter l
            WHERE l.tenant = $1 AND (l.closed_at IS NULL OR CAST($3 AS TEXT) = 'all')
              AND (l.at, l.run) <
                  (SELECT b.at, b.run FROM dead_letter b WHERE b.tenant = $1 AND b.run = $2
                   UNION ALL SELECT 9223372036854775807, '' WHERE CAST($2 AS TEXT) IS NULL)
            ORDER BY l.at DESC, l.run DESC LIMIT $4) AS d
        /*each run r if r.tenant = d.tenant by r.id = d.run*/
        ORDER BY d.at DESC, d.run DESC";
}

/// Which dead letters a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeadLetterFilter {
    /// Those that nobody has closed.
    #[default]
    Open,
    /// All of them.
    All,
}

/// Marks `run` as tried again by `retry`, or conflicts when another run does that already.
pub fn mark_retried(batch: &mut Batch, tenant: &TenantId, run: RunId, retry: RunId) {
    let params = vec![tenant.into(), (&run).into(), (&retry).into()];
    batch.push(&MARK_RETRIED, params, Expect::Rows(1));
}

/// Puts `run` among the dead letters.
pub fn insert(
    batch: &mut Batch,
    (tenant, run): (&TenantId, RunId),
    (reason, failure): (GaveUp, &str),
    now: Timestamp,
) {
    let reason = reason.to_string();
    let params = vec![tenant.into(), (&run).into(), reason.into(), failure.into(), now.into()];
    batch.push(&INSERT_DEAD_LETTER, params, Expect::Rows(1));
}

/// Closes the dead letter of `run` if it is open; `expect` says whether it must be.
pub fn close(
    batch: &mut Batch,
    (tenant, run): (&TenantId, RunId),
    closed: &Closed,
    expect: Expect,
) {
    let params = vec![
        tenant.into(),
        (&run).into(),
        closed.outcome.as_str().into(),
        closed.by.as_str().into(),
        closed.at.into(),
    ];
    batch.push(&CLOSE_DEAD_LETTER, params, expect);
}

fn dead_letter(mut row: Row) -> Result<DeadLetter, StoreError> {
    let (tenant, run_id, title) = (row.parse()?, row.parse()?, row.text()?);
    let (reason, failure, at) = (row.parse()?, row.text()?, row.time()?);
    let outcome: Option<ClosedAs> = row.parse_opt()?;
    let (by, closed_at) = (row.text_opt()?, row.time_opt()?);
    let closed = match (outcome, by, closed_at) {
        (Some(outcome), Some(by), Some(at)) => Some(Closed { outcome, by, at }),
        _ => None,
    };
    Ok(DeadLetter { tenant, run_id, title, reason, failure, at, closed })
}

impl Store {
    /// The dead letter of a run, if it was given up.
    pub async fn dead_letter(
        &self,
        tenant: &TenantId,
        run: RunId,
    ) -> Result<Option<DeadLetter>, StoreError> {
        let params = vec![tenant.into(), (&run).into()];
        let rows = self.read_few(Scope::tenant(tenant), &DEAD_LETTER, params).await?;
        rows.into_iter().next().map(dead_letter).transpose()
    }

    /// The newest `limit` dead letters of `tenant` by when their runs were given up, newest first:
    /// those after the one of the run `before`, where that is named.
    pub async fn dead_letters(
        &self,
        tenant: &TenantId,
        (filter, before): (DeadLetterFilter, Option<RunId>),
        limit: u32,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let shown = match filter {
            DeadLetterFilter::Open => "open",
            DeadLetterFilter::All => "all",
        };
        let params = vec![tenant.into(), before.as_ref().into(), shown.into(), limit.into()];
        let rows = self.read(Scope::tenant(tenant), &DEAD_LETTERS, params).await?;
        rows.into_iter().map(dead_letter).collect()
    }
}
