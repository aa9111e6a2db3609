//! Materializations: the history, the newest of each asset, and one row per touched partition.

use std::collections::BTreeMap;

use millstream_model::view::{MadeBy, MaterializationRow, PartitionRow, PartitionState};
use millstream_model::{AssetKey, PartitionKey, RunId, TenantId, Timestamp};

use crate::batch::Expect;
use crate::gone::PartitionsOf;
use crate::statement::statements;
use crate::value::json;
use crate::{Batch, Row, Scope, Store, StoreError, Value};

/// What stands for the step of what was made elsewhere.
const NO_STEP: &str = "external";

statements! {
    INSERT_MATERIALIZATION = "
        INSERT INTO materialization (tenant, asset, partition_key, run, step, at, metadata,
                                     data_version, code_version, reported_by)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    DELETE_MATERIALIZATION = "
        DELETE FROM materialization
        WHERE tenant = $1 AND asset = $2 AND run = $3 AND partition_key = $4";
    UPSERT_ASSET_STATE = "
        INSERT INTO asset_state (tenant, asset, partition_key, run, step, at, metadata,
                                 data_version, code_version, reported_by)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        ON CONFLICT (tenant, asset) DO UPDATE
        SET partition_key = excluded.partition_key, run = excluded.run, step = excluded.step,
            at = excluded.at, metadata = excluded.metadata,
            data_version = excluded.data_version, code_version = excluded.code_version,
            reported_by = excluded.reported_by";
    UPSERT_PARTITION_STATE = "
        INSERT INTO partition_state (tenant, asset, partition_key, state, run, at,
                                     materialized_at, reported_by)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (tenant, asset, partition_key) DO UPDATE
        SET state = excluded.state, run = excluded.run, at = excluded.at,
            materialized_at = COALESCE(excluded.materialized_at, partition_state.materialized_at),
            reported_by = excluded.reported_by";
    SETTLE_PARTITION = "
        UPDATE partition_state
        SET state = CASE WHEN materialized_at IS NULL THEN 'MISSING' ELSE 'MATERIALIZED' END
        WHERE tenant = $1 AND asset = $2 AND partition_key = $3 AND run = $4
          AND state = 'RUNNING'";
    LATEST_MATERIALIZATIONS = "
        SELECT asset, partition_key, run, step, at, metadata, data_version, code_version,
               reported_by
        FROM asset_state WHERE tenant = $1";
    MATERIALIZATIONS_OF_ASSET = "
        SELECT asset, partition_key, run, step, at, metadata, data_version, code_version,
               reported_by
        FROM materialization
        WHERE tenant = $1 AND asset = $2
          AND (CAST($3 AS TEXT) IS NULL OR partition_key = $3)
        ORDER BY at DESC, run DESC LIMIT $4";
    NEWEST_VERSIONS = "
        SELECT asset, partition_key, at, data_version, code_version
        FROM asset_state WHERE tenant = $1 AND asset IN (/*texts $2*/)";
    PARTITION_VERSIONS = "
        WITH asked(asset, partition_key) AS (/*pairs $2*/)
        SELECT s.asset, s.partition_key, s.materialized_at, m.data_version, m.code_version
        FROM asked AS a
        CROSS JOIN partition_state AS s
        LEFT JOIN materialization AS m
          ON m.tenant = s.tenant AND m.asset = s.asset AND m.run = s.run
             AND m.partition_key = s.partition_key AND m.at = s.materialized_at
        WHERE s.tenant = $1 AND s.asset = a.asset AND s.partition_key = a.partition_key
          AND s.materialized_at IS NOT NULL";
    VERSIONS_OF_ASSET = "
        SELECT at, data_version, code_version
        FROM (SELECT partition_key, run, at, data_version, code_version
              FROM materialization WHERE tenant = $1 AND asset = $2
              ORDER BY run DESC LIMIT $5) AS recent
        WHERE partition_key = $3 AND at <= $4
        ORDER BY at DESC, run DESC LIMIT 1";
    MATERIALIZATIONS_OF_RUN = "
        SELECT asset, partition_key, run, step, at, metadata, data_version, code_version,
               reported_by
        FROM materialization WHERE tenant = $1 AND run = $2 ORDER BY at LIMIT $3";
    PARTITION_STATES = "
        SELECT partition_key, state, run, at, reported_by FROM partition_state
        WHERE tenant = $1 AND asset = $2 AND partition_key NOT IN (/*texts $3*/)
        ORDER BY partition_key LIMIT $4";
    PARTITION_COUNTS = "
        SELECT asset, state, COUNT(*) FROM partition_state
        WHERE tenant = $1 GROUP BY asset, state";
}

