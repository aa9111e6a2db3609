//! Launches of a daemon that runs: a slow one keeps no other waiting.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use millstream_blob::Blobs;
use millstream_control::{Control, LocationChange, Patience, QueueLimits, Seams, Store};
use millstream_daemon::{Daemon, Location, Settings};
use millstream_launch::{ClaimedRun, LaunchError, RunLauncher, WorkerName};
use millstream_model::{RunRequest, TenantId};
use millstream_testkit::chance::SeededEntropy;
use millstream_testkit::definitions::{file_of_jobs, job, live, op};
use millstream_testkit::time::FakeClock;
use tokio::sync::{Barrier, Notify};

/// Launches that go on at once.
const TOGETHER: usize = 4;

/// A launcher of whose launches none ends before all have begun.
struct Slow {
    together: Barrier,
    all_begun: Notify,
}

impl RunLauncher for Slow {
    fn launch(&self, run: ClaimedRun) -> BoxFuture<'_, Result<WorkerName, LaunchError>> {
        async move {
            if self.together.wait().await.is_leader() {
                self.all_begun.notify_one();
            }
            Ok(run.worker_name())
        }
        .boxed()
    }

    fn stop<'a>(&'a self, _worker: &'a WorkerName) -> BoxFuture<'a, ()> {
        futures_util::future::ready(()).boxed()
    }
}

#[tokio::test]
async fn r015_four_slow_launches_overlap() {
    let clock = Arc::new(FakeClock::default());
    let seams = Seams { clock, entropy: Arc::new(SeededEntropy::new(1)) };
    let control = Control::new(Store::in_memory().unwrap(), seams);
    let name: millstream_model::LocationName = "local".parse().unwrap();
    control.add_location(&name, "/definitions").await.unwrap();
    let file = live("defs.yaml", file_of_jobs(vec![job("etl", vec![op("a", &[])])]));
    let seen_version = control.location_version(&name).await.unwrap();
    let location = name.clone();
    let change = LocationChange { location, seen_version, files: vec![file], stale: None };
    control.apply_scan(&change).await.unwrap();

    let launcher = Arc::new(Slow { together: Barrier::new(TOGETHER), all_begun: Notify::new() });
    let settings = Settings {
        name: "one".to_owned(),
        limits: QueueLimits::of(None),
        patience: Patience::new(Duration::from_mins(10), 1),
        scan_interval: Duration::from_mins(10),
        scans: false,
        ticks: false,
        runs: true,
    };
    let location = Location {
        name,
        root: "/definitions".into(),
        project: "/".into(),
        blobs: Blobs::folder("/nowhere".into()),
    };
    let daemon = Daemon::new(control.clone(), launcher.clone(), settings, location).start();
    // One after the other, so that each is claimed by a pass of its own.
    for _ in 0..TOGETHER {
        let request = RunRequest {
            tenant: TenantId::default_tenant(),
            cause: Control::by_hand("ana"),
            partition: None,
            context: serde_json::Map::new(),
            tags: std::collections::BTreeMap::new(),
        };
        control.launch_job(&request, &"etl".parse().unwrap()).await.unwrap();
    }
    let all_begun = launcher.all_begun.notified();
    tokio::time::timeout(Duration::from_secs(30), all_begun).await.expect("they overlap");
    daemon.stop().await;
}
