//! What one tick asks for: its partitions, run keys and plans.
//!
//! [`crate::ticks`] stores it; a test tick only shows it. One partition that cannot be planned is a
//! warning and keeps no other from being requested.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::fmt::strtime;
use millstream_decide::condition::holds;
use millstream_model::view::{TickRequest, TickTest};
use millstream_model::{
    CatchUp, Cause, ErrorCode, Manifest, PartitionKey, RunId, RunRequest, ScheduleTarget,
    SkipReason, TenantId, TickKind, TickSource, TickStatus, TickTemplate, TickWarning, Timestamp,
    date_format,
};
use millstream_plan::selection::select;
use millstream_plan::{PartitionChoice, PlanError, plan_assets, plan_job, tenant_of, wanted_keys};
use millstream_store::StoreError;

use crate::launch::Planned;
use crate::live_schedules::LiveSchedule;
use crate::schedules::DueSchedule;
use crate::{Control, ControlError};

/// Runs that one tick may ask for.
const REQUESTS_MAX: usize = 10_000;

/// Runs in the way of a tick that are named.
const RUNS_NAMED: usize = 3;

/// Warnings that one tick keeps.
const WARNINGS_MAX: usize = 100;

/// What a tick comes to.
#[derive(Debug)]
pub(crate) enum Asked {
    /// It asks for these runs.
    Runs(Vec<Wish>, Vec<TickWarning>),
    /// It asks for nothing.
    Nothing(SkipReason),
    /// It cannot ask.
    Failed(TickWarning, Vec<TickWarning>),
}

/// A run that a tick asks for.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) run_key: String,
    pub(crate) request: RunRequest,
    pub(crate) planned: Arc<Planned>,
}

/// Plans that ticks of one pass share.
#[derive(Debug, Default)]
pub(crate) struct TickPlans(BTreeMap<PlanKey, Arc<Planned>>);

type PlanKey = (String, TenantId, ScheduleTarget, Option<PartitionKey>);

impl Control {
    /// What the tick of `schedule` at `nominal` asks for; run keys that were asked for before are
    /// left in.
    pub(crate) async fn asked_by(
        &self,
        manifest: &Manifest,
        schedule: &LiveSchedule,
        nominal: Timestamp,
        plans: &mut TickPlans,
    ) -> Result<Asked, StoreError> {
        let def = &schedule.def;
        if let Some(condition) = &def.when {
            let names = self.names(&schedule.tenant, manifest.tenants.get(&schedule.tenant));
            match holds(condition, &names) {
                Ok(true) => {}
                Ok(false) => {
                    let condition = condition.clone();
                    return Ok(Asked::Nothing(SkipReason::When { condition }));
                }
                Err(error) => {
                    let code = ErrorCode::DefinitionTemplate;
                    return Ok(Asked::Failed(warning(None, code, error.to_string()), Vec::new()));
                }
            }
        }
        let (keys, mut warnings) = self.wanted(manifest, schedule, nominal).await?;
        if schedule.division.is_some() && keys.is_empty() {
            return Ok(match warnings.pop() {
                Some(first) => Asked::Failed(first, warnings),
                None => Asked::Nothing(SkipReason::NoPartition {}),
            });
        }
        let keys: Vec<Option<PartitionKey>> = if schedule.division.is_some() {
            keys.into_iter().map(Some).collect()
        } else {
            vec![None]
        };
        let mut wishes = Vec::with_capacity(keys.len());
        let mut run_keys = BTreeSet::new();
        for key in keys {
            match self.wish(manifest, schedule, (nominal, key.clone()), plans)? {
                Ok(wish) if run_keys.insert(wish.run_key.clone()) => wishes.push(wish),
                Ok(_) => {}
                Err(error) if warnings.len() < WARNINGS_MAX => {
                    warnings.push(warning(key, error.code(), error.to_string()));
                }
                Err(_) => {}
            }
        }
        Ok(match (wishes.is_empty(), warnings.is_empty()) {
            (true, false) => Asked::Failed(warnings.remove(0), warnings),
            _ => Asked::Runs(wishes, warnings),
        })
    }

