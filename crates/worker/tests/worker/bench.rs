//! What the tests stand on: a worker in a folder of its own, plans, and a recording control plane.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use millstream_blob::{Blobs, LogKey, LogStream};
use millstream_model::worker_api::{
    Assignment, Report, ReportAnswer, ReportedEvent, SlotAnswer, SlotAsk, WaitingStep,
};
use millstream_model::{
    CommandLine, CommandStep, EventBody, NoopStep, PipesConfig, RetryPolicy, RunId, RunPlan,
    StepConfig, StepError, StepLimits, StepPlan, StepSources, TenantDef, TenantId, Timestamp,
};
use millstream_worker::{
    Canceler, Clock, ControlPlane, ReportError, RunEnd, Seams, Supervisor, SystemClock, Worker,
    WorkerSettings,
};
use tempfile::TempDir;
use tokio::sync::{Notify, watch};

/// A worker in a folder of its own.
pub(crate) struct Bench {
    pub(crate) folder: TempDir,
    pub(crate) settings: WorkerSettings,
    pub(crate) control: Arc<Recorder>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir(&root).unwrap();
        let program = PathBuf::from(env!("CARGO_BIN_EXE_millstream-supervisor"));
        let scratch = folder.path().join("scratch");
        let mut settings = WorkerSettings::new("test".to_owned(), root, scratch, program);
        settings.max_parallel = 4;
        settings.beat_every = Duration::from_millis(50);
        Self { folder, settings, control: Arc::new(Recorder::default()) }
    }

    pub(crate) fn blobs(&self) -> Blobs {
        Blobs::folder(self.folder.path().join("blobs"))
    }

    pub(crate) fn worker(&self) -> Worker {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_millstream-supervisor"));
        let supervisor = Supervisor::new(program, Vec::new());
        Worker::new(self.settings.clone(), supervisor, self.blobs())
    }

    pub(crate) async fn run(&self, assignment: Assignment) -> RunEnd {
        self.run_by(Arc::new(SystemClock::start()), assignment).await
    }

    /// Runs it with another clock.
    pub(crate) async fn run_by(&self, clock: Arc<dyn Clock>, assignment: Assignment) -> RunEnd {
        let (_canceler, signal) = Canceler::new();
        let seams = Seams { clock, ..Seams::system(self.control.clone()) };
        self.worker().run(assignment, &seams, signal).await
    }

    /// The output of a step's first attempt, which need not be text.
    pub(crate) async fn log_bytes(&self, step: &str, stream: LogStream) -> Vec<u8> {
        let (tenant, run, step) = (TenantId::default_tenant(), run_id(), step.parse().unwrap());
        let key = LogKey { tenant, run, step, attempt: 1, stream };
        self.blobs().read_log(&key, 0, 4 << 20).await.unwrap().bytes
    }

    pub(crate) async fn log(&self, step: &str, attempt: u32, stream: LogStream) -> String {
        let key = LogKey {
            tenant: TenantId::default_tenant(),
            run: run_id(),
            step: step.parse().unwrap(),
            attempt,
            stream,
        };
        let part = self.blobs().read_log(&key, 0, 1 << 20).await.unwrap();
        String::from_utf8(part.bytes).unwrap()
    }
}

/// A control plane that writes down what it hears.
#[derive(Default)]
pub(crate) struct Recorder {
    events: watch::Sender<Vec<ReportedEvent>>,
    reports: Mutex<Vec<usize>>,
    answers: Mutex<Answers>,
    asked: Mutex<Vec<(WaitingStep, Vec<String>)>>,
    refused: Notify,
}

/// What the recorder answers.
#[derive(Default)]
struct Answers {
    cancel: bool,
    failures: Vec<ReportError>,
    /// Whether no step gets the slots that it needs.
    no_slots: bool,
}

impl Recorder {
    /// From now on every answer asks for the run to stop.
    pub(crate) fn cancel(&self) {
        self.answers.lock().unwrap().cancel = true;
    }

    /// From now on no step gets the slots that it needs.
    pub(crate) fn keep_slots(&self) {
        self.answers.lock().unwrap().no_slots = true;
    }

    /// The next calls fail like this, the last one first.
    pub(crate) fn fail(&self, failures: Vec<ReportError>) {
        self.answers.lock().unwrap().failures = failures;
    }

    /// The events so far.
    pub(crate) fn events(&self) -> Vec<EventBody> {
        self.events.borrow().iter().map(|event| event.body.clone()).collect()
    }

    /// How many events each report had.
    pub(crate) fn report_sizes(&self) -> Vec<usize> {
        self.reports.lock().unwrap().clone()
    }

    /// The attempts for whose slots it was asked, each with what it had been told by then.
    pub(crate) fn asked(&self) -> Vec<(WaitingStep, Vec<String>)> {
        self.asked.lock().unwrap().clone()
    }

    /// The events so far, each as its kind and step.
    pub(crate) fn told(&self) -> Vec<String> {
        let tell = |event: &EventBody| match event.step() {
            Some(step) => format!("{} {step}", event.kind()),
            None => event.kind().to_owned(),
        };
        self.events().iter().map(tell).collect()
    }

