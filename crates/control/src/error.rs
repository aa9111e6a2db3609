//! What a use case can refuse, sorted by what the caller can do.

use millstream_decide::condition::ConditionError;
use millstream_model::view::RunRow;
use millstream_model::{
    AssetKey, Closed, ErrorCode, IllegalTransition, PRIORITY_TAG, PartitionsName, RETRIES_TAG,
    RunId, RunStatus, TenantId, TickKind, shell_word,
};
use millstream_plan::PlanError;
use millstream_store::StoreError;

/// Runs that an error names which could have been meant.
const CANDIDATES: usize = 5;

/// A use case that was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),

    /// What was asked for cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),

    /// No run of this id, for this caller.
    #[error("there is no run {run}; `millstream run list` shows them")]
    RunUnknown {
        /// The id, or the short form that was asked for.
        run: String,
    },

    /// Too few digits to mean a run.
    #[error(
        "{text} is too short for a run: give its id, or at least its last {min} digits, as \
         `millstream run list` shows them"
    )]
    RunShort {
        /// What was given.
        text: String,
        /// How many digits are needed.
        min: usize,
    },

    /// Several runs end with the same digits.
    #[error(
        "more than one run ends with {short}; give more digits or the whole id: {}",
        candidates(runs)
    )]
    RunAmbiguous {
        /// The short form.
        short: String,
        /// The newest of them.
        runs: Vec<RunRow>,
    },

    /// The run is over, or not yet begun.
    #[error("run {run} is {status}, so it cannot be {wanted}")]
    RunStatus {
        /// The run.
        run: RunId,
        /// Its status.
        status: RunStatus,
        /// What was asked for.
        wanted: &'static str,
    },

    /// Another run tries it again already.
    #[error("run {run} is tried again by run {retry}; should that one fail, retry that one")]
    RunRetried {
        /// The run.
        run: RunId,
        /// The run that tries it again.
        retry: RunId,
    },

    /// No run, asset, schedule, sensor or job is called so.
    #[error(
        "there is no run, asset, schedule, sensor or job {subject}{near}; `millstream run list`, \
         `asset list`, `schedule list`, `sensor list` and `job list` show them"
    )]
    SubjectUnknown {
        /// What was asked about.
        subject: String,
        /// The nearest name, as a remark.
        near: String,
    },

    /// The run was never given up.
    #[error("run {run} is no dead letter; `millstream dead-letter list` shows them")]
    DeadLetterUnknown {
        /// The run.
        run: RunId,
    },

    /// Somebody has dealt with it.
    #[error("the dead letter of run {run} was {} by {}", closed.outcome.as_str(), closed.by)]
    DeadLetterClosed {
        /// The run.
        run: RunId,
        /// What was done.
        closed: Closed,
    },

    /// The job is switched off.
    #[error(
        "job {job} is disabled{}; {}`millstream job start` or its page switches it on",
        if *by_hand { " by hand" } else { "" },
        if *by_hand { "" } else { "`enabled` in its file, " },
    )]
    JobDisabled {
        /// The job.
        job: String,
        /// Whether somebody has switched it off; otherwise its file has.
        by_hand: bool,
    },

    /// No schedule of this name.
    #[error(
        "tenant {tenant} has no schedule {schedule}{near}; `millstream schedule list` shows them"
    )]
    ScheduleUnknown {
        /// The tenant.
        tenant: TenantId,
        /// The name.
        schedule: String,
        /// The nearest known one, as a remark.
        near: String,
    },

    /// A schedule or a sensor that something is known of, and that does not tick in the tenant.
    #[error("{kind} {name} does not tick in tenant {tenant}: {why}")]
    Absent {
        /// The tenant.
        tenant: TenantId,
        /// Whether it is a schedule or a sensor.
        kind: TickKind,
        /// Its name.
        name: String,
        /// Why, in words.
        why: String,
    },

    /// A schedule or a sensor that was called so has another name now.
    #[error(
        "{kind} {before} is now called {now}; use that name: `millstream {kind} show {}` shows it",
        shell_word(now)
    )]
    Renamed {
        /// The tenant.
        tenant: TenantId,
        /// Whether it is a schedule or a sensor.
        kind: TickKind,
        /// The name that it had.
        before: String,
        /// The name that it has.
        now: String,
    },

    /// No sensor of this name.
    #[error("tenant {tenant} has no sensor {sensor}{near}; `millstream sensor list` shows them")]
    SensorUnknown {
        /// The tenant.
        tenant: TenantId,
        /// The name.
        sensor: String,
        /// The nearest known one, as a remark.
        near: String,
    },

    /// The sensor ticked, again and again, while it was changed.
    #[error("sensor {sensor} kept ticking while this was tried; try again")]
    SensorContended {
        /// The sensor.
        sensor: String,
    },

    /// No delivery of this name waits for the sensor or was set aside.
    #[error(
        "no delivery {delivery} waits for sensor {sensor}; `millstream sensor deliveries {}` lists \
         those that do",
        shell_word(sensor)
    )]
    DeliveryUnknown {
        /// The sensor.
        sensor: String,
        /// The name.
        delivery: String,
    },

    /// No delivery of this name was tried in vain.
    #[error(
        "no delivery {delivery} was set aside or waits for another try by sensor {sensor}; \
         `millstream sensor deliveries {}` lists those that were",
        shell_word(sensor)
    )]
    DeliveryUntried {
        /// The sensor.
        sensor: String,
        /// The name.
        delivery: String,
    },

    /// The delivery does not say what it is called, where it has to, or does not say it so.
    #[error(
        "the delivery's header `{header}` {problem}; it names the delivery with 1 to {limit} \
         characters of ASCII"
    )]
    DeliveryName {
        /// The header.
        header: String,
        /// What is wrong with it.
        problem: String,
        /// The most bytes of it.
        limit: usize,
    },

    /// What was posted is no text.
    #[error("the body of a delivery is text, in UTF-8")]
    DeliveryBinary,

    /// Too much waits for the sensor's tick.
    #[error("{limit} wait for sensor {sensor} already; send it again once it has read some")]
    DeliveryFull {
        /// The sensor.
        sensor: String,
        /// How much may wait.
        limit: &'static str,
    },

    /// A report says something else than the one that came first under its key.
    #[error(
        "asset {asset} has another report under the key {key:?}; give this one a key of its own"
    )]
    ReportKeyKnown {
        /// The asset.
        asset: AssetKey,
        /// The key.
        key: String,
    },

    /// The key of a report is none.
    #[error("an idempotency key has between 1 and {limit} bytes and no control characters")]
    ReportKey {
        /// The most.
        limit: usize,
    },

    /// A condition of a schedule says neither yes nor no.
    #[error(transparent)]
    Condition(#[from] ConditionError),

    /// The schedule ticked, again and again, while its switch was turned.
    #[error("schedule {schedule} kept changing while this was tried; try again")]
    ScheduleContended {
        /// The schedule.
        schedule: String,
    },

    /// No tenant of this id.
    #[error("Unknown tenant: {tenant}")]
    TenantUnknown {
        /// The id.
        tenant: String,
    },

    /// No dynamic partitions of this name.
    #[error("there are no dynamic partitions called {name}{near}; {}", those(known))]
    PartitionsUnknown {
        /// The name.
        name: PartitionsName,
        /// The nearest known one, as a remark.
        near: String,
        /// Those that exist.
        known: Vec<PartitionsName>,
    },

    /// No definition file of this name was ever seen.
    #[error(
        "there is no definition file {file}{near}; a file is named by its path below the \
         definitions' folder, and `millstream definitions status` lists them"
    )]
    FileUnknown {
        /// The name.
        file: String,
        /// The nearest known one, as a remark.
        near: String,
    },

    /// The file has no version of this number.
    #[error("{file} has no version v{number}; its newest is v{newest}")]
    VersionUnknown {
        /// The file.
        file: String,
        /// The number.
        number: u32,
        /// The number of its newest version; 0 when it has none.
        newest: u32,
    },

    /// The file is gone, so that no version of it can be live.
    #[error("{file} was deleted; put a file of this name back, whose versions then go on")]
    FileDeleted {
        /// The file.
        file: String,
    },

    /// A sensor of this kind has no cursor.
    #[error("sensor {sensor} has no cursor: one of kind {kind} remembers nothing")]
    NoCursor {
        /// The sensor.
        sensor: String,
        /// Its kind.
        kind: String,
    },

    /// A sensor that is off does not tick.
    #[error(
        "sensor {sensor} is off, and does not tick: `millstream sensor start {word}` switches it on"
    )]
    SensorOff {
        /// The sensor.
        sensor: String,
        /// Its name as a word of a command.
        word: String,
    },

    /// The sensor was changed while somebody wished it to tick.
    #[error(
        "sensor {sensor} was edited, switched or given a cursor meanwhile, and did not tick; \
         try again"
    )]
    SensorChanged {
        /// The sensor.
        sensor: String,
    },

    /// Nobody waits for the tick any more.
    #[error("sensor {sensor} did not tick: no daemon was there in time to ask it; try again")]
    SensorWishOld {
        /// The sensor.
        sensor: String,
    },

    /// Too much at once.
    #[error("{count} {what} at once are more than the limit of {limit}")]
    TooMany {
        /// How many were asked for.
        count: usize,
        /// Of what.
        what: &'static str,
        /// How many are allowed.
        limit: usize,
    },

    /// The priority is no number.
    #[error(
        "the tag `{PRIORITY_TAG}` cannot be {text:?}; write a whole number, where higher goes first"
    )]
    Priority {
        /// What was written.
        text: String,
    },

    /// The number of retries is none.
    #[error(
        "the tag `{RETRIES_TAG}` cannot be {text:?}; write how often a failed run is tried again, \
         a whole number up to 1000"
    )]
    Retries {
        /// What was written.
        text: String,
    },

    /// Others were faster, again and again.
    #[error("run {run} kept changing while this was tried; try again")]
    Contended {
        /// The run.
        run: RunId,
    },

    /// A status that cannot follow: a defect, or a race that was lost.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
}

