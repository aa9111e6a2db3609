//! What readers see: rows of the projections, as pages, the API and the command line show them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    AssetKey, Cause, CheckSeverity, ContentHash, Diagnostic, EventPosition, HoldReason, JobName,
    LimitScope, LocationName, MetadataValue, PartitionKey, PartitionsName, PoolName, RunId,
    RunStatus, ScheduleName, StepError, StepKey, StepStatus, TenantDef, TenantId, Timestamp,
};

pub use ticking::{
    ScheduleRow, SensorLag, SensorRow, SensorStand, SensorTest, SwitchWord, TickRequest, TickTest,
    TicksPassed, TicksWaiting,
};

mod ticking;

/// A run in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRow {
    /// The tenant.
    pub tenant: TenantId,
    /// The run.
    pub run_id: RunId,
    /// The job, or `None` for assets materialized by hand.
    pub job: Option<JobName>,
    /// The job's name or the assets' keys, for people.
    pub title: String,
    /// Its status.
    pub status: RunStatus,
    /// Why it exists.
    pub cause: Cause,
    /// Its partition.
    pub partition: Option<PartitionKey>,
    /// Its labels.
    pub tags: BTreeMap<String, String>,
    /// When it was queued.
    pub queued_at: Timestamp,
    /// When its worker first reported.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How many steps it has.
    pub steps_total: u32,
    /// How many of them are over, whatever their outcome.
    pub steps_over: u32,
    /// Why it waits, while it is queued.
    pub hold: Option<HoldReason>,
    /// What keeps it back while it goes on, where that is known: a step that waits for a pool or
    /// for its next attempt, that its worker is silent, or that no daemon lives.
    #[serde(default)]
    pub waits: Option<String>,
    /// Why it failed, when it did.
    pub failure: Option<String>,
    /// The launches so far; the epoch of the newest.
    pub epoch: i64,
    /// Whether a cancel was asked for.
    pub cancel_requested: bool,
    /// The run that tries it again, if one does.
    #[serde(default)]
    pub retried_as: Option<RunId>,
}

/// A step of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRow {
    /// The step.
    pub step: StepKey,
    /// The kind of what it runs.
    pub kind: String,
    /// The steps before it.
    pub depends_on: Vec<StepKey>,
    /// Its status.
    pub status: StepStatus,
    /// The last attempt that started; 0 when none did.
    pub attempt: u32,
    /// The attempts that its policy allows.
    pub attempts: u32,
    /// When its first attempt started.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// When the next attempt is due, while it waits for one.
    pub retry_at: Option<Timestamp>,
    /// Why the last attempt failed.
    pub error: Option<StepError>,
    /// Why it was skipped, or what it is blocked by.
    pub reason: Option<String>,
    /// What it returned; null when nothing or when large.
    pub result: serde_json::Value,
    /// Where a large result is.
    pub result_ref: Option<String>,
}

/// How the reason of a step begins that an earlier run has done; the short form of its id follows.
pub const DONE_IN: &str = "done in run ";

impl StepRow {
    /// The earlier run, in the short form of its id, which did what this one keeps; its times are
    /// none of this run's.
    pub fn done_in(&self) -> Option<&str> {
        let is_done = matches!(self.status, StepStatus::Success | StepStatus::Skipped);
        let run = self.reason.as_deref()?.strip_prefix(DONE_IN)?.split(':').next()?;
        let is_short = run.len() == 8 && run.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_done && is_short).then_some(run)
    }
}

/// One materialization of an asset or of one partition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MaterializationRow {
    /// The asset.
    pub asset: AssetKey,
    /// The partition, when it has any.
    pub partition: Option<PartitionKey>,
    /// Who made it.
    #[serde(flatten)]
    pub made_by: MadeBy,
    /// When.
    pub at: Timestamp,
    /// What was said about it.
    pub metadata: BTreeMap<String, MetadataValue>,
    /// The version of the data.
    pub data_version: Option<String>,
    /// The version of the code.
    pub code_version: String,
}

impl AssetRow {
    /// Whether it was made; with partitions, one whose key there is.
    pub fn is_made(&self) -> bool {
        let is_touched = |(state, count): (&PartitionState, &u64)| {
            *state != PartitionState::Missing && *count > 0
        };
        let has_one = self.gone_partitions == 0 || self.counts.iter().any(is_touched);
        self.latest.is_some() && has_one
    }
}

impl MaterializationRow {
    /// The version of the code that made it, where whoever made it has named one.
    pub fn known_code(&self) -> Option<&str> {
        let version = self.code_version.as_str();
        (!version.is_empty() && version != CODE_ELSEWHERE).then_some(version)
    }
}

