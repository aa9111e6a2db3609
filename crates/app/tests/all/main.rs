//! What the binary promises to whoever runs it: each test starts it as a process of its own.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what tests share fails as the tests themselves do"
)]

mod aws;
mod bench;
mod browser;
mod cascade;
mod commands;
mod crashes;
mod daemons;
mod database;
mod definitions;
mod demo;
mod editor;
mod failure;
mod flood;
mod guide;
mod http;
mod limits;
mod looking;
mod operating;
mod partitions;
mod places;
mod process;
mod project;
mod python;
mod queue;
mod s3;
mod schedules;
mod sensors;
mod server;
mod shown;
mod sources;
mod steps;
mod tables;
mod told;
mod versions;
mod workers;
mod zombies;
