//! The commands about jobs, their runs, and the runs that were given up.

use clap::{Args, Subcommand};
use millstream_model::RunStatus;
use millstream_server::pages::runs::status_named;

use super::Named;

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
    /// Let a job be launched, whatever its file says.
    Start(Named),
    /// Keep a job from being launched, whatever its file says.
    Stop(Named),
    /// Take back what was said by hand, so that the file's word counts again.
    Reset(Named),
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunCommand {
    /// List the newest runs.
    List {
        /// Only runs in this status, like `FAILURE`.
        #[arg(long, value_parser = run_status)]
        status: Option<RunStatus>,
        /// Only runs of this job.
        #[arg(long)]
        job: Option<String>,
        /// Only runs with this label, as `key=value` or `key`.
        #[arg(long)]
        tag: Option<String>,
        /// How many at most.
        #[arg(long, default_value_t = 20, allow_negative_numbers = true)]
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
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
    Retry(Retry),
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
        #[arg(long, default_value_t = 50, allow_negative_numbers = true)]
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Show one.
    Show {
        /// The run's id, or its last 8 digits.
        run: String,
    },
    /// Try its run again, as a new run.
    Retry(Retry),
    /// Put it aside.
    Discard {
        /// The run's id, or its last 8 digits.
        run: String,
    },
}

/// Which run is tried again, and how much of it.
#[derive(Debug, Args)]
pub(crate) struct Retry {
    /// The run's id, or its last 8 digits.
    pub(crate) run: String,
    /// What is done again: only what did not succeed, or everything.
    #[arg(long, value_enum, default_value_t = RetryScope::Failure)]
    pub(crate) from: RetryScope,
}

/// What a retry does again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum RetryScope {
    /// What did not succeed.
    Failure,
    /// Everything.
    Start,
}

/// A run's status as an argument.
fn run_status(text: &str) -> Result<RunStatus, String> {
    status_named(text).ok_or_else(|| {
        let known: Vec<&str> = RunStatus::ALL.iter().map(|status| status.as_str()).collect();
        format!("no run is ever in this status; the statuses are {}", known.join(", "))
    })
}
