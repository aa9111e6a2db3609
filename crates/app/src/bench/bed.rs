//! An instance without loops: what a daemon does between two looks, one thing at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use millstream_control::{ClaimedRun, Control, Deletions, QueueLimits, QueueWatch, Store};
use millstream_daemon::{DirectControlPlane, Root, ScanReport};
use millstream_model::{JobName, RunRequest, TenantId};
use millstream_plan::progress::RunOutcome;
use millstream_worker::{Canceler, ControlPlane, RunEnd, Seams, Worker};
use tokio::task::JoinSet;

use super::database::Database;
use super::folder::Folder;
use crate::error::AppError;
use crate::instance::{self, Instance};
use crate::settings::Settings;

/// No lease runs out while something is measured.
pub(super) const TIME_TO_LIVE: Duration = Duration::from_mins(1);

/// Runs that are queued at the same time.
const QUEUED_AT_ONCE: usize = 64;

/// An instance in a folder of its own.
pub(super) struct Bed {
    pub(super) folder: Folder,
    control: Control,
    direct: Arc<dyn ControlPlane>,
    worker: Worker,
    root: Root,
}

impl Bed {
    /// An instance over the definition files that `folder` holds, on `database`.
    pub(super) async fn open(folder: Folder, database: Database<'_>) -> Result<Self, AppError> {
        let mut settings = Settings::read(folder.path(), |_| None);
        settings.database_url = database.url();
        let instance = Instance::open(settings).await?;
        let program = std::env::current_exe()
            .map_err(|source| AppError::Files { path: "/proc/self/exe".into(), source })?;
        let worker = instance::worker(&instance.settings, &instance.blobs, program);
        let control = instance.control.clone();
        let root = instance.settings.dags.display().to_string();
        control.add_location(&instance::location_name(), &root).await?;
        let mut bed = Self {
            folder,
            direct: Arc::new(DirectControlPlane::new(control.clone())),
            root: Root::new(instance.settings.dags)
                .with_sources(instance.settings.project, instance.blobs),
            control,
            worker,
        };
        bed.scan().await?;
        Ok(bed)
    }

    /// The instance's use cases.
    pub(super) fn control(&self) -> &Control {
        &self.control
    }

    pub(super) fn store(&self) -> &Store {
        self.control.store()
    }

    /// One scan of the definition files.
    pub(super) async fn scan(&mut self) -> Result<ScanReport, AppError> {
        let name = instance::location_name();
        let report =
            millstream_daemon::scan(&self.control, &name, &mut self.root, Deletions::Accepted);
        Ok(report.await?)
    }

    /// Queues a run of `job` and claims it.
    async fn claim(&self, job: &str) -> Result<ClaimedRun, AppError> {
        let claimed = self.claim_many(job, 1).await?;
        claimed.into_iter().next().ok_or_else(not_claimed)
    }

    /// Queues `count` runs of `job`, many at the same time.
    pub(super) async fn queue(&self, job: &str, count: u32) -> Result<(), AppError> {
        let request = request();
        let job: JobName = job.parse().map_err(|error| broken(&error))?;
        let launch = || self.control.launch_job(&request, &job);
        let all = stream::iter((0..count).map(|_| launch())).buffer_unordered(QUEUED_AT_ONCE);
        all.try_for_each(async |_| Ok(())).await.map_err(|error| broken(&error))
    }

    /// Queues `count` runs of `job` and claims them.
    pub(super) async fn claim_many(
        &self,
        job: &str,
        count: u32,
    ) -> Result<Vec<ClaimedRun>, AppError> {
        let request = request();
        let job: JobName = job.parse().map_err(|error| broken(&error))?;
        for _ in 0..count {
            self.control.launch_job(&request, &job).await.map_err(|error| broken(&error))?;
        }
        let limits = QueueLimits::of(None);
        let mut watch = QueueWatch::default();
        let claimed = self.control.claim_runs("bench", &mut watch, limits, TIME_TO_LIVE).await?;
        if claimed.len() == count as usize { Ok(claimed) } else { Err(not_claimed()) }
    }

