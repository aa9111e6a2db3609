//! The loop of one run: start what may start, report what happened, stop when told.
//!
//! It decides nothing about steps: `plan::progress` says what may start and what follows.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{FutureExt, future};
use millstream_model::worker_api::{Assignment, Report, ReportAnswer};
use millstream_model::{EventBody, StepKey, StepPlan, StepStatus, StepUsage, Timestamp};
use millstream_plan::progress::{AttemptEnd, Need, Progress, ProgressError, RunOutcome};
use tokio::sync::{mpsc, oneshot, watch};

use super::outbox::Outbox;
use super::results::{Results, StepResult};
use super::waiting::{SlotsHeard, WaitingSteps};
use crate::step::{AttemptDone, AttemptOrder, StepRunner, Taken};
use crate::worker::{CancelSignal, WorkerSettings};
use crate::{ReportError, Seams};

/// The first wait after the control plane was not available; it doubles.
const PAUSE_FIRST: Duration = Duration::from_millis(100);

/// The longest wait between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Steps that do nothing and go on at once.
const IDLE_MAX: usize = 256;

/// Reports of running attempts that wait to be taken in; further ones wait with their attempts.
const TOLD_MAX: usize = 64;

/// How a worker's part in a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEnd {
    /// The run is over and the control plane knows it.
    Finished(RunOutcome),
    /// Another worker has the run, or it is over; this one stopped its steps.
    Replaced,
    /// The worker stopped its steps and left the run to be found lost.
    GivenUp {
        /// Why.
        reason: String,
    },
}

/// Executes `assignment` to its end, each of its steps by `steps`.
///
/// [`Worker::run`](crate::Worker::run) is this with processes; a simulation has steps of its own.
pub async fn drive(
    settings: &WorkerSettings,
    steps: &dyn StepRunner,
    assignment: Assignment,
    seams: &Seams,
    signal: CancelSignal,
) -> RunEnd {
    let mut assignment = assignment;
    let earlier = std::mem::take(&mut assignment.progress);
    let assignment = Arc::new(assignment);
    let now = seams.clock.now();
    let (progress, events) = Progress::new(&assignment.plan, &earlier, now);
    let (tell, told) = mpsc::channel(TOLD_MAX);
    let mut drive = Drive {
        settings,
        steps,
        seams,
        places: places(&assignment),
        progress,
        results: Results::new(&assignment.plan, earlier),
        outbox: Outbox::default(),
        starts: VecDeque::new(),
        attempts: FuturesUnordered::new(),
        call: None,
        waiting: WaitingSteps::new(),
        stop: watch::Sender::new(false),
        tell,
        told,
        last_heard: seams.clock.now(),
        tries: 0,
        outcome: None,
        assignment: &assignment,
    };
    drive.push(EventBody::RunStarted { worker: settings.name.clone() });
    for event in events {
        drive.push(event);
    }
    drive.run(signal).await
}

fn places(assignment: &Assignment) -> HashMap<StepKey, usize> {
    let keys = assignment.plan.steps.iter().enumerate();
    keys.map(|(place, step)| (step.key.clone(), place)).collect()
}

/// A run under way.
struct Drive<'a> {
    settings: &'a WorkerSettings,
    steps: &'a dyn StepRunner,
    seams: &'a Seams,
    assignment: &'a Arc<Assignment>,
    places: HashMap<StepKey, usize>,
    progress: Progress,
    results: Results,
    outbox: Outbox,
    /// Whom to tell that the control plane has taken an attempt's start, in the events' order.
    starts: VecDeque<Start>,
    attempts: FuturesUnordered<BoxFuture<'a, AttemptDone>>,
    /// What is being said to the control plane; one thing at a time keeps the events in order.
    call: Option<BoxFuture<'a, Heard>>,
    /// Attempts that wait for the slots of their pools.
    waiting: WaitingSteps<'a>,
    stop: watch::Sender<bool>,
    /// What attempts report while they run.
    tell: mpsc::Sender<EventBody>,
    told: mpsc::Receiver<EventBody>,
    last_heard: Timestamp,
    /// Failed calls since the control plane last answered.
    tries: u32,
    /// How the run ended, once its last event is in the outbox.
    outcome: Option<RunOutcome>,
}

