//! Runs whose worker is gone.

use std::time::Duration;

use millstream_control::{LostWatch, ReportError, RunFilter};
use millstream_model::{
    EventBody, OpDef, PlannedRetry, RetryPolicy, RunStatus, StepStatus, TenantId,
};
use millstream_testkit::definitions::{file_of_jobs, job, op};

use crate::bench::{Bench, PATIENCE, TIME_TO_LIVE, step_failed, step_started, step_succeeded};

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

#[tokio::test]
async fn until_a_silent_worker_is_lost_its_run_and_what_is_due_in_it_say_so_everywhere() {
    let retry = RetryPolicy { max: 3, ..RetryPolicy::NEVER };
    let again = OpDef { retry: Some(retry), ..op("a", &[]) };
    let bench = Bench::of(file_of_jobs(vec![job("etl", vec![again])])).await;
    let (tenant, second) = (TenantId::default_tenant(), Duration::from_secs(1));
    let mut worker = bench.started("etl").await;
    let run = worker.run();
    let mut failed = step_failed("a", 1);
    if let EventBody::StepFailed { retry, .. } = &mut failed {
        *retry = Some(PlannedRetry { attempt: 2, delay_micros: 3_000_000 });
    }
    worker.say(vec![step_started("a", 1), failed]).await.unwrap();
    let (since, due) = (bench.control.now(), bench.control.now().after(3 * second));
    let mut watch = LostWatch::default();
    for _ in 0..=8 {
        let silent = bench.control.run_view(&tenant, run).await.unwrap().run.waits;
        assert!(silent.is_none_or(|it| it.starts_with("step a waits until")), "it may live");
        assert!(bench.control.recover_lost(&mut watch, PATIENCE).await.unwrap().is_empty());
        bench.clock.advance(second);
    }
    let words = |then: &str| {
        let until = since.after(TIME_TO_LIVE + second);
        format!(
            "its worker has given no sign of life since {since}: if it stays silent, it counts as \
             lost by {until} at the latest, and {then}"
        )
    };
    let lost = words("another goes on with the run");
    let why = async |what: &str| bench.control.why(&tenant, what).await.unwrap();
    let answer = why(&run.to_string()).await;
    assert_eq!(answer.answer, format!("It runs: 0 of 1 steps are over; {lost}."));
    let waits = "waiting for its run's worker, which is silent";
    let waits = format!("{waits}: attempt 2 was due at {due}");
    assert!(answer.because.iter().any(|it| it.text == format!("step a is {waits}")), "{answer:?}");
    let step = bench.control.run_view(&tenant, run).await.unwrap().steps.remove(0);
    assert_eq!((step.status, step.reason), (StepStatus::Retrying, Some(waits)));
    let listed = bench.control.newest_runs(&tenant, &RunFilter::default(), 9).await.unwrap();
    assert_eq!(listed[0].waits.as_ref(), Some(&lost));
    assert!(why("etl").await.answer.contains(&lost));

    bench.control.cancel(&tenant, run, "ana").await.unwrap();
    bench.control.recover_lost(&mut watch, PATIENCE).await.unwrap();
    let stops = format!("its worker stops the steps; {}.", words("the run is canceled"));
    assert_eq!(why(&run.to_string()).await.answer, format!("It is being canceled: {stops}"));
    worker.beat().await.unwrap();
    bench.control.recover_lost(&mut watch, PATIENCE).await.unwrap();
    let answer = why(&run.to_string()).await.answer;
    assert_eq!(answer, "It is being canceled: its worker stops the steps.");
}

#[tokio::test]
async fn a_step_whose_next_attempt_is_due_while_its_run_has_no_worker_says_so() {
    let retry = RetryPolicy { max: 3, ..RetryPolicy::NEVER };
    let again = OpDef { retry: Some(retry), ..op("a", &[]) };
    let bench = Bench::of(file_of_jobs(vec![job("etl", vec![again])])).await;
    let mut worker = bench.started("etl").await;
    let mut failed = step_failed("a", 1);
    if let EventBody::StepFailed { retry, .. } = &mut failed {
        *retry = Some(PlannedRetry { attempt: 2, delay_micros: 3_000_000 });
    }
    worker.say(vec![step_started("a", 1), failed]).await.unwrap();
    assert!(bench.control.hand_back(&worker.claimed, "the server was stopped").await.unwrap());
    let reason = async || {
        let view = bench.control.run_view(&TenantId::default_tenant(), worker.run()).await;
        view.unwrap().steps.remove(0).reason
    };
    assert_eq!(reason().await, None, "its time has yet to come");
    let due = bench.control.now().after(Duration::from_secs(3));
    bench.clock.set(due);
    let waits = format!("waiting for its run's next worker: attempt 2 was due at {due}");
    assert_eq!(reason().await, Some(waits));
}
