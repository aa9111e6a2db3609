//! What definition files say, once parsed: a [`FileManifest`] for each file, merged into one
//! [`Manifest`] for each location.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    AssetDef, AssetKey, CalendarName, CommandStep, ContentHash, DaySpan, HandlerDef, HandlerTarget,
    IoDef, IoName, JobDef, JobName, JobShape, LocationName, PartitionsDef, PartitionsName, PoolDef,
    PoolName, PythonStep, QueueDef, ResourceDef, ResourceName, ScheduleDef, ScheduleName,
    SensorDef, SensorName, SensorQuestion, StepConfig, TenantDef, TenantId,
};

/// Everything that one definition file declares. Its canonical JSON, hashed, is its version.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FileManifest {
    /// Assets by key.
    pub assets: Vec<AssetDef>,
    /// Partitions definitions by name.
    pub partitions: BTreeMap<PartitionsName, PartitionsDef>,
    /// Jobs.
    pub jobs: Vec<JobDef>,
    /// Resources by name.
    pub resources: BTreeMap<ResourceName, ResourceDef>,
    /// IO managers by name.
    pub io: BTreeMap<IoName, IoDef>,
    /// Handlers in the order of the file.
    pub handlers: Vec<HandlerDef>,
    /// Tenants by id.
    pub tenants: BTreeMap<TenantId, TenantDef>,
    /// Schedules, those that jobs declare for themselves among them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<ScheduleDef>,
    /// Sensors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sensors: Vec<SensorDef>,
    /// Calendars of excluded days by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub calendars: BTreeMap<CalendarName, Vec<DaySpan>>,
    /// Pools by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub pools: BTreeMap<PoolName, PoolDef>,
    /// What limits the queue.
    #[serde(skip_serializing_if = "QueueDef::is_empty")]
    pub queue: QueueDef,
}

/// A step or handler that runs code of the project's, as the loader looks for its sources.
#[derive(Debug)]
pub enum Program<'a> {
    /// A program.
    Command(&'a mut CommandStep),
    /// A function.
    Python(&'a mut PythonStep),
}

impl FileManifest {
    /// Everything in the file that runs code of the project's, with the keys down to it.
    pub fn programs(&mut self) -> Vec<(Vec<String>, Program<'_>)> {
        let mut found = Vec::new();
        for asset in &mut self.assets {
            let path = vec!["asset".to_owned(), asset.key.to_string(), "step".to_owned()];
            found.extend(asset.step.as_mut().and_then(Program::of).map(|it| (path, it)));
        }
        for job in &mut self.jobs {
            let JobShape::Ops(ops) = &mut job.shape else { continue };
            for op in ops {
                let path = vec!["job".to_owned(), job.name.to_string(), op.id.to_string()];
                found.extend(Program::of(&mut op.step).map(|it| (path, it)));
            }
        }
        for sensor in &mut self.sensors {
            let path = vec!["sensor".to_owned(), sensor.name.to_string()];
            let step = match &mut sensor.question {
                SensorQuestion::Own { step } | SensorQuestion::Rows { step, .. } => &mut **step,
                _ => continue,
            };
            found.extend(Program::of(step).map(|it| (path, it)));
        }
        for handler in &mut self.handlers {
            let path = vec!["handler".to_owned(), handler.pattern.clone()];
            found.extend(Program::handling(&mut handler.target).map(|it| (path, it)));
        }
        found
    }
}

impl<'a> Program<'a> {
    /// The version of its sources, where the loader has found one.
    pub fn code(&self) -> Option<&ContentHash> {
        match self {
            Self::Command(step) => step.sources.code.as_ref(),
            Self::Python(step) => step.sources.code.as_ref(),
        }
    }

    pub(crate) fn handling(target: &'a mut HandlerTarget) -> Option<Self> {
        match target {
            HandlerTarget::Command(step) => Some(Self::Command(step)),
            HandlerTarget::Python(step) => Some(Self::Python(step)),
            HandlerTarget::Builtin(_) => None,
        }
    }

    pub(crate) fn of(step: &'a mut StepConfig) -> Option<Self> {
        match step {
            StepConfig::Command(step) => Some(Self::Command(step)),
            StepConfig::Python(step) => Some(Self::Python(step)),
            StepConfig::Local(_)
            | StepConfig::Sql(_)
            | StepConfig::Http(_)
            | StepConfig::Load(_)
            | StepConfig::Lambda(_)
            | StepConfig::Noop(_) => None,
        }
    }
}

/// A file of a location with the version of it that is live.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileVersion {
    /// The path below the root, with `/` between parts.
    pub name: String,
    /// The hash of its [`FileManifest`].
    pub hash: ContentHash,
}

/// Whether the file at `path` is a library: its name begins with `_`. It declares what other files
/// use, counts before them, and is no job.
pub fn is_library(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| name.starts_with('_'))
}

