//! What a worker does when the control plane is away, or has given the run to another.

use millstream_model::EventBody;
use millstream_plan::progress::RunOutcome;
use millstream_worker::{ReportError, RunEnd};

use crate::bench::{Bench, noop, run_of, shell};

pub(crate) fn away() -> ReportError {
    ReportError::Unavailable { reason: "connection refused".to_owned() }
}

#[tokio::test]
async fn events_wait_through_an_outage_and_arrive_in_order() {
    let bench = Bench::new();
    bench.control.fail(vec![away(), away(), away()]);
    let run = run_of(vec![shell("a", "true"), noop("b", &["a"])]);
    assert_eq!(bench.run(run).await, RunEnd::Finished(RunOutcome::Succeeded));
    assert_eq!(bench.control.told().last().unwrap(), "run_succeeded");
}

#[tokio::test]
async fn r195_a_worker_that_was_replaced_starts_nothing() {
    let bench = Bench::new();
    bench.control.fail(vec![ReportError::Stale]);
    let marker = bench.folder.path().join("started");
    let step = shell("a", &format!("touch {}", marker.display()));
    assert_eq!(bench.run(run_of(vec![step])).await, RunEnd::Replaced);
    assert!(!marker.exists());
}

#[tokio::test]
async fn r197_a_worker_that_takes_over_starts_a_new_attempt_of_what_was_lost() {
    use millstream_model::StepStatus;
    use millstream_model::worker_api::StepProgress;
    let bench = Bench::new();
    let mut run = run_of(vec![noop("done", &[]), noop("lost", &["done"])]);
    let progress = |step: &str, status, attempt| StepProgress {
        step: step.parse().unwrap(),
        status,
        attempt,
        retry_at: None,
        result: serde_json::Value::Null,
        result_ref: None,
    };
    run.progress =
        vec![progress("done", StepStatus::Success, 1), progress("lost", StepStatus::Started, 1)];
    assert_eq!(bench.run(run).await, RunEnd::Finished(RunOutcome::Succeeded));
    let attempts: Vec<(String, u32)> = bench
        .control
        .events()
        .into_iter()
        .filter_map(|event| match event {
            EventBody::StepStarted { step, attempt } => Some((step.to_string(), attempt)),
            _ => None,
        })
        .collect();
    assert_eq!(attempts, [("lost".to_owned(), 2)]);
}

#[tokio::test]
async fn a_step_that_was_lost_asks_for_its_slots_once_its_loss_is_known() {
    use millstream_model::worker_api::{StepProgress, WaitingStep};
    use millstream_model::{PoolUse, StepPlan, StepStatus};
    let bench = Bench::new();
    bench.control.fail(vec![away(), away()]);
    let pool = Some(PoolUse { name: "some".parse().unwrap(), slots: 1 });
    let lost = StepPlan { pool, ..noop("lost", &[]) };
    let mut run = run_of(vec![lost]);
    let step = run.plan.steps[0].key.clone();
    run.progress = vec![StepProgress {
        step: step.clone(),
        status: StepStatus::Started,
        attempt: 1,
        retry_at: None,
        result: serde_json::Value::Null,
        result_ref: None,
    }];
    assert_eq!(bench.run(run).await, RunEnd::Finished(RunOutcome::Succeeded));
    // Before, the control plane refuses the question, and the step waits for nothing.
    let told = ["run_started", "step_lost lost"].map(str::to_owned).to_vec();
    assert_eq!(bench.control.asked(), [(WaitingStep { step, attempt: 2 }, told)]);
}

#[tokio::test]
async fn r197_a_worker_that_takes_over_removes_what_the_killed_one_left() {
    let bench = Bench::new();
    let scratch = &bench.settings.scratch;
    let mut run = run_of(vec![noop("a", &[])]);
    run.epoch = 2;
    let (older, newer) = (format!("{}.1", run.run), format!("{}.3", run.run));
    for name in [&older, &newer] {
        std::fs::create_dir_all(scratch.join(name).join("0.1/tmp")).unwrap();
    }
    bench.run(run).await;
    assert!(!scratch.join(older).exists());
    assert!(scratch.join(newer).exists(), "it belongs to the worker that replaced this one");
}
