//! The use cases over a store in memory, with a clock and chance that the tests set.

mod bench;
mod cancel;
mod files;
mod launch;
mod lost;
mod partitions;
mod queue;
mod report;
