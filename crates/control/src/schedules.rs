//! Schedules as people see them: lists, switches, previews; and where each stands by its definition.
//!
//! A daemon takes the definitions over into the store ([`Control::adopt_schedules`]); whoever shows
//! a schedule reads both. What a tick does is [`crate::ticks`]'s.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_decide::condition::{ConditionError, holds};
use millstream_decide::schedule::{Standing, Timing, adopt};
use millstream_model::view::{ScheduleRow, SwitchWord};
use millstream_model::{
    ErrorCode, JobShape, LocationName, Manifest, PartitionsName, ScheduleDef, ScheduleTarget,
    Switch, TenantDef, TenantId, TickKind, TickPartitions, TickRow, TickSource, Timestamp,
    date_format, nearest,
};
use millstream_plan::selection::select;
use millstream_plan::{PlanError, dimension_names};
use millstream_store::sources::{self, SourceWord, StoredSource};
use millstream_store::{Batch, StoreError};

use crate::catalog::Catalog;
use crate::{Control, ControlError};

/// Schedules of one location, over all tenants.
const SCHEDULES_MAX: u32 = 200_000;

/// Schedules that are stored in one batch.
const ADOPTED_AT_ONCE: usize = 1_000;

/// How often a switch is tried while the schedule ticks.
const TRIES: u32 = 5;

/// The names in templates of ticks beside dimensions and forms of a date.
const TEMPLATE_NAMES: [&str; 4] = ["tenant", "schedule", "job", "partition"];

/// A schedule in one tenant.
#[derive(Debug, Clone)]
pub(crate) struct LiveSchedule {
    pub(crate) tenant: TenantId,
    pub(crate) def: Arc<ScheduleDef>,
    pub(crate) timing: Arc<Timing>,
    /// The partitions of what it runs.
    pub(crate) division: Option<PartitionsName>,
}

/// The schedules of a location, by tenant and name.
#[derive(Debug, Default)]
pub(crate) struct LiveSchedules(BTreeMap<(TenantId, String), LiveSchedule>);

impl LiveSchedules {
    /// The schedules of `manifest` in every tenant that takes part.
    pub(crate) fn of(manifest: &Manifest) -> Self {
        let mut all = BTreeMap::new();
        for def in manifest.schedules.values() {
            let division = division(manifest, &def.target).ok().flatten().cloned();
            let def = Arc::new(def.clone());
            let mut shared: Option<Arc<Timing>> = None;
            for (id, tenant) in manifest.enabled_tenants() {
                if !def.tenants.is_empty() && !def.tenants.contains(id) {
                    continue;
                }
                let timing = match (&shared, &def.cron) {
                    (Some(timing), millstream_model::ScheduleCron::Text(_)) => Arc::clone(timing),
                    _ => match Timing::of(&def, tenant, manifest) {
                        Ok(Some(timing)) => Arc::new(timing),
                        Ok(None) => continue,
                        Err(problem) => {
                            tracing::warn!(schedule = %def.name, problem, "it does not tick");
                            continue;
                        }
                    },
                };
                shared = Some(Arc::clone(&timing));
                let (def, division) = (Arc::clone(&def), division.clone());
                let live = LiveSchedule { tenant: id.clone(), def, timing, division };
                all.insert((id.clone(), live.def.name.to_string()), live);
            }
        }
        Self(all)
    }

    /// The schedule of this name in a tenant.
    pub(crate) fn get(&self, tenant: &TenantId, name: &str) -> Option<&LiveSchedule> {
        self.0.get(&(tenant.clone(), name.to_owned()))
    }

    fn iter(&self) -> impl Iterator<Item = &LiveSchedule> {
        self.0.values()
    }
}

/// The partitions definition of what `target` runs; none when nothing in it is partitioned.
fn division<'a>(
    manifest: &'a Manifest,
    target: &ScheduleTarget,
) -> Result<Option<&'a PartitionsName>, PlanError> {
    let selection = match target {
        ScheduleTarget::Select(selection) => selection,
        ScheduleTarget::Job(job) => match manifest.jobs.get(job).map(|job| &job.shape) {
            Some(JobShape::Select(selection)) => selection,
            Some(JobShape::Ops(_)) | None => return Ok(None),
        },
    };
    let assets = select(manifest, selection)?;
    if assets.is_empty() {
        return Err(PlanError::SelectionEmpty { selection: selection.clone() });
    }
    let made = assets.iter().filter_map(|key| manifest.assets.get(key));
    Ok(made.filter(|asset| asset.step.is_some()).find_map(|asset| asset.partitions.as_ref()))
}

