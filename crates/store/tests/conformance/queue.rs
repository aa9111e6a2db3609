//! The queue, the leases and the fences of workers.

use millstream_model::{ClaimedRun, HoldReason, LimitFrom, RunId, RunStatus, TenantId};
use millstream_store::leases::{self, Lease};
use millstream_store::live::{self, LiveRun};
use millstream_store::{Batch, Store, StoreError};

use crate::conformance;
use crate::databases::Db;
use crate::fixture::{
    claimed, conflict, event, event_batch, hold_lease, publish_all, queue, queued, run_id, tenant,
};

conformance! {
    two_daemons_share_the_queue,
    a_claim_needs_the_lease_with_its_fence,
    a_claim_passes_over_what_left_the_queue,
    the_head_of_the_queue_is_the_highest_priority_then_the_oldest,
    a_lease_is_made_once,
    a_lease_is_taken_only_as_it_was_seen,
    a_lease_that_was_given_back_is_free_at_once,
    a_holder_that_lost_its_lease_is_told_when_it_raises_it,
    a_redelivered_report_is_refused_by_its_place,
    a_report_of_an_older_epoch_is_refused,
    a_beat_of_an_older_epoch_is_refused,
    a_worker_hears_of_a_cancel_with_its_next_beat,
    a_status_moves_only_from_the_one_that_was_seen,
    a_run_is_handed_back_once_and_that_is_counted,
    a_hold_is_stored_only_while_the_run_waits,
    a_run_in_progress_holds_a_place_until_it_is_removed,
}

async fn claim(store: &Store, runs: &[(TenantId, RunId)], fence: i64) -> Vec<ClaimedRun> {
    let batch = live::claim_queued_runs(runs, "d", fence);
    live::claimed(store.apply(batch).await.unwrap().rows(0)).unwrap()
}

async fn live(store: &Store, tenant: &TenantId, run: RunId) -> LiveRun {
    store.live_run(tenant, run).await.unwrap().unwrap()
}

async fn two_daemons_share_the_queue(db: Db) {
    let (one, two) = (db.store.clone(), db.other().await);
    let fence = hold_lease(&one, "queue", "d").await;
    let runs: Vec<(TenantId, RunId)> = (0..50)
        .map(|number| (tenant(if number % 2 == 0 { "a" } else { "b" }), run_id(number)))
        .collect();
    for (tenant, run) in &runs {
        queue(&one, tenant, *run).await;
    }
    let backwards: Vec<_> = runs.iter().rev().cloned().collect();
    let (first, second) = tokio::join!(claim(&one, &runs, fence), claim(&two, &backwards, fence));

    let mut claimed: Vec<(TenantId, RunId)> =
        first.into_iter().chain(second).map(|run| (run.tenant, run.run)).collect();
    claimed.sort_by_key(|(_, run)| *run);
    assert_eq!(claimed, runs, "every run is claimed, and none twice");
}

async fn a_claim_needs_the_lease_with_its_fence(db: Db) {
    let (tenant, run) = (tenant("a"), run_id(1));
    queue(&db.store, &tenant, run).await;
    let wanted = [(tenant.clone(), run)];
    assert_eq!(claim(&db.store, &wanted, 1).await, [], "nobody holds the lease");
    let fence = hold_lease(&db.store, "queue", "d").await;
    assert_eq!(claim(&db.store, &wanted, fence + 1).await, [], "the fence is another");
    let stranger = live::claim_queued_runs(&wanted, "e", fence);
    assert!(db.store.apply(stranger).await.unwrap().rows(0).is_empty());
    assert_eq!(claim(&db.store, &wanted, fence).await, [ClaimedRun { tenant, run, epoch: 1 }]);
}

async fn a_claim_passes_over_what_left_the_queue(db: Db) {
    let (tenant, first, second) = (tenant("a"), run_id(1), run_id(2));
    claimed(&db.store, &tenant, first).await;
    queue(&db.store, &tenant, second).await;
    let both = [(tenant.clone(), first), (tenant.clone(), second)];
    let now = claim(&db.store, &both, 1).await;
    assert_eq!(now, [ClaimedRun { tenant, run: second, epoch: 1 }]);
}

async fn the_head_of_the_queue_is_the_highest_priority_then_the_oldest(db: Db) {
    for (name, number, priority) in [("a", 3, 0), ("b", 1, 0), ("a", 4, 9), ("b", 2, -1)] {
        db.store.apply(queued(&tenant(name), run_id(number), priority)).await.unwrap();
    }
    let heads = db.store.queue_heads(3).await.unwrap();
    let order: Vec<RunId> = heads.iter().map(|head| head.run).collect();
    assert_eq!(order, [run_id(4), run_id(1), run_id(3)]);
}

