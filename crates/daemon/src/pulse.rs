//! The signs of life of a daemon's loops, and the loop that tells of them.
//!
//! Each loop beats when it gets around. What was heard is stored a few times in each time-to-live;
//! a loop that hangs, and a process that does, are seen by their silence.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use millstream_control::{Control, LoopSaid};
use tokio::sync::watch;

/// The loops of one daemon.
#[derive(Clone)]
pub(crate) struct Pulses {
    control: Control,
    heard: Arc<Mutex<BTreeMap<&'static str, Heard>>>,
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
        Self { control, heard: Arc::default(), frozen: None }
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