/// How many materializations of an asset are looked through for one of a partition.
const VERSIONS_MAX: u32 = 1_000;

/// The versions of one materialization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    /// The partition, when it is one's.
    pub partition: Option<PartitionKey>,
    /// When it was made.
    pub at: Timestamp,
    /// The version of its data, if it has one.
    pub data_version: Option<String>,
    /// The version of the code that made it.
    pub code_version: String,
}

/// How many partitions of each asset are in each state.
pub type StateCounts = BTreeMap<AssetKey, BTreeMap<PartitionState, u64>>;

/// An asset and a partition of it.
pub type AssetPartition = (AssetKey, PartitionKey);

/// When a partition was made last, and with which versions, as far as its state alone tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionMade {
    /// As the run says that touched it last.
    Known(Versions),
    /// By an earlier run than that: [`Store::versions_of_asset`] knows with which versions.
    Earlier(Timestamp),
}

/// Stores a materialization in the history and as the asset's newest.
pub fn insert(batch: &mut Batch, tenant: &TenantId, row: &MaterializationRow) {
    let (id, step, reported_by) = match &row.made_by {
        MadeBy::Run { run_id, step } => (run_id, step.as_str(), None),
        MadeBy::Report { report_id, reported_by } => {
            (report_id, NO_STEP, Some(reported_by.as_str()))
        }
    };
    let params: Vec<Value> = vec![
        tenant.into(),
        (&row.asset).into(),
        row.partition.as_ref().map_or("", PartitionKey::as_str).into(),
        id.into(),
        step.into(),
        row.at.into(),
        json(&row.metadata),
        row.data_version.as_deref().into(),
        row.code_version.as_str().into(),
        reported_by.into(),
    ];
    batch.push(&INSERT_MATERIALIZATION, params.clone(), Expect::Rows(1));
    batch.push(&UPSERT_ASSET_STATE, params, Expect::Rows(1));
}

/// Stores a materialization in the place of the one that an earlier attempt of its run reported.
pub fn replace(batch: &mut Batch, tenant: &TenantId, row: &MaterializationRow) {
    let Some(run) = row.made_by.run() else { return insert(batch, tenant, row) };
    let key = vec![
        tenant.into(),
        (&row.asset).into(),
        (&run).into(),
        row.partition.as_ref().map_or("", PartitionKey::as_str).into(),
    ];
    batch.push(&DELETE_MATERIALIZATION, key, Expect::Any);
    insert(batch, tenant, row);
}

/// What became of a partition in a run.
#[derive(Debug, Clone)]
pub struct PartitionChange<'a> {
    /// The asset.
    pub asset: &'a AssetKey,
    /// The partition.
    pub partition: &'a PartitionKey,
    /// Its new state.
    pub state: PartitionState,
    /// The run, or the report.
    pub run: RunId,
    /// Who reported it, where no run did it.
    pub reported_by: Option<&'a str>,
    /// When.
    pub at: Timestamp,
}

/// Stores what became of a partition.
pub fn change_partition(batch: &mut Batch, tenant: &TenantId, change: &PartitionChange<'_>) {
    let made = change.state == PartitionState::Materialized;
    let params = vec![
        tenant.into(),
        change.asset.into(),
        change.partition.into(),
        state_name(change.state).into(),
        (&change.run).into(),
        change.at.into(),
        made.then_some(change.at).into(),
        change.reported_by.into(),
    ];
    batch.push(&UPSERT_PARTITION_STATE, params, Expect::Rows(1));
}

