//! Retry policies: how often, and how long to wait.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::HumanDuration;

/// How often a failed step is tried again, and how long it waits before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetryPolicy {
    /// Attempts after the first; `max: 2` means three in all.
    pub max: u32,
    /// The wait before the second attempt.
    #[serde(default)]
    pub delay: HumanDuration,
    /// How the wait grows from attempt to attempt.
    #[serde(default)]
    pub backoff: Backoff,
    /// Whether each wait is moved by up to a quarter either way, so that many do not come at once.
    #[serde(default)]
    pub jitter: bool,
}

/// How the wait grows from attempt to attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backoff {
    /// Every wait is the same.
    #[default]
    Constant,
    /// The wait grows by the delay each time: 2 s, 4 s, 6 s.
    Linear,
    /// The wait doubles each time: 2 s, 4 s, 8 s.
    Exponential,
}

/// The longest wait that backoff leads to.
const WAIT_MAX: Duration = Duration::from_hours(24);

/// The part of a wait that jitter may add or take away.
const JITTER: f64 = 0.25;

impl RetryPolicy {
    /// No retry: one attempt, and its failure is the step's.
    pub const NEVER: Self = Self {
        max: 0,
        delay: HumanDuration::from_secs(0),
        backoff: Backoff::Constant,
        jitter: false,
    };

    /// Attempts in all, the first included.
    pub fn attempts(&self) -> u32 {
        self.max.saturating_add(1)
    }

    /// The wait after `attempt` (from 1) failed, or `None` when it was the last.
    ///
    /// `random` is uniform in `0.0..1.0` and used only with jitter; it is an argument, so that a
    /// simulation repeats.
    pub fn wait_after(&self, attempt: u32, random: f64) -> Option<Duration> {
        if attempt >= self.attempts() {
            return None;
        }
        let factor = match self.backoff {
            Backoff::Constant => 1,
            Backoff::Linear => attempt,
            Backoff::Exponential => {
                1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX)
            }
        };
        let wait = self.delay.0.saturating_mul(factor).min(WAIT_MAX);
        if !self.jitter {
            return Some(wait);
        }
        let scale = 1.0 - JITTER + 2.0 * JITTER * random.clamp(0.0, 1.0);
        Some(wait.mul_f64(scale))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(backoff: Backoff, jitter: bool) -> RetryPolicy {
        RetryPolicy { max: 3, delay: HumanDuration::from_secs(2), backoff, jitter }
    }

    fn waits(policy: &RetryPolicy, random: f64) -> Vec<Option<u128>> {
        (1..=4).map(|attempt| policy.wait_after(attempt, random).map(|w| w.as_millis())).collect()
    }

    #[test]
    fn r037_exponential_waits_double_and_the_fourth_attempt_is_the_last() {
        let exponential = policy(Backoff::Exponential, false);
        assert_eq!(waits(&exponential, 0.5), [Some(2_000), Some(4_000), Some(8_000), None]);
        let linear = policy(Backoff::Linear, false);
        assert_eq!(waits(&linear, 0.5), [Some(2_000), Some(4_000), Some(6_000), None]);
        assert_eq!(waits(&RetryPolicy::NEVER, 0.5), [None, None, None, None]);
    }

    #[test]
    fn r037_jitter_stays_within_a_quarter_either_way() {
        let jittered = policy(Backoff::Constant, true);
        assert_eq!(jittered.wait_after(1, 0.0), Some(Duration::from_millis(1_500)));
        assert_eq!(jittered.wait_after(1, 1.0), Some(Duration::from_millis(2_500)));
    }

    #[test]
    fn a_long_series_of_attempts_never_waits_more_than_a_day() {
        let patient = RetryPolicy { max: u32::MAX, ..policy(Backoff::Exponential, false) };
        assert_eq!(patient.wait_after(4_000_000, 0.0), Some(WAIT_MAX));
    }
}
