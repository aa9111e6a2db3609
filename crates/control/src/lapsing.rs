//! The ticks that wait while a change of definitions is planned, and what it makes of them.
//!
//! [`crate::proposal`] tells of them before the change is made; what lapses when it is made is
//! [`crate::lapsed`]'s. Those of schedules that tick on are [`crate::ticking_on`]'s.

use std::collections::{BTreeMap, BTreeSet};

use millstream_decide::renamed::heir;
use millstream_decide::schedule::{Fated, Lapsed, LapsedTicks, in_time};
use millstream_model::{CatchUp, Manifest, ScheduleName, SkipReason, TenantId, Timestamp};
use millstream_plan::changes::{Heir, Lapsing};
use millstream_store::StoreError;
use millstream_store::sources::StoredSource;

use crate::Control;
use crate::job_off::Words;
use crate::lapsed::{Edited, Key};
use crate::live_schedules::{LiveSchedule, LiveSchedules};
use crate::retimed::shown_name;
use crate::taking_part::in_tenants;
use crate::ticking_on::TickingOn;

/// What becomes of ticks that are due, not decided yet, and not decided by a change either.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// Nothing.
    pub(crate) lapsing: Vec<Lapsing>,
    /// They are skipped, each for a reason.
    pub(crate) skipped: Vec<Lapsing>,
    /// They are made up for once their schedule ticks again.
    pub(crate) kept: Vec<Lapsing>,
    /// They are made up for at once.
    pub(crate) made_up: Vec<Lapsing>,
    /// They are made up for as runs of their schedule end.
    pub(crate) held: Vec<Lapsing>,
}

/// The ticks of schedules by the name that is shown, and by why they are skipped.
#[derive(Debug, Default)]
pub(crate) struct Counts(BTreeMap<(String, Option<String>), Lapsing>);

/// What is planned: the schedules of both sides under the names that the store has.
pub(crate) struct Planned<'a> {
    pub(crate) known: &'a BTreeMap<Key, StoredSource>,
    pub(crate) old: (&'a Manifest, BTreeMap<Key, &'a LiveSchedule>),
    pub(crate) new: (&'a Manifest, BTreeMap<Key, &'a LiveSchedule>),
    pub(crate) words: &'a Words,
    pub(crate) now: Timestamp,
}

/// A schedule that ticks no more in some tenants, and the ticks that wait there.
struct Stopping<'a> {
    name: String,
    catch_up: CatchUp,
    ticks: BTreeMap<&'a TenantId, Lapsed>,
    heir: Option<Heir>,
}

impl Counts {
    /// Adds ticks of one tenant; there may be more of them where so many are counted as at most.
    fn add(&mut self, name: String, lapsed: Lapsed, heir: Option<Heir>) {
        let at_least = lapsed.count >= SkipReason::RETIMED_MAX;
        let all = self.all_of(name, None, lapsed, at_least);
        all.heir = all.heir.take().or(heir);
    }

    /// Adds ticks of one tenant, with why they are skipped where they are.
    pub(crate) fn add_fated(&mut self, name: &str, fated: &Fated, reason: Option<SkipReason>) {
        self.all_of(name.to_owned(), reason, fated.ticks, fated.at_least);
    }

    fn all_of(
        &mut self,
        name: String,
        reason: Option<SkipReason>,
        ticks: Lapsed,
        at_least: bool,
    ) -> &mut Lapsing {
        let key = (name.clone(), reason.as_ref().map(ToString::to_string));
        let since = ticks.first;
        let none = Lapsing { name, count: 0, at_least: false, since, reason, heir: None };
        let all = self.0.entry(key).or_insert(none);
        all.count = all.count.saturating_add(ticks.count);
        all.at_least |= at_least;
        all.since = all.since.min(ticks.first);
        all
    }

    fn rows(self) -> Vec<Lapsing> {
        self.0.into_values().collect()
    }
}

impl Control {
    /// What becomes of the ticks that wait if `new` comes in the place of `old`, which is live.
    pub(crate) async fn left_waiting(
        &self,
        old: &Manifest,
        new: &Manifest,
        words: &Words,
    ) -> Result<Waiting, StoreError> {
        let known = self.stored_schedules(&old.location).await?;
        let (before, after) = (LiveSchedules::of(old), LiveSchedules::of(new));
        let (before, later) = (as_stored(&before, &known), as_stored(&after, &known));
        let now = self.now();
        let planned = Planned { known: &known, old: (old, before), new: (new, later), words, now };
        let (mut lapsing, mut kept) = (Counts::default(), Counts::default());
        let edited = edited(&planned);
        for (key, lapsed) in self.lapsed_of(&edited).await? {
            if let Some(edited) = edited.get(&key) {
                lapsing.add(shown_name(new, &edited.schedule.def), lapsed, None);
            }
        }
        for (name, lapsed) in let_go(&planned) {
            lapsing.add(name, lapsed, None);
        }
        for Stopping { name, catch_up, ticks, heir } in self.stopping(&planned, &after) {
            let counts = if catch_up == CatchUp::All { &mut kept } else { &mut lapsing };
            for lapsed in ticks.into_values() {
                counts.add(name.clone(), lapsed, heir.clone());
            }
        }
        let on = self.ticking_on(&planned, &mut lapsing).await?;
        let TickingOn { skipped, made_up, held } = on;
        let (lapsing, skipped, kept) = (lapsing.rows(), skipped.rows(), kept.rows());
        Ok(Waiting { lapsing, skipped, kept, made_up: made_up.rows(), held: held.rows() })
    }

