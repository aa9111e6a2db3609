//! What follows the failure of a run: another run, a dead letter, or nothing.

use millstream_model::{FailureCause, GaveUp, RetryFrom, RunRetries};

/// A run that has just failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailedRun {
    /// What ended it.
    pub cause: FailureCause,
    /// The retries that its job allows; none when it says nothing or they are switched off.
    pub retries: Option<RunRetries>,
    /// How many runs there were before it, of which each is a retry of the one before.
    pub earlier: u32,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterFailure {
    /// Its failure is the end, and its job asked for nothing more.
    Nothing,
    /// A new run tries it again.
    Retry {
        /// Its number among the retries, from 1.
        number: u32,
        /// How many there may be.
        max: u32,
        /// What it does again.
        from: RetryFrom,
    },
    /// All that was allowed was tried: somebody has to look.
    GiveUp {
        /// Why, for the list of dead letters.
        reason: GaveUp,
    },
}

/// What follows the failure of `run`.
///
/// A step's failure in a job without retries is an answer, not something that was given up; a run
/// that no worker could hold has been tried more than once by then, whatever its job says.
pub fn after_failure(run: FailedRun) -> AfterFailure {
    let max = run.retries.map_or(0, |retries| retries.max);
    if let Some(retries) = run.retries
        && run.earlier < max
    {
        return AfterFailure::Retry { number: run.earlier + 1, max, from: retries.from };
    }
    let own_fault = matches!(run.cause, FailureCause::Step | FailureCause::Timeout);
    if own_fault && max == 0 {
        return AfterFailure::Nothing;
    }
    AfterFailure::GiveUp { reason: GaveUp::new(run.cause, run.earlier + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(cause: FailureCause, max: Option<u32>, earlier: u32) -> AfterFailure {
        let retries = max.map(|max| RunRetries { max, from: RetryFrom::Failure });
        after_failure(FailedRun { cause, retries, earlier })
    }

    #[test]
    fn r146_a_run_is_tried_again_as_often_as_its_job_allows_and_no_more() {
        let retry = |number| AfterFailure::Retry { number, max: 2, from: RetryFrom::Failure };
        assert_eq!(failed(FailureCause::Step, Some(2), 0), retry(1));
        assert_eq!(failed(FailureCause::Timeout, Some(2), 1), retry(2));
        let AfterFailure::GiveUp { reason } = failed(FailureCause::Step, Some(2), 2) else {
            panic!("the third run is the last");
        };
        assert_eq!(reason.to_string(), "failed_after_3_attempts");
    }

    #[test]
    fn r146_without_a_word_of_its_job_a_failure_is_the_end() {
        assert_eq!(failed(FailureCause::Step, None, 0), AfterFailure::Nothing);
        assert_eq!(failed(FailureCause::Timeout, Some(0), 0), AfterFailure::Nothing);
    }

    #[test]
    fn r154_a_run_that_no_worker_could_hold_is_a_dead_letter_whatever_its_job_says() {
        let cause = FailureCause::WorkersLost { launches: 4 };
        let AfterFailure::GiveUp { reason } = failed(cause, None, 0) else {
            panic!("nobody would see it");
        };
        assert_eq!(reason.to_string(), "stale_after_4_attempts");
        assert!(matches!(failed(cause, Some(1), 0), AfterFailure::Retry { number: 1, .. }));
    }
}
