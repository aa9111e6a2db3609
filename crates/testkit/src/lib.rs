//! What tests of several crates share: time and chance that they set, definitions in a line, and
//! where Postgres is.
//!
//! The simulator stands in `tests/sim`, because what it needs of the store must not be in any
//! build of the product.

pub mod chance;
pub mod definitions;
pub mod limited;
pub mod postgres;
pub mod ticks;
pub mod time;
