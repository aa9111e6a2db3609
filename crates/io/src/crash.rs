//! A crash on purpose in the middle of a write of users' data: for tests that kill real processes.
//!
//! The binary asks for one where its environment says so. Not in release builds; see
//! docs/decisions/0007-crashes-on-purpose.md. The points, in their order:
//!
//! - `file:begun`, some of the content is in a file beside its place; `file:written`, all of it is;
//!   `file:placed`, it has its place.
//! - `table:emptied`, what was there is gone in this transaction; `table:filled`, the rows are in;
//!   `table:recorded`, so is who made them; `table:stored`, all is committed.

#[cfg(debug_assertions)]
mod purpose {
    use std::sync::OnceLock;

    /// Set once, before anything is stored: what stores is made deep inside, and takes no tests.
    static POINT: OnceLock<(String, fn())> = OnceLock::new();

    /// Has `crash` called where a write comes to the point called `point`.
    pub fn crash_at(point: &str, crash: fn()) {
        POINT.get_or_init(|| (point.to_owned(), crash));
    }

    pub(crate) fn reach(point: &str) {
        if let Some((_, crash)) = POINT.get().filter(|(wanted, _)| wanted == point) {
            crash();
        }
    }
}

#[cfg(debug_assertions)]
pub use purpose::crash_at;
#[cfg(debug_assertions)]
pub(crate) use purpose::reach;

/// Nothing: no release crashes.
#[cfg(not(debug_assertions))]
pub(crate) fn reach(_point: &str) {}
