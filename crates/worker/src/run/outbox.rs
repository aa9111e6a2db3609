//! Events that the control plane has not taken yet, in order.
//!
//! **Invariant.** An event's number never changes, so sending it again is harmless.
//! The steps that run bound how many there are: no step starts before its start was taken.

use std::collections::VecDeque;

use millstream_model::worker_api::ReportedEvent;
use millstream_model::{EventBody, Timestamp};

/// The most events of one report.
const BATCH_MAX: usize = 500;

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

    /// The oldest events, as many as fit a report.
    pub(super) fn batch(&self) -> Vec<ReportedEvent> {
        self.waiting.iter().take(BATCH_MAX).cloned().collect()
    }

    /// The number of the last event of [`Self::batch`]; `None` when nothing waits.
    pub(super) fn last_of_batch(&self) -> Option<i64> {
        let last = self.waiting.len().min(BATCH_MAX).checked_sub(1)?;
        self.waiting.get(last).map(|event| event.seq)
    }

    /// Forgets the events up to number `seq`, which were taken.
    pub(super) fn taken(&mut self, seq: i64) {
        while self.waiting.front().is_some_and(|event| event.seq <= seq) {
            self.waiting.pop_front();
        }
    }
}
