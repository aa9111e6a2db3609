//! What scans do to what is live.

use std::sync::Arc;

use millstream_blob::Blobs;
use millstream_control::{Control, Deletions, Seams, Store};
use millstream_daemon::{Root, ScanReport, scan};
use millstream_model::view::{FileRow, FileState};
use millstream_model::{LocationName, RunId, RunRequest, TenantId};
use millstream_testkit::chance::SeededEntropy;
use millstream_testkit::time::FakeClock;

use crate::logs;

const GOOD: &str = r#"{"nodes": [{"id": "a", "type": "noop", "config": {}}]}"#;
const OTHER: &str = r#"{"nodes": [{"id": "b", "type": "noop", "config": {}}]}"#;

/// A folder of definitions, and the instance that scans it.
pub(crate) struct Folder {
    pub(crate) home: tempfile::TempDir,
    pub(crate) control: Control,
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) root: Root,
}

impl Folder {
    pub(crate) async fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::in_memory().unwrap();
        let clock = Arc::new(FakeClock::default());
        let control = Control::new(
            store,
            Seams { clock: clock.clone(), entropy: Arc::new(SeededEntropy::new(1)) },
        );
        control.add_location(&location(), "here").await.unwrap();
        let root = Root::new(folder.path().to_owned());
        let new = Self { home: folder, control, clock, root };
        for (name, content) in files {
            new.write(name, content);
        }
        new
    }

    /// The same folder, whose steps' sources lie in it too, as a process that begins sees it.
    pub(crate) fn with_sources(self) -> Self {
        let home = self.home.path().to_owned();
        let blobs = Blobs::folder(home.join(".millstream"));
        Self { root: Root::new(home.clone()).with_sources(home, blobs), ..self }
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub(crate) fn delete(&self, name: &str) {
        std::fs::remove_file(self.home.path().join(name)).unwrap();
    }

    pub(crate) async fn scan(&mut self) -> ScanReport {
        scan(&self.control, &location(), &mut self.root, Deletions::Guarded).await.unwrap()
    }

    pub(crate) async fn file(&self, name: &str) -> FileRow {
        let views = self.control.location_views().await.unwrap();
        views[0].files.iter().find(|file| file.name == name).unwrap().clone()
    }

    pub(crate) async fn jobs(&self) -> Vec<String> {
        let catalog = self.control.catalog().await.unwrap();
        let jobs = catalog.manifests().flat_map(|manifest| manifest.jobs.keys());
        jobs.map(ToString::to_string).collect()
    }

    /// The steps that a run of `job` launched now would have.
    pub(crate) async fn steps(&self, job: &str) -> Vec<String> {
        self.steps_of(self.launch(job).await).await
    }

    /// Launches a run of `job`.
    pub(crate) async fn launch(&self, job: &str) -> RunId {
        let request = RunRequest {
            tenant: TenantId::default_tenant(),
            cause: Control::by_hand("test"),
            partition: None,
            context: serde_json::Map::new(),
            tags: std::collections::BTreeMap::new(),
        };
        let launched = self.control.launch_job(&request, &job.parse().unwrap()).await.unwrap();
        launched.run_id
    }

    /// The steps that a run has.
    pub(crate) async fn steps_of(&self, run: RunId) -> Vec<String> {
        let view = self.control.run_view(&TenantId::default_tenant(), run).await.unwrap();
        view.steps.iter().map(|step| step.step.to_string()).collect()
    }
}

pub(crate) fn location() -> LocationName {
    "project".parse().unwrap()
}

#[tokio::test]
async fn r158_a_file_that_is_dropped_in_is_listed_after_the_next_scan() {
    let mut folder = Folder::new(&[("a.json", GOOD)]).await;
    assert_eq!(folder.scan().await.loaded, 1);
    folder.write("production/b.yaml", "nodes: [{id: b, type: noop, config: {}}]");
    assert_eq!(folder.scan().await.loaded, 1);
    assert_eq!(folder.jobs().await, ["a", "production/b"]);
}

#[tokio::test]
async fn r162_an_unchanged_root_changes_nothing_and_an_edit_makes_one_version() {
    let mut folder = Folder::new(&[("a.json", GOOD)]).await;
    folder.scan().await;
    let first = folder.file("a.json").await;
    let report = folder.scan().await;
    assert_eq!((report.loaded, report.failed, report.deleted), (0, 0, 0));
    folder.write("a.json", OTHER);
    assert_eq!(folder.scan().await.loaded, 1);
    assert_ne!(folder.file("a.json").await.version, first.version);
    assert_eq!(folder.steps("a").await, ["b"]);
}

