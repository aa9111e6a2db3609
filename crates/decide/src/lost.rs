//! Which runs have lost their worker or taken too long, and what becomes of them.
//!
//! A worker raises its run's beat with every report. A run whose beat this daemon has seen
//! unchanged for the time-to-live, on the daemon's own clock, has lost its worker. What counts as
//! too long is [`crate::overdue`]'s.
//!
//! **Invariant.** A run that nobody has watched for the time-to-live is never called lost, so a
//! daemon that was away, or a database that was, causes no mass loss on its return.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_model::{FailureCause, RunEvent, RunId, RunStatus, TenantId, Timestamp};

use crate::overdue::{Seen, overdue, silence_max, silent};

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
    /// How many workers it was given, without those that have handed it back in order.
    pub launches: i64,
    /// The worker's sign of life; 0 until its first.
    pub beat: i64,
    /// How long it may run, where its job says so.
    pub timeout: Option<Duration>,
    /// Whether it waits for slots of pools and does nothing else that needs any.
    pub waits_for_slots: bool,
}

/// The limits of patience.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How long a beat may stand still.
    pub time_to_live: Duration,
    /// How long a worker may take to its first sign of life.
    pub start: Duration,
    /// How long a worker may take to stop a run that is to be canceled.
    pub cancel: Duration,
    /// How long a run may go on where its job does not say; for ever when absent.
    pub run: Option<Duration>,
    /// How often a run is given to a worker before its losses are its failure.
    pub launches_max: u32,
}

/// How long a worker may take to stop a run; longer than any grace of its steps.
const CANCEL: Duration = Duration::from_mins(5);

impl Patience {
    /// The patience of workers on this machine, which start at once or never.
    pub const fn new(time_to_live: Duration, launches_max: u32) -> Self {
        Self { time_to_live, start: time_to_live, cancel: CANCEL, run: None, launches_max }
    }

    /// How often a daemon looks at the runs in progress.
    pub fn look_every(&self) -> Duration {
        (self.time_to_live / 3).min(LOOK_MAX)
    }
}

/// The longest time between two looks at runs that may have taken too long.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// What becomes of a run whose worker is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LostRun {
    /// It goes back to the queue; the next worker continues where this one stopped.
    Requeue {
        /// What was seen, for people.
        reason: String,
    },
    /// It fails: it has lost as many workers as it may, or has gone on for too long.
    Fail {
        /// What was seen, for people.
        reason: String,
        /// What that is for those who decide what follows.
        cause: FailureCause,
    },
    /// A cancel was under way, and now nothing runs any more.
    Cancel {
        /// What was seen, for people.
        reason: String,
    },
    /// It goes back to the queue, and has lost nothing: its worker was stopped in order.
    HandBack {
        /// Why the worker was stopped, for people.
        reason: String,
    },
}

impl LostRun {
    /// What becomes of a run in `status` whose worker was stopped in order for `reason`; nothing,
    /// where no worker has it.
    pub fn handed_back(status: RunStatus, reason: String) -> Option<Self> {
        match status.after(RunEvent::WorkerLost).ok()? {
            RunStatus::Queued => Some(Self::HandBack { reason }),
            _ => Some(Self::Cancel { reason }),
        }
    }
}

/// What one daemon remembers of the runs in progress between its passes.
#[derive(Debug, Clone, Default)]
pub struct BeatWatch {
    seen: BTreeMap<(RunId, i64), Sighting>,
    last_pass: Option<Duration>,
}

/// One run as last seen, with the times since which nothing of it has changed.
#[derive(Debug, Clone, Copy)]
struct Sighting {
    beat: i64,
    beat_since: Duration,
    status: RunStatus,
    status_since: Duration,
    /// Whether it waited for slots, and for how long it has been seen to in this status.
    waits: bool,
    waited: Duration,
}

