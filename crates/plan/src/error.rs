//! Why a request cannot be planned, in words for whoever asked.

use std::fmt;

use millstream_model::partitions::PartitionKeyError;
use millstream_model::{
    AssetKey, ErrorCode, IoName, JobName, PartitionKey, PartitionsName, StepKey, TenantId,
    Timestamp, nearest,
};

use crate::selection::SelectionError;

/// Most names that a message lists; more would hide the message.
const NAMES_MAX: usize = 20;

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The tenant is not declared. The text is fixed: scripts look for it.
    #[error("Unknown tenant: {tenant}")]
    TenantUnknown {
        /// What was asked for; it need not have the form of a tenant id.
        tenant: String,
    },
    /// The tenant is declared and switched off.
    #[error("tenant `{tenant}` is disabled; set `enabled: true` where it is declared")]
    TenantDisabled {
        /// The tenant.
        tenant: TenantId,
    },
    /// No job has this name.
    #[error("no job is called `{job}`{}", Choices(.nearest.as_ref(), .known))]
    JobUnknown {
        /// What was asked for.
        job: JobName,
        /// The job that was probably meant.
        nearest: Option<JobName>,
        /// The jobs there are.
        known: Vec<JobName>,
    },
    /// No asset has this key.
    #[error("no asset is called `{asset}`{}", Choices(.nearest.as_ref(), .known))]
    AssetUnknown {
        /// What was asked for.
        asset: AssetKey,
        /// The asset that was probably meant.
        nearest: Option<AssetKey>,
        /// The assets there are.
        known: Vec<AssetKey>,
    },
    /// No partition has this key.
    #[error(
        "there is no partition `{key}` in `{partitions}`{}{}; `millstream partition list \
         {partitions}` lists them",
        Until(.ends.as_ref()), Near(.near)
    )]
    PartitionUnknown {
        /// What was asked for.
        key: PartitionKey,
        /// Where it was looked for.
        partitions: PartitionsName,
        /// Keys that are there and look like it.
        near: Vec<PartitionKey>,
        /// When its window ends, where that is all that is missing.
        ends: Option<Timestamp>,
    },
    /// The key does not have the form of its definition. How the text begins is fixed: scripts
    /// look for it.
    #[error("{problem}; keys of `{partitions}` look like `{form}`")]
    PartitionForm {
        /// What is wrong.
        problem: PartitionKeyError,
        /// The definition.
        partitions: PartitionsName,
        /// How its keys look.
        form: String,
    },
    /// What was asked for is divided and no partition was named.
    #[error(
        "`{asset}` is partitioned by `{partitions}`; name the partition, as `--partition \
         KEY`: `millstream partition list {partitions}` lists them"
    )]
    PartitionNeeded {
        /// The first asset that needs one.
        asset: AssetKey,
        /// Its partitions definition.
        partitions: PartitionsName,
    },
    /// A partition was named and nothing that was asked for is divided.
    #[error("`{what}` is not partitioned; leave the partition `{key}` away")]
    PartitionNotTaken {
        /// The job or the assets.
        what: String,
        /// The key.
        key: PartitionKey,
    },
    /// Two assets of one run are divided differently.
    #[error(
        "`{first}` is partitioned by `{first_by}` and `{second}` by `{second_by}`; one run makes \
         one partition, so select them apart"
    )]
    PartitionsDiffer {
        /// An asset of the selection.
        first: AssetKey,
        /// Its partitions definition.
        first_by: PartitionsName,
        /// Another asset of the selection.
        second: AssetKey,
        /// Its partitions definition.
        second_by: PartitionsName,
    },
    /// An asset reads another that is divided in a way from which no partition follows.
    #[error(
        "`{asset}` ({}) cannot tell which partition of `{upstream}` (partitioned by \
         `{upstream_by}`) it reads; give both the same partitions",
        Division(.by.as_ref())
    )]
    PartitionMapping {
        /// The asset that reads.
        asset: AssetKey,
        /// Its partitions definition, if it has one.
        by: Option<PartitionsName>,
        /// The asset that is read.
        upstream: AssetKey,
        /// The partitions definition of that one.
        upstream_by: PartitionsName,
    },
    /// The partition belongs to another tenant than the run.
    #[error("partition `{key}` belongs to tenant `{owner}`, and this was asked of `{tenant}`")]
    PartitionOfOther {
        /// The key.
        key: PartitionKey,
        /// Whose it is.
        owner: TenantId,
        /// Whose the run would be.
        tenant: TenantId,
    },
    /// The selection's text is not valid.
    #[error(transparent)]
    Selection(#[from] SelectionError),
    /// Nothing that was selected can be made here.
    #[error(
        "`{selection}` selects no asset that has a step; there is nothing to make (`millstream \
         asset report` says of one that it was made elsewhere)"
    )]
    SelectionEmpty {
        /// What was asked for.
        selection: String,
    },
    /// A step depends on one that its job does not have.
    #[error("step `{step}` depends on `{needs}`, which is not a step of this job")]
    DependencyUnknown {
        /// The step.
        step: StepKey,
        /// What it depends on.
        needs: StepKey,
    },
    /// Steps depend on each other in a circle.
    #[error("steps depend on each other in a circle: {}", Names(.steps))]
    Cycle {
        /// The steps that can never start, at least one circle among them.
        steps: Vec<StepKey>,
    },
    /// An asset names a partitions definition that is not declared.
    #[error("`{asset}` is partitioned by `{partitions}`, which is not declared")]
    PartitionsMissing {
        /// The asset.
        asset: AssetKey,
        /// What it names.
        partitions: PartitionsName,
    },
    /// An asset names an IO manager that is not declared.
    #[error("`{asset}` is kept by the IO manager `{io}`, which is not declared")]
    IoMissing {
        /// The asset.
        asset: AssetKey,
        /// What it names.
        io: IoName,
    },
    /// A step's name would not be one.
    #[error("asset `{asset}` cannot name a step: {problem}")]
    StepName {
        /// The asset.
        asset: AssetKey,
        /// What is wrong.
        problem: String,
    },
}

