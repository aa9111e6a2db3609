//! The queue by example: one visible difference from the default each.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_model::{
    HoldReason, Holder, HumanDuration, LimitFrom, LimitScope, QueueDef, RateLimit, RunId, TagLimit,
    TagValues, TenantId, Timestamp,
};

use super::*;

fn now() -> Timestamp {
    Timestamp::from_micros(1_000_000_000)
}

fn id(number: u32) -> RunId {
    let mut random = [0; 10];
    random[6..].copy_from_slice(&number.to_be_bytes());
    RunId::new(Timestamp::from_micros(i64::from(number) * 1_000), random)
}

fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn run(number: u32, priority: i64) -> QueuedRun {
    tagged("default", number, &[("priority", &priority.to_string())]).with_priority(priority)
}

fn tagged(of: &str, number: u32, pairs: &[(&str, &str)]) -> QueuedRun {
    let (tags, lane) = (tags(pairs), format!("{pairs:?}"));
    let tenant = tenant(of);
    QueuedRun { tenant, run: id(number), priority: 0, tags, lane, again: false }
}

impl QueuedRun {
    fn with_priority(self, priority: i64) -> Self {
        Self { priority, ..self }
    }

    fn counted(&self) -> CountedRun {
        let Self { tenant, run, tags, .. } = self.clone();
        CountedRun { tenant, run, tags, waits: self.again }
    }
}

fn snapshot(queued: Vec<QueuedRun>) -> QueueSnapshot {
    QueueSnapshot { queued, launches_max: 1_000, ..QueueSnapshot::default() }
}

fn limited(values: TagValues, limit: u32) -> Arc<Limits> {
    let scope = LimitScope::Tenant;
    let limit = TagLimit { key: "quarter".to_owned(), values, limit, scope };
    of_default(&QueueDef { tag_limits: vec![limit], ..QueueDef::default() })
}

fn of_default(queue: &QueueDef) -> Arc<Limits> {
    let mut limits = Limits::default();
    limits.add([tenant("default")].iter(), queue);
    limits.into()
}

fn launched(decision: &QueueDecision) -> Vec<RunId> {
    decision.launch.iter().map(|(_, run)| *run).collect()
}

#[test]
fn r014_r145_the_free_places_go_to_the_highest_priority_and_then_to_the_oldest() {
    let snapshot = QueueSnapshot {
        in_progress: BTreeMap::from([(tenant("default"), 1)]),
        max_in_progress: Some(3),
        ..snapshot(vec![run(1, 0), run(2, 0), run(3, 5), run(4, -1)])
    };
    let decision = decide(&snapshot, now());
    assert_eq!(launched(&decision), [id(3), id(1)]);
    let waits = HoldReason::NoFreeSlot {
        limit: 3,
        over: 0,
        from: LimitFrom::Settings,
        held_by: Vec::new(),
    };
    assert_eq!(decision.hold[0], (tenant("default"), id(2), waits));
}

#[test]
fn without_a_limit_everything_starts_up_to_what_one_decision_may() {
    let all = snapshot((0..100).map(|number| run(number, 0)).collect());
    assert_eq!(decide(&all, now()).launch.len(), 100);
    let some = QueueSnapshot { launches_max: 7, ..all };
    let decision = decide(&some, now());
    assert_eq!((decision.launch.len(), decision.more), (7, true));
}

#[test]
fn r126_a_limit_for_each_value_lets_two_values_run_and_one_value_wait_for_itself() {
    let queued = vec![
        tagged("default", 1, &[("quarter", "Q1")]),
        tagged("default", 2, &[("quarter", "Q1")]),
        tagged("default", 3, &[("quarter", "Q2")]),
    ];
    let each = QueueSnapshot { limits: limited(TagValues::Each, 1), ..snapshot(queued.clone()) };
    let decision = decide(&each, now());
    assert_eq!(launched(&decision), [id(1), id(3)]);
    let held_by = vec![Holder { run: id(1), step: None }];
    let (key, value) = ("quarter".to_owned(), Some("Q1".to_owned()));
    let scope = LimitScope::Tenant;
    let reason = HoldReason::TagLimit { key, value, limit: 1, over: 0, scope, held_by };
    assert_eq!(decision.hold, [(tenant("default"), id(2), reason)]);

    let all = QueueSnapshot { limits: limited(TagValues::All, 1), ..snapshot(queued.clone()) };
    assert_eq!(launched(&decide(&all, now())), [id(1)]);
    let one = limited(TagValues::One("Q2".to_owned()), 0);
    let one = QueueSnapshot { limits: one, ..snapshot(queued) };
    assert_eq!(launched(&decide(&one, now())), [id(1), id(2)]);
}