    /// Runs all of `claimed` to their ends, at the same time.
    pub(super) async fn run_together(&self, claimed: Vec<ClaimedRun>) -> Result<(), AppError> {
        let mut workers = JoinSet::new();
        for ClaimedRun { tenant, run, epoch } in claimed {
            let assignment = self.direct.assignment(&tenant, run, epoch).await;
            let assignment = assignment.map_err(|error| broken(&error))?;
            let (worker, seams) = (self.worker.clone(), Seams::system(Arc::clone(&self.direct)));
            workers.spawn(async move {
                let (_canceler, signal) = Canceler::new();
                worker.run(assignment, &seams, signal).await
            });
        }
        while let Some(end) = workers.join_next().await {
            match end {
                Ok(RunEnd::Finished(RunOutcome::Succeeded)) => {}
                Ok(end) => return Err(broken(&format!("a run ended as {end:?}"))),
                Err(error) => return Err(broken(&error)),
            }
        }
        Ok(())
    }

    /// Runs `job` to its end; returns how long its worker took.
    pub(super) async fn run(&self, job: &str) -> Result<Duration, AppError> {
        let ClaimedRun { tenant, run, epoch } = self.claim(job).await?;
        let assignment =
            self.direct.assignment(&tenant, run, epoch).await.map_err(|error| broken(&error))?;
        let (_canceler, signal) = Canceler::new();
        let seams = Seams::system(Arc::clone(&self.direct));
        let start = Instant::now();
        // A task of its own, as the launcher gives it one.
        let worker = self.worker.clone();
        let end = tokio::spawn(async move { worker.run(assignment, &seams, signal).await });
        match end.await {
            Ok(RunEnd::Finished(RunOutcome::Succeeded)) => Ok(start.elapsed()),
            Ok(end) => Err(AppError::Bench { what: format!("a run ended as {end:?}") }),
            Err(error) => Err(broken(&error)),
        }
    }

    /// The mean time of `count` durable commits of one row.
    pub(super) async fn commits(&self, count: u32) -> Result<f64, AppError> {
        commits(self.store(), count).await
    }

    /// The mean time of `count` turns of `act` and one durable commit of one row, in microseconds:
    /// what a program takes that does these and nothing else.
    pub(super) async fn turns(
        &self,
        count: u32,
        mut act: impl FnMut() -> Result<(), AppError> + Send + 'static,
    ) -> Result<f64, AppError> {
        let store = self.store().clone();
        let probing = tokio::spawn(async move {
            let start = Instant::now();
            for mark in 0..count {
                // It blocks a thread of the runtime, which has nothing else to do.
                act()?;
                store.probe_commit(mark.into()).await?;
            }
            Ok::<_, AppError>(micros(start.elapsed()) / f64::from(count))
        });
        probing.await.map_err(|error| broken(&error))?
    }
}

/// The mean time of `count` durable commits of one row, one after the other, in microseconds.
pub(super) async fn commits(store: &Store, count: u32) -> Result<f64, AppError> {
    let store = store.clone();
    // On a thread of the runtime, where what is measured runs as well.
    let probing = tokio::spawn(async move {
        let start = Instant::now();
        for mark in 0..count {
            store.probe_commit(mark.into()).await?;
        }
        Ok::<_, AppError>(micros(start.elapsed()) / f64::from(count))
    });
    probing.await.map_err(|error| broken(&error))?
}

/// What is asked for when a run is queued.
fn request() -> RunRequest {
    RunRequest {
        tenant: TenantId::default_tenant(),
        cause: Control::by_hand("bench"),
        partition: None,
        context: serde_json::Map::new(),
        tags: std::collections::BTreeMap::new(),
    }
}

pub(super) fn not_claimed() -> AppError {
    let what = "the run was not claimed; does a daemon run on this database?".to_owned();
    AppError::Bench { what }
}

/// The time of `count` durable commits of `rows` rows each, of which `in_flight` are on their way
/// at once, in microseconds.
pub(super) async fn commits_of_rows(
    store: &Store,
    (count, rows): (u32, u32),
    in_flight: usize,
) -> Result<f64, AppError> {
    let start = Instant::now();
    let mut committers = JoinSet::new();
    let share = count.div_ceil(u32::try_from(in_flight).unwrap_or(1));
    for first in (0..count).step_by(share.max(1) as usize) {
        let store = store.clone();
        committers.spawn(async move {
            for mark in first..(first + share).min(count) {
                store.probe_rows(mark.into(), rows).await?;
            }
            Ok::<_, AppError>(())
        });
    }
    while let Some(done) = committers.join_next().await {
        done.map_err(|error| broken(&error))??;
    }
    Ok(micros(start.elapsed()))
}

/// A duration in microseconds.
pub(super) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// What was measured went wrong.
pub(super) fn broken(error: &dyn std::fmt::Display) -> AppError {
    AppError::Bench { what: error.to_string() }
}
