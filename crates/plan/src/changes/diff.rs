//! The changes between two manifests, as values that pages and commands show.

use millstream_model::{AssetKey, Manifest, PartitionsName, SkipReason, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::divided::{self, PartsToday};
use super::effects::{self, MadeToday};
use super::things;

/// The fields of one thing whose change is shown.
pub(crate) const FIELDS_MAX: usize = 100;

/// What a change of definitions does.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Changes {
    /// What is added, removed or changed, by kind and name.
    pub things: Vec<Change>,
    /// The assets whose materializations become stale at once, in the order of their keys.
    pub stale: Vec<Stale>,
    /// The assets below those, in the order of their keys: each becomes stale once what it is made
    /// from is made again.
    #[serde(default)]
    pub stale_later: Vec<Stale>,
    /// The assets that are divided in another way, in the order of their keys.
    #[serde(default)]
    pub redivided: Vec<Redivided>,
    /// The schedules that fire at other times than before; unknown here, and filled in by who
    /// knows the time.
    pub retimed: Vec<Retimed>,
    /// The sensors that begin or stop in some tenants; filled in as `retimed` is.
    #[serde(default)]
    pub sensing: Vec<Sensing>,
    /// The schedules of which every tick is skipped from then on, because their job is off, or no
    /// more; filled in as `retimed` is.
    #[serde(default)]
    pub job_off: Vec<JobOff>,
    /// The schedules whose timing or `catch_up` is edited, or that tick no more, while ticks of
    /// them are due and not decided, and of which nothing becomes; unknown here, and filled in by
    /// who knows what is stored.
    #[serde(default)]
    pub lapsing: Vec<Lapsing>,
    /// Those that skip such ticks for another reason than before, or that did not; the same.
    #[serde(default)]
    pub skipped: Vec<Lapsing>,
    /// Those that tick no more and make up for such ticks once they do again; the same.
    #[serde(default)]
    pub kept: Vec<Lapsing>,
    /// Those that tick again, or by another rule, and make up for such ticks at once; the same.
    #[serde(default)]
    pub made_up: Vec<Lapsing>,
    /// Those that do so and make up for such ticks as their runs end; the same.
    #[serde(default)]
    pub held: Vec<Lapsing>,
}

/// One thing that is not what it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The kind of thing, as its section is called: `assets`, `jobs`, ….
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The name that it had, for a schedule or a sensor that goes on under another.
    #[serde(default)]
    pub renamed_from: Option<String>,
    /// What happens to it.
    pub change: ChangeKind,
    /// Its fields that differ, for one that is changed; of a new job whose schedule takes over
    /// another's history that name.
    pub fields: Vec<FieldChange>,
}

/// What happens to a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is another.
    Changed,
}

/// A field that is not what it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    /// The keys down to it, with dots between them.
    pub field: String,
    /// What it was; null when it was not there.
    pub before: Value,
    /// What it is; null when it is not there any more.
    pub after: Value,
    /// The first files that differ, where it is the sources of a step and both are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileDiffers>,
    /// How many more files differ.
    #[serde(default)]
    pub more_files: u64,
}

/// A file of the sources of a step that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDiffers {
    /// Its path below the project's folder.
    pub path: String,
    /// Whether it is new, gone or another.
    pub change: ChangeKind,
}

impl FieldChange {
    /// A field that was `before` and is `after`.
    pub fn of(field: String, before: Value, after: Value) -> Self {
        Self { field, before, after, files: Vec::new(), more_files: 0 }
    }
}

/// An asset whose materializations become stale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stale {
    /// The asset.
    pub asset: AssetKey,
    /// The upstream asset that makes it stale once that is made again; absent when its own code
    /// changes.
    pub upstream: Option<AssetKey>,
    /// How it is divided; one whole when absent.
    pub partitions: Option<PartitionsName>,
    /// How many of its partitions become stale; unknown here, and filled in by who knows.
    #[serde(default)]
    pub built: Option<u64>,
}

/// An asset that is divided in another way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redivided {
    /// The asset.
    pub asset: AssetKey,
    /// How it is divided then; one whole when absent.
    pub partitions: Option<PartitionsName>,
    /// How many partitions that are made are keys no more; unknown where nothing stored is.
    pub gone: Option<u64>,
    /// How many keys are new and were never made; the same.
    pub missing: Option<u64>,
}

/// A schedule that fires at other times than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retimed {
    /// The schedule, as it is shown: `job etl` for the one that a job declares for itself; one that
    /// is renamed by its new name, one that begins or stops in some tenants only with these.
    pub name: String,
    /// The next times as it was; none when it did not fire.
    pub before: Vec<Timestamp>,
    /// The next times as it is; none when it does not fire any more.
    pub after: Vec<Timestamp>,
}

/// A sensor that begins or stops in tenants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sensing {
    /// The sensor, as it is shown: with those tenants where it ticks in others as well.
    pub name: String,
    /// Added where it begins, removed where it stops.
    pub change: ChangeKind,
}

/// A schedule of which every tick is skipped because its job is off, or is no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobOff {
    /// The schedule, as in [`Retimed`].
    pub name: String,
    /// Whether its job is off from then on.
    pub off: bool,
}

/// Ticks of a schedule that are due by its timing as it was and not decided, of which the same
/// becomes once the change is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lapsing {
    /// The schedule, as in [`Retimed`].
    pub name: String,
    /// How many, in all tenants.
    pub count: u32,
    /// Whether there may be more, since those of one tenant are counted so far only.
    #[serde(default)]
    pub at_least: bool,
    /// The nominal time of the first.
    pub since: Timestamp,
    /// Why they are skipped, where they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<SkipReason>,
    /// Who could take them over, where another schedule would have to say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heir: Option<Heir>,
}

/// A schedule that could take over what another one leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heir {
    /// The schedule, as in [`Retimed`].
    pub name: String,
    /// What it would have to say that it was called.
    pub renamed_from: String,
}

impl Changes {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        let Self { things, stale, stale_later, redivided, .. } = self;
        let is_same = things.is_empty() && stale.is_empty() && stale_later.is_empty();
        let Self { retimed, sensing, job_off, .. } = self;
        is_same
            && redivided.is_empty()
            && retimed.is_empty()
            && sensing.is_empty()
            && job_off.is_empty()
    }
}

/// What it means to have `new` live instead of `old`, save for when schedules fire; `today` is what
/// is made today, and what of the partitions of [`divided::divided_anew`], where that is known.
pub fn changes(
    old: &Manifest,
    new: &Manifest,
    today: Option<(&MadeToday, &PartsToday)>,
) -> Changes {
    let (stale, stale_later) = effects::stale(old, new, today.map(|(made, _)| made));
    let redivided = divided::redivided(old, new, today.map(|(_, parts)| parts));
    let things = things::changed(old, new);
    Changes { things, stale, stale_later, redivided, ..Changes::default() }
}
