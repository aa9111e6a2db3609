//! What a change of definitions does to what was made and to what is going to run.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use millstream_model::cron::CronSchedule;
use millstream_model::{AssetKey, Manifest, Timestamp, Zone};

use super::diff::{FIRES_SHOWN, Retimed, Stale};
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

/// The schedules that fire at other times.
pub(super) fn retimed(old: &Manifest, new: &Manifest, now: Timestamp) -> Vec<Retimed> {
    let (old, new) = (schedules(old), schedules(new));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names
        .into_iter()
        .filter(|name| old.get(*name) != new.get(*name))
        .filter_map(|name| {
            let (before, after) = (fires(old.get(name), now), fires(new.get(name), now));
            (before != after).then(|| Retimed { name: name.clone(), before, after })
        })
        .collect()
}

/// What fires by itself: the expression and the zone it is read in, by the name that is shown.
fn schedules(manifest: &Manifest) -> BTreeMap<String, (String, Zone)> {
    let of_jobs = manifest.jobs.values().filter(|job| job.enabled).filter_map(|job| {
        let cron = job.schedule.clone()?;
        Some((format!("job {}", job.name), (cron, Zone::UTC)))
    });
    of_jobs.collect()
}

fn fires(schedule: Option<&(String, Zone)>, now: Timestamp) -> Vec<Timestamp> {
    let Some((text, zone)) = schedule else { return Vec::new() };
    let Ok(cron) = CronSchedule::parse(text) else { return Vec::new() };
    std::iter::successors(cron.next_after(now, zone), |last| cron.next_after(*last, zone))
        .take(FIRES_SHOWN)
        .collect()
}
