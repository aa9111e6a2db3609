//! How a Postgres server is reached: its address, and the encryption of the way to it.
//!
//! `store` reaches the instance's own database by it, `io` the databases of users. It never knows
//! what lies there, keeps no connection, and reads no environment.
//!
//! - [`Address`]: an address in either of the two forms that Postgres's own programs take, with
//!   `sslmode` and `sslrootcert` as they mean them.
//! - [`tls_problem`]: what a refused connection has to do with encryption, in words.

mod address;
mod certificates;
mod parameters;
mod problem;

pub use address::{Address, AddressError, Connector, TlsStream, with_defaults};
pub use problem::tls_problem;
