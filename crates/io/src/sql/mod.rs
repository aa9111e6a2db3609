//! SQL steps: statements with bound parameters, in one transaction, on SQLite and on Postgres.
//!
//! The worker builds a [`SqlRequest`]. On SQLite it hands it to a child process
//! ([`crate::sql_child`]), because a statement on a file runs inside whoever executes it; on
//! Postgres it calls [`run_postgres`] itself, since the work happens over there.

mod error;
mod fill;
mod guard;
mod number;
mod placeholder;
mod postgres;
mod postgres_value;
mod request;
mod rows;
mod sqlite;

pub use error::SqlError;
pub use postgres::run_postgres;
pub use request::{SqlAnswer, SqlFailure, SqlOutcome, SqlRequest};
pub use sqlite::run_sqlite;

pub(crate) use fill::JSON_MAX;
pub(crate) use rows::ROWS_MAX;
