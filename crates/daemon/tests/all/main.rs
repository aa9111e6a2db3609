//! Scans of real folders into a store in memory.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

mod instance;
mod launches;
mod logs;
mod lost;
mod requests;
mod scan;
mod sources;
mod versions;
