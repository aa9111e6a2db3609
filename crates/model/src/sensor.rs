//! Sensors: questions that are asked again and again, and that may request runs.
//!
//! `definition` reads them, a daemon asks, `decide::sensor` says what an answer comes to, `control`
//! stores it. A sensor belongs to a code location and ticks once for each tenant that takes part.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    HumanDuration, JobName, PartitionKey, PartitionsName, RunStatus, ScheduleTarget, SensorName,
    StepConfig, Switch, TenantId, Webhook,
};

/// The least time between two ticks that a sensor may say.
pub const SENSOR_EVERY_MIN: HumanDuration = HumanDuration(Duration::from_secs(1));

/// The least time between two ticks where a sensor does not say.
pub const SENSOR_EVERY: HumanDuration = HumanDuration(Duration::from_secs(30));

/// How long an answer may take where a sensor does not say.
pub const SENSOR_TIMEOUT: HumanDuration = HumanDuration(Duration::from_mins(1));

/// The longest cursor in bytes.
pub const CURSOR_MAX: usize = 1 << 20;

/// The most runs that one tick requests, and the most partitions that it adds or removes.
pub const REQUESTS_MAX: usize = 10_000;

/// A sensor of a code location.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SensorDef {
    /// Its name.
    pub name: SensorName,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// What it asks.
    pub question: SensorQuestion,
    /// The least time between two ticks.
    pub every: HumanDuration,
    /// How long an answer may take.
    pub timeout: HumanDuration,
    /// The condition under which something that was found requests a run, as a template.
    #[serde(default)]
    pub when: Option<String>,
    /// What is requested for each thing that was found, or for a request that does not say.
    #[serde(default)]
    pub request: RequestTemplate,
    /// Whether it ticks unless somebody starts or stops it by hand.
    pub enabled: Switch,
    /// The tenants in which it ticks; all that take part when empty.
    #[serde(default)]
    pub tenants: Vec<TenantId>,
    /// The name it had before, whose cursor, history and switch it takes over.
    #[serde(default)]
    pub renamed_from: Option<SensorName>,
}

/// What a sensor asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SensorQuestion {
    /// A program or a function: it says itself what is requested.
    Own {
        /// What runs.
        step: Box<StepConfig>,
    },
    /// A statement on a database or a request to a service: each row that is new requests a run.
    Rows {
        /// What is asked.
        step: Box<StepConfig>,
        /// The cursor after a row, as a template over `item`.
        #[serde(default)]
        cursor: Option<String>,
    },
    /// Files below a folder: each that is new or changed requests a run.
    Files(FileQuestion),
    /// Materializations of assets: each requests a run.
    Asset {
        /// The assets, as a selection.
        select: String,
    },
    /// Runs that have ended: each requests a run.
    RunStatus {
        /// The job whose runs count; every run of the tenant's when absent.
        job: Option<JobName>,
        /// The ends that count.
        on: Vec<RunStatus>,
    },
    /// What is posted to an address of the sensor's own: each delivery requests a run.
    Webhook(Webhook),
    /// The keys that dynamic partitions should have.
    PartitionSync(Box<PartitionSync>),
}

/// Files below a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileQuestion {
    /// The folder, relative to the project's folder; or a prefix of S3, as `s3://bucket/prefix`.
    pub path: String,
    /// What a file's path below the folder must match: `*` within a name, `**` across folders.
    #[serde(default)]
    pub pattern: Option<String>,
    /// How long a file must have been left alone.
    pub settle: HumanDuration,
    /// Whether what is there at the first tick counts as new.
    pub existing: bool,
}

impl FileQuestion {
    /// What a path begins with that is a prefix of S3.
    pub const S3: &'static str = "s3://";
}

/// The keys that dynamic partitions should have, and what keeps them from being wiped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartitionSync {
    /// The partitions definition.
    pub partitions: PartitionsName,
    /// What gives the rows.
    pub source: StepConfig,
    /// The keys of one row, as a template over `item`: one a line.
    #[serde(default)]
    pub keys: Option<String>,
    /// Whether keys that the source does not name are removed.
    pub remove_missing: bool,
    /// The largest part of the keys that one tick removes, in percent.
    pub max_removed: u32,
}

/// What is requested for a thing that was found; texts are templates.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestTemplate {
    /// What runs.
    pub target: Option<ScheduleTarget>,
    /// What makes two requests the same; what was found says so itself when absent.
    pub run_key: Option<String>,
    /// The partition; that of what was found when absent.
    pub partition: Option<String>,
    /// Labels of the run beside the job's.
    pub tags: BTreeMap<String, String>,
    /// The labels of the run that was found which its own run gets too.
    pub pass_tags: Vec<String>,
    /// The trigger context of the run.
    pub context: serde_json::Map<String, serde_json::Value>,
}

