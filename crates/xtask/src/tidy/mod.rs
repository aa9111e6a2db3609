//! The rules of STYLE.md that a program can check.
//!
//! Each file below is one subject; each rule is a function from texts to [`Finding`]s, with a good
//! and a bad sample in its tests. Nothing here changes a file.

mod crates;
mod docs;
mod errors;
mod finding;
mod names;
mod rules;
mod samples;
mod size;
mod smells;
mod source;
mod sql;
mod tree;
mod words;

pub use finding::Finding;
pub use rules::{findings, report};
