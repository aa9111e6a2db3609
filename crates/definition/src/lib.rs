//! Definition files to manifests: what the files of a root declare, and all that is wrong with it.
//!
//! Used by the daemon's loader and by `millstream definitions validate`. [`parse_file`] reads one
//! file, [`check_location`] puts the files of a code location together. Pure: paths and text are
//! arguments, nothing here reads a file, the environment or a clock.
//!
//! **Invariant.** A file's manifest is there exactly when none of its diagnostics is an error; its
//! draft, which nothing but findings is made of, is there otherwise.
//! **Invariant.** No content makes a function here panic, recurse without bound or report more than
//! a bounded number of diagnostics.

mod assets;
mod blame;
mod circles;
mod cron;
mod draft;
mod fields;
mod file;
mod filters;
mod finding;
mod graph;
mod http;
mod jobs;
mod json;
mod keys;
mod limits;
mod location;
mod names;
mod ops;
mod partitions;
mod places;
mod plain;
mod python;
mod queue;
mod reader;
mod references;
mod reporter;
mod rows;
mod schedules;
mod schema;
mod secret;
mod sensors;
mod settings;
mod sight;
mod source;
mod sql_params;
mod steps;
mod telling;
mod template;
mod template_names;
mod template_tree;
mod timing;
mod tree;
mod triggers;
mod webhook;
mod yaml;

pub use draft::Draft;
pub use file::{EXTENSIONS, ParsedFile, file_hash, parse_file};
pub use graph::{circles, path_text};
pub use location::{LocationCheck, LocationFile, Version, Waiting, check_location};
pub use places::Places;
pub use plain::plain_settings;
pub use schema::{schema, schema_names, schema_of};
