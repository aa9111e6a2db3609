//! P3: a step that is a process, through the supervisor.

use std::time::Instant;

use serde_json::json;

use super::bed::{Bed, broken, micros};
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
        async || {
            let spawns = spawns(LENGTH * runs).await?;
            Ok(spawns + bed.commits(LENGTH * runs).await?)
        },
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

/// The mean time of starting `count` processes one after the other and waiting for each.
async fn spawns(count: u32) -> Result<f64, AppError> {
    let spawning = tokio::task::spawn_blocking(move || {
        let start = Instant::now();
        for _ in 0..count {
            std::process::Command::new(PROGRAM)
                .env_clear()
                .stdin(std::process::Stdio::null())
                .status()?;
        }
        Ok::<_, std::io::Error>(micros(start.elapsed()) / f64::from(count))
    });
    let outcome = spawning.await.map_err(|error| broken(&error))?;
    outcome.map_err(|source| AppError::Files { path: PROGRAM.into(), source })
}
