//! Deliveries that were refused: how many for each webhook, and why the last, for `why`.
//!
//! Nothing of them is stored, so that nobody who knows no secret fills the database: each process
//! remembers what it has refused itself.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use millstream_decide::why::Refused;
use millstream_model::{TenantId, TickSource, Timestamp};

/// Webhooks that are remembered.
const WEBHOOKS_MAX: usize = 1_000;

/// The longest reason that is remembered, in letters.
const WHY_MAX: usize = 1_000;

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

    /// Those that were for one webhook.
    pub(crate) fn of(&self, key: &(TenantId, TickSource)) -> Option<Refused> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }
}
