//! What `millstream-io` promises to the worker, on real files and databases.

mod files;
mod sqlite;
