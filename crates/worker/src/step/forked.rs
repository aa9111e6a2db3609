//! Functions in forks of a process that has imported their code.

use std::pin::pin;
use std::sync::Arc;

use millstream_host::{Fork, Loaded, Signaler};
use millstream_model::Isolation;
use rustix::process::Signal;

use super::attempt::{Attempt, Ending, Returned};
use super::bounds::Bounds;
use super::gauge::{Gauge, Leader};
use super::python::{Call, broken, cold, failed, lost, not_started};
use crate::python::{Capture, ForkHost, Forker, Slot, Starting, end_of};
use crate::supervisor::EndCause;

/// Kills a fork that nobody waits for any more.
struct KillOnDrop(Option<Signaler>);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if let Some(signaler) = self.0.take() {
            // A host that is gone has taken its forks along.
            signaler.signal(Signal::KILL.as_raw()).ok();
        }
    }
}

/// Runs the function of `call`.
pub(super) async fn run(attempt: &mut Attempt<'_>, call: &Call) -> Result<Returned, Ending> {
    let mut env = call.context.variables().clone();
    let mut speech = attempt.speech(call, &mut env)?;
    let mut capture = attempt.capture();
    let limits = attempt.limits();
    let order = call.order(&env, attempt.confines(&limits));
    let hand = |fork: &Fork| fork.step.hand(&order).map_err(|error| broken(&error));
    let slot = attempt.worker.python.forks.slot(&call.key);
    // One that waits reads its order while the start is taken.
    let ready = match slot.spare() {
        Some((forker, fork)) => Some((hand(&fork)?, forker, fork)),
        None => None,
    };
    attempt.begin().await?;
    let mut bounds = Bounds::new(attempt)?;
    let ready = ready.and_then(|(handed, forker, mut fork)| {
        fork.step.is_waiting().then_some((handed, forker, fork))
    });
    let (handed, forker, fork) = match ready {
        Some(ready) => ready,
        None => match bounds.within(fork(attempt, call, &slot, &mut capture)).await?? {
            Found::Fork(forker, fork) => (hand(&fork)?, forker, fork),
            Found::Threads(threads) => {
                note_threads(&mut capture, &call.key.place, &threads);
                // The process writes to the same logs.
                drop(capture);
                drop(speech);
                return cold(attempt, call).await;
            }
        },
    };
    let Fork { outputs, step, signaler } = fork;
    capture.attach(outputs);
    let mut kill = KillOnDrop(Some(signaler.clone()));
    if let Some(tap) = speech.tapped() {
        capture.tap(tap);
    }
    let signal = |signal: Signal| _ = signaler.signal(signal.as_raw());
    let leader = Leader::default();
    let mut gauge = Gauge::of_fork(leader.clone(), limits);
    let working = async {
        let work = step.run(handed, |pid| leader.is(pid));
        // Where the next step's fork is not made yet, it is while this one runs.
        let work = async { tokio::join!(work, forker.forks.prepare()).0 };
        let ended = bounds.watch(work, (&mut capture, &mut gauge), signal).await;
        capture.finish();
        ended
    };
    let (end, cause) = attempt.tidying(pin!(speech.follow(working))).await;
    attempt.mind(&capture);
    let cpu_micros = end.as_ref().and_then(|end| Some(end.as_ref().ok()?.cpu_micros));
    attempt.note_usage(cpu_micros, &gauge, &capture);
    let done = if let Some(Ok(end)) = end {
        kill.0 = None;
        attempt.judge_fork(end, cause, &capture)
    } else {
        forget(&slot, &forker).await;
        match cause {
            EndCause::Itself => Err(lost(&call.key.place, forker.last_words().await)),
            cause => Err(attempt.ended(cause, (None, None), &capture)),
        }
    };
    let told = speech.told(&done, attempt.scratch);
    attempt.heed(told, done)
}

fn note_threads(capture: &mut Capture, place: &str, threads: &[String]) {
    let count = threads.len();
    capture.note(&format!(
        "{place} is not forked, because importing it has started {count} thread(s): {}; \
         this step runs in a process of its own",
        threads.join(", ")
    ));
}

/// What a step that is to be forked comes upon.
enum Found {
    Fork(Arc<Forker>, Fork),
    Threads(Arc<[String]>),
}

/// Forks, from a new process if there is none or if it turns out to be gone.
async fn fork(
    attempt: &Attempt<'_>,
    call: &Call,
    slot: &Slot,
    capture: &mut Capture,
) -> Result<Found, Ending> {
    let forker = match host(attempt, call, slot, capture).await? {
        ForkHost::Threads(threads) => return Ok(Found::Threads(threads)),
        ForkHost::Ready(forker) => forker,
    };
    if let Ok(fork) = forker.forks.take().await {
        return Ok(Found::Fork(forker, fork));
    }
    forget(slot, &forker).await;
    match host(attempt, call, slot, capture).await? {
        ForkHost::Threads(threads) => Ok(Found::Threads(threads)),
        ForkHost::Ready(forker) => {
            let fork = forker.forks.take().await.map_err(|error| broken(&error))?;
            Ok(Found::Fork(forker, fork))
        }
    }
}

/// The process that forks for this call, started if need be.
async fn host(
    attempt: &Attempt<'_>,
    call: &Call,
    slot: &Slot,
    capture: &mut Capture,
) -> Result<ForkHost, Ending> {
    let mut host = slot.host.lock().await;
    if let Some(host) = &*host {
        return Ok(host.clone());
    }
    let starting = attempt.worker.start_python(&call.key, Isolation::Fork, capture).await;
    let Starting { mut channel, mut process } = starting.map_err(|error| not_started(&error))?;
    let loaded = tokio::select! {
        loaded = channel.loaded() => loaded,
        never = capture.pump() => match never {},
    };
    capture.drain();
    let new = match loaded {
        Ok(Loaded::Failed(failure)) => return Err(failed(failure)),
        Ok(Loaded::Ready { threads }) if threads.is_empty() => {
            ForkHost::Ready(Arc::new(Forker::new(channel, process)))
        }
        Ok(Loaded::Ready { threads }) => ForkHost::Threads(threads.into()),
        Err(_) => {
            let words = end_of(&mut process).await;
            return Err(lost(&call.key.place, words));
        }
    };
    Ok(host.insert(new).clone())
}

/// Lets the next step start a new process, unless another has done so.
async fn forget(slot: &Slot, forker: &Arc<Forker>) {
    let mut host = slot.host.lock().await;
    if matches!(&*host, Some(ForkHost::Ready(current)) if Arc::ptr_eq(current, forker)) {
        *host = None;
    }
}
