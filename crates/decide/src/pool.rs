//! Which steps get the slots of the pools they wait for.
//!
//! Pure: [`grant`] maps a [`PoolSnapshot`] to decisions; `control::pools` loads the one and carries
//! the others out, under the queue's lease. What is held is a list of holders: nothing is counted
//! up or down between two decisions, so nothing can drift.
//!
//! Within a pool the highest priority goes first, and then who asked first. A step that needs more
//! slots than are free keeps those behind it waiting: else small steps could pass a large one for
//! ever.
//!
//! **Invariant.** Slots are granted only up to the pool's size; a step that needs more than the
//! pool has, because it was made smaller, goes alone.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::{
    Ahead, HoldReason, Holder, LimitScope, PoolDef, PoolName, RunId, StepKey, TenantId, Timestamp,
};

/// Holders that a reason names.
const HOLDERS_MAX: usize = 3;

/// Who waits for slots, who holds some, and how many there are.
#[derive(Debug, Clone, Default)]
pub struct PoolSnapshot {
    /// The steps that wait, in any order.
    pub waiting: Vec<Waiting>,
    /// The steps that hold slots.
    pub held: Vec<Held>,
    /// The pools as each tenant's definitions declare them.
    pub pools: BTreeMap<(TenantId, PoolName), PoolDef>,
}

/// A step of a run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StepOfRun {
    /// The tenant.
    pub tenant: TenantId,
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: StepKey,
}

/// A step that holds slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The step.
    pub step: StepOfRun,
    /// The pool.
    pub pool: PoolName,
    /// How many of its slots.
    pub slots: u32,
}

/// A step that waits for slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The step.
    pub step: StepOfRun,
    /// The pool.
    pub pool: PoolName,
    /// How many of its slots it needs.
    pub slots: u32,
    /// Higher goes first.
    pub priority: i64,
    /// When it asked.
    pub asked_at: Timestamp,
}

/// What becomes of the steps that wait.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolDecision {
    /// The steps that get their slots.
    pub grant: Vec<StepOfRun>,
    /// Why the first step of each tenant in each pool waits; the others wait [`behind`] it.
    pub hold: Vec<(StepOfRun, HoldReason)>,
}

/// A pool: a tenant's own, or one of the instance.
type PoolKey<'a> = (Option<&'a TenantId>, &'a PoolName);

/// What is known of one pool.
#[derive(Default)]
struct Pool<'a> {
    slots: u32,
    held: u32,
    holders: Vec<(&'a StepOfRun, u32)>,
    /// The step at the head, which did not fit.
    head: Option<&'a Waiting>,
}

/// Decides who gets slots.
pub fn grant(snapshot: &PoolSnapshot) -> PoolDecision {
    let mut pools: BTreeMap<PoolKey<'_>, Pool<'_>> = BTreeMap::new();
    for held in &snapshot.held {
        let (key, _) = snapshot.pool(&held.step.tenant, &held.pool);
        let pool = pools.entry(key).or_default();
        pool.held = pool.held.saturating_add(held.slots);
        pool.holders.push((&held.step, held.slots));
    }
    let mut waiting: Vec<&Waiting> = snapshot.waiting.iter().collect();
    waiting.sort_by_key(|it| (std::cmp::Reverse(it.priority), it.asked_at, &it.step));
    let mut decision = PoolDecision::default();
    let mut told = BTreeSet::new();
    for claim in waiting {
        let (key, slots) = snapshot.pool(&claim.step.tenant, &claim.pool);
        let pool = pools.entry(key).or_default();
        pool.slots = slots.unwrap_or(u32::MAX);
        if pool.takes(claim.slots) {
            pool.held = pool.held.saturating_add(claim.slots);
            pool.holders.push((&claim.step, claim.slots));
            decision.grant.push(claim.step.clone());
            continue;
        }
        if told.insert((&claim.step.tenant, &claim.pool)) {
            decision.hold.push((claim.step.clone(), pool.reason(claim)));
        }
        pool.head.get_or_insert(claim);
    }
    decision
}

/// Why a step that needs so many slots waits behind `first`, of which it is stored why it waits.
pub fn behind((first, hold): (&Waiting, &HoldReason), slots: u32) -> HoldReason {
    let mut hold = hold.clone();
    if let HoldReason::PoolFull { needs, behind, .. } = &mut hold {
        *needs = slots;
        *behind = Some(Ahead { needs: first.slots, step: Some(holder(&first.step)) });
    }
    hold
}

