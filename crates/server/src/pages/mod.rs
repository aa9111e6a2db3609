//! The pages: each file turns what was loaded into HTML, reading neither store nor clock.

pub mod asset;
pub mod assets;
pub mod automation;
pub mod daemons;
pub mod dead_letters;
pub mod definitions;
pub mod error;
pub mod event_line;
pub mod file;
pub mod gantt;
pub mod job;
pub mod log;
pub mod matrix;
pub mod now;
pub mod queue;
pub mod run;
pub mod runs;
pub mod schedule;
pub mod sensor;
pub mod tenants;
pub mod why;
