//! What bounds an attempt whose process the supervisor does not watch for it alone: its time, a
//! cancel, and what it may use.

use std::pin::{Pin, pin};
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::watch;
use tokio::time::{Sleep, sleep};

use super::attempt::{Attempt, Ending};
use super::gauge::Gauge;
use super::process::{stopped, timed_out};
use crate::python::Capture;
use crate::supervisor::EndCause;

/// How long what was killed may take to say that it is gone.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// The time that an attempt has left, and whether its run is to stop.
pub(super) struct Bounds {
    timer: Pin<Box<Sleep>>,
    stop: watch::Receiver<bool>,
    timeout: Duration,
    cancel_grace: Duration,
    timeout_grace: Duration,
}

impl Bounds {
    /// The bounds of an attempt from now on.
    pub(super) fn new(attempt: &Attempt<'_>) -> Result<Self, Ending> {
        let settings = &attempt.worker.settings;
        Ok(Self {
            timer: Box::pin(sleep(attempt.time_left()?)),
            stop: attempt.stop.clone(),
            timeout: attempt.timeout(),
            cancel_grace: settings.cancel_grace,
            timeout_grace: settings.timeout_grace,
        })
    }

    /// Waits for `work`, which is dropped when the bounds are reached.
    pub(super) async fn within<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Ending> {
        tokio::select! {
            done = work => Ok(done),
            () = stopped(&mut self.stop) => Err(Ending::Canceled),
            () = &mut self.timer => Err(timed_out(self.timeout, String::new())),
        }
    }

    /// Waits for `work` while `capture` takes in its output. At the bounds it is asked to end by
    /// `signal`, then killed, and killed at once when it uses more than `gauge` allows; nothing is
    /// returned when even that did not end it.
    pub(super) async fn watch<T>(
        &mut self,
        work: impl Future<Output = T>,
        (capture, gauge): (&mut Capture, &mut Gauge),
        signal: impl Fn(Signal),
    ) -> (Option<T>, EndCause) {
        let mut work = pin!(work);
        let mut cause = EndCause::Itself;
        let mut is_killed = false;
        loop {
            let reached = tokio::select! {
                biased;
                done = &mut work => return (Some(done), cause),
                never = capture.pump() => match never {},
                () = stopped(&mut self.stop), if cause == EndCause::Itself => EndCause::Stopped,
                () = &mut self.timer => EndCause::TimedOut,
                excess = gauge.exceeded(), if !is_killed => EndCause::OverLimit(excess),
            };
            gauge.note_time();
            let wait = match cause {
                _ if matches!(reached, EndCause::OverLimit(_)) => {
                    if cause == EndCause::Itself {
                        cause = reached;
                    }
                    is_killed = true;
                    signal(Signal::KILL);
                    LAST_WAIT
                }
                EndCause::Itself => {
                    cause = reached;
                    signal(Signal::TERM);
                    let is_canceled = cause == EndCause::Stopped;
                    if is_canceled { self.cancel_grace } else { self.timeout_grace }
                }
                _ if is_killed => return (None, cause),
                _ => {
                    is_killed = true;
                    signal(Signal::KILL);
                    LAST_WAIT
                }
            };
            self.timer = Box::pin(sleep(wait));
        }
    }
}
