//! P3: a step that is a process, through the supervisor.

use serde_json::json;

use super::bed::{Bed, micros};
use super::database::Database;
use super::figure::Figure;
use super::folder::Folder;
use super::job;
use super::quick::Size;
use super::rounds::interleave;
use crate::error::AppError;

/// Steps of the chain.
const LENGTH: u32 = 20;

/// The program that does nothing.
const PROGRAM: &str = "/bin/true";

pub(super) async fn measure(
    folder: Folder,
    size: &Size,
    database: Database<'_>,
) -> Result<Figure, AppError> {
    let config = json!({ "command": [PROGRAM] });
    folder.define("processes.json", &job::chain(LENGTH as usize, "command", &config))?;
    let bed = Bed::open(folder, database).await?;
    let runs = size.runs;
    let outcome = interleave(
        size.rounds,
        async || bed.turns(LENGTH * runs, spawn).await,
        async || {
            let mut took = 0.0;
            for _ in 0..runs {
                took += micros(bed.run("processes").await?);
            }
            Ok(took / f64::from(LENGTH * runs))
        },
    );
    let what = format!("subprocess step, {database} / spawn and wait + commit");
    Ok(Figure::ratio("P3", &what, outcome.await?, (1.5, Some(1.2))))
}

/// Starts a process and waits for its end.
fn spawn() -> Result<(), AppError> {
    let mut command = std::process::Command::new(PROGRAM);
    let ended = command.env_clear().stdin(std::process::Stdio::null()).status();
    ended.map(|_| ()).map_err(|source| AppError::Files { path: PROGRAM.into(), source })
}
