//! Why runs and assets are as they are, in words: made of what is stored, never guessed.
//! `schedule` says it of schedules.
//!
//! `control` loads the facts and asks; pages, the API and `millstream why` show the same answer.

use millstream_model::view::{AssetRow, MadeBy, PartitionState, RunRow, StepRow};
use millstream_model::{AssetKey, DeadLetter, Event, EventBody, RunStatus, StepStatus, Timestamp};
use serde::{Deserialize, Serialize};

pub use schedule::{ScheduleFacts, why_schedule};
use schedule::{late_since, run_reasons, run_words, tick_words};

mod schedule;

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
        let text = format!("its dead letter was {} by {}", closed.outcome.as_str(), closed.by);
        reasons.push(because(closed.at, text));
    }
    // What a retry keeps is older than the retry itself, so what began it is not sorted in.
    reasons.sort_by_key(|reason| reason.at);
    reasons.insert(0, because(run.queued_at, format!("it exists because of {}", run.cause)));
    reasons.extend(waits(&facts.steps).map(|text| because(None, text)));
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
        RunStatus::Starting => format!("It is being given to worker {}.", run.epoch),
        RunStatus::Started => {
            let over = format!("{} of {} steps are over", run.steps_done, run.steps_total);
            match waits(&facts.steps).next() {
                Some(text) => format!("It runs: {over}; {text}."),
                None => format!("It runs: {over}."),
            }
        }
        RunStatus::Canceling => "It is being canceled: its worker stops the steps.".to_owned(),
        RunStatus::Success => "It succeeded.".to_owned(),
        RunStatus::Canceled => match canceled_by(&facts.events) {
            Some(name) => format!("It was canceled by {name}."),
            None => "It was canceled.".to_owned(),
        },
        RunStatus::Failure => failure_answer(facts),
    }
}

fn failure_answer(facts: &RunFacts) -> String {
    let run = &facts.run;
    let reason = run.failure.as_deref().unwrap_or("no reason is stored");
    let open = facts.dead_letter.as_ref().filter(|letter| letter.closed.is_none());
    match (run.retried_as, open) {
        (Some(retry), _) => {
            format!("It failed: {reason}. Run {} tries it again.", retry.short())
        }
        (None, Some(letter)) => {
            let words = letter.reason.in_words();
            format!("It failed: {reason}. It was given up, because {words}.")
        }
        (None, None) => format!("It failed: {reason}. Nothing tries it again."),
    }
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
        EventBody::RunRetried { retry, number: 0, .. } => {
            Some(format!("somebody had run {} try it again", retry.short()))
        }
        EventBody::RunRetried { retry, number, max, .. } => {
            Some(format!("run {} tries it again: retry {number} of {max}", retry.short()))
        }
        EventBody::RunGaveUp { reason } => Some(format!("it was given up: {}", reason.in_words())),
        _ => None,
    }
}

/// What keeps steps that could start: a pool without free slots.
fn waits(steps: &[StepRow]) -> impl Iterator<Item = String> {
    let open = |step: &&StepRow| matches!(step.status, StepStatus::Pending | StepStatus::Retrying);
    let words = |step: &StepRow| {
        step.reason.as_ref().map(|reason| format!("step {} is {reason}", step.step))
    };
    steps.iter().filter(open).filter_map(words)
}

fn step_words(step: &StepRow) -> Option<Because> {
    let key = &step.step;
    let reason = step.reason.as_deref().unwrap_or("no reason is stored");
    let error = step.error.as_ref().map_or_else(
        || "no reason is stored".to_owned(),
        |error| format!("{} [{}]", error.message, error.code.as_str()),
    );
    let text = match step.status {
        StepStatus::Failure => format!("step {key} failed: {error}"),
        StepStatus::Retrying => {
            let (next, all) = (step.attempt + 1, step.attempts);
            format!("step {key} waits for attempt {next} of {all}: {error}")
        }
        StepStatus::Skipped => format!("step {key} was skipped: {reason}"),
        StepStatus::UpstreamFailed => format!("step {key} did not start: step {reason} failed"),
        StepStatus::Success if step.reason.is_some() => format!("step {key} was {reason}"),
        _ => return None,
    };
    Some(because(step.ended_at.or(step.started_at), text))
}

