//! P11: from the start of the process to `/ready`, on a folder that was served before.

use std::process::Stdio;
use std::time::Instant;

use millstream_control::Store;

use super::bed::{broken, micros};
use super::figure::{Figure, Unit};
use super::folder::Folder;
use super::job;
use super::quick::Size;
use super::rounds::interleave;
use super::server::Server;
use crate::error::AppError;

/// The longest start, in microseconds.
const MOST: f64 = 100_000.0;

pub(super) async fn measure(folder: &Folder, size: &Size) -> Result<Vec<Figure>, AppError> {
    folder.define("one.json", &job::noops(1))?;
    let outcome = interleave(
        size.rounds,
        async || {
            let process = process_start().await?;
            Ok(process + store_open(folder).await?)
        },
        async || {
            let server = Server::start(folder.path()).await?;
            let took = micros(server.ready_after);
            server.stop().await?;
            Ok(took)
        },
    );
    let outcome = outcome.await?;
    let ours = (outcome.ours, Unit::Microseconds);
    Ok(vec![
        Figure::most("P11", "start to /ready, second start, SQLite", ours, MOST),
        Figure::ratio("P11", "start to /ready / process start + store", outcome, (3.0, None)),
    ])
}

/// How long this program takes to say its version.
async fn process_start() -> Result<f64, AppError> {
    let program = std::env::current_exe()
        .map_err(|source| AppError::Files { path: "/proc/self/exe".into(), source })?;
    let start = Instant::now();
    let mut command = tokio::process::Command::new(program);
    command.arg("--version").stdout(Stdio::null());
    command.status().await.map_err(|error| broken(&error))?;
    Ok(micros(start.elapsed()))
}

/// How long opening and asking the folder's database takes.
async fn store_open(folder: &Folder) -> Result<f64, AppError> {
    let path = folder.path().join(".millstream").join("millstream.db");
    let start = Instant::now();
    let store = Store::open_sqlite(&path)?;
    store.ping().await?;
    let took = micros(start.elapsed());
    drop(store);
    Ok(took)
}
