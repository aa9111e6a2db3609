//! P2: durable steps that do nothing, many of them in flight.

use std::time::Instant;

use super::bed::{Bed, commits_of_rows, micros};
use super::database::Database;
use super::figure::Figure;
use super::folder::Folder;
use super::job;
use super::quick::Size;
use super::rounds::interleave;
use crate::error::AppError;

/// Runs that go on at once, each with one step at a time.
const IN_FLIGHT: usize = 64;

/// Steps of each run.
const LENGTH: u32 = 40;

/// Rows that the commit between two steps writes: two events, the step that ended and the one that
/// begins, the run and its live state; beside that of the events' batch, where it has one.
const ROWS: u32 = 6;

/// Half of what batched writes of as many rows reach, and three quarters.
const GATES: (f64, Option<f64>) = (2.0, Some(4.0 / 3.0));

/// Measures on `database`.
pub(super) async fn measure(
    folder: Folder,
    size: &Size,
    database: Database<'_>,
) -> Result<Figure, AppError> {
    folder.define("flight.json", &job::noops(LENGTH as usize))?;
    let bed = Bed::open(folder, database).await?;
    let steps = size.flights * LENGTH;
    let rows = ROWS + database.batch_rows();
    let outcome = interleave(
        size.rounds,
        async || {
            let took = commits_of_rows(bed.store(), (steps, rows), IN_FLIGHT).await?;
            Ok(took / f64::from(steps))
        },
        async || {
            let claimed = bed.claim_many("flight", size.flights).await?;
            let start = Instant::now();
            bed.run_together(claimed).await?;
            Ok(micros(start.elapsed()) / f64::from(steps))
        },
    );
    let outcome = outcome.await?;
    bed.store().forget_probes().await?;
    let what = format!(
        "durable no-op step of {} in flight, {database} / {rows} rows in batches as many in flight",
        size.flights
    );
    Ok(Figure::ratio("P2", &what, outcome, GATES))
}
