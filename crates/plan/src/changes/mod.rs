//! What a change of definitions does: what it adds, removes and changes, what it makes stale, and
//! when schedules fire from then on.
//!
//! Pure: [`changes`] compares two manifests at a time that it is given. `control` asks it for
//! `millstream definitions plan` and for the difference between two versions of a file.
//!
//! **Invariant.** Two equal manifests differ in nothing.

mod diff;
mod effects;
mod things;

pub use diff::{Change, ChangeKind, Changes, FieldChange, Retimed, Stale, changes};
