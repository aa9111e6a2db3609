//! Deliveries that were refused: how many for each webhook, and why the last, for `why`.
//!
//! Nothing of them is stored, so that nobody who knows no secret fills the database: each process
//! remembers what it has refused itself.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use millstream_decide::why::Refused;
use millstream_model::{TenantId, TickSource, Timestamp};

/// Webhooks that are remembered.
const WEBHOOKS_MAX: usize = 1_000;

/// The longest reason that is remembered, in letters.
const WHY_MAX: usize = 1_000;

/// For how long after the last one those that were refused are told of.
const TOLD_FOR: Duration = Duration::from_hours(24);

/// Why a delivery was refused, in words for the log.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The template of its secret's name has no value.
    SecretUnnamed(String),
    /// The server does not have its secret.
    SecretUnset(String),
    /// What whoever sees the sensor may know too.
    Plain(String),
}

impl Refusal {
    /// What the log says.
    pub(crate) fn logged(&self) -> &str {
        let (Self::SecretUnnamed(text) | Self::SecretUnset(text) | Self::Plain(text)) = self;
        text
    }

    /// What those are told who see the sensor: no name of a secret and no value of a template.
    pub(crate) fn told(&self) -> &str {
        match self {
            Self::SecretUnnamed(_) => "the template of its secret's name has no value",
            Self::SecretUnset(_) => "the server does not have its secret",
            Self::Plain(text) => text,
        }
    }
}

/// What a process has refused, by the webhook that it was for.
#[derive(Debug, Default)]
pub(crate) struct RefusedDeliveries(Mutex<BTreeMap<(TenantId, TickSource), Refused>>);

impl RefusedDeliveries {
    /// Counts one that was refused for `why`.
    pub(crate) fn count(&self, key: (TenantId, TickSource), (why, now): (&str, Timestamp)) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= WEBHOOKS_MAX && !known.contains_key(&key) {
            return;
        }
        let why = why.chars().take(WHY_MAX).collect();
        let new = || Refused { count: 0, first: now, last: now, why: String::new() };
        let refused = known.entry(key).or_insert_with(new);
        (refused.count, refused.last, refused.why) = (refused.count.saturating_add(1), now, why);
    }

    /// One for this webhook came through: those before it need nobody's look any more.
    pub(crate) fn forget(&self, key: &(TenantId, TickSource)) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Those that were for one webhook, unless the last was long before `now`.
    pub(crate) fn of(&self, key: &(TenantId, TickSource), now: Timestamp) -> Option<Refused> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, refused| now.since(refused.last) < TOLD_FOR);
        known.get(key).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_log_says_of_a_secret_is_told_to_nobody_else() {
        for refusal in [Refusal::SecretUnnamed, Refusal::SecretUnset] {
            let refusal = refusal("detail".to_owned());
            assert_eq!(refusal.logged(), "detail");
            assert!(!refusal.told().contains("detail"));
        }
        let plain = Refusal::Plain("it has no header x".to_owned());
        assert_eq!(plain.told(), plain.logged());
    }
}
