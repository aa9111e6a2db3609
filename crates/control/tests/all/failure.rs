//! What follows a failure: retries, timeouts and dead letters.

use std::time::Duration;

use millstream_control::{Control, ControlError, DeadLetterFilter, LostWatch, Patience, RunFilter};
use millstream_model::view::StepRow;
use millstream_model::{
    Cause, ClosedAs, DeadLetter, ErrorCode, EventBody, HumanDuration, JobDef, RetryFrom, RunId,
    RunRetries, RunStatus, StepStatus, TenantId,
};
use millstream_testkit::definitions::{file_of_jobs, job, live, op, with_tenants};

use crate::bench::{
    Bench, PATIENCE, TIME_TO_LIVE, TestWorker, started, step_failed, step_started, step_succeeded,
};

fn tenant() -> TenantId {
    TenantId::default_tenant()
}

/// A job of `a` and then `b`, of which a failed run is tried again `max` times.
fn retried(max: u32, from: RetryFrom) -> JobDef {
    let run_retries = Some(RunRetries { max, from });
    JobDef { run_retries, ..job("etl", vec![op("a", &[]), op("b", &["a"])]) }
}

async fn bench(job: JobDef) -> Bench {
    Bench::of(file_of_jobs(vec![job])).await
}

/// Has `worker` succeed with `a`, fail with `b` and say that the run failed.
async fn fail_at_b(worker: &mut TestWorker<'_>) {
    let events = vec![
        step_started("a", 1),
        step_succeeded("a", 1),
        step_started("b", 1),
        step_failed("b", 1),
        EventBody::RunFailed { reason: "step b failed".to_owned() },
    ];
    worker.say(events).await.unwrap();
}

/// The run that tries `run` again.
async fn retry_of(bench: &Bench, run: RunId) -> RunId {
    bench.row(run).await.retried_as.unwrap()
}

async fn letters(bench: &Bench, filter: DeadLetterFilter) -> Vec<DeadLetter> {
    bench.control.dead_letters(&tenant(), (filter, None), 10).await.unwrap()
}

#[tokio::test]
async fn r146_a_retry_from_failure_keeps_what_is_done_and_names_its_parent() {
    let bench = bench(retried(1, RetryFrom::Failure)).await;
    let mut first = bench.started("etl").await;
    let run = first.run();
    fail_at_b(&mut first).await;

    let retry = retry_of(&bench, run).await;
    let row = bench.row(retry).await;
    assert_eq!(row.status, RunStatus::Queued);
    let cause = Cause::Retry { of: run, number: 1, from: RetryFrom::Failure, by: None };
    assert_eq!((row.cause, row.steps_over), (cause, 1));
    let steps = bench.steps(retry).await;
    let (done, open) = (StepStatus::Success, StepStatus::Pending);
    assert_eq!(steps, [("a".to_owned(), done), ("b".to_owned(), open)]);

    let mut second = bench.claimed(retry).await;
    let assigned = bench.control.assignment(&tenant(), retry, 1).await.unwrap();
    let kept: Vec<String> = assigned.progress.iter().map(|step| step.step.to_string()).collect();
    assert_eq!(kept, ["a"]);
    let rest = vec![started(), step_started("b", 1), step_succeeded("b", 1)];
    second.say(rest).await.unwrap();
    second.say(vec![EventBody::RunSucceeded {}]).await.unwrap();
    let row = bench.row(retry).await;
    assert_eq!((row.status, row.steps_over), (RunStatus::Success, 2));
    assert_eq!(bench.status(run).await, RunStatus::Failure);
    assert_eq!(bench.told(run).await.last(), Some(&"run_retried"));
}

