//! Which sensors answer to the runs that other sensors request.
//!
//! Pure: the loader asks [`reactions`] when files are put together, and warns of circles.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::{
    AssetKey, JobName, JobShape, Manifest, RunStatus, ScheduleTarget, SensorDef, SensorQuestion,
    Switch,
};

use crate::selection::select;

/// Sensors that are compared with each other; of more nothing is said.
const SENSORS_MAX: usize = 200;

/// A sensor with the places of those that answer to the runs that it requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Reaction<'m> {
    /// The sensor.
    pub sensor: &'m SensorDef,
    /// The others that request a run for each of its own, by their places in the same list.
    pub answered_by: Vec<usize>,
}

/// The sensors that request a run for each that they see with such an `end`.
///
/// What a `when` or a `run_key` leaves out is not known here: a sensor that has one does not count,
/// and neither does one that is off. A sensor's own runs are no news to it.
pub fn reactions(manifest: &Manifest, end: RunStatus) -> Vec<Reaction<'_>> {
    let mut selected = Selected { manifest, found: BTreeMap::new() };
    let links = manifest.sensors.values().filter_map(|sensor| Link::of(sensor, end, &mut selected));
    let links: Vec<Link<'_>> = links.take(SENSORS_MAX + 1).collect();
    if links.len() > SENSORS_MAX {
        return Vec::new();
    }
    let answered_by = |one: &Link<'_>| {
        let others = links.iter().enumerate();
        let seen = others.filter(|(_, other)| other.sensor.name != one.sensor.name);
        seen.filter(|(_, other)| other.sees(one)).map(|(place, _)| place).collect()
    };
    links.iter().map(|one| Reaction { sensor: one.sensor, answered_by: answered_by(one) }).collect()
}

/// The assets that selections name, each looked at once.
struct Selected<'m> {
    manifest: &'m Manifest,
    found: BTreeMap<&'m str, BTreeSet<AssetKey>>,
}

impl<'m> Selected<'m> {
    fn of(&mut self, text: &'m str) -> BTreeSet<AssetKey> {
        // What selects nothing that can be read is an error of its own.
        let select = || select(self.manifest, text).unwrap_or_default().into_iter().collect();
        self.found.entry(text).or_insert_with(select).clone()
    }
}

/// What a sensor sees and what it requests.
struct Link<'m> {
    sensor: &'m SensorDef,
    sees: Sees<'m>,
    job: Option<&'m JobName>,
    assets: BTreeSet<AssetKey>,
}

enum Sees<'m> {
    Runs(Option<&'m JobName>),
    Assets(BTreeSet<AssetKey>),
}

impl<'m> Link<'m> {
    fn of(sensor: &'m SensorDef, end: RunStatus, selected: &mut Selected<'m>) -> Option<Self> {
        let ends_itself = sensor.when.is_some() || sensor.request.run_key.is_some();
        if ends_itself || sensor.enabled == Switch::Fixed(false) {
            return None;
        }
        let sees = match &sensor.question {
            SensorQuestion::RunStatus { job, on } if on.contains(&end) => Sees::Runs(job.as_ref()),
            SensorQuestion::Asset { select } if end == RunStatus::Success => {
                Sees::Assets(selected.of(select))
            }
            _ => return None,
        };
        let (job, select) = match sensor.request.target.as_ref()? {
            ScheduleTarget::Select(text) => (None, Some(text)),
            ScheduleTarget::Job(name) => {
                let shape = selected.manifest.jobs.get(name).map(|job| &job.shape);
                let select = match shape {
                    Some(JobShape::Select(text)) => Some(text),
                    Some(JobShape::Ops(_)) | None => None,
                };
                (Some(name), select)
            }
        };
        let assets = select.map(|text| selected.of(text)).unwrap_or_default();
        Some(Self { sensor, sees, job, assets })
    }

    /// Whether what `one` requests is news to this.
    fn sees(&self, one: &Self) -> bool {
        let (ours, theirs) = (&self.sensor.tenants, &one.sensor.tenants);
        let is_everywhere = ours.is_empty() || theirs.is_empty();
        if !is_everywhere && !ours.iter().any(|id| theirs.contains(id)) {
            return false;
        }
        match &self.sees {
            Sees::Runs(None) => true,
            Sees::Runs(job) => *job == one.job,
            Sees::Assets(assets) => !assets.is_disjoint(&one.assets),
        }
    }
}
