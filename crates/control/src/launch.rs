//! A wish becomes a run in the queue.

use std::collections::{BTreeMap, BTreeSet};

use millstream_decide::queue::{Limits, lane_of};
use millstream_model::{
    AssetKey, Cause, ContentHash, Event, EventBody, JobName, Manifest, PartitionKey,
    PartitionsName, RunId, RunPlan, RunRequest, TenantId, priority_of, retries_of,
};
use millstream_plan::{PartitionChoice, PlanError, plan_assets, plan_job, tenant_of};
use millstream_store::live::NewLiveRun;
use millstream_store::runs::NewRun;
use millstream_store::{Batch, StoreError, events, live, plans, runs};

use crate::catalog::Catalog;
use crate::{Control, ControlError};

/// Runs that one request may ask for.
pub(crate) const REQUESTS_MAX: usize = 10_000;

/// How many keys of the store are compared with an unknown one.
const COMPARED_MAX: u32 = 1_000;

/// A run that is in the queue now.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Launched {
    /// The tenant whose run it is.
    pub tenant: TenantId,
    /// The run.
    pub run_id: RunId,
    /// Its partition.
    pub partition: Option<PartitionKey>,
}

/// A wish for assets.
#[derive(Debug, Clone)]
pub struct MaterializeRequest {
    /// The selection, as its grammar writes it.
    pub select: String,
    /// Which partitions: one run each.
    pub partitions: Vec<PartitionKey>,
    /// Every partition that exists.
    pub all_partitions: bool,
}

impl Control {
    /// Puts a run of `job` into the queue.
    pub async fn launch_job(
        &self,
        request: &RunRequest,
        job: &JobName,
    ) -> Result<Launched, ControlError> {
        let catalog = self.catalog().await?;
        let unknown = || ControlError::TenantUnknown { tenant: request.tenant.to_string() };
        let manifest = catalog.for_job(&request.tenant, job).ok_or_else(unknown)?;
        self.check_enabled(manifest, &request.tenant, job).await?;
        let choice = self.choice(manifest, &request.tenant, request.partition.as_ref()).await?;
        let plan = plan_job(manifest, &request.tenant, job, choice.as_ref())?;
        self.enqueue(catalog.limits(), request, plan).await
    }

    /// Refuses to start a job that is off; one that `manifest` does not have is not.
    pub(crate) async fn check_enabled(
        &self,
        manifest: &Manifest,
        tenant: &TenantId,
        job: &JobName,
    ) -> Result<(), ControlError> {
        let Some(def) = manifest.jobs.get(job) else { return Ok(()) };
        let word = self.store.job_overrides(tenant, &manifest.location).await?.get(job).copied();
        if word.unwrap_or(def.enabled) {
            return Ok(());
        }
        Err(ControlError::JobDisabled { job: job.to_string(), by_hand: word.is_some() })
    }

    /// Puts one run for each wanted partition into the queue: in the tenant that the partition's
    /// key names, or in the request's own.
    pub async fn materialize(
        &self,
        request: &RunRequest,
        wish: &MaterializeRequest,
    ) -> Result<Vec<Launched>, ControlError> {
        let catalog = self.catalog().await?;
        let unknown = || ControlError::TenantUnknown { tenant: request.tenant.to_string() };
        let manifest = catalog.for_selection(&request.tenant, &wish.select).ok_or_else(unknown)?;
        let assets = millstream_plan::selection::select(manifest, &wish.select)?;
        if assets.is_empty() {
            return Err(PlanError::SelectionEmpty { selection: wish.select.clone() }.into());
        }
        let keys =
            self.wanted_partitions((&catalog, manifest), &request.tenant, &assets, wish).await?;
        if keys.len() > REQUESTS_MAX {
            let (count, what, limit) = (keys.len(), "partitions", REQUESTS_MAX);
            return Err(ControlError::TooMany { count, what, limit });
        }
        let mut launched = Vec::with_capacity(keys.len());
        // Everything is planned before anything is queued, so one bad key launches nothing.
        let mut planned = Vec::with_capacity(keys.len());
        for key in keys {
            let request = RunRequest { partition: key, ..request.clone() };
            let choice = self.choice(manifest, &request.tenant, request.partition.as_ref()).await?;
            let plan = plan_assets(manifest, &request.tenant, &assets, choice.as_ref())?;
            planned.push((request, plan));
        }
        for (request, plan) in planned {
            launched.push(self.enqueue(catalog.limits(), &request, plan).await?);
        }
        Ok(launched)
    }