/// The version of the code that made an asset elsewhere, where nobody has named it.
pub const CODE_ELSEWHERE: &str = "external";

/// Who made an asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum MadeBy {
    /// A step of a run.
    Run {
        /// The run.
        run_id: RunId,
        /// The step.
        step: StepKey,
    },
    /// Somebody elsewhere, who reported it.
    Report {
        /// The report.
        report_id: RunId,
        /// Who sent it.
        reported_by: String,
    },
}

impl MadeBy {
    /// The run, if one made it.
    pub fn run(&self) -> Option<RunId> {
        match self {
            Self::Run { run_id, .. } => Some(*run_id),
            Self::Report { .. } => None,
        }
    }
}

/// One partition of an asset as its page shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartitionRow {
    /// The key.
    pub partition: PartitionKey,
    /// What is known of it.
    pub state: PartitionState,
    /// The run that decided the state, if any did.
    pub run_id: Option<RunId>,
    /// When that was.
    pub at: Option<Timestamp>,
}

/// What is known of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionState {
    /// Its newest attempt failed.
    Failed,
    /// A run is making it.
    Running,
    /// It was never made.
    Missing,
    /// It was made.
    Materialized,
}

/// An asset in a list: its definition's facts and its newest materialization.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AssetRow {
    /// The tenant.
    pub tenant: TenantId,
    /// The key.
    pub asset: AssetKey,
    /// The group.
    pub group: String,
    /// What it is.
    pub description: Option<String>,
    /// What it is made with or of.
    pub kinds: Vec<String>,
    /// Who answers for it.
    pub owners: Vec<String>,
    /// What it is made from.
    pub deps: Vec<AssetKey>,
    /// How it is divided.
    pub partitions: Option<PartitionsName>,
    /// The newest materialization.
    pub latest: Option<MaterializationRow>,
    /// How many partitions are in each state, of those whose keys there are now; empty for an asset
    /// that is one whole.
    pub counts: BTreeMap<PartitionState, u64>,
    /// How many partitions were made whose keys are no more, since their definition was changed or
    /// the key removed.
    #[serde(default)]
    pub gone_partitions: u64,
    /// Whether something says that it is stale; absent where a list has not looked: of a made asset
    /// with partitions it looks at the code alone, and something above it was made.
    #[serde(default)]
    pub is_stale: Option<bool>,
    /// The nearest asset above it that is stale, where it was made and is not stale itself: it
    /// becomes so once what it is made from is made again.
    #[serde(default)]
    pub stale_upstream: Option<AssetKey>,
    /// The checks of it that did not pass in the run that made it last.
    #[serde(default)]
    pub failed_checks: Vec<FailedCheck>,
    /// Its last try, where that failed; of an asset with partitions `counts` says it.
    #[serde(default)]
    pub failed_try: Option<FailedTry>,
}

/// A try to make an asset that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedTry {
    /// The run.
    pub run_id: RunId,
    /// When it failed.
    pub at: Timestamp,
}

/// A check of an asset that did not pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedCheck {
    /// Its name.
    pub check: String,
    /// How bad it is.
    pub severity: CheckSeverity,
    /// The partition, when it is about one.
    pub partition: Option<PartitionKey>,
    /// When it was made.
    pub at: Timestamp,
    /// The run that made it.
    pub run_id: RunId,
    /// What it says of itself, when that is short.
    pub description: Option<String>,
}

/// A job in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobRow {
    /// The code location.
    pub location: LocationName,
    /// The name.
    pub name: JobName,
    /// What it is for.
    pub description: Option<String>,
    /// Whether it may run: the file's word, unless somebody overrode it.
    pub enabled: bool,
    /// What somebody says against the file, by whom and since when.
    pub enabled_override: Option<SwitchWord>,
    /// The cron expression of its own schedule, or of the one of its schedules that is due first.
    pub schedule: Option<String>,
    /// When the first of its schedules is due.
    pub next_at: Option<Timestamp>,
    /// That time, where it has passed and no daemon has let the schedule tick.
    #[serde(default)]
    pub late_since: Option<Timestamp>,
    /// How many steps it has; 0 for a selection of assets.
    pub steps: u32,
    /// The file it stands in.
    pub file: String,
    /// Its version, which is its file's.
    pub version: ContentHash,
}

