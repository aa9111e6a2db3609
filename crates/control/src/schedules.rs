//! Schedules as people see them: lists, switches, previews.
//!
//! A daemon takes the definitions over into the store ([`crate::schedule_standing`]); whoever shows
//! a schedule reads both.

use std::collections::BTreeMap;

use millstream_decide::liveness::not_started;
use millstream_decide::schedule::{Look, adopt, waiting};
use millstream_decide::why::late;
use millstream_model::view::{ScheduleRow, TicksPassed, TicksWaiting};
use millstream_model::{
    CatchUp, HoldReason, LocationName, Manifest, ScheduleTarget, TenantId, TickKind, TickRow,
    TickSource, Timestamp, did_you_mean,
};
use millstream_store::sources::{self, SourceWord, StoredSource};
use millstream_store::ticks;

use crate::adopted::Adopted;
use crate::jobs::is_job_on;
use crate::live_schedules::{LiveSchedule, schedule_source, source_of};
use crate::schedule_standing::{SCHEDULES_MAX, standing};
use crate::switches::Switched;
use crate::ticks::LEASE;
use crate::{Control, ControlError};

/// How often a switch is tried while the schedule ticks.
const TRIES: u32 = 5;

/// How many runs of each schedule of a tenant are not over.
type Active = BTreeMap<(LocationName, String), u32>;

/// A schedule, and what the store has of it.
pub(crate) struct DueSchedule {
    pub(crate) row: ScheduleRow,
    /// It may be under the name that it had before.
    pub(crate) source: TickSource,
}

impl Control {
    /// The schedules of a tenant, by location and name.
    pub async fn schedule_rows(&self, tenant: &TenantId) -> Result<Vec<ScheduleRow>, ControlError> {
        let schedules = self.due_schedules_of(tenant).await?;
        Ok(schedules.into_iter().map(|schedule| schedule.row).collect())
    }

    /// The schedules of a tenant, by location and name, each with what the store has of it.
    pub(crate) async fn due_schedules_of(
        &self,
        tenant: &TenantId,
    ) -> Result<Vec<DueSchedule>, ControlError> {
        let catalog = self.catalog().await?;
        let kind = TickKind::Schedule;
        let mut stored = self.store.sources_of_tenant(kind, tenant, SCHEDULES_MAX).await?;
        let mut last = self.store.last_ticks(tenant, kind, SCHEDULES_MAX).await?;
        let mut rows = Vec::new();
        let mut active = None;
        let daemons = self.watchers().await?;
        let no_daemon = daemons.as_ref().and_then(not_started);
        let is_due = |stored: &StoredSource| stored.next_due.is_some_and(|due| due <= self.now());
        let left = match &no_daemon {
            None if stored.values().any(|(stored, _)| is_due(stored)) => {
                self.lease_left(LEASE, daemons.as_ref()).await?.map(HoldReason::LeaseLeft)
            }
            _ => None,
        };
        for (manifest, _, live) in catalog.schedules() {
            let words = self.store.job_overrides(tenant, &manifest.location).await?;
            for schedule in live.iter().filter(|schedule| schedule.tenant == *tenant) {
                let of_name = |name: &str| schedule_source(&manifest.location, name);
                let name = live.stored_as(schedule, |name| stored.contains_key(&of_name(name)));
                let source = of_name(name);
                let stored = stored.remove(&source);
                let known = stored.as_ref().map(|(stored, _)| stored.clone());
                let mut row = self.schedule_row(manifest, schedule, stored, last.remove(&source));
                let seen = (&no_daemon, &mut active);
                let is_due =
                    self.tell_undecided((schedule, &source), known, &mut row, seen).await?;
                let left = left.as_ref().filter(|_| is_due);
                row.waits_for = no_daemon.as_ref().or(left).filter(|_| row.enabled).cloned();
                row.waits = row.waits_for.as_ref().map(HoldReason::to_string);
                row.job_off = row.job.as_ref().is_some_and(|job| !is_job_on(manifest, &words, job));
                rows.push(DueSchedule { row, source });
            }
        }
        Ok(rows)
    }

