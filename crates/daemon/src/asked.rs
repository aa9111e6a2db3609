//! A scan that somebody waits for.
//!
//! **Invariant.** Its answer comes after a scan that began after the request, and once everybody
//! who reads sees what that found.

use millstream_control::{Deletions, StoreError};

use crate::Daemon;
use crate::scan::{ScanReport, scan};

impl Daemon {
    /// Reads the whole root anew, and has what is live then taken over by what ticks.
    pub(crate) async fn scan_asked(&self, deletions: Deletions) -> Result<ScanReport, StoreError> {
        let report = {
            // One that is under way may have read a file before it was changed.
            let mut root = self.root.lock().await;
            root.read_anew();
            scan(&self.control, &self.location.name, &mut root, deletions).await?
        };
        // Where a daemon is there for one command, what `enabled` comes to in its environment is
        // no matter of a database that others share.
        if self.settings.ticks || !self.control.needs_publisher() {
            self.control.take_over_live().await?;
        }
        Ok(report)
    }
}
