//! A worker: what its runs share, and how one is run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use millstream_blob::{Blobs, LOG_MAX};
use millstream_model::worker_api::Assignment;
use millstream_model::{ByteSize, Secrets, StepLimits};
use millstream_outbound::{AllowList, Aws, Client, Limits, OutboundError, SystemNames};
use tokio::sync::{Semaphore, watch};

use crate::python::Python;
use crate::run::{RunEnd, drive};
use crate::step::RunSteps;
use crate::supervisor::memory_share;
use crate::{Seams, Supervisor};

/// Executes runs, each within bounds, all through one supervisor.
#[derive(Debug, Clone)]
pub struct Worker {
    pub(crate) settings: Arc<WorkerSettings>,
    pub(crate) supervisor: Supervisor,
    pub(crate) blobs: Blobs,
    /// Places for what reads and writes users' data, so that runs do not use up a server's
    /// connections.
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) python: Arc<Python>,
    /// The HTTP client of its steps, made when the first one needs it.
    pub(crate) client: Arc<OnceLock<Client>>,
    /// The one for AWS, whose addresses are the operator's.
    aws_client: Arc<OnceLock<Client>>,
}

/// How much of a worker's reading and writing of users' data goes on at once.
const CONNECTIONS_MAX: usize = 16;

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// Its name for people: a host and a process id.
    pub name: String,
    /// The root of the definitions, which paths of steps are relative to.
    pub root: PathBuf,
    /// The folder below which each attempt has its own for a while.
    pub scratch: PathBuf,
    /// The folder of the copies of the project's sources, one a version.
    pub code: PathBuf,
    /// The Python that runs functions whose step names none: a path, or a name on `PATH`.
    pub python: String,
    /// The environment of every step; what the step declares is added.
    pub base_env: BTreeMap<String, String>,
    /// The declared variables, which templates see as `env`.
    pub declared_env: BTreeMap<String, String>,
    /// The secrets, which steps' settings name.
    pub secrets: Secrets,
    /// The account in AWS in whose name functions are invoked.
    pub aws: Aws,
    /// The bucket of the objects that such steps keep their results in.
    pub bucket: Option<String>,
    /// The private addresses that HTTP steps may reach.
    pub outbound: AllowList,
    /// The program and arguments that execute a SQL step's request.
    pub sql_program: (PathBuf, Vec<String>),
    /// How many steps of a run go on at once, where its plan does not say.
    pub max_parallel: usize,
    /// How long an attempt may take, where its plan does not say.
    pub timeout: Duration,
    /// What an attempt may use, where its plan does not say.
    pub limits: StepLimits,
    /// How large the log of each output of an attempt may become.
    pub output_max: ByteSize,
    /// How long a canceled step has to end itself before it is killed.
    pub cancel_grace: Duration,
    /// How long a step that ran into its timeout has to end itself before it is killed.
    pub timeout_grace: Duration,
    /// How often the control plane is asked whether the run goes on, when there is no other news.
    pub beat_every: Duration,
    /// How long the control plane may be unavailable before the worker gives the run up.
    pub outage_max: Duration,
}

/// The bounds of HTTP steps; each has its own for the time and size of an answer.
const HTTP_LIMITS: Limits =
    Limits { connect: Duration::from_secs(10), total: Duration::from_mins(1), answer_max: 1 << 20 };

/// The variables that a step gets from its worker; everything else it must declare.
const INHERITED: &[&str] = &["PATH", "HOME", "LANG", "TZ", "TMPDIR"];

/// The variable of document 004 that names the bucket of results.
pub(crate) const BUCKET: &str = "CASCADE_S3_BUCKET";

/// Where programs are looked for when the worker itself has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

impl WorkerSettings {
    /// The defaults for a worker called `name`, with definitions below `root`, scratch space below
    /// `scratch` and `program` as the product's own binary.
    pub fn new(name: String, root: PathBuf, scratch: PathBuf, program: PathBuf) -> Self {
        let scratch = absolute(scratch);
        Self {
            name,
            root: absolute(root),
            code: scratch.with_file_name("code"),
            python: "python3".to_owned(),
            scratch,
            base_env: BTreeMap::from([("PATH".to_owned(), DEFAULT_PATH.to_owned())]),
            declared_env: BTreeMap::new(),
            secrets: Secrets::default(),
            aws: Aws::default(),
            bucket: None,
            outbound: AllowList::none(),
            sql_program: (program, vec![millstream_io::sql_child::SUBCOMMAND.to_owned()]),
            max_parallel: std::thread::available_parallelism().map_or(1, usize::from),
            timeout: Duration::from_hours(24),
            limits: StepLimits { memory: memory_share().map(ByteSize), ..StepLimits::NONE },
            output_max: LOG_MAX,
            cancel_grace: Duration::from_secs(20),
            timeout_grace: Duration::from_secs(5),
            beat_every: Duration::from_secs(1),
            outage_max: Duration::from_hours(1),
        }
    }

