//! `millstream bench`: what this machine can do at best, and what the product does, in one run.
//!
//! A goal has a file of its own; `docs/operations/bench.md` says what each line means. Nothing here
//! is used by the product: the goals call it as `dev` does, in folders that are removed afterwards.
//!
//! **Invariant.** A limit is probed through the writer and the connection that the product uses,
//! between two measurements of the product, and with durability on.

mod bed;
mod burst;
mod chain;
mod claims;
mod cpu;
mod database;
mod definitions;
mod due;
mod figure;
mod flight;
mod folder;
mod idle;
mod job;
mod logs;
mod process;
mod python;
mod python_probe;
mod quick;
mod rounds;
mod scan;
mod sensing;
mod served;
mod server;
mod start;
mod trigger;

pub(crate) use quick::{Order, run};
