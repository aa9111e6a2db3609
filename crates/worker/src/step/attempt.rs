//! An attempt as the run's loop orders it, and the way through it, which is the same for all kinds.
//!
//! **Invariant.** An attempt never fails as a future: whatever goes wrong is its result.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use millstream_io::Remedy;
use millstream_model::worker_api::Assignment;
use millstream_model::{
    AssetStep, ErrorCode, EventBody, HandlerTarget, InputSource, LocalStep, StepConfig, StepError,
    StepKey, StepPlan, StepUsage, Timestamp,
};
use millstream_plan::progress::AttemptEnd;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot, watch};

use super::asset::{self, Kept, Metadata, Rows};
use super::context::{Context, RunContext};
use super::scratch::RunScratch;
use super::template::Templates;
use super::unmade::{Unmade, unmade};
use super::{builtin, http, lambda, load, process, python, sql};
use crate::run::results::{self, StepResult};
use crate::supervisor::SupervisorLost;
use crate::{Seams, Supervisor, Worker};

/// Executes attempts at steps: a worker with processes, a simulation as its seed says.
pub trait StepRunner: Send + Sync {
    /// Executes an attempt. It never fails: a failure is its result.
    fn execute<'a>(&'a self, order: AttemptOrder<'a>) -> BoxFuture<'a, AttemptDone>;

    /// Does what can wait until no attempt is under way.
    fn rest(&self) {}
}

/// Whether the control plane has taken an attempt's start.
///
/// **Invariant.** An attempt does nothing that can be seen outside, and does not end, before that.
#[derive(Debug)]
pub struct Taken(Option<oneshot::Receiver<()>>);

impl Taken {
    pub(crate) fn new(start: oneshot::Receiver<()>) -> Self {
        Self(Some(start))
    }

    /// A start that nobody has to take.
    pub(crate) fn already() -> Self {
        Self(None)
    }

    /// Waits until the start was taken.
    pub async fn wait(&mut self) {
        if let Some(start) = &mut self.0 {
            if start.await.is_err() {
                // Whoever could say so is gone, and this future with it.
                std::future::pending::<()>().await;
            }
            self.0 = None;
        }
    }
}

/// An attempt, which may prepare itself until its start was taken.
pub struct AttemptOrder<'a> {
    /// The run.
    pub assignment: &'a Arc<Assignment>,
    /// The step.
    pub step: &'a StepPlan,
    /// Which attempt, from 1.
    pub number: u32,
    /// To be waited for before the attempt does anything, and before it ends.
    pub taken: Taken,
    /// Becomes true when the attempt is to end.
    pub stop: watch::Receiver<bool>,
    pub(crate) seams: &'a Seams,
    /// The step's place in the plan, which is a name without surprises for its folder.
    pub(crate) place: usize,
    pub(crate) upstream: Vec<(StepKey, StepResult)>,
    /// Hears of what the step reports while it runs.
    pub(crate) events: mpsc::Sender<EventBody>,
}

/// What came of an attempt.
#[derive(Debug)]
pub struct AttemptDone {
    /// The step.
    pub step: StepKey,
    /// How it ended.
    pub end: AttemptEnd,
    /// The event that says what asset it made, if it made one.
    pub materialized: Option<EventBody>,
    /// What its processes used, if it had any.
    pub usage: Option<StepUsage>,
}

/// The steps of one run, executed by its worker.
pub(crate) struct RunSteps<'w> {
    worker: &'w Worker,
    scratch: RunScratch,
    context: RunContext,
}

impl<'w> RunSteps<'w> {
    /// The steps of a run that `worker` executes with its files in `scratch`.
    pub(crate) fn new(worker: &'w Worker, scratch: PathBuf) -> Self {
        Self { worker, scratch: RunScratch::at(scratch), context: RunContext::default() }
    }
}

