//! One run: its verdict, what failed, its steps in time, its story and its output.

use askama::Template;
use millstream_model::view::{EventRow, RunRow, StepRow};
use millstream_model::{RunStatus, StepStatus, Timestamp};

use crate::format::{self, Moment};
use crate::frame::Frame;
use crate::html::Html;
use crate::link;
use crate::pages::event_line::{Detail, Story};
use crate::pages::gantt::Gantt;
use crate::pages::log::{LogView, LogWindow};
use crate::parts::{Equivalent, RunLine};

/// What the page shows.
#[derive(Debug, Clone)]
pub struct RunPage {
    /// The frame.
    pub frame: Frame,
    /// The time of the answer.
    pub now: Timestamp,
    /// The run.
    pub run: RunRow,
    /// Its place among the runs that wait, from 1.
    pub place: Option<u32>,
    /// Its steps in topological order.
    pub steps: Vec<StepRow>,
    /// Its events, oldest first.
    pub events: Vec<EventRow>,
    /// The part below the steps.
    pub tab: RunTab,
    /// That its definitions are others by now, where it may be retried with the plan it has.
    pub older_plan: Option<String>,
}

/// What stands below the steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunTab {
    /// The events that tell what happened.
    Story,
    /// Every event.
    Events,
    /// What a step wrote; `None` when none has started.
    Output(Option<LogWindow>),
}

/// Most failure cards of one run; the steps show the rest.
const FAILURES_MAX: usize = 3;

