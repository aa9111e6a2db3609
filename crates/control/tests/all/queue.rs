//! Who may start, and why the others wait.

use std::collections::BTreeSet;

use millstream_control::{QueueLimits, QueueWatch};
use millstream_model::{EventBody, HoldReason, LimitFrom, RunStatus, StepStatus, TenantId};
use millstream_testkit::definitions::{file_of_jobs, job, op};

use crate::bench::{Bench, TIME_TO_LIVE, step_started};

const LIMITS: QueueLimits = QueueLimits::of(Some(2));

async fn bench() -> Bench {
    Bench::of(file_of_jobs(vec![job("etl", vec![op("a", &[])])])).await
}

#[tokio::test]
async fn r014_two_daemons_that_claim_together_never_pass_the_limit() {
    let bench = bench().await;
    for _ in 0..5 {
        bench.launch("etl").await;
    }
    let (mut one, mut two) = (QueueWatch::default(), QueueWatch::default());
    let mut claimed = BTreeSet::new();
    for _ in 0..4 {
        let (first, second) = tokio::join!(
            bench.control.claim_runs("one", &mut one, LIMITS, TIME_TO_LIVE),
            bench.control.claim_runs("two", &mut two, LIMITS, TIME_TO_LIVE),
        );
        for run in first.unwrap().into_iter().chain(second.unwrap()) {
            assert!(claimed.insert(run.run), "no run is claimed twice");
        }
        assert!(bench.control.store().count_in_progress().await.unwrap() <= 2);
    }
    assert_eq!(claimed.len(), 2);
}

#[tokio::test]
async fn f40_a_daemon_that_lost_the_lease_while_it_slept_claims_nothing() {
    let bench = bench().await;
    let (mut sleeper, mut next) = (QueueWatch::default(), QueueWatch::default());
    let none = bench.control.claim_runs("sleeper", &mut sleeper, LIMITS, TIME_TO_LIVE);
    assert!(none.await.unwrap().is_empty());
    // The next daemon sees the lease stand still and takes it; the sleeper still believes in its.
    for _ in 0..4 {
        bench.control.claim_runs("next", &mut next, LIMITS, TIME_TO_LIVE).await.unwrap();
        bench.clock.advance(TIME_TO_LIVE / 3);
    }
    let lease = bench.control.store().lease("queue").await.unwrap().unwrap();
    assert_eq!((lease.holder.as_str(), lease.fence), ("next", 2));

    bench.launch("etl").await;
    let claimed = bench.control.claim_runs("sleeper", &mut sleeper, LIMITS, TIME_TO_LIVE).await;
    assert!(claimed.unwrap().is_empty());
    let claimed = bench.control.claim_runs("next", &mut next, LIMITS, TIME_TO_LIVE).await;
    assert_eq!(claimed.unwrap().len(), 1);
}

#[tokio::test]
async fn a_reason_to_wait_is_stored_when_it_changes_and_not_again() {
    let bench = bench().await;
    for _ in 0..3 {
        bench.launch("etl").await;
    }
    let mut watch = QueueWatch::default();
    let claim = bench.control.claim_runs("one", &mut watch, LIMITS, TIME_TO_LIVE);
    assert_eq!(claim.await.unwrap().len(), 2);
    let heads = bench.control.store().queue_heads(10).await.unwrap();
    let waits = HoldReason::NoFreeSlot {
        limit: 2,
        over: 0,
        from: LimitFrom::Settings,
        held_by: Vec::new(),
    };
    assert_eq!(heads.first().unwrap().hold, Some(waits));

    let mut changes = bench.control.store().changes();
    changes.mark_unchanged();
    let claim = bench.control.claim_runs("one", &mut watch, LIMITS, TIME_TO_LIVE);
    assert!(claim.await.unwrap().is_empty());
    assert!(!changes.has_changed().unwrap(), "a pass that decides nothing new writes nothing");
}

#[tokio::test]
async fn a_failed_launch_puts_the_run_back_with_what_the_launcher_said() {
    let bench = bench().await;
    let run = bench.launch("etl").await;
    let claimed = bench.claim().await.remove(0);
    bench.control.launch_failed(&claimed, "no image", 3).await.unwrap();
    let row = bench.row(run).await;
    assert_eq!(row.status, RunStatus::Queued);
    assert_eq!(row.hold, Some(HoldReason::LaunchFailed { error: "no image".to_owned() }));
    assert_eq!(bench.claim().await.remove(0).epoch, 2);
}

#[tokio::test]
async fn f58_a_failed_launch_of_a_run_that_was_to_be_canceled_cancels_it_with_its_steps() {
    let bench = bench().await;
    let mut worker = bench.started("etl").await;
    let run = worker.run();
    worker.say(vec![step_started("a", 1)]).await.unwrap();
    bench.lose_silent().await;
    let next = bench.claimed(run).await;
    bench.control.cancel(&TenantId::default_tenant(), run, "ana").await.unwrap();
    bench.control.launch_failed(&next.claimed, "no image", 3).await.unwrap();
    let row = bench.row(run).await;
    assert_eq!((row.status, row.steps_over), (RunStatus::Canceled, 1));
    assert_eq!(bench.steps(run).await[0].1, StepStatus::Canceled);
}

#[tokio::test]
async fn a_launch_that_failed_after_its_worker_reported_changes_nothing() {
    let bench = bench().await;
    let mut worker = bench.started("etl").await;
    assert!(bench.control.launch_failed(&worker.claimed, "no answer", 3).await.is_err());
    assert_eq!(bench.status(worker.run()).await, RunStatus::Started);
    worker.say(vec![step_started("a", 1)]).await.unwrap();
}

#[tokio::test]
async fn a_worker_whose_launch_was_taken_back_cannot_start_the_run() {
    let bench = bench().await;
    let run = bench.launch("etl").await;
    let mut worker = bench.claimed(run).await;
    bench.control.launch_failed(&worker.claimed, "no answer", 3).await.unwrap();
    let started = EventBody::RunStarted { worker: "late".to_owned() };
    assert!(worker.say(vec![started]).await.is_err());
    assert_eq!(bench.status(run).await, RunStatus::Queued);
}

#[tokio::test]
async fn the_last_allowed_launch_that_fails_is_the_runs_failure_with_what_the_launcher_said() {
    let bench = bench().await;
    let run = bench.launch("etl").await;
    for _ in 0..3 {
        let claimed = bench.claim().await.remove(0);
        bench.control.launch_failed(&claimed, "no image", 3).await.unwrap();
    }
    let row = bench.row(run).await;
    assert_eq!(row.status, RunStatus::Failure);
    let why = row.failure.unwrap();
    assert_eq!(why, "its worker could not be launched in 3 tries: no image");
}
