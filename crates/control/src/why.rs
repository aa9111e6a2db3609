//! Why: loads what is stored about a run, an asset, a schedule, a sensor or a job, and has `decide`
//! say it.

use std::collections::BTreeMap;

use millstream_decide::why::{
    AssetFacts, FAILED_NAMED, InVain, JobFacts, Made, Maker, OlderParts, PARTITIONS_NAMED,
    RunFacts, ScheduleFacts, SensorFacts, Sources, Tries, Try, Untaken, Upstream, Why, why_asset,
    why_job, why_run, why_schedule, why_sensor,
};
use millstream_model::view::{AssetRow, FailedTry, JobRow, RunRow, ScheduleRow, SensorRow};
use millstream_model::{
    AssetKey, Event, HoldReason, JobName, JobShape, Manifest, PartitionKey, RunId, RunStatus,
    StepKey, StepStatus, TenantId, TickKind, TickSource, Timestamp, did_you_mean,
};
use millstream_plan::selection::select;
use millstream_plan::{PlanError, code_version};
use millstream_store::deliveries::WaitingDelivery;
use millstream_store::gone::PartitionsOf;
use millstream_store::outdated::{FailedPartition, PartitionInVain};
use millstream_store::runs::RunFilter;
use millstream_store::steps::StepEnd;

use crate::catalog::Catalog;
use crate::live_sensors::tick_source;
use crate::schedules::DueSchedule;
use crate::stale::mark_stale;
use crate::{Control, ControlError};

/// Events that an answer is made of; the first of a run say the most.
const EVENTS_MAX: u32 = 1_000;

/// Runs of a schedule's last tick, or of a job that wait, which an answer names.
const RUNS_MAX: usize = 5;

/// The first runs in line that are searched for those of a job.
const LINE_MAX: u32 = 1_000;

/// Tries of an asset that an answer counts.
const TRIES_MAX: u32 = 20;

/// Partitions that were tried in vain among which an answer finds those that it names.
const IN_VAIN_MAX: u32 = 20;

/// Schedules that make an asset which an answer tells of; the others are counted.
const SCHEDULES_TOLD: usize = 5;

/// Deliveries that wait for a webhook among which those are counted that were tried in vain.
const DELIVERIES_MAX: u32 = 10_000;

/// Retries of a run that are followed to the one that counts.
const RETRIES_MAX: usize = 20;

impl Control {
    /// Why what `subject` names is as it is: a run's id or its last digits, an asset's key, or the
    /// name of a schedule, a sensor or a job, looked for in this order.
    pub async fn why(&self, tenant: &TenantId, subject: &str) -> Result<Why, ControlError> {
        let unclear = match self.find_run(std::slice::from_ref(tenant), subject).await {
            Ok(run) => return self.why_run(tenant, run.run_id).await,
            Err(ControlError::RunUnknown { .. } | ControlError::RunShort { .. }) => None,
            // Something else may have these digits as its name.
            Err(error @ ControlError::RunAmbiguous { .. }) => Some(error),
            Err(error) => return Err(error),
        };
        if let Ok(key) = subject.parse::<AssetKey>()
            && let Some(facts) = self.asset_facts(tenant, &key).await?
        {
            return Ok(why_asset(&facts));
        }
        let mut schedules = self.due_schedules_of(tenant).await?;
        if let Some(place) = schedules.iter().position(|it| it.row.name.as_str() == subject) {
            let schedule = schedules.swap_remove(place);
            return Ok(why_schedule(&self.schedule_facts(tenant, schedule).await?));
        }
        let mut names: Vec<String> = schedules.iter().map(|it| it.row.name.to_string()).collect();
        let sensors = self.stored_sensors_of(tenant).await?;
        names.extend(sensors.iter().map(|(row, _)| row.name.to_string()));
        if let Some(sensor) = sensors.into_iter().find(|(row, _)| row.name.as_str() == subject) {
            return Ok(why_sensor(&self.sensor_facts(tenant, sensor).await?));
        }
        let jobs = self.job_rows(tenant).await?;
        names.extend(jobs.iter().map(|row| row.name.to_string()));
        if let Some(job) = jobs.into_iter().find(|row| row.name.as_str() == subject) {
            let schedules = schedules.into_iter().map(|it| it.row).collect();
            return Ok(why_job(&self.job_facts(tenant, job, schedules).await?));
        }
        for kind in [TickKind::Schedule, TickKind::Sensor] {
            if let Some(renamed) = self.renamed(kind, tenant, subject).await? {
                return Err(renamed);
            }
        }
        for kind in [TickKind::Schedule, TickKind::Sensor] {
            if let Some(absent) = self.absent(kind, tenant, subject).await? {
                return Err(absent);
            }
        }
        if let Some(error) = unclear {
            return Err(error);
        }
        let assets = self.asset_rows(tenant).await?;
        names.extend(assets.iter().map(|row| row.asset.to_string()));
        let near = did_you_mean(subject, names.iter().map(String::as_str));
        Err(ControlError::SubjectUnknown { subject: subject.to_owned(), near })
    }

