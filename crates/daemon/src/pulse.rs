//! The signs of life of a daemon's loops, and the loop that tells of them.
//!
//! Each loop beats when it gets around. What was heard is stored a few times in each time-to-live;
//! a loop that hangs, and a process that does, are seen by their silence. With each such round the
//! loops look at their work again, so that an idle daemon wakes once for all of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use millstream_control::{Control, LoopSaid};
use millstream_model::Clock;
use tokio::sync::watch;

/// The loops of one daemon.
#[derive(Clone)]
pub(crate) struct Pulses {
    control: Control,
    heard: Arc<Mutex<BTreeMap<&'static str, Heard>>>,
    rounds: watch::Sender<()>,
    /// The loop that a test has stand still.
    frozen: Option<Arc<str>>,
}

#[derive(Debug, Clone, Copy)]
struct Heard {
    silence_max: Duration,
    /// When, on the process's own clock.
    at: Duration,
}

impl Pulses {
    /// No loop is heard of yet.
    pub(crate) fn new(control: Control) -> Self {
        Self { control, heard: Arc::default(), rounds: watch::Sender::new(()), frozen: None }
    }

    /// The same, of which one loop never gets around.
    pub(crate) fn freezing(self, name: &str) -> Self {
        Self { frozen: Some(name.into()), ..self }
    }

    fn now(&self) -> Duration {
        self.control.seams().clock.elapsed()
    }

    /// The loop `name`, which may be silent for `silence_max`, is heard of from now on.
    pub(crate) fn expect(&self, name: &'static str, silence_max: Duration) {
        let at = self.now();
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.insert(name, Heard { silence_max, at });
    }

    /// The loop `name` gets around.
    pub(crate) async fn beat(&self, name: &'static str) {
        if self.frozen.as_deref() == Some(name) {
            std::future::pending::<()>().await;
        }
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(heard) = heard.get_mut(name) {
            heard.at = self.now();
        }
    }

    /// The rounds from now on.
    pub(crate) fn rounds(&self) -> Rounds {
        Rounds(self.rounds.subscribe())
    }

    /// Waits for what wakes a loop; when that comes soon, until `least` from now.
    pub(crate) async fn rest(&self, least: Duration, wake: impl Future<Output = ()>) {
        rest(&*self.control.seams().clock, least, wake).await;
    }

    fn said(&self) -> Vec<LoopSaid> {
        let now = self.now();
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let said = |(name, heard): (&&'static str, &Heard)| LoopSaid {
            name,
            silence_max: heard.silence_max,
            silent_for: now.saturating_sub(heard.at),
        };
        heard.iter().map(said).collect()
    }

    /// Tells of the loops until the daemon ends.
    pub(crate) async fn tell(
        self,
        daemon: String,
        every: Duration,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut has_begun = false;
        loop {
            let told = if has_begun {
                self.control.keep_loops(&daemon, &self.said()).await
            } else {
                self.control.begin_loops(&daemon, &self.said()).await
            };
            match told {
                Ok(()) => has_begun = true,
                Err(error) => {
                    tracing::warn!(%error, "the daemon's signs of life could not be stored");
                }
            }
            self.rounds.send_replace(());
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                () = tokio::time::sleep(every) => {}
            }
        }
        if let Err(error) = self.control.end_loops(&daemon).await {
            tracing::debug!(%error, "the daemon stays listed for a while");
        }
    }
}

/// The rounds of a daemon, as one of its loops waits for them.
pub(crate) struct Rounds(watch::Receiver<()>);

impl Rounds {
    /// A pass begins: it does what the rounds until now were for.
    pub(crate) fn mark_seen(&mut self) {
        self.0.mark_unchanged();
    }

    /// Waits for the next round, or less, until something is due.
    pub(crate) async fn next(&mut self, due: Option<Duration>) {
        match due {
            Some(due) => drop(tokio::time::timeout(due, self.0.changed()).await),
            None => drop(self.0.changed().await),
        }
    }
}

/// Waits for what wakes a loop; when that comes soon, until `least` from now.
async fn rest(clock: &dyn Clock, least: Duration, wake: impl Future<Output = ()>) {
    let began = clock.elapsed();
    wake.await;
    let rested = clock.elapsed().saturating_sub(began);
    if rested < least {
        tokio::time::sleep(least.saturating_sub(rested)).await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use millstream_testkit::time::FakeClock;

    use super::*;

    const LONG: Duration = Duration::from_hours(1);

    #[tokio::test]
    async fn a_loop_rests_when_its_wake_comes_soon_and_does_not_when_that_comes_late() {
        let clock = FakeClock::default();
        assert_eq!(rest(&clock, LONG, std::future::ready(())).now_or_never(), None);
        let late = async { clock.advance(LONG) };
        assert_eq!(rest(&clock, LONG, late).now_or_never(), Some(()));
    }

    #[tokio::test]
    async fn a_round_wakes_who_has_not_seen_it_and_so_does_what_is_due() {
        let (sender, receiver) = watch::channel(());
        let mut rounds = Rounds(receiver);
        sender.send_replace(());
        assert_eq!(rounds.next(None).now_or_never(), Some(()));
        sender.send_replace(());
        rounds.mark_seen();
        assert_eq!(rounds.next(None).now_or_never(), None, "its pass has seen that round");
        rounds.next(Some(Duration::from_millis(1))).await;
    }
}
