//! The process that works on a SQLite file, for SQL steps and tables: `millstream __sql REQUEST`.
//!
//! The worker starts it through its supervisor, so that a statement's time and memory are bounded
//! by the step's limits and its end harms nobody. It prints nothing.
//!
//! **Invariant.** The answer is in the file that the exchange names when the exit code is 0 or 1; 2
//! means that the request itself could not be read or the answer not written.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use crate::sql::{SqlAnswer, SqlFailure, SqlRequest, run_sqlite};
use crate::tables::{
    TableAnswer, TableFailure, TableIoError, TableRead, TableWrite, read_sqlite, write_sqlite,
};

/// The name of the hidden subcommand.
pub const SUBCOMMAND: &str = "__sql";

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// A file of the exchange cannot be read or written.
    #[error("{} cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file of the exchange is not what it should be.
    #[error("{} is not understood", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

/// What a child is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChildRequest {
    /// Run statements.
    Sql(SqlRequest),
    /// Write rows into a table.
    Write(TableWrite),
    /// Copy a table's rows into a file.
    Read(TableRead),
}

/// The file that a child reads.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchange {
    request: ChildRequest,
    /// Where the answer goes.
    answer: PathBuf,
}

/// Does the request in the file at `exchange` and leaves the answer where it says.
pub fn main(exchange: &Path) -> ExitCode {
    match answer(exchange) {
        Ok(Success::Done) => ExitCode::SUCCESS,
        Ok(Success::Failed) => ExitCode::from(1),
        Err(_) => ExitCode::from(2),
    }
}

/// Writes `request` to the file at `path` for a child to read; its answer goes to `answer`.
///
/// Parameters may be anything that the author bound, so the file is its owner's alone.
pub fn write_request(
    path: &Path,
    request: ChildRequest,
    answer: &Path,
) -> Result<(), ExchangeError> {
    write(path, &Exchange { request, answer: answer.to_owned() })
}

/// The answer that a child left at `path`: a [`SqlAnswer`] or a [`TableAnswer`].
pub fn read_answer<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, ExchangeError> {
    read(path)
}

enum Success {
    Done,
    Failed,
}

fn answer(path: &Path) -> Result<Success, ExchangeError> {
    let Exchange { request, answer } = read(path)?;
    let table = |done: Result<TableAnswer, TableIoError>| {
        done.unwrap_or_else(|error| TableAnswer::Failed(TableFailure::from(&error)))
    };
    let table = match request {
        ChildRequest::Sql(request) => {
            let done = match run_sqlite(&request) {
                Ok(outcome) => SqlAnswer::Done(outcome),
                Err(error) => SqlAnswer::Failed(SqlFailure::new(&error, &request)),
            };
            write(&answer, &done)?;
            return Ok(match done {
                SqlAnswer::Done(_) => Success::Done,
                SqlAnswer::Failed(_) => Success::Failed,
            });
        }
        ChildRequest::Write(request) => table(write_sqlite(&request).map(TableAnswer::Wrote)),
        ChildRequest::Read(request) => table(read_sqlite(&request).map(TableAnswer::Read)),
    };
    write(&answer, &table)?;
    Ok(match table {
        TableAnswer::Wrote(_) | TableAnswer::Read(_) => Success::Done,
        TableAnswer::Failed(_) => Success::Failed,
    })
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, ExchangeError> {
    let text = std::fs::read(path)
        .map_err(|source| ExchangeError::File { path: path.to_owned(), source })?;
    serde_json::from_slice(&text)
        .map_err(|source| ExchangeError::Json { path: path.to_owned(), source })
}

fn write<T: serde::Serialize>(path: &Path, value: &T) -> Result<(), ExchangeError> {
    let text = serde_json::to_vec(value)
        .map_err(|source| ExchangeError::Json { path: path.to_owned(), source })?;
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(&text))
        .map_err(|source| ExchangeError::File { path: path.to_owned(), source })
}
