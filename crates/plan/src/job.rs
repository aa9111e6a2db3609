//! From a job and its handlers to a frozen plan: ops in a stable order, or the assets it selects.

use std::collections::BTreeMap;

use millstream_model::{
    HandlerDef, HumanDuration, IoDef, JobDef, JobName, JobShape, Manifest, OpDef, ResourceDef,
    ResourceName, RetryPolicy, RunPlan, StepConfig, StepKey, StepLimits, StepPlan, TenantId,
    nearest,
};

use crate::assets::plan_selection;
use crate::partition::enabled_tenant;
use crate::{PartitionChoice, PlanError, order};

/// Plans a run of `job` for `tenant`, of one partition when its assets are partitioned.
///
/// A `local` step without a handler is planned all the same; it fails when it starts, because a
/// handler missing from one step must not keep the others from running.
pub fn plan_job(
    manifest: &Manifest,
    tenant: &TenantId,
    job: &JobName,
    partition: Option<&PartitionChoice>,
) -> Result<RunPlan, PlanError> {
    let def = manifest.jobs.get(job).ok_or_else(|| job_unknown(manifest, job))?;
    match &def.shape {
        JobShape::Ops(ops) => match partition {
            Some(choice) => {
                Err(PlanError::PartitionNotTaken { what: job.to_string(), key: choice.key.clone() })
            }
            None => plan_ops(manifest, tenant, def, ops),
        },
        JobShape::Select(selection) => {
            let mut plan = plan_selection(manifest, tenant, selection, partition)?;
            plan.job = Some(job.clone());
            plan.max_parallel = def.max_parallel;
            plan.tags.clone_from(&def.tags);
            plan.retries = def.run_retries;
            plan.timeout = def.timeout;
            plan.priority = def.priority.unwrap_or(0);
            Ok(plan)
        }
    }
}

/// Plans a question: one step that is no run's, with the resources that it names.
pub fn plan_question(
    manifest: &Manifest,
    tenant: &TenantId,
    (step, timeout): (StepConfig, HumanDuration),
) -> Result<RunPlan, PlanError> {
    let tenant_def = enabled_tenant(manifest, tenant)?.clone();
    let op = OpDef {
        id: question_key(),
        depends_on: Vec::new(),
        step,
        timeout: Some(timeout),
        retry: None,
        limits: StepLimits::default(),
        pool: None,
    };
    let steps = vec![plan_op(manifest, &op)];
    Ok(RunPlan {
        tenant: tenant.clone(),
        tenant_def,
        location: manifest.location.clone(),
        job: None,
        partition: None,
        dimensions: BTreeMap::new(),
        resources: resources_of(manifest, &steps),
        steps,
        max_parallel: None,
        tags: BTreeMap::new(),
        priority: 0,
        retries: None,
        timeout: None,
    })
}

/// What the one step of a question is called.
fn question_key() -> StepKey {
    QUESTION.parse().unwrap_or_else(|_| unreachable!("the constant is a name"))
}

/// What the one step of a question is called.
const QUESTION: &str = "question";

fn job_unknown(manifest: &Manifest, job: &JobName) -> PlanError {
    let likely = nearest(job.as_str(), manifest.jobs.keys().map(JobName::as_str));
    PlanError::JobUnknown {
        job: job.clone(),
        nearest: likely.and_then(|name| name.parse().ok()),
        known: manifest.jobs.keys().cloned().collect(),
    }
}

fn plan_ops(
    manifest: &Manifest,
    tenant: &TenantId,
    job: &JobDef,
    ops: &[OpDef],
) -> Result<RunPlan, PlanError> {
    let tenant_def = enabled_tenant(manifest, tenant)?.clone();
    let steps = order::topological(ops.iter().map(|op| plan_op(manifest, op)).collect())?;
    Ok(RunPlan {
        tenant: tenant.clone(),
        tenant_def,
        location: manifest.location.clone(),
        job: Some(job.name.clone()),
        partition: None,
        dimensions: BTreeMap::new(),
        resources: resources_of(manifest, &steps),
        steps,
        max_parallel: job.max_parallel,
        tags: job.tags.clone(),
        retries: job.run_retries,
        timeout: job.timeout,
        priority: job.priority.unwrap_or(0),
    })
}

fn plan_op(manifest: &Manifest, op: &OpDef) -> StepPlan {
    let mut depends_on = Vec::with_capacity(op.depends_on.len());
    for needs in &op.depends_on {
        if !depends_on.contains(needs) {
            depends_on.push(needs.clone());
        }
    }
    StepPlan {
        key: op.id.clone(),
        depends_on,
        step: op.step.clone(),
        handler: handler_of(manifest, &op.step),
        timeout: op.timeout,
        retry: op.retry.clone().unwrap_or(RetryPolicy::NEVER),
        limits: op.limits,
        pool: op.pool.clone(),
        asset: None,
    }
}

/// The handler that a `local` step means; other kinds have none.
pub(crate) fn handler_of(manifest: &Manifest, step: &StepConfig) -> Option<HandlerDef> {
    match step {
        StepConfig::Local(local) => manifest.handler(&local.module).cloned(),
        _ => None,
    }
}

/// The resources that `steps` name. One that is not declared is left out; its step fails when it
/// starts, with the name of what is missing.
pub(crate) fn resources_of(
    manifest: &Manifest,
    steps: &[StepPlan],
) -> BTreeMap<ResourceName, ResourceDef> {
    steps
        .iter()
        .flat_map(|step| {
            let asset = step.asset.iter();
            let kept = asset.clone().filter_map(|asset| asset.io.as_ref());
            let read = asset.flat_map(|asset| &asset.inputs).filter_map(|it| it.source.io());
            step.step.resource().into_iter().chain(kept.chain(read).filter_map(IoDef::resource))
        })
        .filter_map(|name| manifest.resources.get_key_value(name))
        .map(|(name, def)| (name.clone(), def.clone()))
        .collect()
}
