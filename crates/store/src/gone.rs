//! Partitions that have a state and whose keys are no more: somebody changed their definition, or
//! removed the key.

use std::collections::BTreeMap;

use millstream_model::view::PartitionState;
use millstream_model::{AssetKey, PartitionKey, PartitionsName, TenantId};

use crate::materializations::StateName;
use crate::statement::statements;
use crate::value::json;
use crate::{Scope, Store, StoreError};

statements! {
    KEYS_BESIDE = "
        WITH asked(asset, definition) AS (/*pairs $2*/)
        SELECT a.definition, s.partition_key
        FROM asked AS a
        CROSS JOIN partition_state AS s
        WHERE s.tenant = $1 AND s.asset = a.asset
        EXCEPT /*pairs $3*/
        ORDER BY 1, 2 LIMIT $4";
    GONE_COUNTS = "
        WITH asked(asset, definition) AS MATERIALIZED (/*pairs $2*/),
             gone(definition, partition_key) AS MATERIALIZED (/*pairs $3*/)
        SELECT s.asset, s.state, COUNT(*), COUNT(s.materialized_at)
        FROM gone AS g
        CROSS JOIN asked AS a
        CROSS JOIN partition_state AS s
        WHERE a.definition = g.definition
          AND s.tenant = $1 AND s.asset = a.asset AND s.partition_key = g.partition_key
        GROUP BY s.asset, s.state";
}

/// The partitions of an asset that count: all but those whose keys are no more.
#[derive(Debug, Clone, Copy)]
pub struct PartitionsOf<'a> {
    /// The asset.
    pub asset: &'a AssetKey,
    /// The keys that are no more.
    pub gone: &'a [PartitionKey],
}

/// How many partitions of an asset there are whose keys are no more.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GoneCounts {
    /// How many are in each state.
    pub states: BTreeMap<PartitionState, u64>,
    /// How many were ever made.
    pub made: u64,
}

impl Store {
    /// The keys of partitions of `assets` that have a state and are not among those `known` of
    /// their definitions, at most `limit` in all.
    pub async fn keys_beside(
        &self,
        tenant: &TenantId,
        assets: &[(&AssetKey, &PartitionsName)],
        known: &[(&PartitionsName, &PartitionKey)],
        limit: u32,
    ) -> Result<BTreeMap<PartitionsName, Vec<PartitionKey>>, StoreError> {
        let params = vec![tenant.into(), json(&assets), json(&known), limit.into()];
        let mut beside: BTreeMap<PartitionsName, Vec<PartitionKey>> = BTreeMap::new();
        for mut row in self.read(Scope::tenant(tenant), &KEYS_BESIDE, params).await? {
            beside.entry(row.parse()?).or_default().push(row.parse()?);
        }
        Ok(beside)
    }

    /// How many partitions each of `assets` has of those keys of its definition that are `gone`.
    pub async fn gone_counts(
        &self,
        tenant: &TenantId,
        assets: &[(&AssetKey, &PartitionsName)],
        gone: &[(&PartitionsName, &PartitionKey)],
    ) -> Result<BTreeMap<AssetKey, GoneCounts>, StoreError> {
        let params = vec![tenant.into(), json(&assets), json(&gone)];
        let mut counts: BTreeMap<AssetKey, GoneCounts> = BTreeMap::new();
        for mut row in self.read(Scope::tenant(tenant), &GONE_COUNTS, params).await? {
            let of_asset = counts.entry(row.parse()?).or_default();
            let state = row.parse::<StateName>()?.0;
            of_asset.states.insert(state, u64::from(row.count()?));
            of_asset.made += u64::from(row.count()?);
        }
        Ok(counts)
    }
}
