//! What becomes of definition files, scan after scan.

use millstream_control::{FileChange, FileOutcome, LocationChange};
use millstream_model::view::{FileRow, FileState};
use millstream_model::{
    ContentHash, Diagnostic, ErrorCode, FileManifest, JobName, Place, Severity, TenantId,
};
use millstream_testkit::definitions::{file_of_jobs, job, live, op};

use crate::bench::{Bench, location};

fn good(steps: usize) -> FileManifest {
    let ops = (0..steps).map(|number| op(&format!("s{number}"), &[])).collect();
    file_of_jobs(vec![job("etl", ops)])
}

fn bad(name: &str) -> FileChange {
    let diagnostic = Diagnostic {
        code: ErrorCode::DefinitionValue,
        severity: Severity::Error,
        message: "no".to_owned(),
        place: Place { file: name.to_owned(), line: 1, column: 1 },
        help: None,
    };
    let checksum = ContentHash::of(b"broken");
    let outcome = FileOutcome::Bad { checksum, diagnostics: vec![diagnostic] };
    FileChange { name: name.to_owned(), outcome }
}

async fn file(bench: &Bench) -> FileRow {
    bench.control.location_views().await.unwrap().remove(0).files.remove(0)
}

async fn jobs(bench: &Bench) -> Vec<(JobName, u32)> {
    let rows = bench.control.job_rows(&TenantId::default_tenant()).await.unwrap();
    rows.into_iter().map(|row| (row.name, row.steps)).collect()
}

#[tokio::test]
async fn r175_the_last_good_version_stays_live_until_the_file_is_fixed() {
    let bench = Bench::empty().await;
    bench.scan(vec![live("a.yaml", good(1))]).await;
    let first = file(&bench).await;
    assert_eq!(first.state, FileState::Live);

    bench.scan(vec![bad("a.yaml")]).await;
    let broken = file(&bench).await;
    assert_eq!((broken.state, &broken.version), (FileState::LastGood, &first.version));
    assert_eq!(broken.loaded_at, first.loaded_at);
    assert_eq!(broken.diagnostics.len(), 1);
    assert_eq!(jobs(&bench).await, [("etl".parse().unwrap(), 1)]);

    bench.scan(vec![live("a.yaml", good(2))]).await;
    let fixed = file(&bench).await;
    assert_eq!(fixed.state, FileState::Live);
    assert!(fixed.diagnostics.is_empty());
    assert_eq!(jobs(&bench).await, [("etl".parse().unwrap(), 2)]);
}

#[tokio::test]
async fn r175_a_file_that_was_never_good_stops_no_other() {
    let bench = Bench::empty().await;
    bench.scan(vec![live("good.yaml", good(1)), bad("bad.yaml")]).await;
    let views = bench.control.location_views().await.unwrap();
    let states: Vec<_> = views[0].files.iter().map(|row| (row.name.as_str(), row.state)).collect();
    assert_eq!(states, [("bad.yaml", FileState::Broken), ("good.yaml", FileState::Live)]);
    assert_eq!(jobs(&bench).await.len(), 1);
}

#[tokio::test]
async fn r177_a_deleted_file_takes_its_jobs_away_and_brings_them_back_with_it() {
    let bench = Bench::empty().await;
    bench.scan(vec![live("a.yaml", good(1))]).await;
    let run = bench.launch("etl").await;

    let gone = FileChange { name: "a.yaml".to_owned(), outcome: FileOutcome::Deleted };
    bench.scan(vec![gone]).await;
    assert_eq!(file(&bench).await.state, FileState::Deleted);
    assert!(jobs(&bench).await.is_empty());
    assert_eq!(bench.row(run).await.title, "etl", "its history stays");
    assert_eq!(bench.claim().await.len(), 1, "a run that was queued has its own frozen plan");

    bench.scan(vec![live("a.yaml", good(1))]).await;
    assert_eq!(file(&bench).await.state, FileState::Live);
    assert_eq!(jobs(&bench).await.len(), 1);
}

#[tokio::test]
async fn the_same_content_again_is_no_new_version() {
    let bench = Bench::empty().await;
    bench.scan(vec![live("a.yaml", good(1))]).await;
    let first = file(&bench).await;
    bench.clock.advance(std::time::Duration::from_mins(1));
    bench.scan(vec![live("a.yaml", good(1))]).await;
    let second = file(&bench).await;
    assert_eq!((second.version, second.loaded_at), (first.version, first.loaded_at));
}

#[tokio::test]
async fn r176_a_scan_that_finds_nothing_new_leaves_the_version_of_the_location() {
    let bench = Bench::empty().await;
    bench.scan(vec![live("a.yaml", good(1))]).await;
    let before = bench.control.location_version(&location()).await.unwrap();
    bench.scan(Vec::new()).await;
    assert_eq!(bench.control.location_version(&location()).await.unwrap(), before);
}

#[tokio::test]
async fn of_two_scans_at_once_the_second_changes_nothing() {
    let bench = Bench::empty().await;
    let seen_version = bench.control.location_version(&location()).await.unwrap();
    let change = |name: &str, steps| LocationChange {
        location: location(),
        seen_version,
        files: vec![live(name, good(steps))],
        stale: None,
    };
    bench.control.apply_scan(&change("a.yaml", 1)).await.unwrap();
    let second = bench.control.apply_scan(&change("a.yaml", 2)).await;
    assert!(second.is_err_and(|error| error.is_conflict()));
    assert_eq!(jobs(&bench).await, [("etl".parse().unwrap(), 1)]);
}

#[tokio::test]
async fn r178_a_root_that_cannot_be_believed_keeps_its_jobs_and_says_since_when() {
    let bench = Bench::empty().await;
    bench.scan(vec![live("a.yaml", good(1))]).await;
    let since = bench.control.now();
    for _ in 0..2 {
        let seen_version = bench.control.location_version(&location()).await.unwrap();
        let stale = Some("the root is missing".to_owned());
        let change = LocationChange { location: location(), seen_version, files: vec![], stale };
        bench.control.apply_scan(&change).await.unwrap();
        bench.clock.advance(std::time::Duration::from_mins(1));
    }
    let view = bench.control.location_views().await.unwrap().remove(0);
    assert_eq!(view.location.stale_since, Some(since));
    assert_eq!(view.files[0].state, FileState::Stale);
    assert_eq!(jobs(&bench).await.len(), 1);

    bench.scan(Vec::new()).await;
    assert_eq!(file(&bench).await.state, FileState::Live);
}
