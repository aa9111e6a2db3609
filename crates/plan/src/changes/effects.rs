//! What a change of definitions does to what was made.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use millstream_model::{AssetKey, Manifest};

use super::diff::Stale;
use crate::assets::code_version;

/// The assets whose code changes, and everything below them.
pub(super) fn stale(old: &Manifest, new: &Manifest) -> Vec<Stale> {
    let mut below: BTreeMap<&AssetKey, Vec<&AssetKey>> = BTreeMap::new();
    for asset in new.assets.values() {
        for dep in &asset.deps {
            below.entry(dep).or_default().push(&asset.key);
        }
    }
    // What was never made cannot become stale.
    let is_old = |key: &AssetKey| old.assets.get(key).is_some_and(|asset| asset.step.is_some());
    let mut found: BTreeMap<&AssetKey, Option<&AssetKey>> = BTreeMap::new();
    let mut open = VecDeque::new();
    for (key, asset) in &new.assets {
        let before = old.assets.get(key).filter(|_| is_old(key) && asset.step.is_some());
        if before.is_some_and(|before| code_version(before) != code_version(asset)) {
            found.insert(key, None);
            open.push_back(key);
        }
    }
    let mut seen: BTreeSet<&AssetKey> = found.keys().copied().collect();
    while let Some(upstream) = open.pop_front() {
        for key in below.get(upstream).into_iter().flatten().copied() {
            if !seen.insert(key) {
                continue;
            }
            open.push_back(key);
            if is_old(key) {
                found.insert(key, Some(upstream));
            }
        }
    }
    found
        .into_iter()
        .map(|(key, upstream)| Stale {
            asset: key.clone(),
            upstream: upstream.cloned(),
            partitions: new.assets.get(key).and_then(|asset| asset.partitions.clone()),
            built: None,
        })
        .collect()
}
