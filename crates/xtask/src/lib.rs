//! What keeps the project in order: the checks, the generated texts and the proofs.
//!
//! `main.rs` is its command line, and `tests/tidy.rs` runs the same rules under `cargo test`. It
//! reads the repository and starts cargo; the product never depends on it.

pub mod check;
pub mod generate;
pub mod prove;
pub mod tidy;
