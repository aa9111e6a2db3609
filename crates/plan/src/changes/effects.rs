//! What a change of definitions does to what was made.

use std::collections::BTreeMap;

use millstream_model::{AssetDef, AssetKey, Manifest};

use super::diff::Stale;
use crate::assets::code_version;
use crate::below;

/// How much of each asset is made today, by the version of the code that made it: none where
/// somebody made it elsewhere and did not say by which.
pub type MadeToday = BTreeMap<AssetKey, BTreeMap<Option<String>, u64>>;

/// The assets that a change makes stale at once, and those below them, which become stale once what
/// they are made from is made again. What was never made cannot become stale; where that is not
/// known, everything is taken to be made by the old code.
pub(super) fn stale(
    old: &Manifest,
    new: &Manifest,
    made: Option<&MadeToday>,
) -> (Vec<Stale>, Vec<Stale>) {
    let stale_of = |asset: &AssetDef, upstream: Option<&AssetKey>, built: Option<u64>| Stale {
        asset: asset.key.clone(),
        upstream: upstream.cloned(),
        partitions: asset.partitions.clone(),
        built,
    };
    let mut at_once = BTreeMap::new();
    for (key, asset) in new.assets.iter().filter(|(_, asset)| asset.step.is_some()) {
        let version = code_version(asset);
        let before = old.assets.get(key).filter(|before| before.step.is_some());
        let is_same = before.map(|before| code_version(before) == version);
        let built = made.map(|made| made_by_others(made, key, &version));
        let is_made = built.map_or(is_same.is_some(), |built| built > 0);
        if is_same != Some(true) && is_made {
            at_once.insert(key, stale_of(asset, None, built));
        }
    }
    let assets = new.assets.iter().map(|(key, asset)| (key, asset.deps.as_slice()));
    let below = below(assets, at_once.keys().copied());
    let later = below.into_iter().filter_map(|(key, below)| {
        let built = made.map(|made| made.get(key).into_iter().flatten().map(|(_, it)| it).sum());
        let is_made = built.map_or(old.assets.contains_key(key), |built: u64| built > 0);
        let asset = new.assets.get(key).filter(|_| is_made)?;
        Some(stale_of(asset, Some(below.upstream), built))
    });
    let later = later.collect();
    (at_once.into_values().collect(), later)
}

/// How much of an asset is made by other code than that of `version`.
fn made_by_others(made: &MadeToday, key: &AssetKey, version: &str) -> u64 {
    let versions = made.get(key).into_iter().flatten();
    let others = versions.filter(|(by, _)| by.as_ref().is_some_and(|by| by != version));
    others.map(|(_, count)| count).sum()
}
