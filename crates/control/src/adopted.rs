//! What a daemon has taken over into the store, and when it has to look at all of it again.

use std::collections::BTreeMap;

use millstream_model::{LocationName, Timestamp};

/// The versions of the locations whose schedules, or sensors, are in the store.
///
/// When to look at one again is stored by the clock of whoever stored it. That may have been ahead
/// where somebody else held the lease, or where this clock was set back: then all are compared
/// anew.
#[derive(Debug, Default)]
pub(crate) struct Adopted {
    pub(crate) versions: BTreeMap<LocationName, i64>,
    fence: Option<i64>,
    seen: Option<Timestamp>,
}

impl Adopted {
    /// A pass begins at `now` under the lease with this fence.
    pub(crate) fn begin(&mut self, fence: i64, now: Timestamp) {
        let was_set_back = self.seen.is_some_and(|seen| now < seen);
        if was_set_back || self.fence != Some(fence) {
            self.versions.clear();
        }
        (self.fence, self.seen) = (Some(fence), Some(now));
    }
}