#[test]
fn r125_a_run_that_is_tried_again_keeps_its_place_from_new_ones_and_takes_it() {
    let failed = QueuedRun { again: true, ..tagged("default", 9, &[("quarter", "Q1")]) };
    let new = tagged("default", 1, &[("quarter", "Q1")]);
    let limits = limited(TagValues::Each, 1);
    let counted = vec![failed.counted()];
    let pending = QueueSnapshot {
        limits: limits.clone(),
        counted: counted.clone(),
        ..snapshot(vec![new.clone()])
    };
    let decision = decide(&pending, now());
    assert!(decision.launch.is_empty());
    let (_, _, HoldReason::TagLimit { held_by, .. }) = &decision.hold[0] else { panic!() };
    assert_eq!(held_by[0].run, id(9), "what is about to be tried again is named");

    let failed = QueuedRun { lane: lane_again(&failed.lane), ..failed };
    let both = QueueSnapshot { counted, limits, ..snapshot(vec![new, failed]) };
    assert_eq!(launched(&decide(&both, now())), [id(9)]);
}

#[test]
fn two_runs_that_are_tried_again_do_not_wait_for_each_other() {
    let again =
        |number| QueuedRun { again: true, ..tagged("default", number, &[("quarter", "Q1")]) };
    let snapshot = QueueSnapshot {
        limits: limited(TagValues::Each, 1),
        counted: vec![again(1).counted(), again(2).counted()],
        ..snapshot(vec![again(1), again(2)])
    };
    assert_eq!(launched(&decide(&snapshot, now())), [id(1)]);
}

#[test]
fn a_tenants_limit_counts_its_own_runs_and_the_instances_those_of_all() {
    let queued = || vec![tagged("a", 1, &[("gpu", "1")]), tagged("b", 2, &[("gpu", "1")])];
    let limits = |scope| -> Arc<Limits> {
        let values = TagValues::All;
        let limit = TagLimit { key: "gpu".to_owned(), values, limit: 1, scope };
        let queue = QueueDef { tag_limits: vec![limit], ..QueueDef::default() };
        let mut limits = Limits::default();
        limits.add([tenant("a"), tenant("b")].iter(), &queue);
        limits.into()
    };
    let own = QueueSnapshot { limits: limits(LimitScope::Tenant), ..snapshot(queued()) };
    assert_eq!(decide(&own, now()).launch.len(), 2);
    let all = QueueSnapshot { limits: limits(LimitScope::Instance), ..snapshot(queued()) };
    let decision = decide(&all, now());
    assert_eq!(decision.launch.len(), 1);
    let why = decision.hold[0].2.to_string();
    let wanted = "limit 1 for tag `gpu` of all tenants is reached by runs of other tenants";
    assert_eq!(why, wanted, "another tenant's run is not named");
}

#[test]
fn a_rate_limit_holds_until_its_oldest_start_is_old_enough() {
    let (key, value) = (None, None);
    let (limit, per, scope) = (2, HumanDuration::from_secs(60), LimitScope::Tenant);
    let rate = RateLimit { key, value, limit, per, scope };
    let ago = |seconds: i64| RecentStart {
        tenant: tenant("default"),
        at: Timestamp::from_micros(now().as_micros() - seconds * 1_000_000),
        tags: BTreeMap::new(),
    };
    let snapshot = QueueSnapshot {
        starts: vec![ago(10), ago(61)],
        limits: of_default(&QueueDef { rate_limits: vec![rate], ..QueueDef::default() }),
        ..snapshot(vec![run(1, 0), run(2, 0)])
    };
    let decision = decide(&snapshot, now());
    assert_eq!(launched(&decision), [id(1)]);
    assert_eq!(decision.look_again, Some(ago(10).at.after(per.0)));
}

/// Starts runs one after the other, each ending before the next starts, and says whose they were.
fn alternate(mut snapshot: QueueSnapshot, starts: usize) -> Vec<String> {
    let mut order = Vec::new();
    for _ in 0..starts {
        let decision = decide(&snapshot, now());
        let (tenant, run) = decision.launch[0].clone();
        snapshot.queued.retain(|queued| queued.run != run);
        snapshot.served.extend(decision.served);
        order.push(tenant.to_string());
    }
    order
}

#[test]
fn r116_one_tenants_thousand_runs_do_not_keep_another_waiting() {
    let many = (0..1_000).map(|number| tagged("a", number, &[]));
    let crowd = QueueSnapshot {
        max_in_progress: Some(1),
        launches_max: 1,
        served: BTreeMap::from([(tenant("a"), 500_000_000)]),
        ..snapshot(many.chain([tagged("b", 5_000, &[])]).collect())
    };
    let order = alternate(crowd, 2);
    assert!(order.contains(&"b".to_owned()), "{order:?}");
}

#[test]
fn r116_places_are_shared_by_weight() {
    let runs = |of: &'static str| (0..100).map(move |n| tagged(of, n, &[]));
    let limits = Limits { weights: BTreeMap::from([(tenant("a"), 3)]), ..Limits::default() };
    let mut queued: Vec<QueuedRun> = runs("a").collect();
    queued.extend((100..200).map(|n| tagged("b", n, &[])));
    let order = alternate(
        QueueSnapshot {
            limits: limits.into(),
            max_in_progress: Some(1),
            launches_max: 1,
            ..snapshot(queued)
        },
        40,
    );
    assert_eq!(order.iter().filter(|of| *of == "a").count(), 30);
}

