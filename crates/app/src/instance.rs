//! One instance in this process: store, use cases, worker, launcher and daemon, wired together.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use millstream_blob::Blobs;
use millstream_control::{Control, SchemaState, Seams, Store};
use millstream_daemon::{Daemon, DaemonHandle, DirectControlPlane, Location, Senses, hand_back};
use millstream_launch::{LocalAsker, LocalLauncher, ProcessLauncher, RunLauncher};
use millstream_model::{Entropy as _, LocationName};
use millstream_outbound::Aws;
use millstream_worker::{Secrets, Supervisor, Worker, WorkerSettings};

use crate::clock::SystemClock;
use crate::crash;
use crate::entropy::SystemEntropy;
use crate::error::AppError;
use crate::output;
use crate::settings::{LauncherKind, Settings};

/// Connections to Postgres that one process opens at most.
const CONNECTIONS_MAX: usize = 16;

/// How long the end of a command may take before it says what it waits for.
const TIDYING_MAX: Duration = Duration::from_millis(500);

/// The name of the code location that a project's own files form.
const LOCATION: &str = "project";

/// The use cases and logs of an instance, without anything that runs by itself.
#[derive(Clone)]
pub(crate) struct Instance {
    pub(crate) settings: Settings,
    pub(crate) control: Control,
    pub(crate) blobs: Blobs,
    local: Option<LocalLauncher>,
}

/// What an instance is started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To serve until it is told to end.
    Serve,
    /// For one command.
    Command,
}

impl Instance {
    /// Opens the instance of a project; the embedded database then belongs to this process.
    pub(crate) async fn open(settings: Settings) -> Result<Self, AppError> {
        let state = settings.state();
        make_private_folder(&state)?;
        let store = match &settings.database_url {
            None => crash::open_sqlite(&state.join("millstream.db"))?,
            Some(url) => {
                let store = Store::connect_postgres(url, CONNECTIONS_MAX).await?;
                match store.schema_state().await? {
                    SchemaState::Current => crash::armed(store),
                    behind_or_ahead => return Err(AppError::Schema(behind_or_ahead)),
                }
            }
        };
        let seams =
            Seams { clock: Arc::new(SystemClock::start()), entropy: Arc::new(SystemEntropy) };
        let control = Control::new(store, seams).with_env(settings.declared_env.clone());
        let control = control.with_secrets(secrets());
        let control =
            if settings.failure.run_retries { control } else { control.without_run_retries() };
        let blobs = Blobs::folder(state);
        Ok(Self { settings, control, blobs, local: None })
    }

    /// Starts the daemon of the instance, whose process launcher tells workers to report to `url`.
    ///
    /// Schedules tick where it serves, and not where it is there for one command.
    pub(crate) async fn start_daemon(
        &mut self,
        url: &str,
        purpose: Purpose,
    ) -> Result<DaemonHandle, AppError> {
        let location = Location {
            name: location_name(),
            root: self.settings.dags.clone(),
            project: self.settings.project.clone(),
            blobs: self.blobs.clone(),
        };
        // Who only looks leaves it as it is where the files that are live came from.
        let known = self.control.store().locations().await?;
        if self.settings.loads || !known.iter().any(|it| it.name == location.name) {
            let root = location.root.display().to_string();
            self.control.add_location(&location.name, &root).await?;
        }
        let launcher = self.launcher(url)?;
        let (lease, losses) = (self.settings.time_to_live, self.settings.launches_max);
        let patience = self.settings.failure.patience(lease, losses);
        let settings = millstream_daemon::Settings {
            name: daemon_name(),
            limits: self.settings.queue,
            patience,
            scan_interval: self.settings.scan_interval,
            scans: self.settings.scans && self.settings.loads,
            ticks: purpose == Purpose::Serve,
            runs: self.settings.runs,
        };
        let daemon = Daemon::new(self.control.clone(), launcher, settings, location);
        Ok(crash::frozen(daemon).asking(self.senses()?).start())
    }

    /// What sensors are asked with.
    fn senses(&self) -> Result<Senses, AppError> {
        let worker = worker(&self.settings, &self.blobs, own_program()?);
        let control = Arc::new(DirectControlPlane::new(self.control.clone()));
        let asker = Arc::new(LocalAsker::new(worker, control));
        let mut aws = Aws::default();
        for (name, value) in std::env::vars() {
            aws.take(&name, value);
        }
        let project = self.settings.project.clone();
        Ok(Senses { asker, project, aws, client: Arc::default() })
    }

