//! What sensors find in the log of events: materializations, and runs that have ended.
//!
//! The cursor is a place in the log: a position, and within it the last event that was read. A
//! tick reads up to the position that was published when it began, so that none is skipped.

use std::collections::{BTreeMap, BTreeSet};

use millstream_decide::sensor::Found;
use millstream_model::seen::{EventFound, RunFound};
use millstream_model::view::{EventRow, RunRow};
use millstream_model::{
    AssetKey, Cause, EventBody, EventPosition, RunId, RunStatus, SensorQuestion,
};
use millstream_plan::selection::select;
use millstream_store::StoreError;
use millstream_store::sensors::{LogPlace, RunFacts};
use serde_json::{Map, Value, json};

use crate::Control;
use crate::sensor_asking::SensorAsking;
use crate::sensor_groups::{EVENTS_AT_ONCE, Page};
use crate::sensor_runs::SENSOR_TAG;

/// Unread events that are counted for people.
pub(crate) const LAG_SHOWN: u32 = 10_000;

/// What a tick found in the log.
#[derive(Debug)]
pub(crate) struct News {
    /// What the sensor asks for.
    pub(crate) found: Vec<Found>,
    /// The place up to which it has read.
    pub(crate) cursor: String,
    /// Whether there is more to read.
    pub(crate) is_partial: bool,
}

/// The kinds of events that a question is about.
pub(crate) fn kinds_of(question: &SensorQuestion) -> Vec<&'static str> {
    match question {
        SensorQuestion::Asset { .. } => vec!["materialized", "reported"],
        SensorQuestion::RunStatus { on, .. } => {
            let kind = |status: &RunStatus| match status {
                RunStatus::Success => Some("run_succeeded"),
                RunStatus::Failure => Some("run_failed"),
                RunStatus::Canceled => Some("run_canceled"),
                _ => None,
            };
            on.iter().filter_map(kind).collect()
        }
        _ => Vec::new(),
    }
}

/// The place that a cursor names: `position`, or `position run epoch seq`.
pub(crate) fn place_of(cursor: &str) -> Option<LogPlace> {
    let mut words = cursor.split(' ');
    let position = EventPosition(words.next()?.parse().ok()?);
    let event = match (words.next(), words.next(), words.next()) {
        (None, _, _) => None,
        (Some(run), Some(epoch), Some(seq)) => {
            Some((run.parse().ok()?, epoch.parse().ok()?, seq.parse().ok()?))
        }
        _ => return None,
    };
    Some(LogPlace { position, event })
}

fn cursor_at(place: LogPlace) -> String {
    match place.event {
        None => place.position.0.to_string(),
        Some((run, epoch, seq)) => format!("{} {run} {epoch} {seq}", place.position.0),
    }
}

impl Control {
    /// What the log says since the sensor's cursor. One without a cursor begins at the log's end.
    pub(crate) async fn news_for(&self, asking: &SensorAsking) -> Result<News, StoreError> {
        let upto = self.read_upto(asking).await?;
        let nothing =
            |place| News { found: Vec::new(), cursor: cursor_at(place), is_partial: false };
        let end = LogPlace { position: upto, event: None };
        let Some(after) = asking.cursor.as_deref().and_then(place_of) else {
            return Ok(nothing(end));
        };
        if after == end {
            return Ok(nothing(end));
        }
        let kinds = kinds_of(&asking.def.question);
        let read = self.page(asking, (after, upto), &kinds).await?;
        let Page { rows: page, runs: facts } = &*read;
        let is_partial = page.len() >= EVENTS_AT_ONCE as usize;
        let place = match page.last() {
            Some(last) if is_partial => LogPlace {
                position: last.position.unwrap_or(upto),
                event: Some((last.event.run, last.event.epoch, last.event.seq)),
            },
            _ => end,
        };
        let is_own = |facts: &RunFacts| is_run_of(&asking.source.name, &facts.row);
        let found = match &asking.def.question {
            SensorQuestion::Asset { select: text } => {
                let assets = select(&asking.manifest, text).unwrap_or_default();
                let assets: BTreeSet<AssetKey> = assets.into_iter().collect();
                // Of a report, which is no run's, there are no facts.
                let is_news = |row: &&EventRow| !facts.get(&row.event.run).is_some_and(is_own);
                let made = page.iter().filter(is_news);
                made.filter_map(|row| asset_found(row, &assets, facts)).collect()
            }
            SensorQuestion::RunStatus { job, .. } => {
                let of_job = |facts: &&RunFacts| job.is_none() || facts.row.job == *job;
                let ended = page.iter().filter(|row| kinds.contains(&row.event.body.kind()));
                ended
                    .filter_map(|row| facts.get(&row.event.run))
                    .filter(of_job)
                    .filter(|facts| !is_own(facts))
                    .map(run_found)
                    .collect()
            }
            _ => Vec::new(),
        };
        Ok(News { found, cursor: cursor_at(place), is_partial })
    }
}

