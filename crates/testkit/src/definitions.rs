//! Small definitions as values, for tests that are about something else than files.

use std::collections::BTreeMap;

use millstream_control::{FileChange, FileOutcome};
use millstream_model::partitions::DynamicPartitions;
use millstream_model::{
    AssetDef, ContentHash, FileManifest, JobDef, JobShape, NoopStep, OpDef, PartitionsDef,
    StepConfig, StepLimits, TenantDef,
};

/// An op that does nothing, after those that `depends_on` names.
///
/// # Panics
/// When a name is none.
#[expect(clippy::unwrap_used, reason = "only tests call this, with names they know")]
pub fn op(id: &str, depends_on: &[&str]) -> OpDef {
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

/// An enabled job of these ops.
///
/// # Panics
/// When the name is none.
#[expect(clippy::unwrap_used, reason = "only tests call this, with names they know")]
pub fn job(name: &str, ops: Vec<OpDef>) -> JobDef {
    JobDef {
        name: name.parse().unwrap(),
        description: None,
        enabled: true,
        schedule: None,
        shape: JobShape::Ops(ops),
        tags: BTreeMap::new(),
        max_parallel: None,
        run_retries: None,
        timeout: None,
        priority: None,
    }
}

/// An asset that a step makes which does nothing, from those that `deps` names.
///
/// # Panics
/// When a key is none.
#[expect(clippy::unwrap_used, reason = "only tests call this, with keys they know")]
pub fn asset(key: &str, deps: &[&str]) -> AssetDef {
    AssetDef {
        key: key.parse().unwrap(),
        deps: deps.iter().map(|key| key.parse().unwrap()).collect(),
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
        code_version: Some("1".to_owned()),
        output_required: false,
    }
}

/// Dynamic partitions `tenant::name`, whose first part is the tenant they belong to.
///
/// # Panics
/// Never: the names are names.
#[expect(clippy::unwrap_used, reason = "the names are names")]
pub fn partitions_by_tenant() -> PartitionsDef {
    PartitionsDef::Dynamic(DynamicPartitions {
        dimensions: vec!["tenant".parse().unwrap(), "name".parse().unwrap()],
        separator: "::".to_owned(),
        tenant: Some("tenant".parse().unwrap()),
        keys: Vec::new(),
    })
}

/// A file that declares `jobs` alone.
pub fn file_of_jobs(jobs: Vec<JobDef>) -> FileManifest {
    FileManifest { jobs, ..FileManifest::default() }
}

/// `file` with these tenants, all enabled.
///
/// # Panics
/// When an id is none.
#[must_use]
#[expect(clippy::unwrap_used, reason = "only tests call this, with ids they know")]
pub fn with_tenants(file: FileManifest, ids: &[&str]) -> FileManifest {
    let tenants = ids.iter().map(|id| (id.parse().unwrap(), TenantDef::default()));
    FileManifest { tenants: tenants.collect(), ..file }
}

/// What a scan stores when it finds `content` good in the file called `name`.
///
/// # Panics
/// When the content is no JSON, which it always is.
#[expect(clippy::unwrap_used, reason = "a manifest is always JSON")]
pub fn live(name: &str, content: FileManifest) -> FileChange {
    let json = serde_json::to_string(&content).unwrap();
    let version = ContentHash::of(json.as_bytes());
    let outcome = FileOutcome::Live {
        checksum: version.clone(),
        version,
        content: Box::new(content),
        warnings: Vec::new(),
    };
    FileChange { name: name.to_owned(), outcome }
}