impl PlanError {
    /// The stable code.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::TenantUnknown { .. } => ErrorCode::TenantUnknown,
            Self::TenantDisabled { .. } => ErrorCode::TenantDisabled,
            Self::JobUnknown { .. } => ErrorCode::JobUnknown,
            Self::AssetUnknown { .. } => ErrorCode::AssetUnknown,
            Self::PartitionUnknown { .. } => ErrorCode::PartitionUnknown,
            Self::PartitionForm { .. } | Self::PartitionOfOther { .. } => ErrorCode::PartitionKey,
            Self::PartitionNeeded { .. }
            | Self::PartitionNotTaken { .. }
            | Self::PartitionsDiffer { .. } => ErrorCode::PartitionNeeded,
            Self::PartitionMapping { .. } => ErrorCode::PartitionMapping,
            Self::Selection(error) => error.code(),
            Self::SelectionEmpty { .. } => ErrorCode::SelectionEmpty,
            Self::DependencyUnknown { .. }
            | Self::PartitionsMissing { .. }
            | Self::IoMissing { .. } => ErrorCode::DefinitionReference,
            Self::Cycle { .. } => ErrorCode::DefinitionCycle,
            Self::StepName { .. } => ErrorCode::DefinitionValue,
        }
    }
}

/// The end of a message about a `name` that does not exist, of those that are `known`: which one
/// may be meant, and which there are.
pub fn choices(name: &str, known: &[impl fmt::Display]) -> String {
    let known: Vec<String> = known.iter().map(ToString::to_string).collect();
    let near = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
    Choices(near.as_ref(), &known).to_string()
}

/// The end of a message about a name that does not exist.
struct Choices<'a, T>(Option<&'a T>, &'a [T]);

impl<T: fmt::Display> fmt::Display for Choices<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1) {
            (_, []) => f.write_str("; there are none yet"),
            (None, known) => write!(f, "; there are {}", Names(known)),
            (Some(nearest), known) => {
                write!(f, "; did you mean `{nearest}`? There are {}", Names(known))
            }
        }
    }
}

/// What a message says of a window that has not ended.
struct Until<'a>(Option<&'a Timestamp>);

impl fmt::Display for Until<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(end) => write!(f, " before its window ends, at {end}"),
            None => Ok(()),
        }
    }
}

/// The end of a message about a partition that does not exist.
struct Near<'a>(&'a [PartitionKey]);

impl fmt::Display for Near<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => Ok(()),
            near => write!(f, "; near it are {}", Names(near)),
        }
    }
}

/// How an asset is divided, in words.
struct Division<'a>(Option<&'a PartitionsName>);

impl fmt::Display for Division<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => write!(f, "partitioned by `{name}`"),
            None => f.write_str("not partitioned"),
        }
    }
}

/// The first names of a list and how many more there are.
struct Names<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for Names<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().take(NAMES_MAX).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}`{name}`")?;
        }
        match self.0.len().saturating_sub(NAMES_MAX) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
