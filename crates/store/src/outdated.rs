//! Which partitions of an asset were made, which failed or were tried in vain, and which are older
//! than what they are made from.

use std::collections::BTreeSet;

use millstream_model::{
    AssetKey, JobName, PartitionKey, RunId, StepError, StepKey, StepStatus, TenantId, Timestamp,
};

use crate::gone::PartitionsOf;
use crate::statement::statements;
use crate::steps::RUNS_MAX;
use crate::value::json;
use crate::{Scope, Store, StoreError, Value};

/// The parameters that name an asset's partitions.
fn params(tenant: &TenantId, of: &PartitionsOf<'_>) -> Vec<Value> {
    vec![tenant.into(), of.asset.into(), json(&of.gone)]
}

statements! {
    PARTITIONS_MADE = "
        SELECT COUNT(*) FROM partition_state m
        WHERE m.tenant = $1 AND m.asset = $2 AND m.materialized_at IS NOT NULL
          AND m.partition_key NOT IN (/*texts $3*/)";
    KEYS_MADE = "
        SELECT partition_key FROM partition_state
        WHERE tenant = $1 AND asset = $2 AND materialized_at IS NOT NULL
        ORDER BY partition_key LIMIT $3";
    PARTITIONS_FAILED = "
        SELECT m.partition_key, m.run, m.at, s.error, s.reason
        FROM partition_state m
        LEFT JOIN step s ON s.tenant = m.tenant AND s.run = m.run AND s.step = $4
        WHERE m.tenant = $1 AND m.asset = $2 AND m.state = 'FAILED'
          AND m.partition_key NOT IN (/*texts $3*/)
        ORDER BY m.at DESC, m.partition_key LIMIT $5";
    // The rule of `steps::ENDS_OF_STEP` for each partition.
    PARTITIONS_IN_VAIN = "
        WITH ended AS (
            SELECT r.partition_key, s.run, s.status, s.ended_at, s.reason,
                   ROW_NUMBER() OVER (PARTITION BY r.partition_key ORDER BY s.run DESC) AS place
            FROM (SELECT id, job, partition_key FROM run WHERE tenant = $1
                  ORDER BY id DESC LIMIT $6) AS r
            JOIN step s ON s.tenant = $1 AND s.run = r.id AND s.step = $4
            WHERE r.partition_key IS NOT NULL AND (r.job IS NULL OR r.job NOT IN (/*texts $5*/))
              AND s.status IN ('SUCCESS', 'SKIPPED', 'FAILURE', 'UPSTREAM_FAILED')
        )
        SELECT e.partition_key, e.run, e.status, e.ended_at, e.reason
        FROM ended e
        LEFT JOIN partition_state p
          ON p.tenant = $1 AND p.asset = $2 AND p.partition_key = e.partition_key
        WHERE e.place = 1 AND e.partition_key NOT IN (/*texts $3*/)
          AND e.ended_at > COALESCE(p.materialized_at, 0)
          AND (e.status = 'SKIPPED' OR e.status = 'SUCCESS' AND e.reason IS NULL AND NOT EXISTS (
                SELECT 1 FROM materialization m
                WHERE m.tenant = $1 AND m.asset = $2 AND m.run = e.run
                  AND m.partition_key = e.partition_key))
        ORDER BY e.run DESC LIMIT $7";
    PARTITIONS_OUTDATED = "
        SELECT m.partition_key, COUNT(*) OVER (),
               MAX(COALESCE(CAST($5 AS BIGINT), u.materialized_at)) OVER ()
        FROM partition_state m
        LEFT JOIN partition_state u
          ON u.tenant = m.tenant AND u.asset = $4 AND u.partition_key = m.partition_key
        WHERE m.tenant = $1 AND m.asset = $2
          AND m.materialized_at < COALESCE(CAST($5 AS BIGINT), u.materialized_at)
          AND m.partition_key NOT IN (/*texts $3*/)
        ORDER BY m.partition_key LIMIT $6";
}

/// Partitions that are older than what they are made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outdated {
    /// How many there are.
    pub count: u64,
    /// When the newest of what they are made from was made.
    pub newest: Timestamp,
    /// The first of them in the order of their keys.
    pub first: Vec<PartitionKey>,
}

/// A partition whose newest attempt failed.
#[derive(Debug, Clone, PartialEq)]
pub struct FailedPartition {
    /// The partition.
    pub partition: PartitionKey,
    /// The run in which it failed.
    pub run: RunId,
    /// When.
    pub at: Timestamp,
    /// Why, where its own step failed.
    pub error: Option<StepError>,
    /// The step before it that failed, where its own did not start.
    pub blocked_by: Option<StepKey>,
}