/// What is stored about an asset.
#[derive(Debug, Clone, PartialEq)]
pub struct AssetFacts {
    /// The asset.
    pub asset: AssetRow,
    /// The assets it is made from, with when each was made last.
    pub upstream: Vec<(AssetKey, Option<Timestamp>)>,
    /// The version of its code now, where it has a step.
    pub code_version: Option<String>,
    /// The schedules that make it.
    pub made_by: Vec<ScheduleFacts>,
}

/// Why an asset is as it is: made, stale, missing in parts.
pub fn why_asset(facts: &AssetFacts) -> Why {
    let asset = &facts.asset;
    let what = format!("asset {}", asset.asset);
    let Some(latest) = &asset.latest else {
        let answer = format!("It was never made.{}", held_up(facts));
        let because = parts(asset).into_iter().chain(makers(facts)).collect();
        return Why { what, answer, because };
    };
    let made = match &latest.made_by {
        MadeBy::Run { run_id, .. } => format!("run {} made it", run_id.short()),
        MadeBy::Report { reported_by, .. } => format!("{reported_by} reported it"),
    };
    let mut because = vec![self::because(latest.at, made)];
    let mut stale = Vec::new();
    if facts.code_version.as_ref().is_some_and(|now| *now != latest.code_version) {
        stale.push(self::because(None, "its code is another now".to_owned()));
    }
    // Of a partitioned asset the newest of all parts says nothing about one of them.
    if asset.partitions.is_none() {
        for (key, made) in &facts.upstream {
            if let Some(at) = made.filter(|at| *at > latest.at) {
                stale.push(self::because(at, format!("{key} was made after it")));
            }
        }
    }
    let answer = match stale.first() {
        Some(first) => format!("It is stale: {}.{}", first.text, held_up(facts)),
        None => "It was made, and nothing stored says that it is stale.".to_owned(),
    };
    because.extend(stale);
    because.extend(parts(asset));
    because.extend(makers(facts));
    Why { what, answer, because }
}

/// What keeps the runs that would make an asset, as a sentence behind another; empty when nothing
/// does.
fn held_up(facts: &AssetFacts) -> String {
    let mut runs = facts.made_by.iter().flat_map(|facts| &facts.runs);
    match runs.find_map(run_words) {
        Some(words) => format!(" Of its schedule's last tick {words}."),
        None => String::new(),
    }
}

/// What is stored about the schedules that make an asset.
fn makers(facts: &AssetFacts) -> Vec<Because> {
    let of_one = |facts: &ScheduleFacts| {
        let name = &facts.schedule.name;
        let stand = match (late_since(facts), facts.schedule.next_at) {
            _ if !facts.schedule.enabled => format!("schedule {name} would make it, and is off"),
            (Some(due), _) => {
                format!("schedule {name} makes it, and is late: it was due at {due}")
            }
            (None, Some(next)) => format!("schedule {name} makes it next at {next}"),
            (None, None) => format!("schedule {name} would make it, and is never due again"),
        };
        let tick =
            facts.schedule.last_tick.as_ref().map(|tick| {
                because(tick.decided_at, format!("schedule {name}: {}", tick_words(tick)))
            });
        let mut reasons = vec![because(None, stand)];
        reasons.extend(tick);
        reasons.extend(run_reasons(facts));
        reasons
    };
    facts.made_by.iter().flat_map(of_one).collect()
}

/// What is stored about the partitions.
fn parts(asset: &AssetRow) -> Vec<Because> {
    let word = |state| match state {
        PartitionState::Failed => "failed when they were made last",
        PartitionState::Running => "are being made",
        PartitionState::Missing => "were never made",
        PartitionState::Materialized => "are made",
    };
    let some = asset.counts.iter().filter(|(_, count)| **count > 0);
    some.map(|(state, count)| because(None, format!("{count} partitions {}", word(*state))))
        .collect()
}