#[derive(Template)]
#[template(path = "run.html")]
struct Run {
    frame: Frame,
    line: RunLine,
    heading: String,
    verdict: String,
    failures: Vec<Failure>,
    gantt: Gantt,
    step_count: String,
    facts: Vec<(&'static str, String, Option<String>)>,
    times: Vec<(&'static str, Moment)>,
    tabs: Vec<(&'static str, String, bool)>,
    story: Option<Story>,
    log: Option<LogView>,
    cancel: Option<String>,
    again: Option<String>,
    retry: Option<String>,
    why: String,
    retried: Option<(String, String)>,
    older_plan: Option<String>,
    equivalent: Equivalent,
}

struct Failure {
    step: String,
    code: String,
    message: String,
    detail: Option<String>,
    output: String,
}

/// The page.
pub fn run(page: RunPage) -> Html {
    let run = &page.run;
    let base = link::run(&run.tenant, &run.run_id);
    let api = format!("/{}/api/v1/runs/{}", run.tenant, run.run_id);
    let story = match page.tab {
        RunTab::Story => Some(Story::new(&page.events, Detail::Story)),
        RunTab::Events => Some(Story::new(&page.events, Detail::All)),
        RunTab::Output(_) => None,
    };
    let log = match &page.tab {
        RunTab::Output(Some(log)) => {
            let step = page.steps.iter().find(|step| step.step == log.step);
            Some(LogView::new(log, &base, &api, step.map_or(1, |step| step.attempt)))
        }
        _ => None,
    };
    Html::render(&Run {
        line: RunLine::new(run, page.now),
        heading: heading(run),
        verdict: verdict((run, page.place), &page.steps, page.now),
        failures: failures(&page.steps, &base),
        gantt: Gantt::new(run, &page.steps, &base, page.now),
        step_count: format::count(page.steps.len() as u64),
        facts: facts(run),
        times: times(run, page.now),
        tabs: tabs(&page.tab, &base),
        story,
        log,
        cancel: may_cancel(run).then(|| link::cancel(&run.tenant, &run.run_id)),
        why: link::why(&run.tenant, &run.run_id.to_string()),
        retry: may_retry(run, &page.frame).then(|| link::retry(&run.tenant, &run.run_id)),
        retried: run.retried_as.map(|retry| (retry.short(), link::run(&run.tenant, &retry))),
        again: run
            .job
            .as_ref()
            .filter(|_| page.frame.idle.is_none())
            .map(|job| link::job(&run.tenant, job)),
        equivalent: equivalent(run, &page.frame, &api),
        older_plan: page.older_plan.map(|words| format!("Of its plan: {words}.")),
        frame: page.frame,
    })
}

/// What the command line and the API say for what may be done with the run as it is now.
fn equivalent(run: &RunRow, frame: &Frame, api: &str) -> Equivalent {
    let id = run.run_id;
    let mut all = Equivalent::new()
        .with("This run", format!("millstream run show {id}"))
        .with("Its output", format!("millstream run logs {id} --follow"))
        .with("Why it is so", format!("millstream why {id}"));
    if may_retry(run, frame) {
        all = all.with("Retry it", format!("millstream run retry {id}"));
    }
    if may_cancel(run) {
        all = all.with("Cancel it", format!("millstream run cancel {id}"));
    }
    all = all.with("As JSON", format!("GET {api}"));
    if may_cancel(run) { all.with("Cancel by API", format!("POST {api}/cancel")) } else { all }
}

/// Whether somebody may still have the run end.
fn may_cancel(run: &RunRow) -> bool {
    !run.status.is_terminal() && !run.cancel_requested
}

/// Whether somebody may have the run tried again, in a tenant that takes part.
pub fn may_retry(run: &RunRow, frame: &Frame) -> bool {
    frame.idle.is_none() && run.retried_as.is_none() && run.status.may_be_retried()
}

fn heading(run: &RunRow) -> String {
    let partition = run.partition.as_ref().map(|key| format!(" · {key}"));
    format!("{}{}", run.title, partition.unwrap_or_default())
}

/// The first sentence: what became of the run, how long it took, and why.
fn verdict((run, place): (&RunRow, Option<u32>), steps: &[StepRow], now: Timestamp) -> String {
    let took = crate::parts::took(run, now).unwrap_or_else(|| "0s".to_owned());
    let count = |status| steps.iter().filter(|step| step.status == status).count() as u64;
    let total = format::plural(steps.len() as u64, "step", "steps");
    match run.status {
        RunStatus::NotStarted => "Planned, and not queued yet.".to_owned(),
        RunStatus::Queued | RunStatus::Starting => {
            let since = format::took(now.since(run.queued_at));
            let word = if run.status == RunStatus::Queued { "Queued" } else { "Starting" };
            let hold = run.hold.as_ref().map(ToString::to_string).or_else(|| run.waits.clone());
            let hold = hold.map(|hold| format!(" — {hold}")).unwrap_or_default();
            let place = place.map(|place| format!(", number {place} in the queue"));
            format!("{word} for {since}{}{hold}.", place.unwrap_or_default())
        }
        RunStatus::Started => format!("Running for {took} — {}.", crate::parts::over(run)),
        RunStatus::Canceling => {
            let waits = run.waits.as_ref().map(|waits| format!("; {waits}")).unwrap_or_default();
            format!("Canceling after {took} — waiting for steps to stop{waits}.")
        }
        RunStatus::Success => match count(StepStatus::Skipped) {
            0 => format!("Succeeded in {took} — {total}."),
            skipped => format!("Succeeded in {took} — {total}, {skipped} skipped."),
        },
        RunStatus::Canceled => format!("Canceled after {took}."),
        RunStatus::Failure => match count(StepStatus::Failure) {
            0 => {
                let reason = run.failure.as_deref().unwrap_or("no reason was recorded");
                format!("Failed after {took} — {reason}.")
            }
            failed => {
                let blocked = count(StepStatus::UpstreamFailed) + count(StepStatus::Pending);
                let rest =
                    if blocked > 0 { format!(", {blocked} not started") } else { String::new() };
                format!("Failed after {took} — {failed} of {total} failed{rest}.")
            }
        },
    }
}

fn failures(steps: &[StepRow], base: &str) -> Vec<Failure> {
    let failed = steps.iter().filter(|step| step.status == StepStatus::Failure);
    let cards = failed.filter_map(|step| {
        let error = step.error.as_ref()?;
        let key = link::segment(step.step.as_str());
        Some(Failure {
            step: step.step.to_string(),
            code: error.code.to_string(),
            message: error.message.clone(),
            detail: error.detail.clone().filter(|text| !text.trim().is_empty()),
            output: format!("{base}?tab=output&step={key}&stream=err"),
        })
    });
    cards.take(FAILURES_MAX).collect()
}

fn facts(run: &RunRow) -> Vec<(&'static str, String, Option<String>)> {
    let job =
        run.job.as_ref().map(|job| ("Job", job.to_string(), Some(link::job(&run.tenant, job))));
    let partition = run.partition.as_ref().map(|key| ("Partition", key.to_string(), None));
    let launches = (run.epoch > 1).then(|| ("Launches", run.epoch.to_string(), None));
    let tags = run.tags.iter().map(|(key, value)| {
        // The filter's words end at blanks.
        let is_word = !key.contains(char::is_whitespace) && !value.contains(char::is_whitespace);
        let all = is_word.then(|| link::runs_where(&run.tenant, &format!("tag:{key}={value}")));
        ("Tag", format!("{key}: {value}"), all)
    });
    let cause = ("Cause", crate::parts::cause(&run.cause), None);
    let id = ("Id", run.run_id.to_string(), None);
    job.into_iter()
        .chain([cause])
        .chain(partition)
        .chain(launches)
        .chain(tags)
        .chain([id])
        .collect()
}

fn times(run: &RunRow, now: Timestamp) -> Vec<(&'static str, Moment)> {
    let times =
        [("Queued", Some(run.queued_at)), ("Started", run.started_at), ("Ended", run.ended_at)];
    let known = times.into_iter().filter_map(|(word, at)| at.map(|at| (word, at)));
    known.map(|(word, at)| (word, Moment::relative(now, at))).collect()
}

fn tabs(tab: &RunTab, base: &str) -> Vec<(&'static str, String, bool)> {
    vec![
        ("Story", base.to_owned(), *tab == RunTab::Story),
        ("All events", format!("{base}?tab=events"), *tab == RunTab::Events),
        ("Output", format!("{base}?tab=output"), matches!(tab, RunTab::Output(_))),
    ]
}

/// The step whose output a reader most likely wants: one that failed, else one that runs, else
/// the last that started.
pub fn telling_step(steps: &[StepRow]) -> Option<&StepRow> {
    let rank = |step: &&StepRow| {
        let class = match step.status {
            StepStatus::Failure => 2,
            StepStatus::Started | StepStatus::Retrying => 1,
            _ => 0,
        };
        (class, step.started_at)
    };
    let has_output = |step: &&StepRow| step.started_at.is_some() && step.done_in().is_none();
    steps.iter().filter(has_output).max_by_key(rank)
}