impl BeatWatch {
    /// The runs among `runs`, which must be all in progress, that have lost their worker
    /// or taken too long.
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
            for sighting in self.seen.values_mut() {
                sighting.beat_since = elapsed;
            }
        }
        let since_last = elapsed.saturating_sub(self.last_pass.unwrap_or(elapsed));
        self.last_pass = Some(elapsed);

        let before = std::mem::take(&mut self.seen);
        let mut lost = Vec::new();
        for run in runs {
            let key = (run.run, run.epoch);
            let sighting = sighting(run, before.get(&key), (elapsed, since_last));
            let seen = Seen {
                silent: elapsed.saturating_sub(sighting.beat_since),
                in_status: elapsed.saturating_sub(sighting.status_since),
                waited: sighting.waited,
            };
            match overdue(run, seen, &patience) {
                Some(verdict) => lost.push((run.clone(), verdict)),
                None => {
                    self.seen.insert(key, sighting);
                }
            }
        }
        lost
    }
}

/// A worker that has given no sign of life for a while, on the clock of the daemon that watches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SilentWorker {
    /// The epoch that it has.
    pub epoch: i64,
    /// Since when it is silent, as far as that daemon has watched.
    pub since: Duration,
    /// When it is found to be lost at the latest, if it stays so.
    pub until: Duration,
    /// What becomes of the run then.
    pub verdict: LostRun,
}

impl SilentWorker {
    /// The same in words; `now` and `elapsed` are of the same moment.
    pub fn in_words(&self, now: Timestamp, elapsed: Duration) -> String {
        let since = now.before(elapsed.saturating_sub(self.since));
        let until = now.after(self.until.saturating_sub(elapsed));
        let then = match self.verdict {
            LostRun::Requeue { .. } | LostRun::HandBack { .. } => "another goes on with the run",
            LostRun::Fail { .. } => "the run fails",
            LostRun::Cancel { .. } => "the run is canceled",
        };
        format!(
            "its worker has given no sign of life since {since}: if it stays silent, it counts as \
             lost by {until} at the latest, and {then}"
        )
    }
}

impl BeatWatch {
    /// The workers among those of `runs` that were silent for more than half of the time for which
    /// they may be at the last look, which was at `elapsed`. A worker that lives is heard of more
    /// often; one that starts may take as long as it may.
    pub fn silent(
        &self,
        runs: &[RunInProgress],
        elapsed: Duration,
        patience: &Patience,
    ) -> BTreeMap<RunId, SilentWorker> {
        let of_run = |run: &RunInProgress| {
            let sighting = self.seen.get(&(run.run, run.epoch))?;
            let since = sighting.beat_since;
            let silence_max = silence_max(run, patience);
            if elapsed.saturating_sub(since) <= silence_max / 2 {
                return None;
            }
            let mut until = since + silence_max;
            if run.status == RunStatus::Canceling {
                until = until.min(sighting.status_since + patience.cancel);
            }
            let until = until + patience.look_every();
            let verdict = silent(run, patience);
            Some((run.run, SilentWorker { epoch: run.epoch, since, until, verdict }))
        };
        runs.iter().filter_map(of_run).collect()
    }
}

fn sighting(
    run: &RunInProgress,
    before: Option<&Sighting>,
    (elapsed, since_last): (Duration, Duration),
) -> Sighting {
    let beat_since = before.filter(|old| old.beat == run.beat).map(|old| old.beat_since);
    let same_status = before.filter(|old| old.status == run.status);
    let status_since = same_status.map(|old| old.status_since);
    // What happened between two looks is not known; a run that waited at both has waited between.
    let waited = same_status.map_or(Duration::ZERO, |old| {
        if old.waits && run.waits_for_slots { old.waited + since_last } else { old.waited }
    });
    Sighting {
        beat: run.beat,
        beat_since: beat_since.unwrap_or(elapsed),
        status: run.status,
        status_since: status_since.unwrap_or(elapsed),
        waits: run.waits_for_slots,
        waited,
    }
}

#[cfg(test)]
mod tests {
    use millstream_model::Timestamp;

    use super::*;

    const PATIENCE: Patience = Patience::new(Duration::from_secs(15), 3);

