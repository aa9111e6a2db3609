//! Versions of files: their history, the way back, and what ends it.

use millstream_blob::Blobs;
use millstream_control::Rollback;
use millstream_daemon::{RollbackError, rollback};
use millstream_model::RollbackOutcome;
use millstream_model::view::FileState;

use crate::scan::{Folder, location};

fn noop(step: &str) -> String {
    format!(r#"{{"nodes": [{{"id": "{step}", "type": "noop"}}]}}"#)
}

/// A folder whose file `a.json` has had the steps `one`, `two` and `three`.
async fn edited_thrice() -> Folder {
    let mut folder = Folder::new(&[("a.json", &noop("one"))]).await;
    folder.scan().await;
    for step in ["two", "three"] {
        folder.write("a.json", &noop(step));
        assert_eq!(folder.scan().await.loaded, 1);
    }
    folder
}

pub(crate) async fn back(
    folder: &Folder,
    file: &str,
    number: u32,
) -> Result<RollbackOutcome, RollbackError> {
    let wish = Rollback { file: file.to_owned(), number, by: "ana".to_owned() };
    let blobs = Blobs::folder(folder.home.path().join(".millstream"));
    rollback(&folder.control, &blobs, wish).await
}

async fn numbers(folder: &Folder) -> Vec<u32> {
    let history = folder.control.file_history("a.json").await.unwrap();
    history.versions.iter().map(|version| version.number).collect()
}

fn is_live(outcome: &Result<RollbackOutcome, RollbackError>) -> bool {
    matches!(outcome, Ok(RollbackOutcome::Live { .. }))
}

#[tokio::test]
async fn r204_a_rollback_runs_v1_survives_rescans_and_ends_with_the_next_edit() {
    let mut folder = edited_thrice().await;
    assert_eq!(numbers(&folder).await, [3, 2, 1]);
    assert_eq!(folder.steps("a").await, ["three"]);

    assert!(is_live(&back(&folder, "a.json", 1).await));
    let row = folder.file("a.json").await;
    let pin = row.pin.unwrap();
    assert_eq!((row.state, row.number), (FileState::Live, Some(1)));
    assert_eq!((pin.number, pin.by.as_str()), (1, "ana"));
    assert_eq!(folder.steps("a").await, ["one"]);

    for _ in 0..2 {
        assert_eq!(folder.scan().await.loaded, 0);
        assert_eq!(folder.steps("a").await, ["one"]);
    }
    folder.write("b.json", &noop("other"));
    assert_eq!(folder.scan().await.loaded, 1, "other files go on as ever");
    assert_eq!(folder.steps("a").await, ["one"]);

    folder.write("a.json", &noop("four"));
    assert_eq!(folder.scan().await.loaded, 1);
    assert_eq!(folder.steps("a").await, ["four"]);
    assert_eq!(folder.file("a.json").await.pin, None);
    assert_eq!(numbers(&folder).await, [4, 3, 2, 1]);
}

#[tokio::test]
async fn r204_a_run_that_is_queued_keeps_its_own_version() {
    let folder = edited_thrice().await;
    let run = folder.launch("a").await;
    assert!(is_live(&back(&folder, "a.json", 1).await));
    assert_eq!(folder.steps_of(run).await, ["three"]);
    assert_eq!(folder.steps("a").await, ["one"]);
}

#[tokio::test]
async fn r204_an_edit_with_an_error_ends_the_rollback_and_keeps_its_version_as_the_last_good_one() {
    let mut folder = edited_thrice().await;
    assert!(is_live(&back(&folder, "a.json", 1).await));
    folder.write("a.json", "{");
    assert_eq!(folder.scan().await.failed, 1);
    let row = folder.file("a.json").await;
    assert_eq!((row.state, row.pin), (FileState::LastGood, None));
    assert_eq!(folder.steps("a").await, ["one"]);
    folder.write("a.json", &noop("three"));
    folder.scan().await;
    assert_eq!(folder.steps("a").await, ["three"]);
}

#[tokio::test]
async fn r204_going_on_to_the_newest_version_ends_the_rollback() {
    let mut folder = edited_thrice().await;
    assert!(is_live(&back(&folder, "a.json", 1).await));
    assert!(is_live(&back(&folder, "a.json", 3).await));
    folder.scan().await;
    let stored = folder.control.store().definition_files(&location()).await.unwrap();
    assert!(!stored[0].checksum.as_str().is_empty(), "the scan has looked at it anew");
    let row = folder.file("a.json").await;
    assert_eq!((row.number, row.pin), (Some(3), None));
    assert_eq!(folder.steps("a").await, ["three"]);
    assert_eq!(numbers(&folder).await, [3, 2, 1]);
}

#[tokio::test]
async fn a_way_back_from_a_broken_file_is_not_undone_by_the_next_scan() {
    let mut folder = edited_thrice().await;
    folder.write("a.json", "{");
    folder.scan().await;
    let wrong = folder.file("a.json").await.diagnostics;
    assert!(is_live(&back(&folder, "a.json", 2).await));
    for _ in 0..2 {
        let row = folder.file("a.json").await;
        assert_eq!((row.state, row.number), (FileState::LastGood, Some(2)));
        assert_eq!((row.pin.map(|pin| pin.number), &row.diagnostics), (Some(2), &wrong));
        assert_eq!(folder.steps("a").await, ["two"]);
        folder.scan().await;
    }
    folder.write("a.json", &noop("four"));
    folder.scan().await;
    let row = folder.file("a.json").await;
    assert_eq!((row.state, row.pin, row.diagnostics), (FileState::Live, None, vec![]));
}

#[tokio::test]
async fn a_version_that_does_not_fit_the_other_files_is_refused_and_changes_nothing() {
    let resource = |name: &str| format!("resources: {{{name}: {{kind: sqlite, path: x.db}}}}");
    let job = |resource: &str| {
        format!(
            "nodes: [{{id: a, type: sql, config: {{resource: {resource}, statements: select 1}}}}]"
        )
    };
    let mut folder = Folder::new(&[("r.yaml", &resource("old")), ("j.yaml", &job("old"))]).await;
    folder.scan().await;
    folder.write("r.yaml", &resource("new"));
    folder.write("j.yaml", &job("new"));
    folder.scan().await;
    let Ok(RollbackOutcome::Refused { diagnostics }) = back(&folder, "j.yaml", 1).await else {
        panic!("it names a resource that is gone");
    };
    assert!(diagnostics[0].message.contains("`old`"), "{diagnostics:#?}");
    assert_eq!(folder.file("j.yaml").await.number, Some(2));
}

#[tokio::test]
async fn a_version_or_file_that_does_not_exist_is_named_with_the_way_out() {
    let mut folder = edited_thrice().await;
    let message =
        |outcome: Result<RollbackOutcome, RollbackError>| outcome.unwrap_err().to_string();
    assert_eq!(
        message(back(&folder, "a.json", 9).await),
        "a.json has no version v9; its newest is v3"
    );
    assert!(message(back(&folder, "b.json", 1).await).contains("no definition file b.json"));
    let near = message(back(&folder, "a.jsn", 1).await);
    assert!(near.starts_with("there is no definition file a.jsn (did you mean a.json?)"), "{near}");
    folder.write("b.json", &noop("other"));
    folder.delete("a.json");
    folder.scan().await;
    assert!(message(back(&folder, "a.json", 1).await).contains("was deleted"));
}