#[test]
fn a_lane_that_is_held_lets_the_others_of_its_tenant_pass() {
    let mut queued: Vec<QueuedRun> =
        (0..50).map(|n| tagged("default", n, &[("quarter", "Q1")])).collect();
    queued.push(tagged("default", 99, &[]));
    let snapshot = QueueSnapshot { limits: limited(TagValues::Each, 1), ..snapshot(queued) };
    let decision = decide(&snapshot, now());
    assert_eq!(launched(&decision), [id(0), id(99)]);
    assert_eq!(decision.hold.len(), 1, "one reason stands for the lane");
}

#[test]
fn runs_under_the_same_limits_share_a_lane_and_higher_priorities_sort_first() {
    let limits = limited(TagValues::Each, 1);
    let lane = |priority, pairs: &[(&str, &str)]| {
        lane_of(&limits, &tenant("default"), priority, &tags(pairs))
    };
    let first = lane(0, &[("quarter", "Q1"), ("run_key", "1")]);
    assert_eq!(first, lane(0, &[("quarter", "Q1"), ("run_key", "2")]));
    assert_ne!(first, lane(0, &[("quarter", "Q2")]));
    assert!(lane(5, &[]) < lane(0, &[]) && lane(0, &[]) < lane(-1, &[]));
    assert!(lane(5, &[]) < lane_again(&lane(5, &[])) && lane_again(&lane(5, &[])) < lane(0, &[]));
}

#[test]
fn a_limit_names_the_key_that_says_it() {
    let full = |max_from| {
        let in_progress = BTreeMap::from([(tenant("default"), 3)]);
        let of = snapshot(vec![run(1, 0)]);
        decide(&QueueSnapshot { in_progress, max_in_progress: Some(3), max_from, ..of }, now())
    };
    let why = |decision: QueueDecision| decision.hold[0].2.to_string();
    let set = "3 of 3 runs of the instance are in progress (the instance's max_concurrent_runs)";
    assert_eq!(why(full(LimitFrom::Settings)), set);
    let raised = "3 of 3 runs of the instance are in progress (the largest \
                  queue.max_concurrent_runs in definition files)";
    assert_eq!(why(full(LimitFrom::Definitions)), raised);
    let own = QueueSnapshot {
        in_progress: BTreeMap::from([(tenant("default"), 2)]),
        limits: of_default(&QueueDef { max_concurrent_runs: Some(2), ..QueueDef::default() }),
        ..snapshot(vec![run(1, 0)])
    };
    let own_limit = "2 of 2 runs of this tenant are in progress (queue.max_concurrent_runs in its \
                     definition files)";
    assert_eq!(why(decide(&own, now())), own_limit);
}

#[test]
fn over_a_limit_that_was_lowered_the_runs_are_counted_and_how_many_must_end() {
    let going = BTreeMap::from([(tenant("default"), 10)]);
    let of = || QueueSnapshot { in_progress: going.clone(), ..snapshot(vec![run(1, 0)]) };
    let why = |snapshot: &QueueSnapshot| decide(snapshot, now()).hold[0].2.to_string();
    let all = QueueSnapshot { max_in_progress: Some(3), ..of() };
    let wanted = "10 runs of the instance are in progress; 3 may be, and 8 must end first (the \
                  instance's max_concurrent_runs)";
    assert_eq!(why(&all), wanted);
    let own = |limit| {
        let queue = QueueDef { max_concurrent_runs: Some(limit), ..QueueDef::default() };
        why(&QueueSnapshot { limits: of_default(&queue), ..of() })
    };
    let of_tenant = "10 runs of this tenant are in progress; ";
    assert!(own(3).starts_with(&format!("{of_tenant}3 may be, and 8 must end first (")));
    assert!(own(0).starts_with(&format!("{of_tenant}none may be (")), "no end helps");
}

#[test]
fn a_tag_limit_names_all_that_it_counts_or_says_how_many_they_are() {
    let why = |limit, going: u32| {
        let q1 = |number| tagged("default", number, &[("quarter", "Q1")]);
        let counted = (1..=going).map(|number| q1(number).counted()).collect();
        let limits = limited(TagValues::Each, limit);
        let snapshot = QueueSnapshot { counted, limits, ..snapshot(vec![q1(9)]) };
        decide(&snapshot, now()).hold[0].2.to_string()
    };
    let names = |count| {
        let names: Vec<String> = (1..=count).map(|n| format!("run {}", id(n).short())).collect();
        names.join(", ")
    };
    let limit = |limit: u32| format!("limit {limit} for tag `quarter=Q1` is reached by ");
    assert_eq!(why(2, 2), format!("{}{}", limit(2), names(2)));
    assert_eq!(why(5, 5), format!("{}5 runs, among them {}", limit(5), names(3)));
    assert_eq!(why(1, 3), format!("{}3 runs: {}; 3 must end first", limit(1), names(3)));
    let among = format!("{}5 runs, among them {}; 4 must end first", limit(2), names(3));
    assert_eq!(why(2, 5), among);
}
