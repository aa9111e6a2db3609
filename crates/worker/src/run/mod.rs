//! One run inside its worker.

mod drive;
mod outbox;
pub(crate) mod results;

pub use drive::{RunEnd, drive};
