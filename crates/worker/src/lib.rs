//! wip
pub mod supervisor;
