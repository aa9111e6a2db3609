//! P13: many schedules that are due in the same second.

use std::time::Duration;

use millstream_control::TickWatch;
use millstream_model::{JobName, Timestamp};
use serde_json::{Map, Value, json};

use super::bed::{Bed, TIME_TO_LIVE, broken, commits_of_rows};
use super::database::Database;
use super::figure::{Figure, Unit};
use super::folder::Folder;
use super::quick::Size;
use super::rounds::{Outcome, median, quantile};
use crate::error::AppError;

/// Schedules in one file.
const IN_ONE: usize = 1_000;

/// Rounds, of which the worst one counts.
const ROUNDS: usize = 3;

/// How long before the second the schedules are written at first, and at last.
const AHEAD: Duration = Duration::from_secs(4);
const AHEAD_MAX: Duration = Duration::from_secs(90);

/// The latest that the last of them may be durable, in microseconds.
const LATE_MAX: f64 = 2_000_000.0;

/// Rows that a tick comes to: itself, its run key, its run, the run's live state and its event.
const ROWS: u32 = 5;

/// How late the last of them has its tick and its run on the disk, which no other is later than;
/// and that against one statement which writes as many rows.
pub(super) async fn measure(
    folder: Folder,
    size: &Size,
    database: Database<'_>,
) -> Result<Vec<Figure>, AppError> {
    let bed = Bed::open(folder, database).await?;
    let mut round = DueRound { bed, watch: TickWatch::default(), ahead: AHEAD };
    let rows = u32::try_from(size.schedules).unwrap_or(u32::MAX).saturating_mul(ROWS);
    let (mut late, mut limits, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..size.rounds.min(ROUNDS) {
        let took = round.run(size.schedules).await?;
        let limit = f64::midpoint(round.probe(rows).await?, round.probe(rows).await?);
        late.push(took);
        limits.push(limit);
        ratios.push(took / limit);
    }
    let what = format!("{} schedules due in one second, the last on {database}", size.schedules);
    let limit = format!("{what} / {ROWS} rows for each in one statement");
    let (ours, noisy) = (median(late.clone()), 0);
    let outcome = Outcome { ours, limit: median(limits), ratios, noisy };
    Ok(vec![
        Figure::ratio("P13", &limit, outcome, (1.5, None)),
        Figure::most("P13", &what, (quantile(late, 1.0), Unit::Microseconds), LATE_MAX),
    ])
}

/// An instance whose schedules are all due at the same time, a few seconds after they are written.
struct DueRound {
    bed: Bed,
    watch: TickWatch,
    ahead: Duration,
}

impl DueRound {
    /// How long one statement takes that writes `rows` rows.
    async fn probe(&self, rows: u32) -> Result<f64, AppError> {
        self.bed.store().forget_probes().await?;
        let took = commits_of_rows(self.bed.store(), (1, rows), 1).await?;
        self.bed.store().forget_probes().await?;
        Ok(took)
    }

    async fn run(&mut self, count: usize) -> Result<f64, AppError> {
        while self.ahead <= AHEAD_MAX {
            if let Some(late) = self.try_once(count).await? {
                return Ok(late);
            }
            self.ahead *= 2;
        }
        Err(broken(&"the schedules were not loaded before they were due; try fewer"))
    }

    /// How late the last schedule was; nothing when they were not known before their time.
    async fn try_once(&mut self, count: usize) -> Result<Option<f64>, AppError> {
        let control = self.bed.control().clone();
        let due = second_of(control.now().after(self.ahead));
        define(&self.bed.folder, count, due)?;
        self.bed.scan().await?;
        control
            .tick_schedules("bench", &mut self.watch, TIME_TO_LIVE)
            .await
            .map_err(|error| wrong(&error))?;
        if control.now() >= due {
            return Ok(None);
        }
        tokio::time::sleep(due.since(control.now())).await;
        let mut launched = 0;
        while launched < count {
            let pass = control.tick_schedules("bench", &mut self.watch, TIME_TO_LIVE).await;
            let pass = pass.map_err(|error| wrong(&error))?;
            launched += pass.launched;
            if pass.launched == 0 && control.now().since(due) > AHEAD_MAX {
                return Err(broken(&format!("only {launched} of {count} schedules ticked")));
            }
        }
        let late = control.now().since(due);
        Ok(Some(late.as_secs_f64() * 1e6))
    }
}

fn wrong(error: &millstream_control::ControlError) -> AppError {
    broken(error)
}

/// The whole second that `at` is in.
fn second_of(at: Timestamp) -> Timestamp {
    Timestamp::from_micros(at.as_micros() - at.as_micros().rem_euclid(1_000_000))
}

/// Writes files with `count` schedules that are due at `due` and at no other time of the year.
fn define(folder: &Folder, count: usize, due: Timestamp) -> Result<(), AppError> {
    let job: JobName = "one".parse().map_err(|error| broken(&error))?;
    let noop = json!({ "nodes": [{ "id": "a", "type": "noop" }] });
    folder.define("one.json", &noop.to_string())?;
    let cron = due.to_jiff().strftime("%-S %-M %-H %-d %-m *").to_string();
    let numbers: Vec<usize> = (0..count).collect();
    for (file, numbers) in numbers.chunks(IN_ONE).enumerate() {
        let schedules: Map<String, Value> = numbers
            .iter()
            .map(|number| (format!("s{number}"), json!({ "cron": cron, "job": job })))
            .collect();
        folder
            .define(&format!("due-{file}.json"), &json!({ "schedules": schedules }).to_string())?;
    }
    Ok(())
}
