//! What the worker and its supervisor say to each other, one JSON object a line.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use millstream_blob::LogStream;
use millstream_model::{ByteSize, HumanDuration, StepLimits, StepUsage};
use serde::{Deserialize, Serialize};

/// A process as the worker wants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSpec {
    /// The program: a path, or a name that `PATH` of `env` resolves.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its whole environment; nothing else is inherited.
    pub env: BTreeMap<String, String>,
    /// Its working directory.
    pub cwd: PathBuf,
    /// The log that its standard output is appended to.
    pub out: PathBuf,
    /// The log that its standard error is appended to.
    pub err: PathBuf,
    /// How large each of its logs may become.
    pub output_max: ByteSize,
    /// What it and all its descendants may use.
    pub limits: StepLimits,
    /// The output that messages are taken out of on its way into the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tap: Option<MessageTap>,
    /// How long it may run.
    pub timeout: Option<Duration>,
    /// How long it has to end itself after the timeout, before it is killed.
    pub grace: Duration,
    /// Whether it makes itself the leader of a session instead of a group: then whatever is in
    /// that session ends with it.
    #[serde(default)]
    pub leads_session: bool,
}

/// Where messages of Pipes stand among other output, and where they go instead of into the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageTap {
    /// The output.
    pub stream: LogStream,
    /// The file that messages are appended to.
    pub path: PathBuf,
}

/// What the worker orders.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// Start a process and call it `id`.
    Spawn {
        /// The name for it from now on.
        id: u64,
        /// What to start.
        spec: Box<ProcessSpec>,
    },
    /// End its group: a request to end first, a kill after `grace`.
    Stop {
        /// The process.
        id: u64,
        /// How long it has to end itself.
        grace: Duration,
    },
    /// Kill all processes, and end.
    End,
}

/// What the supervisor reports.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Notice {
    /// The process runs.
    Started {
        /// The process.
        id: u64,
        /// Its process id, which is also its group's.
        pid: i32,
    },
    /// The process could not be started.
    Refused {
        /// The process.
        id: u64,
        /// The reason in words.
        message: String,
    },
    /// The process and its group are gone, and all their output is in the logs.
    Ended {
        /// The process.
        id: u64,
        /// How.
        ended: Ended,
    },
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Its exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whose doing it was.
    pub cause: EndCause,
    /// What it and its descendants used.
    pub usage: StepUsage,
    /// The end of its standard error, or of its standard output where that is empty.
    pub tail: String,
    /// Why some of its output is not in the logs.
    pub log_error: Option<String>,
}

/// Whose doing the end of a process was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndCause {
    /// Its own.
    Itself,
    /// It ran into its timeout.
    TimedOut,
    /// The worker ordered it.
    Stopped,
    /// It used more than it may.
    OverLimit(Excess),
}

/// What a process used too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Excess {
    /// Memory.
    Memory {
        /// What it might have used.
        limit: ByteSize,
        /// The most that was seen.
        peak: ByteSize,
    },
    /// The machine's memory: the kernel has ended it.
    MachineMemory {
        /// The most that was seen.
        peak: ByteSize,
    },
    /// Processes.
    Processes {
        /// How many it might have been.
        limit: u32,
        /// How many it was.
        count: u32,
    },
    /// Processor time.
    CpuTime {
        /// What it might have used.
        limit: HumanDuration,
        /// What it used.
        used: HumanDuration,
    },
}
