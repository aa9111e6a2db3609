//! Attempts that would start if they had the slots of their pools.
//!
//! `drive` adds those for which the run has a place; they keep it while they wait, so that slots
//! which come free are used at once and never lie idle with a run that is busy elsewhere. One
//! question is under way at a time and names all of them; asking again is harmless. A question for
//! another attempt comes after the end of the one before: until the control plane knows of that
//! end, it refuses the question, and the step would not wait for its slots until the next.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use millstream_model::worker_api::{Assignment, SlotAnswer, SlotAsk, WaitingStep};
use millstream_model::{StepKey, Timestamp};

use crate::{ReportError, Seams};

/// How long the control plane may wait for slots before it answers that there are none.
const WAIT: Duration = Duration::from_secs(10);

/// The pause after an answer without slots that came at once.
const PAUSE: Duration = Duration::from_millis(500);

/// What came of a question for slots.
pub(super) type SlotsHeard = Result<SlotAnswer, ReportError>;

/// The attempts that wait.
pub(super) struct WaitingSteps<'a> {
    steps: BTreeSet<WaitingStep>,
    question: Option<BoxFuture<'a, SlotsHeard>>,
    asked_at: Option<Timestamp>,
    /// The control plane must have taken the events before this number first.
    after: i64,
}

impl<'a> WaitingSteps<'a> {
    pub(super) fn new() -> Self {
        Self { steps: BTreeSet::new(), question: None, asked_at: None, after: 0 }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether an attempt at `step` waits.
    pub(super) fn has(&self, step: &StepKey) -> bool {
        self.steps.iter().any(|waiting| &waiting.step == step)
    }

    /// Has an attempt wait; the next question names it. The events before `told` are all that was
    /// said of the run by now.
    pub(super) fn add(&mut self, step: StepKey, attempt: u32, told: i64) {
        if attempt > 1 {
            self.after = told;
        }
        if self.steps.insert(WaitingStep { step, attempt }) {
            (self.question, self.asked_at) = (None, None);
        }
    }

    /// The control plane must have taken the events before this number before it is asked.
    pub(super) fn after(&self) -> i64 {
        self.after
    }

    /// Nothing waits any more: the run stops.
    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }

    /// Takes out an attempt that has its slots; false when it does not wait.
    pub(super) fn take(&mut self, granted: &WaitingStep) -> bool {
        self.steps.remove(granted)
    }

    /// Asks when something waits and nothing is asked yet.
    pub(super) fn ask_if_due(&mut self, assignment: &'a Assignment, seams: &'a Seams) {
        if self.question.is_some() || self.steps.is_empty() {
            return;
        }
        let now = seams.clock.now();
        // Whoever answers at once, an older server or one that is in trouble, is not asked at once.
        let was_quick = self.asked_at.is_some_and(|asked| now.since(asked) < PAUSE);
        self.asked_at = Some(now);
        let wait_millis = u64::try_from(WAIT.as_millis()).unwrap_or(0);
        let steps = self.steps.iter().cloned().collect();
        let ask = SlotAsk { epoch: assignment.epoch, steps, wait_millis };
        let pause = if was_quick { seams.clock.sleep(PAUSE) } else { future::ready(()).boxed() };
        let question = async move {
            pause.await;
            seams.control.slots(&assignment.tenant, assignment.run, ask).await
        };
        self.question = Some(question.boxed());
    }

    /// The next answer; it never comes while nothing is asked.
    pub(super) async fn heard(&mut self) -> SlotsHeard {
        let Some(question) = &mut self.question else { return future::pending().await };
        let heard = question.await;
        self.question = None;
        heard
    }
}