    async fn wanted_partitions(
        &self,
        (catalog, manifest): (&Catalog, &Manifest),
        tenant: &TenantId,
        assets: &[AssetKey],
        wish: &MaterializeRequest,
    ) -> Result<Vec<Option<PartitionKey>>, ControlError> {
        if !wish.all_partitions {
            return Ok(if wish.partitions.is_empty() {
                vec![None]
            } else {
                wish.partitions.iter().cloned().map(Some).collect()
            });
        }
        let names = partitions_of(manifest, assets);
        let Some(name) = names.into_iter().next() else { return Ok(vec![None]) };
        let of = (tenant, name);
        let keys = self.some_partition_keys(catalog, of, REQUESTS_MAX + 1).await?;
        Ok(keys.into_iter().map(Some).collect())
    }

    /// What planning needs to know about a partition that only the store can say.
    pub(crate) async fn choice(
        &self,
        manifest: &Manifest,
        tenant: &TenantId,
        key: Option<&PartitionKey>,
    ) -> Result<Option<PartitionChoice>, ControlError> {
        let Some(key) = key else { return Ok(None) };
        let mut choice = PartitionChoice::new(key.clone(), self.now());
        for (name, def) in &manifest.partitions {
            let asked = def.dynamic_keys(key);
            if asked.is_empty() {
                continue;
            }
            let owner = tenant_of(manifest, name, key).ok().flatten();
            let owner = owner.as_ref().unwrap_or(tenant);
            choice.added.extend(self.store.dynamic_partitions_known(owner, name, &asked).await?);
            if choice.added.is_empty() {
                let start: String = key.as_str().chars().take(3).collect();
                let near =
                    self.store.dynamic_partitions(owner, name, ("", &start), COMPARED_MAX).await?;
                choice.near.extend(near);
            }
        }
        Ok(Some(choice))
    }

    /// Stores the run, its plan and its place in the queue in one batch.
    async fn enqueue(
        &self,
        limits: &Limits,
        request: &RunRequest,
        plan: RunPlan,
    ) -> Result<Launched, ControlError> {
        numbers_in(&request.tags)?;
        let planned = Planned::new(plan)?;
        let mut batch = Batch::for_tenant(&planned.plan.tenant);
        let mut runs = NewRuns::new(&mut batch, limits);
        let (launched, queued) = self.add_run(&mut runs, request, &planned);
        events::insert(&mut batch, &launched.tenant, &self.new_id().to_string(), &[queued]);
        self.store.apply(batch).await?;
        self.plans.keep(&planned.hash, planned.plan);
        Ok(launched)
    }