impl StepRunner for RunSteps<'_> {
    fn execute<'a>(&'a self, order: AttemptOrder<'a>) -> BoxFuture<'a, AttemptDone> {
        Attempt::new(self, order).execute().boxed()
    }

    fn rest(&self) {
        self.scratch.tidy();
    }
}

/// An attempt of a worker's.
pub(super) struct Attempt<'a> {
    pub(super) worker: &'a Worker,
    /// Where attempts of the run have their files.
    pub(super) scratch: &'a RunScratch,
    /// What it sees like all steps of the run.
    pub(super) run_context: &'a RunContext,
    pub(super) seams: &'a Seams,
    pub(super) assignment: &'a Assignment,
    pub(super) step: &'a StepPlan,
    pub(super) place: usize,
    pub(super) number: u32,
    pub(super) upstream: Vec<(StepKey, StepResult)>,
    taken: Taken,
    /// Since when it does what it is there for.
    began: Option<Timestamp>,
    pub(super) stop: watch::Receiver<bool>,
    /// What starts its processes.
    pub(super) supervisor: Supervisor,
    /// How often a supervisor of its processes was lost.
    supervisors_lost: u32,
    /// What its processes used so far.
    pub(super) usage: Mutex<Option<StepUsage>>,
    pub(super) events: mpsc::Sender<EventBody>,
    /// Whether the step has reported its asset itself.
    pub(super) has_made_asset: bool,
    /// The inputs that the steps above did not make in this run.
    pub(super) unmade: Unmade,
    /// What templates of settings see, once one was needed.
    settings: OnceLock<Templates<'static>>,
}

/// What a step gave back.
#[derive(Debug)]
pub(super) enum Returned {
    /// A value; null when there was none.
    Value(Value),
    /// A value in which nothing is said to us, with what there is to say about it.
    Document(Value, Metadata),
    /// Rows in a file.
    Rows(Rows),
    /// A reason for having done nothing.
    Skipped(String),
}

/// Why an attempt gave nothing back.
#[derive(Debug, PartialEq)]
pub(super) enum Ending {
    /// It failed; another attempt may do better.
    Failed(StepError),
    /// It failed; another attempt may do better after this time, and not before.
    FailedFor(StepError, Duration),
    /// It failed in a way that only another definition mends.
    ForGood(StepError),
    /// The run was canceled.
    Canceled,
    /// It did not fail by itself: its processes were killed with their supervisor.
    SupervisorLost(SupervisorLost),
}

impl Ending {
    pub(super) fn failed(code: ErrorCode, message: String) -> Self {
        Self::Failed(StepError { code, message, detail: None })
    }

    /// The failure `error`, and what there is to do about it.
    pub(super) fn with_remedy(error: StepError, remedy: Remedy) -> Self {
        match remedy {
            Remedy::Retry => Self::Failed(error),
            Remedy::RetryAfter(wait) => Self::FailedFor(error, wait),
            Remedy::Mend => Self::ForGood(error),
        }
    }

    pub(super) fn for_good(code: ErrorCode, message: String) -> Self {
        Self::ForGood(StepError { code, message, detail: None })
    }
}

impl From<Ending> for AttemptEnd {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Failed(error) => Self::Failed(bounded(error)),
            Ending::FailedFor(error, wait) => Self::FailedFor(bounded(error), wait),
            Ending::ForGood(error) => Self::FailedForGood(bounded(error)),
            Ending::Canceled => Self::Canceled,
            Ending::SupervisorLost(lost) => {
                let (code, message) = (ErrorCode::StepSupervisor, lost.to_string());
                Self::Failed(StepError { code, message, detail: None })
            }
        }
    }
}

/// How often an attempt is made again because its supervisor was lost.
const ALONE_MAX: u32 = 2;

/// The most characters of a detail that an event repeats, and of a message, which is shown in lines
/// beside others.
const DETAIL_MAX: usize = 4_000;
const MESSAGE_MAX: usize = 2_000;

