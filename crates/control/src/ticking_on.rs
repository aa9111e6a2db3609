//! The ticks that wait while a change of definitions is planned, of schedules that tick on, or
//! again, by timings that stay.
//!
//! What becomes of each is `decide`'s; here is read what it goes by: the runs that are under way,
//! the jobs that are off and the conditions. [`crate::lapsing`] asks.

use std::collections::BTreeMap;

use millstream_decide::condition::holds;
use millstream_decide::schedule::{Conduct, Fate, Fates, TickPolicy, in_time};
use millstream_model::{
    CatchUp, LocationName, Manifest, ScheduleDef, SkipReason, TenantId, TickKind,
};
use millstream_store::StoreError;

use crate::Control;
use crate::job_off::{Words, runs_job};
use crate::lapsing::{Counts, Planned};
use crate::live_schedules::LiveSchedule;
use crate::retimed::shown_name;

/// What becomes of the ticks but for those of which nothing does.
#[derive(Debug, Default)]
pub(crate) struct TickingOn {
    pub(crate) skipped: Counts,
    pub(crate) made_up: Counts,
    pub(crate) held: Counts,
}

/// The runs under way of a tenant's schedules, of each tenant that was asked for.
#[derive(Debug, Default)]
struct Active(BTreeMap<TenantId, BTreeMap<(LocationName, String), u32>>);

impl Control {
    /// Counts the ticks that wait for schedules which do something else with them from then on;
    /// those of which nothing becomes are added to `lapsing`.
    pub(crate) async fn ticking_on(
        &self,
        planned: &Planned<'_>,
        lapsing: &mut Counts,
    ) -> Result<TickingOn, StoreError> {
        let (mut fates, mut active) = (Fates::default(), Active::default());
        let mut found = TickingOn::default();
        for (key, schedule) in &planned.new.1 {
            let Some(stored) = planned.known.get(key) else { continue };
            let (timing, def, now) = (&schedule.timing, &schedule.def, planned.now);
            let is_on = self.is_on_in(planned.new.0, schedule, stored);
            if !is_on || *timing.hash() != stored.timing {
                continue;
            }
            let (from, was) = match stored.next_due {
                Some(_) => (stored.cursor, planned.old.1.get(key)),
                // One that was off begins anew unless it makes up for everything.
                None if def.catch_up != CatchUp::All => continue,
                None => (in_time(stored.cursor, def.deadline, now), None),
            };
            if timing.next_fire(from).is_none_or(|first| first > now) {
                continue;
            }
            let before = was.map(|was| self.conduct((planned.old.0, planned.words), was));
            let (mute, after) = self.conduct((planned.new.0, planned.words), schedule);
            let mut conducts = (before.map(|(_, conduct)| conduct), after);
            if conducts.0 == Some(conducts.1) {
                continue;
            }
            let runs = self.runs_under_way(key, &planned.new.0.location, &mut active).await?;
            for conduct in conducts.0.iter_mut().chain([&mut conducts.1]) {
                conduct.policy.active_runs = runs;
            }
            let name = shown_name(planned.new.0, def);
            for fated in fates.of(timing, (from, now), conducts) {
                let (counts, reason) = match &fated.fate {
                    Fate::Fires => (&mut found.made_up, None),
                    Fate::Waits => (&mut found.held, None),
                    Fate::Mute => (&mut found.skipped, mute.clone()),
                    Fate::Skipped(SkipReason::Missed { .. }) => (&mut *lapsing, None),
                    Fate::Skipped(reason) => (&mut found.skipped, Some(reason.clone())),
                };
                counts.add_fated(&name, fated, reason);
            }
        }
        Ok(found)
    }

    /// What a schedule does with its ticks while no run of it is under way, and why they request
    /// nothing where they do not.
    fn conduct(
        &self,
        (manifest, words): (&Manifest, &Words),
        schedule: &LiveSchedule,
    ) -> (Option<SkipReason>, Conduct) {
        let ScheduleDef { catch_up, deadline, max_active_runs, when, target, .. } = &*schedule.def;
        let tenant = &schedule.tenant;
        let mute = if runs_job((manifest, words), tenant, target) {
            let names = || self.names(tenant, manifest.tenants.get(tenant));
            // Where it cannot be told, the tick fails and requests nothing either.
            let says_no = |it: &&String| holds(it, &names()) != Ok(true);
            let condition = when.as_ref().filter(says_no);
            condition.map(|it| SkipReason::When { condition: it.clone() })
        } else {
            Some(SkipReason::JobDisabled {})
        };
        let policy = TickPolicy {
            catch_up: *catch_up,
            deadline: *deadline,
            max_active_runs: *max_active_runs,
            active_runs: 0,
        };
        let is_mute = mute.is_some();
        (mute, Conduct { policy, is_mute })
    }

    /// How many runs of the schedule that is stored as `key` are under way.
    async fn runs_under_way(
        &self,
        (tenant, name): &(TenantId, String),
        location: &LocationName,
        active: &mut Active,
    ) -> Result<u32, StoreError> {
        if !active.0.contains_key(tenant) {
            let runs = self.store.active_runs(tenant, TickKind::Schedule).await?;
            active.0.insert(tenant.clone(), runs);
        }
        let runs = active.0.get(tenant).and_then(|it| it.get(&(location.clone(), name.clone())));
        Ok(runs.copied().unwrap_or_default())
    }
}
