//! The steps of a run on a time axis: what waited, what ran, and what decided how long it took.

use std::collections::BTreeMap;

use askama::Template;
use millstream_model::view::{RunRow, StepRow};
use millstream_model::{StepKey, StepStatus, Timestamp};

use crate::parts::{Badge, part};
use crate::{format, link};

/// The steps of one run in the order of their starts; those that never started come last.
#[derive(Debug, Clone, Template)]
#[template(path = "parts/gantt.html")]
pub struct Gantt {
    lines: Vec<GanttLine>,
    ticks: Vec<AxisTick>,
    hidden: usize,
    has_waits: bool,
    has_path: bool,
}

part!(Gantt);

/// Most steps in one page; a job may have ten thousand.
const LINES_MAX: usize = 300;

#[derive(Debug, Clone)]
struct GanttLine {
    key: String,
    href: String,
    badge: Badge,
    took: String,
    reason: String,
    /// Whether an earlier run did it, which then is what `href` leads to.
    is_kept: bool,
    wait: Option<Bar>,
    run: Option<Bar>,
    /// The class of a step that decided how long the run took; empty for the others.
    critical: &'static str,
}

/// A bar by where it starts and how wide it is, both in per cent of the axis.
#[derive(Debug, Clone, PartialEq)]
struct Bar {
    x: String,
    width: String,
}

#[derive(Debug, Clone)]
struct AxisTick {
    x: String,
    label: String,
    anchor: &'static str,
}

/// The time that the axis covers.
#[derive(Debug, Clone, Copy)]
struct Axis {
    start: Timestamp,
    micros: f64,
}

impl Axis {
    fn new(run: &RunRow, steps: &[StepRow], now: Timestamp) -> Self {
        let started = own(steps).filter_map(|step| step.started_at).min();
        let start = run.started_at.into_iter().chain(started).min().unwrap_or(run.queued_at);
        let end = run.ended_at.unwrap_or(now);
        Self { start, micros: micros(end.since(start)).max(1.0) }
    }

    fn per_cent(self, at: Timestamp) -> f64 {
        (micros(at.since(self.start)) / self.micros * 100.0).clamp(0.0, 100.0)
    }

    fn bar(self, from: Timestamp, to: Timestamp) -> Bar {
        let (x, end) = (self.per_cent(from), self.per_cent(to));
        // A bar of no width could not be seen; the narrowest is half a per cent.
        let width = (end - x).max(0.5);
        Bar { x: format!("{:.2}", x.min(100.0 - width)), width: format!("{width:.2}") }
    }

    /// Two to five ticks at round distances.
    fn ticks(self) -> Vec<AxisTick> {
        const STEPS: [f64; 18] = [
            0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0,
            1_800.0, 3_600.0, 21_600.0, 86_400.0,
        ];
        let seconds = self.micros / 1e6;
        let step = STEPS.into_iter().find(|step| seconds / step <= 5.0).unwrap_or(seconds);
        let tick = |index: u32| {
            let at = step * f64::from(index);
            let x = at / seconds * 100.0;
            (x <= 96.0).then(|| AxisTick {
                x: format!("{x:.2}"),
                label: axis_label(at),
                anchor: if index == 0 { "start" } else { "middle" },
            })
        };
        (0..=5).map_while(tick).collect()
    }
}

/// A round time on the axis: `0`, `0.2s`, `5s`, `10m`.
fn axis_label(seconds: f64) -> String {
    match seconds {
        0.0 => "0".to_owned(),
        // The steps are hundredths at the finest; their sums are not as round as they are.
        0.0..60.0 => format!("{}s", (seconds * 100.0).round() / 100.0),
        60.0..3_600.0 => format!("{:.0}m", seconds / 60.0),
        _ => format!("{:.0}h", seconds / 3_600.0),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a length of time for drawing; 2^53 µs is 285 years"
)]
fn micros(duration: std::time::Duration) -> f64 {
    duration.as_micros() as f64
}

