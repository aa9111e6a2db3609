//! What is said where the definition files of the folder are not those that are live, to somebody
//! who only looks.
//!
//! Called by the way to an instance that is shared. It changes nothing, and reads no file that a
//! scan would not read.

use std::collections::BTreeSet;

use millstream_control::Deletions;
use millstream_daemon::Root;
use millstream_model::some_names;

use crate::instance::{Instance, location_name};

/// What to say, unless the instance loads the files of its folder, or they are those that are live
/// as far as can be known.
pub(crate) async fn note(instance: &Instance) -> Option<String> {
    let settings = &instance.settings;
    if settings.loads || !settings.scans {
        return None;
    }
    let mut root = Root::new(settings.dags.clone())
        .with_sources(settings.project.clone(), instance.blobs.clone());
    let (location, sighting) = (location_name(), root.look());
    let judged = instance.control.judge_scan(&location, (&sighting, None), Deletions::Guarded);
    let (known, verdict) = judged.await.ok()?;
    let names: BTreeSet<&str> =
        verdict.parse.iter().chain(&verdict.deleted).map(String::as_str).collect();
    let names: Vec<&str> = names.into_iter().collect();
    if names.is_empty() {
        return None;
    }
    Some(if known.is_empty() {
        "no definition file was ever loaded into this database, and who only looks loads none; \
         start a server, or load those of this folder with `millstream definitions scan`"
            .to_owned()
    } else {
        format!(
            "the definition files here are not those that are live ({}), and who only looks loads \
             none; `millstream definitions plan` tells what they would change",
            some_names(&names)
        )
    })
}
