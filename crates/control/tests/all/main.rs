//! The use cases over a store in memory, with a clock and chance that the tests set.
#![expect(clippy::unwrap_used, reason = "what tests share fails as the tests themselves do")]

mod bench;
mod cancel;
mod changes;
mod checks;
mod clocks;
mod edits;
mod failure;
mod files;
mod job_off;
mod launch;
mod leases;
mod limits;
mod lost;
mod made_good;
mod overlap;
mod own_runs;
mod part_counts;
mod partitions;
mod planned;
mod problems;
mod provenance;
mod queue;
mod report;
mod schedules;
mod sensor_answers;
mod sensors;
mod silent;
mod under_way;
mod waits;
mod webhooks;
mod why;
mod wishes;
