//! One pass of the publisher: committed events get their place in the log.

use std::time::Duration;

use millstream_store::StoreError;
use millstream_store::events::PUBLISHER_LEASE;

use crate::Control;
use crate::lease::HeldLease;

/// What one daemon remembers between its passes as a publisher.
#[derive(Debug, Default)]
pub struct PublishWatch {
    lease: HeldLease,
}

impl Control {
    /// Whether this instance needs a publisher at all: an embedded database publishes in its own
    /// commits.
    pub fn needs_publisher(&self) -> bool {
        self.store.needs_publisher()
    }

    /// Gives positions to the batches that have none, if this daemon is the publisher. Returns how
    /// many there were.
    ///
    /// Crash-safe: a batch that is not published yet is published by whoever takes the lease over.
    pub async fn publish(
        &self,
        me: &str,
        watch: &mut PublishWatch,
        time_to_live: Duration,
    ) -> Result<u32, StoreError> {
        let lease = self.hold_lease(PUBLISHER_LEASE, me, &mut watch.lease, time_to_live).await?;
        let Some(fence) = lease else { return Ok(0) };
        match self.store.publish(me, fence).await {
            Err(error) if error.is_conflict() => {
                // Somebody else holds the lease by now: look before the next pass.
                watch.lease = HeldLease::default();
                Ok(0)
            }
            published => published,
        }
    }

    /// Gives the publisher's lease back, so that the next daemon need not wait for it to run out.
    pub async fn release_publisher(&self, me: &str) -> Result<(), StoreError> {
        self.release_lease(PUBLISHER_LEASE, me).await
    }
}
