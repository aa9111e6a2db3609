//! What the tests stand on: an instance in memory, and a worker that says what a test tells it.

use std::sync::Arc;
use std::time::Duration;

use millstream_control::{
    ClaimedRun, Control, FileChange, LocationChange, LostWatch, Patience, QueueLimits, QueueWatch,
    ReportError, Seams, Store,
};
use millstream_model::view::{EventRow, RunRow};
use millstream_model::worker_api::{Report, ReportAnswer, ReportedEvent};
use millstream_model::{
    ErrorCode, EventBody, FileManifest, LocationName, RunId, RunRequest, RunStatus, StepError,
    StepStatus, TenantId,
};
use millstream_testkit::chance::SeededEntropy;
use millstream_testkit::definitions::live;
use millstream_testkit::time::FakeClock;

/// How long a beat may stand still.
pub(crate) const TIME_TO_LIVE: Duration = Duration::from_secs(15);

/// The patience of the tests' daemons.
pub(crate) const PATIENCE: Patience = Patience::new(TIME_TO_LIVE, 3);

/// An instance in memory.
pub(crate) struct Bench {
    pub(crate) control: Control,
    pub(crate) clock: Arc<FakeClock>,
}

impl Bench {
    /// An instance whose one location has one file.
    pub(crate) async fn of(file: FileManifest) -> Self {
        let bench = Self::empty().await;
        bench.scan(vec![live("defs.yaml", file)]).await;
        bench
    }

    /// An instance whose one location has no files.
    pub(crate) async fn empty() -> Self {
        let bench = Self::without_daemon().await;
        bench.control.begin_runs();
        bench
    }

    /// An instance that has no files, and whose process is no daemon.
    pub(crate) async fn without_daemon() -> Self {
        let clock = Arc::new(FakeClock::default());
        let entropy = Arc::new(SeededEntropy::new(1));
        let store = Store::in_memory().unwrap();
        let control = Control::new(store, Seams { clock: clock.clone(), entropy });
        control.add_location(&location(), "/definitions").await.unwrap();
        Self { control, clock }
    }

    /// Stores what a scan has found.
    pub(crate) async fn scan(&self, files: Vec<FileChange>) {
        let seen_version = self.control.location_version(&location()).await.unwrap();
        let change = LocationChange { location: location(), seen_version, files, stale: None };
        self.control.apply_scan(&change).await.unwrap();
    }

    /// Queues a run of `job` for the default tenant.
    pub(crate) async fn launch(&self, job: &str) -> RunId {
        let request = request(&TenantId::default_tenant());
        self.control.launch_job(&request, &job.parse().unwrap()).await.unwrap().run_id
    }

    /// Claims what may start, as a daemon that is alone.
    pub(crate) async fn claim(&self) -> Vec<ClaimedRun> {
        let limits = QueueLimits::of(None);
        let mut watch = QueueWatch::default();
        self.control.claim_runs("one", &mut watch, limits, TIME_TO_LIVE).await.unwrap()
    }

    /// Queues a run of `job`, claims it and lets its worker report that it started.
    pub(crate) async fn started(&self, job: &str) -> TestWorker<'_> {
        let run = self.launch(job).await;
        self.start_again(run).await
    }

    /// Claims `run`, which waits, and lets its new worker report that it started.
    pub(crate) async fn start_again(&self, run: RunId) -> TestWorker<'_> {
        let mut worker = self.claimed(run).await;
        worker.say(vec![started()]).await.unwrap();
        worker
    }

    /// Claims `run`, which waits; its new worker has said nothing yet.
    pub(crate) async fn claimed(&self, run: RunId) -> TestWorker<'_> {
        let claimed = self.claim().await.into_iter().find(|claimed| claimed.run == run).unwrap();
        TestWorker::of(self, claimed)
    }

    /// The worker of a run that was claimed, which has said nothing yet.
    pub(crate) fn worker_of(&self, claimed: ClaimedRun) -> TestWorker<'_> {
        TestWorker { bench: self, claimed, next_seq: 0 }
    }

    /// The row of a run of the default tenant.
    pub(crate) async fn row(&self, run: RunId) -> RunRow {
        let tenant = TenantId::default_tenant();
        self.control.store().run(&tenant, run).await.unwrap().unwrap()
    }

    /// The status of a run of the default tenant.
    pub(crate) async fn status(&self, run: RunId) -> RunStatus {
        self.row(run).await.status
    }

    /// The statuses of a run's steps, in the order of its plan.
    pub(crate) async fn steps(&self, run: RunId) -> Vec<(String, StepStatus)> {
        let view = self.control.run_view(&TenantId::default_tenant(), run).await.unwrap();
        view.steps.into_iter().map(|step| (step.step.to_string(), step.status)).collect()
    }

    /// The kinds of a run's events in the order of the log.
    pub(crate) async fn told(&self, run: RunId) -> Vec<&'static str> {
        self.events(run).await.iter().map(|row| row.event.body.kind()).collect()
    }

    /// A run's events in the order of the log.
    pub(crate) async fn events(&self, run: RunId) -> Vec<EventRow> {
        let store = self.control.store();
        let begin = (0, i64::MIN);
        store.run_events(&TenantId::default_tenant(), run, begin, 1_000).await.unwrap()
    }

    /// Watches the runs in progress until one that is silent counts as lost.
    pub(crate) async fn lose_silent(&self) -> usize {
        let mut watch = LostWatch::default();
        let mut lost = 0;
        for _ in 0..4 {
            lost += self.control.recover_lost(&mut watch, PATIENCE).await.unwrap().len();
            self.clock.advance(TIME_TO_LIVE / 3);
        }
        lost
    }
}