    async fn sensor_facts(
        &self,
        tenant: &TenantId,
        (sensor, source): (SensorRow, TickSource),
    ) -> Result<SensorFacts, ControlError> {
        let stand = self.sensor_stand(tenant, sensor.name.as_str()).await?;
        let mut in_vain = InVain::default();
        if stand.set_aside.is_some() {
            in_vain = self.deliveries_in_vain(tenant, &source).await?;
            let now_called = tick_source(&sensor.location, sensor.name.as_str());
            in_vain.refused = self.refused.of(&(tenant.clone(), now_called), self.now());
        }
        let runs = self.runs_of_last_tick(tenant, &source).await?;
        Ok(SensorFacts { sensor, stand, in_vain, runs, now: self.now() })
    }

    /// The deliveries to a webhook of which no run could be made.
    async fn deliveries_in_vain(
        &self,
        tenant: &TenantId,
        source: &TickSource,
    ) -> Result<InVain, ControlError> {
        let untaken =
            |it: WaitingDelivery| Some(Untaken { delivery: it.delivery, problem: it.problem? });
        let waiting = self.store.list_deliveries(tenant, source, DELIVERIES_MAX).await?;
        let (tried, last_tried) = waiting
            .into_iter()
            .filter_map(untaken)
            .fold((0, None), |(count, _), it| (count + 1, Some(it)));
        let aside = self.store.list_set_aside(tenant, source, 1).await?;
        let last_aside = aside.into_iter().find_map(untaken);
        Ok(InVain { tried, last_tried, last_aside, refused: None })
    }

    async fn job_facts(
        &self,
        tenant: &TenantId,
        job: JobRow,
        mut schedules: Vec<ScheduleRow>,
    ) -> Result<JobFacts, ControlError> {
        schedules.retain(|it| it.location == job.location && it.job.as_ref() == Some(&job.name));
        let of_job = RunFilter { job: Some(job.name.clone()), ..RunFilter::default() };
        let newest = self.newest_runs(tenant, &of_job, 1).await?.pop();
        let line = self.store.first_in_queue(tenant, LINE_MAX).await?;
        let mut waiting = self.store.runs_of_job_among(tenant, &job.name, &line).await?;
        // One that left the queue meanwhile is in line no more.
        waiting.retain(|run| run.status == RunStatus::Queued);
        let queued = u32::try_from(waiting.len()).unwrap_or(u32::MAX);
        waiting.truncate(RUNS_MAX);
        self.tell_waits(tenant, &mut waiting).await?;
        let idle = self.idle_words(tenant).await?;
        Ok(JobFacts { job, newest, waiting, queued, schedules, idle })
    }

    async fn why_run(&self, tenant: &TenantId, run: RunId) -> Result<Why, ControlError> {
        let view = self.run_view(tenant, run).await?;
        let events = self.store.run_events(tenant, run, (0, i64::MIN), EVENTS_MAX).await?;
        let events: Vec<Event> = events.into_iter().map(|row| row.event).collect();
        let dead_letter = self.store.dead_letter(tenant, run).await?;
        let (run, steps) = (view.run, view.steps);
        let mut ahead = Vec::new();
        for holder in run.hold.iter().flat_map(HoldReason::held_by) {
            ahead.extend(self.store.run(tenant, holder.run).await?);
        }
        self.tell_waits(tenant, &mut ahead).await?;
        let off = match run.status {
            RunStatus::Queued | RunStatus::Starting | RunStatus::Started => {
                self.off_words(&run).await?
            }
            _ => None,
        };
        Ok(why_run(&RunFacts { run, steps, events, dead_letter, ahead, off }))
    }