/// What is wrong with a schedule, and with which of its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleProblem {
    /// The key that it is about.
    pub key: &'static str,
    /// The stable code.
    pub code: ErrorCode,
    /// What is wrong.
    pub message: String,
    /// The way out.
    pub help: Option<String>,
}

impl Control {
    /// What is wrong with a schedule among all the definitions of its location; it is asked when
    /// definitions are loaded.
    pub fn schedule_problem(manifest: &Manifest, def: &ScheduleDef) -> Option<ScheduleProblem> {
        let key = match def.target {
            ScheduleTarget::Job(_) => "job",
            ScheduleTarget::Select(_) => "select",
        };
        let division = match division(manifest, &def.target) {
            Ok(division) => division,
            Err(error) => {
                let (code, message) = (error.code(), error.to_string());
                return Some(ScheduleProblem { key, code, message, help: None });
            }
        };
        let (name, target) = (&def.name, &def.target);
        let needed = |message: String, help: &str| {
            let (code, help) = (ErrorCode::PartitionNeeded, Some(help.to_owned()));
            Some(ScheduleProblem { key: "partitions", code, message, help })
        };
        let dimensions = match (division, &def.partitions) {
            (None, None) => Vec::new(),
            (None, Some(_)) => {
                let message = format!("nothing that `{target}` runs has partitions");
                return needed(message, "leave `partitions` out");
            }
            (Some(by), None) => {
                let message = format!(
                    "`{target}` is partitioned by `{by}`, and schedule `{name}` names none"
                );
                let help = "write `partitions: latest` for windows of time, parts like \
                            `{ grain: day }`, or `all`";
                return needed(message, help);
            }
            (Some(by), Some(wanted)) => {
                let known = manifest.partitions.get(by).map(dimension_names).unwrap_or_default();
                if let TickPartitions::Matching(parts) = wanted
                    && let Some(unknown) = parts.keys().find(|it| !known.contains(&it.to_string()))
                {
                    let message = format!("`{unknown}` is no dimension of `{by}`");
                    let help = format!("its dimensions are: {}", known.join(", "));
                    return needed(message, &help);
                }
                known
            }
        };
        template_problem(def, &dimensions)
    }

    /// Takes the schedules of `catalog` over into the store where they are new, edited, switched by
    /// a variable, renamed or gone. A daemon that knows older definitions changes nothing.
    pub(crate) async fn adopt_schedules(
        &self,
        catalog: &Catalog,
        adopted: &mut BTreeMap<LocationName, i64>,
    ) -> Result<(), StoreError> {
        for (manifest, version, live) in catalog.schedules() {
            let location = &manifest.location;
            if adopted.get(location) == Some(&version) {
                continue;
            }
            let mut known = self.stored_schedules(location).await?;
            if self.rename_schedules(live, &known).await? {
                known = self.stored_schedules(location).await?;
            }
            let mut changed = self.changed_schedules(manifest, version, live, &known);
            changed.extend(gone_schedules(version, live, known));
            changed.sort_by(|a, b| a.tenant.cmp(&b.tenant));
            for of_tenant in changed.chunk_by(|a, b| a.tenant == b.tenant) {
                for chunk in of_tenant.chunks(ADOPTED_AT_ONCE) {
                    let Some(first) = chunk.first() else { continue };
                    let mut batch = Batch::for_tenant(&first.tenant);
                    sources::adopt(&mut batch, chunk);
                    self.store.apply(batch).await?;
                }
            }
            adopted.insert(location.clone(), version);
        }
        Ok(())
    }

    async fn stored_schedules(
        &self,
        location: &LocationName,
    ) -> Result<BTreeMap<(TenantId, String), StoredSource>, StoreError> {
        let stored = self.store.sources_of_location(TickKind::Schedule, location, SCHEDULES_MAX);
        let by_name =
            stored.await?.into_iter().map(|it| ((it.tenant.clone(), it.source.name.clone()), it));
        Ok(by_name.collect())
    }

