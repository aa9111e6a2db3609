//! Which runs in progress have taken longer than they may: to start, to run or to stop.
//!
//! Time is what one daemon has itself seen pass on its own clock while the run was in its status;
//! no two clocks are compared, so a jump of the time of day ends no run.

use std::time::Duration;

use millstream_model::{FailureCause, HumanDuration, RunStatus};

use crate::lost::{LostRun, Patience, RunInProgress};

/// What one daemon has seen of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// For how long the beat has stood still.
    pub silent: Duration,
    /// For how long this worker's run has been in its status.
    pub in_status: Duration,
    /// For how much of that it has waited for slots.
    pub waited: Duration,
}

/// What becomes of `run`, if it has taken too long for something.
///
/// The first that is true counts: a stop that takes too long, a worker that says nothing, a run
/// that goes on for too long.
pub fn overdue(run: &RunInProgress, seen: Seen, patience: &Patience) -> Option<LostRun> {
    if run.status == RunStatus::Canceling && seen.in_status >= patience.cancel {
        let limit = HumanDuration(patience.cancel);
        let reason = format!("its worker has not stopped it within {limit} of the cancel");
        return Some(LostRun::Cancel { reason });
    }
    if seen.silent >= silence_max(run, patience) {
        return Some(silent(run, patience));
    }
    let limit = run.timeout.or(patience.run)?;
    if run.status == RunStatus::Started && seen.in_status.saturating_sub(seen.waited) >= limit {
        let reason = format!("it has run for longer than its timeout of {}", HumanDuration(limit));
        return Some(LostRun::Fail { reason, cause: FailureCause::Timeout });
    }
    None
}

/// Whether a run waits for its worker's first word.
fn starts(run: &RunInProgress) -> bool {
    run.beat == 0
}

/// How long the worker of a run may be silent: until its first word it waits for a start, which may
/// take a machine's time.
pub(crate) fn silence_max(run: &RunInProgress, patience: &Patience) -> Duration {
    if starts(run) { patience.start } else { patience.time_to_live }
}

/// What becomes of a run whose worker was silent for as long as it may be.
pub(crate) fn silent(run: &RunInProgress, patience: &Patience) -> LostRun {
    let starts = starts(run);
    let reason = if starts {
        let limit = HumanDuration(patience.start);
        format!("its worker has not started within {limit}")
    } else {
        let seconds = patience.time_to_live.as_secs_f64();
        format!("its worker has given no sign of life for {seconds} s")
    };
    if run.status == RunStatus::Canceling {
        return LostRun::Cancel { reason };
    }
    if run.launches < i64::from(patience.launches_max) {
        return LostRun::Requeue { reason };
    }
    let (launches, most) = (run.launches, patience.launches_max);
    let reason = format!("{reason}, and this was worker {launches} of at most {most}");
    let cause = if starts {
        FailureCause::NotStarted { launches }
    } else {
        FailureCause::WorkersLost { launches }
    };
    LostRun::Fail { reason, cause }
}

#[cfg(test)]
mod tests {
    use millstream_model::{RunId, TenantId, Timestamp};

    use super::*;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn patience() -> Patience {
        Patience {
            start: secs(600),
            cancel: secs(300),
            run: Some(secs(7_200)),
            ..Patience::new(secs(15), 2)
        }
    }

    fn run(status: RunStatus, beat: i64) -> RunInProgress {
        RunInProgress {
            tenant: TenantId::default_tenant(),
            run: RunId::new(Timestamp::from_micros(0), [1; 10]),
            status,
            epoch: 1,
            launches: 1,
            beat,
            timeout: None,
            waits_for_slots: false,
        }
    }

    fn after(run: &RunInProgress, silent: u64, in_status: u64) -> Option<LostRun> {
        let seen =
            Seen { silent: secs(silent), in_status: secs(in_status), waited: Duration::ZERO };
        overdue(run, seen, &patience())
    }

    #[test]
    fn r021_r147_a_worker_that_never_starts_is_asked_for_again_and_then_given_up() {
        let starting = run(RunStatus::Starting, 0);
        assert_eq!(after(&starting, 599, 599), None);
        let reason = "its worker has not started within 10m".to_owned();
        assert_eq!(after(&starting, 600, 600), Some(LostRun::Requeue { reason }));
        let last = RunInProgress { epoch: 2, launches: 2, ..starting };
        let Some(LostRun::Fail { reason, cause }) = after(&last, 600, 600) else {
            panic!("two launches are allowed");
        };
        assert_eq!(cause, FailureCause::NotStarted { launches: 2 });
        assert_eq!(
            reason,
            "its worker has not started within 10m, and this was worker 2 of at most 2"
        );
    }

    #[test]
    fn r147_a_cancel_that_its_worker_does_not_carry_out_is_carried_out_without_it() {
        let canceling = run(RunStatus::Canceling, 9);
        assert_eq!(after(&canceling, 0, 299), None);
        let reason = "its worker has not stopped it within 5m of the cancel".to_owned();
        assert_eq!(after(&canceling, 0, 300), Some(LostRun::Cancel { reason }));
    }

    #[test]
    fn r147_a_run_ends_at_its_own_timeout_or_at_everybodys() {
        let started = run(RunStatus::Started, 9);
        assert_eq!(after(&started, 1, 7_199), None);
        let Some(LostRun::Fail { reason, cause }) = after(&started, 1, 7_200) else {
            panic!("two hours are over");
        };
        assert_eq!(cause, FailureCause::Timeout);
        assert_eq!(reason, "it has run for longer than its timeout of 2h");
        let short = RunInProgress { timeout: Some(secs(60)), ..started };
        assert!(after(&short, 1, 59).is_none());
        assert!(matches!(after(&short, 1, 60), Some(LostRun::Fail { .. })));
    }
}