    /// Takes from `environment`, which is the worker's own, the secrets, and what every step may
    /// see.
    #[must_use]
    pub fn inheriting(mut self, environment: impl IntoIterator<Item = (String, String)>) -> Self {
        for (name, value) in environment {
            if INHERITED.contains(&&*name) {
                self.base_env.insert(name, value);
            } else if name == BUCKET {
                self.bucket = Some(value).filter(|bucket| !bucket.is_empty());
            } else if Aws::VARIABLES.contains(&&*name) {
                self.aws.take(&name, value);
            } else {
                self.secrets.take(&name, value);
            }
        }
        self
    }

    /// Whether a worker takes the variable `name` from its environment, secrets aside.
    pub fn takes(name: &str) -> bool {
        INHERITED.contains(&name) || name == BUCKET || Aws::VARIABLES.contains(&name)
    }
}

impl WorkerSettings {
    /// The folder of the attempts of a run by one worker.
    pub(crate) fn run_scratch(&self, assignment: &Assignment) -> PathBuf {
        self.scratch.join(format!("{}.{}", assignment.run, assignment.epoch))
    }
}

/// Steps have a working directory of their own, so what they are told must not depend on ours.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// Tells a run to stop, from within the worker's own process.
///
/// The control plane's answers say so too; this one comes at once.
#[derive(Debug)]
pub struct Canceler(watch::Sender<bool>);

/// The other end of a [`Canceler`].
#[derive(Debug, Clone)]
pub struct CancelSignal(watch::Receiver<bool>);

impl Canceler {
    /// A canceler with its signal.
    pub fn new() -> (Self, CancelSignal) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), CancelSignal(receiver))
    }

    /// Tells the run to stop. Telling it twice is harmless.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }
}

impl CancelSignal {
    /// Waits until the run is to stop, for ever if nobody can say so any more.
    pub async fn canceled(&mut self) {
        if self.0.wait_for(|is_canceled| *is_canceled).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Worker {
    /// A worker that starts its steps through `supervisor` and keeps their output in `blobs`.
    pub fn new(settings: WorkerSettings, supervisor: Supervisor, blobs: Blobs) -> Self {
        let python = Arc::new(Python::new(&settings, blobs.clone()));
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        Self {
            settings: Arc::new(settings),
            supervisor,
            blobs,
            connections,
            python,
            client: Arc::default(),
            aws_client: Arc::default(),
        }
    }

    /// The client of HTTP steps.
    pub(crate) fn client(&self) -> Result<&Client, OutboundError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let names = Arc::new(SystemNames);
        let client = Client::guarded(HTTP_LIMITS, self.settings.outbound.clone(), names)?;
        Ok(self.client.get_or_init(|| client))
    }

    /// The client for AWS.
    pub(crate) fn aws_client(&self) -> Result<&Client, OutboundError> {
        if let Some(client) = self.aws_client.get() {
            return Ok(client);
        }
        let client = Client::direct(HTTP_LIMITS)?;
        Ok(self.aws_client.get_or_init(|| client))
    }

    /// Ends all processes of its steps at once, and waits until they are gone: for a worker none of
    /// whose runs goes on.
    pub async fn end_processes(&self) {
        self.supervisor.end().await;
    }

    /// Executes a run from where earlier workers left it to its end.
    ///
    /// Dropping the future kills the run's processes and reports nothing, as a crash would.
    pub async fn run(&self, assignment: Assignment, seams: &Seams, signal: CancelSignal) -> RunEnd {
        if assignment.epoch > 1 {
            remove_older_scratch(&self.settings.scratch, &assignment);
        }
        let _pinned = self.python.pinned(assignment.run, assignment.epoch);
        let steps = RunSteps::new(self, self.settings.run_scratch(&assignment));
        drive(&self.settings, &steps, assignment, seams, signal).await
    }
}

/// Removes what workers of the run that were killed have left behind.
fn remove_older_scratch(scratch: &Path, assignment: &Assignment) {
    let Ok(folders) = std::fs::read_dir(scratch) else { return };
    for folder in folders.flatten() {
        let name = folder.file_name();
        let left = name.to_str().and_then(|name| name.split_once('.'));
        let is_older = left.is_some_and(|(run, epoch)| {
            run == assignment.run.to_string()
                && epoch.parse::<i64>().is_ok_and(|epoch| epoch < assignment.epoch)
        });
        if is_older && let Err(error) = std::fs::remove_dir_all(folder.path()) {
            tracing::warn!(path = %folder.path().display(), %error, "a folder stays behind");
        }
    }
}
