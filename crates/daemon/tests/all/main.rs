//! Scans of real folders into a store in memory.

mod logs;
mod scan;
