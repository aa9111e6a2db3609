//! The commands, a file a noun.

mod answer;
mod asset;
mod definitions;
mod demo;
mod dispatch;
mod job;
mod partition;
mod run;
mod schema;
mod tenant;
mod tenants;
mod wait;
mod worker;

pub(crate) use dispatch::run;
