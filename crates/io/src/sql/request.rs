//! What a SQL step asks for and what it answers: values that cross a process boundary as JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use millstream_model::{ErrorCode, ResourceDef, StepError, chain};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::sql::SqlError;
use crate::{Kept, TableFile};

/// A SQL step with everything resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlRequest {
    /// The database; a SQLite path is absolute.
    pub resource: ResourceDef,
    /// The statements, one each, run in order in one transaction.
    pub statements: Vec<String>,
    /// The values that `:name` may stand for.
    #[serde(default)]
    pub params: BTreeMap<String, Value>,
    /// Temporary tables to fill before the statements run, by name; absolute paths.
    #[serde(default)]
    pub read: BTreeMap<String, TableFile>,
    /// Those of them that have the columns of their file and none of its rows.
    #[serde(default)]
    pub emptied: BTreeSet<String>,
    /// Results in the same database that the statements see under names of their own (Postgres).
    #[serde(default)]
    pub kept: BTreeMap<String, Kept>,
    /// Where the rows of the last statement go, in the rows form; nowhere when absent.
    #[serde(default)]
    pub rows: Option<PathBuf>,
    /// Whether the database is opened for reading alone.
    #[serde(default)]
    pub read_only: bool,
    /// How the server knows the step.
    #[serde(default)]
    pub session: Session,
}

/// A step's connections to a server, as the server sees them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// Whose they are, for the server's own lists: `<run>/<step>`.
    pub owner: String,
    /// How long a statement may take.
    #[serde(default)]
    pub statement_timeout_ms: Option<u64>,
}

/// The longest name of a connection that Postgres keeps whole.
const NAME_MAX: usize = 63;

impl Session {
    /// The name of the connections.
    pub(crate) fn name(&self) -> String {
        let mut name = match self.owner.as_str() {
            "" => "millstream".to_owned(),
            owner => format!("millstream {owner}"),
        };
        name.truncate(name.floor_char_boundary(NAME_MAX));
        name
    }
}

/// The microseconds since `began`.
pub(super) fn micros(began: std::time::Instant) -> u64 {
    u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// What a SQL step did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SqlOutcome {
    /// How many rows each statement inserted, updated or deleted.
    pub rows_affected: Vec<u64>,
    /// How long each statement took.
    #[serde(default)]
    pub statement_micros: Vec<u64>,
    /// The columns of the last statement's rows; empty when no rows were asked for.
    pub columns: Vec<String>,
    /// How many rows the last statement gave, when they were asked for.
    pub row_count: Option<u64>,
    /// How many bytes the rows take where they were written; 0 when none were asked for.
    pub rows_bytes: u64,
    /// How long it all took.
    pub took_micros: u64,
    /// What the author should know though nothing failed; lines for the step's log.
    pub notes: Vec<String>,
}

/// What the child process leaves behind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SqlAnswer {
    /// The transaction is committed.
    Done(SqlOutcome),
    /// Nothing of it is.
    Failed(SqlFailure),
}

/// Why a SQL step failed, as a value that can be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlFailure {
    /// The code, whose page explains it.
    pub code: ErrorCode,
    /// What happened, in words, with its causes.
    pub message: String,
    /// The statement it happened in, from 1.
    pub statement: Option<usize>,
    /// That statement's text, shortened.
    pub text: Option<String>,
}

/// The most characters of a statement that a failure repeats.
const TEXT_MAX: usize = 2_000;

impl SqlFailure {
    /// `error` as it came from running `request`.
    pub fn new(error: &SqlError, request: &SqlRequest) -> Self {
        let statement = error.statement();
        let text = statement
            .and_then(|number| request.statements.get(number.checked_sub(1)?))
            .map(|text| text.chars().take(TEXT_MAX).collect());
        Self { code: error.code(), message: chain(error), statement, text }
    }

    /// The failure as a step's error.
    pub fn into_step_error(self) -> StepError {
        StepError { code: self.code, message: self.message, detail: self.text }
    }
}
