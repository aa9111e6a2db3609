//! The lanes of the queue over all tenants, what counts against limits, and the slots of pools.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::worker_api::WaitingStep;
use millstream_model::{HoldReason, LimitFrom, PoolUse, RunId, RunStatus, TenantId};
use millstream_store::queue::{self, HeadsPage, LaneHead};
use millstream_store::{Batch, Store, live, slots};

use crate::conformance;
use crate::databases::Db;
use crate::fixture::{at, claimed, conflict, hold_lease, queue, queued, run_id, tenant};

conformance! {
    each_lane_of_each_tenant_shows_its_first_runs,
    a_pass_goes_on_behind_the_lane_where_the_last_one_stopped,
    runs_that_wait_are_moved_to_other_lanes,
    reasons_are_stored_only_while_runs_wait,
    what_has_started_is_known_with_its_labels_until_it_is_old,
    what_tenants_have_had_is_kept,
    a_run_that_is_about_to_be_tried_again_counts_as_one_that_waits,
    a_run_that_goes_back_to_the_queue_waits_behind_no_new_one,
    a_place_in_the_queue_is_counted_by_priority_and_age,
    slots_are_asked_for_granted_held_and_freed,
    slots_are_granted_under_the_lease_alone,
    an_attempt_of_an_older_epoch_asks_for_nothing,
    a_step_whose_worker_is_lost_keeps_its_place_and_gets_nothing_there,
    who_waits_for_a_pool_first_and_what_each_tenant_holds_is_told,
    the_oldest_runs_in_progress_of_a_tenant_are_told,
}

const PAGE: HeadsPage = HeadsPage { runs: 6, lanes: 10 };

async fn heads(store: &Store, page: HeadsPage, resumed: &[(&str, &str)]) -> Vec<LaneHead> {
    let resumed = resumed.iter().map(|(of, lane)| (tenant(of), (*lane).to_owned()));
    store.lane_heads(page, &resumed.collect()).await.unwrap()
}

fn ids(heads: &[LaneHead]) -> Vec<RunId> {
    heads.iter().map(|head| head.run).collect()
}

/// Ten runs of `a`, five of each of two priorities, and one of `b`.
async fn eleven_runs(store: &Store) {
    for number in 0..10 {
        let priority = if number < 5 { 0 } else { 7 };
        store.apply(queued(&tenant("a"), run_id(number), priority)).await.unwrap();
    }
    queue(store, &tenant("b"), run_id(20)).await;
}

async fn each_lane_of_each_tenant_shows_its_first_runs(db: Db) {
    eleven_runs(&db.store).await;
    let found = heads(&db.store, PAGE, &[]).await;
    let first: Vec<RunId> = [5, 6, 7, 0, 1, 2, 20].map(run_id).into();
    assert_eq!(ids(&found), first, "two of each lane, one to spare, highest priority first");
    let lanes: Vec<u32> = found.iter().map(|head| head.lane_number).collect();
    assert_eq!(lanes, [1, 1, 1, 2, 2, 2, 1]);
    let none = HeadsPage { runs: 0, ..PAGE };
    let each = heads(&db.store, none, &[]).await;
    assert_eq!(ids(&each), [5, 0, 20].map(run_id), "one of each lane at least");
}

async fn a_pass_goes_on_behind_the_lane_where_the_last_one_stopped(db: Db) {
    eleven_runs(&db.store).await;
    let one = HeadsPage { runs: 0, lanes: 1 };
    let first = heads(&db.store, one, &[]).await;
    assert_eq!(ids(&first), [5, 20].map(run_id));
    let next = heads(&db.store, one, &[("a", &first[0].lane)]).await;
    assert_eq!(ids(&next), [0, 20].map(run_id));
}

async fn runs_that_wait_are_moved_to_other_lanes(db: Db) {
    eleven_runs(&db.store).await;
    let (a, moved) = (tenant("a"), run_id(9));
    db.store.apply(queue::set_lanes([(&a, moved, "1-gpu")].into_iter())).await.unwrap();
    let found = heads(&db.store, PAGE, &[]).await;
    assert!(found.iter().any(|head| head.run == moved && head.lane == "1-gpu"));
}