/// A partition whose newest try made nothing, and did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionInVain {
    /// The partition.
    pub partition: PartitionKey,
    /// The run of that try.
    pub run: RunId,
    /// How its step ended: it succeeded or was skipped.
    pub status: StepStatus,
    /// When.
    pub at: Timestamp,
    /// Why it was skipped.
    pub reason: Option<String>,
}

impl Store {
    /// The partitions of an asset that were tried since they were made, and whose newest try made
    /// nothing and did not fail: the newest `limit`, among the newest thousand runs of the tenant.
    /// `step` is the one that makes them, and those of the jobs `but` are of others.
    pub async fn partitions_in_vain(
        &self,
        tenant: &TenantId,
        of: &PartitionsOf<'_>,
        (step, but): (&StepKey, &[&JobName]),
        limit: u32,
    ) -> Result<Vec<PartitionInVain>, StoreError> {
        let mut given = params(tenant, of);
        given.extend([step.into(), json(&but), RUNS_MAX.into(), limit.into()]);
        let rows = self.read(Scope::tenant(tenant), &PARTITIONS_IN_VAIN, given).await?;
        let in_vain = rows.into_iter().map(|mut row| {
            Ok(PartitionInVain {
                partition: row.parse()?,
                run: row.parse()?,
                status: row.parse()?,
                at: row.time()?,
                reason: row.text_opt()?,
            })
        });
        in_vain.collect()
    }

    /// The partitions of an asset whose newest attempt failed, the newest `limit` of them; `step`
    /// is the one that makes them.
    pub async fn partitions_failed(
        &self,
        tenant: &TenantId,
        of: &PartitionsOf<'_>,
        step: &StepKey,
        limit: u32,
    ) -> Result<Vec<FailedPartition>, StoreError> {
        let mut given = params(tenant, of);
        given.extend([step.into(), limit.into()]);
        let rows = self.read(Scope::tenant(tenant), &PARTITIONS_FAILED, given).await?;
        let failed = rows.into_iter().map(|mut row| {
            let (partition, run, at) = (row.parse()?, row.parse()?, row.time()?);
            let (error, reason) = (row.json_opt()?, row.text_opt()?);
            // Of a step that failed itself the reason is nobody's.
            let reason = reason.filter(|_| error.is_none());
            let blocked_by = reason.and_then(|step| step.parse().ok());
            Ok(FailedPartition { partition, run, at, error, blocked_by })
        });
        failed.collect()
    }

    /// How many partitions of an asset were ever made.
    pub async fn partitions_made(
        &self,
        tenant: &TenantId,
        of: &PartitionsOf<'_>,
    ) -> Result<u64, StoreError> {
        let rows = self.read(Scope::tenant(tenant), &PARTITIONS_MADE, params(tenant, of)).await?;
        rows.into_iter().next().map_or(Ok(0), |mut row| row.count().map(u64::from))
    }

    /// The keys of the partitions of an asset that were ever made, at most `limit`.
    pub async fn keys_made(
        &self,
        tenant: &TenantId,
        asset: &AssetKey,
        limit: u32,
    ) -> Result<BTreeSet<PartitionKey>, StoreError> {
        let given = vec![tenant.into(), asset.into(), limit.into()];
        let rows = self.read(Scope::tenant(tenant), &KEYS_MADE, given).await?;
        rows.into_iter().map(|mut row| row.parse()).collect()
    }

    /// The partitions of an asset that are older than what they are made from: at most `limit` of
    /// them with their number, if there are any.
    pub async fn partitions_outdated(
        &self,
        tenant: &TenantId,
        of: &PartitionsOf<'_>,
        upstream: (&AssetKey, Option<Timestamp>),
        limit: u32,
    ) -> Result<Option<Outdated>, StoreError> {
        let mut given = params(tenant, of);
        given.extend([upstream.0.into(), upstream.1.into(), limit.into()]);
        let rows = self.read(Scope::tenant(tenant), &PARTITIONS_OUTDATED, given).await?;
        let mut found: Option<Outdated> = None;
        for mut row in rows {
            let key = row.parse()?;
            let (count, newest) = (u64::from(row.count()?), row.time()?);
            let found = found.get_or_insert(Outdated { count, newest, first: Vec::new() });
            found.first.push(key);
        }
        Ok(found)
    }
}
