//! What is said where the definition files of the folder are not those that are live, to somebody
//! whose command loads none.
//!
//! Called by the way to an instance that is shared. It changes nothing, and reads no file that a
//! scan would not read.

use std::collections::{BTreeMap, BTreeSet};

use millstream_control::{Deletions, ScanVerdict, StoredFile};
use millstream_daemon::Root;
use millstream_model::view::FileState;
use millstream_model::{ContentHash, chain, some_names};

use crate::instance::{Instance, location_name};

/// What to say, unless the instance loads the files of its folder: nothing where they are those
/// that are live.
pub(crate) async fn note(instance: &Instance) -> Vec<String> {
    let settings = &instance.settings;
    if settings.loads || !settings.scans {
        return Vec::new();
    }
    let mut root = Root::new(settings.dags.clone())
        .with_sources(settings.project.clone(), instance.blobs.clone());
    let (location, sighting) = (location_name(), root.look());
    // Nothing is deleted here: files that are all gone are others than those that are live.
    let judged = instance.control.judge_scan(&location, (&sighting, None), Deletions::Accepted);
    match judged.await {
        Ok((known, verdict)) => told(&known, &verdict, |name| root.version(name)),
        Err(error) => vec![format!(
            "the definition files here cannot be compared with those that are live: {}",
            chain(&error)
        )],
    }
}

/// What to say of a folder that a scan would judge so; `version` reads the version of a file there.
fn told(
    known: &BTreeMap<String, StoredFile>,
    verdict: &ScanVerdict,
    version: impl FnMut(&str) -> Option<ContentHash>,
) -> Vec<String> {
    if let Some(reason) = &verdict.stale {
        let is_any_live = known.values().any(|file| file.row.version.is_some());
        let unknown =
            || format!("the definition files that are live cannot be looked for here: {reason}");
        return is_any_live.then(unknown).into_iter().collect();
    }
    let Unlike { differ, rolled_back } = compared(known, verdict, version);
    let mut notes = Vec::new();
    if !differ.is_empty() {
        notes.push(if known.is_empty() {
            "no definition file was ever loaded into this database, and this command loads none; \
             start a server, or load those of this folder with `millstream definitions scan`"
                .to_owned()
        } else {
            format!(
                "the definition files here are not those that are live ({}), and this command \
                 loads none; `millstream definitions plan` tells what they would change",
                some_names(&differ)
            )
        });
    }
    if !rolled_back.is_empty() {
        notes.push(format!(
            "definition files are rolled back, so that other versions are live than are here ({}); \
             `millstream definitions history FILE` tells which",
            some_names(&rolled_back)
        ));
    }
    notes
}

/// The files of a folder that are not those that are live.
struct Unlike<'a> {
    /// Those that a scan would load or take out.
    differ: Vec<&'a str>,
    /// Those that it would leave, because somebody went back to another version.
    rolled_back: Vec<&'a str>,
}

/// Compares the folder with what is live: by the version where a file is rolled back, because
/// the content that was last looked at is not what is live of it.
fn compared<'a>(
    known: &'a BTreeMap<String, StoredFile>,
    verdict: &'a ScanVerdict,
    mut version: impl FnMut(&str) -> Option<ContentHash>,
) -> Unlike<'a> {
    let changed = verdict.parse.iter().chain(&verdict.deleted);
    let mut differ: BTreeSet<&str> = changed.map(String::as_str).collect();
    let mut rolled_back = Vec::new();
    let is_pinned =
        |file: &StoredFile| file.pinned.is_some() && file.row.state != FileState::Deleted;
    for (name, file) in known.iter().filter(|(_, file)| is_pinned(file)) {
        if verdict.deleted.contains(name) {
            continue;
        }
        if version(name) == file.row.version {
            differ.remove(name.as_str());
        } else if !differ.contains(name.as_str()) {
            rolled_back.push(name.as_str());
        }
    }
    Unlike { differ: differ.into_iter().collect(), rolled_back }
}