/// A definition file as the loader sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileRow {
    /// The code location.
    pub location: LocationName,
    /// The path below the root.
    pub name: String,
    /// What is live of it.
    pub state: FileState,
    /// The version that is live, if any is.
    pub version: Option<ContentHash>,
    /// That version's number, counted from 1.
    #[serde(default)]
    pub number: Option<u32>,
    /// Who keeps that version live against what the file holds, if somebody does.
    #[serde(default)]
    pub pin: Option<Pin>,
    /// When that version went live.
    pub loaded_at: Option<Timestamp>,
    /// What is wrong with the content that was last seen.
    pub diagnostics: Vec<Diagnostic>,
}

/// A version of a file that stays live until the file's content changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The version's number.
    pub number: u32,
    /// Who rolled back to it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// A version of a definition file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRow {
    /// Its number, counted from 1.
    pub number: u32,
    /// The hash of what it declares.
    pub hash: ContentHash,
    /// When it was loaded.
    pub loaded_at: Timestamp,
}

/// What is live of a definition file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileState {
    /// Its newest content.
    Live,
    /// An older version: the newest content has errors.
    LastGood,
    /// Nothing: no content of it was ever good.
    Broken,
    /// Its last version, though the file cannot be seen now; see `definitions scan`.
    Stale,
    /// Nothing any more: the file was deleted.
    Deleted,
}

impl FileState {
    /// Whether the file's newest content has errors, so that what is new in it is not live.
    pub fn is_broken(self) -> bool {
        matches!(self, Self::LastGood | Self::Broken)
    }
}

/// A tenant in a list; secrets in URLs are masked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TenantRow {
    /// The id.
    pub id: TenantId,
    /// What definitions say of it.
    #[serde(flatten)]
    pub tenant: TenantDef,
    /// Whether a definition file declares it; one that none does any more has history alone.
    pub declared: bool,
    /// The schedules that would tick at its `schedule`, where it has none.
    #[serde(default)]
    pub unscheduled: Vec<ScheduleName>,
}

impl TenantRow {
    /// Why nothing new is started for it, and what goes on, in words; `None` of one that takes
    /// part. `queued` is how many of its runs wait.
    pub fn idle_words(&self, queued: u32) -> Option<String> {
        let id = &self.id;
        let why = match (self.declared, self.tenant.enabled) {
            (false, _) => format!("No file declares tenant {id} any more"),
            (true, false) => format!("Tenant {id} is off"),
            (true, true) => return None,
        };
        Some(format!("{why}: nothing new is started for it, and {}", goes_on_words(queued)))
    }
}

/// That what was asked for before a tenant or a job was switched off goes on, with how many runs of
/// it are queued and the way to end them.
pub fn goes_on_words(queued: u32) -> String {
    let what = "what was asked for before goes on, with its retries";
    match queued {
        0 => what.to_owned(),
        1 => format!("{what} (1 run is queued): `millstream run cancel RUN` ends it"),
        more => format!("{what} ({more} runs are queued): `millstream run cancel RUN` ends one"),
    }
}

/// An event with its place in the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventRow {
    /// The position of the batch it was committed in; `None` until the publisher has given one.
    pub position: Option<EventPosition>,
    /// The event.
    #[serde(flatten)]
    pub event: crate::Event,
}

/// What waits in a tenant's queue and for its pools.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueueView {
    /// The first runs that wait, in the order in which they are looked at.
    pub waiting: Vec<QueueRow>,
    /// How many runs wait in all.
    pub waiting_total: u32,
    /// The pools.
    pub pools: Vec<PoolRow>,
}

/// A run that waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueueRow {
    /// Its place, from 1.
    pub place: u32,
    /// The run; its `hold` says why it waits.
    #[serde(flatten)]
    pub run: RunRow,
}

/// A pool with who holds its slots and who waits for them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolRow {
    /// The name.
    pub name: PoolName,
    /// How many slots it has.
    pub slots: u32,
    /// Whose steps share them.
    pub scope: LimitScope,
    /// The tenant's steps that hold some.
    pub held_by: Vec<PoolStepRow>,
    /// How many slots the steps of other tenants hold, where all share them.
    #[serde(default)]
    pub held_by_others: u32,
    /// The tenant's steps that wait, the first first.
    pub waiting: Vec<PoolStepRow>,
}

/// A step that holds slots of a pool or waits for some.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolStepRow {
    /// The run.
    pub run_id: RunId,
    /// The step.
    pub step: StepKey,
    /// How many slots.
    pub slots: u32,
    /// When it asked for them.
    pub since: Timestamp,
    /// Why it waits, where that is stored: at the first that waits.
    pub hold: Option<HoldReason>,
}
