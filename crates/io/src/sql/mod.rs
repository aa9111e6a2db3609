//! SQL steps: statements with bound parameters, in one transaction, on SQLite and on Postgres.
//!
//! The worker builds a [`SqlRequest`]. On SQLite it hands it to a child process
//! ([`crate::sql_child`]), because a statement on a file runs inside whoever executes it; on
//! Postgres it calls [`run_postgres`] itself, since the work happens over there.

mod error;
mod fill;
mod guard;
mod notices;
mod number;
mod postgres;
mod postgres_value;
mod request;
mod rows;
mod sqlite;

pub use error::SqlError;
pub use notices::Notices;
pub use postgres::run_postgres;
pub use request::{Session, SqlAnswer, SqlFailure, SqlOutcome, SqlRequest};
pub use sqlite::run_sqlite;

pub(crate) use fill::{CSV_MAX, JSON_MAX};
pub(crate) use number::Meaning;
pub(crate) use postgres::{CancelOnDrop, connect, said as postgres_said};
pub(crate) use postgres_value::Cell;
pub(crate) use rows::ROWS_MAX;
pub(crate) use rows::RowsWriter;
pub(crate) use sqlite::{bound, open as open_sqlite, said as sqlite_said};
