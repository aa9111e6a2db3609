//! One run inside its worker.

mod drive;
mod outbox;
pub(crate) mod results;
mod waiting;

pub use drive::{RunEnd, drive};
