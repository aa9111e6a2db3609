//! The limits that runs are under, and what counts against each.

use std::collections::{BTreeMap, HashMap, VecDeque};

use millstream_model::{
    ContentHash, HoldReason, Holder, LimitScope, QueueDef, RateLimit, RunId, TagLimit, TenantId,
    Timestamp,
};

use super::{QueueSnapshot, QueuedRun};

/// Holders that a reason names.
const HOLDERS_MAX: usize = 3;

/// The digits of a lane's first part, which sorts the highest priority first.
const PRIORITY_BASE: i64 = 5_000_000_000;

/// What definitions say that limits the queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// What each tenant's definitions say; entries of the instance's scope are passed over.
    pub tenants: BTreeMap<TenantId, QueueDef>,
    /// The limits that count the runs of all tenants; each entry is of the instance's scope.
    pub instance: QueueDef,
    /// The weights of tenants; 1 for those without.
    pub weights: BTreeMap<TenantId, u32>,
}

impl Limits {
    /// Adds what a location says that has these `tenants`.
    pub fn add<'a>(&mut self, tenants: impl Iterator<Item = &'a TenantId>, queue: &QueueDef) {
        for tenant in tenants {
            self.tenants.entry(tenant.clone()).or_default().add(queue);
        }
        let (mut tags, mut rates) = (queue.tag_limits.clone(), queue.rate_limits.clone());
        tags.retain(|limit| limit.scope == LimitScope::Instance);
        rates.retain(|limit| limit.scope == LimitScope::Instance);
        self.instance.add(&QueueDef {
            max_concurrent_runs: None,
            tag_limits: tags,
            rate_limits: rates,
        });
    }

    /// Whether some limit counts labels of runs in progress.
    pub fn count_tags(&self) -> bool {
        self.all().any(|queue| !queue.tag_limits.is_empty())
    }

    /// How far back the rate limits look, in microseconds; `None` when there are none.
    pub fn look_back(&self) -> Option<i64> {
        self.all().flat_map(|queue| &queue.rate_limits).map(micros).max()
    }

    fn all(&self) -> impl Iterator<Item = &QueueDef> {
        self.tenants.values().chain([&self.instance])
    }

    /// The tag limits that a tenant's runs are under, each with what tells it from the others.
    fn tags<'a>(&'a self, tenant: &'a TenantId) -> impl Iterator<Item = (Key<'a>, &'a TagLimit)> {
        let own = self.tenants.get(tenant).map_or(&[][..], |queue| &queue.tag_limits);
        let own = own.iter().enumerate().filter(|(_, limit)| limit.scope == LimitScope::Tenant);
        let own = own.map(move |(number, limit)| ((Some(tenant), number), limit));
        own.chain(self.instance.tag_limits.iter().enumerate().map(|(n, limit)| ((None, n), limit)))
    }

    fn rates<'a>(&'a self, tenant: &'a TenantId) -> impl Iterator<Item = (Key<'a>, &'a RateLimit)> {
        let own = self.tenants.get(tenant).map_or(&[][..], |queue| &queue.rate_limits);
        let own = own.iter().enumerate().filter(|(_, limit)| limit.scope == LimitScope::Tenant);
        let own = own.map(move |(number, limit)| ((Some(tenant), number), limit));
        own.chain(self.instance.rate_limits.iter().enumerate().map(|(n, it)| ((None, n), it)))
    }
}

/// The lane of a tenant's run: runs that the same limits hold back, of one priority.
///
/// Lanes only say which runs are looked at; what a limit counts never depends on them. So a lane
/// that was found under older definitions does no harm, and the next pass writes the new one.
pub fn lane_of(
    limits: &Limits,
    tenant: &TenantId,
    priority: i64,
    tags: &BTreeMap<String, String>,
) -> String {
    let first = PRIORITY_BASE.saturating_sub(priority).max(0);
    let counted = limits.tags(tenant).filter_map(|(_, limit)| {
        let value = limit.counted(tags)?.unwrap_or_default();
        Some(format!("{}={value}", limit.key))
    });
    let rated = limits.rates(tenant).filter(|(_, limit)| limit.counts(tags));
    let rated = rated.map(|(_, limit)| format!("{:?}/{:?}", limit.key, limit.value));
    let parts: Vec<String> = counted.chain(rated).collect();
    if parts.is_empty() {
        return format!("{first:010}");
    }
    let hash = ContentHash::of(parts.join("\n").as_bytes()).to_string();
    let short: String = hash.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    format!("{first:010}-{short}")
}

/// The lane of a run that is tried again: beside that of the runs for which it does not wait,
/// though they may have been there before it. The store moves a run there in the batch that gives
/// it back to the queue: behind a new run that waits for it, no pass would see it.
pub fn lane_again(lane: &str) -> String {
    format!("{lane}-again")
}

/// A limit: whose it is, none for the instance's, and its number.
type Key<'a> = (Option<&'a TenantId>, usize);

/// What counts under each limit.
pub(super) struct Counts<'a> {
    limits: &'a Limits,
    tags: HashMap<(Key<'a>, Option<String>), Count>,
    rates: HashMap<Key<'a>, VecDeque<Timestamp>>,
}