async fn reasons_are_stored_only_while_runs_wait(db: Db) {
    let (a, waits, runs) = (tenant("a"), run_id(2), run_id(1));
    claimed(&db.store, &a, runs).await;
    queue(&db.store, &a, waits).await;
    let why = HoldReason::NoFreeSlot {
        limit: 1,
        over: 0,
        from: LimitFrom::Settings,
        held_by: Vec::new(),
    };
    let both = [(&a, waits, &why), (&a, runs, &why)].into_iter();
    db.store.apply(queue::set_holds(both)).await.unwrap();
    assert_eq!(heads(&db.store, PAGE, &[]).await[0].hold, Some(why.clone()));
    let row = |run| db.store.run(&a, run);
    assert_eq!(row(waits).await.unwrap().unwrap().hold, Some(why));
    assert_eq!(row(runs).await.unwrap().unwrap().hold, None);
}

async fn what_has_started_is_known_with_its_labels_until_it_is_old(db: Db) {
    let (a, run) = (tenant("a"), run_id(1));
    claimed(&db.store, &a, run).await;
    let mut batch = Batch::new(millstream_store::Scope::Daemon);
    queue::keep_starts(&mut batch, &[(a.clone(), run)], at(100), 60_000_000);
    db.store.apply(batch).await.unwrap();
    let known = db.store.starts_since(at(99)).await.unwrap();
    assert_eq!(known, [(a, at(100), BTreeMap::new())]);
    assert_eq!(db.store.starts_since(at(100)).await.unwrap(), []);

    let mut batch = Batch::new(millstream_store::Scope::Daemon);
    queue::keep_starts(&mut batch, &[], at(161), 60_000_000);
    db.store.apply(batch).await.unwrap();
    assert_eq!(db.store.starts_since(at(0)).await.unwrap(), []);
}

async fn what_tenants_have_had_is_kept(db: Db) {
    let mut had = BTreeMap::from([(tenant("a"), 500_000), (tenant("b"), 1)]);
    for served in [had.clone(), BTreeMap::from([(tenant("b"), 3_000_000)])] {
        let mut batch = Batch::new(millstream_store::Scope::Daemon);
        queue::keep_shares(&mut batch, &served);
        db.store.apply(batch).await.unwrap();
    }
    had.insert(tenant("b"), 3_000_000);
    assert_eq!(db.store.queue_shares().await.unwrap(), had);
}

async fn a_run_that_is_about_to_be_tried_again_counts_as_one_that_waits(db: Db) {
    let (a, runs, again, new) = (tenant("a"), run_id(1), run_id(2), run_id(3));
    claimed(&db.store, &a, runs).await;
    claimed(&db.store, &a, again).await;
    queue(&db.store, &a, new).await;
    let row = db.store.live_run(&a, again).await.unwrap().unwrap();
    let mut batch = Batch::for_tenant(&a);
    live::move_to(&mut batch, &row, millstream_model::RunStatus::Queued);
    db.store.apply(batch).await.unwrap();
    let counted = db.store.counted_runs().await.unwrap();
    let seen: BTreeSet<(RunId, bool)> = counted.iter().map(|it| (it.run, it.waits)).collect();
    assert_eq!(seen, [(runs, false), (again, true)].into());
    assert_eq!(db.store.in_progress_by_tenant().await.unwrap(), [(a, 1)].into());
}

async fn a_run_that_goes_back_to_the_queue_waits_behind_no_new_one(db: Db) {
    let (a, again, new) = (tenant("a"), run_id(2), run_id(1));
    claimed(&db.store, &a, again).await;
    for next in [Some(again), None] {
        let row = db.store.live_run(&a, again).await.unwrap().unwrap();
        let mut batch = Batch::for_tenant(&a);
        live::move_to(&mut batch, &row, millstream_model::RunStatus::Queued);
        db.store.apply(batch).await.unwrap();
        let next: Vec<_> = next.into_iter().map(|run| (a.clone(), run)).collect();
        db.store.apply(live::claim_queued_runs(&next, "d", 1)).await.unwrap();
    }
    queue(&db.store, &a, new).await;
    let one_of_each = HeadsPage { runs: 0, ..PAGE };
    let found = heads(&db.store, one_of_each, &[]).await;
    assert_eq!(ids(&found), [new, again]);
    assert_eq!(found[1].lane, format!("{}-again", found[0].lane));
}

