//! The keys that a definition has: page by page, counted, and those near a wrong one.

use super::{DIMENSION_SEPARATOR, PartitionKey, PartitionsDef, TimeWindow};
use crate::Timestamp;

/// Most keys that are looked at for one answer.
const KEYS_MAX: usize = 1_000_000;

/// How many keys a message about a wrong one lists.
const NEAR_MAX: usize = 5;

/// How like a wrong key, from 0 to 1, one has to be to be listed.
const NEAR_LEAST: f64 = 0.6;

/// Most keys that are compared with a wrong one.
const COMPARED_MAX: usize = 10_000;

/// Which keys are looked at.
type KeyTest<'a> = &'a dyn Fn(&PartitionKey) -> bool;

impl PartitionsDef {
    /// The next `limit` keys that exist at `now` after `after`, or the first ones: as written, in
    /// order of time, and with the last dimension changing fastest.
    ///
    /// Of dynamic keys only those in the definition itself; the store has the others.
    pub fn keys(
        &self,
        now: Timestamp,
        after: Option<&PartitionKey>,
        limit: usize,
    ) -> Vec<PartitionKey> {
        match self {
            Self::Static { .. } | Self::Dynamic(_) => {
                let declared = self.declared_keys();
                let from = match after {
                    None => 0,
                    Some(after) => match declared.iter().position(|key| key == after) {
                        Some(place) => place + 1,
                        None => declared.len(),
                    },
                };
                declared.iter().skip(from).take(limit).cloned().collect()
            }
            Self::TimeWindow(def) => {
                let Ok(windows) = def.windows() else { return Vec::new() };
                let after = match after.map(|after| windows.window_of(after)) {
                    None => None,
                    Some(Some(window)) => Some(window.start),
                    Some(None) => return Vec::new(),
                };
                windows
                    .existing(now, after)
                    .filter_map(|window| windows.key_of(window))
                    .take(limit.min(KEYS_MAX))
                    .collect()
            }
            Self::Multi { .. } => self.product(now, after, limit),
        }
    }

    /// How many keys exist at `now`, of dynamic ones those in the definition itself; counting
    /// stops at a million in each dimension.
    pub fn count(&self, now: Timestamp) -> usize {
        match self {
            Self::Static { .. } | Self::Dynamic(_) => self.declared_keys().len(),
            Self::TimeWindow(def) => {
                def.windows().map_or(0, |w| w.existing(now, None).take(KEYS_MAX).count())
            }
            Self::Multi { dimensions } => dimensions
                .values()
                .map(|def| def.count(now))
                .reduce(usize::saturating_mul)
                .unwrap_or(0),
        }
    }

    /// Keys that exist at `now`, are `ours` and look like `key`, the likeliest first; `added` are
    /// dynamic keys that the definition itself does not have.
    pub fn near(
        &self,
        key: &PartitionKey,
        now: Timestamp,
        (added, ours): (&[PartitionKey], KeyTest<'_>),
    ) -> Vec<PartitionKey> {
        match self {
            Self::Static { .. } | Self::Dynamic(_) => {
                likely(key, self.declared_keys().iter().chain(added), ours)
            }
            Self::TimeWindow(def) => {
                let Ok(windows) = def.windows() else { return Vec::new() };
                // Of a window out of range the nearer end; of any other text the latest key.
                let first = windows.existing(now, None).next();
                let is_before = |first: &TimeWindow| {
                    windows.window_of(key).is_some_and(|window| window.start < first.start)
                };
                let window = first.filter(is_before).or_else(|| windows.last(now));
                window.and_then(|window| windows.key_of(window)).into_iter().collect()
            }
            Self::Multi { .. } => {
                let mut near = likely(key, &self.keys(now, None, COMPARED_MAX), ours);
                // These are keys of one dimension.
                near.extend(added.iter().take(NEAR_MAX).cloned());
                near
            }
        }
    }

    /// The product of the dimensions' keys, continued after a key of it.
    fn product(
        &self,
        now: Timestamp,
        after: Option<&PartitionKey>,
        limit: usize,
    ) -> Vec<PartitionKey> {
        let Self::Multi { dimensions } = self else { return Vec::new() };
        let lists: Vec<Vec<PartitionKey>> =
            dimensions.values().map(|def| def.keys(now, None, KEYS_MAX)).collect();
        if lists.is_empty() || lists.iter().any(Vec::is_empty) {
            return Vec::new();
        }
        let mut places = vec![0; lists.len()];
        if let Some(after) = after {
            let Some(found) = places_of(after, &lists) else { return Vec::new() };
            places = found;
            if !advance(&mut places, &lists) {
                return Vec::new();
            }
        }
        let mut keys = Vec::new();
        while keys.len() < limit.min(KEYS_MAX) {
            let parts: Vec<&str> = places
                .iter()
                .zip(&lists)
                .filter_map(|(place, list)| list.get(*place).map(PartitionKey::as_str))
                .collect();
            keys.extend(parts.join(&DIMENSION_SEPARATOR.to_string()).parse().ok());
            if !advance(&mut places, &lists) {
                break;
            }
        }
        keys
    }
}

/// Where the parts of `key` stand in the lists of their dimensions.
fn places_of(key: &PartitionKey, lists: &[Vec<PartitionKey>]) -> Option<Vec<usize>> {
    let parts: Vec<&str> = key.as_str().split(DIMENSION_SEPARATOR).collect();
    if parts.len() != lists.len() {
        return None;
    }
    parts
        .iter()
        .zip(lists)
        .map(|(part, list)| list.iter().position(|key| key.as_str() == *part))
        .collect()
}

/// Moves to the next combination; `false` after the last one.
fn advance(places: &mut [usize], lists: &[Vec<PartitionKey>]) -> bool {
    for (place, list) in places.iter_mut().zip(lists).rev() {
        *place += 1;
        if *place < list.len() {
            return true;
        }
        *place = 0;
    }
    false
}

/// Those of `keys` that are `ours` and most like `key`.
fn likely<'a>(
    key: &PartitionKey,
    keys: impl IntoIterator<Item = &'a PartitionKey>,
    ours: KeyTest<'_>,
) -> Vec<PartitionKey> {
    let mut ranked: Vec<(f64, &PartitionKey)> = keys
        .into_iter()
        .filter(|key| ours(key))
        .take(COMPARED_MAX)
        .map(|other| (strsim::jaro_winkler(key.as_str(), other.as_str()), other))
        .filter(|(likeness, _)| *likeness >= NEAR_LEAST)
        .collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    ranked.into_iter().take(NEAR_MAX).map(|(_, key)| key.clone()).collect()
}