    /// Tells in `row` of the ticks that nobody has decided yet; returns whether a daemon should
    /// decide one now. One that is excluded is none of them: it requests nothing.
    async fn tell_undecided(
        &self,
        (schedule, source): (&LiveSchedule, &TickSource),
        known: Option<StoredSource>,
        row: &mut ScheduleRow,
        (no_daemon, active): (&Option<HoldReason>, &mut Option<Active>),
    ) -> Result<bool, ControlError> {
        let now = self.now();
        let look = Look { is_on: row.enabled, catch_up: schedule.def.catch_up, now };
        let (cursor, _) = stands(schedule, known.as_ref(), look);
        if !row.enabled {
            row.passed = self.ticks_passed(schedule, cursor);
            return Ok(false);
        }
        let first = schedule.timing.next_fire(cursor);
        let found = self.ticks_waiting((schedule, source), cursor, active).await?;
        // What has only come due is decided in a moment, where somebody lives who does it.
        let is_old = late(first, now).is_some();
        let waits = |it: &TicksWaiting| it.is_for_runs() || is_old || no_daemon.is_some();
        row.waiting = found.filter(waits);
        // What is stored may be when to look at them again, after the time of the first.
        let looked_at = known.and_then(|known| known.next_due);
        let is_late = late(looked_at, now).is_some() && is_old;
        // Nobody is late with what its own runs keep back.
        let is_kept_back = row.waiting.is_some_and(|it| it.is_for_runs());
        row.late_since = first.filter(|_| is_late && !is_kept_back);
        row.next_at = match row.waiting {
            Some(_) => schedule.timing.next_fire(now.max(cursor)),
            None => first,
        };
        let is_past = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        Ok(is_past(first) && is_past(looked_at))
    }

    /// The ticks since `cursor` that are made up for and that nobody has decided yet; `active` are
    /// the runs of the tenant's schedules, which are counted once.
    async fn ticks_waiting(
        &self,
        (schedule, source): (&LiveSchedule, &TickSource),
        cursor: Timestamp,
        active: &mut Option<Active>,
    ) -> Result<Option<TicksWaiting>, ControlError> {
        let def = &schedule.def;
        let limit = def.max_active_runs;
        let Some((count, since)) = self.made_up_for(schedule, cursor) else { return Ok(None) };
        if active.is_none() && limit.is_some() {
            *active = Some(self.store.active_runs(&schedule.tenant, TickKind::Schedule).await?);
        }
        let key = (source.location.clone(), source.name.clone());
        let of_it = active.as_ref().and_then(|it| it.get(&key));
        let active = of_it.copied().unwrap_or_default();
        Ok(Some(TicksWaiting { count, since, active, limit }))
    }

    /// The ticks since `cursor` that a schedule which is off makes up for once it is switched on.
    fn ticks_passed(&self, schedule: &LiveSchedule, cursor: Timestamp) -> Option<TicksPassed> {
        let passed = self.made_up_for(schedule, cursor);
        passed.map(|(count, since)| TicksPassed { count, since })
    }

    /// How many ticks since `cursor` would be made up for now, and the time of the first.
    fn made_up_for(&self, schedule: &LiveSchedule, cursor: Timestamp) -> Option<(u32, Timestamp)> {
        let def = &schedule.def;
        let counted = (self.now(), TicksWaiting::COUNTED);
        let count = || waiting(&schedule.timing, (cursor, def.deadline), counted);
        (def.catch_up == CatchUp::All).then(count).flatten()
    }

    fn schedule_row(
        &self,
        manifest: &Manifest,
        schedule: &LiveSchedule,
        stored: Option<(StoredSource, Option<SourceWord>)>,
        last_tick: Option<TickRow>,
    ) -> ScheduleRow {
        let def = &schedule.def;
        let (stored, word) = stored.unzip();
        let by_file = || self.default_on(manifest, &schedule.tenant, &def.enabled);
        let file = (def.name.as_str(), &def.enabled);
        let Switched { enabled, enabled_default, enabled_override } =
            Switched::of(file, stored.as_ref(), word.flatten(), by_file);
        let (job, select) = match &def.target {
            ScheduleTarget::Job(job) => (Some(job.clone()), None),
            ScheduleTarget::Select(selection) => (None, Some(selection.clone())),
        };
        ScheduleRow {
            tenant: schedule.tenant.clone(),
            location: manifest.location.clone(),
            name: def.name.clone(),
            description: def.description.clone(),
            cron: schedule.timing.cron().to_owned(),
            timezone: schedule.timing.zone().to_string(),
            job,
            select,
            partitions: def.partitions.clone(),
            catch_up: def.catch_up,
            max_active_runs: def.max_active_runs,
            deadline: def.deadline,
            exclude: def.exclude.iter().map(ToString::to_string).collect(),
            when: def.when.clone(),
            run_key: def.run_key.as_ref().map(|it| it.as_str().to_owned()),
            tags: def.tags.iter().map(|(key, it)| (key.clone(), it.as_str().to_owned())).collect(),
            start: def.start.clone(),
            end: def.end.clone(),
            enabled,
            enabled_default,
            unclear: self.unclear(manifest, &schedule.tenant, &def.enabled),
            enabled_override,
            job_off: false,
            next_at: None,
            waits: None,
            waits_for: None,
            late_since: None,
            waiting: None,
            passed: None,
            last_tick,
        }
    }

