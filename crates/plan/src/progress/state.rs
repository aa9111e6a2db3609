//! The state of one run inside its worker, and the questions that the worker asks of it.

use std::collections::{BTreeSet, HashMap};

use millstream_model::worker_api::StepProgress;
use millstream_model::{
    EventBody, IllegalTransition, RetryPolicy, RunPlan, StepKey, StepStatus, Timestamp,
};

use super::ready::{Need, Ready};

/// The progress of one run.
#[derive(Debug, Clone)]
pub struct Progress {
    pub(super) steps: Vec<StepState>,
    places: HashMap<StepKey, usize>,
    /// Pending steps that nothing keeps from starting.
    pub(super) ready: Ready,
    /// Steps that wait for another attempt, by when it is due.
    pub(super) waiting: BTreeSet<(Timestamp, usize)>,
    /// Steps whose attempt goes on.
    pub(super) running: usize,
    /// Those of them that need nothing.
    pub(super) running_idle: usize,
    /// Steps that are in no terminal status.
    pub(super) unfinished: usize,
    /// Whether the run is to stop.
    pub(super) canceled: bool,
    /// The first step that failed, and what it said.
    pub(super) failure: Option<Failure>,
}

/// One step with what the machine knows of it.
#[derive(Debug, Clone)]
pub(super) struct StepState {
    pub(super) key: StepKey,
    pub(super) need: Need,
    pub(super) status: StepStatus,
    /// The last attempt that started; 0 before the first.
    pub(super) attempt: u32,
    pub(super) retry: RetryPolicy,
    /// When the next attempt is due, while the step is retrying.
    pub(super) due: Timestamp,
    pub(super) upstream: Vec<usize>,
    pub(super) downstream: Vec<usize>,
    /// How many of `upstream` have not ended well: neither succeeded nor skipped.
    pub(super) missing: usize,
    /// Once it has failed or is upstream-failed: the step that failed.
    pub(super) culprit: usize,
}

/// Why a run fails.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) place: usize,
    /// What the step said; empty when an earlier worker heard it.
    pub(super) message: String,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunOutcome {
    /// No step failed.
    Succeeded,
    /// A step failed.
    Failed {
        /// One sentence that names the first step that failed.
        reason: String,
    },
    /// It was canceled before all steps were done.
    Canceled,
}

/// Something that cannot happen to this run. The worker logs it; it has a bug.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProgressError {
    /// The plan has no such step.
    #[error("step `{step}` is not in the plan of this run")]
    UnknownStep {
        /// The step.
        step: StepKey,
    },
    /// The step may not start now.
    #[error("step `{step}` is {status} and may not start now")]
    NotReady {
        /// The step.
        step: StepKey,
        /// Its status.
        status: StepStatus,
    },
    /// The step is in a status in which this does not happen.
    #[error("step `{step}`: {source}")]
    Illegal {
        /// The step.
        step: StepKey,
        /// What cannot follow what.
        source: IllegalTransition,
    },
}

impl Progress {
    /// The progress of a run that earlier workers brought as far as `earlier`, with the events
    /// that follow at once: attempts that were lost with a worker, and steps whose fate an earlier
    /// worker had no time to report.
    ///
    /// An attempt that was announced is due then, but from `now` on no later than its policy has it
    /// wait at most: the clock that it was announced by may have been ahead of this one.
    pub fn new(plan: &RunPlan, earlier: &[StepProgress], now: Timestamp) -> (Self, Vec<EventBody>) {
        let mut progress = Self::of_plan(plan);
        for step in earlier {
            if let Some(state) = progress.place(&step.step).and_then(|p| progress.steps.get_mut(p))
            {
                state.status = step.status;
                state.attempt = step.attempt;
                if let Some(announced) = step.retry_at {
                    let longest = state.retry.wait_after(step.attempt, 1.0).unwrap_or_default();
                    state.due = announced.min(now.after(longest));
                }
            }
        }
        let events = progress.take_over();
        (progress, events)
    }

