//! Functions in a process that has imported their code and runs one step after another.

use std::pin::pin;
use std::time::Duration;

use millstream_host::{Confines, Expected, Handed, Loaded, StepOrder, Turn};
use millstream_model::Isolation;
use rustix::process::{Pid, Signal};
use tokio::sync::SemaphorePermit;

use super::attempt::{Attempt, Ending, Returned};
use super::bounds::Bounds;
use super::gauge::Gauge;
use super::python::{Call, broken, failed, lost, not_started};
use crate::Worker;
use crate::python::{Capture, Starting, Warm, end_of};
use crate::supervisor::{EndCause, cpu_time_of};

/// The next step of a process that took no longer than this for its last one is waited for awake.
const BRIEF: Duration = Duration::from_micros(250);

/// Runs the function of `call`. The process is of no further use unless the step came to its end.
pub(super) async fn run(attempt: &mut Attempt<'_>, call: &Call) -> Result<Returned, Ending> {
    let mut env = call.context.variables().clone();
    let mut speech = attempt.speech(call, &mut env)?;
    let mut capture = attempt.capture();
    let order = call.order(&env, Confines::default());
    // One that waits reads its order while the start is taken.
    let waiting = waiting(attempt.worker, call, &order)?;
    attempt.begin().await?;
    let mut bounds = Bounds::new(attempt)?;
    let Ready { _permit, warm, handed } = match waiting {
        Some(ready) => ready,
        None => get(attempt, call, &order, (&mut bounds, &mut capture)).await?,
    };
    let Warm { mut channel, mut process, outputs, used, expected } = warm;
    if let Some(outputs) = outputs {
        capture.attach(outputs);
    }
    let signal = |signal: Signal| {
        // The bounds kill when it is time to.
        process.stop(if signal == Signal::KILL { Duration::ZERO } else { Duration::MAX });
    };
    if let Some(tap) = speech.tapped() {
        capture.tap(tap);
    }
    let mut gauge = Gauge::of_turn(process.pid(), attempt.limits(), used);
    let begun = attempt.taken_so_far();
    let working = async {
        let work = channel.run(handed, expected);
        let ended = bounds.watch(work, (&mut capture, &mut gauge), signal).await;
        capture.finish();
        ended
    };
    let (turn, cause) = attempt.tidying(pin!(speech.follow(working))).await;
    let cpu_micros = turn.as_ref().and_then(|turn| Some(turn.as_ref().ok()?.cpu_micros));
    attempt.note_usage(cpu_micros, &gauge, &capture);
    let done = match (turn, cause) {
        (Some(Ok(Turn { outcome, all_micros, .. })), EndCause::Itself) => {
            if let outputs @ Some(_) = capture.detach() {
                let used = Duration::from_micros(all_micros);
                let took = attempt.taken_so_far().saturating_sub(begun);
                let expected = if took < BRIEF { Expected::Soon } else { Expected::Later };
                let warm = Warm { channel, process, outputs, used, expected };
                attempt.worker.python.warm.put(call.key.clone(), warm);
            }
            attempt.returned(outcome)
        }
        (Some(Err(_)), EndCause::Itself) => {
            let words = end_of(&mut process).await;
            capture.drain();
            Err(lost(&call.key.place, words))
        }
        (_, cause) => Err(attempt.ended(cause, (None, None), &capture)),
    };
    attempt.mind(&capture);
    let told = speech.told(&done, attempt.scratch);
    attempt.heed(told, done)
}

/// A process that was handed a step, and waits to begin it.
struct Ready<'a> {
    _permit: SemaphorePermit<'a>,
    warm: Warm,
    handed: Handed,
}

/// Hands `order` to a process that waits, if there is one.
fn waiting<'a>(
    worker: &'a Worker,
    call: &Call,
    order: &StepOrder<'_>,
) -> Result<Option<Ready<'a>>, Ending> {
    let Ok(permit) = worker.python.warm_busy.try_acquire() else { return Ok(None) };
    let Some(warm) = worker.python.warm.take(&call.key) else { return Ok(None) };
    handed(permit, warm, order).map(Some)
}

/// Hands `order` to a process, once there may be another one at work.
async fn get<'a>(
    attempt: &Attempt<'a>,
    call: &Call,
    order: &StepOrder<'_>,
    (bounds, capture): (&mut Bounds, &mut Capture),
) -> Result<Ready<'a>, Ending> {
    let python = &attempt.worker.python;
    let permit = bounds.within(python.warm_busy.acquire()).await?;
    let ended = || lost(&call.key.place, Ok("the worker ends".to_owned()));
    let permit = permit.map_err(|_| ended())?;
    let warm = match python.warm.take(&call.key) {
        Some(warm) => warm,
        None => bounds.within(start(attempt, call, capture)).await??,
    };
    handed(permit, warm, order)
}

fn handed<'a>(
    permit: SemaphorePermit<'a>,
    mut warm: Warm,
    order: &StepOrder<'_>,
) -> Result<Ready<'a>, Ending> {
    let handed = warm.channel.hand(order).map_err(|error| broken(&error))?;
    Ok(Ready { _permit: permit, warm, handed })
}

/// A new process that has imported the code.
async fn start(attempt: &Attempt<'_>, call: &Call, capture: &mut Capture) -> Result<Warm, Ending> {
    let starting = attempt.worker.start_python(&call.key, Isolation::Warm, capture).await;
    let Starting { mut channel, mut process } = starting.map_err(|error| not_started(&error))?;
    let loaded = tokio::select! {
        loaded = channel.loaded() => loaded,
        never = capture.pump() => match never {},
    };
    capture.drain();
    match loaded {
        Ok(Loaded::Ready { .. }) => {
            let used = Pid::from_raw(process.pid()).map(cpu_time_of).unwrap_or_default();
            Ok(Warm { channel, process, outputs: None, used, expected: Expected::Later })
        }
        Ok(Loaded::Failed(failure)) => Err(failed(failure)),
        Err(_) => Err(lost(&call.key.place, end_of(&mut process).await)),
    }
}
