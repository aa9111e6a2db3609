//! Runs in a list: one fact a line, with the reason where there is one.

use askama::Template;
use millstream_model::view::RunRow;
use millstream_model::{Cause, RunStatus, Timestamp};

use crate::format::{self, Moment};
use crate::link;
use crate::parts::{Badge, part};

/// A table of runs, newest first.
#[derive(Debug, Clone, Template)]
#[template(path = "parts/run_table.html")]
pub struct RunTable {
    lines: Vec<RunLine>,
}

part!(RunTable);

impl RunTable {
    /// The table of `runs` as it reads at `now`.
    pub fn new(runs: &[RunRow], now: Timestamp) -> Self {
        Self { lines: runs.iter().map(|run| RunLine::new(run, now)).collect() }
    }

    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

/// One run in a list.
#[derive(Debug, Clone)]
pub struct RunLine {
    /// Its full id.
    pub id: String,
    /// The id that people say.
    pub short: String,
    /// Its page.
    pub href: String,
    /// Its status.
    pub badge: Badge,
    /// Its job or assets.
    pub title: String,
    /// Its partition, if it has one.
    pub partition: Option<String>,
    /// Why it waits, failed or exists.
    pub why: String,
    /// The class of the reason; empty when it is nothing to worry about.
    pub why_class: &'static str,
    /// How long it took, or has been running.
    pub took: String,
    /// When it was queued.
    pub when: Moment,
}

impl RunLine {
    /// The line of `run` as it reads at `now`.
    pub fn new(run: &RunRow, now: Timestamp) -> Self {
        let (why, why_class) = why(run);
        Self {
            id: run.run_id.to_string(),
            short: run.run_id.short(),
            href: link::run(&run.tenant, &run.run_id),
            badge: Badge::run(run.status),
            title: run.title.clone(),
            partition: run.partition.as_ref().map(ToString::to_string),
            why,
            why_class,
            took: took(run, now).unwrap_or_default(),
            when: Moment::relative(now, run.queued_at),
        }
    }
}

/// How long the run has been running, or ran; `None` before it starts, and while it waits to be
/// started again.
pub fn took(run: &RunRow, now: Timestamp) -> Option<String> {
    let waits = matches!(run.status, RunStatus::Queued | RunStatus::Starting);
    let started = run.started_at.filter(|_| !waits)?;
    Some(format::took(run.ended_at.unwrap_or(now).since(started)))
}

/// The one reason that matters most for the run's status.
fn why(run: &RunRow) -> (String, &'static str) {
    match run.status {
        RunStatus::Failure => {
            let text = run.failure.as_deref().map_or("", format::first_line);
            (text.to_owned(), "why-fail")
        }
        RunStatus::Queued | RunStatus::NotStarted | RunStatus::Starting => {
            let hold = run.hold.as_ref().map(ToString::to_string).or_else(|| run.waits.clone());
            (hold.unwrap_or_else(|| cause(&run.cause)), "soft")
        }
        RunStatus::Started | RunStatus::Canceling => (over(run), "soft"),
        RunStatus::Success | RunStatus::Canceled => (cause(&run.cause), "soft"),
    }
}

/// How many steps of a run that goes on are over, and what keeps it back.
pub fn over(run: &RunRow) -> String {
    let total = format::plural(run.steps_total.into(), "step", "steps");
    let over = format!("{} of {total} over", run.steps_over);
    run.waits.iter().fold(over, |over, waits| format!("{over}; {waits}"))
}

/// Why a run exists, short enough for a row.
pub fn cause(cause: &Cause) -> String {
    match cause {
        Cause::User { name } => format!("launched by {name}"),
        Cause::Schedule { name, nominal } => {
            format!("schedule {name}, {}", format::time_of_day(*nominal))
        }
        Cause::Retry { of, by: Some(name), .. } => format!("retry of {}, {name}", of.short()),
        Cause::Retry { of, .. } => format!("retry of {}", of.short()),
        Cause::Sensor { name, of: Some(run), .. } => {
            format!("sensor {name}, after {}", run.short())
        }
        Cause::Sensor { name, .. } => format!("sensor {name}"),
    }
}