    /// The schedules that tick, and would not, by timings that stay; named with their tenants where
    /// they go on in others.
    fn stopping<'a>(&self, planned: &Planned<'a>, after: &LiveSchedules) -> Vec<Stopping<'a>> {
        let (old, before) = &planned.old;
        let (new, later) = &planned.new;
        let (mut found, mut going_on) = (BTreeMap::new(), BTreeSet::new());
        let mut counts = LapsedTicks::default();
        for (key, stored) in planned.known.iter().filter(|(_, it)| it.next_due.is_some()) {
            let (tenant, name) = key;
            let schedule = later.get(key).copied();
            if schedule.is_some_and(|it| self.is_on_in(new, it, stored)) {
                going_on.insert(name);
                continue;
            }
            let stays = |it: &&LiveSchedule| *it.timing.hash() == stored.timing;
            let was = before.get(key).copied().filter(stays);
            let Some(was) = was.filter(|_| schedule.as_ref().is_none_or(stays)) else { continue };
            let def = schedule.map(|it| &*it.def).or_else(|| new.schedules.get(name.as_str()));
            let (manifest, def) = def.map_or((*old, &*was.def), |def| (*new, def));
            let from = match def.catch_up {
                CatchUp::All => in_time(stored.cursor, def.deadline, planned.now),
                CatchUp::Last | CatchUp::None => stored.cursor,
            };
            let Some(ticks) = counts.of(&was.timing, from, planned.now) else { continue };
            let stopping = found.entry(name).or_insert_with(|| {
                let (name, catch_up) = (shown_name(manifest, def), def.catch_up);
                let heir = heir_of(planned, after, was);
                Stopping { name, catch_up, ticks: BTreeMap::new(), heir }
            });
            stopping.ticks.insert(tenant, ticks);
        }
        let named = found.into_iter().map(|(name, stopping)| {
            if !going_on.contains(name) {
                return stopping;
            }
            let tenants = stopping.ticks.keys().map(|id| (*id).clone()).collect();
            Stopping { name: in_tenants(&stopping.name, &tenants), ..stopping }
        });
        named.collect()
    }

    /// Whether a schedule of `manifest` ticks.
    pub(crate) fn is_on_in(
        &self,
        manifest: &Manifest,
        schedule: &LiveSchedule,
        stored: &StoredSource,
    ) -> bool {
        let switch = (manifest, &schedule.def.enabled);
        let named = (&schedule.tenant, schedule.def.name.as_str());
        self.on_by_file_and_word(switch, named, stored.override_on).1
    }
}

/// The schedules of `live` under the names that the store has.
fn as_stored<'a>(
    live: &'a LiveSchedules,
    known: &BTreeMap<Key, StoredSource>,
) -> BTreeMap<Key, &'a LiveSchedule> {
    let named = live.iter().map(|schedule| {
        let key = |name: &str| (schedule.tenant.clone(), name.to_owned());
        (key(live.stored_as(schedule, |name| known.contains_key(&key(name)))), schedule)
    });
    named.collect()
}

/// Who could take over what `was`, which is in no file of `after`, leaves.
fn heir_of(planned: &Planned<'_>, after: &LiveSchedules, was: &LiveSchedule) -> Option<Heir> {
    let key = |name: &str| (was.tenant.clone(), name.to_owned());
    let before = was.def.renamed_from.as_ref().map(ScheduleName::as_str);
    let is_declared = |name: &str| after.get(&was.tenant, name).is_some();
    let name = heir(before, |name| planned.known.contains_key(&key(name)), is_declared)?;
    let (new, _) = planned.new;
    let renamed_from = was.def.name.to_string();
    Some(Heir { name: shown_name(new, &after.get(&was.tenant, name)?.def), renamed_from })
}

/// The schedules whose timing would be another.
fn edited<'a>(planned: &Planned<'a>) -> BTreeMap<Key, Edited<'a>> {
    let later = planned.new.1.iter();
    let edited = later.filter_map(|(key, schedule)| {
        let stored = planned.known.get(key)?;
        let edited = Edited { schedule, stored, begins: planned.now };
        (stored.timing != *schedule.timing.hash()).then(|| (key.clone(), edited))
    });
    edited.collect()
}

/// The ticks that schedules which are off would make up for once they are on, and would not by
/// another `catch_up`.
fn let_go(planned: &Planned<'_>) -> Vec<(String, Lapsed)> {
    let mut counts = LapsedTicks::default();
    let mut found = Vec::new();
    for (key, schedule) in &planned.new.1 {
        let (Some(stored), Some(was)) = (planned.known.get(key), planned.old.1.get(key)) else {
            continue;
        };
        let is_let_go = was.def.catch_up == CatchUp::All && schedule.def.catch_up != CatchUp::All;
        let is_same = |it: &LiveSchedule| *it.timing.hash() == stored.timing;
        if stored.next_due.is_none() && is_let_go && is_same(was) && is_same(schedule) {
            let from = in_time(stored.cursor, was.def.deadline, planned.now);
            let lapsed = counts.of(&was.timing, from, planned.now);
            found.extend(lapsed.map(|it| (shown_name(planned.new.0, &schedule.def), it)));
        }
    }
    found
}
