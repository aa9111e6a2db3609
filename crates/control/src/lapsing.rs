//! The ticks that wait while a change of definitions is planned, and that it would not let be
//! decided.
//!
//! [`crate::proposal`] tells of them before the change is made; what lapses when it is made is
//! [`crate::lapsed`]'s.

use std::collections::{BTreeMap, BTreeSet};

use millstream_decide::schedule::{Lapsed, LapsedTicks, in_time};
use millstream_model::{CatchUp, Manifest, ScheduleDef, SkipReason, TenantId, Timestamp};
use millstream_plan::changes::Lapsing;
use millstream_store::StoreError;
use millstream_store::sources::StoredSource;

use crate::Control;
use crate::lapsed::{Edited, Key};
use crate::live_schedules::{LiveSchedule, LiveSchedules};
use crate::retimed::shown_name;
use crate::taking_part::in_tenants;

/// What becomes of ticks that are due, not decided yet, and not decided by a change either.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// Nothing.
    pub(crate) lapsing: Vec<Lapsing>,
    /// They are made up for once their schedule ticks again.
    pub(crate) kept: Vec<Lapsing>,
    /// They are made up for at once, since their schedule ticks again.
    pub(crate) made_up: Vec<Lapsing>,
}

/// The ticks of schedules by the name that is shown.
#[derive(Debug, Default)]
struct Counts(BTreeMap<String, Lapsing>);

/// What is planned: the schedules of both sides under the names that the store has.
struct Planned<'a> {
    known: &'a BTreeMap<Key, StoredSource>,
    old: (&'a Manifest, &'a LiveSchedules),
    new: (&'a Manifest, BTreeMap<Key, &'a LiveSchedule>),
    now: Timestamp,
}

/// A schedule that ticks no more in some tenants, and the ticks that wait there.
struct Stopping<'a> {
    name: String,
    catch_up: CatchUp,
    ticks: BTreeMap<&'a TenantId, Lapsed>,
}

impl Counts {
    fn add(&mut self, name: String, lapsed: Lapsed) {
        let none = Lapsing { name: name.clone(), count: 0, at_least: false, since: lapsed.first };
        let all = self.0.entry(name).or_insert(none);
        all.count = all.count.saturating_add(lapsed.count);
        all.at_least |= lapsed.count >= SkipReason::RETIMED_MAX;
        all.since = all.since.min(lapsed.first);
    }

    fn add_all(&mut self, name: String, lapsed: Option<Lapsed>) {
        if let Some(lapsed) = lapsed {
            self.add(name, lapsed);
        }
    }
}

impl Control {
    /// The ticks that would not be decided if `new` came in the place of `old`, which is live.
    pub(crate) async fn left_waiting(
        &self,
        old: &Manifest,
        new: &Manifest,
    ) -> Result<Waiting, StoreError> {
        let known = self.stored_schedules(&old.location).await?;
        let (before, after) = (LiveSchedules::of(old), LiveSchedules::of(new));
        let mut later: BTreeMap<Key, &LiveSchedule> = BTreeMap::new();
        for schedule in after.iter() {
            let key = |name: &str| (schedule.tenant.clone(), name.to_owned());
            let name = after.stored_as(schedule, |name| known.contains_key(&key(name)));
            later.insert(key(name), schedule);
        }
        let now = self.now();
        let planned = Planned { known: &known, old: (old, &before), new: (new, later), now };
        let (mut lapsing, mut kept) = (Counts::default(), Counts::default());
        let mut made_up = Counts::default();
        let edited = edited(&planned);
        for (key, lapsed) in self.lapsed_of(&edited).await? {
            if let Some(edited) = edited.get(&key) {
                lapsing.add(shown_name(new, &edited.schedule.def), lapsed);
            }
        }
        for Stopping { name, catch_up, ticks } in self.stopping(&planned) {
            let counts = if catch_up == CatchUp::All { &mut kept } else { &mut lapsing };
            for lapsed in ticks.into_values() {
                counts.add(name.clone(), lapsed);
            }
        }
        self.ticking_on(&planned, &mut lapsing, &mut made_up);
        let rows = |counts: Counts| counts.0.into_values().collect();
        Ok(Waiting { lapsing: rows(lapsing), kept: rows(kept), made_up: rows(made_up) })
    }

    /// The schedules that tick, and would not, by timings that stay; named with their tenants where
    /// they go on in others.
    fn stopping<'a>(&self, planned: &Planned<'a>) -> Vec<Stopping<'a>> {
        let (old, before) = planned.old;
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
            let was = before.0.get(key).filter(stays);
            let Some(was) = was.filter(|_| schedule.as_ref().is_none_or(stays)) else { continue };
            let def = schedule.map(|it| &*it.def).or_else(|| new.schedules.get(name.as_str()));
            let (manifest, def) = def.map_or((old, &*was.def), |def| (*new, def));
            let from = match def.catch_up {
                CatchUp::All => in_time(stored.cursor, def.deadline, planned.now),
                CatchUp::Last | CatchUp::None => stored.cursor,
            };
            let Some(ticks) = counts.of(&was.timing, from, planned.now) else { continue };
            let stopping = found.entry(name).or_insert_with(|| {
                let (name, catch_up) = (shown_name(manifest, def), def.catch_up);
                Stopping { name, catch_up, ticks: BTreeMap::new() }
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

    /// Counts the ticks that wait for schedules which tick on, or again, by timings that stay:
    /// those that a change of `catch_up` lets go, and those that are made up for once it is made.
    fn ticking_on(&self, planned: &Planned<'_>, lapsing: &mut Counts, made_up: &mut Counts) {
        let Planned { known, old: (_, before), new: (new, later), now } = planned;
        let mut counts = LapsedTicks::default();
        for (key, schedule) in later {
            let Some(stored) = known.get(key) else { continue };
            if *schedule.timing.hash() != stored.timing || !self.is_on_in(new, schedule, stored) {
                continue;
            }
            let (timing, def) = (&schedule.timing, &schedule.def);
            let made_up_before = || before.0.get(key).is_some_and(|it| makes_up(&it.def));
            let from = in_time(stored.cursor, def.deadline, *now);
            if stored.next_due.is_none() && makes_up(def) {
                made_up.add_all(shown_name(new, def), counts.of(timing, from, *now));
            } else if stored.next_due.is_some() && made_up_before() {
                let ticks = counts.let_go(timing, def.catch_up, (from, *now));
                lapsing.add_all(shown_name(new, def), ticks);
            }
        }
    }

    /// Whether a schedule of `manifest` ticks.
    fn is_on_in(
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

fn makes_up(def: &ScheduleDef) -> bool {
    def.catch_up == CatchUp::All
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