#[tokio::test]
async fn what_retries_keep_stays_the_work_of_the_run_that_did_it() {
    let ops = vec![op("a", &[]), op("b", &["a"]), op("c", &[])];
    let retries = Some(RunRetries { max: 2, from: RetryFrom::Failure });
    let bench = bench(JobDef { run_retries: retries, ..job("etl", ops) }).await;
    let mut worker = bench.started("etl").await;
    let (first, reason) = (worker.run(), "nothing new".to_owned());
    let skipped = EventBody::StepSkipped { step: "c".parse().unwrap(), attempt: 1, reason };
    worker.say(vec![step_started("c", 1), skipped]).await.unwrap();
    fail_at_b(&mut worker).await;
    let mut run = retry_of(&bench, first).await;
    for _ in 0..2 {
        let steps = bench.control.run_view(&tenant(), run).await.unwrap().steps;
        let done = |step: &StepRow| step.done_in().map(ToOwned::to_owned);
        assert_eq!(
            steps.iter().map(done).collect::<Vec<_>>(),
            [Some(first.short()), None, Some(first.short())]
        );
        let skipped = format!("done in run {}: nothing new", first.short());
        assert_eq!(steps[2].reason, Some(skipped));
        let mut worker = bench.start_again(run).await;
        let fails = vec![step_started("b", 1), step_failed("b", 1)];
        worker.say(fails).await.unwrap();
        let reason = "step b failed".to_owned();
        worker.say(vec![EventBody::RunFailed { reason }]).await.unwrap();
        run = bench.row(run).await.retried_as.unwrap_or(run);
    }
}

#[tokio::test]
async fn r146_a_retry_from_the_start_does_everything_again() {
    let bench = bench(retried(1, RetryFrom::Start)).await;
    let mut first = bench.started("etl").await;
    fail_at_b(&mut first).await;
    let retry = retry_of(&bench, first.run()).await;
    assert_eq!(bench.row(retry).await.steps_over, 0);
    bench.claimed(retry).await;
    let assigned = bench.control.assignment(&tenant(), retry, 1).await.unwrap();
    assert!(assigned.progress.is_empty());
}

#[tokio::test]
async fn r146_without_a_word_of_the_job_or_switched_off_nothing_follows() {
    let plain = JobDef { run_retries: None, ..retried(0, RetryFrom::Start) };
    let bench = bench(plain).await;
    let mut worker = bench.started("etl").await;
    fail_at_b(&mut worker).await;
    assert_eq!(bench.row(worker.run()).await.retried_as, None);
    assert!(letters(&bench, DeadLetterFilter::All).await.is_empty());

    let on = self::bench(retried(3, RetryFrom::Failure)).await;
    let off = Bench { control: on.control.clone().without_run_retries(), clock: on.clock.clone() };
    let mut worker = off.started("etl").await;
    fail_at_b(&mut worker).await;
    assert_eq!(off.row(worker.run()).await.retried_as, None);
}

#[tokio::test]
async fn r146_a_failure_that_is_reported_twice_is_retried_once() {
    let bench = bench(retried(5, RetryFrom::Failure)).await;
    let mut worker = bench.started("etl").await;
    let report = worker.report_of(vec![EventBody::RunFailed { reason: "so".to_owned() }]);
    worker.send(&report).await.unwrap();
    worker.send(&report).await.unwrap();
    let runs =
        bench.control.store().run_list(&[tenant()], &RunFilter::default(), 10).await.unwrap();
    assert_eq!(runs.len(), 2);
}

#[tokio::test]
async fn r146_a_canceled_run_is_not_tried_again() {
    let bench = bench(retried(5, RetryFrom::Failure)).await;
    let mut worker = bench.started("etl").await;
    bench.control.cancel(&tenant(), worker.run(), "ana").await.unwrap();
    worker.say(vec![EventBody::RunFailed { reason: "stopped".to_owned() }]).await.unwrap();
    let row = bench.row(worker.run()).await;
    assert_eq!((row.status, row.retried_as), (RunStatus::Canceled, None));
}

#[tokio::test]
async fn r146_after_the_last_retry_the_run_is_a_dead_letter() {
    let bench = bench(retried(1, RetryFrom::Start)).await;
    let mut first = bench.started("etl").await;
    fail_at_b(&mut first).await;
    assert!(letters(&bench, DeadLetterFilter::Open).await.is_empty());
    let retry = retry_of(&bench, first.run()).await;
    let mut second = bench.start_again(retry).await;
    fail_at_b(&mut second).await;

    let letters = letters(&bench, DeadLetterFilter::Open).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].run_id, retry);
    assert_eq!(letters[0].reason.to_string(), "failed_after_2_attempts");
    assert_eq!(letters[0].failure, "step b failed");
    assert_eq!(bench.told(retry).await.last(), Some(&"run_gave_up"));
}