impl Gantt {
    /// The steps of `run`, whose own pages are below `base`.
    pub fn new(run: &RunRow, steps: &[StepRow], base: &str, now: Timestamp) -> Self {
        let axis = Axis::new(run, steps, now);
        let ends: BTreeMap<&StepKey, Timestamp> =
            own(steps).filter_map(|step| step.ended_at.map(|at| (&step.step, at))).collect();
        let critical = critical_path(steps);
        let line = |step: &StepRow| {
            let kept = step.done_in().map(|short| link::short_run(&run.tenant, short));
            let started_at = step.started_at.filter(|_| kept.is_none());
            let key = link::segment(step.step.as_str());
            GanttLine {
                key: step.step.to_string(),
                is_kept: kept.is_some(),
                href: format!("{}?tab=output&step={key}", kept.as_deref().unwrap_or(base)),
                badge: Badge::step(step.status),
                took: took(step, now),
                reason: reason(step, now),
                wait: started_at.and_then(|started| {
                    let ready = step.depends_on.iter().filter_map(|key| ends.get(key)).max();
                    let ready = ready.copied().unwrap_or(axis.start);
                    let waited = axis.per_cent(started) - axis.per_cent(ready) > 0.5;
                    waited.then(|| axis.bar(ready, started))
                }),
                // What does not go on has no bar, but words in its place.
                run: started_at
                    .filter(|_| !waits_untimed(step))
                    .map(|from| axis.bar(from, step.ended_at.unwrap_or(now))),
                critical: if critical.contains(&&step.step) { " critical" } else { "" },
            }
        };
        let lines: Vec<GanttLine> = in_order(steps).into_iter().map(line).collect();
        Self {
            ticks: if run.started_at.is_some() { axis.ticks() } else { Vec::new() },
            hidden: steps.len().saturating_sub(LINES_MAX),
            has_waits: lines.iter().any(|line| line.wait.is_some()),
            has_path: lines.iter().any(|line| !line.critical.is_empty()),
            lines,
        }
    }
}

/// The steps that the run itself did or will do.
fn own(steps: &[StepRow]) -> impl Iterator<Item = &StepRow> {
    steps.iter().filter(|step| step.done_in().is_none())
}

/// The steps that are shown, by their starts.
fn in_order(steps: &[StepRow]) -> Vec<&StepRow> {
    let mut shown: Vec<&StepRow> = steps.iter().collect();
    // Where not all fit, no failed one is left out for one that is not. The sorts are stable, so
    // that steps without a start keep their topological order.
    shown.sort_by_key(|step| step.status != StepStatus::Failure);
    shown.truncate(LINES_MAX);
    shown.sort_by_key(|step| (step.started_at.is_none(), step.started_at));
    shown
}

/// The chain of steps that ended last, each waiting for the next one's end; empty for a chain of
/// one, which says nothing.
fn critical_path(steps: &[StepRow]) -> Vec<&StepKey> {
    let by_key: BTreeMap<&StepKey, &StepRow> = own(steps).map(|step| (&step.step, step)).collect();
    let mut path = Vec::new();
    let mut at = own(steps).filter(|step| step.ended_at.is_some()).max_by_key(|s| s.ended_at);
    while let Some(step) = at {
        path.push(&step.step);
        if path.len() > by_key.len() {
            break;
        }
        let upstream = step.depends_on.iter().filter_map(|key| by_key.get(key).copied());
        at = upstream.filter(|up| up.ended_at.is_some()).max_by_key(|up| up.ended_at);
    }
    // A run whose every step is on the path has nothing to point out either.
    if path.len() < 2 || path.len() == by_key.len() { Vec::new() } else { path }
}

fn took(step: &StepRow, now: Timestamp) -> String {
    if step.done_in().is_some() || waits_untimed(step) {
        return String::new();
    }
    let end = step.ended_at.unwrap_or(now);
    step.started_at.map_or(String::new(), |from| format::took(end.since(from)))
}

/// Whether it waits for what has no time: another worker, where its own was lost, or a pool.
fn waits_untimed(step: &StepRow) -> bool {
    step.status == StepStatus::Retrying && step.retry_at.is_none() && step.reason.is_some()
}

/// Whether it waits for something else although its next attempt is due.
fn is_due(step: &StepRow, now: Timestamp) -> bool {
    step.reason.is_some() && step.retry_at.is_some_and(|at| at <= now)
}

/// What a step that did not just succeed has to say.
fn reason(step: &StepRow, now: Timestamp) -> String {
    match step.status {
        StepStatus::Failure => step.error.as_ref().map_or(String::new(), |e| e.message.clone()),
        StepStatus::Retrying if waits_untimed(step) || is_due(step, now) => {
            step.reason.clone().unwrap_or_default()
        }
        StepStatus::Retrying => {
            let due = step.retry_at.map_or(String::new(), |at| format::relative(now, at));
            format!("attempt {} of {} {due}", step.attempt.saturating_add(1), step.attempts)
        }
        StepStatus::Started if step.attempts > 1 && step.attempt > 1 => {
            format!("attempt {} of {}", step.attempt, step.attempts)
        }
        // The reason of a step that never started names the step that failed.
        StepStatus::UpstreamFailed => {
            step.reason.as_ref().map_or_else(String::new, |upstream| format!("{upstream} failed"))
        }
        _ => step.reason.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_is_labelled_in_round_numbers() {
        let labels: Vec<String> =
            [0.0, 0.05, 0.05 * 3.0, 1.5, 5.0, 600.0, 7_200.0].into_iter().map(axis_label).collect();
        assert_eq!(labels, ["0", "0.05s", "0.15s", "1.5s", "5s", "10m", "2h"]);
    }
}
