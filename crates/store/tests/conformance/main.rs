//! What every database must do alike, as cases that run on each: an SQLite file, SQLite in memory
//! and Postgres; and, beside them, what only one of them has to prove.
//!
//! Postgres needs `TEST_POSTGRES_URL`, the URL of a superuser; each case gets a database of its
//! own there and works in it as an ordinary login.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a case ends where it fails, and says why it was skipped"
)]

mod batches;
mod costs;
mod databases;
mod definitions;
mod deliveries;
mod events;
mod fixture;
mod isolation;
mod lanes;
mod loops;
mod partitions;
mod process;
mod queue;
mod reading;
mod reports;
mod runs;
mod schema;
mod sensors;
mod steps;
mod tls;
mod trouble;

/// Makes a test of each case on each database.
macro_rules! conformance {
    ($($case:ident),* $(,)?) => {
        crate::conformance!(@on sqlite_file, SqliteFile, $($case),*);
        crate::conformance!(@on sqlite_in_memory, SqliteInMemory, $($case),*);
        crate::conformance!(@on postgres, Postgres, $($case),*);
    };
    (@on $module:ident, $kind:ident, $($case:ident),*) => {
        mod $module {
            $(#[test]
            fn $case() {
                crate::databases::run(crate::databases::Kind::$kind, super::$case);
            })*
        }
    };
}
/// Makes a test of each case on Postgres alone: what the server itself must hold.
macro_rules! on_postgres {
    ($($case:ident),* $(,)?) => {
        crate::conformance!(@on postgres_alone, Postgres, $($case),*);
    };
}
pub(crate) use {conformance, on_postgres};
