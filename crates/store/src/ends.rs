//! Saying that a run is over to those who wait for that run, and to nobody else of this process.
//! What another process commits is announced without names, and everybody looks.
//!
//! The store tells after the commit that takes the run out of the live ones. Whoever waits watches
//! first and looks then, so that no end is missed in between.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millstream_model::RunId;
use tokio::sync::watch;

/// The runs whose ends are waited for; clones are the same ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ends(Arc<Mutex<HashMap<RunId, watch::Sender<()>>>>);

impl Ends {
    /// Watches the end of `run`.
    pub(crate) fn of(&self, run: RunId) -> RunWatch {
        let told = self.lock().entry(run).or_insert_with(|| watch::Sender::new(())).subscribe();
        RunWatch { told: Some(told), ends: self.clone(), run }
    }

    /// These runs are over.
    pub(crate) fn tell(&self, runs: &[RunId]) {
        if runs.is_empty() {
            return;
        }
        let mut waited_for = self.lock();
        for run in runs {
            // Those who wait hear that nobody will say anything more.
            waited_for.remove(run);
        }
    }

    /// Any run may be over, for all that is known.
    pub(crate) fn tell_all(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, watch::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who waits for the end of a run.
#[derive(Debug)]
pub struct RunWatch {
    /// Nothing only while this is dropped.
    told: Option<watch::Receiver<()>>,
    ends: Ends,
    run: RunId,
}

impl RunWatch {
    /// Waits until the run is over, or may be: then look, with a new watch.
    pub async fn over(mut self) {
        if let Some(told) = &mut self.told {
            // Nothing is ever sent: the sender goes.
            told.changed().await.ok();
        }
    }
}

impl Drop for RunWatch {
    fn drop(&mut self) {
        let mut waited_for = self.ends.lock();
        // While the ends are held, so that of two who go at once the second sees that it is last.
        drop(self.told.take());
        if waited_for.get(&self.run).is_some_and(|told| told.receiver_count() == 0) {
            waited_for.remove(&self.run);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future as _, poll_fn};
    use std::task::Poll;

    use millstream_model::Timestamp;

    use super::*;

    fn run(number: u8) -> RunId {
        RunId::new(Timestamp::from_micros(1), [number; 10])
    }

    #[tokio::test]
    async fn the_end_of_a_run_wakes_those_who_wait_for_it_and_nobody_else() {
        let ends = Ends::default();
        let mut waiting: Vec<_> =
            [1, 1, 2].map(|number| Box::pin(ends.of(run(number)).over())).into_iter().collect();
        ends.tell(&[run(1), run(3)]);
        let mut woken = Vec::new();
        for one in &mut waiting {
            let looked = poll_fn(|context| Poll::Ready(one.as_mut().poll(context))).await;
            woken.push(looked.is_ready());
        }
        assert_eq!(woken, [true, true, false]);
        ends.tell_all();
        waiting.remove(2).await;
        assert!(ends.lock().is_empty());
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_forgotten() {
        let ends = Ends::default();
        let (first, second) = (ends.of(run(1)), ends.of(run(1)));
        drop(first);
        assert_eq!(ends.lock().len(), 1);
        drop(second);
        assert!(ends.lock().is_empty());
    }
}
