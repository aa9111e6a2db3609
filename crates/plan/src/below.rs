//! What is made from some assets, directly or through others.
//!
//! Pure: [`crate::changes`] asks it for what a change makes stale later on, and `control` for the
//! assets that have a stale one above them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

use millstream_model::AssetKey;

/// How an asset comes to be below another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Below<'k> {
    /// The nearest of the assets that were asked about.
    pub top: &'k AssetKey,
    /// What it is made from itself, on the way to that.
    pub upstream: &'k AssetKey,
}

/// The assets below `tops`, without those themselves; `assets` are all with what each is made from.
pub fn below<'k>(
    assets: impl IntoIterator<Item = (&'k AssetKey, &'k [AssetKey])>,
    tops: impl IntoIterator<Item = &'k AssetKey>,
) -> BTreeMap<&'k AssetKey, Below<'k>> {
    let mut feeds: BTreeMap<&AssetKey, Vec<&AssetKey>> = BTreeMap::new();
    for (key, deps) in assets {
        for dep in deps {
            feeds.entry(dep).or_default().push(key);
        }
    }
    let mut tops_of: BTreeMap<&AssetKey, &AssetKey> =
        tops.into_iter().map(|key| (key, key)).collect();
    let mut open: VecDeque<&AssetKey> = tops_of.keys().copied().collect();
    let mut found = BTreeMap::new();
    while let Some(upstream) = open.pop_front() {
        let Some(top) = tops_of.get(upstream).copied() else { continue };
        for key in feeds.get(upstream).into_iter().flatten().copied() {
            if let Entry::Vacant(place) = tops_of.entry(key) {
                place.insert(top);
                found.insert(key, Below { top, upstream });
                open.push_back(key);
            }
        }
    }
    found
}
