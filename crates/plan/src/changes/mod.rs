//! What a change of definitions does: what it adds, removes and changes, and what it makes stale.
//!
//! Pure: [`changes`] compares two manifests. `control` asks it for `millstream definitions plan`
//! and for the difference between two versions of a file, and adds when schedules fire from then
//! on.
//!
//! **Invariant.** Two equal manifests differ in nothing.

mod diff;
mod divided;
mod effects;
mod files;
mod renamed;
mod things;

pub use diff::{
    Change, ChangeKind, Changes, FieldChange, FileDiffers, Heir, JobOff, Lapsing, Redivided,
    Retimed, Sensing, Stale, changes,
};
pub use divided::{KEYS_MAX, PartsOfTenant, PartsToday, divided_anew};
pub use effects::MadeToday;
pub use files::{SourceSets, name_files, sets_of};
pub use renamed::{renamed_schedules, renamed_sensors};
pub use things::job_of;
