//! The schedules and sensors that go on under another name.
//!
//! Pure. It is the rule of `renamed_from` for definitions alone: what the store has beside them is
//! given its new name by `decide`.

use std::collections::BTreeMap;

use millstream_model::{Manifest, ScheduleName, SensorName};

/// The schedules of `new` that `old` has under another name, each with that name.
pub fn renamed_schedules<'m>(
    old: &Manifest,
    new: &'m Manifest,
) -> BTreeMap<&'m ScheduleName, &'m ScheduleName> {
    renamed((&old.schedules, &new.schedules), |schedule| schedule.renamed_from.as_ref())
}

/// The sensors of `new` that `old` has under another name, each with that name.
pub fn renamed_sensors<'m>(
    old: &Manifest,
    new: &'m Manifest,
) -> BTreeMap<&'m SensorName, &'m SensorName> {
    renamed((&old.sensors, &new.sensors), |sensor| sensor.renamed_from.as_ref())
}

/// The names that only `new` has, of which each names one that only `old` has.
fn renamed<'m, K: Ord, V>(
    (old, new): (&BTreeMap<K, V>, &'m BTreeMap<K, V>),
    before: impl Fn(&'m V) -> Option<&'m K>,
) -> BTreeMap<&'m K, &'m K> {
    new.iter()
        .filter(|(name, _)| !old.contains_key(name))
        .filter_map(|(name, thing)| Some((name, before(thing)?)))
        .filter(|(_, before)| old.contains_key(before) && !new.contains_key(before))
        .collect()
}
