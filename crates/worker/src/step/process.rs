//! Steps that are programs: what they are given, and what their end means.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::PoisonError;
use std::time::Duration;

use futures_util::FutureExt as _;
use millstream_blob::{LogKey, LogStream};
use millstream_model::{
    ByteSize, CommandLine, CommandStep, ErrorCode, HumanDuration, StepConfig, StepError,
    StepLimits, StepUsage, shell_word,
};
use tokio::sync::watch;

use super::attempt::{Attempt, Ending, Returned};
use super::context::Context;
use super::scratch::Scratch;
use super::template::Templates;
use super::{lambda, sources};
use crate::pipes::{Exception, Session, Told};
use crate::supervisor::{EndCause, Ended, Excess, Process, ProcessSpec, SpawnError};

/// Runs `command` and returns what it left in its result file.
pub(super) async fn run(
    attempt: &mut Attempt<'_>,
    command: &CommandStep,
    context: Context,
) -> Result<Returned, Ending> {
    let templates = context.templates();
    let (program, args) = command_line(&command.command, &templates)?;
    let cwd = command.cwd.as_deref().map(|cwd| render(&templates, cwd)).transpose()?;
    let (program, args) = match &command.sources.code {
        Some(version) => {
            let code = attempt.code(Some(version)).await?;
            let step = (command, cwd.as_deref());
            sources::of_version((program, args), step, (code.root.as_path(), &*code.set))
        }
        None => (program, args),
    };
    let mut env = attempt.worker.settings.base_env.clone();
    for (name, value) in &command.env {
        env.insert(name.clone(), render(&templates, value)?);
    }
    let mut scratch = give_context(attempt, &context, &mut env)?;
    let mut spec = ProcessSpec {
        program,
        args,
        env,
        cwd: attempt.worker.settings.root.join(cwd.unwrap_or_default()),
        ..attempt.bare_process()
    };
    let mut session = attempt.open_pipes(&command.pipes, &mut scratch, &context, &mut spec.env)?;
    spec.tap = session.as_ref().and_then(Session::tapped);
    let told = attempt.run_program(spec, session.as_mut()).await?;
    let done = attempt.left(&scratch.result()).await;
    drop(session);
    scratch.give_back(attempt.scratch);
    attempt.heed(told, done)
}

fn command_line(
    command: &CommandLine,
    templates: &Templates<'_>,
) -> Result<(String, Vec<String>), Ending> {
    match command {
        CommandLine::Shell(line) => {
            let line = templates.render_shell(line).map_err(Ending::ForGood)?;
            Ok(("/bin/sh".to_owned(), vec!["-c".to_owned(), line]))
        }
        CommandLine::Argv(words) => {
            let mut words = words.iter().map(|word| render(templates, word));
            let Some(program) = words.next().transpose()?.filter(|program| !program.is_empty())
            else {
                let message = "the command is empty; name a program".to_owned();
                return Err(Ending::for_good(ErrorCode::StepSpawn, message));
            };
            Ok((program, words.collect::<Result<_, _>>()?))
        }
    }
}

fn render(templates: &Templates<'_>, text: &str) -> Result<String, Ending> {
    templates.render(text).map_err(Ending::ForGood)
}

/// Makes the attempt's folder with the context in it, and says in `env` where things are.
pub(super) fn give_context(
    attempt: &Attempt<'_>,
    context: &Context,
    env: &mut BTreeMap<String, String>,
) -> Result<Scratch, Ending> {
    let scratch = attempt.scratch()?;
    let json = serde_json::to_vec(context.json())
        .map_err(|error| no_folder(&scratch.context(), &error.into()))?;
    scratch.write_context(json).map_err(|error| no_folder(&scratch.context(), &error))?;
    let path = |path: PathBuf| path.to_string_lossy().into_owned();
    env.insert("TMPDIR".to_owned(), path(scratch.tmp().to_owned()));
    env.insert("MILLSTREAM_CONTEXT".to_owned(), path(scratch.context()));
    env.insert("MILLSTREAM_RESULT".to_owned(), path(scratch.result()));
    env.extend(context.variables().clone());
    Ok(scratch)
}

/// The attempt's folder cannot be used.
pub(super) fn no_folder(path: &Path, error: &std::io::Error) -> Ending {
    let message = format!("the step's folder cannot be used: {}: {error}", path.display());
    Ending::failed(ErrorCode::StepSpawn, message)
}