    fn of_plan(plan: &RunPlan) -> Self {
        let places: HashMap<StepKey, usize> =
            plan.steps.iter().enumerate().map(|(place, step)| (step.key.clone(), place)).collect();
        let mut steps: Vec<StepState> = plan
            .steps
            .iter()
            .map(|step| StepState {
                key: step.key.clone(),
                need: Need::of(step),
                status: StepStatus::Pending,
                attempt: 0,
                retry: step.retry.clone(),
                due: Timestamp::from_micros(i64::MIN),
                // A plan names only its own steps, and each of them once.
                upstream: step.depends_on.iter().filter_map(|k| places.get(k).copied()).collect(),
                downstream: Vec::new(),
                missing: 0,
                culprit: 0,
            })
            .collect();
        for place in 0..steps.len() {
            let upstream = steps.get(place).map(|step| step.upstream.clone()).unwrap_or_default();
            if let Some(step) = steps.get_mut(place) {
                step.missing = upstream.len();
            }
            for above in upstream {
                if let Some(step) = steps.get_mut(above) {
                    step.downstream.push(place);
                }
            }
        }
        Self {
            unfinished: steps.len(),
            steps,
            places,
            ready: Ready::default(),
            waiting: BTreeSet::new(),
            running: 0,
            running_idle: 0,
            canceled: false,
            failure: None,
        }
    }

    /// The steps that may start at `now` when at most `max_parallel` go on at once: attempts that
    /// are due again first, then steps in the order of the plan.
    pub fn ready(&self, now: Timestamp, max_parallel: usize) -> Vec<StepKey> {
        let free = max_parallel.max(1).saturating_sub(self.running);
        self.ready_for(&[Need::Place, Need::Slots, Need::Nothing], now, free)
    }

    /// The first `most` steps that may start at `now` of those that need one of `needs`: attempts
    /// that are due again first, then steps in the order of the plan. An attempt that is due again
    /// takes a place, whatever its step does.
    pub fn ready_for(&self, needs: &[Need], now: Timestamp, most: usize) -> Vec<StepKey> {
        let may_repeat = needs.iter().any(|need| *need != Need::Nothing);
        let is_wanted = |place: &&usize| {
            self.steps.get(**place).is_some_and(|step| match step.need {
                Need::Slots => needs.contains(&Need::Slots),
                Need::Place | Need::Nothing => needs.contains(&Need::Place),
            })
        };
        let due = self.waiting.iter().take_while(|(at, _)| may_repeat && *at <= now);
        let mut first: Vec<usize> =
            needs.iter().flat_map(|need| self.ready.of(*need).iter().take(most)).copied().collect();
        first.sort_unstable();
        let due = due.map(|(_, place)| place).filter(is_wanted);
        due.chain(&first)
            .take(most)
            .filter_map(|place| self.steps.get(*place))
            .map(|step| step.key.clone())
            .collect()
    }

    /// When to look again although nothing has happened: the next attempt that becomes due.
    pub fn next_wakeup(&self, now: Timestamp) -> Option<Timestamp> {
        let after = (now, usize::MAX);
        self.waiting.range(after..).next().map(|(at, _)| *at)
    }

    /// How the run ended; `None` while a step can still change.
    pub fn outcome(&self) -> Option<RunOutcome> {
        if self.unfinished > 0 {
            return None;
        }
        let was_stopped = self.steps.iter().any(|step| step.status == StepStatus::Canceled);
        if was_stopped {
            return Some(RunOutcome::Canceled);
        }
        let Some(failure) = &self.failure else { return Some(RunOutcome::Succeeded) };
        let key = self.steps.get(failure.place).map(|step| step.key.as_str()).unwrap_or_default();
        let reason = match failure.message.as_str() {
            "" => format!("step `{key}` failed"),
            message => format!("step `{key}` failed: {message}"),
        };
        Some(RunOutcome::Failed { reason })
    }

    /// The status of `step`, if the plan has it.
    pub fn status(&self, step: &StepKey) -> Option<StepStatus> {
        self.state(step).map(|state| state.status)
    }

    /// The last attempt of `step` that started, 0 before the first, if the plan has it.
    pub fn attempt(&self, step: &StepKey) -> Option<u32> {
        self.state(step).map(|state| state.attempt)
    }

    /// The steps whose attempt goes on, in the order of the plan.
    pub fn running(&self) -> impl Iterator<Item = &StepKey> {
        self.steps.iter().filter(|step| step.status == StepStatus::Started).map(|step| &step.key)
    }

    /// How many steps' attempts go on.
    pub fn running_count(&self) -> usize {
        self.running
    }

    /// How many of them need nothing.
    pub fn running_idle_count(&self) -> usize {
        self.running_idle
    }

    /// Whether the run was asked to stop.
    pub fn is_canceled(&self) -> bool {
        self.canceled
    }

    fn state(&self, step: &StepKey) -> Option<&StepState> {
        self.steps.get(self.place(step)?)
    }

    pub(super) fn place(&self, step: &StepKey) -> Option<usize> {
        self.places.get(step).copied()
    }

    pub(super) fn known_place(&self, step: &StepKey) -> Result<usize, ProgressError> {
        self.place(step).ok_or_else(|| ProgressError::UnknownStep { step: step.clone() })
    }
}