/// `error` with a message that fits an event, whatever it quotes.
fn bounded(error: StepError) -> StepError {
    let shorten = |text: String, most| match text.char_indices().nth(most) {
        Some((end, _)) => format!("{} …", text.get(..end).unwrap_or_default()),
        None => text,
    };
    StepError {
        message: shorten(error.message, MESSAGE_MAX),
        detail: error.detail.map(|detail| shorten(detail, DETAIL_MAX)),
        ..error
    }
}

impl<'a> Attempt<'a> {
    fn new(run: &'a RunSteps<'_>, order: AttemptOrder<'a>) -> Self {
        let worker = run.worker;
        Self {
            worker,
            scratch: &run.scratch,
            run_context: &run.context,
            seams: order.seams,
            assignment: order.assignment,
            step: order.step,
            place: order.place,
            number: order.number,
            upstream: order.upstream,
            taken: order.taken,
            began: None,
            stop: order.stop,
            supervisor: worker.supervisor.clone(),
            supervisors_lost: 0,
            usage: Mutex::default(),
            events: order.events,
            has_made_asset: false,
            unmade: Unmade::new(),
            settings: OnceLock::new(),
        }
    }
}

impl Attempt<'_> {
    async fn execute(mut self) -> AttemptDone {
        let step = self.step.key.clone();
        let mut done = self.try_execute().await;
        while let Err(Ending::SupervisorLost(_)) = &done {
            done = match self.stand_alone() {
                Ok(()) => self.try_execute().await,
                Err(ending) => Err(ending),
            };
        }
        // What has failed in its preparations has not begun yet.
        let done = self.begin().await.and(done);
        let (end, materialized) = done.unwrap_or_else(|ending| (ending.into(), None));
        let usage = self.usage.into_inner().unwrap_or_else(PoisonError::into_inner);
        AttemptDone { step, end, materialized, usage }
    }

    /// Readies it to be made again with a supervisor that no other step has, unless it was so
    /// often enough: the step itself may be what ends its supervisor.
    fn stand_alone(&mut self) -> Result<(), Ending> {
        self.supervisors_lost += 1;
        if *self.stop.borrow() {
            return Err(Ending::Canceled);
        }
        if self.supervisors_lost > ALONE_MAX {
            let message = format!(
                "the supervisor of the step was lost {} times while it ran; the step may be \
                 killing its parent",
                self.supervisors_lost
            );
            return Err(Ending::failed(ErrorCode::StepSupervisor, message));
        }
        tracing::warn!(step = %self.step.key, "an attempt is made again: its supervisor was lost");
        self.supervisor = self.supervisor.another();
        self.has_made_asset = false;
        Ok(())
    }

    /// Whether its processes have a supervisor that no other step has.
    pub(super) fn is_alone(&self) -> bool {
        self.supervisors_lost > 0
    }

    async fn try_execute(&mut self) -> Result<(AttemptEnd, Option<EventBody>), Ending> {
        let returned = match &self.step.step {
            StepConfig::Noop(_) => Returned::Value(Value::Null),
            // Large, and apart from the rest, so that a step which does nothing stays small.
            _ => self.dispatch().boxed().await?,
        };
        // It has, unless there was nothing to do but to answer.
        self.begin().await?;
        let kept = match returned {
            Returned::Skipped(reason) => return Ok((AttemptEnd::Skipped { reason }, None)),
            Returned::Value(value) => asset::keep_value(self, value).await?,
            Returned::Document(value, metadata) => {
                asset::keep_document(self, value, metadata).await?
            }
            Returned::Rows(rows) => asset::keep_rows(self, rows).await?,
        };
        let Kept { result, result_ref, materialized } = kept;
        let took = self.taken_so_far();
        Ok((AttemptEnd::Succeeded { took, result, result_ref }, materialized))
    }

    /// Waits until the attempt may do what can be seen outside of it. What comes before hides
    /// behind the commit of its start.
    pub(super) async fn begin(&mut self) -> Result<(), Ending> {
        if self.began.is_some() {
            return Ok(());
        }
        self.taken.wait().await;
        self.began = Some(self.seams.clock.now());
        // A cancel may have come before the control plane took the start.
        if *self.stop.borrow() { Err(Ending::Canceled) } else { Ok(()) }
    }

    /// How long the attempt has been at work.
    pub(super) fn taken_so_far(&self) -> Duration {
        self.began.map(|began| self.seams.clock.now().since(began)).unwrap_or_default()
    }

    async fn dispatch(&mut self) -> Result<Returned, Ending> {
        use StepConfig as Kind;
        if !matches!(&self.step.step, Kind::Command(_) | Kind::Python(_) | Kind::Local(_)) {
            // Only what starts programs has preparations that are worth it.
            self.begin().await?;
            self.scratch.tidy();
        }
        match &self.step.step {
            StepConfig::Noop(_) => Ok(Returned::Value(Value::Null)),
            StepConfig::Local(local) => self.local(local).await,
            StepConfig::Command(command) => {
                let context = self.context().await?;
                process::run(self, command, context).await
            }
            StepConfig::Python(step) => {
                let context = self.context().await?;
                python::run(self, step, context).await
            }
            StepConfig::Sql(sql) => {
                let context = self.context().await?;
                sql::run(self, sql, &context).await
            }
            StepConfig::Http(http) => {
                let context = self.context().await?;
                http::run(self, http, &context).await
            }
            StepConfig::Lambda(lambda) => {
                let context = self.context().await?;
                lambda::run(self, lambda, &context).await
            }
            StepConfig::Load(load) => {
                let context = self.context().await?;
                load::run(self, load, &context).await
            }
        }
    }

    async fn local(&mut self, local: &LocalStep) -> Result<Returned, Ending> {
        let Some(handler) = &self.step.handler else {
            return Err(Ending::for_good(
                ErrorCode::HandlerUnknown,
                format!(
                    "Failed to load module {}: no row under `handlers` matches it; add one that \
                     says what it runs",
                    local.module
                ),
            ));
        };
        let mut context = self.context().await?;
        // Before the handler's own two names are there, which a trigger may have too.
        context.fill_config().map_err(Ending::ForGood)?;
        match &handler.target {
            HandlerTarget::Builtin(builtin) => builtin::run(*builtin, context),
            HandlerTarget::Python(step) => {
                context.name_module(&local.module);
                python::run(self, step, context).await
            }
            HandlerTarget::Command(command) => {
                context.name_module(&local.module);
                process::run(self, command, context).await
            }
        }
    }

    /// What the step may see, with the results of the steps that it depends on.
    async fn context(&mut self) -> Result<Context, Ending> {
        if self.step.asset.as_ref().is_some_and(|asset| !asset.inputs.is_empty()) {
            // To find them may take a process.
            self.begin().await?;
        }
        // The results stay shared: the context may have to be made again.
        let upstream = self.upstream.clone();
        let results = results::load(&self.worker.blobs, upstream)
            .await
            .map_err(|problem| Ending::failed(ErrorCode::StepInput, problem))?;
        if let Some(asset) = &self.step.asset {
            self.note_unmade(unmade(asset, &results));
        }
        let mut context = Context::new(self, results);
        if let Some(asset) = &self.step.asset {
            context.add_inputs(self.inputs(asset).await?);
        }
        Ok(context)
    }

    /// Templates for what is set outside of steps, which sees no results.
    pub(super) fn setting_templates(&self) -> &Templates<'static> {
        self.settings.get_or_init(|| Context::new(self, BTreeMap::new()).into_templates())
    }

    /// Where the inputs of the step's asset are, for a program that reads them itself.
    async fn inputs(&self, asset: &AssetStep) -> Result<Map<String, Value>, Ending> {
        let mut inputs = Map::new();
        let templates = self.setting_templates();
        for input in &asset.inputs {
            if let InputSource::Io(io) = &input.source {
                let place = self.input_place(io, input, templates).await?;
                inputs.insert(input.asset.to_string(), place);
            }
        }
        Ok(inputs)
    }
}
