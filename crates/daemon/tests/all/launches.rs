//! Launches of a daemon that runs: a slow one keeps no other waiting.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use millstream_blob::Blobs;
use millstream_control::{Control, LoopSaid, Patience, QueueLimits};
use millstream_daemon::{Daemon, DaemonHandle, Location, Settings};
use millstream_launch::{LaunchError, RunLauncher, WorkerName};
use millstream_model::worker_api::RunToken;
use millstream_model::{ClaimedRun, RunStatus, TenantId};
use millstream_testkit::time::FakeClock;
use tokio::sync::{Barrier, Notify};

use crate::instance::{request, with_job};

/// Launches that go on at once.
const TOGETHER: usize = 4;

/// A launcher of whose launches none ends before all have begun.
struct Slow {
    together: Barrier,
    all_begun: Notify,
}

impl RunLauncher for Slow {
    fn launch(
        &self,
        run: ClaimedRun,
        _token: RunToken,
    ) -> BoxFuture<'_, Result<WorkerName, LaunchError>> {
        async move {
            if self.together.wait().await.is_leader() {
                self.all_begun.notify_one();
            }
            Ok(WorkerName::of(&run))
        }
        .boxed()
    }

    fn stop<'a>(&'a self, _worker: &'a WorkerName) -> BoxFuture<'a, ()> {
        futures_util::future::ready(()).boxed()
    }
}

/// A launcher none of whose launches ends.
#[derive(Default)]
pub(crate) struct Never {
    begun: Notify,
}

impl RunLauncher for Never {
    fn launch(
        &self,
        _run: ClaimedRun,
        _token: RunToken,
    ) -> BoxFuture<'_, Result<WorkerName, LaunchError>> {
        self.begun.notify_one();
        futures_util::future::pending().boxed()
    }

    fn stop<'a>(&'a self, _worker: &'a WorkerName) -> BoxFuture<'a, ()> {
        futures_util::future::ready(()).boxed()
    }
}

/// A daemon that launches with `launcher`.
pub(crate) fn start(control: &Control, launcher: Arc<dyn RunLauncher>) -> DaemonHandle {
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
        name: "local".parse().unwrap(),
        root: "/definitions".into(),
        project: "/".into(),
        blobs: Blobs::folder("/nowhere".into()),
    };
    Daemon::new(control.clone(), launcher, settings, location).start()
}

#[tokio::test]
async fn r015_four_slow_launches_overlap() {
    let control = with_job(Arc::new(FakeClock::default())).await;

    let launcher = Arc::new(Slow { together: Barrier::new(TOGETHER), all_begun: Notify::new() });
    let daemon = start(&control, launcher.clone());
    // One after the other, so that each is claimed by a pass of its own.
    for _ in 0..TOGETHER {
        control.launch_job(&request(), &"etl".parse().unwrap()).await.unwrap();
    }
    let all_begun = launcher.all_begun.notified();
    tokio::time::timeout(Duration::from_secs(30), all_begun).await.expect("they overlap");
    daemon.stop().await;
}

#[tokio::test]
async fn a_run_whose_launch_is_not_done_when_the_daemon_ends_goes_back_and_has_lost_no_worker() {
    let control = with_job(Arc::new(FakeClock::default())).await;
    let launcher = Arc::new(Never::default());
    let daemon = start(&control, launcher.clone());
    let run = control.launch_job(&request(), &"etl".parse().unwrap()).await.unwrap().run_id;
    let begun = launcher.begun.notified();
    tokio::time::timeout(Duration::from_secs(30), begun).await.expect("it is launched");
    let tenant = TenantId::default_tenant();
    let live = async || control.store().live_run(&tenant, run).await.unwrap().unwrap();
    assert_eq!(live().await.status, RunStatus::Starting);

    daemon.stop().await;
    let now = live().await;
    assert_eq!((now.status, now.epoch, now.launches()), (RunStatus::Queued, 1, 0));
}

#[tokio::test]
async fn a_daemon_for_one_command_watches_runs_though_the_one_that_was_listed_is_gone() {
    let clock = Arc::new(FakeClock::default());
    let control = with_job(clock.clone()).await;
    let launcher = Arc::new(Never::default());
    let daemon = start(&control, launcher.clone());
    let run = control.launch_job(&request(), &"etl".parse().unwrap()).await.unwrap().run_id;
    let begun = launcher.begun.notified();
    tokio::time::timeout(Duration::from_secs(30), begun).await.expect("it is launched");
    let silence_max = Duration::from_secs(1);
    let said = LoopSaid { name: "losses", silence_max, silent_for: Duration::ZERO };
    control.keep_loops("gone", &[said]).await.unwrap();
    clock.advance(2 * silence_max);
    let view = control.run_view(&TenantId::default_tenant(), run).await.unwrap();
    assert_eq!((view.run.status, view.run.waits), (RunStatus::Starting, None));
    daemon.stop().await;
}
