//! The processes that wait for steps: how many, for whom, and which goes when there are too many.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use millstream_host::{Channel, Expected, Fork, Forks, Outputs};

use super::HostKey;
use super::start::end_of;
use crate::supervisor::{Process, SupervisorLost};

/// The most processes of each kind that wait for steps.
const WAITING_MAX: usize = 16;

/// The processes that fork.
#[derive(Debug, Default)]
pub(crate) struct ForkPool(Mutex<BTreeMap<HostKey, Arc<Slot>>>);

/// The place of one process that forks.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    /// Whoever holds it starts the process, and the others wait.
    pub(crate) host: tokio::sync::Mutex<Option<ForkHost>>,
    was_used: AtomicBool,
}

/// What became of a process that was to fork.
#[derive(Debug, Clone)]
pub(crate) enum ForkHost {
    /// It forks.
    Ready(Arc<Forker>),
    /// Its imports have started these threads, so nothing may fork from it.
    Threads(Arc<[String]>),
}

/// A process that forks.
#[derive(Debug)]
pub(crate) struct Forker {
    pub(crate) forks: Forks,
    process: tokio::sync::Mutex<Process>,
}

impl Forker {
    pub(crate) fn new(channel: Channel, process: Process) -> Self {
        Self { forks: Forks::new(channel), process: tokio::sync::Mutex::new(process) }
    }

    /// How it ended, once it has.
    pub(crate) async fn last_words(&self) -> Result<String, SupervisorLost> {
        end_of(&mut *self.process.lock().await).await
    }
}

impl ForkPool {
    /// The place for `key`.
    pub(crate) fn slot(&self, key: &HostKey) -> Arc<Slot> {
        let mut slots = lock(&self.0);
        if !slots.contains_key(key) && slots.len() >= WAITING_MAX {
            let idle = |(_, slot): &(&HostKey, &Arc<Slot>)| slot.is_idle();
            let by_use = |(_, slot): &(&HostKey, &Arc<Slot>)| slot.was_used.load(Ordering::Relaxed);
            let least = slots.iter().filter(idle).min_by_key(by_use).map(|(key, _)| key.clone());
            least.and_then(|key| slots.remove(&key));
        }
        let slot = slots.entry(key.clone()).or_default();
        slot.was_used.store(true, Ordering::Relaxed);
        Arc::clone(slot)
    }

    /// Ends what was not used since the last time.
    pub(super) fn sweep(&self) {
        lock(&self.0)
            .retain(|_, slot| slot.was_used.swap(false, Ordering::Relaxed) || !slot.is_idle());
    }
}

impl Slot {
    /// The fork that waits here for a step, if nobody holds the place.
    pub(crate) fn spare(&self) -> Option<(Arc<Forker>, Fork)> {
        match self.host.try_lock().ok()?.as_ref()? {
            ForkHost::Ready(forker) => Some((Arc::clone(forker), forker.forks.take_spare()?)),
            ForkHost::Threads(_) => None,
        }
    }

    /// Whether neither a step nor another that waits for its process holds it.
    fn is_idle(self: &Arc<Self>) -> bool {
        let is_free = |host: &Option<ForkHost>| match host {
            Some(ForkHost::Ready(forker)) => Arc::strong_count(forker) == 1,
            _ => true,
        };
        Arc::strong_count(self) == 1 && self.host.try_lock().is_ok_and(|host| is_free(&host))
    }
}

/// A warm process between two steps.
#[derive(Debug)]
pub(crate) struct Warm {
    pub(crate) channel: Channel,
    pub(crate) process: Process,
    /// The pipes that it keeps writing to, whichever step runs.
    pub(crate) outputs: Option<Outputs>,
    /// The processor time that it has used until its last step ended.
    pub(crate) used: Duration,
    /// When its next answer is expected, by the step that it has run last.
    pub(crate) expected: Expected,
}

/// The warm processes that wait for a step.
#[derive(Debug, Default)]
pub(crate) struct WarmPool(Mutex<Vec<Waiting>>);

#[derive(Debug)]
struct Waiting {
    key: HostKey,
    warm: Warm,
    was_used: bool,
}

impl WarmPool {
    /// A process for `key` that waits; nobody else gets it.
    pub(crate) fn take(&self, key: &HostKey) -> Option<Warm> {
        let mut waiting = lock(&self.0);
        let place = waiting.iter().rposition(|waiting| waiting.key == *key)?;
        Some(waiting.remove(place).warm)
    }

    /// Lets a process wait; the one that has waited longest goes when there are too many.
    pub(crate) fn put(&self, key: HostKey, warm: Warm) {
        let mut waiting = lock(&self.0);
        waiting.push(Waiting { key, warm, was_used: true });
        if waiting.len() > WAITING_MAX {
            waiting.remove(0);
        }
    }

    /// Ends what was not used since the last time.
    pub(super) fn sweep(&self) {
        lock(&self.0).retain_mut(|waiting| std::mem::take(&mut waiting.was_used));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