/// Everything that a code location declares: the merge of its files.
///
/// **Invariant.** Names are unique: the loader refuses the later file that takes a name again.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The code location.
    pub location: LocationName,
    /// The files it was merged from, sorted by name.
    pub files: Vec<FileVersion>,
    /// Assets by key.
    pub assets: BTreeMap<AssetKey, AssetDef>,
    /// Partitions definitions by name.
    pub partitions: BTreeMap<PartitionsName, PartitionsDef>,
    /// Jobs by name.
    pub jobs: BTreeMap<JobName, JobDef>,
    /// Resources by name.
    pub resources: BTreeMap<ResourceName, ResourceDef>,
    /// IO managers by name.
    pub io: BTreeMap<IoName, IoDef>,
    /// Handlers: those of libraries first, then by the files' names, then by the lines.
    pub handlers: Vec<HandlerDef>,
    /// Tenants by id; a location that declares none has `default`.
    pub tenants: BTreeMap<TenantId, TenantDef>,
    /// Schedules by name.
    pub schedules: BTreeMap<ScheduleName, ScheduleDef>,
    /// Sensors by name.
    pub sensors: BTreeMap<SensorName, SensorDef>,
    /// Calendars of excluded days by name.
    pub calendars: BTreeMap<CalendarName, Vec<DaySpan>>,
    /// Pools by name.
    pub pools: BTreeMap<PoolName, PoolDef>,
    /// What limits the queue: all files' limits together.
    pub queue: QueueDef,
}

impl Manifest {
    /// Merges `files`, which must be sorted by name, libraries first; of a name declared twice the
    /// first stays.
    pub fn merge<'a>(
        location: LocationName,
        files: impl IntoIterator<Item = (FileVersion, &'a FileManifest)>,
    ) -> Self {
        let mut all = Self {
            location,
            files: Vec::new(),
            assets: BTreeMap::new(),
            partitions: BTreeMap::new(),
            jobs: BTreeMap::new(),
            resources: BTreeMap::new(),
            io: BTreeMap::new(),
            handlers: Vec::new(),
            tenants: BTreeMap::new(),
            schedules: BTreeMap::new(),
            sensors: BTreeMap::new(),
            calendars: BTreeMap::new(),
            pools: BTreeMap::new(),
            queue: QueueDef::default(),
        };
        let mut files: Vec<(FileVersion, &FileManifest)> = files.into_iter().collect();
        all.files = files.iter().map(|(version, _)| version.clone()).collect();
        files.sort_by_key(|(version, _)| !is_library(&version.name));
        for (_, file) in files {
            for asset in &file.assets {
                all.assets.entry(asset.key.clone()).or_insert_with(|| asset.clone());
            }
            for job in &file.jobs {
                all.jobs.entry(job.name.clone()).or_insert_with(|| job.clone());
            }
            keep_first(&mut all.partitions, &file.partitions);
            keep_first(&mut all.resources, &file.resources);
            keep_first(&mut all.io, &file.io);
            keep_first(&mut all.tenants, &file.tenants);
            keep_first(&mut all.calendars, &file.calendars);
            for schedule in &file.schedules {
                all.schedules.entry(schedule.name.clone()).or_insert_with(|| schedule.clone());
            }
            for sensor in &file.sensors {
                all.sensors.entry(sensor.name.clone()).or_insert_with(|| sensor.clone());
            }
            keep_first(&mut all.pools, &file.pools);
            all.queue.add(&file.queue);
            all.handlers.extend(file.handlers.iter().cloned());
        }
        if all.tenants.is_empty() {
            all.tenants.insert(TenantId::default_tenant(), TenantDef::default());
        }
        all
    }

    /// The handler that `module` means, if the table has one.
    pub fn handler(&self, module: &str) -> Option<&HandlerDef> {
        self.handlers.iter().find(|handler| handler.matches(module))
    }

    /// How many there are of each kind of thing, by the name of its section. Of the queue
    /// its limits are counted.
    pub fn counts(&self) -> Vec<(&'static str, usize)> {
        let limits = usize::from(self.queue.max_concurrent_runs.is_some());
        vec![
            ("assets", self.assets.len()),
            ("jobs", self.jobs.len()),
            ("partitions", self.partitions.len()),
            ("resources", self.resources.len()),
            ("io", self.io.len()),
            ("handlers", self.handlers.len()),
            ("tenants", self.tenants.len()),
            ("schedules", self.schedules.len()),
            ("sensors", self.sensors.len()),
            ("calendars", self.calendars.len()),
            ("pools", self.pools.len()),
            ("queue", limits + self.queue.tag_limits.len() + self.queue.rate_limits.len()),
        ]
    }

    /// The tenants that take part.
    pub fn enabled_tenants(&self) -> impl Iterator<Item = (&TenantId, &TenantDef)> {
        self.tenants.iter().filter(|(_, tenant)| tenant.enabled)
    }
}

fn keep_first<K: Ord + Clone, V: Clone>(all: &mut BTreeMap<K, V>, more: &BTreeMap<K, V>) {
    for (key, value) in more {
        all.entry(key.clone()).or_insert_with(|| value.clone());
    }
}
