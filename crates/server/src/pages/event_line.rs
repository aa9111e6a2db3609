//! The events of a run in a page: those that tell its story, or all of them.

use askama::Template;
use millstream_model::view::EventRow;
use millstream_model::{CheckSeverity, EventBody};

use crate::event_words::{EventWords, event_words};
use crate::format::Moment;
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
    let EventWords { text, data } = event_words(&event.body, event.at);
    EventLine {
        key: format!("{}-{}", event.epoch, event.seq),
        glyph: glyph(&event.body),
        when: Moment::clock(event.at),
        step: event.body.step().map(ToString::to_string),
        text,
        data,
    }
}

/// The shape beside the words; none where a step only said something.
fn glyph(body: &EventBody) -> Option<Glyph> {
    Some(match body {
        EventBody::RunQueued { .. } | EventBody::RunRetried { .. } => Glyph::Queued,
        EventBody::RunStarted { .. } | EventBody::StepStarted { .. } => Glyph::Running,
        EventBody::CancelRequested { .. } => Glyph::Cancelling,
        EventBody::RunCanceled {} | EventBody::StepCanceled { .. } => Glyph::Cancelled,
        EventBody::RunSucceeded {}
        | EventBody::StepSucceeded { .. }
        | EventBody::Materialized { .. }
        | EventBody::Reported { .. }
        | EventBody::AssetChecked { passed: true, .. } => Glyph::Ok,
        EventBody::LaunchFailed { .. }
        | EventBody::WorkerLost { .. }
        | EventBody::StepLost { .. }
        | EventBody::AssetChecked { severity: CheckSeverity::Warn, .. } => Glyph::Warning,
        EventBody::StepFailed { retry: Some(_), .. } => Glyph::Retrying,
        EventBody::StepFailed { retry: None, .. }
        | EventBody::AssetChecked { severity: CheckSeverity::Error, .. }
        | EventBody::RunFailed { .. }
        | EventBody::RunGaveUp { .. } => Glyph::Failed,
        EventBody::StepSkipped { .. } => Glyph::Skipped,
        EventBody::StepUpstreamFailed { .. } => Glyph::Blocked,
        EventBody::StepMessage { .. } => return None,
    })
}