    /// What is off by now of a run that was asked for before, in words.
    async fn off_words(&self, run: &RunRow) -> Result<Option<String>, ControlError> {
        let Some(order) = self.store.run_order(&run.tenant, run.run_id).await? else {
            return Ok(None);
        };
        match self.check_may_start(run, &order).await {
            Ok(()) => Ok(None),
            Err(ControlError::JobDisabled { job, .. }) => Ok(Some(format!("job {job} is off"))),
            Err(ControlError::Plan(PlanError::TenantDisabled { tenant })) => {
                Ok(Some(format!("tenant {tenant} is off")))
            }
            Err(ControlError::TenantUnknown { tenant }) => {
                Ok(Some(format!("no file declares tenant {tenant} any more")))
            }
            Err(error) => Err(error),
        }
    }

    async fn asset_facts(
        &self,
        tenant: &TenantId,
        key: &AssetKey,
    ) -> Result<Option<AssetFacts>, ControlError> {
        let catalog = self.catalog().await?;
        let mut rows = self.asset_rows_in(&catalog, tenant).await?;
        mark_stale(&catalog, tenant, &mut rows);
        let Some(mut asset) = rows.iter().find(|row| row.asset == *key).cloned() else {
            return Ok(None);
        };
        self.tell_checks(tenant, std::slice::from_mut(&mut asset)).await?;
        let gone = self.gone_of(&catalog, tenant, &asset).await?;
        let parts = gone.as_deref().map(|gone| PartitionsOf { asset: key, gone });
        let sources = self.sources((&catalog, &rows), (&asset, parts.as_ref())).await?;
        let tries = self.tries(&catalog, tenant, &asset).await?;
        let failed = self.failed_parts(tenant, &asset, parts.as_ref()).await?;
        let in_vain = self.parts_in_vain(&catalog, &asset, parts.as_ref()).await?;
        let mut makers = self.makers(tenant, &catalog, key).await?;
        let made_by_more = makers.len().saturating_sub(SCHEDULES_TOLD);
        makers.truncate(SCHEDULES_TOLD);
        let mut made_by = Vec::new();
        for schedule in makers {
            made_by.push(self.schedule_facts(tenant, schedule).await?);
        }
        let mut coming = self.coming(tenant, key).await?;
        let is_told =
            |run: RunId| made_by.iter().flat_map(|it| &it.runs).any(|it| it.run_id == run);
        coming.retain(|run| !is_told(run.run_id));
        let of_it =
            AssetFacts { asset, sources, tries, failed, in_vain, coming, made_by, made_by_more };
        Ok(Some(of_it))
    }