async fn a_lease_is_made_once(db: Db) {
    hold_lease(&db.store, "queue", "d").await;
    let again = db.store.apply(leases::create("queue", "e")).await;
    assert_eq!(conflict(again), "CREATE_LEASE");
    let lease = db.store.lease("queue").await.unwrap().unwrap();
    assert_eq!(lease, Lease { holder: "d".to_owned(), fence: 1, beat: 0 });
}

async fn a_lease_is_taken_only_as_it_was_seen(db: Db) {
    let fence = hold_lease(&db.store, "queue", "d").await;
    let seen = db.store.lease("queue").await.unwrap().unwrap();
    db.store.apply(leases::raise("queue", "d", fence)).await.unwrap();
    let late = db.store.apply(leases::take("queue", "e", &seen)).await;
    assert_eq!(conflict(late), "TAKE_LEASE", "the holder showed that it lives");

    let seen = db.store.lease("queue").await.unwrap().unwrap();
    let other = db.other().await;
    let (one, two) = tokio::join!(
        db.store.apply(leases::take("queue", "e", &seen)),
        other.apply(leases::take("queue", "f", &seen)),
    );
    assert_ne!(one.is_ok(), two.is_ok(), "one of two takes it");
    let lease = db.store.lease("queue").await.unwrap().unwrap();
    assert_eq!((lease.fence, lease.beat), (2, 0));
}

async fn a_lease_that_was_given_back_is_free_at_once(db: Db) {
    let fence = hold_lease(&db.store, "queue", "d").await;
    db.store.apply(leases::release("queue", "d", fence)).await.unwrap();
    let free = db.store.lease("queue").await.unwrap().unwrap();
    assert_eq!(free.holder, "");
    db.store.apply(leases::take("queue", "e", &free)).await.unwrap();
    assert_eq!(db.store.lease("queue").await.unwrap().unwrap().holder, "e");
}

async fn a_holder_that_lost_its_lease_is_told_when_it_raises_it(db: Db) {
    let fence = hold_lease(&db.store, "queue", "d").await;
    let seen = db.store.lease("queue").await.unwrap().unwrap();
    db.store.apply(leases::take("queue", "e", &seen)).await.unwrap();
    let raised = db.store.apply(leases::raise("queue", "d", fence)).await;
    assert_eq!(conflict(raised), "RAISE_LEASE");
}

/// A worker's report of one event, from the place before it to its own.
fn report(run: &ClaimedRun, batch_id: &str, (from, to): (i64, i64)) -> Batch {
    let said = event(&run.tenant, run.run, run.epoch, to);
    let mut batch = event_batch(&run.tenant, batch_id, &said);
    live::advance(&mut batch, (&run.tenant, run.run, run.epoch), (from, to), 0);
    batch
}

async fn a_redelivered_report_is_refused_by_its_place(db: Db) {
    let run = claimed(&db.store, &tenant("a"), run_id(1)).await;
    db.store.apply(report(&run, "one", (-1, 0))).await.unwrap();
    let again = db.store.apply(report(&run, "two", (-1, 0))).await;
    assert!(again.unwrap_err().is_conflict());
    publish_all(&db.store).await;
    let start = (0, i64::MIN);
    let events = db.store.run_events(&run.tenant, run.run, start, 10).await.unwrap();
    assert_eq!(events.len(), 1, "the event is stored once");
    assert_eq!(live(&db.store, &run.tenant, run.run).await.seq, 0);
}

/// Claims `run` again, as after its worker was lost.
async fn claimed_again(store: &Store, run: &ClaimedRun) -> ClaimedRun {
    let row = live(store, &run.tenant, run.run).await;
    let mut back = Batch::for_tenant(&run.tenant);
    live::move_to(&mut back, &row, RunStatus::Queued);
    store.apply(back).await.unwrap();
    claim(store, &[(run.tenant.clone(), run.run)], 1).await.remove(0)
}

async fn a_report_of_an_older_epoch_is_refused(db: Db) {
    let old = claimed(&db.store, &tenant("a"), run_id(1)).await;
    let new = claimed_again(&db.store, &old).await;
    assert_eq!((old.epoch, new.epoch), (1, 2));
    let late = db.store.apply(report(&old, "late", (-1, 0))).await;
    assert_eq!(conflict(late), "ADVANCE_LIVE_RUN");
    db.store.apply(report(&new, "right", (-1, 0))).await.unwrap();
    publish_all(&db.store).await;
    let start = (0, i64::MIN);
    let events = db.store.run_events(&new.tenant, new.run, start, 10).await.unwrap();
    assert_eq!(events.iter().map(|row| row.event.epoch).collect::<Vec<_>>(), [2]);
}