    /// Gives what is stored the new names; whether anything had an old one.
    async fn rename_schedules(
        &self,
        live: &LiveSchedules,
        known: &BTreeMap<(TenantId, String), StoredSource>,
    ) -> Result<bool, StoreError> {
        let mut renamed = false;
        for schedule in live.iter() {
            let Some(old) = &schedule.def.renamed_from else { continue };
            let key = |name: &str| (schedule.tenant.clone(), name.to_owned());
            let name = schedule.def.name.as_str();
            let is_taken =
                known.contains_key(&key(name)) || live.0.contains_key(&key(old.as_str()));
            if let (Some(stored), false) = (known.get(&key(old.as_str())), is_taken) {
                let batch = sources::rename(&schedule.tenant, &stored.source, name);
                match self.store.apply(batch).await {
                    Ok(_) => renamed = true,
                    Err(error) if error.is_conflict() => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(renamed)
    }

    fn changed_schedules(
        &self,
        manifest: &Manifest,
        version: i64,
        live: &LiveSchedules,
        known: &BTreeMap<(TenantId, String), StoredSource>,
    ) -> Vec<StoredSource> {
        let now = self.now();
        let mut changed = Vec::new();
        for schedule in live.iter() {
            let name = schedule.def.name.to_string();
            let stored = known.get(&(schedule.tenant.clone(), name.clone()));
            let default_on = self.default_on(manifest, schedule).unwrap_or_else(|error| {
                tracing::warn!(schedule = name, %error, "it is taken as off");
                false
            });
            let override_on = stored.and_then(|stored| stored.override_on);
            let is_on = override_on.unwrap_or(default_on);
            let standing = stored.map(standing);
            let catch_up = schedule.def.catch_up;
            let moved = adopt(&schedule.timing, standing.as_ref(), is_on, (catch_up, now));
            let (standing, next_due) = match (moved, stored) {
                (Some(moved), _) => moved,
                (None, Some(stored)) if stored.default_on != default_on => {
                    (self::standing(stored), stored.next_due)
                }
                (None, _) => continue,
            };
            let location = manifest.location.clone();
            changed.push(StoredSource {
                tenant: schedule.tenant.clone(),
                source: TickSource { kind: TickKind::Schedule, location, name },
                version,
                timing: standing.timing,
                cursor: standing.cursor,
                next_due,
                default_on,
                override_on,
            });
        }
        changed
    }

    /// What the file says of whether a schedule ticks.
    pub(crate) fn default_on(
        &self,
        manifest: &Manifest,
        schedule: &LiveSchedule,
    ) -> Result<bool, ConditionError> {
        match &schedule.def.enabled {
            Switch::Fixed(on) => Ok(*on),
            Switch::Template(text) => {
                let tenant = manifest.tenants.get(&schedule.tenant);
                holds(text, &self.names(&schedule.tenant, tenant))
            }
        }
    }

    /// What conditions can name: `env` and `tenant`.
    pub(crate) fn names(&self, id: &TenantId, def: Option<&TenantDef>) -> serde_json::Value {
        let mut tenant = serde_json::json!(def);
        if let Some(fields) = tenant.as_object_mut() {
            for (key, value) in def.iter().flat_map(|def| &def.labels) {
                fields.entry(key.clone()).or_insert_with(|| value.clone().into());
            }
            fields.insert("id".to_owned(), id.as_str().into());
        }
        serde_json::json!({ "env": &*self.env, "tenant": tenant })
    }

    /// The schedules of a tenant, by location and name.
    pub async fn schedule_rows(&self, tenant: &TenantId) -> Result<Vec<ScheduleRow>, ControlError> {
        let catalog = self.catalog().await?;
        let kind = TickKind::Schedule;
        let mut stored = self.store.sources_of_tenant(kind, tenant, SCHEDULES_MAX).await?;
        let mut last = self.store.last_ticks(tenant, kind, SCHEDULES_MAX).await?;
        let mut rows = Vec::new();
        for (manifest, _, live) in catalog.schedules() {
            for schedule in live.iter().filter(|schedule| schedule.tenant == *tenant) {
                let source = source_of(manifest, schedule);
                let stored = stored.remove(&source);
                rows.push(self.schedule_row(manifest, schedule, stored, last.remove(&source)));
            }
        }
        Ok(rows)
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
        let enabled_default = match &stored {
            Some(stored) => stored.default_on,
            None => self.default_on(manifest, schedule).unwrap_or(false),
        };
        let on = stored.as_ref().and_then(|stored| stored.override_on);
        let enabled_override = match (on, word.flatten()) {
            (Some(on), Some(SourceWord { by, at })) => Some(SwitchWord { on, by, at }),
            _ => None,
        };
        let enabled = on.unwrap_or(enabled_default);
        let after = stored.map_or(self.now(), |stored| self.now().max(stored.cursor));
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
            enabled,
            enabled_default,
            enabled_override,
            next_at: if enabled { schedule.timing.next_fire(after) } else { None },
            last_tick,
        }
    }

    /// The schedule of a tenant that is called `name`, or an error that names the nearest one.
    pub async fn schedule_view(
        &self,
        tenant: &TenantId,
        name: &str,
    ) -> Result<ScheduleRow, ControlError> {
        let rows = self.schedule_rows(tenant).await?;
        let names: Vec<String> = rows.iter().map(|row| row.name.to_string()).collect();
        rows.into_iter().find(|row| row.name.as_str() == name).ok_or_else(|| {
            let near = nearest(name, names.iter().map(String::as_str));
            let near = near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
            let (tenant, schedule) = (tenant.clone(), name.to_owned());
            ControlError::ScheduleUnknown { tenant, schedule, near }
        })
    }

    /// The next `count` nominal times of a schedule, as if it were on.
    pub async fn schedule_preview(
        &self,
        tenant: &TenantId,
        name: &str,
        count: usize,
    ) -> Result<Vec<Timestamp>, ControlError> {
        let row = self.schedule_view(tenant, name).await?;
        let catalog = self.catalog().await?;
        let live = catalog.schedules_of(&row.location).and_then(|(_, live)| live.get(tenant, name));
        Ok(live.map(|live| live.timing.upcoming(self.now(), count)).unwrap_or_default())
    }

    /// The newest ticks of a schedule before `before`.
    pub async fn schedule_ticks(
        &self,
        tenant: &TenantId,
        name: &str,
        before: Option<Timestamp>,
        limit: u32,
    ) -> Result<Vec<TickRow>, ControlError> {
        let row = self.schedule_view(tenant, name).await?;
        let source = TickSource {
            kind: TickKind::Schedule,
            location: row.location,
            name: row.name.to_string(),
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
            let mut adopted = BTreeMap::new();
            let Some((manifest, live)) = catalog.schedules_of(&row.location) else { continue };
            let Some(schedule) = live.get(tenant, name) else { continue };
            let source = source_of(manifest, schedule);
            let kind = TickKind::Schedule;
            let mut stored = self.store.sources_of_tenant(kind, tenant, SCHEDULES_MAX).await?;
            let Some((stored, _)) = stored.remove(&source) else {
                // No daemon has seen it yet.
                self.adopt_schedules(&catalog, &mut adopted).await?;
                continue;
            };
            let is_on = word.unwrap_or(stored.default_on);
            let (catch_up, now) = (schedule.def.catch_up, self.now());
            let moved = adopt(&schedule.timing, Some(&standing(&stored)), is_on, (catch_up, now));
            let (cursor, next_due) = match moved {
                Some((standing, next_due)) => (standing.cursor, next_due),
                None => (stored.cursor, stored.next_due),
            };
            let by = SourceWord { by: by.to_owned(), at: now };
            let batch = sources::switch(&stored, (word, &by), (cursor, next_due));
            match self.store.apply(batch).await {
                Ok(_) => return self.schedule_view(tenant, name).await,
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ControlError::ScheduleContended { schedule: name.to_owned() })
    }
}

/// What ticks in the store where `schedule` does in the definitions.
pub(crate) fn source_of(manifest: &Manifest, schedule: &LiveSchedule) -> TickSource {
    TickSource {
        kind: TickKind::Schedule,
        location: manifest.location.clone(),
        name: schedule.def.name.to_string(),
    }
}

/// Where a stored schedule stands; one that nobody looks at is off.
fn standing(stored: &StoredSource) -> Standing {
    Standing {
        cursor: stored.cursor,
        timing: stored.timing.clone(),
        is_on: stored.next_due.is_some(),
    }
}

/// What is stored and in no definition any more: it stays with its cursor, and is never due.
fn gone_schedules(
    version: i64,
    live: &LiveSchedules,
    known: BTreeMap<(TenantId, String), StoredSource>,
) -> impl Iterator<Item = StoredSource> {
    known
        .into_iter()
        .filter(|(key, stored)| !live.0.contains_key(key) && stored.next_due.is_some())
        .map(move |(_, stored)| StoredSource {
            version,
            next_due: None,
            default_on: false,
            ..stored
        })
}

/// The first name in a template of `def` that a tick cannot fill.
fn template_problem(def: &ScheduleDef, dimensions: &[String]) -> Option<ScheduleProblem> {
    let of_tags = def.tags.values().map(|template| ("tags", template));
    let all = def.run_key.iter().map(|template| ("run_key", template)).chain(of_tags);
    let is_known = |name: &str| {
        TEMPLATE_NAMES.contains(&name)
            || dimensions.iter().any(|dimension| dimension == name)
            || date_format(name).is_some()
    };
    for (key, template) in all {
        if let Some(unknown) = template.names().find(|name| !is_known(name)) {
            let mut known: Vec<&str> = dimensions.iter().map(String::as_str).collect();
            known.extend(TEMPLATE_NAMES);
            known.push("YYYYMMDD");
            let near = nearest(unknown, known.iter().copied());
            let near = near.map(|near| format!("did you mean `{{{near}}}`? ")).unwrap_or_default();
            return Some(ScheduleProblem {
                key,
                code: ErrorCode::DefinitionTemplate,
                message: format!("schedule `{}` has no `{{{unknown}}}`", def.name),
                help: Some(format!("{near}there are {}", known.join(", "))),
            });
        }
    }
    None
}