    /// What `asset`, with these partitions, is made from; `rows` are all assets of the tenant.
    pub(crate) async fn sources(
        &self,
        (catalog, rows): (&Catalog, &[AssetRow]),
        (asset, parts): (&AssetRow, Option<&PartitionsOf<'_>>),
    ) -> Result<Sources, ControlError> {
        let tenant = &asset.tenant;
        let made = match parts {
            Some(parts) => self.store.partitions_made(tenant, parts).await?,
            None => 0,
        };
        let mut upstream = Vec::new();
        for row in rows.iter().filter(|row| asset.deps.contains(&row.asset)) {
            let at = row.latest.as_ref().map(|latest| latest.at);
            let made = match (parts, at) {
                (_, None) => Made::Never(maker(catalog, tenant, row)),
                (None, Some(at)) => Made::Whole(at),
                (Some(parts), Some(at)) => {
                    // Each partition is made from the one of the same key, or from all there is.
                    let at = Some(at).filter(|_| row.partitions != asset.partitions);
                    let from = (&row.asset, at);
                    let found =
                        self.store.partitions_outdated(tenant, parts, from, PARTITIONS_NAMED);
                    Made::After(found.await?.map(|it| OlderParts {
                        count: it.count,
                        first: it.first,
                        newest: it.newest,
                    }))
                }
            };
            upstream.push(Upstream { asset: row.asset.clone(), made });
        }
        let code_version = catalog.step_of(tenant, &asset.asset).map(code_version);
        Ok(Sources { made, upstream, code_version })
    }

    /// The partitions of an asset that failed when they were tried last, the newest first.
    async fn failed_parts(
        &self,
        tenant: &TenantId,
        asset: &AssetRow,
        parts: Option<&PartitionsOf<'_>>,
    ) -> Result<Vec<(PartitionKey, Try)>, ControlError> {
        let (Some(parts), Ok(step)) = (parts, asset.asset.to_string().parse::<StepKey>()) else {
            return Ok(Vec::new());
        };
        let failed = self.store.partitions_failed(tenant, parts, &step, FAILED_NAMED).await?;
        let tried = |failed: FailedPartition| {
            let FailedPartition { partition, run, at, error, blocked_by } = failed;
            let status = match blocked_by {
                Some(_) => StepStatus::UpstreamFailed,
                None => StepStatus::Failure,
            };
            (partition, Try { run, status, at, error, blocked_by, skipped: None })
        };
        Ok(failed.into_iter().map(tried).collect())
    }

    /// The partitions of an asset that were tried last in vain, and did not fail, the newest first.
    pub(crate) async fn parts_in_vain(
        &self,
        catalog: &Catalog,
        asset: &AssetRow,
        parts: Option<&PartitionsOf<'_>>,
    ) -> Result<Vec<(PartitionKey, Try)>, ControlError> {
        let (Some(parts), Some(name)) = (parts, &asset.partitions) else { return Ok(Vec::new()) };
        let Ok(step) = asset.asset.to_string().parse::<StepKey>() else { return Ok(Vec::new()) };
        let (tenant, of_ops) = (&asset.tenant, op_jobs(catalog, &asset.tenant));
        let but = (&step, of_ops.as_slice());
        let tried = self.store.partitions_in_vain(tenant, parts, but, IN_VAIN_MAX).await?;
        // One that never began has no state, by which its key would be known to be no more.
        let keys = tried.iter().map(|it| it.partition.clone()).collect();
        let gone = self.keys_not_there(catalog, (tenant, name), keys).await?;
        let there = tried.into_iter().filter(|it| !gone.contains(&it.partition));
        let tried = |it: PartitionInVain| {
            let PartitionInVain { partition, run, status, at, reason } = it;
            let skipped = reason.filter(|_| status == StepStatus::Skipped);
            (partition, Try { run, status, at, error: None, blocked_by: None, skipped })
        };
        Ok(there.take(FAILED_NAMED as usize).map(tried).collect())
    }

    /// The schedules that make the asset called `key`, those first that are on and due soonest.
    async fn makers(
        &self,
        tenant: &TenantId,
        catalog: &Catalog,
        key: &AssetKey,
    ) -> Result<Vec<DueSchedule>, ControlError> {
        // Many schedules request the same, and to find out what that comes to takes a while.
        let mut known = BTreeMap::new();
        let mut makers = self.due_schedules_of(tenant).await?;
        makers.retain(|schedule| {
            let row = &schedule.row;
            let requested = (row.location.clone(), row.job.clone(), row.select.clone());
            *known.entry(requested).or_insert_with(|| {
                let mut manifests = catalog.manifests().filter(|it| it.location == row.location);
                manifests.any(|manifest| makes(manifest, row, key))
            })
        });
        makers.sort_by_key(|it| {
            let due = it.row.due_at();
            (!it.row.enabled, due.is_none(), due)
        });
        Ok(makers)
    }

    /// How the step of an asset that is one whole ended in the runs since it was made.
    pub(crate) async fn tries(
        &self,
        catalog: &Catalog,
        tenant: &TenantId,
        asset: &AssetRow,
    ) -> Result<Tries, ControlError> {
        let (None, Ok(step)) = (&asset.partitions, asset.asset.to_string().parse::<StepKey>())
        else {
            return Ok(Tries::default());
        };
        let latest = asset.latest.as_ref();
        let since = latest.map_or(Timestamp::from_micros(0), |latest| latest.at);
        let first = latest.and_then(|latest| latest.made_by.run());
        let ends = self.store.ends_of_step((tenant, &step), (first, since), TRIES_MAX).await?;
        let looked_since = ends.looked_since.filter(|at| *at > since);
        let may_be_more = looked_since.is_some() || ends.newest.len() >= TRIES_MAX as usize;
        // Of a job's own steps one may be called like the asset, and be something else.
        let ends =
            ends.newest.into_iter().filter(|end| !has_ops(catalog, tenant, end.job.as_ref()));
        let made_nothing = |end: &StepEnd| Some(end.run) != first && end.reason.is_none();
        let ends = ends.filter(|end| end.status != StepStatus::Success || made_nothing(end));
        let tried = |end: StepEnd| {
            let StepEnd { run, status, at, error, reason, .. } = end;
            let of = |wanted| reason.clone().filter(|_| status == wanted);
            let blocked_by = of(StepStatus::UpstreamFailed).and_then(|step| step.parse().ok());
            Try { run, status, at, error, blocked_by, skipped: of(StepStatus::Skipped) }
        };
        Ok(Tries { newest: ends.map(tried).collect(), may_be_more, looked_since })
    }

    /// Says of each of `rows`, assets of a tenant, that its last try failed, by the rule of
    /// [`Self::tries`] and with one question however many there are.
    pub(crate) async fn tell_failed_tries(
        &self,
        catalog: &Catalog,
        tenant: &TenantId,
        rows: &mut [AssetRow],
    ) -> Result<(), ControlError> {
        let of_ops = op_jobs(catalog, tenant);
        let mut failed = self.store.failed_tries(tenant, &of_ops).await?;
        for row in rows.iter_mut().filter(|row| row.partitions.is_none()) {
            let tried = failed.remove(&row.asset.to_string());
            row.failed_try = tried.map(|(run_id, at)| FailedTry { run_id, at });
        }
        Ok(())
    }

    /// A schedule with the runs of its last tick, or what tries them again.
    async fn schedule_facts(
        &self,
        tenant: &TenantId,
        DueSchedule { row: schedule, source }: DueSchedule,
    ) -> Result<ScheduleFacts, ControlError> {
        let runs = self.runs_of_last_tick(tenant, &source).await?;
        Ok(ScheduleFacts { schedule, runs, now: self.now() })
    }

    /// The first runs of the last tick of `source`, or what tries them again.
    async fn runs_of_last_tick(
        &self,
        tenant: &TenantId,
        source: &TickSource,
    ) -> Result<Vec<RunRow>, ControlError> {
        let ticks = self.store.ticks(tenant, source, None, 1).await?;
        let requested = ticks.into_iter().flat_map(|tick| tick.runs).take(RUNS_MAX);
        let mut runs = Vec::new();
        for requested in requested {
            let mut run = self.store.run(tenant, requested.run_id).await?;
            for _ in 0..RETRIES_MAX {
                let Some(retry) = run.as_ref().and_then(|run| run.retried_as) else { break };
                run = self.store.run(tenant, retry).await?;
            }
            runs.extend(run);
        }
        self.tell_waits(tenant, &mut runs).await?;
        Ok(runs)
    }
}

/// The jobs of a tenant whose steps are their own and not those of assets.
fn op_jobs<'c>(catalog: &'c Catalog, tenant: &TenantId) -> Vec<&'c JobName> {
    let jobs = catalog.of_tenant(tenant).flat_map(|manifest| manifest.jobs.values());
    let of_ops = jobs.filter(|job| matches!(job.shape, JobShape::Ops(_)));
    of_ops.map(|job| &job.name).collect()
}

