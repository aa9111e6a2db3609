//! What the queue is decided by, what comes of it, and the pass from the one to the other.
//!
//! [`decide`] asks `share` whose turn it is and `limits` whether the run must wait.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millstream_model::{HoldReason, LimitFrom, RunId, TenantId, Timestamp};

use super::limits::{Counts, Limits};
use super::share::Turns;

/// The heads of the queue and what is known about the places.
#[derive(Debug, Clone, Default)]
pub struct QueueSnapshot {
    /// The first runs of each lane, in any order.
    pub queued: Vec<QueuedRun>,
    /// How many runs of each tenant hold a place.
    pub in_progress: BTreeMap<TenantId, u32>,
    /// The runs that tag limits count: those in progress, and those about to be tried again.
    pub counted: Vec<CountedRun>,
    /// What has started of late, as far back as the rate limits look.
    pub starts: Vec<RecentStart>,
    /// What each tenant has had of the queue; see [`QueueDecision::served`].
    pub served: BTreeMap<TenantId, i64>,
    /// How many runs may be in progress at once; no limit when `None`.
    pub max_in_progress: Option<u32>,
    /// What says so.
    pub max_from: LimitFrom,
    /// The limits that definitions declare.
    pub limits: Arc<Limits>,
    /// How many runs may be launched by this decision.
    pub launches_max: usize,
}

/// A run that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedRun {
    /// The tenant.
    pub tenant: TenantId,
    /// The run.
    pub run: RunId,
    /// Higher goes first.
    pub priority: i64,
    /// Its labels.
    pub tags: BTreeMap<String, String>,
    /// Its lane: runs of one lane are held back by the same limits.
    pub lane: String,
    /// Whether it had a worker before and is about to be tried again.
    pub again: bool,
}

/// A run that counts under tag limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountedRun {
    /// The tenant.
    pub tenant: TenantId,
    /// The run.
    pub run: RunId,
    /// Its labels.
    pub tags: BTreeMap<String, String>,
    /// Whether it waits to be tried again; otherwise it is in progress.
    pub waits: bool,
}

/// A run that has started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentStart {
    /// The tenant.
    pub tenant: TenantId,
    /// When.
    pub at: Timestamp,
    /// Its labels.
    pub tags: BTreeMap<String, String>,
}

/// What becomes of the queue's heads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueDecision {
    /// The runs that may start, in the order in which they were chosen.
    pub launch: Vec<(TenantId, RunId)>,
    /// Why the first run of each lane that waits does so; the rest of a lane waits for the same.
    pub hold: Vec<(TenantId, RunId, HoldReason)>,
    /// What the tenants whose runs were launched have had now, in shares: a launch counts the more
    /// the smaller the tenant's weight. Only its order between tenants means something.
    pub served: BTreeMap<TenantId, i64>,
    /// When a run that waits for time alone may start.
    pub look_again: Option<Timestamp>,
    /// Whether runs were left undecided because enough were launched.
    pub more: bool,
}

/// Decides the queue's heads at `now`.
pub fn decide(snapshot: &QueueSnapshot, now: Timestamp) -> QueueDecision {
    let mut decision = QueueDecision::default();
    let mut turns = Turns::new(snapshot);
    let mut counts = Counts::new(snapshot, now);
    let mut blocked: BTreeSet<(&TenantId, &str)> = BTreeSet::new();
    let mut full = no_place(snapshot, turns.in_progress());
    while let Some(run) = turns.next() {
        let lane = (&run.tenant, run.lane.as_str());
        if blocked.contains(&lane) {
            continue;
        }
        if decision.launch.len() >= snapshot.launches_max && full.is_none() {
            decision.more = true;
            break;
        }
        let in_progress = turns.in_progress_of(&run.tenant);
        let hold = full.clone().or_else(|| counts.hold(run, in_progress));
        let Some(hold) = hold else {
            counts.launch(run, now);
            turns.launched(&run.tenant);
            full = no_place(snapshot, turns.in_progress());
            decision.launch.push((run.tenant.clone(), run.run));
            continue;
        };
        if let HoldReason::RateLimit { until, .. } = &hold {
            let first = decision.look_again.map_or(*until, |at| at.min(*until));
            decision.look_again = Some(first);
        }
        blocked.insert(lane);
        decision.hold.push((run.tenant.clone(), run.run, hold));
    }
    decision.served = turns.served();
    decision
}

fn no_place(snapshot: &QueueSnapshot, in_progress: u32) -> Option<HoldReason> {
    let limit = snapshot.max_in_progress?;
    let over = in_progress.checked_sub(limit)?;
    Some(HoldReason::NoFreeSlot { limit, over, from: snapshot.max_from, held_by: Vec::new() })
}
