//! The command line: nouns, then verbs. `docs/reference/command-line.md` shows it.

mod access;
mod asset;
mod run;
mod system;
#[cfg(test)]
mod tests;
mod ticking;

use std::path::PathBuf;

pub(crate) use access::Access;
pub(crate) use asset::{AssetCommand, PartitionCommand};
use clap::{Args, Parser, Subcommand};
pub(crate) use run::{DeadLetterCommand, JobCommand, Retry, RetryScope, RunCommand};
pub(crate) use system::{DaemonCommand, QueueCommand};
pub(crate) use ticking::{Named, Newest, ScheduleCommand, SensorCommand};

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
    /// Say why a run, an asset, a schedule, a sensor or a job is as it is.
    Why {
        /// The run's id or its last 8 digits, the asset's key, or the name of one of the others.
        subject: String,
    },
    /// List, show, retry and discard runs that were given up.
    #[command(subcommand)]
    DeadLetter(DeadLetterCommand),
    /// Show what waits: runs in the queue and steps for slots of pools, and why.
    #[command(subcommand)]
    Queue(QueueCommand),
    /// List the daemons, and whether each of their loops still gets around.
    #[command(subcommand)]
    Daemon(DaemonCommand),
    /// Look at, scan, validate and compare definition files, and go back to older versions.
    #[command(subcommand)]
    Definitions(DefinitionsCommand),
    /// Write the JSON Schema of definition files, for editors.
    Schema {
        /// Only this kind of thing, like `asset` or `step_sql`.
        kind: Option<String>,
    },
    /// Explain the code of an error: its cause, an example and the way out; without one, list all.
    Errors {
        /// The code, as in `error[job-unknown]`.
        code: Option<String>,
    },
    /// List tenants.
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// Bring a Postgres database's schema up to date.
    Migrate {
        /// The database; `MILLSTREAM_DATABASE_URL` or `millstream.yaml` may say it too.
        #[arg(long, env = "MILLSTREAM_DATABASE_URL")]
        database_url: Option<String>,
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
        /// Files or folders, by their paths from here or below the definitions' folder; that whole
        /// folder when none is given.
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
        /// The file: its path from here, or below the definitions' folder.
        file: String,
    },
    /// Show what is different between two versions of a file.
    Diff {
        /// The file: its path from here, or below the definitions' folder.
        file: String,
        /// The older version, like `v1`.
        from: VersionNumber,
        /// The newer version.
        to: VersionNumber,
    },
    /// Go back to a version of a file until the file's content changes.
    Rollback {
        /// The file: its path from here, or below the definitions' folder.
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
    /// The quick figures: limits and ours in one run, in about three minutes.
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
