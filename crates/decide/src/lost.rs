//! Which runs have lost their worker, and what becomes of them.
//!
//! A worker raises its run's beat with every report. A run whose beat this daemon has seen
//! unchanged for the time-to-live, on the daemon's own clock, has lost its worker.
//!
//! **Invariant.** A run that nobody has watched for the time-to-live is never called lost, so a
//! daemon that was away, or a database that was, causes no mass loss on its return.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_model::{RunId, RunStatus, TenantId};

/// A run in progress as this decision sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunInProgress {
    /// The tenant.
    pub tenant: TenantId,
    /// The run.
    pub run: RunId,
    /// Its status.
    pub status: RunStatus,
    /// The epoch of its worker.
    pub epoch: i64,
    /// The worker's sign of life.
    pub beat: i64,
}

/// The limits of patience.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How long a beat may stand still.
    pub time_to_live: Duration,
    /// How often a run is given to a worker before its losses are its failure.
    pub launches_max: u32,
}

/// What becomes of a run whose worker is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LostRun {
    /// It goes back to the queue; the next worker continues where this one stopped.
    Requeue {
        /// What was seen, for people.
        reason: String,
    },
    /// It fails: it has lost as many workers as it may.
    Fail {
        /// What was seen, for people.
        reason: String,
    },
    /// A cancel was under way, and now nothing runs any more.
    Cancel {
        /// What was seen, for people.
        reason: String,
    },
}

/// What one daemon remembers of the runs in progress between its passes.
#[derive(Debug, Clone, Default)]
pub struct BeatWatch {
    seen: BTreeMap<(RunId, i64), (i64, Duration)>,
    last_pass: Option<Duration>,
}

impl BeatWatch {
    /// The runs among `runs`, which must be all in progress, that have lost their worker.
    pub fn lost(
        &mut self,
        runs: &[RunInProgress],
        elapsed: Duration,
        patience: Patience,
    ) -> Vec<(RunInProgress, LostRun)> {
        // After a pause longer than the patience itself the old sightings prove nothing.
        let away = self
            .last_pass
            .is_some_and(|last| elapsed.saturating_sub(last) >= patience.time_to_live);
        if away {
            self.seen.clear();
        }
        self.last_pass = Some(elapsed);

        let before = std::mem::take(&mut self.seen);
        let mut lost = Vec::new();
        for run in runs {
            let key = (run.run, run.epoch);
            let since = match before.get(&key) {
                Some((beat, since)) if *beat == run.beat => *since,
                _ => elapsed,
            };
            if elapsed.saturating_sub(since) >= patience.time_to_live {
                lost.push((run.clone(), verdict(run, patience)));
            } else {
                self.seen.insert(key, (run.beat, since));
            }
        }
        lost
    }
}

fn verdict(run: &RunInProgress, patience: Patience) -> LostRun {
    let seconds = patience.time_to_live.as_secs_f64();
    let reason = format!("its worker has given no sign of life for {seconds} s");
    if run.status == RunStatus::Canceling {
        return LostRun::Cancel { reason };
    }
    if run.epoch >= i64::from(patience.launches_max) {
        let reason = format!(
            "{reason}, and this was worker {} of at most {}",
            run.epoch, patience.launches_max
        );
        return LostRun::Fail { reason };
    }
    LostRun::Requeue { reason }
}

#[cfg(test)]
mod tests {
    use millstream_model::Timestamp;

    use super::*;

    const PATIENCE: Patience = Patience { time_to_live: Duration::from_secs(15), launches_max: 3 };

    fn run(epoch: i64, beat: i64) -> RunInProgress {
        RunInProgress {
            tenant: TenantId::default_tenant(),
            run: RunId::new(Timestamp::from_micros(0), [1; 10]),
            status: RunStatus::Started,
            epoch,
            beat,
        }
    }

    fn lost(watch: &mut BeatWatch, run: &RunInProgress, seconds: u64) -> Option<LostRun> {
        let found = watch.lost(std::slice::from_ref(run), Duration::from_secs(seconds), PATIENCE);
        found.into_iter().next().map(|(_, verdict)| verdict)
    }

    #[test]
    fn r197_a_run_goes_back_to_the_queue_once_its_beat_has_stood_still() {
        let mut watch = BeatWatch::default();
        assert_eq!(lost(&mut watch, &run(1, 5), 0), None);
        assert_eq!(lost(&mut watch, &run(1, 5), 10), None);
        assert!(matches!(lost(&mut watch, &run(1, 5), 15), Some(LostRun::Requeue { .. })));
    }

    #[test]
    fn a_raised_beat_or_a_new_worker_starts_the_watch_again() {
        let mut watch = BeatWatch::default();
        assert_eq!(lost(&mut watch, &run(1, 5), 0), None);
        assert_eq!(lost(&mut watch, &run(1, 6), 14), None);
        assert_eq!(lost(&mut watch, &run(2, 6), 28), None);
        assert_eq!(lost(&mut watch, &run(2, 6), 42), None);
        assert!(lost(&mut watch, &run(2, 6), 43).is_some());
    }

    #[test]
    fn a_daemon_that_was_away_calls_nothing_lost_on_its_return() {
        let mut watch = BeatWatch::default();
        assert_eq!(lost(&mut watch, &run(1, 5), 0), None);
        assert_eq!(lost(&mut watch, &run(1, 5), 600), None);
        assert!(lost(&mut watch, &run(1, 5), 614).is_none());
    }

    #[test]
    fn r197_the_last_allowed_loss_is_the_runs_failure_and_a_cancel_is_finished() {
        let mut watch = BeatWatch::default();
        assert_eq!(lost(&mut watch, &run(3, 0), 0), None);
        assert_eq!(lost(&mut watch, &run(3, 0), 10), None);
        assert!(matches!(lost(&mut watch, &run(3, 0), 20), Some(LostRun::Fail { .. })));

        let canceling = RunInProgress { status: RunStatus::Canceling, ..run(1, 0) };
        assert_eq!(lost(&mut watch, &canceling, 30), None);
        assert_eq!(lost(&mut watch, &canceling, 40), None);
        assert!(matches!(lost(&mut watch, &canceling, 45), Some(LostRun::Cancel { .. })));
    }
}
