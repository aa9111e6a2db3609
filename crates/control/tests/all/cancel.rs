//! A run is asked to stop, whatever it is doing.

use millstream_control::{ControlError, ReportError};
use millstream_model::{EventBody, RunStatus, StepStatus, TenantId};
use millstream_testkit::definitions::{file_of_jobs, job, op};

use crate::bench::{Bench, step_canceled, step_started, step_succeeded};

async fn bench() -> Bench {
    let ops = vec![op("a", &[]), op("b", &["a"])];
    Bench::of(file_of_jobs(vec![job("etl", ops)])).await
}

fn default() -> TenantId {
    TenantId::default_tenant()
}

#[tokio::test]
async fn r203_a_queued_run_is_canceled_at_once_and_never_starts() {
    let bench = bench().await;
    let run = bench.launch("etl").await;

    let status = bench.control.cancel(&default(), run, "ana").await.unwrap();

    assert_eq!(status, RunStatus::Canceled);
    assert_eq!(bench.status(run).await, RunStatus::Canceled);
    assert!(bench.row(run).await.ended_at.is_some());
    assert!(bench.claim().await.is_empty());
    assert_eq!(bench.told(run).await, ["run_queued", "cancel_requested", "run_canceled"]);
}

#[tokio::test]
async fn r203_a_started_run_is_canceling_until_its_worker_has_stopped_its_steps() {
    let bench = bench().await;
    let mut worker = bench.started("etl").await;
    let run = worker.run();
    assert!(!worker.say(vec![step_started("a", 1)]).await.unwrap().cancel);

    let status = bench.control.cancel(&default(), run, "ana").await.unwrap();
    assert_eq!(status, RunStatus::Canceling);
    assert!(worker.beat().await.unwrap().cancel, "the worker hears it at its next sign of life");

    let last = vec![step_canceled("b", 0), step_canceled("a", 1), EventBody::RunCanceled {}];
    worker.say(last).await.unwrap();
    assert_eq!(bench.status(run).await, RunStatus::Canceled);
    let canceled = |step: &str| (step.to_owned(), StepStatus::Canceled);
    assert_eq!(bench.steps(run).await, [canceled("a"), canceled("b")]);
    assert_eq!(bench.row(run).await.steps_over, 2);
}

#[tokio::test]
async fn f58_canceling_twice_is_canceling_once() {
    let bench = bench().await;
    let worker = bench.started("etl").await;
    for _ in 0..2 {
        let status = bench.control.cancel(&default(), worker.run(), "ana").await.unwrap();
        assert_eq!(status, RunStatus::Canceling);
    }
    let told = bench.told(worker.run()).await;
    assert_eq!(told, ["run_queued", "run_started", "cancel_requested"]);
}

#[tokio::test]
async fn f58_a_run_that_ended_before_the_cancel_stays_as_it_ended() {
    let bench = bench().await;
    let mut worker = bench.started("etl").await;
    worker.say(vec![step_started("a", 1), step_succeeded("a", 1)]).await.unwrap();
    worker.say(vec![step_started("b", 1), step_succeeded("b", 1)]).await.unwrap();
    worker.say(vec![EventBody::RunSucceeded {}]).await.unwrap();

    let refused = bench.control.cancel(&default(), worker.run(), "ana").await;

    let status = RunStatus::Success;
    assert!(matches!(refused, Err(ControlError::RunStatus { status: now, .. }) if now == status));
    assert_eq!(bench.status(worker.run()).await, status);
}

#[tokio::test]
async fn f58_work_that_was_done_when_the_cancel_came_counts() {
    let bench = bench().await;
    let mut worker = bench.started("etl").await;
    let run = worker.run();
    worker.say(vec![step_started("a", 1), step_succeeded("a", 1)]).await.unwrap();
    worker.say(vec![step_started("b", 1)]).await.unwrap();
    bench.control.cancel(&default(), run, "ana").await.unwrap();

    let answer = worker.say(vec![step_succeeded("b", 1), EventBody::RunSucceeded {}]).await;

    answer.unwrap();
    assert_eq!(bench.status(run).await, RunStatus::Success);
    assert!(matches!(worker.beat().await, Err(ReportError::Stale { .. })));
}

#[tokio::test]
async fn f58_a_cancel_ends_the_steps_that_a_lost_worker_left_open() {
    let bench = bench().await;
    let mut worker = bench.started("etl").await;
    let run = worker.run();
    worker.say(vec![step_started("a", 1)]).await.unwrap();
    assert_eq!(bench.lose_silent().await, 1);
    assert_eq!(bench.status(run).await, RunStatus::Queued);

    bench.control.cancel(&default(), run, "ana").await.unwrap();

    assert_eq!(bench.status(run).await, RunStatus::Canceled);
    assert_eq!(bench.steps(run).await[0], ("a".to_owned(), StepStatus::Canceled));
    assert_eq!(bench.row(run).await.steps_over, 1);
}

#[tokio::test]
async fn a_step_of_a_run_that_was_handed_back_and_canceled_does_not_say_that_its_worker_was_lost() {
    let bench = bench().await;
    let mut worker = bench.started("etl").await;
    let run = worker.run();
    worker.say(vec![step_started("a", 1)]).await.unwrap();
    assert!(bench.control.hand_back(&worker.claimed, "the server was stopped").await.unwrap());
    bench.control.cancel(&default(), run, "ana").await.unwrap();
    let view = bench.control.run_view(&default(), run).await.unwrap();
    assert_eq!(view.steps[0].reason.as_deref(), Some("its worker was gone"));
}

#[tokio::test]
async fn a_step_whose_worker_never_heard_of_the_cancel_says_why_it_was_ended() {
    let bench = bench().await;
    let mut worker = bench.started("etl").await;
    let run = worker.run();
    worker.say(vec![step_started("a", 1)]).await.unwrap();
    bench.control.cancel(&default(), run, "ana").await.unwrap();
    assert_eq!(bench.lose_silent().await, 1);
    assert_eq!(bench.status(run).await, RunStatus::Canceled);
    let view = bench.control.run_view(&default(), run).await.unwrap();
    let reason = view.steps[0].reason.clone().unwrap();
    assert!(reason.contains("no sign of life for 15 s"), "{reason}");
}

#[tokio::test]
async fn a_run_of_another_tenant_cannot_be_canceled_and_does_not_exist() {
    let bench = bench().await;
    let run = bench.launch("etl").await;
    let other = "other".parse().unwrap();
    let refused = bench.control.cancel(&other, run, "eve").await;
    assert!(matches!(refused, Err(ControlError::RunUnknown { .. })));
    assert_eq!(bench.status(run).await, RunStatus::Queued);
}