/// An attempt that waits for its start to be taken.
struct Start {
    seq: i64,
    taken: oneshot::Sender<()>,
}

/// What came of a call to the control plane.
enum Heard {
    Report { last_seq: i64, answer: Result<ReportAnswer, ReportError> },
    Beat(Result<ReportAnswer, ReportError>),
    Paused,
}

impl<'a> Drive<'a> {
    async fn run(mut self, mut signal: CancelSignal) -> RunEnd {
        loop {
            if let Err(error) = self.start_ready() {
                return given_up(&error);
            }
            self.end_if_over();
            self.call_if_due();
            if self.outbox.has_told(self.waiting.after()) {
                self.waiting.ask_if_due(self.assignment, self.seams);
            }
            if let Some(outcome) = &self.outcome
                && self.call.is_none()
            {
                return RunEnd::Finished(outcome.clone());
            }
            if self.attempts.is_empty() && self.call.is_none() {
                self.steps.rest();
            }
            let wakeup = match self.patience() {
                Some(patience) => self.seams.clock.sleep(patience),
                None => future::pending().boxed(),
            };
            let call = async {
                match &mut self.call {
                    Some(call) => call.await,
                    None => future::pending().await,
                }
            };
            // The order is fixed, so that a simulation repeats.
            let result = tokio::select! {
                biased;
                () = signal.canceled(), if !self.progress.is_canceled() => {
                    self.cancel();
                    Ok(())
                }
                // Before the call, which may hold up the thread: attempts prepare themselves first,
                // and what they have told to processes is done meanwhile.
                Some(done) = self.attempts.next(), if !self.attempts.is_empty() => {
                    self.finish_all(done)
                }
                heard = call => match self.hear(heard) {
                    Ok(()) => Ok(()),
                    Err(end) => return end,
                },
                Some(event) = self.told.recv(), if self.outbox.has_room() => {
                    self.push(event);
                    Ok(())
                }
                heard = self.waiting.heard() => match self.hear_slots(heard) {
                    Ok(()) => Ok(()),
                    Err(end) => return end,
                },
                () = wakeup => Ok(()),
            };
            if let Err(error) = result {
                return given_up(&error);
            }
        }
    }

    fn now(&self) -> Timestamp {
        self.seams.clock.now()
    }

    fn push(&mut self, body: EventBody) -> i64 {
        self.outbox.push(body, self.seams.clock.now())
    }

    /// How long nothing is due: neither another attempt, nor a beat while nothing else is said.
    fn patience(&self) -> Option<Duration> {
        let now = self.now();
        let beat_at = self.last_heard.after(self.settings.beat_every);
        let beat = self.call.is_none().then_some(beat_at);
        let next = self.progress.next_wakeup(now).into_iter().chain(beat).min()?;
        Some(next.since(now))
    }

    /// Starts what may start and has its place. Where the plan does not say how many steps go on
    /// at once, they are as many as there are processors for; and beside them go on up to
    /// [`IDLE_MAX`] of those that need none.
    fn start_ready(&mut self) -> Result<(), ProgressError> {
        let now = self.now();
        let planned = self.assignment.plan.max_parallel.and_then(|max| usize::try_from(max).ok());
        let max_parallel = planned.unwrap_or(self.settings.max_parallel).max(1);
        let (plain, beside) = match planned {
            Some(_) => (&[Need::Place, Need::Nothing][..], 0),
            None => (&[Need::Place][..], self.progress.running_idle_count()),
        };
        let going = self.progress.running_count().saturating_sub(beside) + self.waiting.len();
        let mut free = max_parallel.saturating_sub(going);
        // What needs no slots goes first: what needs some would keep its place while it waits.
        for step in self.progress.ready_for(plain, now, free) {
            self.start(&step)?;
            free = free.saturating_sub(1);
        }
        if planned.is_none() {
            let idle_max = IDLE_MAX.saturating_sub(beside);
            for step in self.progress.ready_for(&[Need::Nothing], now, idle_max) {
                self.start(&step)?;
            }
        }
        if free == 0 {
            return Ok(());
        }
        // Those that wait for slots already are ready still.
        let pooled = self.progress.ready_for(&[Need::Slots], now, free + self.waiting.len());
        let new = pooled.into_iter().filter(|step| !self.waiting.has(step)).take(free);
        for step in new.collect::<Vec<_>>() {
            let attempt = self.progress.attempt(&step).unwrap_or(0).saturating_add(1);
            self.waiting.add(step, attempt, self.outbox.next_seq());
        }
        Ok(())
    }

