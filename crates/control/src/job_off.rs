//! The schedules that a change of definitions has tick in vain, because their job is off.
//!
//! Pure but for the words that somebody gave over the files: [`job_off`] compares two manifests,
//! and [`crate::proposal`] asks it. A schedule whose job is off ticks on, so that
//! [`crate::retimed`] does not tell of it.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::{
    JobName, Manifest, ScheduleCron, ScheduleDef, ScheduleName, ScheduleTarget, TenantId,
};
use millstream_plan::changes::{JobOff, renamed_schedules};
use millstream_store::StoreError;

use crate::Control;
use crate::jobs::is_job_on;
use crate::retimed::{is_on, shown_name};
use crate::taking_part::{Tenants, in_tenants};

/// The jobs that somebody has switched by hand, of each tenant.
pub(crate) type Words = BTreeMap<TenantId, BTreeMap<JobName, bool>>;

/// The tenants in which a schedule ticks, and those of them in which its job is off.
#[derive(Default)]
struct Ticking {
    name: String,
    tenants: BTreeSet<TenantId>,
    off: BTreeSet<TenantId>,
}

impl Control {
    /// The jobs that somebody has switched in the tenants of two manifests of one location.
    pub(crate) async fn words_in(
        &self,
        old: &Manifest,
        new: &Manifest,
    ) -> Result<Words, StoreError> {
        let mut words = Words::new();
        let tenants = old.enabled_tenants().chain(new.enabled_tenants()).map(|(id, _)| id);
        for tenant in tenants.collect::<BTreeSet<_>>() {
            let of_tenant = self.store.job_overrides(tenant, &old.location).await?;
            words.insert(tenant.clone(), of_tenant);
        }
        Ok(words)
    }
}

/// The schedules whose ticks are skipped from then on because their job is off, and those that tick
/// on and whose ticks are not skipped for that any more; with their tenants where they tick in
/// others as well. One that is renamed is the same schedule.
pub(crate) fn job_off(old: &Manifest, new: &Manifest, words: &Words) -> Vec<JobOff> {
    let names = renamed_schedules(old, new);
    let tenants = Tenants::of(old, new);
    let mut before = ticking(old, tenants, words);
    let mut found = Vec::new();
    for (name, after) in ticking(new, tenants, words) {
        let before = before.remove(names.get(name).copied().unwrap_or(name)).unwrap_or_default();
        let begins: BTreeSet<TenantId> = after.off.difference(&before.off).cloned().collect();
        let ends = before.off.difference(&after.off).filter(|it| after.tenants.contains(*it));
        for (some, off) in [(begins, true), (ends.cloned().collect(), false)] {
            if !some.is_empty() {
                let is_whole = some == after.tenants;
                let name = &after.name;
                let name = if is_whole { name.clone() } else { in_tenants(name, &some) };
                found.push(JobOff { name, off });
            }
        }
    }
    found.sort_by(|one: &JobOff, other| (&one.name, one.off).cmp(&(&other.name, other.off)));
    found
}

/// Whether the job that a schedule runs may run in a tenant.
pub(crate) fn runs_job(
    (manifest, words): (&Manifest, &Words),
    tenant: &TenantId,
    target: &ScheduleTarget,
) -> bool {
    let ScheduleTarget::Job(job) = target else { return true };
    let none = BTreeMap::new();
    is_job_on(manifest, words.get(tenant).unwrap_or(&none), job)
}

fn ticking<'m>(
    manifest: &'m Manifest,
    tenants: Tenants,
    words: &Words,
) -> BTreeMap<&'m ScheduleName, Ticking> {
    let of = |schedule: &'m ScheduleDef| {
        let mut tenants = tenants.taking_part(manifest, &schedule.tenants);
        if schedule.cron == ScheduleCron::OfTenant {
            let has_own = |id: &TenantId| manifest.tenants.get(id)?.schedule.as_ref();
            tenants.retain(|id| has_own(id).is_some());
        }
        let is_off = |id: &&TenantId| !runs_job((manifest, words), id, &schedule.target);
        let off = tenants.iter().filter(is_off).cloned().collect();
        (&schedule.name, Ticking { name: shown_name(manifest, schedule), tenants, off })
    };
    manifest.schedules.values().filter(|it| is_on(it)).map(of).collect()
}