/// What could make an asset that was never made.
pub(crate) fn maker(catalog: &Catalog, tenant: &TenantId, row: &AssetRow) -> Maker {
    let mut manifests = catalog.manifests().filter(|it| it.tenants.contains_key(tenant));
    let def = manifests.find_map(|manifest| manifest.assets.get(&row.asset));
    match (def.is_some_and(|def| def.step.is_some()), &row.partitions) {
        (false, _) => Maker::Elsewhere,
        (true, None) => Maker::Step,
        (true, Some(_)) => Maker::StepOfPartitions,
    }
}

/// Whether the steps of `job` are its own and not those of assets.
fn has_ops(catalog: &Catalog, tenant: &TenantId, job: Option<&JobName>) -> bool {
    let Some(name) = job else { return false };
    let manifests = catalog.manifests().filter(|it| it.tenants.contains_key(tenant));
    let mut jobs = manifests.filter_map(|manifest| manifest.jobs.get(name));
    jobs.any(|job| matches!(job.shape, JobShape::Ops(_)))
}

/// Whether what a schedule requests makes the asset called `key`.
fn makes(manifest: &Manifest, schedule: &ScheduleRow, key: &AssetKey) -> bool {
    let of_job = schedule.job.as_ref().and_then(|job| match &manifest.jobs.get(job)?.shape {
        JobShape::Select(selection) => Some(selection.as_str()),
        JobShape::Ops(_) => None,
    });
    let selection = schedule.select.as_deref().or(of_job);
    selection.is_some_and(|text| select(manifest, text).is_ok_and(|keys| keys.contains(key)))
}