/// Whether the sensor itself requested a run, or one that the run tries again: a sensor that took
/// its own runs for news would go on for ever.
fn is_run_of(sensor: &str, run: &RunRow) -> bool {
    match &run.cause {
        Cause::Sensor { name, .. } => name == sensor,
        // It has the labels of the first run, however often that was tried again.
        Cause::Retry { .. } => run.tags.get(SENSOR_TAG).is_some_and(|name| name == sensor),
        Cause::User { .. } | Cause::Schedule { .. } => false,
    }
}

fn run_found(facts: &RunFacts) -> Found {
    Found {
        key: facts.row.run_id.to_string(),
        names: Map::from_iter([("run".to_owned(), run_names(facts))]),
        partition: facts.row.partition.clone(),
        tags: facts.row.tags.clone(),
        of: Some(facts.row.run_id),
    }
}

fn asset_found(
    row: &EventRow,
    assets: &BTreeSet<AssetKey>,
    facts: &BTreeMap<RunId, RunFacts>,
) -> Option<Found> {
    let event = &row.event;
    let (step, asset, partition, metadata, data_version) = match &event.body {
        EventBody::Materialized { step, asset, partition, metadata, data_version, .. } => {
            (Some(step), asset, partition, metadata, data_version)
        }
        EventBody::Reported { asset, partition, metadata, data_version, .. } => {
            (None, asset, partition, metadata, data_version)
        }
        _ => return None,
    };
    let reported_by = match &event.body {
        EventBody::Reported { by, .. } => Some(by),
        _ => None,
    };
    let run = reported_by.is_none().then_some(event.run);
    if !assets.contains(asset) {
        return None;
    }
    let facts = facts.get(&event.run);
    let names = json!(EventFound {
        asset,
        partition: partition.as_ref(),
        metadata,
        data_version: data_version.as_deref(),
        run_id: run,
        step,
        reported_by: reported_by.map(String::as_str),
        at: event.at.to_string(),
    });
    Some(Found {
        key: format!("{} {} {}", event.run, event.epoch, event.seq),
        names: Map::from_iter([
            ("event".to_owned(), names),
            ("run".to_owned(), facts.map_or(Value::Null, run_names)),
        ]),
        partition: partition.clone(),
        tags: facts.map(|facts| facts.row.tags.clone()).unwrap_or_default(),
        of: run,
    })
}

/// What templates see of a run.
fn run_names(facts: &RunFacts) -> Value {
    json!(RunFound::of(&facts.row, &facts.location, &facts.context))
}

#[cfg(test)]
mod tests {
    use millstream_model::Timestamp;

    use super::*;

    #[test]
    fn a_place_reads_back_from_its_cursor() {
        let run = RunId::new(Timestamp::from_micros(5), [3; 10]);
        for event in [None, Some((run, 2, -3))] {
            let place = LogPlace { position: EventPosition(17), event };
            assert_eq!(place_of(&cursor_at(place)), Some(place));
        }
        for wrong in ["", "x", "17 y", "17 y 1 2"] {
            assert_eq!(place_of(wrong), None, "{wrong:?}");
        }
    }
}
