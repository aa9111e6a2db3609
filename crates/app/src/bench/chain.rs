//! P1: a durable step that does nothing, forty of them one after the other.

use super::bed::{Bed, micros};
use super::database::Database;
use super::figure::Figure;
use super::folder::Folder;
use super::job;
use super::quick::Size;
use super::rounds::interleave;
use crate::error::AppError;

/// Steps of the chain.
const LENGTH: u32 = 40;

/// Measures on `database`.
pub(super) async fn measure(
    folder: Folder,
    size: &Size,
    database: Database<'_>,
) -> Result<Figure, AppError> {
    folder.define("chain.json", &job::noops(LENGTH as usize))?;
    let bed = Bed::open(folder, database).await?;
    let runs = size.runs;
    let outcome = interleave(
        size.rounds,
        async || bed.commits(LENGTH * runs).await,
        async || {
            let mut took = 0.0;
            for _ in 0..runs {
                took += micros(bed.run("chain").await?);
            }
            Ok(took / f64::from(LENGTH * runs))
        },
    );
    let what = format!("durable no-op step of 40 in sequence, {database} / commit of one row");
    Ok(Figure::ratio("P1", &what, outcome.await?, (2.0, Some(1.5))))
}
