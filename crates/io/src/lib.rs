//! Users' data: the databases that SQL steps talk to, and the files that IO managers keep.
//!
//! The worker calls it. It never knows runs or our own tables: a caller hands over what to run with
//! every template resolved and every path absolute, and gets back what there is to say about it.
//!
//! **Invariant.** Nothing is left half done: a SQL step is one transaction, a stored result is
//! written beside its place and renamed into it.

mod error;
mod files;
pub mod http;
mod identifier;
mod layout;
pub mod sql;
pub mod sql_child;
mod table;
mod writer;

pub use files::{Content, FileIo, IoError, Loaded, Stored};
pub use identifier::{IdentifierError, quote_identifier};
pub use layout::Address;
pub use sql::{SqlAnswer, SqlError, SqlFailure, SqlOutcome, SqlRequest, run_postgres, run_sqlite};
pub use table::{Table, TableError, TableFile};
