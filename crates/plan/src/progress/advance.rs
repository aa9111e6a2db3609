//! What follows when a step starts or ends, or the run is canceled.

use std::time::Duration;

use millstream_model::{
    EventBody, IllegalTransition, PlannedRetry, StepError, StepEvent, StepKey, StepStatus,
    Timestamp,
};

use super::ready::Need;
use super::state::{Progress, ProgressError, StepState};

/// How an attempt ended, as the worker saw it.
#[derive(Debug, Clone, PartialEq)]
pub enum AttemptEnd {
    /// It did its work.
    Succeeded {
        /// How long it took.
        took: Duration,
        /// What it returned, when that is small enough for an event.
        result: serde_json::Value,
        /// Where a larger result is.
        result_ref: Option<String>,
    },
    /// It said that there was nothing to do.
    Skipped {
        /// Why.
        reason: String,
    },
    /// It failed; the step's policy says whether another attempt follows.
    Failed(StepError),
    /// It failed, and the step's policy says whether another attempt follows; but that one waits
    /// at least this long, as a service asked.
    FailedFor(StepError, Duration),
    /// It failed in a way that another attempt cannot mend: a wrong configuration.
    FailedForGood(StepError),
    /// It was stopped because the run was canceled.
    Canceled,
}

impl Progress {
    /// Starts the next attempt at `step`; the event says which.
    pub fn start(&mut self, step: &StepKey, now: Timestamp) -> Result<EventBody, ProgressError> {
        let place = self.known_place(step)?;
        if let Some(state) = self.steps.get(place) {
            let status = state.status;
            let may_start = match status {
                StepStatus::Retrying => state.due <= now,
                _ => self.ready.of(state.need).contains(&place),
            };
            if !may_start {
                return Err(ProgressError::NotReady { step: step.clone(), status });
            }
        }
        self.change(place, StepEvent::Started).map_err(|source| illegal(step, source))?;
        let mut attempt = 1;
        if let Some(state) = self.steps.get_mut(place) {
            attempt = state.attempt.saturating_add(1);
            state.attempt = attempt;
        }
        Ok(EventBody::StepStarted { step: step.clone(), attempt })
    }

    /// Ends the attempt at `step` that goes on, or refuses a ready step that cannot be started.
    /// The events are the step's own and then those of the steps that it takes along.
    ///
    /// `random` is uniform in `0.0..1.0`; the wait before another attempt may depend on it.
    pub fn finish(
        &mut self,
        step: &StepKey,
        end: AttemptEnd,
        now: Timestamp,
        random: f64,
    ) -> Result<Vec<EventBody>, ProgressError> {
        let place = self.known_place(step)?;
        let is_held = |state: &StepState| {
            state.status == StepStatus::Pending && !self.ready.of(state.need).contains(&place)
        };
        if self.steps.get(place).is_some_and(is_held) {
            let status = StepStatus::Pending;
            return Err(ProgressError::NotReady { step: step.clone(), status });
        }
        let was_stopped = end == AttemptEnd::Canceled;
        let Some(own) = self.own_event(place, end, random) else { return Ok(Vec::new()) };
        self.record(place, &own, now).map_err(|source| illegal(step, source))?;
        let mut events = vec![own];
        self.spread(place, &mut events);
        // A stopped step leaves those below it waiting for ever, unless the run stops with it.
        if was_stopped && !self.canceled {
            events.extend(self.cancel());
        }
        Ok(events)
    }

    /// Cancels every step that does not run; those that run are to be stopped and then finished.
    pub fn cancel(&mut self) -> Vec<EventBody> {
        self.canceled = true;
        let mut events = Vec::new();
        for place in 0..self.steps.len() {
            let Some(state) = self.steps.get(place) else { continue };
            if !matches!(state.status, StepStatus::Pending | StepStatus::Retrying) {
                continue;
            }
            let event = EventBody::StepCanceled { step: state.key.clone(), attempt: state.attempt };
            if self.change(place, StepEvent::Canceled).is_ok() {
                events.push(event);
            }
        }
        events
    }

    fn own_event(&self, place: usize, end: AttemptEnd, random: f64) -> Option<EventBody> {
        let state = self.steps.get(place)?;
        let (step, attempt) = (state.key.clone(), state.attempt);
        Some(match end {
            AttemptEnd::Succeeded { took, result, result_ref } => {
                let took_micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                EventBody::StepSucceeded {
                    step,
                    attempt,
                    took_micros,
                    result,
                    result_ref,
                    usage: None,
                }
            }
            AttemptEnd::Skipped { reason } => EventBody::StepSkipped { step, attempt, reason },
            AttemptEnd::Failed(error) => {
                let retry = self.next_attempt(state, Duration::ZERO, random);
                EventBody::StepFailed { step, attempt, error, retry, usage: None }
            }
            AttemptEnd::FailedFor(error, at_least) => {
                let retry = self.next_attempt(state, at_least, random);
                EventBody::StepFailed { step, attempt, error, retry, usage: None }
            }
            AttemptEnd::FailedForGood(error) => {
                EventBody::StepFailed { step, attempt, error, retry: None, usage: None }
            }
            AttemptEnd::Canceled => EventBody::StepCanceled { step, attempt },
        })
    }

    /// The attempt that follows a failure; none once the run is to stop.
    fn next_attempt(
        &self,
        state: &StepState,
        at_least: Duration,
        random: f64,
    ) -> Option<PlannedRetry> {
        if self.canceled || state.status != StepStatus::Started {
            return None;
        }
        let delay = state.retry.wait_after(state.attempt, random)?.max(at_least);
        Some(PlannedRetry {
            attempt: state.attempt.saturating_add(1),
            delay_micros: u64::try_from(delay.as_micros()).unwrap_or(u64::MAX),
        })
    }

    /// Does to the step at `place` what `event` says.
    fn record(
        &mut self,
        place: usize,
        event: &EventBody,
        now: Timestamp,
    ) -> Result<(), IllegalTransition> {
        let Some(happened) = event.step_event() else { return Ok(()) };
        if let EventBody::StepFailed { retry: Some(retry), .. } = event
            && let Some(state) = self.steps.get_mut(place)
        {
            state.due = now.after(retry.delay());
        }
        self.change(place, happened)?;
        if let EventBody::StepFailed { retry: None, error, .. } = event {
            self.blame(place, &error.message);
        }
        Ok(())
    }

    /// Moves the step at `place` on, and with it the sets and counts that mirror its status.
    pub(super) fn change(
        &mut self,
        place: usize,
        event: StepEvent,
    ) -> Result<(), IllegalTransition> {
        let Some(state) = self.steps.get_mut(place) else { return Ok(()) };
        let (from, need) = (state.status, state.need);
        let idle = usize::from(need == Need::Nothing);
        let to = from.after(event)?;
        state.status = to;
        match from {
            StepStatus::Pending => {
                self.ready.of_mut(need).remove(&place);
            }
            StepStatus::Started => {
                self.running -= 1;
                self.running_idle -= idle;
            }
            StepStatus::Retrying => {
                self.waiting.remove(&(state.due, place));
            }
            _ => {}
        }
        match to {
            StepStatus::Started => {
                self.running += 1;
                self.running_idle += idle;
            }
            StepStatus::Retrying => {
                self.waiting.insert((state.due, place));
            }
            _ if to.is_terminal() => self.unfinished -= 1,
            _ => {}
        }
        Ok(())
    }
}

fn illegal(step: &StepKey, source: IllegalTransition) -> ProgressError {
    ProgressError::Illegal { step: step.clone(), source }
}
