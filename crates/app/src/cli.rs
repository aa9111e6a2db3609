//! The command line: nouns, then verbs. `docs/reference/command-line.md` shows it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use millstream_model::Timestamp;

/// A data orchestrator: declares, plans, runs and explains assets and jobs.
#[derive(Debug, Parser)]
#[command(name = "millstream", version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// The project's folder.
    #[arg(long, global = true, default_value = ".", env = "MILLSTREAM_DIR")]
    pub(crate) dir: PathBuf,
    /// A running server; without it the one of the project's folder, or none.
    #[arg(long, global = true, env = "MILLSTREAM_URL")]
    pub(crate) url: Option<String>,
    /// The tenant; needed where there is more than one.
    #[arg(long, global = true, env = "MILLSTREAM_TENANT")]
    pub(crate) tenant: Option<String>,
    /// Print JSON for programs.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the Asset Manager example over a year of real flights, and show the result.
    Demo {
        /// Where the example is unpacked.
        #[arg(default_value = "millstream-demo")]
        folder: PathBuf,
        /// The port of the pages.
        #[arg(long, default_value_t = 3000)]
        port: u16,
        /// End after the result instead of serving the pages.
        #[arg(long)]
        exit: bool,
    },
    /// Serve a project on this machine: pages, API, definitions and runs in one process.
    Dev {
        /// The project's folder; `--dir` says the same.
        folder: Option<PathBuf>,
        /// The port of the pages.
        #[arg(long, default_value_t = 3000)]
        port: u16,
    },
    /// Launch and list jobs.
    #[command(subcommand)]
    Job(JobCommand),
    /// List, show, start, stop and try schedules.
    #[command(subcommand)]
    Schedule(ScheduleCommand),
    /// List, show, start, stop and try sensors.
    #[command(subcommand)]
    Sensor(SensorCommand),
    /// Materialize, list and show assets.
    #[command(subcommand)]
    Asset(AssetCommand),
    /// List, add and delete dynamic partitions.
    #[command(subcommand)]
    Partition(PartitionCommand),
    /// List, show, retry and cancel runs, and read their logs.
    #[command(subcommand)]
    Run(RunCommand),
    /// Say why a run, an asset or a schedule is as it is.
    Why {
        /// The run's id or its last 8 digits, the asset's key, or the schedule's name.
        subject: String,
    },
    /// List, show, retry and discard runs that were given up.
    #[command(subcommand)]
    DeadLetter(DeadLetterCommand),
    /// Show what waits: runs in the queue and steps for slots of pools, and why.
    #[command(subcommand)]
    Queue(QueueCommand),
    /// Look at, scan, validate and compare definition files, and go back to older versions.
    #[command(subcommand)]
    Definitions(DefinitionsCommand),
    /// Write the JSON Schema of definition files, for editors.
    Schema {
        /// Only this kind of thing, like `asset` or `step_sql`.
        kind: Option<String>,
    },
    /// List tenants.
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// Bring a Postgres database's schema up to date.
    Migrate {
        /// The database; `MILLSTREAM_DATABASE_URL` says the same.
        #[arg(long, env = "MILLSTREAM_DATABASE_URL")]
        database_url: String,
    },
    /// Measure this machine's limits and Millstream against them.
    #[command(subcommand)]
    Bench(BenchCommand),
    /// The process that starts and watches the processes of steps.
    #[command(name = "__supervisor", hide = true)]
    Supervisor,
    /// The process that runs the statements of one SQL step.
    #[command(name = "__sql", hide = true)]
    Sql {
        /// The file that holds the request.
        request: PathBuf,
    },
    /// The process that executes one run.
    #[command(name = "__worker", hide = true)]
    Worker,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// Launch a run of a job and wait for its end.
    Launch {
        /// The job.
        name: String,
        /// The trigger context, a JSON object that every step sees.
        #[arg(long)]
        context: Option<String>,
        /// The partition, for a job over partitioned assets.
        #[arg(long)]
        partition: Option<String>,
        /// A label of the run, as `key=value`; may be given more than once.
        #[arg(long = "tag")]
        tags: Vec<String>,
        /// Return as soon as the run is queued.
        #[arg(long)]
        no_wait: bool,
    },
    /// List the jobs.
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// List the schedules with their next times and last ticks.
    List,
    /// Show a schedule.
    Show {
        /// The schedule.
        name: String,
    },
    /// Let a schedule tick, whatever its file says.
    Start {
        /// The schedule.
        name: String,
    },
    /// Keep a schedule from ticking, whatever its file says.
    Stop {
        /// The schedule.
        name: String,
    },
    /// Take back what was said by hand, so that the file's word counts again.
    Reset {
        /// The schedule.
        name: String,
    },
    /// Show when a schedule ticks next.
    Preview {
        /// The schedule.
        name: String,
        /// How many times.
        #[arg(short = 'n', long = "count", default_value_t = 10)]
        count: usize,
    },
    /// Say what a tick would request, and request nothing.
    Test {
        /// The schedule.
        name: String,
        /// The nominal time, like `2026-01-31T06:00:00Z`; the next one when left out.
        #[arg(long, value_parser = point_in_time)]
        at: Option<Timestamp>,
    },
    /// Show the newest ticks and what came of them.
    Ticks {
        /// The schedule.
        name: String,
        /// How many at most.
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SensorCommand {
    /// List the sensors with their last ticks.
    List,
    /// Show a sensor, what it remembers and how far it is behind.
    Show {
        /// The sensor.
        name: String,
    },
    /// Let a sensor tick, whatever its file says.
    Start {
        /// The sensor.
        name: String,
    },
    /// Keep a sensor from ticking, whatever its file says.
    Stop {
        /// The sensor.
        name: String,
    },
    /// Take back what was said by hand, so that the file's word counts again.
    Reset {
        /// The sensor.
        name: String,
    },
    /// Ask a sensor now and say what its tick would request; nothing is requested.
    Test {
        /// The sensor.
        name: String,
    },
    /// Show the newest ticks and what came of them.
    Ticks {
        /// The sensor.
        name: String,
        /// How many at most.
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
    /// Give a sensor another cursor.
    Cursor {
        /// The sensor.
        name: String,
        /// The new cursor.
        #[arg(long, required_unless_present = "clear")]
        set: Option<String>,
        /// Let it begin anew, without a cursor.
        #[arg(long, conflicts_with = "set")]
        clear: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// Show the first runs that wait, in their order, and the pools with who holds them.
    Show,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AssetCommand {
    /// Materialize a selection of assets and wait for the runs' end.
    Materialize {
        /// The selection, like `metric_semantic_values+` or `group:loader`.
        #[arg(value_name = "SELECT", required_unless_present = "select")]
        selection: Option<String>,
        /// The selection, as an option.
        #[arg(long, conflicts_with = "selection")]
        select: Option<String>,
        /// A partition; may be given more than once, one run each.
        #[arg(long = "partition")]
        partitions: Vec<String>,
        /// Every partition that exists.
        #[arg(long, conflicts_with = "partitions")]
        all_partitions: bool,
        /// In every enabled tenant.
        #[arg(long, conflicts_with = "tenant")]
        all_tenants: bool,
        /// Return as soon as the runs are queued.
        #[arg(long)]
        no_wait: bool,
    },
    /// List the assets.
    List,
    /// Show an asset with its newest materializations and partitions.
    Show {
        /// The asset's key.
        key: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PartitionCommand {
    /// List the keys of a partitions definition.
    List {
        /// The partitions definition.
        name: String,
        /// Only keys that contain this text.
        #[arg(long, default_value = "")]
        contains: String,
        /// The key after which the list begins.
        #[arg(long, default_value = "")]
        after: String,
        /// How many at most.
        #[arg(long, default_value_t = 1_000)]
        limit: u32,
    },
    /// Add keys; those that exist stay.
    Add {
        /// The partitions definition.
        name: String,
        /// The keys.
        #[arg(required = true)]
        keys: Vec<String>,
    },
    /// Delete keys; their history stays.
    Delete {
        /// The partitions definition.
        name: String,
        /// The keys.
        #[arg(required = true)]
        keys: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunCommand {
    /// List the newest runs.
    List {
        /// Only runs in this status, like `FAILURE`.
        #[arg(long)]
        status: Option<String>,
        /// Only runs of this job.
        #[arg(long)]
        job: Option<String>,
        /// How many at most.
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
    /// Show a run with its steps and events.
    Show {
        /// The run's id, or its last 8 digits.
        run: String,
    },
    /// Print what a run's steps have written.
    Logs {
        /// The run's id, or its last 8 digits.
        run: String,
        /// Only this step.
        #[arg(long)]
        step: Option<String>,
        /// Go on until the run is over.
        #[arg(long)]
        follow: bool,
        /// Only this many bytes from the end of each output.
        #[arg(long, value_name = "BYTES")]
        tail: Option<u64>,
    },
    /// Try a failed or canceled run again, as a new run.
    Retry {
        /// The run's id, or its last 8 digits.
        run: String,
        /// What is done again: only what did not succeed, or everything.
        #[arg(long, value_enum, default_value_t = RetryScope::Failure)]
        from: RetryScope,
    },
    /// Cancel a run.
    Cancel {
        /// The run's id, or its last 8 digits.
        run: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadLetterCommand {
    /// List them, the newest first.
    List {
        /// Also those that somebody has retried or discarded.
        #[arg(long)]
        all: bool,
        /// How many at most.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Show one.
    Show {
        /// The run's id, or its last 8 digits.
        run: String,
    },
    /// Try its run again, as a new run.
    Retry {
        /// The run's id, or its last 8 digits.
        run: String,
        /// What is done again: only what did not succeed, or everything.
        #[arg(long, value_enum, default_value_t = RetryScope::Failure)]
        from: RetryScope,
    },
    /// Put it aside.
    Discard {
        /// The run's id, or its last 8 digits.
        run: String,
    },
}

/// What a retry does again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum RetryScope {
    /// What did not succeed.
    Failure,
    /// Everything.
    Start,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DefinitionsCommand {
    /// Show what is loaded and what is wrong.
    Status,
    /// Scan now, and wait for the result.
    Scan {
        /// Believe that files which are all gone at once are really gone.
        #[arg(long)]
        accept_deletions: bool,
    },
    /// Check definition files without loading them.
    Validate {
        /// Files or folders; the project's definition folder when none is given.
        paths: Vec<PathBuf>,
    },
    /// Show what a change of the files would add, remove, make stale and re-time.
    Plan {
        /// The folder of the files as they would be; the project's definition folder when absent.
        folder: Option<PathBuf>,
        /// Compare with the files of this folder instead of what is live.
        #[arg(long, value_name = "DIR")]
        against: Option<PathBuf>,
        /// End with 3 when something changes.
        #[arg(long)]
        exit_code: bool,
    },
    /// List the versions of a file.
    History {
        /// The file, as `definitions status` names it.
        file: String,
    },
    /// Show what is different between two versions of a file.
    Diff {
        /// The file.
        file: String,
        /// The older version, like `v1`.
        from: VersionNumber,
        /// The newer version.
        to: VersionNumber,
    },
    /// Go back to a version of a file until the file's content changes.
    Rollback {
        /// The file.
        file: String,
        /// The version, like `v1`.
        version: VersionNumber,
    },
}

/// The number of a version, written `v3` or `3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VersionNumber(pub(crate) u32);

impl std::str::FromStr for VersionNumber {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix('v').unwrap_or(text);
        digits.parse().map(Self).map_err(|_| format!("{text:?} is no version; write it like `v3`"))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum TenantCommand {
    /// List the tenants.
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// The quick figures: limits and ours in one run, in about two minutes.
    Quick {
        /// How much is measured: `tiny` takes seconds and only finds what is ten times too slow.
        #[arg(long, value_enum, default_value_t = BenchSize::Full)]
        size: BenchSize,
        /// Measure only these goals, like `P1`; may be given more than once.
        #[arg(long = "goal")]
        goals: Vec<String>,
        /// A Postgres database that may be filled, for P1 on Postgres as well.
        #[arg(long)]
        postgres: Option<String>,
    },
}

/// How much a benchmark measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum BenchSize {
    /// Seconds; for continuous integration.
    Tiny,
    /// The figures that are published.
    Full,
}

/// A point in time as an argument.
fn point_in_time(text: &str) -> Result<Timestamp, String> {
    serde_json::from_value(text.into())
        .map_err(|_| "that is no point in time; write it like 2026-01-31T06:00:00Z".to_owned())
}