    fn run(epoch: i64, beat: i64) -> RunInProgress {
        RunInProgress {
            tenant: TenantId::default_tenant(),
            run: RunId::new(Timestamp::from_micros(0), [1; 10]),
            status: RunStatus::Started,
            epoch,
            launches: epoch,
            beat,
            timeout: None,
            waits_for_slots: false,
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
    fn a_worker_that_is_silent_for_half_of_its_time_is_told_of_with_what_follows_and_when() {
        let second = |at: i64| Timestamp::from_micros(at * 1_000_000);
        let said = |run: &RunInProgress, patience: Patience, seconds: u64| {
            let (runs, mut watch) = (std::slice::from_ref(run), BeatWatch::default());
            for at in 0..=seconds {
                assert_eq!(watch.lost(runs, Duration::from_secs(at), patience), []);
            }
            let elapsed = Duration::from_secs(seconds);
            let silent = watch.silent(runs, elapsed, &patience).remove(&run.run)?;
            assert_eq!(silent.epoch, run.epoch);
            Some(silent.in_words(second(100 + i64::try_from(seconds).unwrap()), elapsed))
        };
        let words = |until: i64, then: &str| {
            let (since, until) = (second(100), second(100 + until));
            Some(format!(
                "its worker has given no sign of life since {since}: if it stays silent, it counts \
                 as lost by {until} at the latest, and {then}"
            ))
        };
        assert_eq!(said(&run(1, 5), PATIENCE, 7), None);
        let again = "another goes on with the run";
        assert_eq!(said(&run(1, 5), PATIENCE, 8), words(16, again));
        assert_eq!(said(&run(1, 5), PATIENCE, 14), words(16, again));
        assert_eq!(said(&run(3, 5), PATIENCE, 8), words(16, "the run fails"));
        let canceling = RunInProgress { status: RunStatus::Canceling, ..run(1, 5) };
        assert_eq!(said(&canceling, PATIENCE, 8), words(16, "the run is canceled"));
        let cancel = Duration::from_secs(9);
        let soon = Patience { cancel, ..PATIENCE };
        assert_eq!(said(&canceling, soon, 8), words(10, "the run is canceled"));
        let slow = Patience { start: Duration::from_mins(1), ..PATIENCE };
        assert_eq!(said(&run(1, 0), slow, 30), None, "it may start as slowly");
        assert_eq!(said(&run(1, 0), slow, 31), words(61, again));
        assert_eq!(said(&run(1, 5), slow, 8), words(16, again), "it has started");
    }

    #[test]
    fn a_daemon_that_was_away_calls_nothing_lost_on_its_return() {
        let mut watch = BeatWatch::default();
        assert_eq!(lost(&mut watch, &run(1, 5), 0), None);
        assert_eq!(lost(&mut watch, &run(1, 5), 600), None);
        assert!(lost(&mut watch, &run(1, 5), 614).is_none());
    }

    #[test]
    fn the_time_for_which_a_run_waits_for_slots_is_not_its_timeouts() {
        let patience = Patience { run: Some(Duration::from_mins(1)), ..PATIENCE };
        let mut watch = BeatWatch::default();
        let mut look = |seconds: u64, waits_for_slots: bool| {
            let beat = i64::try_from(seconds).unwrap();
            let run = RunInProgress { waits_for_slots, ..run(1, beat) };
            watch.lost(&[run], Duration::from_secs(seconds), patience).len()
        };
        assert_eq!(look(0, true), 0);
        for seconds in (10..=600).step_by(10) {
            assert_eq!(look(seconds, true), 0);
        }
        // It got its slots after the last look at which it waited.
        for seconds in (610..660).step_by(10) {
            assert_eq!(look(seconds, false), 0);
        }
        assert_eq!(look(660, false), 1);
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

    #[test]
    fn a_run_whose_worker_was_stopped_in_order_goes_back_or_ends_its_cancel() {
        use RunStatus::{Canceling, Queued, Started, Starting, Success};
        let reason = || "the server was stopped".to_owned();
        let handed_back = |status| LostRun::handed_back(status, reason());
        for held in [Starting, Started] {
            assert_eq!(handed_back(held), Some(LostRun::HandBack { reason: reason() }));
        }
        assert_eq!(handed_back(Canceling), Some(LostRun::Cancel { reason: reason() }));
        for unheld in [Queued, Success] {
            assert_eq!(handed_back(unheld), None);
        }
    }
}
