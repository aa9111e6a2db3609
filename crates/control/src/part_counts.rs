//! The partitions of assets that count: those whose keys there are now.
//!
//! What was stored of others stays: somebody changed their definition, or removed the key. Lists
//! ask for the keys beside those that there are, of all assets at once, and subtract what those
//! come to, so that no key is read once more for each asset.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::view::{AssetRow, PartitionRow, PartitionState};
use millstream_model::{AssetKey, PartitionKey, PartitionsName, TenantId};
use millstream_plan::gone_keys;
use millstream_store::gone::PartitionsOf;
use millstream_store::materializations::StateCounts;

use crate::catalog::Catalog;
use crate::{Control, ControlError};

/// Partitions that an asset's page shows, and keys of a definition that are counted.
pub(crate) const PARTITIONS_MAX: usize = 5_000;

/// Touched partitions of an asset that are read.
const PARTITIONS_READ: u32 = 5_000;

/// Keys beside those of their definitions that are looked at for one answer.
const BESIDE_MAX: u32 = 100_000;

/// An asset and how it is divided.
type Divided<'a> = (&'a AssetKey, &'a PartitionsName);

/// The keys that definitions have now, at most [`PARTITIONS_MAX`] of each.
type Keys<'a> = BTreeMap<&'a PartitionsName, Vec<PartitionKey>>;

/// How many partitions assets have.
#[derive(Debug, Default)]
pub(crate) struct PartCounts {
    /// How many of those whose keys there are were touched, by state.
    pub(crate) touched: StateCounts,
    /// How many were made whose keys are no more.
    pub(crate) gone: BTreeMap<AssetKey, u64>,
    /// How many keys each definition has now.
    pub(crate) keys: BTreeMap<PartitionsName, u64>,
}

impl Control {
    /// How many partitions each asset of a tenant has.
    pub(crate) async fn part_counts(
        &self,
        catalog: &Catalog,
        tenant: &TenantId,
    ) -> Result<PartCounts, ControlError> {
        let mut touched = self.store.partition_counts(tenant).await?;
        let is_declared = catalog.tenant(tenant).declared;
        let all = catalog.of_tenant(tenant).flat_map(|manifest| manifest.assets.values());
        let divided = all.filter_map(|asset| Some((&asset.key, asset.partitions.as_ref()?)));
        // Of a tenant that no file declares there is only what it has.
        let mut assets: Vec<Divided<'_>> =
            divided.filter(|(asset, _)| is_declared || touched.contains_key(asset)).collect();
        let mut keys = Keys::new();
        for (_, name) in &assets {
            if !keys.contains_key(name) {
                keys.insert(name, self.all_partition_keys(catalog, tenant, name).await?);
            }
        }
        assets.retain(|(asset, _)| touched.contains_key(asset));
        let gone = self.gone_keys(catalog, tenant, (&assets, &keys)).await?;
        let mut made = BTreeMap::new();
        if !gone.is_empty() {
            let gone: Vec<_> = pairs(&gone).collect();
            for (asset, gone) in self.store.gone_counts(tenant, &assets, &gone).await? {
                let counts = touched.entry(asset.clone()).or_default();
                for (state, count) in gone.states {
                    let left = counts.entry(state).or_default();
                    *left = left.saturating_sub(count);
                }
                counts.retain(|_, count| *count > 0);
                made.insert(asset, gone.made);
            }
        }
        let count = |keys: Vec<PartitionKey>| u64::try_from(keys.len()).unwrap_or(u64::MAX);
        let keys = keys.into_iter().map(|(name, keys)| (name.clone(), count(keys))).collect();
        Ok(PartCounts { touched, gone: made, keys })
    }

    /// The keys of an asset's stored partitions that are no more; nothing for one that is one
    /// whole.
    pub(crate) async fn gone_of(
        &self,
        catalog: &Catalog,
        tenant: &TenantId,
        asset: &AssetRow,
    ) -> Result<Option<Vec<PartitionKey>>, ControlError> {
        let Some(name) = &asset.partitions else { return Ok(None) };
        let keys = Keys::from([(name, self.all_partition_keys(catalog, tenant, name).await?)]);
        let assets = [(&asset.asset, name)];
        let gone = self.gone_keys(catalog, tenant, (&assets, &keys)).await?;
        Ok(Some(gone.into_values().flatten().collect()))
    }