    fn launcher(&mut self, url: &str) -> Result<Arc<dyn RunLauncher>, AppError> {
        let program = own_program()?;
        match self.settings.launcher {
            LauncherKind::Local => {
                let worker = worker(&self.settings, &self.blobs, program);
                let control = Arc::new(DirectControlPlane::new(self.control.clone()));
                let launcher = LocalLauncher::new(worker, control);
                self.local = Some(launcher.clone());
                Ok(Arc::new(launcher))
            }
            LauncherKind::Process => {
                let project = self.settings.project.display().to_string();
                Ok(Arc::new(ProcessLauncher {
                    program,
                    args: vec!["--dir".to_owned(), project, "__worker".to_owned()],
                    env: std::env::vars()
                        .filter(|(name, _)| is_for_workers(name))
                        .chain(self.settings.declared_env.clone())
                        .collect(),
                    url: url.to_owned(),
                    logs: self.settings.state().join("workers"),
                    ..ProcessLauncher::default()
                }))
            }
        }
    }

    /// Waits until the workers that are tasks of this process are done.
    pub(crate) async fn finish_workers(&self) {
        let Some(launcher) = &self.local else { return };
        let count = launcher.running();
        let mut finish = std::pin::pin!(launcher.finish());
        // A worker whose run is over tidies up for a moment.
        if tokio::time::timeout(TIDYING_MAX, &mut finish).await.is_err() {
            let runs = if count == 1 { "1 other run" } else { &format!("{count} other runs") };
            output::note(&format!("Waiting for {runs} that this command has begun."));
            finish.await;
        }
    }

    /// Ends the workers that are tasks of this process, as the end of the process would, and hands
    /// their runs back to the queue, as long as the database can be reached.
    pub(crate) async fn stop_workers(&self) {
        let Some(launcher) = &self.local else { return };
        hand_back(&self.control, launcher.shut_down().await).await;
    }
}

/// The secrets that this process was given.
fn secrets() -> Secrets {
    let mut secrets = Secrets::default();
    for (name, value) in std::env::vars() {
        secrets.take(&name, value);
    }
    secrets
}

/// The product's own binary.
fn own_program() -> Result<PathBuf, AppError> {
    std::env::current_exe()
        .map_err(|source| AppError::Files { path: PathBuf::from("/proc/self/exe"), source })
}

/// A worker of this instance, in whatever process.
pub(crate) fn worker(settings: &Settings, blobs: &Blobs, program: PathBuf) -> Worker {
    let name = format!("{} (process {})", settings.launcher.name(), std::process::id());
    let scratch = settings.state().join("scratch");
    let supervisor = Supervisor::new(program.clone(), vec!["__supervisor".to_owned()]);
    let mut worker = WorkerSettings::new(name, settings.project.clone(), scratch, program)
        .inheriting(std::env::vars());
    worker.declared_env.clone_from(&settings.declared_env);
    worker.limits = settings.limits.or(worker.limits);
    worker.output_max = settings.output_max.unwrap_or(worker.output_max);
    worker.python.clone_from(&settings.python);
    worker.outbound = settings.outbound.clone();
    worker.beat_every = worker.beat_every.min(settings.time_to_live / 4);
    Worker::new(worker, supervisor, blobs.clone())
}

impl LauncherKind {
    fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Process => "process",
        }
    }
}

/// The variables that a worker's process starts with; secrets of the server's are not among them.
fn is_for_workers(name: &str) -> bool {
    WorkerSettings::takes(name)
        || (name.starts_with("MILLSTREAM_") && name != "MILLSTREAM_DATABASE_URL")
}

/// The code location that a project's own files form.
pub(crate) fn location_name() -> LocationName {
    LOCATION.parse().unwrap_or_else(|_| unreachable!("the constant is a name"))
}

/// A name that no other daemon has: the process and some randomness.
fn daemon_name() -> String {
    let mut random = [0; 4];
    SystemEntropy.fill(&mut random);
    format!("daemon-{}-{:08x}", std::process::id(), u32::from_le_bytes(random))
}

/// Makes a folder that only this user may enter.
fn make_private_folder(path: &Path) -> Result<(), AppError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| AppError::Files { path: path.to_owned(), source })
}
