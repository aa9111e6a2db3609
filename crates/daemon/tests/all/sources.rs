//! The sources of steps that a scan keeps before their version goes live.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use millstream_blob::{Blobs, SOURCE_UNUSED};
use millstream_control::{LocationChange, SourcesWatch};
use millstream_daemon::{RollbackError, SweepError, Swept, sweep_sources};
use millstream_model::view::FileState;
use millstream_model::{ErrorCode, Program, RollbackOutcome, chain};
use millstream_testkit::definitions::live;
use tokio::sync::watch;

use crate::scan::Folder;
use crate::versions::back;

const STEP: &str = "nodes: [{ id: a, type: command, config: { command: [sh, work.sh] } }]";

async fn with_script() -> Folder {
    let files = [("a.yaml", STEP), ("work.sh", "echo one")];
    let mut folder = Folder::new(&files).await.with_sources();
    assert_eq!(folder.scan().await.loaded, 1);
    folder
}

/// The files in which sources are stored.
fn stored(folder: &Folder) -> Vec<PathBuf> {
    let shards = std::fs::read_dir(folder.home.path().join(".millstream/sources")).unwrap();
    let files = shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap());
    files.map(|file| file.unwrap().path()).collect()
}

#[tokio::test]
async fn a_file_whose_sources_cannot_be_stored_keeps_its_last_good_version_and_says_why() {
    let mut folder = with_script().await;
    let place = folder.home.path().join(".millstream/sources");
    let aside = folder.home.path().join(".millstream/aside");
    std::fs::rename(&place, &aside).unwrap();
    std::fs::write(&place, "in the way").unwrap();
    folder.write("work.sh", "echo two");
    folder.write("b.json", r#"{"nodes": [{"id": "b", "type": "noop", "config": {}}]}"#);
    let report = folder.scan().await;
    assert_eq!((report.loaded, report.failed), (1, 1), "other files go live");
    let file = folder.file("a.yaml").await;
    assert_eq!(file.state, FileState::LastGood);
    assert_eq!(file.diagnostics[0].code, ErrorCode::DefinitionSources);
    let message = &file.diagnostics[0].message;
    assert!(message.starts_with("the sources of its steps cannot be stored: "), "{message}");
    assert_eq!(folder.scan().await.failed, 0, "it is one error, however often it is tried");

    std::fs::remove_file(&place).unwrap();
    std::fs::rename(&aside, &place).unwrap();
    assert_eq!(folder.scan().await.loaded, 1);
    assert_eq!(folder.file("a.yaml").await.state, FileState::Live);
}

#[tokio::test]
async fn sources_that_were_lost_are_stored_anew_by_the_next_process() {
    let mut folder = with_script().await;
    let files = stored(&folder);
    assert_eq!(files.len(), 2, "the script and the list");
    for lost in &files {
        let content = std::fs::read(lost).unwrap();
        std::fs::remove_file(lost).unwrap();
        folder = folder.with_sources();
        assert_eq!(folder.scan().await.loaded, 0);
        assert_eq!(std::fs::read(lost).unwrap(), content);
    }
    for spoilt in &files {
        let content = std::fs::read(spoilt).unwrap();
        std::fs::write(spoilt, "").unwrap();
        folder = folder.with_sources();
        folder.scan().await;
        assert_eq!(std::fs::read(spoilt).unwrap(), content);
    }
}

/// A file of 22 versions, of which the first was replaced 31 days ago, and whose sources nobody has
/// touched for a while.
async fn of_long_ago() -> Folder {
    let mut folder = with_script().await;
    folder.launch("a").await;
    for version in 2..=22 {
        folder.write("work.sh", &format!("echo version {version}"));
        assert_eq!(folder.scan().await.loaded, 1);
    }
    folder.clock.advance(Duration::from_hours(31 * 24));
    age_all(&folder);
    folder
}

fn age_all(folder: &Folder) {
    for file in stored(folder) {
        age(&file);
    }
}

fn age(file: &Path) {
    let file = std::fs::File::options().write(true).open(file).unwrap();
    file.set_modified(SystemTime::now() - 2 * SOURCE_UNUSED).unwrap();
}

fn blobs(folder: &Folder) -> Blobs {
    Blobs::folder(folder.home.path().join(".millstream"))
}

/// What a look for unwanted sources comes to.
async fn look(folder: &Folder) -> Result<Option<Swept>, SweepError> {
    let (mut watch, time_to_live) = (SourcesWatch::default(), Duration::from_secs(30));
    let (_never, mut stop) = watch::channel(false);
    let me = ("me", &mut watch);
    sweep_sources(&folder.control, &blobs(folder), me, time_to_live, &mut stop).await
}

/// How many files it removes.
async fn swept(folder: &Folder) -> Result<Option<u64>, SweepError> {
    look(folder).await.map(|swept| swept.map(|swept| swept.sources.removed))
}

async fn cancel_all(folder: &Folder) {
    let tenant = millstream_model::TenantId::default_tenant();
    for run in folder.control.store().queue_heads(10).await.unwrap() {
        folder.control.cancel(&tenant, run.run, "test").await.unwrap();
    }
}

#[tokio::test]
async fn sources_of_an_old_version_stay_for_a_run_that_is_not_over_and_go_with_it() {
    let folder = of_long_ago().await;
    assert_eq!(stored(&folder).len(), 44);
    assert_eq!(swept(&folder).await.unwrap(), Some(2), "those of v2: a run has those of v1");
    cancel_all(&folder).await;
    assert_eq!(swept(&folder).await.unwrap(), Some(2));
    assert_eq!(swept(&folder).await.unwrap(), Some(0));
}

#[tokio::test]
async fn going_back_to_a_version_whose_sources_are_gone_is_refused_and_keeps_those_it_finds() {
    let folder = of_long_ago().await;
    swept(&folder).await.unwrap();
    let refused = back(&folder, "a.yaml", 2).await.unwrap_err();
    assert!(matches!(refused, RollbackError::SourcesGone { number: 2, .. }), "{refused}");
    assert_eq!(refused.code(), ErrorCode::DefinitionSourcesGone);
    assert_eq!(folder.file("a.yaml").await.number, Some(22));
    assert!(matches!(back(&folder, "a.yaml", 1).await, Ok(RollbackOutcome::Live { .. })));
    cancel_all(&folder).await;
    assert_eq!(swept(&folder).await.unwrap(), Some(0), "v1 is live, and pinned");
}

#[tokio::test]
async fn a_damaged_list_is_told_with_its_file_and_keeps_only_itself() {
    let mut folder = with_script().await;
    let before = stored(&folder);
    for version in 2..=3 {
        folder.write("work.sh", &format!("echo version {version}"));
        folder.scan().await;
    }
    age_all(&folder);
    let is_list = |file: &&PathBuf| std::fs::read_to_string(file).unwrap().starts_with('{');
    let list = before.iter().find(is_list).unwrap();
    std::fs::write(list, "{}").unwrap();
    age(list);
    let swept = look(&folder).await.unwrap().unwrap();
    assert_eq!((swept.sources.removed, &swept.damaged), (1, &vec![list.clone()]));
    assert_eq!(stored(&folder).len(), 5, "the script of v1 alone is gone");
}

#[tokio::test]
async fn nothing_is_removed_while_a_list_has_a_form_that_is_not_known() {
    let folder = of_long_ago().await;
    let location = "project".parse().unwrap();
    let files = folder.control.live_files(&location).await.unwrap();
    let (_, mut content) = files.into_iter().next().unwrap();
    let later = blobs(&folder).put_source(b"[\"of a later version\"]").await.unwrap();
    for (_, program) in content.programs() {
        match program {
            Program::Command(step) => step.sources.code = Some(later.clone()),
            Program::Python(step) => step.sources.code = Some(later.clone()),
        }
    }
    let seen_version = folder.control.location_version(&location).await.unwrap();
    let files = vec![live("a.yaml", content)];
    let change = LocationChange { location, seen_version, files, stale: None };
    folder.control.apply_scan(&change).await.unwrap();
    let refused = look(&folder).await.unwrap_err();
    let path = blobs(&folder).source_path(&later).display().to_string();
    let told = chain(&refused);
    assert!(told.contains(&path) && told.contains("a later one"), "{told}");
    assert_eq!(stored(&folder).len(), 45);
}

#[tokio::test]
async fn a_look_that_is_to_stop_removes_nothing_and_leaves_the_next_to_whoever_comes() {
    let folder = of_long_ago().await;
    let (mut watch, time_to_live) = (SourcesWatch::default(), Duration::from_secs(30));
    let (_stopped, mut stop) = watch::channel(true);
    let (blobs, me) = (blobs(&folder), ("other", &mut watch));
    let stopped = sweep_sources(&folder.control, &blobs, me, time_to_live, &mut stop);
    assert_eq!(stopped.await.unwrap(), None);
    assert_eq!(swept(&folder).await.unwrap(), Some(2));
}

#[tokio::test]
async fn another_daemon_s_look_for_unwanted_sources_is_left_to_it() {
    let folder = of_long_ago().await;
    let mut watch = SourcesWatch::default();
    let time_to_live = Duration::from_secs(30);
    assert!(folder.control.hold_sources("other", &mut watch, time_to_live).await.unwrap());
    assert_eq!(swept(&folder).await.unwrap(), None);
    folder.control.release_sources("other", &mut watch).await.unwrap();
    assert_eq!(swept(&folder).await.unwrap(), Some(2));
}

#[tokio::test]
async fn the_sources_of_what_a_root_holds_are_renewed_and_those_of_what_it_held_are_not() {
    let mut folder = with_script().await;
    folder.write("work.sh", "echo two");
    folder.scan().await;
    age_all(&folder);
    folder.root.renew_sources();
    folder.scan().await;
    let is_fresh = |file: &&PathBuf| {
        let modified = std::fs::metadata(file).unwrap().modified().unwrap();
        modified.elapsed().unwrap() < SOURCE_UNUSED
    };
    assert_eq!(stored(&folder).iter().filter(is_fresh).count(), 2, "the script and its list");
}
