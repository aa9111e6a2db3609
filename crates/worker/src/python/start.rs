//! Starting a process that forks or stays warm, through the supervisor as all processes are.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use millstream_host::{Channel, HostLost, Listener, Load};
use millstream_model::{Isolation, StepLimits};

use super::{Capture, HostKey};
use crate::Worker;
use crate::step::signal_name;
use crate::supervisor::{Ended, Process, ProcessSpec, SpawnError, SupervisorLost};

/// A process that was started and has taken the order to load its code.
#[derive(Debug)]
pub(crate) struct Starting {
    pub(crate) channel: Channel,
    pub(crate) process: Process,
}

/// A process could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("the socket for the process that runs the code cannot be made")]
    Socket(#[source] io::Error),
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    #[error("the process that runs the code ended before it was ready: {said}")]
    Ended { said: String },
    #[error(transparent)]
    Lost(#[from] HostLost),
}

impl Worker {
    /// Starts a process for what `key` says; what it prints meanwhile goes to `capture`.
    pub(crate) async fn start_python(
        &self,
        key: &HostKey,
        isolation: Isolation,
        capture: &mut Capture,
    ) -> Result<Starting, StartError> {
        self.python.sweep();
        let path = self.python_path()?;
        let listener = Listener::bind(path.clone()).map_err(StartError::Socket)?;
        let shim = self.python.shim().await.map_err(StartError::Socket)?;
        let spec = ProcessSpec {
            program: key.interpreter.to_string_lossy().into_owned(),
            args: shim.arguments(isolation, &[listener.path().as_os_str()]),
            env: key.env.clone(),
            cwd: self.settings.root.clone(),
            // What Python itself says before and after; the step's own output has other pipes.
            out: path.with_extension("out"),
            err: path.with_extension("err"),
            output_max: self.settings.output_max,
            limits: limits_of(isolation, self.settings.limits),
            tap: None,
            timeout: None,
            grace: self.settings.timeout_grace,
            leads_session: true,
        };
        let mut process = self.supervisor.spawn(spec).await?;
        let channel = tokio::select! {
            channel = listener.accept() => channel.map_err(StartError::Socket)?,
            said = end_of(&mut process) => {
                return Err(StartError::Ended { said: said.map_err(SpawnError::Lost)? });
            }
        };
        let mut starting = Starting { channel, process };
        let root = key.root.clone();
        let load = Load { root, place: key.place.clone(), isolation };
        capture.attach(starting.channel.load(&load).await?);
        Ok(starting)
    }

    /// A path for the socket of one process.
    fn python_path(&self) -> Result<PathBuf, StartError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = self.settings.scratch.with_file_name("host");
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&folder).map_err(StartError::Socket)?;
        Ok(folder.join(format!("{}-{number}.sock", std::process::id())))
    }
}

/// What a process is held to that runs one step after another, or many at once.
///
/// What would end the steps of others is held to for each step, by the worker.
fn limits_of(isolation: Isolation, all: StepLimits) -> StepLimits {
    match isolation {
        Isolation::Warm => {
            StepLimits { cpu: all.cpu, open_files: all.open_files, ..StepLimits::NONE }
        }
        Isolation::Fork | Isolation::Process => StepLimits::NONE,
    }
}

/// How a process that was lost has ended, in words.
pub(crate) async fn end_of(process: &mut Process) -> Result<String, SupervisorLost> {
    Ok(last_words(&process.ended().await?))
}

fn last_words(ended: &Ended) -> String {
    let end = match (ended.code, ended.signal) {
        (Some(code), _) => format!("it exited with code {code}"),
        (None, Some(signal)) => format!("it was ended by {}", signal_name(signal)),
        (None, None) => "it ended in an unknown way".to_owned(),
    };
    match ended.tail.as_str() {
        "" => end,
        tail => format!("{end}: {tail}"),
    }
}
