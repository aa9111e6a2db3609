//! What daemons are asked for.

use std::sync::Arc;
use std::time::Duration;

use millstream_blob::Blobs;
use millstream_control::{Control, Deletions, Patience, QueueLimits, Rollback, TickWatch};
use millstream_daemon::{Daemon, DaemonHandle, Location, Settings};
use millstream_model::{TenantId, TickKind};
use millstream_testkit::time::FakeClock;

use crate::instance::with_job;
use crate::launches::{Never, start};
use crate::scan::{Folder, location};

const JOB: &str = "jobs: { etl: { nodes: [{ id: a, type: noop }] } }\n";
const ON: &str = "schedules: { it: { job: etl, cron: '0 5 * * *', enabled: true } }\n";
const OFF: &str = "schedules: { it: { job: etl, cron: '0 5 * * *', enabled: false } }\n";
const SENSOR: &str = "sensors:
  own: { kind: command, every: 1h, request: { job: etl }, command: [echo, '{}'] }\n";

/// Waits until the request is answered.
async fn answered(control: &Control, request: &str) -> String {
    let mut changes = control.store().changes();
    let answered = async {
        loop {
            if let Some(answer) = control.request_answer(request).await.unwrap() {
                return answer;
            }
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(30), answered).await.unwrap()
}

/// A daemon that scans `folder` and never gets around to its schedules, so that no stop ends it.
async fn scanning(folder: &Folder, ticks: bool) -> DaemonHandle {
    let settings = Settings {
        name: "one".to_owned(),
        limits: QueueLimits::of(None),
        patience: Patience::new(Duration::from_mins(10), 1),
        scan_interval: Duration::from_mins(10),
        scans: true,
        ticks,
        runs: false,
    };
    let root = folder.home.path().to_owned();
    let blobs = Blobs::folder(root.join(".millstream"));
    let location = Location { name: location(), project: root.clone(), root, blobs };
    let daemon =
        Daemon::new(folder.control.clone(), Arc::new(Never::default()), settings, location);
    let daemon = daemon.freezing("schedules").start();
    daemon.scanned().wait_for(|scanned| *scanned).await.unwrap();
    daemon
}

/// Asks for a scan, and waits for it.
async fn asked(control: &Control) {
    let request = control.ask_for_scan(Deletions::Guarded).await.unwrap();
    let answer = answered(control, &request).await;
    assert!(answer.contains("\"files\":1"), "{answer}");
}

#[tokio::test]
async fn a_scan_is_left_to_a_daemon_that_scans() {
    let control = with_job(Arc::new(FakeClock::default())).await;
    let scan = control.ask_for_scan(Deletions::Guarded).await.unwrap();
    let wish = Rollback { file: "defs.yaml".to_owned(), number: 1, by: "ana".to_owned() };
    let later = control.ask_for_rollback(&wish).await.unwrap();
    let daemon = start(&control, Arc::new(Never::default()));
    answered(&control, &later).await;
    daemon.stop().await;
    assert_eq!(control.request_answer(&scan).await.unwrap(), None);
}

#[tokio::test]
async fn a_scan_is_answered_once_what_it_found_stands_where_it_ticks() {
    for ticks in [true, false] {
        let mut folder = Folder::new(&[("a.yaml", &format!("{JOB}{ON}"))]).await;
        folder.scan().await;
        let control = folder.control.clone();
        let time_to_live = Duration::from_mins(10);
        control.tick_schedules("other", &mut TickWatch::default(), time_to_live).await.unwrap();
        let daemon = scanning(&folder, ticks).await;
        let tenant = TenantId::default_tenant();
        let stands = async |kind| {
            let stored = control.store().sources_of_tenant(kind, &tenant, 10).await.unwrap();
            stored.into_values().map(|(it, _)| it.default_on).collect::<Vec<_>>()
        };
        assert_eq!(stands(TickKind::Schedule).await, [true]);

        folder.write("a.yaml", &format!("{JOB}{OFF}{SENSOR}"));
        asked(&control).await;
        assert_eq!(stands(TickKind::Schedule).await, [false]);
        assert_eq!(stands(TickKind::Sensor).await, [true]);
        drop(daemon);
    }
}

#[tokio::test]
async fn a_scan_that_is_asked_for_sees_an_edit_that_left_size_and_time_as_they_were() {
    let folder = Folder::new(&[("a.yaml", &format!("{JOB}{ON}"))]).await;
    let daemon = scanning(&folder, true).await;
    let first = folder.file("a.yaml").await.version;
    let path = folder.home.path().join("a.yaml");
    let before = std::fs::metadata(&path).unwrap().modified().unwrap();
    folder.write("a.yaml", &format!("{JOB}{}", ON.replace("0 5", "0 6")));
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(before).unwrap();
    asked(&folder.control).await;
    assert_ne!(folder.file("a.yaml").await.version, first);
    drop(daemon);
}
