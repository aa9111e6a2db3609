//! Why something is as it is, in words: made of what is stored, never guessed.
//!
//! `control` loads the facts and asks; pages, the API and `millstream why` show the same answer.

use millstream_model::view::{AssetRow, MadeBy, PartitionState, RunRow, ScheduleRow, StepRow};
use millstream_model::{
    AssetKey, DeadLetter, Event, EventBody, RunStatus, StepStatus, TickStatus, Timestamp,
};
use serde::{Deserialize, Serialize};

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

fn because(at: impl Into<Option<Timestamp>>, text: String) -> Because {
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
            format!("It runs: {} of {} steps are over.", run.steps_done, run.steps_total)
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

/// What an event of the control plane's says; what workers say stands with the steps.
fn event_words(body: &EventBody) -> Option<String> {
    match body {
        EventBody::LaunchFailed { error } => Some(format!("a worker was not launched: {error}")),
        EventBody::WorkerLost { reason } => Some(format!("it was taken from its worker: {reason}")),
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
}

/// Why an asset is as it is: made, stale, missing in parts.
pub fn why_asset(facts: &AssetFacts) -> Why {
    let asset = &facts.asset;
    let what = format!("asset {}", asset.asset);
    let Some(latest) = &asset.latest else {
        let answer = "It was never made.".to_owned();
        return Why { what, answer, because: parts(asset) };
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
        Some(first) => format!("It is stale: {}.", first.text),
        None => "It was made, and nothing stored says that it is stale.".to_owned(),
    };
    because.extend(stale);
    because.extend(parts(asset));
    Why { what, answer, because }
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

/// Why a schedule ticked, did not, or will.
pub fn why_schedule(schedule: &ScheduleRow) -> Why {
    let what = format!("schedule {}", schedule.name);
    let mut because = Vec::new();
    match &schedule.enabled_override {
        Some(word) => {
            let to = if word.on { "on" } else { "off" };
            because.push(self::because(word.at, format!("{} switched it {to}", word.by)));
        }
        None if !schedule.enabled => {
            because.push(self::because(None, "its file has it off".to_owned()));
        }
        None => {}
    }
    let last = schedule.last_tick.as_ref().map(|tick| {
        let outcome = match tick.status {
            TickStatus::Launched => format!("requested {} runs", tick.requested),
            TickStatus::Skipped => match &tick.skipped {
                Some(reason) => format!("was skipped: {reason}"),
                None => "was skipped: no reason is stored".to_owned(),
            },
            TickStatus::Failed => match &tick.error {
                Some(error) => format!("failed: {}", error.message),
                None => "failed: no reason is stored".to_owned(),
            },
        };
        let late = tick.lateness().as_secs();
        let late = if late > 0 { format!(", {late} s late") } else { String::new() };
        (tick, format!("its tick of {}{late} {outcome}", tick.nominal))
    });
    if let Some((tick, text)) = &last {
        because.push(self::because(tick.decided_at, text.clone()));
        let warnings = tick.warnings.iter();
        because.extend(warnings.map(|it| self::because(tick.decided_at, it.message.clone())));
    }
    let answer = match (schedule.enabled, schedule.next_at, &last) {
        (false, _, _) => "It is off.".to_owned(),
        (true, Some(next), None) => format!("It has not ticked yet; it is due at {next}."),
        (true, Some(next), Some((_, text))) => format!("It is due at {next}; {text}."),
        (true, None, _) => "It is never due again.".to_owned(),
    };
    Why { what, answer, because }
}