    /// The keys of stored partitions of `assets` that are no more, by definition; `keys` are those
    /// that there are now.
    async fn gone_keys(
        &self,
        catalog: &Catalog,
        tenant: &TenantId,
        (assets, keys): (&[Divided<'_>], &Keys<'_>),
    ) -> Result<BTreeMap<PartitionsName, Vec<PartitionKey>>, ControlError> {
        if assets.is_empty() {
            return Ok(BTreeMap::new());
        }
        let asked: BTreeSet<&PartitionsName> = assets.iter().map(|(_, name)| *name).collect();
        let known = keys.iter().filter(|(name, _)| asked.contains(*name));
        let known = known.flat_map(|(name, keys)| keys.iter().map(move |key| (*name, key)));
        let known: Vec<_> = known.collect();
        let mut beside = self.store.keys_beside(tenant, assets, &known, BESIDE_MAX).await?;
        for (name, beside) in &mut beside {
            // Where all keys are known, there are no others.
            if keys.get(name).is_none_or(|keys| keys.len() < PARTITIONS_MAX) {
                continue;
            }
            let keys = std::mem::take(beside);
            *beside = self.keys_not_there(catalog, (tenant, name), keys).await?;
        }
        beside.retain(|_, keys| !keys.is_empty());
        Ok(beside)
    }

    /// Those of `keys` that are no keys of a definition, or none of the tenant's.
    pub(crate) async fn keys_not_there(
        &self,
        catalog: &Catalog,
        (tenant, name): (&TenantId, &PartitionsName),
        keys: Vec<PartitionKey>,
    ) -> Result<Vec<PartitionKey>, ControlError> {
        let Some(manifest) = catalog.for_partitions(name) else { return Ok(keys) };
        let Some(def) = manifest.partitions.get(name) else { return Ok(keys) };
        let dynamic: Vec<PartitionKey> =
            keys.iter().flat_map(|key| def.dynamic_keys(key)).collect();
        let mut added = Vec::new();
        if !dynamic.is_empty() {
            added = self.store.dynamic_partitions_known(tenant, name, &dynamic).await?;
        }
        let added = added.into_iter().collect();
        Ok(gone_keys(manifest, (tenant, name), keys, (self.now(), &added)))
    }

    /// The keys of a partitions definition, as many as a page of an asset shows.
    pub(crate) async fn all_partition_keys(
        &self,
        catalog: &Catalog,
        tenant: &TenantId,
        name: &PartitionsName,
    ) -> Result<Vec<PartitionKey>, ControlError> {
        self.some_partition_keys(catalog, (tenant, name), PARTITIONS_MAX).await
    }

    /// The partitions of an asset, touched or not, in the order of their keys; `keys` are those
    /// that there are.
    pub(crate) async fn partition_rows(
        &self,
        tenant: &TenantId,
        of: &PartitionsOf<'_>,
        keys: Vec<PartitionKey>,
    ) -> Result<Vec<PartitionRow>, ControlError> {
        let touched = self.store.partition_states(tenant, of, PARTITIONS_READ).await?;
        let mut rows: BTreeMap<_, _> =
            touched.into_iter().map(|row| (row.partition.clone(), row)).collect();
        for key in keys {
            rows.entry(key.clone()).or_insert(PartitionRow {
                partition: key,
                state: PartitionState::Missing,
                run_id: None,
                at: None,
            });
        }
        Ok(rows.into_values().collect())
    }
}

/// Each key with its definition.
fn pairs(
    keys: &BTreeMap<PartitionsName, Vec<PartitionKey>>,
) -> impl Iterator<Item = (&PartitionsName, &PartitionKey)> {
    keys.iter().flat_map(|(name, keys)| keys.iter().map(move |key| (name, key)))
}
