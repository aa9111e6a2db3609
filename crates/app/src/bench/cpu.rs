//! P16: the processor time that a durable step costs which does nothing.

use rustix::time::{ClockId, clock_gettime};

use super::bed::Bed;
use super::database::Database;
use super::figure::{Figure, Unit};
use super::folder::Folder;
use super::job;
use super::quick::Size;
use super::rounds::median;
use crate::error::AppError;

/// Steps of the chain.
const LENGTH: u32 = 40;

/// Measures on `database`; the embedded one is this process.
pub(super) async fn measure(
    folder: Folder,
    size: &Size,
    database: Database<'_>,
) -> Result<Figure, AppError> {
    folder.define("cpu.json", &job::noops(LENGTH as usize))?;
    let bed = Bed::open(folder, database).await?;
    bed.run("cpu").await?;
    let mut rounds = Vec::with_capacity(size.rounds);
    for _ in 0..size.rounds {
        let before = processor_micros();
        for _ in 0..size.runs {
            bed.run("cpu").await?;
        }
        rounds.push((processor_micros() - before) / f64::from(LENGTH * size.runs));
    }
    let (what, most) = match database {
        Database::Embedded => ("processor time of a no-op step, SQLite inside", 300.0),
        Database::Postgres(_) => ("processor time of a no-op step, Postgres outside", 200.0),
    };
    Ok(Figure::most("P16", what, (median(rounds), Unit::Microseconds), most))
}

/// The processor time of all threads of this process.
fn processor_micros() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "a benchmark takes seconds, not years")]
    let micros = time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3;
    micros
}
