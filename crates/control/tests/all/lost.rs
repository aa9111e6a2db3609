//! Runs whose worker is gone.

use millstream_control::{LostWatch, ReportError};
use millstream_model::{EventBody, RunStatus, StepStatus, TenantId};
use millstream_testkit::definitions::{file_of_jobs, job, op};

use crate::bench::{Bench, PATIENCE, TIME_TO_LIVE, step_started, step_succeeded};

async fn bench() -> Bench {
    Bench::of(file_of_jobs(vec![job("etl", vec![op("a", &[]), op("b", &["a"])])])).await
}

#[tokio::test]
async fn r197_a_silent_run_goes_back_to_the_queue_and_another_worker_finishes_it() {
    let bench = bench().await;
    let mut first = bench.started("etl").await;
    let run = first.run();
    first.say(vec![step_started("a", 1), step_succeeded("a", 1)]).await.unwrap();

    assert_eq!(bench.lose_silent().await, 1);
    assert_eq!(bench.status(run).await, RunStatus::Queued);
    let mut second = bench.start_again(run).await;
    let rest = vec![step_started("b", 1), step_succeeded("b", 1), EventBody::RunSucceeded {}];
    second.say(rest).await.unwrap();

    assert_eq!(bench.status(run).await, RunStatus::Success);
    let told = bench.told(run).await;
    assert_eq!(told.iter().filter(|kind| **kind == "worker_lost").count(), 1);
}

#[tokio::test]
async fn r197_the_third_lost_worker_is_the_runs_failure_and_ends_its_open_steps() {
    let bench = bench().await;
    let mut worker = bench.started("etl").await;
    let run = worker.run();
    worker.say(vec![step_started("a", 1)]).await.unwrap();
    for _ in 0..2 {
        assert_eq!(bench.lose_silent().await, 1);
        bench.start_again(run).await;
    }
    assert_eq!(bench.lose_silent().await, 1);

    let row = bench.row(run).await;
    assert_eq!(row.status, RunStatus::Failure);
    let reason =
        "its worker has given no sign of life for 15 s, and this was worker 3 of at most 3";
    assert_eq!(row.failure.as_deref(), Some(reason));
    assert_eq!(bench.steps(run).await[0], ("a".to_owned(), StepStatus::Canceled));
    assert_eq!(row.steps_over, 1);
}

#[tokio::test]
async fn r197_a_lost_run_that_was_to_be_canceled_is_canceled() {
    let bench = bench().await;
    let mut worker = bench.started("etl").await;
    let run = worker.run();
    worker.say(vec![step_started("a", 1)]).await.unwrap();
    bench.control.cancel(&TenantId::default_tenant(), run, "ana").await.unwrap();
    assert_eq!(bench.lose_silent().await, 1);
    assert_eq!(bench.status(run).await, RunStatus::Canceled);
    assert!(matches!(worker.beat().await, Err(ReportError::Stale { .. })));
}

#[tokio::test]
async fn f23_a_worker_that_beats_again_before_its_time_keeps_its_run() {
    let bench = bench().await;
    let worker = bench.started("etl").await;
    let mut watch = LostWatch::default();
    for _ in 0..6 {
        assert!(bench.control.recover_lost(&mut watch, PATIENCE).await.unwrap().is_empty());
        bench.clock.advance(TIME_TO_LIVE / 3);
        assert!(bench.control.recover_lost(&mut watch, PATIENCE).await.unwrap().is_empty());
        bench.clock.advance(TIME_TO_LIVE / 3);
        worker.beat().await.unwrap();
    }
    assert_eq!(bench.status(worker.run()).await, RunStatus::Started);
}

#[tokio::test]
async fn f41_a_jump_of_the_time_of_day_loses_no_run() {
    let bench = bench().await;
    let worker = bench.started("etl").await;
    let mut watch = LostWatch::default();
    bench.control.recover_lost(&mut watch, PATIENCE).await.unwrap();
    let day = std::time::Duration::from_hours(24);
    bench.clock.set(bench.control.now().after(day));
    assert!(bench.control.recover_lost(&mut watch, PATIENCE).await.unwrap().is_empty());
    assert_eq!(bench.status(worker.run()).await, RunStatus::Started);
}

#[tokio::test]
async fn a_run_that_is_handed_back_waits_at_once_and_has_lost_no_worker() {
    let bench = bench().await;
    let mut worker = bench.started("etl").await;
    let run = worker.run();
    for _ in 0..4 {
        let reason = "the server was stopped";
        assert!(bench.control.hand_back(&worker.claimed, reason).await.unwrap());
        assert!(!bench.control.hand_back(&worker.claimed, reason).await.unwrap());
        assert_eq!(bench.status(run).await, RunStatus::Queued);
        worker = bench.start_again(run).await;
    }
    assert_eq!(bench.told(run).await.iter().filter(|kind| **kind == "worker_lost").count(), 4);

    // Two real losses are still allowed.
    for _ in 0..2 {
        assert_eq!(bench.lose_silent().await, 1);
        assert_eq!(bench.status(run).await, RunStatus::Queued);
        bench.start_again(run).await;
    }
    assert_eq!(bench.lose_silent().await, 1);
    let failure = bench.row(run).await.failure.unwrap();
    assert!(failure.ends_with("and this was worker 3 of at most 3"), "{failure}");
}

#[tokio::test]
async fn a_run_that_was_to_be_canceled_is_canceled_when_it_is_handed_back() {
    let bench = bench().await;
    let worker = bench.started("etl").await;
    let run = worker.run();
    bench.control.cancel(&TenantId::default_tenant(), run, "ana").await.unwrap();
    assert!(bench.control.hand_back(&worker.claimed, "the server was stopped").await.unwrap());
    assert_eq!(bench.status(run).await, RunStatus::Canceled);
}
