//! The loops: watch, wake, call a use case of `control`, act on what it decided.
//!
//! [`Daemon::start`] runs them until it is told to stop. A pass takes no input but the store and
//! the time; a notification only says "look now", so a lost one costs a little time and nothing
//! else. Any number of daemons may run on one store, and any may die between any two statements.

mod answers;
mod asked;
mod daemon;
mod direct;
mod files;
mod lost;
mod objects;
mod passes;
mod publish;
mod pulse;
mod rings;
mod rollback;
mod scan;
mod senses;
mod sensors;
mod sources;
mod sweep;
mod together;
mod watch;

pub use daemon::{Daemon, DaemonHandle, Location, Settings};
pub use direct::DirectControlPlane;
pub use files::{Root, definition_files, unreadable};
pub use lost::lost_pass;
pub use passes::{QueuePass, hand_back, queue_pass, schedule_pass};
pub use rollback::{RollbackError, rollback};
pub use scan::{ScanReport, scan};
pub use senses::Senses;
pub use sources::Sources;
pub use sweep::{SweepError, Swept, sweep_sources};
pub use together::{findings_of, together};
