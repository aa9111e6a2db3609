//! Users' data: the databases, services and functions that steps talk to, and the files that IO
//! managers keep.
//!
//! The worker calls it. It never knows runs or our own tables: a caller hands over what to run with
//! every template resolved and every path absolute, and gets back what there is to say about it.
//!
//! **Invariant.** Nothing is left half done: a SQL step is one transaction, a stored result is
//! written beside its place and renamed into it.

pub mod aws;
mod columns;
mod crash;
mod csv_file;
mod files;
pub mod http;
mod identifier;
mod kinds;
mod layout;
mod remedy;
pub mod sql;
pub mod sql_child;
mod stream;
mod table;
mod tables;
mod writer;

#[cfg(debug_assertions)]
pub use crash::crash_at;
pub use files::{Content, FileForm, FileIo, IoError, Loaded};
pub use identifier::{IdentifierError, quote_identifier};
pub use kinds::{IoManager, IoSettings, Output, Place, RunChild, Stored, open};
pub use layout::Address;
pub use remedy::Remedy;
pub use sql::{
    Notices, Session, SqlAnswer, SqlError, SqlFailure, SqlOutcome, SqlRequest, run_postgres,
    run_sqlite,
};
pub use stream::row_count;
pub use table::{Table, TableError, TableFile};
pub use tables::{
    Keeper, Kept, ReadBack, TableAnswer, TableFailure, TableIoError, TableKeeper, TableName,
    TableRead, TableWrite, Written, read_postgres, read_sqlite, write_postgres, write_sqlite,
    write_table,
};
