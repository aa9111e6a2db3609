//! Holding a lease: which daemon does the work that only one may do at a time.
//!
//! Called by each pass that needs one. What the holder then writes names the lease's fence, so that
//! having lost the lease meanwhile does no harm.

use std::time::Duration;

use millstream_decide::lease::{LeaseMove, LeaseView, LeaseWatch};
use millstream_store::{StoreError, leases};

use crate::Control;

/// A lease as its holder remembers it, so that not every pass has to raise it.
#[derive(Debug, Default)]
pub(crate) struct HeldLease {
    watch: LeaseWatch,
    held: Option<(i64, Duration)>,
}

impl HeldLease {
    /// Somebody else may hold it by now: look before the next pass.
    pub(crate) fn doubt(&mut self) {
        self.held = None;
    }
}

impl Control {
    /// Holds the lease called `name` if it can be held now; returns its fence.
    ///
    /// A holder raises it a few times in the time-to-live. What it does in between names the
    /// fence, so that having lost the lease meanwhile does no harm.
    pub(crate) async fn hold_lease(
        &self,
        name: &str,
        me: &str,
        lease: &mut HeldLease,
        time_to_live: Duration,
    ) -> Result<Option<i64>, StoreError> {
        let elapsed = self.seams.clock.elapsed();
        if let Some((fence, raised)) = lease.held
            && elapsed.saturating_sub(raised) < time_to_live / 4
        {
            return Ok(Some(fence));
        }
        let fence = self.move_lease(name, me, &mut lease.watch, time_to_live).await?;
        lease.held = fence.map(|fence| (fence, elapsed));
        Ok(fence)
    }

    async fn move_lease(
        &self,
        name: &str,
        me: &str,
        watch: &mut LeaseWatch,
        time_to_live: Duration,
    ) -> Result<Option<i64>, StoreError> {
        let stored = self.store.lease(name).await?;
        let view = stored.as_ref().map(|lease| LeaseView {
            holder: lease.holder.clone(),
            fence: lease.fence,
            beat: lease.beat,
        });
        let elapsed = self.seams.clock.elapsed();
        let (batch, fence) = match (watch.decide(view.as_ref(), me, elapsed, time_to_live), &stored)
        {
            (LeaseMove::Wait, _) | (LeaseMove::Take, None) => return Ok(None),
            (LeaseMove::Create, _) => (leases::create(name, me), 1),
            (LeaseMove::Raise { fence }, _) => (leases::raise(name, me, fence), fence),
            (LeaseMove::Take, Some(seen)) => (leases::take(name, me, seen), seen.fence + 1),
        };
        match self.store.apply(batch).await {
            Ok(_) => Ok(Some(fence)),
            Err(error) if error.is_conflict() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives the lease called `name` back if `me` holds it.
    pub(crate) async fn release_lease(&self, name: &str, me: &str) -> Result<(), StoreError> {
        if let Some(lease) = self.store.lease(name).await?
            && lease.holder == me
        {
            self.store.apply(leases::release(name, me, lease.fence)).await?;
        }
        Ok(())
    }
}