#[tokio::test]
async fn r020_r154_a_run_that_loses_each_worker_is_a_dead_letter_that_says_so() {
    let bench = bench(JobDef { run_retries: None, ..retried(0, RetryFrom::Start) }).await;
    let run = bench.launch("etl").await;
    let patience = Patience { launches_max: 4, ..PATIENCE };
    for _ in 0..4 {
        bench.start_again(run).await;
        let mut watch = LostWatch::default();
        for _ in 0..4 {
            bench.control.recover_lost(&mut watch, patience).await.unwrap();
            bench.clock.advance(TIME_TO_LIVE / 3);
        }
    }
    let row = bench.row(run).await;
    assert_eq!(row.status, RunStatus::Failure);
    let letter = bench.control.dead_letter(&tenant(), run).await.unwrap();
    assert_eq!(letter.reason.to_string(), "stale_after_4_attempts");
    assert_eq!(Some(letter.failure), row.failure);
    let lost = bench.told(run).await.iter().filter(|kind| **kind == "worker_lost").count();
    assert_eq!(lost, 4);
}

/// Lets `seconds` pass in passes of ten seconds; returns how often a worker was given up.
async fn watch(bench: &Bench, watch: &mut LostWatch, patience: Patience, seconds: u64) -> usize {
    let mut workers = 0;
    for _ in 0..=seconds / 10 {
        workers += bench.control.recover_lost(watch, patience).await.unwrap().len();
        bench.clock.advance(Duration::from_secs(10));
    }
    workers
}

#[tokio::test]
async fn r021_r147_a_run_whose_worker_never_starts_fails_after_the_start_timeout() {
    let bench = bench(retried(0, RetryFrom::Start)).await;
    let run = bench.launch("etl").await;
    let patience = Patience {
        start: Duration::from_mins(1),
        launches_max: 2,
        ..Patience::new(TIME_TO_LIVE, 2)
    };
    let mut seen = LostWatch::default();
    bench.claim().await;
    assert_eq!(watch(&bench, &mut seen, patience, 50).await, 0);
    assert_eq!(watch(&bench, &mut seen, patience, 10).await, 1);
    assert_eq!(bench.status(run).await, RunStatus::Queued);
    bench.claim().await;
    assert_eq!(watch(&bench, &mut seen, patience, 60).await, 1);
    let row = bench.row(run).await;
    assert_eq!(row.status, RunStatus::Failure);
    let reason = "its worker has not started within 1m, and this was worker 2 of at most 2";
    assert_eq!(row.failure.as_deref(), Some(reason));
    let letter = bench.control.dead_letter(&tenant(), run).await.unwrap();
    assert_eq!(letter.reason.to_string(), "not_started_after_2_attempts");
}

#[tokio::test]
async fn r147_a_worker_that_does_not_stop_in_time_loses_its_canceled_run() {
    let bench = bench(retried(3, RetryFrom::Start)).await;
    let worker = bench.started("etl").await;
    bench.control.cancel(&tenant(), worker.run(), "ana").await.unwrap();
    let patience = Patience { cancel: Duration::from_mins(1), ..PATIENCE };
    let mut seen = LostWatch::default();
    for _ in 0..6 {
        assert_eq!(watch(&bench, &mut seen, patience, 0).await, 0);
        worker.beat().await.unwrap();
    }
    assert_eq!(watch(&bench, &mut seen, patience, 0).await, 1);
    let row = bench.row(worker.run()).await;
    assert_eq!((row.status, row.retried_as), (RunStatus::Canceled, None));
    assert!(worker.beat().await.is_err(), "it is fenced");
}