    /// The schedule of a tenant that is called `name`, or an error with its new name or that of
    /// the nearest one.
    pub async fn schedule_view(
        &self,
        tenant: &TenantId,
        name: &str,
    ) -> Result<ScheduleRow, ControlError> {
        Ok(self.due_schedule(tenant, name).await?.row)
    }

    /// The same with what the store has of it.
    pub(crate) async fn due_schedule(
        &self,
        tenant: &TenantId,
        name: &str,
    ) -> Result<DueSchedule, ControlError> {
        let all = self.due_schedules_of(tenant).await?;
        let near = did_you_mean(name, all.iter().map(|it| it.row.name.as_str()));
        if let Some(found) = all.into_iter().find(|it| it.row.name.as_str() == name) {
            return Ok(found);
        }
        let renamed = self.renamed(TickKind::Schedule, tenant, name).await?;
        let absent = self.absent(TickKind::Schedule, tenant, name).await?;
        Err(renamed.or(absent).unwrap_or_else(|| {
            let (tenant, schedule) = (tenant.clone(), name.to_owned());
            ControlError::ScheduleUnknown { tenant, schedule, near }
        }))
    }

    /// The next `count` nominal times of a schedule after a time, or after now, as if it were on.
    pub async fn schedule_preview(
        &self,
        tenant: &TenantId,
        name: &str,
        (count, after): (usize, Option<Timestamp>),
    ) -> Result<Vec<Timestamp>, ControlError> {
        let row = self.schedule_view(tenant, name).await?;
        let catalog = self.catalog().await?;
        let live = catalog.schedules_of(&row.location).and_then(|(_, live)| live.get(tenant, name));
        Ok(live
            .map(|live| live.timing.upcoming(after.unwrap_or(self.now()), count))
            .unwrap_or_default())
    }

    /// The newest ticks of a schedule before `before`.
    pub async fn schedule_ticks(
        &self,
        tenant: &TenantId,
        name: &str,
        before: Option<Timestamp>,
        limit: u32,
    ) -> Result<Vec<TickRow>, ControlError> {
        let source = match self.due_schedule(tenant, name).await {
            Ok(schedule) => schedule.source,
            // What one did that is in no file any more is still known.
            Err(error @ ControlError::Absent { .. }) => {
                self.remembered(TickKind::Schedule, tenant, name).await?.ok_or(error)?
            }
            Err(error) => return Err(error),
        };
        Ok(self.store.ticks(tenant, &source, before, limit).await?)
    }

    /// Starts or stops a schedule against its file's word; `None` gives the word back to the file.
    pub async fn switch_schedule(
        &self,
        tenant: &TenantId,
        name: &str,
        (word, by): (Option<bool>, &str),
    ) -> Result<ScheduleRow, ControlError> {
        for _ in 0..TRIES {
            let row = self.schedule_view(tenant, name).await?;
            let catalog = self.catalog().await?;
            let mut adopted = Adopted::default();
            let Some((manifest, live)) = catalog.schedules_of(&row.location) else { continue };
            let Some(schedule) = live.get(tenant, name) else { continue };
            let source = source_of(manifest, schedule);
            let kind = TickKind::Schedule;
            let mut stored = self.store.sources_of_tenant(kind, tenant, SCHEDULES_MAX).await?;
            let stored = stored.remove(&source).map(|(stored, _)| stored);
            let Some(stored) = stored.filter(|it| it.timing == *schedule.timing.hash()) else {
                // No daemon has seen it, or its new timing, yet.
                self.adopt_schedules(&catalog, &mut adopted).await?;
                continue;
            };
            let is_on = word.unwrap_or(stored.default_on);
            let (catch_up, now) = (schedule.def.catch_up, self.now());
            let look = Look { is_on, catch_up, now };
            let (cursor, next_due) = stands(schedule, Some(&stored), look);
            let by = SourceWord { by: by.to_owned(), at: now };
            let mut batch = sources::switch(&stored, (word, &by), (cursor, next_due));
            if let Some(lapsed) = self.lapsed_at_start((schedule, &stored), next_due).await? {
                ticks::insert(&mut batch, tenant, &[lapsed]);
            }
            match self.store.apply(batch).await {
                Ok(_) => return self.schedule_view(tenant, name).await,
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ControlError::ScheduleContended { schedule: name.to_owned() })
    }
}

/// The cursor of a schedule, and when to look at it, as they are once a daemon has looked.
fn stands(
    schedule: &LiveSchedule,
    known: Option<&StoredSource>,
    look: Look,
) -> (Timestamp, Option<Timestamp>) {
    let moved = adopt(&schedule.timing, known.map(standing).as_ref(), look);
    match (moved, known) {
        (Some((standing, next_due)), _) => (standing.cursor, next_due),
        (None, Some(stored)) => (stored.cursor, stored.next_due),
        (None, None) => (look.now, None),
    }
}
