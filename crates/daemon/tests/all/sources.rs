//! The sources of steps that a scan keeps before their version goes live.

use std::path::PathBuf;

use millstream_model::ErrorCode;
use millstream_model::view::FileState;

use crate::scan::Folder;

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
