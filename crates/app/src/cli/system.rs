//! The commands about the instance itself: what waits, and who works.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// Show the first runs that wait, in their order, and the pools with who holds them.
    Show,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DaemonCommand {
    /// List the loops of each daemon: when it last got around, and who does the work.
    List,
}
