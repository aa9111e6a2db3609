//! Why runs are as they are, in words: made of what is stored, never guessed.
//! `asset` says it of assets, `schedule` of schedules, `sensor` of sensors, `job` of jobs.
//!
//! `control` loads the facts and asks; pages, the API and `millstream why` show the same answer.

use millstream_model::view::{RunRow, StepRow};
use millstream_model::{
    ClosedAs, DeadLetter, Event, EventBody, RunStatus, StepError, StepStatus, Timestamp,
};
use serde::{Deserialize, Serialize};

pub use asset::{
    AssetFacts, FAILED_NAMED, Made, Maker, OlderParts, PARTITIONS_NAMED, Sources, Tries, Try,
    Upstream, coming_words, failed_try_mark, last_try_words, missing_words, stale, tries_words,
    why_asset,
};
pub use delivery::{InVain, Refused, Untaken};
pub use job::{JobFacts, why_job};
pub use parts::in_vain_words;
use schedule::runs_words;
pub use schedule::{ScheduleFacts, late, why_schedule};
pub use sensor::{SensorFacts, why_sensor};

mod asset;
mod delivery;
mod job;
mod parts;
mod schedule;
mod sensor;

/// Steps that wait which an answer names; the others are counted.
const WAITS_NAMED: usize = 20;

/// Steps that the end of their run cut off which an answer names; the others are counted.
const CUT_NAMED: usize = 5;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// What was asked about: `run 3f2a91c4`.
    pub what: String,
    /// The answer in one sentence.
    pub answer: String,
    /// What is stored that says so, oldest first.
    pub because: Vec<Because>,
}

/// One stored reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Because {
    /// When it was stored, where that is known.
    pub at: Option<Timestamp>,
    /// The reason.
    pub text: String,
}

pub(super) fn because(at: impl Into<Option<Timestamp>>, text: String) -> Because {
    Because { at: at.into(), text }
}

/// What is stored about a run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunFacts {
    /// The run.
    pub run: RunRow,
    /// Its steps.
    pub steps: Vec<StepRow>,
    /// Its events, oldest first.
    pub events: Vec<Event>,
    /// Its dead letter, if it was given up.
    pub dead_letter: Option<DeadLetter>,
    /// The runs that its reason to wait names.
    pub ahead: Vec<RunRow>,
    /// What is off by now of that which it is a run of, in words.
    pub off: Option<String>,
}

/// Why a run is where it is.
pub fn why_run(facts: &RunFacts) -> Why {
    let run = &facts.run;
    let mut reasons: Vec<Because> = facts
        .events
        .iter()
        .filter_map(|event| event_words(&event.body).map(|text| because(event.at, text)))
        .chain(facts.steps.iter().filter_map(step_words))
        .collect();
    if let Some(letter) = &facts.dead_letter
        && let Some(closed) = &letter.closed
    {
        let retry = run.retried_as.filter(|_| closed.outcome == ClosedAs::Retried);
        let retry = retry.map_or_else(String::new, |retry| format!(", as run {}", retry.short()));
        let (outcome, by) = (closed.outcome.as_str(), &closed.by);
        let text = format!("its dead letter was {outcome} by {by}{retry}");
        reasons.push(because(closed.at, text));
    }
    // What a retry keeps is older than the retry itself, so what began it is not sorted in.
    reasons.sort_by_key(|reason| reason.at);
    reasons.insert(0, because(run.queued_at, format!("its cause: {}", run.cause)));
    reasons.extend(waits(&facts.steps).take(WAITS_NAMED).map(|text| because(None, text)));
    let more = waits(&facts.steps).skip(WAITS_NAMED).count();
    if more > 0 {
        reasons.push(because(None, format!("{more} more steps wait in the same way")));
    }
    reasons.extend(runs_words(&facts.ahead));
    if let Some(off) = &facts.off {
        let run = run.run_id.short();
        let text = format!(
            "{off}: this run was asked for before, and goes on, with its retries; \
             `millstream run cancel {run}` ends it"
        );
        reasons.push(because(None, text));
    }
    Why { what: format!("run {}", run.run_id.short()), answer: run_answer(facts), because: reasons }
}

fn run_answer(facts: &RunFacts) -> String {
    let run = &facts.run;
    match run.status {
        RunStatus::NotStarted => "It is planned, and nobody has queued it.".to_owned(),
        RunStatus::Queued => match &run.hold {
            Some(hold) => format!("It is queued: {hold}."),
            None if run.epoch > 0 => {
                "It is queued again for another worker, and nothing holds it.".to_owned()
            }
            None => "It is queued, and nothing holds it: it starts at the next look.".to_owned(),
        },
        RunStatus::Starting => format!("It is being given to worker {}{}.", run.epoch, kept(run)),
        RunStatus::Started => {
            let told = run.waits.is_none().then(|| waits(&facts.steps).next()).flatten();
            let more = told.map_or_else(String::new, |text| format!("; {text}"));
            format!("It runs: {}{more}.", over_words(run))
        }
        RunStatus::Canceling => {
            format!("It is being canceled: its worker stops the steps{}.", kept(run))
        }
        RunStatus::Success => "It succeeded.".to_owned(),
        RunStatus::Canceled => match canceled_by(&facts.events) {
            Some(name) => format!("It was canceled by {name}."),
            None => "It was canceled.".to_owned(),
        },
        RunStatus::Failure => failure_answer(facts),
    }
}