/// Gives a partition that `run` was making, and no longer is, the state it had before.
pub fn settle_partition(
    batch: &mut Batch,
    tenant: &TenantId,
    (asset, partition): (&AssetKey, &PartitionKey),
    run: RunId,
) {
    let params = vec![tenant.into(), asset.into(), partition.into(), (&run).into()];
    batch.push(&SETTLE_PARTITION, params, Expect::Any);
}

fn state_name(state: PartitionState) -> &'static str {
    match state {
        PartitionState::Failed => "FAILED",
        PartitionState::Running => "RUNNING",
        PartitionState::Missing => "MISSING",
        PartitionState::Materialized => "MATERIALIZED",
    }
}

/// A stored state's name, on its way back.
pub(crate) struct StateName(pub(crate) PartitionState);

impl std::str::FromStr for StateName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        use PartitionState as S;
        [S::Failed, S::Running, S::Missing, S::Materialized]
            .into_iter()
            .find(|state| state_name(*state) == text)
            .map(Self)
            .ok_or(())
    }
}

fn materialization(mut row: Row) -> Result<MaterializationRow, StoreError> {
    let asset = row.parse()?;
    let partition = match row.text()? {
        whole if whole.is_empty() => None,
        // A key that was stored was a key; one that is none any more is shown as no partition.
        key => key.parse().ok(),
    };
    let (id, step) = (row.parse()?, row.parse()?);
    let (at, metadata) = (row.time()?, row.json()?);
    let (data_version, code_version) = (row.text_opt()?, row.text()?);
    let made_by = match row.text_opt()? {
        Some(reported_by) => MadeBy::Report { report_id: id, reported_by },
        None => MadeBy::Run { run_id: id, step },
    };
    Ok(MaterializationRow { asset, partition, made_by, at, metadata, data_version, code_version })
}

/// The rest of `row`: when it was made, and its versions.
fn versions(mut row: Row, partition: Option<PartitionKey>) -> Result<Versions, StoreError> {
    Ok(Versions {
        partition,
        at: row.time()?,
        data_version: row.text_opt()?,
        code_version: row.text()?,
    })
}

/// The number of partitions in each state, of each asset, from rows that say so.
fn counts(rows: Vec<Row>) -> Result<StateCounts, StoreError> {
    let mut counts = StateCounts::new();
    for mut row in rows {
        let asset = row.parse()?;
        let state = row.parse::<StateName>()?.0;
        let count = u64::from(row.count()?);
        counts.entry(asset).or_default().insert(state, count);
    }
    Ok(counts)
}

impl Store {
    /// The newest materialization of each asset of a tenant.
    pub async fn latest_materializations(
        &self,
        tenant: &TenantId,
    ) -> Result<BTreeMap<AssetKey, MaterializationRow>, StoreError> {
        let rows =
            self.read(Scope::tenant(tenant), &LATEST_MATERIALIZATIONS, vec![tenant.into()]).await?;
        rows.into_iter()
            .map(|row| materialization(row).map(|made| (made.asset.clone(), made)))
            .collect()
    }

    /// The newest `limit` materializations of an asset, or of one partition of it.
    pub async fn materializations_of_asset(
        &self,
        tenant: &TenantId,
        asset: &AssetKey,
        partition: Option<&PartitionKey>,
        limit: u32,
    ) -> Result<Vec<MaterializationRow>, StoreError> {
        let params = vec![tenant.into(), asset.into(), partition.into(), limit.into()];
        let rows = self.read(Scope::tenant(tenant), &MATERIALIZATIONS_OF_ASSET, params).await?;
        rows.into_iter().map(materialization).collect()
    }