impl ControlError {
    /// The code of the page that explains it.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Store(error) => error.code(),
            Self::Plan(error) => error.code(),
            Self::RunUnknown { .. } | Self::RunShort { .. } | Self::RunAmbiguous { .. } => {
                ErrorCode::RunUnknown
            }
            Self::RunStatus { .. } | Self::RunRetried { .. } | Self::DeadLetterClosed { .. } => {
                ErrorCode::RunStatus
            }
            Self::DeadLetterUnknown { .. }
            | Self::SubjectUnknown { .. }
            | Self::DeliveryUnknown { .. }
            | Self::DeliveryUntried { .. } => ErrorCode::NotFound,
            Self::JobDisabled { .. } => ErrorCode::JobDisabled,
            Self::TenantUnknown { .. } => ErrorCode::TenantUnknown,
            Self::PartitionsUnknown { .. } => ErrorCode::PartitionUnknown,
            Self::FileUnknown { .. } | Self::VersionUnknown { .. } | Self::FileDeleted { .. } => {
                ErrorCode::DefinitionVersionUnknown
            }
            Self::TooMany { .. }
            | Self::NoCursor { .. }
            | Self::Priority { .. }
            | Self::Retries { .. }
            | Self::ReportKey { .. }
            | Self::DeliveryName { .. }
            | Self::DeliveryBinary => ErrorCode::BadRequest,
            Self::DeliveryFull { .. } => ErrorCode::DeliveryFull,
            Self::ReportKeyKnown { .. } => ErrorCode::ReportKeyKnown,
            Self::ScheduleUnknown { .. }
            | Self::Absent { kind: TickKind::Schedule, .. }
            | Self::Renamed { kind: TickKind::Schedule, .. } => ErrorCode::ScheduleUnknown,
            Self::SensorUnknown { .. }
            | Self::Absent { kind: TickKind::Sensor, .. }
            | Self::Renamed { kind: TickKind::Sensor, .. } => ErrorCode::SensorUnknown,
            Self::SensorOff { .. } | Self::SensorChanged { .. } | Self::SensorWishOld { .. } => {
                ErrorCode::SensorAsk
            }
            Self::Condition(_) => ErrorCode::DefinitionTemplate,
            Self::ScheduleContended { .. }
            | Self::SensorContended { .. }
            | Self::Contended { .. } => ErrorCode::DatabaseUnavailable,
            Self::Illegal(_) => ErrorCode::RunStatus,
        }
    }
}