    fn start(&mut self, step: &StepKey) -> Result<(), ProgressError> {
        let event = self.progress.start(step, self.now())?;
        let attempt = self.progress.attempt(step).unwrap_or(1);
        let seq = self.push(event);
        let (taken, start) = oneshot::channel();
        self.starts.push_back(Start { seq, taken });
        self.prepare(step, attempt, Taken::new(start));
        Ok(())
    }

    /// Lets an attempt prepare what it will do once its start was taken.
    fn prepare(&mut self, step: &StepKey, number: u32, taken: Taken) {
        let Some((place, step)) = self.step(step) else { return };
        let attempt = AttemptOrder {
            seams: self.seams,
            assignment: self.assignment,
            step,
            place,
            number,
            upstream: self.results.of(&step.depends_on),
            taken,
            stop: self.stop.subscribe(),
            events: self.tell.clone(),
        };
        self.attempts.push(self.steps.execute(attempt));
    }

    /// Starts the attempts that have their slots; the error is how the worker's part ends.
    fn hear_slots(&mut self, heard: SlotsHeard) -> Result<(), RunEnd> {
        match heard {
            Ok(answer) => {
                if answer.cancel && !self.progress.is_canceled() {
                    self.cancel();
                }
                for granted in answer.granted {
                    if self.waiting.take(&granted) {
                        self.start(&granted.step).map_err(|error| given_up(&error))?;
                    }
                }
                Ok(())
            }
            Err(ReportError::Stale) => Err(RunEnd::Replaced),
            Err(error @ ReportError::Refused { .. }) => Err(given_up(&error)),
            // Reports and beats say how long the control plane has been away.
            Err(ReportError::Unavailable { .. }) => Ok(()),
        }
    }

    /// Puts the run's own last event behind those of its steps.
    fn end_if_over(&mut self) {
        if self.outcome.is_some() {
            return;
        }
        let Some(outcome) = self.progress.outcome() else { return };
        self.push(match &outcome {
            RunOutcome::Succeeded => EventBody::RunSucceeded {},
            RunOutcome::Failed { reason } => EventBody::RunFailed { reason: reason.clone() },
            RunOutcome::Canceled => EventBody::RunCanceled {},
        });
        self.outcome = Some(outcome);
    }

    /// Reports what waits, or beats when nothing was said for a while.
    fn call_if_due(&mut self) {
        if self.call.is_some() {
            return;
        }
        let Assignment { tenant, run, epoch, .. } = &**self.assignment;
        let control = &self.seams.control;
        let events = self.outbox.batch(self.now());
        if let Some(last) = events.last().map(|event| event.seq) {
            let report = Report { epoch: *epoch, events };
            self.call = Some(
                control
                    .report(tenant, *run, report)
                    .map(move |answer| Heard::Report { last_seq: last, answer })
                    .boxed(),
            );
        } else if self.outcome.is_none()
            && self.now().since(self.last_heard) >= self.settings.beat_every
        {
            self.call = Some(control.beat(tenant, *run, *epoch).map(Heard::Beat).boxed());
        }
    }

    /// Takes in what came of a call; the error is how the worker's part ends.
    fn hear(&mut self, heard: Heard) -> Result<(), RunEnd> {
        self.call = None;
        let answer = match heard {
            Heard::Paused => return Ok(()),
            Heard::Beat(answer) => answer,
            Heard::Report { last_seq, answer } => {
                if answer.is_ok() {
                    self.outbox.taken(last_seq);
                    self.begin_up_to(last_seq);
                }
                answer
            }
        };
        match answer {
            Ok(ReportAnswer { cancel }) => {
                self.last_heard = self.now();
                self.tries = 0;
                if cancel && !self.progress.is_canceled() {
                    self.cancel();
                }
                Ok(())
            }
            Err(ReportError::Stale) => Err(RunEnd::Replaced),
            Err(error @ ReportError::Refused { .. }) => Err(given_up(&error)),
            Err(error @ ReportError::Unavailable { .. }) => self.pause(&error),
        }
    }

