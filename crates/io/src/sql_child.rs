//! The process that runs a SQL step on a SQLite file: `millstream __sql REQUEST`.
//!
//! The worker starts it through its supervisor, so that a statement's time and memory are bounded
//! by the step's limits and its end harms nobody. It prints nothing.
//!
//! **Invariant.** The answer is in the file that the request names when the exit code is 0 or 1; 2
//! means that the request itself could not be read or the answer not written.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use crate::sql::{SqlAnswer, SqlFailure, SqlRequest, run_sqlite};

/// The name of the hidden subcommand.
pub const SUBCOMMAND: &str = "__sql";

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// A file of the exchange cannot be read or written.
    #[error("{} cannot be used", path.display())]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file of the exchange is not what it should be.
    #[error("{} is not understood", path.display())]
    Json {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

/// Runs the request in the file at `request` and leaves the answer where it says.
pub fn main(request: &Path) -> ExitCode {
    match answer(request) {
        Ok(SqlAnswer::Done(_)) => ExitCode::SUCCESS,
        Ok(SqlAnswer::Failed(_)) => ExitCode::from(1),
        Err(_) => ExitCode::from(2),
    }
}

/// Writes `request` to the file at `path` for a child to read.
///
/// Parameters may be anything that the author bound, so the file is its owner's alone.
pub fn write_request(path: &Path, request: &SqlRequest) -> Result<(), ExchangeError> {
    write(path, request)
}

/// The answer that a child left at `path`.
pub fn read_answer(path: &Path) -> Result<SqlAnswer, ExchangeError> {
    read(path)
}

fn answer(path: &Path) -> Result<SqlAnswer, ExchangeError> {
    let request: SqlRequest = read(path)?;
    let answer = match run_sqlite(&request) {
        Ok(outcome) => SqlAnswer::Done(outcome),
        Err(error) => SqlAnswer::Failed(SqlFailure::new(&error, &request)),
    };
    write(&request.output, &answer)?;
    Ok(answer)
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
