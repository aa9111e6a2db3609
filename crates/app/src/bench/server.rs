//! A server as users start it: a process of its own over a folder.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::bed::broken;
use crate::cli::{Access, Global};
use crate::client::Client;
use crate::error::AppError;

/// How long a server may take to be ready, or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that runs until it is stopped.
pub(super) struct Server {
    child: Child,
    pub(super) client: Client,
    /// From the start of its process until `/ready` said yes.
    pub(super) ready_after: Duration,
}

impl Server {
    /// Starts a server over the project in `folder` and waits until it is ready.
    pub(super) async fn start(folder: &Path) -> Result<Self, AppError> {
        let program = std::env::current_exe()
            .map_err(|source| AppError::Files { path: "/proc/self/exe".into(), source })?;
        let start = Instant::now();
        let mut command = Command::new(&program);
        command.args(["dev", "--port", "0", "--dir"]).arg(folder);
        for name in ["DAGS_DIR", "DAGS_ENABLED", "MILLSTREAM_DATABASE_URL", "MILLSTREAM_LAUNCHER"] {
            command.env_remove(name);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| AppError::Files { path: program, source })?;
        let ready = tokio::time::timeout(PATIENCE, ready(&mut child));
        let client = ready.await.map_err(|_| not_ready("it was not ready in 30 s"))??;
        Ok(Self { child, client, ready_after: start.elapsed() })
    }

    /// Its process id.
    pub(super) fn pid(&self) -> Result<u32, AppError> {
        self.child.id().ok_or_else(|| not_ready("it has ended"))
    }

    /// Ends it as a service manager does, and waits for its end.
    pub(super) async fn stop(mut self) -> Result<(), AppError> {
        let pid = self.pid()?.to_string();
        let told = Command::new("/bin/kill").args(["-TERM", &pid]).status().await;
        told.map_err(|error| broken(&error))?;
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.map_err(|_| not_ready("it did not end in 30 s"))?.map_err(|error| broken(&error))?;
        Ok(())
    }
}

/// Waits for the server's address and then for its yes.
async fn ready(child: &mut Child) -> Result<Client, AppError> {
    let said = child.stdout.take().ok_or_else(|| not_ready("its output cannot be read"))?;
    let mut lines = BufReader::new(said).lines();
    let url = loop {
        let line = lines.next_line().await.map_err(|error| broken(&error))?;
        let line = line.ok_or_else(|| not_ready("it ended before it served"))?;
        if let Some((_, url)) = line.split_once("Serving on ") {
            break url.to_owned();
        }
    };
    let global = Global { dir: ".".into(), url: Some(url), tenant: None, json: false };
    let client = Client::connect(&global, Access::Does).await?;
    while client.get("/ready").await.is_err() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(client)
}

fn not_ready(problem: &str) -> AppError {
    AppError::Bench { what: format!("a server was started, and {problem}") }
}
