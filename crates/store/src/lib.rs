//! The only SQL on Millstream's own tables: SQLite and Postgres behind one [`Store`].
//!
//! Reads are questions in the domain's words, a file a noun, with their SQL at the top of the file.
//! A write is a value, [`Batch`], that holds together: all of it is committed or nothing. `control`
//! builds batches from the statements of the nouns; this crate never knows why it is asked.
//!
//! **Invariant.** One SQL text serves both databases; what must differ is a named hole of
//! `dialect`.

pub mod attention;
pub mod batch;
mod changes;
#[cfg(debug_assertions)]
mod crash;
pub mod dead_letters;
pub mod definitions;
pub mod deliveries;
mod dialect;
mod ends;
mod error;
pub mod events;
pub mod gone;
pub mod instance;
pub mod leases;
pub mod live;
mod log;
pub mod loops;
pub mod materializations;
mod migrate;
pub mod outdated;
pub mod overrides;
pub mod partitions;
pub mod plans;
mod postgres;
mod probe;
pub mod queue;
pub mod reports;
pub mod runs;
pub mod sensors;
pub mod slots;
pub mod sources;
mod sqlite;
mod statement;
pub mod steps;
mod store;
#[cfg(feature = "testing")]
pub mod testing;
pub mod ticks;
mod value;
pub mod versions;

pub use batch::{Applied, Batch, Expect, Scope};
#[cfg(debug_assertions)]
pub use crash::CrashPoint;
pub use ends::RunWatch;
pub use error::StoreError;
pub use migrate::{Migration, SchemaState};
pub use postgres::POSTGRES_OPTIONS;
pub use statement::{Sql, all_statements};
pub use store::{Database, Store};
pub use value::{Row, Value};