/// A worker that says what a test tells it.
pub(crate) struct TestWorker<'a> {
    bench: &'a Bench,
    pub(crate) claimed: ClaimedRun,
    next_seq: i64,
}

impl<'a> TestWorker<'a> {
    /// The worker of a run that was claimed; it has said nothing yet.
    pub(crate) fn of(bench: &'a Bench, claimed: ClaimedRun) -> Self {
        Self { bench, claimed, next_seq: 0 }
    }

    pub(crate) fn run(&self) -> RunId {
        self.claimed.run
    }

    /// The next report with these events; nothing is sent.
    pub(crate) fn report_of(&mut self, events: Vec<EventBody>) -> Report {
        let at = self.bench.control.now();
        let mut number = || {
            self.next_seq += 1;
            self.next_seq - 1
        };
        let events = events.into_iter().map(|body| ReportedEvent { seq: number(), at, body });
        Report { epoch: self.claimed.epoch, events: events.collect() }
    }

    /// Sends a report.
    pub(crate) async fn send(&self, report: &Report) -> Result<ReportAnswer, ReportError> {
        let ClaimedRun { tenant, run, .. } = &self.claimed;
        self.bench.control.report(tenant, *run, report).await
    }

    /// Reports the next events.
    pub(crate) async fn say(
        &mut self,
        events: Vec<EventBody>,
    ) -> Result<ReportAnswer, ReportError> {
        let report = self.report_of(events);
        self.send(&report).await
    }

    pub(crate) async fn beat(&self) -> Result<ReportAnswer, ReportError> {
        let ClaimedRun { tenant, run, epoch } = &self.claimed;
        self.bench.control.beat(tenant, *run, *epoch).await
    }
}

/// The location of the tests' definitions.
pub(crate) fn location() -> LocationName {
    "local".parse().unwrap()
}

/// A request by hand for `tenant`.
pub(crate) fn request(tenant: &TenantId) -> RunRequest {
    RunRequest {
        tenant: tenant.clone(),
        cause: Control::by_hand("ana"),
        partition: None,
        context: serde_json::Map::new(),
        tags: std::collections::BTreeMap::new(),
    }
}

pub(crate) fn started() -> EventBody {
    EventBody::RunStarted { worker: "test".to_owned() }
}

pub(crate) fn step_started(step: &str, attempt: u32) -> EventBody {
    EventBody::StepStarted { step: step.parse().unwrap(), attempt }
}

pub(crate) fn step_succeeded(step: &str, attempt: u32) -> EventBody {
    EventBody::StepSucceeded {
        step: step.parse().unwrap(),
        attempt,
        took_micros: 1,
        result: serde_json::Value::Null,
        result_ref: None,
        usage: None,
    }
}

pub(crate) fn step_failed(step: &str, attempt: u32) -> EventBody {
    let (code, message) = (ErrorCode::StepExit, "it ended with 1".to_owned());
    let error = StepError { code, message, detail: None };
    EventBody::StepFailed { step: step.parse().unwrap(), attempt, error, retry: None, usage: None }
}

pub(crate) fn step_canceled(step: &str, attempt: u32) -> EventBody {
    EventBody::StepCanceled { step: step.parse().unwrap(), attempt }
}
