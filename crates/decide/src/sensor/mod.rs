//! What a sensor's tick comes to: from what was found to requests, from an answer to a verdict.
//!
//! Pure: `control::sensor_ticks` knows what was found and what was requested before, and stores
//! what is decided here. No time is read and nothing is asked.
//!
//! **Invariant.** A run key is wanted at most once of one tick, and never when it is known.

mod again;
mod answer;
mod cursor;
mod draft;
mod files;
mod rest;
mod standing;
mod sync;

pub use again::next_try;
pub use answer::{Draft, DraftRequest, Unfit, WARNINGS_MAX, of_answer, read_answer, without_known};
pub use cursor::cursor_of_rows;
pub use draft::{Found, draft, rows};
pub use files::{FILES_MAX, FileSeen, matches, new_files, settled_until};
pub use rest::resting_for;
pub use standing::{forgets, version};
pub use sync::{NamedKeys, SyncPlan, keys_of_rows, sync};

#[cfg(test)]
mod tests;