async fn a_place_in_the_queue_is_counted_by_priority_and_age(db: Db) {
    eleven_runs(&db.store).await;
    let a = tenant("a");
    let place = |run, most| db.store.queue_place(&a, run, most);
    assert_eq!(place(run_id(5), 100).await.unwrap(), Some(1));
    assert_eq!(place(run_id(0), 100).await.unwrap(), Some(6));
    assert_eq!(place(run_id(4), 7).await.unwrap(), Some(7), "no further than was asked");
    assert_eq!(place(run_id(20), 100).await.unwrap(), None, "it is another tenant's");
    assert_eq!(db.store.first_in_queue(&a, 2).await.unwrap(), [5, 6].map(run_id));
    let line = [6, 20, 5].map(run_id);
    let among = async |job: &str| {
        let rows = db.store.runs_of_job_among(&a, &job.parse().unwrap(), &line).await.unwrap();
        rows.into_iter().map(|run| run.run_id).collect::<Vec<_>>()
    };
    assert_eq!(among("orders").await, [6, 5].map(run_id), "in the order of the line");
    assert_eq!(among("items").await, []);
    assert_eq!(db.store.count_waiting(&a).await.unwrap(), 10);
}

fn pool() -> PoolUse {
    PoolUse { name: "warehouse".parse().unwrap(), slots: 2 }
}

fn first_attempt() -> WaitingStep {
    WaitingStep { step: "extract".parse().unwrap(), attempt: 1 }
}

async fn ask(store: &Store, tenant: &TenantId, run: RunId, epoch: i64) {
    let mut batch = Batch::for_tenant(tenant);
    slots::ask(&mut batch, (tenant, run, epoch), &first_attempt(), &pool(), at(5));
    store.apply(batch).await.unwrap();
}

async fn slots_are_asked_for_granted_held_and_freed(db: Db) {
    let (a, run, step) = (tenant("a"), run_id(1), first_attempt());
    claimed(&db.store, &a, run).await;
    ask(&db.store, &a, run, 1).await;
    ask(&db.store, &a, run, 1).await;
    let waiting = db.store.slots_waited_for(10).await.unwrap();
    assert_eq!((waiting.len(), waiting[0].slots, waiting[0].asked_at), (1, 2, at(5)));
    let must_hold = || {
        let mut batch = Batch::for_tenant(&a);
        slots::must_hold(&mut batch, &a, run, &step);
        db.store.apply(batch)
    };
    assert_eq!(conflict(must_hold().await), "SLOTS_ARE_HELD");

    let steps = [(a.clone(), run, step.step.clone())].into_iter();
    db.store.apply(slots::grant(steps, "d", 1)).await.unwrap();
    must_hold().await.unwrap();
    assert_eq!(db.store.slots_held().await.unwrap().len(), 1);
    assert_eq!(db.store.slots_waited_for(10).await.unwrap(), []);

    let mut batch = Batch::for_tenant(&a);
    slots::free(&mut batch, &a, run, &step.step);
    db.store.apply(batch).await.unwrap();
    assert_eq!(db.store.slots_of_run(&a, run).await.unwrap(), []);
}

async fn slots_are_granted_under_the_lease_alone(db: Db) {
    let (a, run, step) = (tenant("a"), run_id(1), first_attempt().step);
    hold_lease(&db.store, "queue", "d").await;
    claimed(&db.store, &a, run).await;
    ask(&db.store, &a, run, 1).await;
    for (holder, fence) in [("e", 1), ("d", 2)] {
        let steps = [(a.clone(), run, step.clone())].into_iter();
        db.store.apply(slots::grant(steps, holder, fence)).await.unwrap();
        assert_eq!(db.store.slots_held().await.unwrap(), []);
    }
}

async fn an_attempt_of_an_older_epoch_asks_for_nothing(db: Db) {
    let (a, run) = (tenant("a"), run_id(1));
    claimed(&db.store, &a, run).await;
    ask(&db.store, &a, run, 0).await;
    assert_eq!(db.store.slots_of_tenant(&a, 10).await.unwrap(), []);
}

