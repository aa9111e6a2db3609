//! Which files differ in the sources of steps, where what those consist of is at hand.
//!
//! Pure. The server asks it of the sets that are kept and of those that come with a proposal, the
//! command line of two folders. Where a set is not at hand, nothing is named.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::{ContentHash, SourceSet};
use serde_json::Value;

use super::diff::{ChangeKind, Changes, FieldChange, FileDiffers};

/// The most files that are named of one step.
const FILES_MAX: usize = 10;

/// What sources consist of, by the hashes of the sets.
pub type SourceSets = BTreeMap<ContentHash, SourceSet>;

/// The sets of sources that `changes` are between.
pub fn sets_of(changes: &Changes) -> BTreeSet<ContentHash> {
    let fields = changes.things.iter().flat_map(|change| &change.fields);
    fields.filter_map(sides).flat_map(<[_; 2]>::from).collect()
}

/// Names the files that differ with each field of `changes` that is of sources in `sets`.
pub fn name_files(changes: &mut Changes, sets: &SourceSets) {
    for field in changes.things.iter_mut().flat_map(|change| &mut change.fields) {
        let Some((before, after)) = sides(field) else { continue };
        let Some((before, after)) = sets.get(&before).zip(sets.get(&after)) else { continue };
        let mut differ = differing(before, after);
        field.more_files = differ.len().saturating_sub(FILES_MAX) as u64;
        differ.truncate(FILES_MAX);
        field.files = differ;
    }
}

/// The sets before and after, of a field that is a step's sources.
fn sides(field: &FieldChange) -> Option<(ContentHash, ContentHash)> {
    let is_code = field.field == "sources.code" || field.field.ends_with(".sources.code");
    let hash = |side: &Value| side.as_str().map(|text| ContentHash::from_stored(text.to_owned()));
    hash(&field.before).zip(hash(&field.after)).filter(|_| is_code)
}

fn differing(before: &SourceSet, after: &SourceSet) -> Vec<FileDiffers> {
    let paths: BTreeSet<&String> = before.files.keys().chain(after.files.keys()).collect();
    let differs = |path: &String| {
        let change = match (before.files.get(path), after.files.get(path)) {
            (before, after) if before == after => return None,
            (None, _) => ChangeKind::Added,
            (_, None) => ChangeKind::Removed,
            _ => ChangeKind::Changed,
        };
        Some(FileDiffers { path: path.clone(), change })
    };
    paths.into_iter().filter_map(differs).collect()
}
