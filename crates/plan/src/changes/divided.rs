//! Assets that a change divides in another way: what of them is made of keys that are then no
//! more, and which new keys are then missing.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::{
    AssetDef, AssetKey, Manifest, PartitionKey, PartitionsDef, PartitionsName, TenantId, Timestamp,
};

use super::diff::Redivided;
use crate::{gone_keys, is_key_of};

/// Keys of a definition, and made partitions of an asset, that are looked at in each tenant.
pub const KEYS_MAX: u32 = 100_000;

/// What is stored today of the partitions of assets that a change divides in another way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartsToday {
    /// The time: windows that end later do not exist yet.
    pub now: Timestamp,
    /// What each tenant has.
    pub tenants: BTreeMap<TenantId, PartsOfTenant>,
}

/// What a tenant has of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartsOfTenant {
    /// The keys of the partitions that were ever made of each asset.
    pub made: BTreeMap<AssetKey, BTreeSet<PartitionKey>>,
    /// The keys that were added to each definition.
    pub added: BTreeMap<PartitionsName, BTreeSet<PartitionKey>>,
}

/// The assets that `new` divides in another way than `old`, each as both have it.
pub fn divided_anew<'m>(
    old: &'m Manifest,
    new: &'m Manifest,
) -> impl Iterator<Item = (&'m AssetDef, &'m AssetDef)> {
    let both = new.assets.iter().filter_map(|(key, after)| Some((old.assets.get(key)?, after)));
    both.filter(move |(before, after)| {
        let (was, is) = (definition(old, before), definition(new, after));
        // Keys are added to a definition by its name, and files of their own may lack it.
        let is_by_name = is.is_none_or(|def| matches!(def, PartitionsDef::Dynamic(_)));
        was != is || is_by_name && before.partitions != after.partitions
    })
}

/// How `manifest` divides an asset.
fn definition<'m>(manifest: &'m Manifest, asset: &AssetDef) -> Option<&'m PartitionsDef> {
    manifest.partitions.get(asset.partitions.as_ref()?)
}

/// What becomes of the partitions of those assets; `today` is what is stored of them, where that is
/// known.
pub(super) fn redivided(
    old: &Manifest,
    new: &Manifest,
    today: Option<&PartsToday>,
) -> Vec<Redivided> {
    let of = |(before, after): (&AssetDef, &AssetDef)| {
        let counts = today.map(|today| {
            let each = today.tenants.iter().map(|(tenant, parts)| {
                let sides = [(old, before), (new, after)].map(|(manifest, asset)| {
                    let name = asset.partitions.as_ref();
                    Side { manifest, name, parts, tenant, now: today.now }
                });
                counts(&sides, parts.made.get(&after.key))
            });
            each.fold((0, 0), |sum, each| (sum.0 + each.0, sum.1 + each.1))
        });
        Redivided {
            asset: after.key.clone(),
            partitions: after.partitions.clone(),
            gone: counts.map(|(gone, _)| gone),
            missing: counts.map(|(_, missing)| missing),
        }
    };
    divided_anew(old, new).map(of).collect()
}

/// An asset as one manifest divides it, for one tenant.
struct Side<'a> {
    manifest: &'a Manifest,
    name: Option<&'a PartitionsName>,
    parts: &'a PartsOfTenant,
    tenant: &'a TenantId,
    now: Timestamp,
}

impl Side<'_> {
    fn added(&self) -> BTreeSet<PartitionKey> {
        self.name.and_then(|name| self.parts.added.get(name)).cloned().unwrap_or_default()
    }

    /// Those of `keys` that this side does not have.
    fn lacks(&self, keys: Vec<PartitionKey>) -> Vec<PartitionKey> {
        let Some(name) = self.name else { return keys };
        gone_keys(self.manifest, (self.tenant, name), keys, (self.now, &self.added()))
    }

    /// The keys that this side has.
    fn keys(&self) -> Vec<PartitionKey> {
        let def = self.name.and_then(|name| Some((name, self.manifest.partitions.get(name)?)));
        let Some((name, def)) = def else { return Vec::new() };
        let mut keys: BTreeSet<PartitionKey> = self.added();
        keys.extend(def.keys(self.now, None, KEYS_MAX as usize));
        keys.retain(|key| is_key_of(self.manifest, (self.tenant, name), key));
        keys.into_iter().collect()
    }
}

/// How many made partitions are keys no more, and how many new keys were never made.
fn counts([old, new]: &[Side<'_>; 2], made: Option<&BTreeSet<PartitionKey>>) -> (u64, u64) {
    let made = made.cloned().unwrap_or_default();
    let lost: BTreeSet<PartitionKey> =
        old.lacks(made.iter().cloned().collect()).into_iter().collect();
    let gone = new.lacks(made.difference(&lost).cloned().collect()).len();
    let fresh = old.lacks(new.keys());
    let missing = fresh.iter().filter(|key| !made.contains(*key)).count();
    (u64::try_from(gone).unwrap_or(u64::MAX), u64::try_from(missing).unwrap_or(u64::MAX))
}
