//! Plans, selections and the progress of runs, from manifests made by hand.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops where its own input is wrong"
)]

mod changes;
mod plans;
mod progress;
mod selections;

use std::collections::BTreeMap;

use millstream_model::{
    AssetDef, FileManifest, JobDef, JobShape, Manifest, NoopStep, OpDef, RetryPolicy, RunPlan,
    StepConfig, StepLimits, StepPlan, TenantDef, TenantId,
};

fn tenant() -> TenantId {
    TenantId::default_tenant()
}

fn manifest(file: &FileManifest) -> Manifest {
    let version = millstream_model::FileVersion {
        name: "all.yaml".to_owned(),
        hash: millstream_model::ContentHash::of(b"all"),
    };
    Manifest::merge("main".parse().unwrap(), [(version, file)])
}

/// An asset that `deps` stand above, made by a step that does nothing.
fn asset(key: &str, deps: &[&str]) -> AssetDef {
    AssetDef {
        key: key.parse().unwrap(),
        deps: deps.iter().map(|dep| dep.parse().unwrap()).collect(),
        description: None,
        group: "default".to_owned(),
        kinds: Vec::new(),
        owners: Vec::new(),
        tags: BTreeMap::new(),
        metadata: BTreeMap::new(),
        partitions: None,
        io: None,
        step: Some(StepConfig::Noop(NoopStep {})),
        timeout: None,
        retry: None,
        limits: StepLimits::NONE,
        pool: None,
        code_version: None,
        output_required: true,
    }
}

fn op(id: &str, depends_on: &[&str]) -> OpDef {
    OpDef {
        id: id.parse().unwrap(),
        depends_on: depends_on.iter().map(|id| id.parse().unwrap()).collect(),
        step: StepConfig::Noop(NoopStep {}),
        timeout: None,
        retry: None,
        limits: StepLimits::NONE,
        pool: None,
    }
}

fn job(name: &str, shape: JobShape) -> JobDef {
    JobDef {
        name: name.parse().unwrap(),
        description: None,
        enabled: true,
        schedule: None,
        shape,
        tags: BTreeMap::new(),
        max_parallel: None,
        run_retries: None,
        timeout: None,
        priority: None,
    }
}

/// A plan of steps that do nothing, each with what it depends on.
fn plan_of(steps: &[(&str, &[&str])], retry: &RetryPolicy) -> RunPlan {
    RunPlan {
        tenant: tenant(),
        tenant_def: TenantDef::default(),
        location: "main".parse().unwrap(),
        job: None,
        partition: None,
        dimensions: BTreeMap::new(),
        steps: steps
            .iter()
            .map(|(key, depends_on)| StepPlan {
                key: key.parse().unwrap(),
                depends_on: depends_on.iter().map(|key| key.parse().unwrap()).collect(),
                step: StepConfig::Noop(NoopStep {}),
                handler: None,
                timeout: None,
                retry: retry.clone(),
                limits: StepLimits::NONE,
                pool: None,
                asset: None,
            })
            .collect(),
        resources: BTreeMap::new(),
        max_parallel: None,
        tags: BTreeMap::new(),
        retries: None,
        timeout: None,
        priority: 0,
    }
}
