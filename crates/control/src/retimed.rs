//! The schedules that a change of definitions has fire at other times.
//!
//! Pure: [`retimed`] compares two manifests at a time that it is given; [`crate::changes_between`]
//! asks it. One that begins or stops in some of its tenants is told with these; one that somebody
//! switched by hand goes by that. What a schedule's `when` and its switch's template come to is
//! not known here: such a schedule counts as one that fires.

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

/// The schedules that somebody has switched by hand, by tenant and by the name that is stored.
pub(crate) type ByHand = BTreeMap<(TenantId, String), bool>;

/// When a schedule is due, and in which tenants.
struct Due {
    /// The name that is shown.
    name: String,
    timing: Timing,
    tenants: BTreeSet<TenantId>,
}

/// The schedules whose next fire times after `now` differ, with the first of them; where those are
/// the same, with the first that differ. One that is renamed is the same schedule.
pub(crate) fn retimed(
    old: &Manifest,
    new: &Manifest,
    (by_hand, now): (&ByHand, Timestamp),
) -> Vec<Retimed> {
    let names = renamed_schedules(old, new);
    let names = names.into_iter().map(|(name, before)| (before, name)).collect();
    let taking_part = (Tenants::of(old, new), by_hand);
    let old = due(old, taking_part, &names);
    let new = due(new, taking_part, &BTreeMap::new());
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
    (tenants, by_hand): (Tenants, &ByHand),
    names: &BTreeMap<&ScheduleName, &ScheduleName>,
) -> BTreeMap<Key, Due> {
    let mut found = BTreeMap::new();
    for schedule in manifest.schedules.values() {
        let later = names.get(&schedule.name).copied().unwrap_or(&schedule.name);
        let name = shown_name(manifest, schedule);
        let mut add = |(due, of): (String, Option<&TenantId>), tenant: &TenantDef, tenants| {
            // What cannot be read was refused when it was loaded.
            if let Ok(Some(timing)) = Timing::of(schedule, tenant, manifest) {
                let due = Due { name: due, timing, tenants };
                found.insert((later.clone(), of.cloned()), due);
            }
        };
        let mut tenants = tenants.taking_part(manifest, &schedule.tenants);
        tenants.retain(|id| word(manifest, schedule, (id, by_hand)).unwrap_or(is_on(schedule)));
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

/// What somebody said by hand of a schedule in a tenant, under its name or the one that it had.
fn word(
    manifest: &Manifest,
    schedule: &ScheduleDef,
    (tenant, by_hand): (&TenantId, &ByHand),
) -> Option<bool> {
    let of = |name: &ScheduleName| by_hand.get(&(tenant.clone(), name.to_string())).copied();
    let before = schedule.renamed_from.as_ref();
    let before = before.filter(|name| !manifest.schedules.contains_key(*name));
    of(&schedule.name).or_else(|| before.and_then(of))
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