    /// Waits before the next call. Steps that run go on; those whose start was not taken wait.
    fn pause(&mut self, error: &ReportError) -> Result<(), RunEnd> {
        let silence = self.now().since(self.last_heard);
        if silence >= self.settings.outage_max {
            return Err(given_up(error));
        }
        let run = self.assignment.run;
        if self.tries == 0 {
            tracing::warn!(%run, %error, "events wait until the control plane is back");
        }
        let doubled = 1_u32.checked_shl(self.tries).unwrap_or(u32::MAX);
        let pause = PAUSE_FIRST.saturating_mul(doubled).min(PAUSE_MAX);
        // Up to half of it off, so that all workers do not come back at once.
        let pause = pause.mul_f64(1.0 - self.seams.entropy.unit() / 2.0);
        self.tries = self.tries.saturating_add(1).min(16);
        self.call = Some(self.seams.clock.sleep(pause).map(|()| Heard::Paused).boxed());
        Ok(())
    }

    /// Begins the attempts whose starts were taken.
    fn begin_up_to(&mut self, seq: i64) {
        while let Some(start) = self.starts.pop_front_if(|start| start.seq <= seq) {
            // An attempt waits for this before it does anything, so it is there to hear it.
            start.taken.send(()).ok();
        }
    }

    fn step(&self, key: &StepKey) -> Option<(usize, &'a StepPlan)> {
        let place = *self.places.get(key)?;
        Some((place, self.assignment.plan.steps.get(place)?))
    }

    /// Takes in `first` and every other attempt that is done by now, so that one report has all. A
    /// cancel wakes them in any order; they are taken in that of the plan, so that a simulation
    /// repeats.
    fn finish_all(&mut self, first: AttemptDone) -> Result<(), ProgressError> {
        let mut all = vec![first];
        while let Some(Some(done)) = self.attempts.next().now_or_never() {
            all.push(done);
        }
        all.sort_by_key(|done| self.places.get(&done.step).copied());
        all.into_iter().try_for_each(|done| self.finish(done))
    }

    fn finish(&mut self, done: AttemptDone) -> Result<(), ProgressError> {
        if let AttemptEnd::Succeeded { result, result_ref, .. } = &done.end {
            let kept = match result_ref {
                Some(reference) => StepResult::Stored(reference.clone()),
                None => StepResult::Inline(Arc::new(result.clone())),
            };
            self.results.keep(&done.step, kept);
        }
        // Whatever the attempt reported came before its end.
        while let Ok(event) = self.told.try_recv() {
            self.push(event);
        }
        if let Some(materialized) = done.materialized {
            self.push(materialized);
        }
        let random = self.seams.entropy.unit();
        let mut events = self.progress.finish(&done.step, done.end, self.now(), random)?;
        // The step's own event comes first.
        if let Some(own) = events.first_mut() {
            meter(own, done.usage);
        }
        self.push_all(events);
        Ok(())
    }

    /// Stops the run: nothing starts any more, and what runs is told to end.
    fn cancel(&mut self) {
        self.waiting.clear();
        let events = self.progress.cancel();
        self.push_all(events);
        self.stop.send_replace(true);
    }

    fn push_all(&mut self, events: Vec<EventBody>) {
        for event in events {
            let step = event.step().and_then(|step| self.step(step));
            if let Some((_, step)) = step
                && self.progress.status(&step.key).is_some_and(StepStatus::is_terminal)
            {
                self.results.release(&step.depends_on);
            }
            self.push(worded(event));
        }
    }
}

/// Says in the event of an attempt's end what its processes used.
fn meter(event: &mut EventBody, used: Option<StepUsage>) {
    if let EventBody::StepSucceeded { usage, .. } | EventBody::StepFailed { usage, .. } = event {
        *usage = used;
    }
}

/// A failure that another attempt follows says which attempt it was, as document 004 words it.
fn worded(mut event: EventBody) -> EventBody {
    if let EventBody::StepFailed { attempt, error, retry: Some(_), .. } = &mut event {
        error.message = format!("Attempt {attempt} failed: {}", error.message);
    }
    event
}

fn given_up(error: &dyn std::error::Error) -> RunEnd {
    RunEnd::GivenUp { reason: error.to_string() }
}
