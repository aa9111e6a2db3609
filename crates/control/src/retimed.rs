//! The schedules that a change of definitions has fire at other times.
//!
//! Pure: [`retimed`] compares two manifests at a time that it is given; [`crate::changes_between`]
//! asks it. One that begins or stops in some of its tenants is told with these. What a schedule's
//! `when`, its switch's template and words given by hand come to is not known here: such a schedule
//! counts as one that fires.

use std::collections::{BTreeMap, BTreeSet};

use millstream_decide::schedule::Timing;
use millstream_model::{
    Manifest, ScheduleCron, ScheduleDef, ScheduleName, Switch, TenantDef, TenantId, Timestamp,
};
use millstream_plan::changes::{Retimed, job_of, renamed_schedules};

use crate::taking_part::{Tenants, Ticks, apart};

/// The fire times of a schedule that are shown, of each side.
const FIRES_SHOWN: usize = 5;

/// The fire times that are compared: of a daily schedule those of a year.
const FIRES_COMPARED: usize = 400;

/// A schedule's own name, and the tenant whose `schedule` it follows.
type Key = (ScheduleName, Option<TenantId>);

/// When a schedule is due, and in which tenants.
struct Due {
    /// The name that is shown.
    name: String,
    timing: Timing,
    tenants: BTreeSet<TenantId>,
}

/// The schedules whose next fire times after `now` differ, with the first of them; where those are
/// the same, with the first that differ. One that is renamed is the same schedule.
pub(crate) fn retimed(old: &Manifest, new: &Manifest, now: Timestamp) -> Vec<Retimed> {
    let names = renamed_schedules(old, new);
    let names = names.into_iter().map(|(name, before)| (before, name)).collect();
    let tenants = Tenants::of(old, new);
    let old = due(old, tenants, &names);
    let new = due(new, tenants, &BTreeMap::new());
    let keys: BTreeSet<&Key> = old.keys().chain(new.keys()).collect();
    let mut found = Vec::new();
    for key in keys {
        let (before, after) = (old.get(key), new.get(key));
        let Some(Due { name, .. }) = after.or(before) else { continue };
        let none = BTreeSet::new();
        let (old, new) = (before.map(|it| &it.tenants), after.map(|it| &it.tenants));
        for (name, ticks) in apart(name, old.unwrap_or(&none), new.unwrap_or(&none)) {
            let before = before.filter(|_| ticks != Ticks::After).map(|it| &it.timing);
            let after = after.filter(|_| ticks != Ticks::Before).map(|it| &it.timing);
            if before == after {
                continue;
            }
            let Some(from) = first_difference(before, after, now) else { continue };
            let shown = |timing: Option<&Timing>| {
                timing.map(|timing| timing.upcoming(from, FIRES_SHOWN)).unwrap_or_default()
            };
            found.push(Retimed { name, before: shown(before), after: shown(after) });
        }
    }
    found.sort_by(|one: &Retimed, other| one.name.cmp(&other.name));
    found
}

/// The time after which the fire times of two schedules differ, of those that are compared: `now`
/// where the first that are shown do.
///
/// Both are asked for one time after the other, because most differ in the first.
fn first_difference(
    before: Option<&Timing>,
    after: Option<&Timing>,
    now: Timestamp,
) -> Option<Timestamp> {
    let mut before = before.map(|timing| timing.fires(now));
    let mut after = after.map(|timing| timing.fires(now));
    let mut same = now;
    for compared in 0..FIRES_COMPARED {
        let next = before.as_mut().and_then(Iterator::next);
        if next != after.as_mut().and_then(Iterator::next) {
            return Some(if compared < FIRES_SHOWN { now } else { same });
        }
        same = next?;
    }
    None
}

/// When what fires by itself does: of a schedule that follows its tenant's, each tenant apart.
/// Those that have another name later on stand under that.
fn due(
    manifest: &Manifest,
    tenants: Tenants,
    names: &BTreeMap<&ScheduleName, &ScheduleName>,
) -> BTreeMap<Key, Due> {
    let mut found = BTreeMap::new();
    for schedule in manifest.schedules.values().filter(|it| is_on(it)) {
        let later = names.get(&schedule.name).copied().unwrap_or(&schedule.name);
        let name = shown_name(manifest, schedule);
        let mut add = |(due, of): (String, Option<&TenantId>), tenant: &TenantDef, tenants| {
            // What cannot be read was refused when it was loaded.
            if let Ok(Some(timing)) = Timing::of(schedule, tenant, manifest) {
                let due = Due { name: due, timing, tenants };
                found.insert((later.clone(), of.cloned()), due);
            }
        };
        let tenants = tenants.taking_part(manifest, &schedule.tenants);
        match &schedule.cron {
            ScheduleCron::Text(_) => add((name, None), &TenantDef::default(), tenants),
            ScheduleCron::OfTenant => {
                for (id, tenant) in manifest.enabled_tenants().filter(|it| tenants.contains(it.0)) {
                    let of = (format!("{name} in {id}"), Some(id));
                    add(of, tenant, [id.clone()].into());
                }
            }
        }
    }
    found
}

/// The schedule as a change of definitions names it: by its job where that declares it for itself.
pub(crate) fn shown_name(manifest: &Manifest, schedule: &ScheduleDef) -> String {
    match job_of(manifest, schedule) {
        Some(job) => format!("job {}", job.name),
        None => format!("schedule {}", schedule.name),
    }
}

/// Whether a schedule ticks by its file; that its job is off is told by [`crate::job_off`].
pub(crate) fn is_on(schedule: &ScheduleDef) -> bool {
    schedule.enabled != Switch::Fixed(false)
}