    /// The partitions that a tick asks for, and what is wrong with others.
    async fn wanted(
        &self,
        manifest: &Manifest,
        schedule: &LiveSchedule,
        nominal: Timestamp,
    ) -> Result<(Vec<PartitionKey>, Vec<TickWarning>), StoreError> {
        let none = (Vec::new(), Vec::new());
        let (Some(name), Some(wanted)) = (&schedule.division, &schedule.def.partitions) else {
            return Ok(none);
        };
        let Some(def) = manifest.partitions.get(name) else { return Ok(none) };
        let tenant = &schedule.tenant;
        let limit = u32::try_from(REQUESTS_MAX).unwrap_or(u32::MAX);
        let added = self.store.dynamic_partitions(tenant, name, ("", ""), limit).await?;
        let found = wanted_keys(def, wanted, (&added, nominal), REQUESTS_MAX);
        let mut warnings: Vec<TickWarning> = found
            .broken
            .iter()
            .take(WARNINGS_MAX)
            .map(|error| warning(None, ErrorCode::PartitionKey, error.to_string()))
            .collect();
        for told in &warnings {
            tracing::warn!(%tenant, schedule = %schedule.def.name, "{}", told.message);
        }
        let is_ours = |key: &PartitionKey| match tenant_of(manifest, name, key) {
            Ok(owner) => owner.is_none_or(|owner| owner == *tenant),
            Err(_) => false,
        };
        let keys: Vec<PartitionKey> = found.keys.into_iter().filter(is_ours).collect();
        if keys.len() >= REQUESTS_MAX {
            let message = format!("only the first {REQUESTS_MAX} partitions are asked for");
            warnings.push(warning(None, ErrorCode::BadRequest, message));
        }
        Ok((keys, warnings))
    }

    fn wish(
        &self,
        manifest: &Manifest,
        schedule: &LiveSchedule,
        (nominal, partition): (Timestamp, Option<PartitionKey>),
        plans: &mut TickPlans,
    ) -> Result<Result<Wish, PlanError>, StoreError> {
        let def = &schedule.def;
        let wanted = (nominal, partition.as_ref());
        let planned = match self.plan_on(manifest, schedule, wanted, plans)? {
            Ok(planned) => planned,
            Err(error) => return Ok(Err(error)),
        };
        let fill = |template: &TickTemplate| {
            let value = |name: &str| filled(name, schedule, &planned, nominal);
            // Names were checked at load; one that is not known after all stands for itself.
            template.fill(value).unwrap_or_else(|name| format!("{{{name}}}"))
        };
        let run_key = match (&def.run_key, &partition) {
            (Some(template), _) => fill(template),
            (None, None) => nominal.to_string(),
            (None, Some(key)) => format!("{nominal} {key}"),
        };
        let mut tags: BTreeMap<String, String> =
            def.tags.iter().map(|(key, template)| (key.clone(), fill(template))).collect();
        tags.insert("dagster/schedule_name".to_owned(), def.name.to_string());
        tags.insert("tenant".to_owned(), schedule.tenant.to_string());
        let mut context = def.context.clone();
        context.entry("scheduled_time").or_insert_with(|| nominal.to_string().into());
        let cause = Cause::Schedule { name: def.name.to_string(), nominal };
        let tenant = schedule.tenant.clone();
        let request = RunRequest { tenant, cause, partition, context, tags };
        Ok(Ok(Wish { run_key, request, planned }))
    }

    fn plan_on(
        &self,
        manifest: &Manifest,
        schedule: &LiveSchedule,
        (nominal, partition): (Timestamp, Option<&PartitionKey>),
        plans: &mut TickPlans,
    ) -> Result<Result<Arc<Planned>, PlanError>, StoreError> {
        let (tenant, target) = (&schedule.tenant, &schedule.def.target);
        let location = manifest.location.to_string();
        let key = (location, tenant.clone(), target.clone(), partition.cloned());
        if let Some(planned) = plans.0.get(&key) {
            return Ok(Ok(Arc::clone(planned)));
        }
        let choice = partition.map(|key| {
            // A tick that is tried before its time has the windows that there are by then.
            let mut choice = PartitionChoice::new(key.clone(), self.now().max(nominal));
            // The key was just read from where its dynamic parts are kept.
            for def in manifest.partitions.values() {
                choice.added.extend(def.dynamic_keys(key));
            }
            choice
        });
        let plan = match target {
            ScheduleTarget::Job(job) => plan_job(manifest, tenant, job, choice.as_ref()),
            ScheduleTarget::Select(text) => match select(manifest, text) {
                Ok(assets) => plan_assets(manifest, tenant, &assets, choice.as_ref()),
                Err(error) => return Ok(Err(error)),
            },
        };
        Ok(match plan {
            Ok(plan) => {
                let planned = Arc::new(Planned::new(plan)?);
                plans.0.insert(key, Arc::clone(&planned));
                Ok(planned)
            }
            Err(error) => Err(error),
        })
    }