#[tokio::test]
async fn r147_a_run_that_goes_on_for_too_long_fails_and_is_retried_as_its_job_says() {
    let timeout = Some(HumanDuration::from_secs(60));
    let bench = bench(JobDef { timeout, ..retried(1, RetryFrom::Failure) }).await;
    let mut worker = bench.started("etl").await;
    worker.say(vec![step_started("a", 1)]).await.unwrap();
    let mut seen = LostWatch::default();
    for _ in 0..6 {
        assert_eq!(watch(&bench, &mut seen, PATIENCE, 0).await, 0);
        worker.beat().await.unwrap();
    }
    assert_eq!(watch(&bench, &mut seen, PATIENCE, 0).await, 1);
    let row = bench.row(worker.run()).await;
    assert_eq!(row.failure.as_deref(), Some("it has run for longer than its timeout of 1m"));
    let told = bench.told(worker.run()).await;
    assert_eq!(told[told.len() - 2..], ["run_failed", "run_retried"]);
    let steps = bench.control.store().steps_of_run(&tenant(), worker.run()).await.unwrap();
    let reasons: Vec<&str> = steps.values().filter_map(|step| step.reason.as_deref()).collect();
    assert_eq!(reasons, ["the run failed: it has run for longer than its timeout of 1m"]);
    assert!(worker.beat().await.is_err(), "it is fenced");
}

#[tokio::test]
async fn r154_a_dead_letter_is_retried_or_discarded_once() {
    let bench = bench(retried(1, RetryFrom::Start)).await;
    let mut dead = Vec::new();
    for _ in 0..2 {
        let mut first = bench.started("etl").await;
        fail_at_b(&mut first).await;
        let retry = retry_of(&bench, first.run()).await;
        fail_at_b(&mut bench.start_again(retry).await).await;
        dead.push(retry);
    }
    let control: &Control = &bench.control;
    let launched =
        control.retry_dead_letter(&tenant(), dead[0], RetryFrom::Failure, "ana").await.unwrap();
    let row = bench.row(launched.run_id).await;
    assert_eq!(row.cause.to_string(), format!("retry of {}, ana", dead[0].short()));
    assert_eq!(row.steps_over, 1);
    let again = control.retry_run(&tenant(), dead[0], RetryFrom::Failure, "ana").await;
    assert!(
        matches!(again, Err(ControlError::RunRetried { retry, .. }) if retry == launched.run_id)
    );

    let discarded = control.discard_dead_letter(&tenant(), dead[1], "ben").await.unwrap();
    assert_eq!(discarded.closed.unwrap().outcome, ClosedAs::Discarded);
    let again = control.discard_dead_letter(&tenant(), dead[1], "ben").await.unwrap_err();
    assert!(again.to_string().ends_with("was discarded by ben"), "{again}");

    assert!(letters(&bench, DeadLetterFilter::Open).await.is_empty());
    assert_eq!(letters(&bench, DeadLetterFilter::All).await.len(), 2);
    let stranger = "other".parse().unwrap();
    let hidden = control.dead_letters(&stranger, (DeadLetterFilter::All, None), 10).await.unwrap();
    assert!(hidden.is_empty());
}

#[tokio::test]
async fn r154_a_retry_by_hand_has_all_retries_of_its_job_again() {
    let bench = bench(retried(1, RetryFrom::Start)).await;
    let mut first = bench.started("etl").await;
    fail_at_b(&mut first).await;
    let second = retry_of(&bench, first.run()).await;
    fail_at_b(&mut bench.start_again(second).await).await;
    let by_hand =
        bench.control.retry_run(&tenant(), second, RetryFrom::Start, "ana").await.unwrap().run_id;
    fail_at_b(&mut bench.start_again(by_hand).await).await;
    assert_eq!(bench.row(retry_of(&bench, by_hand).await).await.status, RunStatus::Queued);
}