#[tokio::test]
async fn r163_the_loader_says_what_it_does_in_document_004s_words() {
    logs::listen();
    let mut folder = Folder::new(&[("a.json", GOOD), ("bad.json", "{}"), ("b.json", GOOD)]).await;
    folder.scan().await;
    let path = |name: &str| folder.home.path().join(name).display().to_string();
    let (a, bad) = (path("a.json"), path("bad.json"));
    let logged = logs::take();
    for line in [
        format!("[DAG_LOADER] Loading DAG: a from local:{a}"),
        "[DAG_LOADER] Successfully loaded DAG: a".to_owned(),
        format!("[DAG_LOADER] Loading DAG: bad from local:{bad}"),
        "[DAG_LOADER] Failed to load DAG bad: Missing required fields: nodes".to_owned(),
    ] {
        assert!(logged.contains(&line), "{line:?} is not in {logged:#?}");
    }
    folder.delete("b.json");
    folder.scan().await;
    assert!(logs::take().contains(&"[DAG_LOADER] DAG deleted: b".to_owned()));
}

#[tokio::test]
async fn r175_a_broken_edit_leaves_the_last_good_version_running_and_a_fix_replaces_it() {
    let mut folder = Folder::new(&[("a.json", GOOD), ("b.json", GOOD)]).await;
    folder.scan().await;

    folder.write("a.json", r#"{"nodes": []}"#);
    let report = folder.scan().await;
    assert_eq!((report.loaded, report.failed), (0, 1));
    let file = folder.file("a.json").await;
    assert_eq!(file.state, FileState::LastGood);
    assert_eq!(file.diagnostics[0].message, "DAG must have at least one node");
    assert_eq!(folder.steps("a").await, ["a"], "the last good version runs");

    folder.write("a.json", OTHER);
    folder.scan().await;
    let file = folder.file("a.json").await;
    assert_eq!((file.state, file.diagnostics.len()), (FileState::Live, 0));
    assert_eq!(folder.steps("a").await, ["b"]);
}

#[tokio::test]
async fn r175_one_bad_file_of_a_hundred_leaves_ninety_nine() {
    let files: Vec<(String, &str)> = (0..100)
        .map(|number| (format!("j{number:02}.json"), if number == 50 { "{" } else { GOOD }))
        .collect();
    let files: Vec<(&str, &str)> =
        files.iter().map(|(name, content)| (name.as_str(), *content)).collect();
    let mut folder = Folder::new(&files).await;
    let report = folder.scan().await;
    assert_eq!((report.loaded, report.failed), (99, 1));
    assert_eq!(folder.file("j50.json").await.state, FileState::Broken);
    assert_eq!(folder.jobs().await.len(), 99);
}

#[tokio::test]
async fn r176_the_same_bad_content_is_one_error_however_often_it_is_scanned() {
    logs::listen();
    let mut folder = Folder::new(&[("bad.json", "{}")]).await;
    for _ in 0..5 {
        folder.scan().await;
    }
    folder.write("other.json", GOOD);
    folder.scan().await;
    let failures =
        logs::take().iter().filter(|line| line.contains("Failed to load DAG bad")).count();
    assert_eq!(failures, 1);
}

#[tokio::test]
async fn r177_a_deleted_file_takes_its_job_away_and_keeps_its_history() {
    let mut folder = Folder::new(&[("a.json", GOOD), ("b.json", GOOD)]).await;
    folder.scan().await;
    folder.steps("a").await;
    folder.delete("a.json");
    assert_eq!(folder.scan().await.deleted, 1);
    assert_eq!(folder.jobs().await, ["b"]);
    assert_eq!(folder.file("a.json").await.state, FileState::Deleted);
    let tenants = [TenantId::default_tenant()];
    let filter = millstream_control::RunFilter::default();
    let runs = folder.control.store().run_list(&tenants, &filter, 10).await.unwrap();
    assert_eq!(runs.len(), 1, "its run stays");

    folder.write("a.json", GOOD);
    folder.scan().await;
    assert_eq!(folder.jobs().await, ["a", "b"], "re-adding it brings it back");
}

#[tokio::test]
async fn r178_a_root_that_empties_at_once_is_stale_until_somebody_confirms() {
    let mut folder = Folder::new(&[("a.json", GOOD), ("b.json", GOOD)]).await;
    folder.scan().await;
    folder.delete("a.json");
    folder.delete("b.json");
    let report = folder.scan().await;
    assert!(report.stale.is_some());
    assert_eq!(folder.jobs().await, ["a", "b"]);
    assert_eq!(folder.file("a.json").await.state, FileState::Stale);

    let control = folder.control.clone();
    let accepted = scan(&control, &location(), &mut folder.root, Deletions::Accepted).await;
    assert_eq!(accepted.unwrap().deleted, 2);
    assert!(folder.jobs().await.is_empty());
}

#[tokio::test]
async fn r178_a_root_that_is_gone_disables_nothing_and_recovers() {
    let mut folder = Folder::new(&[("a.json", GOOD)]).await;
    folder.scan().await;
    let path = folder.home.path().to_owned();
    let away = path.with_extension("away");
    std::fs::rename(&path, &away).unwrap();
    assert!(folder.scan().await.stale.is_some());
    assert_eq!(folder.file("a.json").await.state, FileState::Stale);
    std::fs::rename(&away, &path).unwrap();
    assert_eq!(folder.scan().await.stale, None);
    assert_eq!(folder.file("a.json").await.state, FileState::Live);
}

#[tokio::test]
async fn r167_a_name_that_is_taken_is_refused_on_the_later_file_in_every_scan() {
    let mut folder = Folder::new(&[("a.json", GOOD)]).await;
    folder.scan().await;
    let version = folder.file("a.json").await.version;
    folder.write("a.yaml", "nodes: [{id: z, type: noop, config: {}}]");
    for _ in 0..5 {
        folder.scan().await;
        let later = folder.file("a.yaml").await;
        assert_eq!(later.state, FileState::Broken);
        assert_eq!(later.diagnostics[0].code.as_str(), "definition-name-taken");
        assert_eq!(folder.file("a.json").await.version, version);
    }
    folder.delete("a.json");
    folder.scan().await;
    assert_eq!(folder.file("a.yaml").await.state, FileState::Live, "the name is free now");
}

#[tokio::test]
async fn a_file_that_needs_another_goes_live_once_the_other_comes() {
    let needs = "assets: {b: {deps: [a], step: {kind: noop}}}";
    let mut folder = Folder::new(&[("b.yaml", needs), ("ok.json", GOOD)]).await;
    folder.scan().await;
    assert_eq!(folder.file("b.yaml").await.state, FileState::Broken);
    folder.write("a.yaml", "assets: {a: {step: {kind: noop}}}");
    folder.scan().await;
    assert_eq!(folder.file("b.yaml").await.state, FileState::Live);
}

#[tokio::test]
async fn r180_a_half_written_file_is_an_error_until_it_is_complete_and_nothing_else_stops() {
    let mut folder = Folder::new(&[("a.json", GOOD), ("b.json", GOOD)]).await;
    folder.scan().await;
    let half = GOOD.len() / 2;
    folder.write("a.json", &OTHER[..half]);
    folder.scan().await;
    assert_eq!(folder.file("a.json").await.state, FileState::LastGood);
    assert_eq!(folder.steps("a").await, ["a"]);
    folder.write("a.json", OTHER);
    folder.scan().await;
    assert_eq!(folder.file("a.json").await.state, FileState::Live);
}

#[tokio::test]
async fn r084_a_job_whose_selection_names_nothing_is_an_error_at_load_with_its_place() {
    let jobs = "jobs:\n  good: { select: a }\n  bad: { select: 'nothing+' }\n";
    let assets = "assets: {a: {step: {kind: noop}}}";
    let mut folder = Folder::new(&[("assets.yaml", assets), ("jobs.yaml", jobs)]).await;
    folder.scan().await;
    let file = folder.file("jobs.yaml").await;
    assert_eq!(file.state, FileState::Broken);
    assert_eq!(file.diagnostics[0].code.as_str(), "asset-unknown");
    assert_eq!(file.diagnostics[0].place.line, 3);
}

#[tokio::test]
async fn a_job_moved_out_of_a_file_with_an_error_is_used_when_that_is_mended() {
    let job = |name: &str| format!("  {name}: {{nodes: [{{id: a, type: noop}}]}}\n");
    let both = format!("jobs:\n{}{}", job("etl"), job("report"));
    let mut folder = Folder::new(&[("a.yaml", &both)]).await;
    folder.scan().await;
    let broken = "jobs:\n  etl: {timeout: soon, nodes: [{id: a, type: noop}]}\n";
    folder.write("a.yaml", broken);
    folder.write("b.yaml", &format!("jobs:\n{}", job("report")));
    folder.scan().await;
    assert_eq!(folder.file("a.yaml").await.diagnostics[0].place.line, 2);
    let moved = folder.file("b.yaml").await;
    let [only] = moved.diagnostics.as_slice() else { panic!("{moved:?}") };
    let live = "The job `report` is still live from an older version of `a.yaml`, which is not \
                used as it is now";
    assert_eq!((only.place.line, only.message.as_str()), (2, live));
    assert_eq!(folder.jobs().await, ["etl", "report"]);
    folder.write("a.yaml", &format!("jobs:\n{}", job("etl")));
    assert_eq!(folder.scan().await.loaded, 2);
    assert_eq!(folder.file("b.yaml").await.state, FileState::Live);
    assert_eq!(folder.jobs().await, ["etl", "report"]);
}

#[tokio::test]
async fn of_two_servers_with_other_files_the_one_that_changed_last_is_believed() {
    let mut one = Folder::new(&[("a.json", GOOD), ("gone.json", GOOD)]).await;
    let other = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| {
        std::fs::write(other.path().join(name), content).unwrap();
    };
    for (name, content) in [("a.json", GOOD), ("gone.json", GOOD)] {
        write(name, content);
    }
    let mut two = Root::new(other.path().to_owned());
    let of = async |root: &mut Root, control: &Control| {
        scan(control, &location(), root, Deletions::Guarded).await.unwrap()
    };
    one.scan().await;
    of(&mut two, &one.control.clone()).await;
    // The files of the second change, and both scan again and again.
    write("a.json", OTHER);
    write("new.json", GOOD);
    std::fs::remove_file(other.path().join("gone.json")).unwrap();
    let changed = of(&mut two, &one.control.clone()).await;
    assert_eq!((changed.loaded, changed.deleted), (2, 1));
    let live = one.file("a.json").await.version;
    for _ in 0..3 {
        assert_eq!((one.scan().await.loaded, one.scan().await.deleted), (0, 0));
        assert_eq!(of(&mut two, &one.control.clone()).await.loaded, 0);
        assert_eq!(one.file("a.json").await.version, live);
        assert_eq!(one.jobs().await, ["a", "new"]);
    }
    // The first gets a part of it, and then takes that back: it has changed last.
    one.write("a.json", OTHER);
    assert_eq!(one.scan().await.loaded, 0);
    one.write("a.json", GOOD);
    assert_eq!(one.scan().await.loaded, 1);
    assert_ne!(one.file("a.json").await.version, live);
    one.write("a.json", OTHER);
    assert_eq!(one.scan().await.loaded, 1);
    // Another file of the first changes, and nothing else of it is news.
    one.write("own.json", GOOD);
    assert_eq!(one.scan().await.loaded, 1);
    assert_eq!(one.file("a.json").await.version, live);
    assert_eq!(one.jobs().await, ["a", "new", "own"]);
    assert_eq!(of(&mut two, &one.control.clone()).await.deleted, 0, "it never had that one");
    // What changes here is news again, and so is all that a server finds that starts.
    one.write("a.json", GOOD);
    one.write("a.json", &GOOD.replace("\"a\"", "\"c\""));
    assert_eq!(one.scan().await.loaded, 1);
    assert_ne!(one.file("a.json").await.version, live);
    let mut started = Root::new(other.path().to_owned());
    of(&mut started, &one.control.clone()).await;
    assert_eq!(one.file("a.json").await.version, live);
    assert_eq!(one.jobs().await, ["a", "new"]);
}

#[tokio::test]
async fn of_two_scans_at_once_the_slower_looks_again_and_neither_fails() {
    let mut folder = Folder::new(&[]).await;
    let mut other = Root::new(folder.home.path().to_owned());
    for number in 0..10 {
        folder.write(&format!("{number}.json"), GOOD);
        let (control, here) = (&folder.control, location());
        let one = scan(control, &here, &mut folder.root, Deletions::Guarded);
        let two = scan(control, &here, &mut other, Deletions::Guarded);
        let (one, two) = tokio::join!(one, two);
        assert_eq!(one.unwrap().loaded + two.unwrap().loaded, 1);
    }
}
