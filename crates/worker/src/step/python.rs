//! Steps that are functions in Python: what they are called with, and in which kind of process.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use millstream_blob::{LogStream, LogWriter};
use millstream_host::{
    Code, Confines, Failure, ForkEnd, HostLost, InterpreterError, Outcome, StepOrder,
};
use millstream_model::{
    ContentHash, ErrorCode, Isolation, PipesConfig, PythonStep, StepError, StepLimits, StepUsage,
    chain,
};
use serde_json::{Map, Value};

use super::attempt::{Attempt, Ending, Returned};
use super::context::Context;
use super::gauge::Gauge;
use super::scratch::Scratch;
use super::{forked, process, result, warm};
use crate::pipes::Session;
use crate::python::{Capture, HostKey, SourcesError, StartError};
use crate::supervisor::{EndCause, Ended, ProcessSpec, SpawnError, SupervisorLost, some_cores};

/// A function with everything that it is called with.
pub(super) struct Call {
    pub(super) key: HostKey,
    pub(super) function: String,
    /// What the function sees.
    pub(super) context: Context,
    /// How it may speak Pipes.
    pub(super) pipes: PipesConfig,
}

/// Runs the function of `step`.
pub(super) async fn run(
    attempt: &mut Attempt<'_>,
    step: &PythonStep,
    context: Context,
) -> Result<Returned, Ending> {
    let call = Call::new(attempt, step, context).await?;
    match isolation(step.isolation, &attempt.step.limits) {
        // The processes that others share are another supervisor's.
        _ if attempt.is_alone() => cold(attempt, &call).await,
        Isolation::Fork => forked::run(attempt, &call).await,
        Isolation::Warm => warm::run(attempt, &call).await,
        Isolation::Process => cold(attempt, &call).await,
    }
}

/// A warm process keeps the cores and files that it was started with, so a step that wants its own
/// has a process of its own.
fn isolation(wanted: Isolation, limits: &StepLimits) -> Isolation {
    match wanted {
        Isolation::Warm if limits.cpu.is_some() || limits.open_files.is_some() => {
            Isolation::Process
        }
        _ => wanted,
    }
}

impl Call {
    async fn new(
        attempt: &Attempt<'_>,
        step: &PythonStep,
        mut context: Context,
    ) -> Result<Self, Ending> {
        let settings = &attempt.worker.settings;
        let templates = context.templates();
        let render = |text: &str| templates.render(text).map_err(Ending::ForGood);
        let (place, function) = split(&render(&step.function)?)?;
        let mut env = settings.base_env.clone();
        for (name, value) in &step.env {
            env.insert(name.clone(), render(value)?);
        }
        let params: Map<_, _> = templates.render_params(&step.params).map_err(Ending::ForGood)?;
        let interpreter = step.interpreter.as_deref().map(render).transpose()?;
        context.add_params(params);
        let python = &attempt.worker.python;
        let name = interpreter.as_deref().unwrap_or(&settings.python);
        let interpreter = python.interpreters.find(name, &settings.base_env, &settings.root);
        let interpreter = interpreter.await.map_err(|error| no_interpreter(&error))?;
        let code = attempt.code(step.sources.code.as_ref()).await?;
        let (hash, root) = (code.hash.clone(), code.root.clone());
        let tenant = attempt.assignment.tenant.clone();
        let key = HostKey { tenant, code: hash, root, interpreter, place, env };
        Ok(Self { key, function, context, pipes: step.pipes.clone() })
    }

    /// The order for a host that has loaded the code already.
    ///
    /// `env` is added to the environment that the code was imported in.
    pub(super) fn order<'a>(
        &'a self,
        env: &'a BTreeMap<String, String>,
        confines: Confines,
    ) -> StepOrder<'a> {
        StepOrder { function: &self.function, context: self.context.json(), env, confines }
    }
}

fn split(function: &str) -> Result<(String, String), Ending> {
    match function.rsplit_once(':') {
        Some((place, name)) if is_below(place) && !name.is_empty() => {
            Ok((place.to_owned(), name.to_owned()))
        }
        _ => Err(Ending::for_good(
            ErrorCode::StepLoad,
            format!(
                "{function:?} names no function below the project's folder; write it like \
                 `tasks.py:extract` or `package.module:extract`"
            ),
        )),
    }
}

fn is_below(place: &str) -> bool {
    let is_plain = |part: &str| !part.is_empty() && part != "..";
    place.split('/').all(is_plain)
}

fn no_interpreter(error: &InterpreterError) -> Ending {
    Ending::failed(ErrorCode::StepSpawn, error.to_string())
}

fn no_code(error: &dyn std::error::Error) -> Ending {
    Ending::failed(ErrorCode::StepLoad, chain(error))
}

/// A process did not come to run the code.
pub(super) fn not_started(error: &StartError) -> Ending {
    match error {
        StartError::Spawn(SpawnError::Lost(lost)) => Ending::SupervisorLost(*lost),
        _ => Ending::failed(ErrorCode::StepSpawn, chain(error)),
    }
}

/// The host was lost, which left these words.
pub(super) fn lost(place: &str, last_words: Result<String, SupervisorLost>) -> Ending {
    match last_words {
        Ok(words) => {
            let message = format!("the process that has imported {place} was lost: {words}");
            Ending::failed(ErrorCode::StepExit, message)
        }
        Err(lost) => Ending::SupervisorLost(lost),
    }
}

