//! The commands about jobs, their runs, and the runs that were given up.

use clap::Subcommand;

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
pub(crate) enum RunCommand {
    /// List the newest runs.
    List {
        /// Only runs in this status, like `FAILURE`.
        #[arg(long)]
        status: Option<String>,
        /// Only runs of this job.
        #[arg(long)]
        job: Option<String>,
        /// Only runs with this label, as `key=value` or `key`.
        #[arg(long)]
        tag: Option<String>,
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
