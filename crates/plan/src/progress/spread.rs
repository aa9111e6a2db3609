//! What the end of one step means for those below it, and what a new worker finds.
//!
//! Called by `advance` for each end and by `Progress::new`. Each step ends once and tells each step
//! below it once, so the work of a whole run grows with its dependencies.

use std::collections::VecDeque;

use millstream_model::{EventBody, StepEvent, StepKey, StepStatus};

use super::ready::Need;
use super::state::{Failure, Progress};

impl Progress {
    /// Remembers which step is behind the failure at `place`, and the first failure of all.
    pub(super) fn blame(&mut self, place: usize, message: &str) {
        let Some(state) = self.steps.get(place) else { return };
        let culprit = match state.status {
            StepStatus::Failure => {
                let message = message.to_owned();
                self.failure.get_or_insert(Failure { place, message });
                place
            }
            StepStatus::UpstreamFailed => self.culprit_above(&state.upstream).unwrap_or(place),
            _ => return,
        };
        if let Some(state) = self.steps.get_mut(place) {
            state.culprit = culprit;
        }
    }

    fn culprit_above(&self, upstream: &[usize]) -> Option<usize> {
        upstream
            .iter()
            .filter_map(|above| self.steps.get(*above))
            .find(|s| matches!(s.status, StepStatus::Failure | StepStatus::UpstreamFailed))
            .map(|state| state.culprit)
    }

    /// Tells the steps below `place`, which has just ended, and those below them in turn.
    pub(super) fn spread(&mut self, place: usize, events: &mut Vec<EventBody>) {
        let mut ended = VecDeque::from([place]);
        while let Some(place) = ended.pop_front() {
            let Some(state) = self.steps.get_mut(place) else { continue };
            let status = state.status;
            if !matches!(
                status,
                StepStatus::Success
                    | StepStatus::Skipped
                    | StepStatus::Failure
                    | StepStatus::UpstreamFailed
            ) {
                continue;
            }
            // A step ends once, so nobody asks for the steps below it again.
            for below in std::mem::take(&mut state.downstream) {
                if let Some(event) = self.tell(below, status) {
                    events.push(event);
                    ended.push_back(below);
                }
            }
        }
    }

    /// What becomes of the step at `place` now that one directly above it ended with `status`.
    fn tell(&mut self, place: usize, status: StepStatus) -> Option<EventBody> {
        let state = self.steps.get_mut(place)?;
        if matches!(status, StepStatus::Success | StepStatus::Skipped) {
            state.missing -= 1;
            if state.missing > 0 || state.status != StepStatus::Pending {
                return None;
            }
            let need = state.need;
            let Some(skipped) = self.skipped_above(place) else {
                self.ready.of_mut(need).insert(place);
                return None;
            };
            let reason = format!("upstream `{skipped}` was skipped");
            self.change(place, StepEvent::Skipped).ok()?;
            return Some(EventBody::StepSkipped { step: self.key(place)?, attempt: 0, reason });
        }
        if state.status != StepStatus::Pending {
            return None;
        }
        self.change(place, StepEvent::UpstreamFailed).ok()?;
        self.blame(place, "");
        let culprit = self.steps.get(place)?.culprit;
        let (step, upstream) = (self.key(place)?, self.key(culprit)?);
        Some(EventBody::StepUpstreamFailed { step, upstream })
    }

    /// The first step directly above `place` that was skipped.
    fn skipped_above(&self, place: usize) -> Option<StepKey> {
        let upstream = &self.steps.get(place)?.upstream;
        let skipped = |above: &&usize| {
            self.steps.get(**above).is_some_and(|state| state.status == StepStatus::Skipped)
        };
        upstream.iter().find(skipped).and_then(|above| self.key(*above))
    }

    fn key(&self, place: usize) -> Option<StepKey> {
        self.steps.get(place).map(|state| state.key.clone())
    }

    /// Brings the sets in line with the statuses that earlier workers left behind.
    pub(super) fn take_over(&mut self) -> Vec<EventBody> {
        let mut events = Vec::new();
        let mut ended = Vec::new();
        for place in 0..self.steps.len() {
            let Some(state) = self.steps.get(place) else { continue };
            let (status, attempt) = (state.status, state.attempt);
            match status {
                StepStatus::Pending if state.missing == 0 => {
                    self.ready.of_mut(state.need).insert(place);
                }
                StepStatus::Pending => {}
                StepStatus::Retrying => {
                    self.waiting.insert((state.due, place));
                }
                StepStatus::Started => {
                    let (step, is_idle) = (state.key.clone(), state.need == Need::Nothing);
                    self.running += 1;
                    self.running_idle += usize::from(is_idle);
                    if self.change(place, StepEvent::WorkerLost).is_ok() {
                        events.push(EventBody::StepLost { step, attempt });
                    }
                }
                _ => {
                    self.unfinished -= 1;
                    self.canceled |= status == StepStatus::Canceled;
                    self.blame(place, "");
                    ended.push(place);
                }
            }
        }
        for place in ended {
            self.spread(place, &mut events);
        }
        if self.canceled {
            events.extend(self.cancel());
        }
        events
    }
}
