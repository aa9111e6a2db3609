//! The commands, a file a noun.

mod answer;
mod asset;
mod compared;
mod daemon;
mod dead_letter;
mod definitions;
mod demo;
mod dispatch;
mod error_pages;
mod errors;
pub(crate) mod files;
mod job;
mod outcome;
mod partition;
mod plan;
mod queue;
mod run;
mod schedule;
mod schema;
mod sensor;
mod tenant;
mod tenants;
mod ticking;
mod versions;
mod wait;
mod why;
mod worker;

pub(crate) use dispatch::run;