    /// The versions of the newest materialization of each of `assets` that was ever made.
    pub async fn newest_versions(
        &self,
        tenant: &TenantId,
        assets: &[&AssetKey],
    ) -> Result<BTreeMap<AssetKey, Versions>, StoreError> {
        let params = vec![tenant.into(), json(&assets)];
        let rows = self.read(Scope::tenant(tenant), &NEWEST_VERSIONS, params).await?;
        rows.into_iter()
            .map(|mut row| {
                let asset = row.parse()?;
                // A key that was stored was a key, and nothing else is empty.
                let partition = row.text()?.parse().ok();
                Ok((asset, versions(row, partition)?))
            })
            .collect()
    }

    /// How those of `partitions` were made last that ever were.
    pub async fn partition_versions(
        &self,
        tenant: &TenantId,
        partitions: &[(&AssetKey, &PartitionKey)],
    ) -> Result<BTreeMap<AssetPartition, PartitionMade>, StoreError> {
        let params = vec![tenant.into(), json(&partitions)];
        let rows = self.read(Scope::tenant(tenant), &PARTITION_VERSIONS, params).await?;
        rows.into_iter()
            .map(|mut row| {
                let (asset, key): (AssetKey, PartitionKey) = (row.parse()?, row.parse()?);
                let (at, data_version, code_version) =
                    (row.time()?, row.text_opt()?, row.text_opt()?);
                let made = match code_version {
                    Some(code_version) => PartitionMade::Known(Versions {
                        partition: Some(key.clone()),
                        at,
                        data_version,
                        code_version,
                    }),
                    None => PartitionMade::Earlier(at),
                };
                Ok(((asset, key), made))
            })
            .collect()
    }

    /// The versions that an asset, or one partition of it, had at `at`: those of the newest
    /// materialization until then, if it is among the newest thousand of the asset.
    pub async fn versions_of_asset(
        &self,
        tenant: &TenantId,
        asset: &AssetKey,
        partition: Option<&PartitionKey>,
        at: Timestamp,
    ) -> Result<Option<Versions>, StoreError> {
        let key = partition.map_or("", PartitionKey::as_str);
        let params = vec![tenant.into(), asset.into(), key.into(), at.into(), VERSIONS_MAX.into()];
        let rows = self.read(Scope::tenant(tenant), &VERSIONS_OF_ASSET, params).await?;
        rows.into_iter().next().map(|row| versions(row, partition.cloned())).transpose()
    }

    /// What a run made, at most `limit`.
    pub async fn materializations_of_run(
        &self,
        tenant: &TenantId,
        run: RunId,
        limit: u32,
    ) -> Result<Vec<MaterializationRow>, StoreError> {
        let params = vec![tenant.into(), (&run).into(), limit.into()];
        let rows = self.read_few(Scope::tenant(tenant), &MATERIALIZATIONS_OF_RUN, params).await?;
        rows.into_iter().map(materialization).collect()
    }

    /// The touched partitions of an asset in the order of their keys, at most `limit`.
    pub async fn partition_states(
        &self,
        tenant: &TenantId,
        of: &PartitionsOf<'_>,
        limit: u32,
    ) -> Result<Vec<PartitionRow>, StoreError> {
        let params = vec![tenant.into(), of.asset.into(), json(&of.gone), limit.into()];
        let rows = self.read(Scope::tenant(tenant), &PARTITION_STATES, params).await?;
        rows.into_iter()
            .map(|mut row| {
                let (partition, state) = (row.parse()?, row.parse::<StateName>()?.0);
                let (run, at) = (row.parse()?, Some(row.time()?));
                let run_id = row.text_opt()?.is_none().then_some(run);
                Ok(PartitionRow { partition, state, run_id, at })
            })
            .collect()
    }

    /// How many touched partitions of each asset are in each state.
    pub async fn partition_counts(&self, tenant: &TenantId) -> Result<StateCounts, StoreError> {
        counts(self.read(Scope::tenant(tenant), &PARTITION_COUNTS, vec![tenant.into()]).await?)
    }
}
