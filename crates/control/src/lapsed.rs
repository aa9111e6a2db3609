//! The ticks that lapse where the timing of a schedule is edited: they were due by the old one, and
//! the new one begins now.
//!
//! [`crate::schedule_standing`] stores a line of history for them in the batch that stores the new
//! timing; [`crate::lapsing`] tells of them before the change is made. What the old timing was is
//! read from the versions of the files, and known by its hash: where it is not found, nothing is
//! said. Ticks of a schedule that is off, or in no file, lapse where its definition of then made up
//! for them once it was on again; by the same timing they lapse when it is on again and its
//! `catch_up` was edited meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use millstream_decide::schedule::{Lapsed, LapsedTicks, Timing, in_time};
use millstream_model::view::VersionRow;
use millstream_model::{
    CatchUp, ContentHash, FileManifest, FileVersion, HumanDuration, LocationName, Manifest,
    SkipReason, TenantId, TickStatus, Timestamp,
};
use millstream_store::sources::{CursorMove, StoredSource, move_cursors};
use millstream_store::ticks::NewTick;
use millstream_store::{Batch, StoreError, ticks};

use crate::Control;
use crate::live_schedules::{LiveSchedule, LiveSchedules};

/// Earlier states of the files in which an old timing is looked for.
const STATES_MAX: usize = 20;

/// A schedule's tenant and name.
pub(crate) type Key = (TenantId, String);

/// A schedule whose timing is not the one that is stored; or one that is off, and by whose
/// `catch_up` it does not make up for everything once it is on.
pub(crate) struct Edited<'a> {
    pub(crate) schedule: &'a LiveSchedule,
    pub(crate) stored: &'a StoredSource,
    /// When the new timing begins.
    pub(crate) begins: Timestamp,
}

/// What a schedule was by the files of earlier.
struct Was {
    timing: Timing,
    catch_up: CatchUp,
    deadline: Option<HumanDuration>,
    /// When the files were edited; what is the newest was not.
    until: Option<Timestamp>,
}

/// What is stored of the ticks of one schedule that lapse.
#[derive(Debug, Clone)]
struct Line {
    cursor: CursorMove,
    tick: NewTick,
}

/// The ticks that lapse while schedules are taken over.
#[derive(Debug, Default)]
pub(crate) struct Lapses(BTreeMap<Key, Line>);

impl Lapses {
    /// Adds those of `chunk`, schedules of one tenant, to the batch that stores where these stand.
    ///
    /// It conflicts when somebody has decided a tick meanwhile.
    pub(crate) fn add(&mut self, batch: &mut Batch, tenant: &TenantId, chunk: &[StoredSource]) {
        let key = |it: &StoredSource| (it.tenant.clone(), it.source.name.clone());
        let lines: Vec<Line> = chunk.iter().filter_map(|it| self.0.remove(&key(it))).collect();
        if lines.is_empty() {
            return;
        }
        let (moves, lapsed): (Vec<CursorMove>, Vec<NewTick>) =
            lines.into_iter().map(|line| (line.cursor, line.tick)).unzip();
        move_cursors(batch, tenant, &moves);
        ticks::insert(batch, tenant, &lapsed);
    }
}

impl Control {
    /// The ticks that were due by the timings that are stored and are not those of `changed`.
    pub(crate) async fn lapsed(
        &self,
        live: &LiveSchedules,
        changed: &[StoredSource],
        known: &BTreeMap<Key, StoredSource>,
    ) -> Result<Lapses, StoreError> {
        let mut edited = BTreeMap::new();
        for new in changed {
            let key = (new.tenant.clone(), new.source.name.clone());
            // A daemon that knows older definitions changes nothing.
            let old = known.get(&key).filter(|old| old.version <= new.version);
            if let (Some(stored), Some(schedule)) = (old, live.0.get(&key)) {
                // The new timing begins where its cursor stands.
                let edit = Edited { schedule, stored, begins: new.cursor };
                if edit.is_retimed() || edit.leaves(new.next_due) {
                    edited.insert(key, edit);
                }
            }
        }
        let lines = self.lapsed_of(&edited).await?.into_iter().filter_map(|(key, lapsed)| {
            let stored = edited.get(&key)?.line(lapsed, self.now());
            Some((key, stored))
        });
        Ok(Lapses(lines.collect()))
    }