#[tokio::test]
async fn a_run_whose_job_or_tenant_is_off_is_not_tried_again_by_hand() {
    let bench = bench(retried(1, RetryFrom::Failure)).await;
    let mut worker = bench.started("etl").await;
    let first = worker.run();
    let etl = "etl".parse().unwrap();
    let switch = async |on| {
        let place = (&crate::bench::location(), &etl);
        bench.control.override_job(&tenant(), place, on, "ana").await.unwrap();
    };
    switch(Some(false)).await;
    fail_at_b(&mut worker).await;
    // What was asked for before goes on, with its retry.
    let run = retry_of(&bench, first).await;
    let mut worker = bench.start_again(run).await;
    worker.say(vec![EventBody::RunFailed { reason: "again".to_owned() }]).await.unwrap();
    let from = RetryFrom::Failure;
    let refused = async || {
        let by_run = bench.control.retry_run(&tenant(), run, from, "ana").await.unwrap_err();
        let letter = bench.control.retry_dead_letter(&tenant(), run, from, "ana").await;
        assert_eq!(letter.unwrap_err().to_string(), by_run.to_string());
        (by_run.code(), by_run.to_string())
    };
    let (code, text) = refused().await;
    assert_eq!(code, ErrorCode::JobDisabled);
    assert!(text.contains("`millstream job start`"), "{text}");

    let disabled = JobDef { enabled: false, ..retried(1, RetryFrom::Failure) };
    let scan = async |file| bench.scan(vec![live("defs.yaml", file)]).await;
    switch(None).await;
    scan(file_of_jobs(vec![disabled.clone()])).await;
    assert_eq!(refused().await.0, ErrorCode::JobDisabled);
    switch(Some(true)).await;
    let mut off = with_tenants(file_of_jobs(vec![disabled]), &["default"]);
    off.tenants.get_mut(&tenant()).unwrap().enabled = false;
    scan(off.clone()).await;
    let (code, text) = refused().await;
    assert_eq!(code, ErrorCode::TenantDisabled);
    assert!(text.contains("set `enabled: true`"), "{text}");
    scan(with_tenants(file_of_jobs(vec![]), &["other"])).await;
    assert_eq!(refused().await.0, ErrorCode::TenantUnknown);

    assert_eq!(letters(&bench, DeadLetterFilter::Open).await.len(), 1, "it is as it was");
    off.tenants.get_mut(&tenant()).unwrap().enabled = true;
    scan(off).await;
    bench.control.retry_run(&tenant(), run, from, "ana").await.unwrap();
}

#[tokio::test]
async fn a_run_whose_job_is_in_no_file_any_more_is_tried_again_whatever_was_said_of_it() {
    let bench = bench(retried(0, RetryFrom::Failure)).await;
    let mut worker = bench.started("etl").await;
    let run = worker.run();
    fail_at_b(&mut worker).await;
    let (location, etl) = (crate::bench::location(), "etl".parse().unwrap());
    let place = (&location, &etl);
    bench.control.override_job(&tenant(), place, Some(false), "ana").await.unwrap();
    bench.scan(vec![live("defs.yaml", file_of_jobs(vec![job("x", vec![op("a", &[])])]))]).await;
    bench.control.retry_run(&tenant(), run, RetryFrom::Start, "ana").await.unwrap();
}

#[tokio::test]
async fn who_retries_a_run_whose_definitions_have_changed_is_told_the_way_to_the_new_ones() {
    let bench = bench(retried(0, RetryFrom::Failure)).await;
    let mut worker = bench.started("etl").await;
    let run = worker.run();
    fail_at_b(&mut worker).await;
    let words = async || bench.control.older_plan_words(&tenant(), run).await.unwrap();
    bench.clock.advance(Duration::from_mins(1));
    assert_eq!(words().await, None);
    let mended = job("etl", vec![op("a", &[]), op("c", &["a"])]);
    bench.scan(vec![live("defs.yaml", file_of_jobs(vec![mended]))]).await;
    let wanted = format!(
        "the definitions have changed since run {} was planned, and a retry keeps its plan: \
         `millstream job launch etl` takes them as they are now",
        run.short()
    );
    assert_eq!(words().await, Some(wanted));
    bench.scan(vec![live("defs.yaml", file_of_jobs(vec![job("x", vec![op("a", &[])])]))]).await;
    assert_eq!(words().await, None, "there is nothing to launch");
}
