//! Events that the control plane has not taken yet, in order.
//!
//! **Invariant.** An event's number never changes, so sending it again is harmless.
//! The steps that run bound how many there are: no step starts before its start was taken, and
//! their reports wait while there is no room.

use std::collections::VecDeque;

use millstream_model::worker_api::ReportedEvent;
use millstream_model::{EventBody, Timestamp};

/// The most events of one report.
const BATCH_MAX: usize = 500;

/// The most events of one report that may carry a result, metadata or the end of an output.
///
/// With 64 KiB each they stay below what a server takes at once.
const LARGE_MAX: usize = 16;

/// While more events than these wait, none of what running steps report are taken in.
const WAITING_MAX: usize = 2_000;

/// The events that wait.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    next_seq: i64,
    waiting: VecDeque<ReportedEvent>,
}

impl Outbox {
    /// Adds an event and returns its number.
    pub(super) fn push(&mut self, body: EventBody, at: Timestamp) -> i64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.waiting.push_back(ReportedEvent { seq, at, body });
        seq
    }

    /// Whether there is room for what running steps report, however many there are.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < WAITING_MAX
    }

    /// The number of the event that is added next.
    pub(super) fn next_seq(&self) -> i64 {
        self.next_seq
    }

    /// Whether all events before number `seq` were taken.
    pub(super) fn has_told(&self, seq: i64) -> bool {
        self.waiting.front().is_none_or(|event| event.seq >= seq)
    }

    /// The oldest events, as many as fit a report that is sent `now`.
    ///
    /// A step begins when its start was taken, so a start that waited bears the time of the report
    /// that is taken, not that of the wish: an outage before it is none of the step's time.
    pub(super) fn batch(&mut self, now: Timestamp) -> Vec<ReportedEvent> {
        let mut large = 0;
        for event in self.waiting.iter_mut().take(BATCH_MAX) {
            if matches!(event.body, EventBody::StepStarted { .. }) {
                event.at = now;
            }
        }
        let fits = |event: &&ReportedEvent| {
            large += usize::from(may_be_large(&event.body));
            large <= LARGE_MAX
        };
        self.waiting.iter().take(BATCH_MAX).take_while(fits).cloned().collect()
    }

    /// Forgets the events up to number `seq`, which were taken.
    pub(super) fn taken(&mut self, seq: i64) {
        while self.waiting.front().is_some_and(|event| event.seq <= seq) {
            self.waiting.pop_front();
        }
    }
}

fn may_be_large(body: &EventBody) -> bool {
    match body {
        EventBody::StepSucceeded { result, .. } => !result.is_null(),
        EventBody::StepFailed { .. }
        | EventBody::Materialized { .. }
        | EventBody::AssetChecked { .. }
        | EventBody::StepMessage { .. } => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_carries_few_events_that_may_be_large() {
        let mut outbox = Outbox::default();
        for _ in 0..20 {
            let (step, result) = ("a".parse().unwrap(), json!("…"));
            let body = EventBody::StepSucceeded {
                step,
                attempt: 1,
                took_micros: 0,
                result,
                result_ref: None,
                usage: None,
            };
            outbox.push(body, Timestamp::from_micros(0));
        }
        let now = Timestamp::from_micros(1);
        assert_eq!(outbox.batch(now).len(), LARGE_MAX);
        outbox.taken(15);
        let rest: Vec<i64> = outbox.batch(now).iter().map(|event| event.seq).collect();
        assert_eq!(rest, [16, 17, 18, 19]);
    }

    #[test]
    fn a_start_bears_the_time_of_the_report_that_is_taken_and_other_events_their_own() {
        let at = Timestamp::from_micros;
        let mut outbox = Outbox::default();
        outbox.push(EventBody::RunStarted { worker: "w".to_owned() }, at(1));
        outbox.push(EventBody::StepStarted { step: "a".parse().unwrap(), attempt: 1 }, at(1));
        let mut times = |now| -> Vec<i64> {
            outbox.batch(at(now)).iter().map(|event| event.at.as_micros()).collect()
        };
        assert_eq!(times(2), [1, 2]);
        assert_eq!(times(9), [1, 9], "the first report was not taken");
    }
}