async fn a_beat_of_an_older_epoch_is_refused(db: Db) {
    let old = claimed(&db.store, &tenant("a"), run_id(1)).await;
    claimed_again(&db.store, &old).await;
    let beat = db.store.apply(live::raise_beat(&old.tenant, old.run, old.epoch)).await;
    assert_eq!(conflict(beat), "RAISE_BEAT");
}

async fn a_worker_hears_of_a_cancel_with_its_next_beat(db: Db) {
    let run = claimed(&db.store, &tenant("a"), run_id(1)).await;
    let beat = || live::raise_beat(&run.tenant, run.run, run.epoch);
    let mut before = db.store.apply(beat()).await.unwrap().rows(0);
    assert!(!before[0].truth().unwrap());
    let mut cancel = Batch::for_tenant(&run.tenant);
    let row = live(&db.store, &run.tenant, run.run).await;
    live::ask_to_cancel(&mut cancel, &row, RunStatus::Canceling);
    db.store.apply(cancel).await.unwrap();
    let mut after = db.store.apply(beat()).await.unwrap().rows(0);
    assert!(after[0].truth().unwrap());
}

async fn a_status_moves_only_from_the_one_that_was_seen(db: Db) {
    let run = claimed(&db.store, &tenant("a"), run_id(1)).await;
    let seen = live(&db.store, &run.tenant, run.run).await;
    let moved = |to| {
        let mut batch = Batch::for_tenant(&run.tenant);
        live::move_to(&mut batch, &seen, to);
        batch
    };
    db.store.apply(moved(RunStatus::Started)).await.unwrap();
    let late = db.store.apply(moved(RunStatus::Canceling)).await;
    assert_eq!(conflict(late), "MOVE_LIVE_RUN");
}

async fn a_run_is_handed_back_once_and_that_is_counted(db: Db) {
    let run = claimed(&db.store, &tenant("a"), run_id(1)).await;
    let seen = live(&db.store, &run.tenant, run.run).await;
    let hand_back = || {
        let mut batch = Batch::for_tenant(&run.tenant);
        live::hand_back(&mut batch, &seen);
        batch
    };
    db.store.apply(hand_back()).await.unwrap();
    let late = db.store.apply(hand_back()).await;
    assert_eq!(conflict(late), "MOVE_LIVE_RUN");
    let now = live(&db.store, &run.tenant, run.run).await;
    assert_eq!((now.status, now.epoch, now.handed_back), (RunStatus::Queued, 1, 1));
    assert_eq!((seen.launches(), now.launches()), (1, 0));
}

async fn a_hold_is_stored_only_while_the_run_waits(db: Db) {
    let (tenant, run) = (tenant("a"), run_id(1));
    queue(&db.store, &tenant, run).await;
    let reason = HoldReason::NoFreeSlot {
        limit: 3,
        over: 0,
        from: LimitFrom::Settings,
        held_by: Vec::new(),
    };
    let hold = || {
        let mut batch = Batch::for_tenant(&tenant);
        live::set_hold(&mut batch, &tenant, run, &reason);
        batch
    };
    db.store.apply(hold()).await.unwrap();
    let heads = db.store.queue_heads(1).await.unwrap();
    assert_eq!(heads[0].hold, Some(reason.clone()));
    let fence = hold_lease(&db.store, "queue", "d").await;
    claim(&db.store, &[(tenant.clone(), run)], fence).await;
    db.store.apply(hold()).await.unwrap();
    let row = db.store.run(&tenant, run).await.unwrap().unwrap();
    assert_eq!(row.hold, None, "a run that starts waits for nothing");
}

async fn a_run_in_progress_holds_a_place_until_it_is_removed(db: Db) {
    let run = claimed(&db.store, &tenant("a"), run_id(1)).await;
    queue(&db.store, &tenant("b"), run_id(2)).await;
    assert_eq!(db.store.count_in_progress().await.unwrap(), 1);
    let rows = db.store.runs_in_progress(10).await.unwrap();
    assert_eq!(rows[0].worker, Some(run.worker_name()), "the claim names the worker it intends");

    let end = |row: &LiveRun| {
        let mut batch = Batch::for_tenant(&row.tenant);
        live::remove(&mut batch, row);
        batch
    };
    db.store.apply(end(&rows[0])).await.unwrap();
    assert_eq!(db.store.count_in_progress().await.unwrap(), 0);
    let twice: Result<_, StoreError> = db.store.apply(end(&rows[0])).await;
    assert_eq!(conflict(twice), "REMOVE_LIVE_RUN");
}