impl Attempt<'_> {
    /// The folder that this attempt has for itself.
    pub(super) fn scratch(&self) -> Result<Scratch, Ending> {
        self.scratch.folder().map_err(|error| no_folder(self.scratch.path(), &error))
    }

    /// The files that this attempt has for itself, without a folder.
    pub(super) fn scratch_files(&self) -> Result<Scratch, Ending> {
        self.scratch.files().map_err(|error| no_folder(self.scratch.path(), &error))
    }

    /// A process of this attempt with nothing to run yet; its time is set when it starts.
    pub(super) fn bare_process(&self) -> ProcessSpec {
        let settings = &self.worker.settings;
        ProcessSpec {
            program: String::new(),
            args: Vec::new(),
            env: BTreeMap::new(),
            cwd: settings.root.clone(),
            out: self.log(LogStream::Out),
            err: self.log(LogStream::Err),
            output_max: settings.output_max,
            limits: self.limits(),
            tap: None,
            timeout: None,
            grace: settings.timeout_grace,
            leads_session: false,
        }
    }

    /// What the attempt may use.
    pub(super) fn limits(&self) -> StepLimits {
        self.step.limits.or(self.worker.settings.limits)
    }

    /// How long the attempt may take, from its preparations to the last byte of its result.
    pub(super) fn timeout(&self) -> Duration {
        match (self.step.timeout, &self.step.step) {
            (Some(HumanDuration(timeout)), _) => timeout,
            (None, StepConfig::Lambda(_)) => lambda::TIMEOUT,
            (None, _) => self.worker.settings.timeout,
        }
    }

    /// How much of that is left: each part of an attempt has what those before it did not take.
    pub(super) fn time_left(&self) -> Result<Duration, Ending> {
        let timeout = self.timeout();
        match timeout.saturating_sub(self.taken_so_far()) {
            Duration::ZERO => Err(timed_out(timeout, String::new())),
            left => Ok(left),
        }
    }

    /// Waits for `work`, and sees to what earlier attempts of the run have left once it has begun.
    pub(super) async fn tidying<F: Future>(&self, mut work: Pin<&mut F>) -> F::Output {
        if let Some(done) = work.as_mut().now_or_never() {
            return done;
        }
        self.scratch.tidy();
        work.await
    }

    /// Waits for `work`, which is dropped when the run is canceled or the attempt's time is over.
    pub(super) async fn within<T>(&self, work: impl Future<Output = T>) -> Result<T, Ending> {
        let too_long = self.seams.clock.sleep(self.time_left()?);
        let mut stop = self.stop.clone();
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = stopped(&mut stop) => Err(Ending::Canceled),
            () = too_long => Err(timed_out(self.timeout(), String::new())),
        }
    }

    /// The log of one of the attempt's outputs.
    pub(super) fn log(&self, stream: LogStream) -> PathBuf {
        self.worker.blobs.log_path(&LogKey {
            tenant: self.assignment.tenant.clone(),
            run: self.assignment.run,
            step: self.step.key.clone(),
            attempt: self.number,
            stream,
        })
    }

    /// Runs a process to its end. An end that is not a success is an error.
    ///
    /// `is_answered` says of an exit code other than 0 that the process did what it should and
    /// left an answer.
    pub(super) async fn run_process(
        &self,
        spec: ProcessSpec,
        is_answered: impl Fn(i32) -> bool,
    ) -> Result<(), Ending> {
        let ended = self.end_of(spec, None).await?;
        match (ended.cause, ended.code) {
            (EndCause::Itself, Some(code)) if code == 0 || is_answered(code) => Ok(()),
            _ => Err(judge(ended, self.timeout())),
        }
    }

    /// Runs a process that may speak Pipes to its end. An end that is not a success is an error.
    pub(super) async fn run_program(
        &mut self,
        spec: ProcessSpec,
        mut session: Option<&mut Session>,
    ) -> Result<Told, Ending> {
        self.begin().await?;
        let ended = self.end_of(spec, session.as_deref_mut()).await?;
        let told = session.map(Session::told).unwrap_or_default();
        match (ended.cause, ended.code) {
            (EndCause::Itself, Some(0)) => Ok(told),
            (EndCause::Itself, _) => Err(with_exception(judge(ended, self.timeout()), &told)),
            _ => Err(judge(ended, self.timeout())),
        }
    }

    async fn end_of(
        &self,
        spec: ProcessSpec,
        session: Option<&mut Session>,
    ) -> Result<Ended, Ending> {
        let grace = self.worker.settings.cancel_grace;
        let spec = ProcessSpec { timeout: Some(self.time_left()?), ..spec };
        let spawning = pin!(self.supervisor.spawn(spec));
        let copies = &self.worker.settings.code;
        let process = self.tidying(spawning).await.map_err(|error| not_spawned(&error, copies))?;
        let mut stop = self.stop.clone();
        let end = await_end(process, &mut stop, grace);
        let ended = match session {
            Some(session) => session.follow(end).await,
            None => end.await,
        }?;
        self.add_usage(ended.usage);
        if let Some(problem) = &ended.log_error {
            tracing::warn!(step = %self.step.key, problem, "output of a step is missing");
        }
        Ok(ended)
    }
}

impl Attempt<'_> {
    /// Counts what a process of the attempt's has used.
    pub(super) fn add_usage(&self, usage: StepUsage) {
        let mut all = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        *all = Some(all.unwrap_or_default().then(usage));
    }
}

async fn await_end(
    mut process: Process,
    stop: &mut watch::Receiver<bool>,
    grace: Duration,
) -> Result<Ended, Ending> {
    let ended = tokio::select! {
        ended = process.ended() => ended,
        () = stopped(stop) => {
            process.stop(grace);
            process.ended().await
        }
    };
    ended.map_err(Ending::SupervisorLost)
}

