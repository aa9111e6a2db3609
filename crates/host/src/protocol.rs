//! What is said to a host and what it answers, one JSON object a line. A step's order is read at
//! once, and the step begins with the empty line that follows when its start was taken.
//!
//! `python/millstream/_host.py` is the other end.

use std::collections::BTreeMap;
use std::path::PathBuf;

use millstream_model::{ErrorCode, ExactJson, Isolation, numbers_kept};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The code that a host is to load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Load {
    /// The folder that it is below.
    pub root: PathBuf,
    /// The file, or the module by its name.
    pub place: String,
    /// What the host is for.
    pub isolation: Isolation,
}

/// What a host says when it has loaded the code, or could not.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loaded {
    /// It takes orders.
    Ready {
        /// The threads that the imports have started; a host with any must not fork.
        threads: Vec<String>,
    },
    /// The code could not be loaded.
    Failed(Failure),
}

/// A step that a host is to run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepOrder<'a> {
    /// The function in the module that was loaded.
    pub function: &'a str,
    /// What the function sees.
    pub context: &'a Map<String, Value>,
    /// Variables added to the environment for this step.
    pub env: &'a BTreeMap<String, String>,
    /// What a fork takes on itself first.
    #[serde(flatten)]
    pub confines: Confines,
}

/// Limits that a fork takes on itself before it runs its step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Confines {
    /// The cores that it runs on; all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<Vec<usize>>,
    /// How many files it may hold open; as many as the host when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u32>,
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The function returned this.
    Returned(ExactJson),
    /// It had nothing to do, for this reason.
    Skipped(String),
    /// It failed.
    Failed(Failure),
}

/// Why code could not be loaded, or a step failed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Failure {
    /// The code of the error.
    pub code: ErrorCode,
    /// What went wrong.
    pub message: String,
    /// The traceback.
    pub detail: Option<String>,
    /// Whether another attempt cannot do better.
    pub for_good: bool,
}

impl Outcome {
    /// The outcome that a host has written as `line`.
    ///
    /// A result that Python takes for JSON and nobody else does is a failure of the step.
    pub fn read(line: &[u8]) -> Self {
        let (kept, told) = numbers_kept(line);
        let mut outcome = serde_json::from_slice(&kept).unwrap_or_else(|error| {
            Self::Failed(Failure {
                code: ErrorCode::StepResult,
                message: format!("the function's result is not JSON ({error})"),
                detail: None,
                for_good: true,
            })
        });
        if let Self::Returned(ExactJson { note, .. }) = &mut outcome {
            *note = told;
        }
        outcome
    }
}

/// An order to a host that has loaded its code, or is about to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order<'a> {
    /// Load this code; the descriptors of its two outputs come along.
    Load(&'a Load),
    /// Run this step once an empty line has come, then answer.
    Run(&'a StepOrder<'a>),
    /// Fork; the step's socket and its two outputs come along.
    Fork(u64),
    /// Signal the group of this fork.
    Signal(u64, i32),
}

/// What comes through the socket of a fork when there is one.
#[derive(Debug, Deserialize)]
pub(crate) struct Forked {
    /// The fork's process.
    pub(crate) forked: i32,
}

/// What comes through the socket of a fork at its end.
#[derive(Debug, Deserialize)]
pub(crate) struct Ended {
    /// How the fork ended, when the line says so.
    pub(crate) ended: Exit,
}

/// The end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Exit {
    /// Its exit code, unless a signal ended it.
    pub(crate) code: Option<i32>,
    /// The signal.
    pub(crate) signal: Option<i32>,
    /// The processor time of the process and of all that it has left behind.
    pub(crate) cpu_micros: u64,
}

/// What a warm host says behind the outcome of a step.
#[derive(Debug, Deserialize)]
pub(crate) struct Used {
    /// The processor time of the step, with that of the processes that it has waited for.
    pub(crate) used_micros: u64,
    /// That of the process since its start, which includes what it did between steps.
    pub(crate) all_micros: u64,
}

/// An order as its line.
pub(crate) fn line(order: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = serde_json::to_vec(order)?;
    line.push(b'\n');
    Ok(line)
}