    /// The line of history, if any, for what a schedule that is off would have made up for, where
    /// it is started and would look again at `next_due`.
    pub(crate) async fn lapsed_at_start(
        &self,
        (schedule, stored): (&LiveSchedule, &StoredSource),
        next_due: Option<Timestamp>,
    ) -> Result<Option<NewTick>, StoreError> {
        let edit = Edited { schedule, stored, begins: self.now() };
        if !edit.leaves(next_due) {
            return Ok(None);
        }
        let key = (stored.tenant.clone(), stored.source.name.clone());
        let edited = BTreeMap::from([(key.clone(), edit)]);
        let lapsed = self.lapsed_of(&edited).await?.remove(&key);
        Ok(lapsed.zip(edited.get(&key)).map(|(lapsed, it)| it.line(lapsed, self.now()).tick))
    }

    /// The ticks of `edited`, schedules of one location, that lapse.
    pub(crate) async fn lapsed_of(
        &self,
        edited: &BTreeMap<Key, Edited<'_>>,
    ) -> Result<BTreeMap<Key, Lapsed>, StoreError> {
        let Some(first) = edited.values().next() else { return Ok(BTreeMap::new()) };
        let old = self.old_timings(&first.stored.source.location, edited).await?;
        let mut counts = LapsedTicks::default();
        let found = old.into_iter().filter_map(|(key, was)| {
            let edit = edited.get(&key)?;
            let (stored, begins) = (edit.stored, edit.begins);
            let until = if edit.is_retimed() { begins } else { was.until?.min(begins) };
            let from = match (stored.next_due, was.catch_up) {
                (Some(_), _) => stored.cursor,
                // One that is off goes on after its cursor only where it makes up for everything.
                (None, CatchUp::All) => in_time(stored.cursor, was.deadline, until),
                (None, CatchUp::Last | CatchUp::None) => return None,
            };
            Some((key, counts.of(&was.timing, from, until)?))
        });
        Ok(found.collect())
    }

    /// The timings that are stored for `edited`, as they stood in the files at earlier times.
    async fn old_timings(
        &self,
        location: &LocationName,
        edited: &BTreeMap<Key, Edited<'_>>,
    ) -> Result<BTreeMap<Key, Was>, StoreError> {
        let mut wanted: Vec<(&Key, &Edited<'_>)> = edited.iter().collect();
        let live = self.live_files(location).await?;
        let mut contents: BTreeMap<ContentHash, FileManifest> = BTreeMap::new();
        let mut names = BTreeMap::new();
        for (version, content) in live {
            names.insert(version.name, version.hash.clone());
            contents.insert(version.hash, content);
        }
        let versions = self.store.versions_of_location(location).await?;
        let mut found = BTreeMap::new();
        for (until, files) in states(&names, &versions) {
            wanted.retain(|(_, edit)| edit.may_be_of(until));
            if wanted.is_empty() {
                break;
            }
            let missing = files.values().filter(|hash| !contents.contains_key(hash));
            let missing: Vec<ContentHash> = missing.cloned().collect();
            contents.extend(self.store.definition_contents(&missing).await?);
            // What a file that is gone said counts only where no other says it.
            let (there, gone): (Vec<_>, Vec<_>) =
                files.into_iter().partition(|(name, _)| names.contains_key(name));
            let files = there.into_iter().chain(gone).filter_map(|(name, hash)| {
                let content = contents.get(&hash)?;
                Some((FileVersion { name, hash }, content))
            });
            let manifest = Manifest::merge(location.clone(), files);
            wanted.retain(|(key, edit)| {
                let old = timing_in(&manifest, edit.schedule).filter(|was| edit.was(was, until));
                let old = old.map(|was| Was { until, ..was });
                let is_missing = old.is_none();
                found.extend(old.map(|old| ((*key).clone(), old)));
                is_missing
            });
        }
        Ok(found)
    }
}

impl Edited<'_> {
    /// Whether its timing is another.
    fn is_retimed(&self) -> bool {
        self.stored.timing != *self.schedule.timing.hash()
    }