/// The runs that could have been meant, as far as an error names them.
fn candidates(runs: &[RunRow]) -> String {
    let named = runs.iter().take(CANDIDATES);
    let named: Vec<String> =
        named.map(|run| format!("{} ({}, {})", run.run_id, run.title, run.status)).collect();
    let more = if runs.len() > CANDIDATES { " and more" } else { "" };
    format!("{}{more}", named.join(", "))
}

/// The names that could have been meant, if there are any.
fn those(known: &[PartitionsName]) -> String {
    if known.is_empty() {
        return "no definition file declares any".to_owned();
    }
    let known: Vec<&str> = known.iter().map(PartitionsName::as_str).collect();
    format!("there are: {}", known.join(", "))
}

/// A worker's report that was refused.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The worker has been replaced, or its run is over: it must stop at once.
    #[error("run {run} is over or belongs to a newer worker than epoch {epoch}; stop")]
    Stale {
        /// The run.
        run: RunId,
        /// The worker's epoch.
        epoch: i64,
    },
    /// The events do not follow what is stored: a defect of the worker.
    #[error("the report does not follow the {tenant} run {run}: {problem}")]
    Refused {
        /// The tenant.
        tenant: TenantId,
        /// The run.
        run: RunId,
        /// What does not fit.
        problem: String,
    },
    /// The store failed; the worker keeps the events and reports again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ReportError {
    /// The code of the page that explains it.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Stale { .. } => ErrorCode::EpochStale,
            Self::Refused { .. } => ErrorCode::BadRequest,
            Self::Store(error) => error.code(),
        }
    }
}
