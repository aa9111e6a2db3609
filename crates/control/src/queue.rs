//! One pass over the queue: who may start, and who waits for what.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream_decide::queue::{
    CountedRun, Limits, QueueDecision, QueueSnapshot, QueuedRun, RecentStart, decide, lane_again,
    lane_of,
};
use millstream_model::{
    ClaimedRun, Event, EventBody, FailureCause, HoldReason, LimitFrom, RunEvent, RunId, TenantId,
    Timestamp,
};
use millstream_store::live::{claim_queued_runs, claimed};
use millstream_store::queue::{HeadsPage, LaneHead};
use millstream_store::{Batch, StoreError, events, live, queue, slots};

use crate::lease::HeldLease;
use crate::{Control, ControlError};

/// Queued runs that one pass looks at beyond one of each lane.
const HEADS_MAX: u32 = 500;

/// Lanes of one tenant that one pass looks at; the next pass goes on behind them.
const LANES_MAX: u32 = 200;

/// The lease of whoever takes runs from the queue and gives out slots.
pub(crate) const LEASE: &str = "queue";

/// What the instance says about its queue, beside what definitions say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// How many runs may be in progress at once; no limit when `None`.
    pub max_in_progress: Option<u32>,
    /// Whether a larger `max_concurrent_runs` of a definition takes that limit's place.
    pub raised_by_definitions: bool,
    /// How many runs one pass may claim: as many as can be launched at once.
    pub claims_max: usize,
}

impl QueueLimits {
    /// At most `max_in_progress` runs at once, whatever definitions say.
    pub const fn of(max_in_progress: Option<u32>) -> Self {
        Self { max_in_progress, raised_by_definitions: false, claims_max: HEADS_MAX as usize }
    }

    fn total(&self, limits: &Limits) -> (Option<u32>, LimitFrom) {
        let declared = limits.tenants.values().filter_map(|queue| queue.max_concurrent_runs).max();
        let raised = declared.filter(|declared| {
            self.raised_by_definitions && self.max_in_progress.is_some_and(|it| it < *declared)
        });
        match raised {
            Some(declared) => (Some(declared), LimitFrom::Definitions),
            None => (self.max_in_progress, LimitFrom::Settings),
        }
    }
}

/// What one daemon remembers between its passes over the queue.
#[derive(Debug, Default)]
pub struct QueueWatch {
    lease: HeldLease,
    /// Where the pass before stopped in tenants with more lanes than it looked at.
    resumed: BTreeMap<TenantId, String>,
    look_again: Option<Duration>,
}

impl QueueWatch {
    /// When the next pass is due although nothing changes, after the last one; `None` when only a
    /// change can let something start.
    pub fn look_again(&self) -> Option<Duration> {
        self.look_again
    }
}