/// What a sensor's own code says: one JSON object.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SensorAnswer {
    /// What it wants to be given the next time; what it was given when absent.
    pub cursor: Option<String>,
    /// Why it requests nothing.
    pub skip: Option<String>,
    /// The runs that it requests.
    pub requests: Vec<SensorRequest>,
    /// The keys that it adds to and removes from dynamic partitions, before the runs.
    pub partitions: BTreeMap<PartitionsName, PartitionsChange>,
}

/// A run that a sensor requests.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SensorRequest {
    /// The job; what the definition's `request` names when both are absent.
    pub job: Option<JobName>,
    /// The assets, as a selection.
    pub select: Option<String>,
    /// What makes two requests the same; without it each is another.
    pub run_key: Option<String>,
    /// The partition.
    pub partition: Option<PartitionKey>,
    /// Labels of the run beside the job's.
    pub tags: BTreeMap<String, String>,
    /// The trigger context of the run.
    pub context: serde_json::Map<String, serde_json::Value>,
}

/// Keys that are added to and removed from dynamic partitions.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PartitionsChange {
    /// The keys that shall be there.
    pub add: Vec<PartitionKey>,
    /// The keys that shall not.
    pub remove: Vec<PartitionKey>,
}

impl SensorQuestion {
    /// What a database or a service is asked, for people.
    pub fn query(&self) -> Option<String> {
        let step = match self {
            Self::Rows { step, .. } => step,
            Self::PartitionSync(sync) => &sync.source,
            _ => return None,
        };
        match step {
            StepConfig::Sql(sql) => {
                Some(format!("{}: {}", sql.resource, sql.statements.join("; ")))
            }
            StepConfig::Http(http) => {
                let request = &http.request;
                Some(format!("{}: {} {}", http.resource, request.method.as_str(), request.path))
            }
            _ => None,
        }
    }

    /// Which keys of partitions it may remove, for people.
    pub fn guard(&self) -> Option<String> {
        let Self::PartitionSync(sync) = self else { return None };
        Some(if sync.remove_missing {
            format!("a tick removes at most {}% of the keys", sync.max_removed)
        } else {
            "no key is removed".to_owned()
        })
    }

    /// Whether what it finds, or its answer, can name a partition without its request's help.
    pub fn names_partitions(&self) -> bool {
        match self {
            Self::Own { .. } | Self::Asset { .. } | Self::RunStatus { .. } => true,
            // It requests nothing.
            Self::PartitionSync(_) => true,
            Self::Rows { .. } | Self::Files(_) | Self::Webhook(_) => false,
        }
    }

    /// Whether it remembers something between two ticks.
    pub fn keeps_cursor(&self) -> bool {
        match self {
            Self::Own { .. } | Self::Rows { .. } | Self::Files(_) => true,
            Self::Asset { .. } | Self::RunStatus { .. } => true,
            Self::Webhook(_) | Self::PartitionSync(_) => false,
        }
    }

    /// The word for it in definition files.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Own { step } | Self::Rows { step, .. } => step.kind(),
            Self::Files(_) => "files",
            Self::Asset { .. } => "asset",
            Self::RunStatus { .. } => "run_status",
            Self::Webhook(_) => "webhook",
            Self::PartitionSync(_) => "partition_sync",
        }
    }

    /// Whether the store alone has the answer: events of the log, or deliveries.
    pub fn reads_store(&self) -> bool {
        matches!(self, Self::Asset { .. } | Self::RunStatus { .. } | Self::Webhook(_))
    }
}

impl fmt::Display for SensorQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own { step } => write!(f, "{}", step.kind()),
            Self::Rows { step, .. } => write!(f, "rows of {}", step.kind()),
            Self::Files(files) => {
                let pattern = files.pattern.as_deref().unwrap_or("**");
                write!(f, "files {}/{pattern}", files.path)
            }
            Self::Asset { select } => write!(f, "materializations of {select}"),
            Self::RunStatus { job, on } => {
                let on: Vec<String> = on.iter().map(ToString::to_string).collect();
                match job {
                    Some(job) => write!(f, "{} of {job}", on.join(" or ")),
                    None => write!(f, "{} of any run", on.join(" or ")),
                }
            }
            Self::Webhook(_) => write!(f, "what is posted to it"),
            Self::PartitionSync(sync) => write!(f, "keys of {}", sync.partitions),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_with_an_unknown_key_is_refused_and_an_empty_one_is_an_answer() {
        assert_eq!(serde_json::from_str::<SensorAnswer>("{}").unwrap(), SensorAnswer::default());
        let wrong = serde_json::from_str::<SensorAnswer>(r#"{"run_requests": []}"#).unwrap_err();
        assert!(wrong.to_string().contains("unknown field `run_requests`"), "{wrong}");
    }

    #[test]
    fn a_question_reads_back_from_its_json() {
        let on = vec![RunStatus::Success, RunStatus::Failure];
        let question = SensorQuestion::RunStatus { job: None, on };
        assert_eq!(question.to_string(), "SUCCESS or FAILURE of any run");
        let json = serde_json::to_string(&question).unwrap();
        assert_eq!(serde_json::from_str::<SensorQuestion>(&json).unwrap(), question);
    }
}