#[derive(Default)]
struct Count {
    in_progress: u32,
    /// Runs that are about to be tried again.
    again: u32,
    /// The first few of both; only a run of the same tenant is told of them.
    holders: BTreeMap<TenantId, Vec<RunId>>,
}

fn micros(limit: &RateLimit) -> i64 {
    i64::try_from(limit.per.0.as_micros()).unwrap_or(i64::MAX)
}

impl<'a> Counts<'a> {
    pub(super) fn new(snapshot: &'a QueueSnapshot, now: Timestamp) -> Self {
        let limits: &Limits = &snapshot.limits;
        let mut counts = Self { limits, tags: HashMap::new(), rates: HashMap::new() };
        for run in &snapshot.counted {
            for (key, limit) in limits.tags(&run.tenant) {
                let Some(value) = limit.counted(&run.tags) else { continue };
                counts.tags.entry((key, value)).or_default().add((&run.tenant, run.run), run.waits);
            }
        }
        let mut starts: Vec<_> = snapshot.starts.iter().collect();
        starts.sort_by_key(|start| start.at);
        for start in starts {
            for (key, limit) in limits.rates(&start.tenant) {
                // A start in the far future was written before the clock went back.
                let age = now.as_micros().saturating_sub(start.at.as_micros());
                if limit.counts(&start.tags) && age.abs() < micros(limit) {
                    counts.rates.entry(key).or_default().push_back(start.at);
                }
            }
        }
        counts
    }

    /// Why `run` must wait, if it must.
    pub(super) fn hold(&self, run: &'a QueuedRun, in_progress: u32) -> Option<HoldReason> {
        let own = self.limits.tenants.get(&run.tenant).and_then(|queue| queue.max_concurrent_runs);
        if let Some(limit) = own
            && let Some(over) = in_progress.checked_sub(limit)
        {
            return Some(HoldReason::TenantLimit { limit, over, held_by: Vec::new() });
        }
        self.tag_hold(run).or_else(|| self.rate_hold(run))
    }

    fn tag_hold(&self, run: &'a QueuedRun) -> Option<HoldReason> {
        for (key, limit) in self.limits.tags(&run.tenant) {
            let Some(value) = limit.counted(&run.tags) else { continue };
            let key = (key, value);
            let count = self.tags.get(&key);
            let counted = count.map_or(0, |count| count.before(run));
            if let Some(over) = counted.checked_sub(limit.limit) {
                return Some(HoldReason::TagLimit {
                    key: limit.key.clone(),
                    value: key.1,
                    limit: limit.limit,
                    over,
                    scope: limit.scope,
                    held_by: count.map(|count| count.holders(run)).unwrap_or_default(),
                });
            }
        }
        None
    }

    fn rate_hold(&self, run: &'a QueuedRun) -> Option<HoldReason> {
        for (key, limit) in self.limits.rates(&run.tenant).filter(|(_, l)| l.counts(&run.tags)) {
            let Some(starts) = self.rates.get(&key) else { continue };
            let most = usize::try_from(limit.limit).unwrap_or(usize::MAX);
            let Some(place) = starts.len().checked_sub(most) else { continue };
            let Some(oldest) = starts.get(place) else { continue };
            return Some(HoldReason::RateLimit {
                key: limit.key.clone(),
                limit: limit.limit,
                per: limit.per,
                scope: limit.scope,
                until: oldest.after(limit.per.0),
            });
        }
        None
    }

    /// Counts a run that starts now.
    pub(super) fn launch(&mut self, run: &'a QueuedRun, now: Timestamp) {
        for (key, limit) in self.limits.tags(&run.tenant) {
            let Some(value) = limit.counted(&run.tags) else { continue };
            let count = self.tags.entry((key, value)).or_default();
            if run.again {
                count.again = count.again.saturating_sub(1);
                count.forget(run);
            }
            count.add((&run.tenant, run.run), false);
        }
        for (key, _) in self.limits.rates(&run.tenant).filter(|(_, l)| l.counts(&run.tags)) {
            self.rates.entry(key).or_default().push_back(now);
        }
    }
}

impl Count {
    fn add(&mut self, (tenant, run): (&TenantId, RunId), waits: bool) {
        if waits {
            self.again = self.again.saturating_add(1);
        } else {
            self.in_progress = self.in_progress.saturating_add(1);
        }
        let holders = self.holders.entry(tenant.clone()).or_default();
        if holders.len() <= HOLDERS_MAX {
            holders.push(run);
        }
    }

    fn forget(&mut self, run: &QueuedRun) {
        if let Some(holders) = self.holders.get_mut(&run.tenant) {
            holders.retain(|holder| *holder != run.run);
        }
    }

    /// Others that `run` waits for. Another tenant's runs are none of this one's business.
    fn holders(&self, run: &QueuedRun) -> Vec<Holder> {
        let own = self.holders.get(&run.tenant).into_iter().flatten();
        let others = own.filter(|holder| **holder != run.run).take(HOLDERS_MAX);
        others.map(|run| Holder { run: *run, step: None }).collect()
    }

    /// What counts against `run`. Those that are tried again keep their places from new runs, but
    /// not from each other: else two of them could wait for each other for ever.
    fn before(&self, run: &QueuedRun) -> u32 {
        if run.again { self.in_progress } else { self.in_progress.saturating_add(self.again) }
    }
}