fn holder(step: &StepOfRun) -> Holder {
    Holder { run: step.run, step: Some(step.step.clone()) }
}

impl PoolSnapshot {
    /// Which pool a name means for a tenant, and its slots; none when no file declares it any more,
    /// which limits nothing.
    fn pool<'a>(&'a self, tenant: &'a TenantId, name: &'a PoolName) -> (PoolKey<'a>, Option<u32>) {
        let def = self.pools.get(&(tenant.clone(), name.clone()));
        let owner = match def.map(|def| def.scope) {
            Some(LimitScope::Instance) => None,
            Some(LimitScope::Tenant) | None => Some(tenant),
        };
        ((owner, name), def.map(|def| def.slots))
    }
}

impl Pool<'_> {
    fn takes(&self, slots: u32) -> bool {
        if self.head.is_some() || self.slots == 0 {
            return false;
        }
        self.held == 0 || self.held.saturating_add(slots) <= self.slots
    }

    fn reason(&self, claim: &Waiting) -> HoldReason {
        // Another tenant's runs are none of this one's business.
        let is_own = |step: &StepOfRun| step.tenant == claim.step.tenant;
        let mut own = self.holders.iter().filter(|(step, _)| is_own(step));
        let others = self.holders.iter().filter(|(step, _)| !is_own(step));
        HoldReason::PoolFull {
            pool: claim.pool.clone(),
            slots: self.slots,
            held: self.held,
            needs: claim.slots,
            held_by: own.by_ref().take(HOLDERS_MAX).map(|(step, _)| holder(step)).collect(),
            held_by_more: u32::try_from(own.count()).unwrap_or(u32::MAX),
            held_by_others: others.fold(0, |sum, (_, slots)| sum.saturating_add(*slots)),
            behind: self.head.map(|head| Ahead {
                needs: head.slots,
                step: is_own(&head.step).then(|| holder(&head.step)),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(tenant: &str, number: u8) -> StepOfRun {
        StepOfRun {
            tenant: tenant.parse().unwrap(),
            run: RunId::new(Timestamp::from_micros(0), [number; 10]),
            step: "extract".parse().unwrap(),
        }
    }

    fn waits(tenant: &str, number: u8, slots: u32) -> Waiting {
        let (pool, asked_at) = (name(), Timestamp::from_micros(i64::from(number)));
        Waiting { step: step(tenant, number), pool, slots, priority: 0, asked_at }
    }

    fn name() -> PoolName {
        "warehouse".parse().unwrap()
    }

    fn of(slots: u32, scope: LimitScope, waiting: Vec<Waiting>) -> PoolSnapshot {
        let pools = ["a", "b"].map(|it| ((it.parse().unwrap(), name()), PoolDef { slots, scope }));
        PoolSnapshot { waiting, held: Vec::new(), pools: pools.into() }
    }

    #[test]
    fn r149_of_ten_steps_two_get_the_two_slots_and_the_next_says_who_has_them() {
        let ten = (0..10).map(|number| waits("a", number, 1)).collect();
        let decision = grant(&of(2, LimitScope::Tenant, ten));
        assert_eq!(decision.grant, [step("a", 0), step("a", 1)]);
        let (first, reason) = &decision.hold[0];
        assert_eq!((first, decision.hold.len()), (&step("a", 2), 1));
        let text = reason.to_string();
        assert!(text.starts_with("waiting for pool `warehouse` (2 of 2 slots held by `extract`"));
    }

    #[test]
    fn the_holders_of_a_pool_that_are_not_named_are_counted() {
        let held = (0..6).map(|number| Held { step: step("a", number), pool: name(), slots: 1 });
        let waiting = vec![waits("a", 9, 1)];
        let held = held.collect();
        let decision = grant(&PoolSnapshot { held, ..of(2, LimitScope::Tenant, waiting) });
        let named: Vec<String> =
            (0..3).map(|it| format!("`extract` of run {}", step("a", it).run.short())).collect();
        let named = named.join(", ");
        let wanted =
            format!("waiting for pool `warehouse` (6 of 2 slots held by {named} and 3 more)");
        assert_eq!(decision.hold[0].1.to_string(), wanted);
    }

    #[test]
    fn a_step_that_needs_many_slots_is_not_passed_by_those_that_need_few() {
        let waiting = vec![waits("a", 1, 3), waits("a", 2, 1)];
        let held = vec![Held { step: step("a", 0), pool: name(), slots: 2 }];
        let snapshot = PoolSnapshot { held, ..of(4, LimitScope::Tenant, waiting) };
        assert!(grant(&snapshot).grant.is_empty());
        let free = PoolSnapshot { held: Vec::new(), ..snapshot };
        assert_eq!(grant(&free).grant.len(), 2);
    }

    #[test]
    fn a_step_behind_another_says_what_it_needs_itself_and_behind_whom_it_waits() {
        let (large, small) = (waits("a", 1, 2), waits("a", 2, 1));
        let held = vec![Held { step: step("a", 0), pool: name(), slots: 1 }];
        let waiting = vec![large.clone(), small.clone()];
        let decision = grant(&PoolSnapshot { held, ..of(2, LimitScope::Tenant, waiting) });
        let (first, reason) = &decision.hold[0];
        let held = format!(
            "waiting for pool `warehouse` (1 of 2 slots held by `extract` of run {}; ",
            step("a", 0).run.short()
        );
        assert_eq!(reason.to_string(), format!("{held}2 are needed)"));
        assert_eq!(first, &large.step);
        let ahead = format!("behind `extract` of run {}", first.run.short());
        let text = behind((&large, reason), small.slots).to_string();
        assert_eq!(text, format!("{held}1 is needed, {ahead}, which needs 2)"));
        let text = behind((&small, reason), small.slots).to_string();
        assert!(text.ends_with(&format!("; behind `extract` of run {})", small.step.run.short())));
    }

    #[test]
    fn behind_another_tenants_step_a_step_waits_and_does_not_name_it() {
        let held = vec![Held { step: step("b", 0), pool: name(), slots: 1 }];
        let waiting = vec![waits("b", 1, 2), waits("a", 2, 1)];
        let decision = grant(&PoolSnapshot { held, ..of(2, LimitScope::Instance, waiting) });
        let wanted = "waiting for pool `warehouse` (1 of 2 slots held, 1 by other tenants; 1 is \
                      needed, behind a step of another tenant, which needs 2)";
        assert_eq!(decision.hold[1].1.to_string(), wanted);
    }

    #[test]
    fn other_tenants_may_hold_more_slots_than_can_be_counted() {
        let held = [0, 1].map(|number| {
            let step = step("b", number);
            Held { step, pool: name(), slots: u32::MAX }
        });
        let of = of(1, LimitScope::Instance, vec![waits("a", 2, 1)]);
        let decision = grant(&PoolSnapshot { held: held.into(), ..of });
        let HoldReason::PoolFull { held_by_others, .. } = &decision.hold[0].1 else { panic!() };
        assert_eq!(*held_by_others, u32::MAX);
    }

    #[test]
    fn a_pool_without_slots_says_that_it_has_none() {
        let decision = grant(&of(0, LimitScope::Tenant, vec![waits("a", 1, 1)]));
        let text = decision.hold[0].1.to_string();
        assert_eq!(text, "waiting for pool `warehouse`, which has no slots");
    }

    #[test]
    fn a_pool_is_each_tenants_own_unless_it_is_the_instances() {
        let waiting = || vec![waits("a", 1, 1), waits("b", 2, 1)];
        assert_eq!(grant(&of(1, LimitScope::Tenant, waiting())).grant.len(), 2);
        let shared = grant(&of(1, LimitScope::Instance, waiting()));
        assert_eq!(shared.grant, [step("a", 1)]);
        let HoldReason::PoolFull { held_by, held, .. } = &shared.hold[0].1 else { panic!() };
        assert_eq!((held_by.len(), *held), (0, 1), "another tenant's run is not named");
    }

    #[test]
    fn a_pool_that_became_too_small_lets_a_large_step_go_alone_and_an_empty_one_nothing() {
        let shrunk = of(2, LimitScope::Tenant, vec![waits("a", 1, 3), waits("a", 2, 1)]);
        assert_eq!(grant(&shrunk).grant, [step("a", 1)]);
        let closed = of(0, LimitScope::Tenant, vec![waits("a", 1, 1)]);
        assert!(grant(&closed).grant.is_empty());
    }
}
