//! One pass over the queue: who may start, and who waits for what.

use std::time::Duration;

use millstream_decide::lease::{LeaseMove, LeaseView, LeaseWatch};
use millstream_decide::queue::{QueueLimits, QueueSnapshot, QueuedRun, Verdict, decide};
use millstream_model::{Event, EventBody, FailureCause, HoldReason, RunEvent};
use millstream_store::live::{ClaimedRun, QueueHead, claim_queued_runs, claimed};
use millstream_store::{Batch, StoreError, events, leases, live};

use crate::{Control, ControlError};

/// Queued runs that one pass looks at.
const HEADS_MAX: u32 = 500;

/// The lease of whoever takes runs from the queue.
const LEASE: &str = "queue";

/// What one daemon remembers between its passes over the queue.
#[derive(Debug, Default)]
pub struct QueueWatch {
    lease: HeldLease,
}

/// A lease as its holder remembers it, so that not every pass has to raise it.
#[derive(Debug, Default)]
pub(crate) struct HeldLease {
    watch: LeaseWatch,
    held: Option<(i64, Duration)>,
}

impl Control {
    /// Claims the runs that may start and stores why the others wait.
    ///
    /// Only the holder of the queue's lease claims, so the limits hold; the claim names the
    /// lease's fence, so a former holder claims nothing. Crash-safe: a run that is claimed and
    /// never launched shows no sign of life and goes back to the queue as a lost one.
    pub async fn claim_runs(
        &self,
        me: &str,
        watch: &mut QueueWatch,
        limits: QueueLimits,
        time_to_live: Duration,
    ) -> Result<Vec<ClaimedRun>, StoreError> {
        let lease = self.hold_lease(LEASE, me, &mut watch.lease, time_to_live).await?;
        let Some(fence) = lease else { return Ok(Vec::new()) };
        let heads = self.store.queue_heads(HEADS_MAX).await?;
        if heads.is_empty() {
            return Ok(Vec::new());
        }
        let snapshot = QueueSnapshot {
            queued: heads.iter().map(queued_run).collect(),
            in_progress: self.store.count_in_progress().await?,
            limits,
        };
        let mut wanted = Vec::new();
        for verdict in decide(&snapshot) {
            match verdict {
                Verdict::Launch(tenant, run) => wanted.push((tenant, run)),
                Verdict::Hold(tenant, run, reason) => {
                    let known = heads.iter().find(|head| head.run == run);
                    if known.is_some_and(|head| head.hold.as_ref() != Some(&reason)) {
                        let mut batch = Batch::for_tenant(&tenant);
                        live::set_hold(&mut batch, &tenant, run, &reason);
                        self.store.apply(batch).await?;
                    }
                }
            }
        }
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let mut applied = self.store.apply(claim_queued_runs(&wanted, me, fence)).await?;
        let claimed = claimed(applied.rows(0))?;
        if claimed.is_empty() {
            // Somebody else may hold the lease by now: look before the next pass.
            watch.lease.held = None;
        }
        Ok(claimed)
    }

    /// Puts a claimed run back into the queue, because its worker could not be launched; after
    /// `launches_max` launches it fails, and says so.
    pub async fn launch_failed(
        &self,
        run: &ClaimedRun,
        error: &str,
        launches_max: u32,
    ) -> Result<(), ControlError> {
        let Some(live) = self.store.live_run(&run.tenant, run.run).await? else { return Ok(()) };
        if live.epoch != run.epoch {
            return Ok(());
        }
        let retried = live.status.after(RunEvent::LaunchFailed)?;
        let mut batch = Batch::for_tenant(&run.tenant);
        let mut log = vec![self.event_of(run, EventBody::LaunchFailed { error: error.to_owned() })];
        if retried.is_terminal() {
            self.end_live(&mut batch, &live, retried, None).await?;
            log.push(self.event_of(run, EventBody::RunCanceled {}));
        } else if run.epoch >= i64::from(launches_max) {
            let reason =
                format!("its worker could not be launched in {} tries: {error}", run.epoch);
            let cause = FailureCause::LaunchFailed { launches: run.epoch };
            self.fail_live((&mut batch, &mut log), &live, &reason, cause).await?;
        } else {
            live::move_to(&mut batch, &live, retried);
            let hold = HoldReason::LaunchFailed { error: error.to_owned() };
            live::set_hold(&mut batch, &run.tenant, run.run, &hold);
        }
        events::insert(&mut batch, &run.tenant, &self.new_id().to_string(), &log);
        self.store.apply(batch).await?;
        Ok(())
    }

    fn event_of(&self, run: &ClaimedRun, body: EventBody) -> Event {
        self.control_event(&run.tenant, run.run, run.epoch, body)
    }

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

    /// Gives the queue's lease back, so that the next daemon need not wait for it to run out.
    pub async fn release_queue(&self, me: &str) -> Result<(), StoreError> {
        self.release_lease(LEASE, me).await
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

fn queued_run(head: &QueueHead) -> QueuedRun {
    QueuedRun { tenant: head.tenant.clone(), run: head.run, priority: head.priority }
}
