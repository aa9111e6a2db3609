//! The REST API that the command line and programs use: JSON in, JSON out.

pub(crate) mod assets;
pub(crate) mod daemons;
pub(crate) mod dead_letters;
pub(crate) mod definitions;
pub(crate) mod hooks;
pub(crate) mod jobs;
pub(crate) mod logs;
pub(crate) mod partitions;
pub(crate) mod runs;
pub(crate) mod schedules;
pub(crate) mod sensors;
pub(crate) mod ticks;
pub(crate) mod versions;
pub(crate) mod why;
