//! One event of a run in words, for the story and for the list of all events.

use askama::Template;
use millstream_model::view::EventRow;
use millstream_model::{
    CheckSeverity, EventBody, MetadataValue, PartitionKey, StepUsage, Timestamp,
};
use std::collections::BTreeMap;
use std::time::Duration;

use crate::format::{self, Moment};
use crate::parts::{Glyph, part};

/// A list of events, oldest first.
#[derive(Debug, Clone, Template)]
#[template(path = "parts/story.html")]
pub struct Story {
    lines: Vec<EventLine>,
}

part!(Story);

/// One event in words.
#[derive(Debug, Clone)]
struct EventLine {
    key: String,
    glyph: Option<Glyph>,
    when: Moment,
    step: Option<String>,
    text: String,
    data: String,
}

/// Which events a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Only those that a reader needs to follow what happened.
    Story,
    /// Every one.
    All,
}

impl Story {
    /// The lines of `events` in as much detail as wanted.
    pub fn new(events: &[EventRow], detail: Detail) -> Self {
        let wanted = |row: &&EventRow| detail == Detail::All || is_story(&row.event.body);
        Self { lines: events.iter().filter(wanted).map(line).collect() }
    }

    /// Whether there is nothing to tell yet.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

/// Starts and claims are left out: what came of them is told.
fn is_story(body: &EventBody) -> bool {
    !matches!(body, EventBody::StepStarted { .. })
}

fn line(row: &EventRow) -> EventLine {
    let event = &row.event;
    let (glyph, text, data) = words(&event.body, event.at);
    EventLine {
        key: format!("{}-{}", event.epoch, event.seq),
        glyph,
        when: Moment::clock(event.at),
        step: event.body.step().map(ToString::to_string),
        text,
        data,
    }
}

/// Longest result or metadata shown in a line, in characters.
const DATA_MAX: usize = 160;

fn words(body: &EventBody, at: Timestamp) -> (Option<Glyph>, String, String) {
    let plain = |glyph, text: &str| (glyph, text.to_owned(), String::new());
    match body {
        EventBody::RunQueued { cause } => {
            (Some(Glyph::Queued), format!("queued: {}", crate::parts::cause(cause)), String::new())
        }
        EventBody::LaunchFailed { error } => (
            Some(Glyph::Warning),
            "the launch failed; the run is queued again".to_owned(),
            error.clone(),
        ),
        EventBody::RunStarted { worker } => {
            (Some(Glyph::Running), format!("started on {worker}"), String::new())
        }
        EventBody::CancelRequested { by } => {
            (Some(Glyph::Cancelling), format!("cancel asked for by {by}"), String::new())
        }
        EventBody::RunSucceeded {} => plain(Some(Glyph::Ok), "the run succeeded"),
        EventBody::RunFailed { reason } => {
            (Some(Glyph::Failed), "the run failed".to_owned(), reason.clone())
        }
        EventBody::RunCanceled {} => plain(Some(Glyph::Cancelled), "the run was cancelled"),
        EventBody::WorkerLost { reason } => {
            (Some(Glyph::Warning), "the run was taken from its worker".to_owned(), reason.clone())
        }
        EventBody::RunRetried { retry, number, max, .. } => {
            let count = if *number > 0 { format!(" ({number} of {max})") } else { String::new() };
            let text = format!("tried again by run {}{count}", retry.short());
            (Some(Glyph::Queued), text, String::new())
        }
        EventBody::RunGaveUp { reason } => (
            Some(Glyph::Failed),
            "given up; it is among the dead letters".to_owned(),
            reason.in_words(),
        ),
        _ => step_words(body, at),
    }
}

/// What an attempt's processes used, behind how it ended.
fn used(usage: Option<StepUsage>) -> String {
    let Some(usage) = usage else { return String::new() };
    let mut words = vec![String::new(), format!("CPU {}", format::took(usage.cpu()))];
    if usage.peak_memory_bytes > 0 {
        words.push(format!("peak memory {}", format::bytes(usage.peak_memory_bytes)));
    }
    if usage.output_dropped_bytes > 0 {
        words.push(format!("{} of output dropped", format::bytes(usage.output_dropped_bytes)));
    }
    words.join(" · ")
}

fn step_words(body: &EventBody, at: Timestamp) -> (Option<Glyph>, String, String) {
    match body {
        EventBody::StepStarted { attempt, .. } => {
            (Some(Glyph::Running), format!("started{}", nth(*attempt)), String::new())
        }
        EventBody::StepSucceeded { attempt, took_micros, result, result_ref, usage, .. } => {
            let took = format::took(Duration::from_micros(*took_micros));
            let result = match result_ref {
                Some(key) => format!("result in {key}"),
                None if result.is_null() => String::new(),
                None => format::middle(&result.to_string(), DATA_MAX),
            };
            let text = format!("succeeded{} in {took}{}", nth(*attempt), used(*usage));
            (Some(Glyph::Ok), text, result)
        }
        EventBody::StepSkipped { reason, .. } => {
            (Some(Glyph::Skipped), "skipped".to_owned(), reason.clone())
        }
        EventBody::StepFailed { attempt, error, retry, usage, .. } => {
            let text = format!("failed{}{}", nth(*attempt), used(*usage));
            let (glyph, text) = match retry {
                Some(next) => {
                    let due = Moment::clock(at.after(next.delay())).text().to_owned();
                    (Glyph::Retrying, format!("{text}; attempt {} at {due}", next.attempt))
                }
                None => (Glyph::Failed, text),
            };
            (Some(glyph), text, error.message.clone())
        }
        EventBody::StepUpstreamFailed { upstream, .. } => {
            (Some(Glyph::Blocked), format!("not started: {upstream} failed"), String::new())
        }
        EventBody::StepCanceled { .. } => {
            (Some(Glyph::Cancelled), "cancelled".to_owned(), String::new())
        }
        EventBody::StepLost { attempt, .. } => {
            (Some(Glyph::Warning), format!("lost with its worker{}", nth(*attempt)), String::new())
        }
        EventBody::Materialized { asset, partition, metadata, .. } => {
            let text = format!("built {asset}{}", for_partition(partition.as_ref()));
            (Some(Glyph::Ok), text, facts(metadata))
        }
        EventBody::Reported { by, asset, partition, metadata, .. } => {
            let text = format!("{by} reported {asset}{}", for_partition(partition.as_ref()));
            (Some(Glyph::Ok), text, facts(metadata))
        }
        EventBody::AssetChecked { asset, partition, check, passed, severity, metadata, .. } => {
            let (glyph, came) = match (passed, severity) {
                (true, _) => (Glyph::Ok, "passed"),
                (false, CheckSeverity::Warn) => (Glyph::Warning, "did not pass"),
                (false, CheckSeverity::Error) => (Glyph::Failed, "did not pass"),
            };
            let text =
                format!("check {check} of {asset}{} {came}", for_partition(partition.as_ref()));
            (Some(glyph), text, facts(metadata))
        }
        EventBody::StepMessage { payload, .. } => {
            (None, "said".to_owned(), format::middle(&payload.to_string(), DATA_MAX))
        }
        other => (None, other.kind().replace('_', " "), String::new()),
    }
}

fn for_partition(partition: Option<&PartitionKey>) -> String {
    partition.map_or(String::new(), |key| format!(" for {key}"))
}

/// Metadata in one line.
fn facts(metadata: &BTreeMap<String, MetadataValue>) -> String {
    let facts = metadata.iter().map(|(name, value)| format!("{name} {}", value.value));
    format::middle(&facts.collect::<Vec<_>>().join(" · "), DATA_MAX)
}

/// Names the attempt where it is not the first.
fn nth(attempt: u32) -> String {
    if attempt > 1 { format!(" (attempt {attempt})") } else { String::new() }
}