    /// The errors of failed attempts.
    pub(crate) fn errors(&self) -> Vec<StepError> {
        let error = |event| match event {
            EventBody::StepFailed { error, .. } => Some(error),
            _ => None,
        };
        self.events().into_iter().filter_map(error).collect()
    }

    /// Waits until an event of this kind and step was reported.
    pub(crate) async fn heard(&self, wanted: &str) {
        let mut events = self.events.subscribe();
        events
            .wait_for(|events| {
                events.iter().any(|event| match event.body.step() {
                    Some(step) => format!("{} {step}", event.body.kind()) == wanted,
                    None => event.body.kind() == wanted,
                })
            })
            .await
            .unwrap();
    }

    /// Waits until a call has failed.
    pub(crate) async fn failed(&self) {
        self.refused.notified().await;
    }

    fn answer(&self) -> Result<ReportAnswer, ReportError> {
        let mut answers = self.answers.lock().unwrap();
        match answers.failures.pop() {
            Some(failure) => {
                self.refused.notify_one();
                Err(failure)
            }
            None => Ok(ReportAnswer { cancel: answers.cancel }),
        }
    }
}

impl ControlPlane for Recorder {
    fn assignment<'a>(
        &'a self,
        _: &'a TenantId,
        _: RunId,
        _: i64,
    ) -> BoxFuture<'a, Result<Assignment, ReportError>> {
        Box::pin(async { Err(ReportError::Stale) })
    }

    fn report<'a>(
        &'a self,
        _: &'a TenantId,
        _: RunId,
        report: Report,
    ) -> BoxFuture<'a, Result<ReportAnswer, ReportError>> {
        Box::pin(async move {
            let answer = self.answer()?;
            self.reports.lock().unwrap().push(report.events.len());
            self.events.send_modify(|events| {
                for event in report.events {
                    assert_eq!(event.seq, i64::try_from(events.len()).unwrap());
                    events.push(event);
                }
            });
            Ok(answer)
        })
    }

    fn beat<'a>(
        &'a self,
        _: &'a TenantId,
        _: RunId,
        _: i64,
    ) -> BoxFuture<'a, Result<ReportAnswer, ReportError>> {
        Box::pin(async { self.answer() })
    }

    fn slots<'a>(
        &'a self,
        _: &'a TenantId,
        _: RunId,
        ask: SlotAsk,
    ) -> BoxFuture<'a, Result<SlotAnswer, ReportError>> {
        let Answers { cancel, no_slots, .. } = *self.answers.lock().unwrap();
        let told = self.told();
        let asked = ask.steps.iter().map(|step| (step.clone(), told.clone()));
        self.asked.lock().unwrap().extend(asked);
        let granted = if no_slots { Vec::new() } else { ask.steps };
        Box::pin(async move { Ok(SlotAnswer { granted, cancel }) })
    }
}

pub(crate) fn run_id() -> RunId {
    RunId::new(Timestamp::from_micros(1_000_000), [7; 10])
}

/// A run with these steps.
pub(crate) fn run_of(steps: Vec<StepPlan>) -> Assignment {
    Assignment {
        tenant: TenantId::default_tenant(),
        run: run_id(),
        epoch: 1,
        plan: RunPlan {
            tenant: TenantId::default_tenant(),
            tenant_def: TenantDef::default(),
            location: "local".parse().unwrap(),
            job: Some("job".parse().unwrap()),
            partition: None,
            dimensions: BTreeMap::new(),
            steps,
            resources: BTreeMap::new(),
            max_parallel: None,
            tags: BTreeMap::new(),
            retries: None,
            timeout: None,
            priority: 0,
        },
        context: serde_json::Map::new(),
        queued_at: Timestamp::from_micros(1_000_000),
        progress: Vec::new(),
        provenance: BTreeMap::new(),
    }
}

/// A step that does nothing.
pub(crate) fn noop(key: &str, depends_on: &[&str]) -> StepPlan {
    StepPlan {
        key: key.parse().unwrap(),
        depends_on: depends_on.iter().map(|key| key.parse().unwrap()).collect(),
        step: StepConfig::Noop(NoopStep {}),
        handler: None,
        timeout: None,
        retry: RetryPolicy::NEVER,
        limits: StepLimits::NONE,
        pool: None,
        asset: None,
    }
}

/// A step that is a line for the shell.
pub(crate) fn shell(key: &str, line: &str) -> StepPlan {
    let command = CommandLine::Shell(line.to_owned());
    let step = CommandStep {
        command,
        env: BTreeMap::new(),
        cwd: None,
        pipes: PipesConfig::default(),
        sources: StepSources::default(),
    };
    StepPlan { step: StepConfig::Command(step), ..noop(key, &[]) }
}

/// The result of the step, as its event says.
pub(crate) fn result_of(control: &Recorder, wanted: &str) -> serde_json::Value {
    control
        .events()
        .into_iter()
        .find_map(|event| match event {
            EventBody::StepSucceeded { step, result, .. } if step.as_str() == wanted => {
                Some(result)
            }
            _ => None,
        })
        .unwrap()
}