/// Waits until the run is to stop.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|is_stopped| *is_stopped).await.is_err() {
        // Whoever could say so is gone, and this future with it.
        std::future::pending::<()>().await;
    }
}

/// How the operating system says that there is no such file.
const NO_FILE: &str = "No such file or directory";

/// How it says that a file may not be executed.
const NOT_ALLOWED: &str = "Permission denied";

/// How it says that it knows no program that would execute a file.
const NO_PROGRAM: &str = "Exec format error";

/// What it means that a process was not started; copies of the project's files are in `copies`.
fn not_spawned(error: &SpawnError, copies: &Path) -> Ending {
    let message = match error {
        SpawnError::Lost(lost) => return Ending::SupervisorLost(*lost),
        SpawnError::Refused { cwd, .. } if !cwd.is_dir() => {
            format!("{error}; the working directory does not exist")
        }
        SpawnError::NoSupervisor { source, .. } => format!("{error}: {source}"),
        SpawnError::Refused { program, message, .. }
            if !program.contains('/') && message.starts_with(NO_FILE) =>
        {
            format!(
                "{error}; {program} is in no folder of PATH, or a script without its interpreter"
            )
        }
        SpawnError::Refused { program, message, .. } => {
            let file = sources::original(program, copies).unwrap_or(program);
            if message.starts_with(NOT_ALLOWED) {
                format!("{error}; make {file} executable: chmod +x {}", shell_word(file))
            } else if message.starts_with(NO_PROGRAM) {
                format!(
                    "{error}; {file} has no first line that names its interpreter, as #!/bin/sh"
                )
            } else {
                error.to_string()
            }
        }
    };
    Ending::failed(ErrorCode::StepSpawn, message)
}

/// The error of a function whose process ended as if all had gone well.
pub(super) const NEVER_RETURNED: &str = "the function never returned: it ended its process with \
                                         exit code 0, as `os._exit(0)` does; return instead";

/// What the end of a process that did not do its work means for its step.
pub(super) fn judge(ended: Ended, timeout: Duration) -> Ending {
    let (code, message) = match (ended.cause, ended.code, ended.signal) {
        (EndCause::Stopped, _, _) => return Ending::Canceled,
        (EndCause::TimedOut, _, _) => return timed_out(timeout, ended.tail),
        (EndCause::OverLimit(excess), _, _) => over_limit(excess),
        (EndCause::Itself, Some(0), _) => (ErrorCode::StepExit, NEVER_RETURNED.to_owned()),
        (EndCause::Itself, Some(code), _) => {
            (ErrorCode::StepExit, format!("the process exited with code {code}"))
        }
        (EndCause::Itself, None, Some(signal)) => {
            (ErrorCode::StepExit, format!("the process was ended by {}", signal_name(signal)))
        }
        (EndCause::Itself, None, None) => {
            (ErrorCode::StepExit, "the process ended in an unknown way".to_owned())
        }
    };
    let detail = Some(ended.tail).filter(|tail| !tail.is_empty());
    Ending::Failed(StepError { code, message, detail })
}

/// What to say of a step that used too much.
fn over_limit(excess: Excess) -> (ErrorCode, String) {
    match excess {
        Excess::Memory { limit, peak } => (
            ErrorCode::StepOutOfMemory,
            format!("out of memory: peak {}, limit {limit}", rounded(peak)),
        ),
        Excess::MachineMemory { peak } => (
            ErrorCode::StepOutOfMemory,
            format!(
                "out of memory: the machine had none left and its kernel ended the process; \
                 peak {}",
                rounded(peak)
            ),
        ),
        Excess::Processes { limit, count } => {
            (ErrorCode::StepLimit, format!("too many processes: {count}, limit {limit}"))
        }
        Excess::CpuTime { limit, used } => {
            (ErrorCode::StepLimit, format!("too much processor time: {used}, limit {limit}"))
        }
    }
}

/// A size in whole MiB, which is how people write limits.
fn rounded(ByteSize(bytes): ByteSize) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

/// The error of a step that ran longer than it may; `said` is the end of what it wrote.
pub(super) fn timed_out(timeout: Duration, said: String) -> Ending {
    let limit = HumanDuration(timeout);
    Ending::Failed(StepError {
        code: ErrorCode::StepTimeout,
        message: format!("timeout: the step ran longer than {limit}"),
        detail: Some(said).filter(|said| !said.is_empty()),
    })
}

/// The ending with the exception that the program closed with, if it did.
pub(super) fn with_exception(ending: Ending, told: &Told) -> Ending {
    match (ending, &told.exception) {
        // A function's own exception is said already.
        (Ending::Failed(error), Some(Exception { headline, traceback }))
            if error.code == ErrorCode::StepExit =>
        {
            let message = format!("{}: {headline}", error.message);
            Ending::Failed(StepError { message, detail: Some(traceback.clone()), ..error })
        }
        (ending, _) => ending,
    }
}

/// A signal's number and name.
pub(crate) fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL; the system may have been out of memory",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        _ => return format!("signal {signal}"),
    };
    format!("signal {signal} ({name})")
}
