//! Why: loads what is stored about a run, an asset or a schedule, and has `decide` say it.

use std::collections::BTreeMap;

use millstream_decide::why::{
    AssetFacts, Made, RunFacts, ScheduleFacts, Try, Upstream, Why, why_asset, why_run, why_schedule,
};
use millstream_model::view::{AssetRow, ScheduleRow};
use millstream_model::{
    AssetKey, Event, JobName, JobShape, Manifest, PartitionKey, RunId, StepKey, StepStatus,
    TenantId, TickKind, TickSource, Timestamp,
};
use millstream_plan::code_version;
use millstream_plan::selection::select;
use millstream_store::steps::StepEnd;

use crate::catalog::Catalog;
use crate::schedule_standing::SCHEDULES_MAX;
use crate::views::{PARTITIONS_MAX, PARTITIONS_READ};
use crate::{Control, ControlError};

/// Events that an answer is made of; the first of a run say the most.
const EVENTS_MAX: u32 = 1_000;

/// Runs of a schedule's last tick that an answer names.
const RUNS_MAX: usize = 5;

/// Tries of an asset that an answer counts.
const TRIES_MAX: u32 = 20;

/// Retries of a run that are followed to the one that counts.
const RETRIES_MAX: usize = 20;

impl Control {
    /// Why what `subject` names is as it is: a run's id or its last digits, an asset's key, or a
    /// schedule's name, looked for in this order.
    pub async fn why(&self, tenant: &TenantId, subject: &str) -> Result<Why, ControlError> {
        match self.find_run(std::slice::from_ref(tenant), subject).await {
            Ok(run) => return self.why_run(tenant, run.run_id).await,
            Err(ControlError::RunUnknown { .. }) => {}
            Err(error) => return Err(error),
        }
        if let Ok(key) = subject.parse::<AssetKey>()
            && let Some(facts) = self.asset_facts(tenant, &key).await?
        {
            return Ok(why_asset(&facts));
        }
        match self.schedule_view(tenant, subject).await {
            Ok(schedule) => {
                let due = self.due_times(tenant).await?;
                Ok(why_schedule(&self.schedule_facts((tenant, &due), schedule).await?))
            }
            Err(ControlError::ScheduleUnknown { .. }) => {
                Err(ControlError::SubjectUnknown { subject: subject.to_owned() })
            }
            Err(error) => Err(error),
        }
    }

    async fn why_run(&self, tenant: &TenantId, run: RunId) -> Result<Why, ControlError> {
        let view = self.run_view(tenant, run).await?;
        let events = self.store.run_events(tenant, run, (0, i64::MIN), EVENTS_MAX).await?;
        let events: Vec<Event> = events.into_iter().map(|row| row.event).collect();
        let dead_letter = self.store.dead_letter(tenant, run).await?;
        let (run, steps) = (view.run, view.steps);
        Ok(why_run(&RunFacts { run, steps, events, dead_letter }))
    }

    async fn asset_facts(
        &self,
        tenant: &TenantId,
        key: &AssetKey,
    ) -> Result<Option<AssetFacts>, ControlError> {
        let rows = self.asset_rows(tenant).await?;
        let Some(asset) = rows.iter().find(|row| row.asset == *key).cloned() else {
            return Ok(None);
        };
        let made = self.partitions_made(tenant, &asset).await?;
        let mut upstream = Vec::new();
        for row in rows.iter().filter(|row| asset.deps.contains(&row.asset)) {
            let of_parts = asset.partitions.is_some() && row.partitions == asset.partitions;
            let made = if of_parts {
                Made::Parts(self.partitions_made(tenant, row).await?)
            } else {
                Made::Whole(row.latest.as_ref().map(|latest| latest.at))
            };
            upstream.push(Upstream { asset: row.asset.clone(), made });
        }
        let tries = self.tries(tenant, &asset).await?;
        let catalog = self.catalog().await?;
        let def = catalog
            .manifests()
            .filter(|manifest| manifest.tenants.contains_key(tenant))
            .find_map(|manifest| manifest.assets.get(key));
        let code_version = def.filter(|def| def.step.is_some()).map(code_version);
        let (mut made_by, due) = (Vec::new(), self.due_times(tenant).await?);
        for schedule in self.schedule_rows(tenant).await? {
            let manifests = || catalog.manifests().filter(|it| it.location == schedule.location);
            if manifests().any(|manifest| makes(manifest, &schedule, key)) {
                made_by.push(self.schedule_facts((tenant, &due), schedule).await?);
            }
        }
        Ok(Some(AssetFacts { asset, made, upstream, tries, code_version, made_by }))
    }

    /// When each partition that an asset has was made last; nothing for one that is one whole.
    async fn partitions_made(
        &self,
        tenant: &TenantId,
        asset: &AssetRow,
    ) -> Result<BTreeMap<PartitionKey, Timestamp>, ControlError> {
        let Some(name) = &asset.partitions else { return Ok(BTreeMap::new()) };
        let mut made = self.store.partitions_made(tenant, &asset.asset, PARTITIONS_READ).await?;
        let keys = self.partition_keys(tenant, name, ("", ""), PARTITIONS_MAX).await?;
        let removed = self.removed(tenant, (&asset.asset, name), &keys).await?;
        made.retain(|key, _| !removed.contains_key(key));
        Ok(made)
    }

    /// How the step of an asset that is one whole ended in the runs since it was made.
    pub(crate) async fn tries(
        &self,
        tenant: &TenantId,
        asset: &AssetRow,
    ) -> Result<Vec<Try>, ControlError> {
        let (None, Ok(step)) = (&asset.partitions, asset.asset.to_string().parse::<StepKey>())
        else {
            return Ok(Vec::new());
        };
        let catalog = self.catalog().await?;
        let latest = asset.latest.as_ref();
        let since = latest.map_or(Timestamp::from_micros(0), |latest| latest.at);
        let first = latest.and_then(|latest| latest.made_by.run());
        let ends = self.store.ends_of_step((tenant, &step), (first, since), TRIES_MAX).await?;
        // Of a job's own steps one may be called like the asset, and be something else.
        let ends = ends.into_iter().filter(|end| !has_ops(&catalog, tenant, end.job.as_ref()));
        let tried = |end: StepEnd| {
            let blocked = end.reason.filter(|_| end.status == StepStatus::UpstreamFailed);
            let blocked_by = blocked.and_then(|step| step.parse().ok());
            Try { run: end.run, status: end.status, at: end.at, error: end.error, blocked_by }
        };
        Ok(ends.map(tried).collect())
    }

    /// A schedule with the runs of its last tick, or what tries them again.
    async fn schedule_facts(
        &self,
        (tenant, due): (&TenantId, &BTreeMap<TickSource, Timestamp>),
        schedule: ScheduleRow,
    ) -> Result<ScheduleFacts, ControlError> {
        let (location, name) = (schedule.location.clone(), schedule.name.to_string());
        let source = TickSource { kind: TickKind::Schedule, location, name };
        let ticks = self.store.ticks(tenant, &source, None, 1).await?;
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
        let due = due.get(&source).copied();
        Ok(ScheduleFacts { schedule, runs, due, now: self.now() })
    }

    /// When the next undecided tick of each schedule of a tenant is due.
    async fn due_times(
        &self,
        tenant: &TenantId,
    ) -> Result<BTreeMap<TickSource, Timestamp>, ControlError> {
        let kind = TickKind::Schedule;
        let stored = self.store.sources_of_tenant(kind, tenant, SCHEDULES_MAX).await?;
        let due = stored.into_iter().filter_map(|(key, (row, _))| Some((key, row.next_due?)));
        Ok(due.collect())
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
