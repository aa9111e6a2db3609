//! Runs that are taken from their workers: the launcher is told, and the queue goes on.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use millstream_control::{LostWatch, Patience, QueueLimits, QueueWatch};
use millstream_daemon::{Settings, lost_pass, queue_pass};
use millstream_launch::{LaunchError, RunLauncher, WorkerName};
use millstream_model::worker_api::RunToken;
use millstream_model::{ClaimedRun, RunId, RunStatus};
use millstream_testkit::time::FakeClock;

use crate::instance::{request, with_job};

/// A launcher whose workers are accepted and never start.
#[derive(Default)]
struct NeverStarts {
    launched: Mutex<Vec<WorkerName>>,
    stopped: Mutex<Vec<WorkerName>>,
}

impl RunLauncher for NeverStarts {
    fn launch(
        &self,
        run: ClaimedRun,
        _token: RunToken,
    ) -> BoxFuture<'_, Result<WorkerName, LaunchError>> {
        self.launched.lock().unwrap().push(WorkerName::of(&run));
        futures_util::future::ready(Ok(WorkerName::of(&run))).boxed()
    }

    fn stop<'a>(&'a self, worker: &'a WorkerName) -> BoxFuture<'a, ()> {
        self.stopped.lock().unwrap().push(worker.clone());
        futures_util::future::ready(()).boxed()
    }
}

#[tokio::test]
async fn r021_a_worker_that_never_starts_is_stopped_and_its_run_fails_and_frees_its_place() {
    let clock = Arc::new(FakeClock::default());
    let control = with_job(clock.clone()).await;

    let start = Duration::from_mins(10);
    let settings = Settings {
        name: "one".to_owned(),
        limits: QueueLimits::of(Some(1)),
        patience: Patience { start, ..Patience::new(Duration::from_secs(15), 2) },
        scan_interval: start,
        scans: false,
        ticks: false,
        runs: true,
    };
    let launcher = NeverStarts::default();
    let request = request();
    let etl = "etl".parse().unwrap();
    let run = control.launch_job(&request, &etl).await.unwrap().run_id;
    let waits = control.launch_job(&request, &etl).await.unwrap().run_id;

    let (mut queue, mut lost) = (QueueWatch::default(), LostWatch::default());
    for _ in 0..2 {
        queue_pass(&control, &launcher, &mut queue, &settings).await.unwrap();
        for _ in 0..60 {
            let pass = lost_pass(&control, &launcher, &mut lost, settings.patience).await;
            assert_eq!(pass.unwrap(), 0);
            clock.advance(Duration::from_secs(10));
        }
        assert_eq!(lost_pass(&control, &launcher, &mut lost, settings.patience).await.unwrap(), 1);
    }
    let row = control.store().run(&request.tenant, run).await.unwrap().unwrap();
    assert_eq!(row.status, RunStatus::Failure);
    let reason = "its worker has not started within 10m, and this was worker 2 of at most 2";
    assert_eq!(row.failure.as_deref(), Some(reason));
    let tenant = &request.tenant;
    let name =
        |run: RunId, epoch: i64| WorkerName::of(&ClaimedRun { tenant: tenant.clone(), run, epoch });
    assert_eq!(*launcher.stopped.lock().unwrap(), [name(run, 1), name(run, 2)]);

    queue_pass(&control, &launcher, &mut queue, &settings).await.unwrap();
    assert_eq!(launcher.launched.lock().unwrap().last(), Some(&name(waits, 1)));
}