async fn a_step_whose_worker_is_lost_keeps_its_place_and_gets_nothing_there(db: Db) {
    let (a, run, step) = (tenant("a"), run_id(1), first_attempt().step);
    claimed(&db.store, &a, run).await;
    ask(&db.store, &a, run, 1).await;
    let grant = || {
        let steps = [(a.clone(), run, step.clone())].into_iter();
        db.store.apply(slots::grant(steps, "d", 1))
    };
    grant().await.unwrap();
    let lost = db.store.live_run(&a, run).await.unwrap().unwrap();
    let mut batch = Batch::for_tenant(&a);
    live::move_to(&mut batch, &lost, RunStatus::Queued);
    slots::keep_places(&mut batch, &a, run);
    db.store.apply(batch).await.unwrap();

    // As of a daemon that has looked before.
    grant().await.unwrap();
    assert_eq!(db.store.slots_held().await.unwrap(), []);
    assert_eq!(db.store.slots_waited_for(10).await.unwrap(), []);
    assert_eq!(db.store.first_waiting(&a, &pool().name).await.unwrap(), None);
    let kept = db.store.slots_of_tenant(&a, 9).await.unwrap();
    assert!(kept[0].is_kept_place() && kept.len() == 1, "{kept:?}");

    db.store.apply(live::claim_queued_runs(&[(a.clone(), run)], "d", 1)).await.unwrap();
    let again = WaitingStep { attempt: 2, ..first_attempt() };
    let mut batch = Batch::for_tenant(&a);
    slots::ask(&mut batch, (&a, run, 2), &again, &pool(), at(9));
    slots::ask(&mut batch, (&a, run, 2), &again, &pool(), at(10));
    db.store.apply(batch).await.unwrap();
    let waiting = db.store.slots_waited_for(10).await.unwrap();
    let [slot] = waiting.as_slice() else { panic!("{waiting:?}") };
    assert_eq!((slot.attempt, slot.epoch, slot.asked_at), (2, 2, at(5)));
    grant().await.unwrap();
    assert_eq!(db.store.slots_held().await.unwrap().len(), 1);
}

async fn who_waits_for_a_pool_first_and_what_each_tenant_holds_is_told(db: Db) {
    let (a, b, pool) = (tenant("a"), tenant("b"), pool().name);
    for (of, number) in [(&a, 1), (&a, 2), (&b, 3)] {
        claimed(&db.store, of, run_id(number)).await;
        ask(&db.store, of, run_id(number), 1).await;
    }
    let urgent = (a.clone(), run_id(4));
    db.store.apply(queued(&urgent.0, urgent.1, 7)).await.unwrap();
    let given = [(a.clone(), run_id(1)), (b.clone(), run_id(3))];
    let steps = given.iter().map(|(of, run)| (of.clone(), *run, first_attempt().step));
    db.store.apply(slots::grant(steps, "d", 1)).await.unwrap();
    let first = async |of| db.store.first_waiting(of, &pool).await.unwrap().map(|it| it.run);
    assert_eq!((first(&a).await, first(&b).await), (Some(run_id(2)), None));

    db.store.apply(live::claim_queued_runs(&[urgent], "d", 1)).await.unwrap();
    ask(&db.store, &a, run_id(4), 1).await;
    assert_eq!(first(&a).await, Some(run_id(4)), "a higher priority goes first");
    let order = db.store.slots_of_tenant(&a, 9).await.unwrap();
    let order: Vec<RunId> = order.iter().map(|slot| slot.run).collect();
    assert_eq!(order, [1, 4, 2].map(run_id), "holders, and then the line");

    let pools = [pool.clone()];
    let both = db.store.slots_held_by(&[a.clone(), b.clone()], &pools).await.unwrap();
    assert_eq!(both, [((a, pool.clone()), 2), ((b.clone(), pool.clone()), 2)].into());
    let one = db.store.slots_held_by(std::slice::from_ref(&b), &pools).await.unwrap();
    assert_eq!(one, [((b, pool), 2)].into());
}

async fn the_oldest_runs_in_progress_of_a_tenant_are_told(db: Db) {
    let a = tenant("a");
    for (of, number) in [(&a, 3), (&a, 2), (&tenant("b"), 1)] {
        claimed(&db.store, of, run_id(number)).await;
    }
    queue(&db.store, &a, run_id(0)).await;
    let first = async |most| db.store.first_in_progress(&a, most).await.unwrap();
    assert_eq!(first(9).await, [2, 3].map(run_id));
    assert_eq!(first(1).await, [run_id(2)]);
}