/// What the host said while nobody lost it.
pub(super) fn broken(error: &HostLost) -> Ending {
    Ending::failed(ErrorCode::StepExit, chain(error))
}

/// What `failure` means for the step.
pub(super) fn failed(failure: Failure) -> Ending {
    let Failure { code, message, detail, for_good } = failure;
    let error = StepError { code, message, detail };
    if for_good { Ending::ForGood(error) } else { Ending::Failed(error) }
}

impl Attempt<'_> {
    /// What `outcome` means for the step.
    pub(super) fn returned(&self, outcome: Outcome) -> Result<Returned, Ending> {
        match outcome {
            Outcome::Returned(value) => Ok(self.value(value)),
            Outcome::Skipped(reason) => Ok(Returned::Skipped(result::short(&reason))),
            Outcome::Failed(failure) => Err(failed(failure)),
        }
    }

    /// The run's copy of a version of sources, or of those of now.
    pub(super) async fn code(&self, version: Option<&ContentHash>) -> Result<Arc<Code>, Ending> {
        let run = (self.assignment.run, self.assignment.epoch);
        let code = self.worker.python.code(run, version).await;
        code.map_err(|error| match error {
            SourcesError::Gone { .. } => Ending::for_good(ErrorCode::StepLoad, chain(&error)),
            SourcesError::Blobs(_) | SourcesError::Copy(_) => no_code(&error),
        })
    }

    /// The logs of this attempt, for what comes through pipes.
    pub(super) fn capture(&self) -> Capture {
        let max = self.worker.settings.output_max;
        let log = |stream| LogWriter::new(self.log(stream)).up_to(max);
        Capture::new(log(LogStream::Out), log(LogStream::Err), self.seams.clock.clone())
    }

    /// What of `limits` a fork takes on itself.
    pub(super) fn confines(&self, limits: &StepLimits) -> Confines {
        let id = u64::try_from(self.place).unwrap_or_default() + u64::from(self.number);
        let cores = limits.cpu.and_then(|count| some_cores(count, id));
        Confines { cores, open_files: limits.open_files }
    }

    /// Adds what the step has used in a process that it shared; `cpu_micros` where that said it.
    pub(super) fn note_usage(&self, cpu_micros: Option<u64>, gauge: &Gauge, capture: &Capture) {
        let usage = StepUsage {
            cpu_micros: cpu_micros.unwrap_or_else(|| gauge.cpu_micros()),
            peak_memory_bytes: gauge.peak(),
            output_dropped_bytes: capture.dropped(),
        };
        self.add_usage(usage);
    }

    /// Says in the worker's log when output of the step was lost.
    pub(super) fn mind(&self, capture: &Capture) {
        if let Some(problem) = capture.error() {
            tracing::warn!(step = %self.step.key, problem, "output of a step is missing");
        }
    }

    /// What a fork that has ended means for the step.
    pub(super) fn judge_fork(
        &self,
        end: ForkEnd,
        cause: EndCause,
        capture: &Capture,
    ) -> Result<Returned, Ending> {
        match (cause, end.outcome) {
            (EndCause::Itself, Some(outcome)) if end.code == Some(0) => self.returned(outcome),
            _ => Err(self.ended(cause, (end.code, end.signal), capture)),
        }
    }

    /// What it means that a process ended without an outcome: by its exit code, or by a signal.
    pub(super) fn ended(
        &self,
        cause: EndCause,
        (code, signal): (Option<i32>, Option<i32>),
        capture: &Capture,
    ) -> Ending {
        let tail = capture.tail();
        let usage = StepUsage::default();
        let ended = Ended { code, signal, cause, usage, tail, log_error: None };
        process::judge(ended, self.timeout())
    }
}

/// Runs the function in a process of its own.
pub(super) async fn cold(attempt: &mut Attempt<'_>, call: &Call) -> Result<Returned, Ending> {
    let mut env: BTreeMap<String, String> = call.key.env.clone();
    let mut scratch = process::give_context(attempt, &call.context, &mut env)?;
    let answer = scratch.answer();
    let shim = attempt.worker.python.shim().await.map_err(|error| no_code(&error))?;
    let more = [
        call.key.root.as_os_str(),
        Path::new(&call.key.place).as_os_str(),
        Path::new(&call.function).as_os_str(),
        answer.as_os_str(),
    ];
    let mut spec = ProcessSpec {
        program: call.key.interpreter.to_string_lossy().into_owned(),
        args: shim.arguments(Isolation::Process, &more),
        env,
        ..attempt.bare_process()
    };
    let mut session =
        attempt.open_pipes(&call.pipes, &mut scratch, &call.context, &mut spec.env)?;
    spec.tap = session.as_ref().and_then(Session::tapped);
    let told = attempt.run_program(spec, session.as_mut()).await?;
    let done = attempt.answered(&scratch).await;
    drop(session);
    scratch.give_back(attempt.scratch);
    attempt.heed(told, done)
}

impl Attempt<'_> {
    /// What a process of the step's own has left as its answer.
    async fn answered(&self, scratch: &Scratch) -> Result<Returned, Ending> {
        let line = std::fs::read(scratch.answer()).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Ending::failed(ErrorCode::StepExit, process::NEVER_RETURNED.to_owned())
            }
            _ => process::no_folder(&scratch.answer(), &error),
        })?;
        match self.returned(Outcome::read(&line))? {
            // A program that the function has started may have left a result.
            Returned::Value(Value::Null) => self.left(&scratch.result()).await,
            other => Ok(other),
        }
    }
}