    /// Whether it is started, to look again at `next_due`, and leaves ticks that passed.
    fn leaves(&self, next_due: Option<Timestamp>) -> bool {
        let is_started = self.stored.next_due.is_none() && next_due.is_some();
        is_started && self.schedule.def.catch_up != CatchUp::All
    }

    /// Whether what the files held until then can say something of it.
    fn may_be_of(&self, until: Option<Timestamp>) -> bool {
        self.is_retimed() || until.is_none_or(|until| until > self.stored.cursor)
    }

    /// Whether it is `was`, of the files until then, by which ticks would not have lapsed.
    fn was(&self, was: &Was, until: Option<Timestamp>) -> bool {
        // What is live, or newer, is not what was edited.
        let is_other = self.is_retimed() || (was.catch_up == CatchUp::All && until.is_some());
        *was.timing.hash() == self.stored.timing && is_other
    }

    /// The line of history for those of its ticks that lapse.
    fn line(&self, lapsed: Lapsed, now: Timestamp) -> Line {
        let (Self { stored: old, .. }, Lapsed { count, first, last }) = (self, lapsed);
        let catch_up = self.schedule.def.catch_up;
        let cursor = CursorMove {
            source: old.source.clone(),
            timing: old.timing.clone(),
            from: old.cursor,
            is_on: old.next_due.is_some(),
            to: last,
            next_due: old.next_due,
        };
        let reason = match count {
            _ if self.is_retimed() => SkipReason::Retimed { count, first },
            1 => SkipReason::Missed { catch_up },
            _ => SkipReason::ManyMissed { count, first, catch_up },
        };
        let tick = NewTick {
            source: old.source.clone(),
            nominal: last,
            decided_at: now,
            status: TickStatus::Skipped,
            skipped: Some(reason),
            error: None,
            warnings: Vec::new(),
            runs: Vec::new(),
        };
        Line { cursor, tick }
    }
}

/// The timing that `schedule` has in a manifest, under its name or the one that it had before, with
/// what becomes of its late ticks there.
fn timing_in(manifest: &Manifest, schedule: &LiveSchedule) -> Option<Was> {
    let before = schedule.def.renamed_from.as_ref();
    let named = |name| manifest.schedules.get(name);
    let def = named(&schedule.def.name).or_else(|| before.and_then(named))?;
    let tenant = manifest.tenants.get(&schedule.tenant).cloned().unwrap_or_default();
    // What cannot be read was refused when it was loaded.
    let timing = Timing::of(def, &tenant, manifest).ok().flatten()?;
    Some(Was { timing, catch_up: def.catch_up, deadline: def.deadline, until: None })
}

/// What the files held until some times, the latest first: each with its newest version of then.
/// One of which there is no version among those given holds what is live.
fn states(
    live: &BTreeMap<String, ContentHash>,
    versions: &[(String, VersionRow)],
) -> impl Iterator<Item = (Option<Timestamp>, BTreeMap<String, ContentHash>)> {
    let changed: BTreeSet<Timestamp> = versions.iter().map(|(_, it)| it.loaded_at).collect();
    let named: BTreeSet<&String> = versions.iter().map(|(name, _)| name).collect();
    let mut unchanged = live.clone();
    unchanged.retain(|name, _| !named.contains(name));
    // What is the newest of all is not live where somebody has gone back to an older one.
    let before = std::iter::once(None).chain(changed.into_iter().rev().map(Some));
    before.take(STATES_MAX).map(move |before| {
        let mut files = unchanged.clone();
        for (name, version) in versions {
            if before.is_none_or(|before| version.loaded_at < before) {
                files.entry(name.clone()).or_insert_with(|| version.hash.clone());
            }
        }
        (before, files)
    })
}
