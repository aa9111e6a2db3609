//! Whose turn it is: tenants share the places by weight.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use millstream_model::TenantId;

use super::{QueueSnapshot, QueuedRun};

/// What one launch of a tenant with weight 1 counts.
const SHARE: i64 = 1_000_000;

/// The runs of each tenant in their order, and the order of the tenants.
pub(super) struct Turns<'a> {
    waiting: BTreeMap<&'a TenantId, VecDeque<&'a QueuedRun>>,
    /// Tenants with runs that wait, the one whose turn it is first.
    order: BTreeSet<Turn<'a>>,
    weights: &'a BTreeMap<TenantId, u32>,
    in_progress: BTreeMap<&'a TenantId, u32>,
    served: BTreeMap<&'a TenantId, i64>,
    changed: BTreeSet<&'a TenantId>,
    total: u32,
}

/// The places that a tenant holds by weight, what it has had, and who it is.
type Turn<'a> = (i64, i64, &'a TenantId);

impl<'a> Turns<'a> {
    pub(super) fn new(snapshot: &'a QueueSnapshot) -> Self {
        let mut waiting: BTreeMap<&TenantId, Vec<&QueuedRun>> = BTreeMap::new();
        for run in &snapshot.queued {
            waiting.entry(&run.tenant).or_default().push(run);
        }
        for runs in waiting.values_mut() {
            runs.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.run.cmp(&b.run)));
        }
        // Who comes back after a while has saved nothing up: it is one share behind the others.
        let most = snapshot.served.values().max().copied().unwrap_or(SHARE);
        let served = waiting.keys().map(|tenant| {
            let had = snapshot.served.get(*tenant).copied().unwrap_or(0);
            (*tenant, had.max(most - SHARE))
        });
        let mut turns = Self {
            served: served.collect(),
            waiting: waiting.into_iter().map(|(tenant, runs)| (tenant, runs.into())).collect(),
            order: BTreeSet::new(),
            weights: &snapshot.limits.weights,
            in_progress: snapshot.in_progress.iter().map(|(tenant, n)| (tenant, *n)).collect(),
            changed: BTreeSet::new(),
            total: snapshot.in_progress.values().sum(),
        };
        let tenants: Vec<&TenantId> = turns.waiting.keys().copied().collect();
        turns.order = tenants.into_iter().map(|tenant| turns.turn(tenant)).collect();
        turns
    }

    fn weight(&self, tenant: &TenantId) -> i64 {
        i64::from(self.weights.get(tenant).copied().unwrap_or(1).max(1))
    }

    fn turn(&self, tenant: &'a TenantId) -> Turn<'a> {
        let held = i64::from(self.in_progress_of(tenant)) * SHARE / self.weight(tenant);
        (held, self.served.get(tenant).copied().unwrap_or(0), tenant)
    }

    /// The next run of the tenant whose turn it is.
    pub(super) fn next(&mut self) -> Option<&'a QueuedRun> {
        loop {
            let tenant = self.order.first()?.2;
            match self.waiting.get_mut(tenant).and_then(VecDeque::pop_front) {
                Some(run) => return Some(run),
                None => self.order.pop_first(),
            };
        }
    }

    /// A run of `tenant`, whose turn it was, starts.
    pub(super) fn launched(&mut self, tenant: &'a TenantId) {
        self.order.remove(&self.turn(tenant));
        *self.in_progress.entry(tenant).or_default() += 1;
        *self.served.entry(tenant).or_default() += SHARE / self.weight(tenant);
        self.total = self.total.saturating_add(1);
        self.changed.insert(tenant);
        self.order.insert(self.turn(tenant));
    }

    /// How many runs hold a place.
    pub(super) fn in_progress(&self) -> u32 {
        self.total
    }

    /// How many runs of `tenant` hold a place.
    pub(super) fn in_progress_of(&self, tenant: &TenantId) -> u32 {
        self.in_progress.get(tenant).copied().unwrap_or(0)
    }

    /// What those whose runs were launched have had now.
    pub(super) fn served(self) -> BTreeMap<TenantId, i64> {
        let had = |tenant: &&TenantId| self.served.get(*tenant).copied().unwrap_or(0);
        self.changed.iter().map(|tenant| ((*tenant).clone(), had(tenant))).collect()
    }
}
