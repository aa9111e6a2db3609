//! Tables of users' databases: rows are loaded into them, all or none, and read back.
//!
//! A `load` step and the IO manager of kind `table` write by it. What changes about a table is
//! decided by [`change`] for both databases; [`sqlite`] runs in a process of its own as SQL steps
//! do, and [`postgres`] in the worker, because there the server works.
//!
//! **Invariant.** A reader sees the rows of before or those of after: one transaction empties,
//! fills and says whose the table is.
//! **Invariant.** A table of one tenant's asset is never written for another.

mod change;
mod error;
mod keeper;
mod ledger;
mod postgres;
mod request;
mod rows;
mod sqlite;
mod temporary;
mod widen;

pub use error::{TableFailure, TableIoError};
pub use keeper::{TableKeeper, write_table};
pub use postgres::{read_postgres, write_postgres};
pub use request::{Keeper, Kept, ReadBack, TableAnswer, TableName, TableRead, TableWrite, Written};
pub use sqlite::{read_sqlite, write_sqlite};

pub(crate) use temporary::make_inputs;