impl Control {
    /// Claims the runs that may start, grants slots, and stores why the others wait.
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
        watch.look_again = None;
        let lease = self.hold_lease(LEASE, me, &mut watch.lease, time_to_live).await?;
        let Some(fence) = lease else { return Ok(Vec::new()) };
        let catalog = self.catalog().await?;
        self.grant_slots(&catalog, me, fence).await?;
        let Some(pass) = self.queue_snapshot(catalog.limits(), limits, &watch.resumed).await?
        else {
            watch.resumed.clear();
            return Ok(Vec::new());
        };
        let now = self.now();
        let decision = decide(&pass.snapshot, now);
        self.note_waiting(&pass, &decision).await?;
        watch.resumed = unfinished_lanes(&pass.heads);
        if decision.more || !watch.resumed.is_empty() {
            watch.look_again = Some(Duration::ZERO);
        } else {
            watch.look_again = decision.look_again.map(|until| until.since(now));
        }
        if decision.launch.is_empty() {
            return Ok(Vec::new());
        }
        let mut batch = claim_queued_runs(&decision.launch, me, fence);
        if let Some(look_back) = catalog.limits().look_back() {
            queue::keep_starts(&mut batch, &decision.launch, now, look_back);
        }
        if pass.is_shared {
            queue::keep_shares(&mut batch, &decision.served);
        }
        let mut claimed = claimed(self.store.apply(batch).await?.rows(0))?;
        // The database gives them back in an order of its own.
        let chosen: BTreeMap<RunId, usize> =
            decision.launch.iter().map(|(_, run)| *run).zip(0..).collect();
        claimed.sort_by_key(|claimed| chosen.get(&claimed.run).copied());
        if claimed.is_empty() {
            watch.lease.doubt();
        }
        Ok(claimed)
    }

    /// What the queue is decided by; `None` when nothing waits.
    async fn queue_snapshot(
        &self,
        defined: &Arc<Limits>,
        limits: QueueLimits,
        resumed: &BTreeMap<TenantId, String>,
    ) -> Result<Option<Pass>, StoreError> {
        let in_progress = self.store.in_progress_by_tenant().await?;
        let (max_in_progress, max_from) = limits.total(defined);
        let claims_max = u32::try_from(limits.claims_max).unwrap_or(HEADS_MAX).min(HEADS_MAX);
        let free = max_in_progress.map_or(claims_max, |limit| {
            limit.saturating_sub(in_progress.values().sum()).min(claims_max)
        });
        let page = HeadsPage { runs: free, lanes: LANES_MAX };
        let heads = self.store.lane_heads(page, resumed).await?;
        let Some(first) = heads.first() else { return Ok(None) };
        let is_shared = heads.iter().any(|head| head.tenant != first.tenant);
        let counted =
            if defined.count_tags() { self.store.counted_runs().await? } else { Vec::new() };
        let starts = match defined.look_back() {
            Some(micros) => {
                let since = self.now().as_micros().saturating_sub(micros);
                let since = Timestamp::from_micros(since);
                self.store.starts_since(since).await?
            }
            None => Vec::new(),
        };
        let served = if is_shared { self.store.queue_shares().await? } else { BTreeMap::new() };
        let snapshot = QueueSnapshot {
            queued: heads.iter().map(|head| queued_run(defined, head)).collect(),
            in_progress,
            counted: counted
                .into_iter()
                .map(|it| CountedRun {
                    tenant: it.tenant,
                    run: it.run,
                    tags: it.tags,
                    waits: it.waits,
                })
                .collect(),
            starts: starts
                .into_iter()
                .map(|(tenant, at, tags)| RecentStart { tenant, at, tags })
                .collect(),
            served,
            max_in_progress,
            max_from,
            limits: Arc::clone(defined),
            launches_max: limits.claims_max,
        };
        Ok(Some(Pass { heads, snapshot, is_shared }))
    }

    /// Stores reasons that have changed, and the lanes of runs that definitions have moved.
    async fn note_waiting(&self, pass: &Pass, decision: &QueueDecision) -> Result<(), StoreError> {
        let known: BTreeMap<_, _> = pass.heads.iter().map(|head| (head.run, &head.hold)).collect();
        let changed = decision.hold.iter().filter(|(_, run, hold)| {
            known.get(run).is_some_and(|known| known.as_ref() != Some(hold))
        });
        let holds = changed.map(|(tenant, run, hold)| (tenant, *run, hold));
        self.store.apply(queue::set_holds(holds)).await?;
        let sorted = pass.heads.iter().zip(&pass.snapshot.queued);
        let moved = sorted.filter(|(head, run)| head.lane != run.lane);
        let lanes = moved.map(|(head, run)| (&head.tenant, head.run, run.lane.as_str()));
        self.store.apply(queue::set_lanes(lanes)).await?;
        Ok(())
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
            self.end_live(&mut batch, &live, retried, (None, Self::WORKER_GONE)).await?;
            log.push(self.event_of(run, EventBody::RunCanceled {}));
        } else if live.launches() >= i64::from(launches_max) {
            let launches = live.launches();
            let reason = format!("its worker could not be launched in {launches} tries: {error}");
            let cause = FailureCause::LaunchFailed { launches };
            self.fail_live((&mut batch, &mut log), &live, &reason, cause).await?;
        } else {
            live::move_to(&mut batch, &live, retried);
            slots::keep_places(&mut batch, &run.tenant, run.run);
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

    /// Gives the queue's lease back, so that the next daemon need not wait for it to run out.
    pub async fn release_queue(&self, me: &str) -> Result<(), StoreError> {
        self.release_lease(LEASE, me).await
    }
}

/// What one pass has loaded.
struct Pass {
    heads: Vec<LaneHead>,
    snapshot: QueueSnapshot,
    /// Whether runs of several tenants wait.
    is_shared: bool,
}

/// The last lane that was looked at of each tenant that may have more.
fn unfinished_lanes(heads: &[LaneHead]) -> BTreeMap<TenantId, String> {
    let last = heads.iter().filter(|head| head.lane_number >= LANES_MAX);
    last.map(|head| (head.tenant.clone(), head.lane.clone())).collect()
}

fn queued_run(limits: &Limits, head: &LaneHead) -> QueuedRun {
    let lane = lane_of(limits, &head.tenant, head.priority, &head.tags);
    QueuedRun {
        tenant: head.tenant.clone(),
        run: head.run,
        priority: head.priority,
        lane: if head.again { lane_again(&lane) } else { lane },
        tags: head.tags.clone(),
        again: head.again,
    }
}