    /// What the tick of a schedule at `nominal`, or its next one, would do; nothing is written.
    pub async fn test_schedule(
        &self,
        tenant: &TenantId,
        name: &str,
        nominal: Option<Timestamp>,
    ) -> Result<TickTest, ControlError> {
        let DueSchedule { row, source } = self.due_schedule(tenant, name).await?;
        let catalog = self.catalog().await?;
        let found = catalog.schedules_of(&row.location);
        let found = found.and_then(|(manifest, live)| Some((manifest, live.get(tenant, name)?)));
        let (manifest, schedule) =
            found.ok_or_else(|| ControlError::ScheduleContended { schedule: name.to_owned() })?;
        let next = || schedule.timing.next_fire(self.now()).unwrap_or_else(|| self.now());
        let nominal = nominal.unwrap_or_else(next);
        let asked = match schedule.timing.excluded_time(nominal) {
            Some(by) => Asked::Nothing(SkipReason::Excluded { by: by.to_owned() }),
            None if !schedule.timing.fires_at(nominal) => {
                Asked::Nothing(no_tick(schedule, nominal))
            }
            None if !self.may_run(manifest, schedule).await? => {
                Asked::Nothing(SkipReason::JobDisabled {})
            }
            None => self.asked_by(manifest, schedule, nominal, &mut TickPlans::default()).await?,
        };
        let mut test = TickTest {
            nominal,
            status: TickStatus::Launched,
            skipped: None,
            error: None,
            warnings: Vec::new(),
            requests: Vec::new(),
            enabled: row.enabled,
            in_the_way: self.in_the_way(schedule, &source).await?,
        };
        match asked {
            Asked::Nothing(reason) => {
                (test.status, test.skipped) = (TickStatus::Skipped, Some(reason));
            }
            Asked::Failed(error, warnings) => {
                (test.status, test.error) = (TickStatus::Failed, Some(error));
                test.warnings = warnings;
            }
            Asked::Runs(wishes, warnings) => {
                let keys: Vec<String> = wishes.iter().map(|it| it.run_key.clone()).collect();
                let requests: Vec<TickRequest> = wishes
                    .into_iter()
                    .map(|wish| TickRequest {
                        run_key: wish.run_key,
                        partition: wish.request.partition,
                        tags: wish.request.tags,
                        is_known: false,
                    })
                    .collect();
                let known = self.store.run_keys_known(tenant, &source, &keys).await?;
                let mark = |request: TickRequest| TickRequest {
                    is_known: known.contains(&request.run_key),
                    ..request
                };
                test.requests = requests.into_iter().map(mark).collect();
                test.warnings = warnings;
                if test.requests.iter().all(|request| request.is_known) {
                    test.status = TickStatus::Skipped;
                    test.skipped = Some(SkipReason::Requested {});
                }
            }
        }
        Ok(test)
    }
}

impl Control {
    /// The runs of a schedule that would keep a tick of it from requesting anything now, in words.
    async fn in_the_way(
        &self,
        schedule: &LiveSchedule,
        source: &TickSource,
    ) -> Result<Option<String>, StoreError> {
        let Some(limit) = schedule.def.max_active_runs else { return Ok(None) };
        let (tenant, sources) = (&schedule.tenant, [source]);
        let runs = self.store.runs_not_over(tenant, TickKind::Schedule, &sources).await?;
        let runs: Vec<RunId> = runs.into_values().flatten().collect();
        let active = runs.len();
        if active < usize::try_from(limit).unwrap_or(usize::MAX) {
            return Ok(None);
        }
        let names = runs.iter().take(RUNS_NAMED).map(|run| format!("run {}", run.short()));
        let names = names.collect::<Vec<_>>().join(", ");
        let then = match schedule.def.catch_up {
            CatchUp::All => "wait until one has ended",
            CatchUp::Last | CatchUp::None => "be skipped",
        };
        let under_way = if active == 1 {
            format!("{names} is under way")
        } else {
            format!("{active} runs of it are under way, among them {names}")
        };
        Ok(Some(format!("{under_way} (max_active_runs: {limit}): a tick now would {then}")))
    }
}

/// Why a schedule does not fire at `at`.
fn no_tick(schedule: &LiveSchedule, at: Timestamp) -> SkipReason {
    let (def, next) = (&schedule.def, schedule.timing.next_fire(at));
    let start = def.start.clone().filter(|_| schedule.timing.is_before_start(at));
    let end = def.end.clone().filter(|_| next.is_none());
    SkipReason::NoTick { next, start, end }
}

/// What a name in a template of a tick stands for.
fn filled(
    name: &str,
    schedule: &LiveSchedule,
    planned: &Planned,
    nominal: Timestamp,
) -> Option<String> {
    let plan = &planned.plan;
    if let Some(part) = plan.dimensions.get(name) {
        return Some(part.clone());
    }
    match name {
        "tenant" => Some(schedule.tenant.to_string()),
        "schedule" => Some(schedule.def.name.to_string()),
        "job" => Some(plan.job.as_ref().map_or_else(|| plan.title(), ToString::to_string)),
        "partition" => Some(plan.partition.as_ref().map(ToString::to_string).unwrap_or_default()),
        _ => {
            let local = schedule.timing.local(nominal);
            strtime::format(date_format(name)?, &local).ok()
        }
    }
}

fn warning(partition: Option<PartitionKey>, code: ErrorCode, message: String) -> TickWarning {
    TickWarning { partition, code, message }
}
