//! What a daemon has taken over into the store, and when it has to look at all of it again.

use std::collections::BTreeMap;

use millstream_model::{LocationName, Timestamp};
use millstream_store::leases::Held;

/// The versions of the locations whose schedules, or sensors, are in the store.
///
/// When to look at one again is stored by the clock of whoever stored it. That may have been ahead
/// where somebody else held the lease, or where this clock was set back: then all are compared
/// anew.
#[derive(Debug, Default)]
pub(crate) struct Adopted {
    pub(crate) versions: BTreeMap<LocationName, i64>,
    /// Under which lease; none where somebody switches something.
    pub(crate) held: Option<Held>,
    seen: Option<Timestamp>,
}

impl Adopted {
    /// A pass begins at `now` under this lease.
    pub(crate) fn begin(&mut self, held: &Held, now: Timestamp) {
        let was_set_back = self.seen.is_some_and(|seen| now < seen);
        if was_set_back || self.held.as_ref() != Some(held) {
            self.versions.clear();
        }
        (self.held, self.seen) = (Some(held.clone()), Some(now));
    }
}