/// How much of a run that goes on is over, and what keeps it back.
pub(super) fn over_words(run: &RunRow) -> String {
    format!("{} of {} steps are over{}", run.steps_over, run.steps_total, kept(run))
}

/// What keeps a run back that has a worker, where that is known.
pub(super) fn kept(run: &RunRow) -> String {
    run.waits.as_ref().map_or_else(String::new, |waits| format!("; {waits}"))
}

fn failure_answer(facts: &RunFacts) -> String {
    let run = &facts.run;
    let reason = run.failure.as_deref().unwrap_or("no reason is stored");
    let cut = cut_words(facts);
    let open = facts.dead_letter.as_ref().filter(|letter| letter.closed.is_none());
    match (run.retried_as, open) {
        (Some(retry), _) => {
            format!("It failed: {reason}{cut}. Run {} tries it again.", retry.short())
        }
        (None, Some(letter)) => {
            let words = letter.reason.in_words();
            format!("It failed: {reason}{cut}. It was given up, because {words}.")
        }
        (None, None) => format!("It failed: {reason}{cut}. Nothing tries it again."),
    }
}

/// The steps that went on when the control plane ended the run: what it ends itself has a reason.
fn cut_words(facts: &RunFacts) -> String {
    let is_cut = |step: &&StepRow| step.status == StepStatus::Canceled && step.reason.is_some();
    let cut = facts.steps.iter().filter(is_cut).filter(|step| went_on(step, facts));
    let steps: Vec<&str> = cut.map(|step| step.step.as_str()).collect();
    let named = steps.iter().take(CUT_NAMED).copied().collect::<Vec<_>>().join(", ");
    match steps.len() {
        0 => String::new(),
        1 => format!(", while step {named} went on"),
        all if all <= CUT_NAMED => format!(", while steps {named} went on"),
        all => format!(", while steps {named} and {} more went on", all - CUT_NAMED),
    }
}

/// Whether the last that the run's last worker has said of a step is that an attempt began; of
/// what is not among the events that were looked at, nothing else is known.
fn went_on(step: &StepRow, facts: &RunFacts) -> bool {
    let is_of_step =
        |event: &&Event| event.body.step() == Some(&step.step) && event.body.step_event().is_some();
    let last = facts.events.iter().map(|event| event.epoch).max();
    facts.events.iter().rev().find(is_of_step).is_none_or(|event| {
        Some(event.epoch) == last && matches!(event.body, EventBody::StepStarted { .. })
    })
}

fn canceled_by(events: &[Event]) -> Option<&str> {
    events.iter().find_map(|event| match &event.body {
        EventBody::CancelRequested { by } => Some(by.as_str()),
        _ => None,
    })
}

/// What an event of the control plane's says, or one about a worker that was lost; what else
/// workers say stands with the steps.
fn event_words(body: &EventBody) -> Option<String> {
    match body {
        EventBody::LaunchFailed { error } => Some(format!("a worker was not launched: {error}")),
        EventBody::WorkerLost { reason } => Some(format!("it was taken from its worker: {reason}")),
        EventBody::StepLost { step, attempt } => {
            Some(format!("step {step} was lost with its worker in attempt {attempt}: done again"))
        }
        EventBody::CancelRequested { by } => Some(format!("{by} asked for its cancel")),
        EventBody::RunRetried { retry, number: 0, by, .. } => {
            let by = by.as_deref().unwrap_or("somebody");
            Some(format!("{by} had run {} try it again", retry.short()))
        }
        EventBody::RunRetried { retry, number, max, .. } => {
            Some(format!("run {} tries it again: retry {number} of {max}", retry.short()))
        }
        EventBody::RunGaveUp { reason } => Some(format!("it was given up: {}", reason.in_words())),
        _ => None,
    }
}

/// What keeps steps that could start: a pool without free slots, or steps of the same run.
fn waits(steps: &[StepRow]) -> impl Iterator<Item = String> {
    let open = |step: &&StepRow| matches!(step.status, StepStatus::Pending | StepStatus::Retrying);
    let words = |step: &StepRow| {
        step.reason.as_ref().map(|reason| format!("step {} is {reason}", step.step))
    };
    steps.iter().filter(open).filter_map(words)
}

/// An error in one line, with its code.
fn error_words(error: Option<&StepError>) -> String {
    match error {
        Some(error) => format!("{} [{}]", error.message, error.code.as_str()),
        None => "no reason is stored".to_owned(),
    }
}

fn step_words(step: &StepRow) -> Option<Because> {
    let key = &step.step;
    let reason = step.reason.as_deref().unwrap_or("no reason is stored");
    let error = error_words(step.error.as_ref());
    let text = match step.status {
        StepStatus::Failure => format!("step {key} failed: {error}"),
        StepStatus::Retrying if step.retry_at.is_some() => {
            let (next, all) = (step.attempt + 1, step.attempts);
            format!("step {key} waits for attempt {next} of {all}: {error}")
        }
        StepStatus::Skipped => format!("step {key} was skipped: {reason}"),
        StepStatus::UpstreamFailed => format!("step {key} did not start: step {reason} failed"),
        StepStatus::Canceled if step.reason.is_some() => {
            format!("step {key} was ended in attempt {}: {reason}", step.attempt)
        }
        StepStatus::Success if step.reason.is_some() => format!("step {key} was {reason}"),
        _ => return None,
    };
    Some(because(step.ended_at.or(step.started_at), text))
}