    /// Adds a run, its plan and its place in the queue to a batch; the event that says so is the
    /// caller's to add, because a batch holds one batch of events.
    ///
    /// A priority that is no number was refused where its label was read.
    pub(crate) fn add_run(
        &self,
        into: &mut NewRuns<'_>,
        request: &RunRequest,
        planned: &Planned,
    ) -> (Launched, Event) {
        let Planned { plan, json, hash } = planned;
        let (run, now) = (self.new_id(), self.now());
        let tenant = &plan.tenant;
        let tags = merged(&plan.tags, &request.tags);
        let priority = priority_in(plan, &tags);
        let lane = lane_of(into.limits, tenant, priority, &tags);
        let title = plan.title();
        let new = NewRun {
            tenant,
            run,
            location: &plan.location,
            job: plan.job.as_ref(),
            title: &title,
            cause: &request.cause,
            partition: plan.partition.as_ref(),
            tags: &tags,
            context: &request.context,
            plan: hash,
            steps: u32::try_from(plan.steps.len()).unwrap_or(u32::MAX),
            queued_at: now,
        };
        if into.plans.insert(hash.clone()) {
            plans::insert(into.batch, tenant, hash, json);
        }
        runs::insert(into.batch, &new);
        let waiting = NewLiveRun {
            tenant,
            run,
            priority,
            lane: &lane,
            tags: &tags,
            queued_at: now,
            timeout: plan.timeout.map(|limit| limit.0),
            again: false,
        };
        live::insert(into.batch, &waiting);
        let body = EventBody::RunQueued { cause: request.cause.clone() };
        let queued = self.control_event(tenant, run, 0, body);
        let partition = plan.partition.clone();
        (Launched { tenant: tenant.clone(), run_id: run, partition }, queued)
    }

    /// An event of the control plane's own.
    pub(crate) fn control_event(
        &self,
        tenant: &TenantId,
        run: RunId,
        epoch: i64,
        body: EventBody,
    ) -> Event {
        let seq = body.control_seq().unwrap_or(i64::MIN);
        Event { v: 1, at: self.now(), tenant: tenant.clone(), run, epoch, seq, body }
    }

    /// Who is named as the cause of what a caller does by hand.
    pub fn by_hand(name: &str) -> Cause {
        Cause::User { name: name.to_owned() }
    }
}

/// A batch of one tenant's that new runs go into.
pub(crate) struct NewRuns<'a> {
    batch: &'a mut Batch,
    limits: &'a Limits,
    /// The plans that the batch stores; most of many runs share one.
    plans: BTreeSet<ContentHash>,
}

impl<'a> NewRuns<'a> {
    /// Runs that will wait under `limits`.
    pub(crate) fn new(batch: &'a mut Batch, limits: &'a Limits) -> Self {
        Self { batch, limits, plans: BTreeSet::new() }
    }
}

/// A plan that is ready to be stored.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) plan: RunPlan,
    json: String,
    hash: ContentHash,
}

impl Planned {
    /// `plan` with its JSON and the hash of it.
    pub(crate) fn new(plan: RunPlan) -> Result<Self, StoreError> {
        let json = serde_json::to_string(&plan)
            .map_err(|error| StoreError::Unavailable(format!("the plan is no JSON: {error}")))?;
        let hash = RunPlan::hash(&json);
        Ok(Self { plan, json, hash })
    }
}

/// The definitions that the keys of `assets` are of.
pub(crate) fn partitions_of<'a>(
    manifest: &'a Manifest,
    assets: &[AssetKey],
) -> BTreeSet<&'a PartitionsName> {
    assets.iter().filter_map(|key| manifest.assets.get(key)?.partitions.as_ref()).collect()
}

/// The job's labels with the request's over them.
fn merged(
    job: &BTreeMap<String, String>,
    request: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut tags = job.clone();
    tags.extend(request.iter().map(|(key, value)| (key.clone(), value.clone())));
    tags
}

/// Refuses labels that are to be a priority, or a number of retries, and are none.
pub(crate) fn numbers_in(tags: &BTreeMap<String, String>) -> Result<(), ControlError> {
    priority_of(tags).map_err(|text| ControlError::Priority { text: text.to_owned() })?;
    retries_of(tags).map_err(|text| ControlError::Retries { text: text.to_owned() })?;
    Ok(())
}

/// The priority of a run of `plan` with these labels; one that is no number was refused before.
pub(crate) fn priority_in(plan: &RunPlan, tags: &BTreeMap<String, String>) -> i64 {
    priority_of(tags).ok().flatten().unwrap_or(plan.priority)
}
