//! Why runs and assets are as they are, from what is stored.

use millstream_control::{ControlError, Why};
use millstream_model::{EventBody, JobDef, RetryFrom, RunRetries, TenantId};
use millstream_testkit::definitions::{file_of_jobs, job, op};

use crate::bench::{Bench, started, step_failed, step_started, step_succeeded};

async fn bench() -> Bench {
    let run_retries = Some(RunRetries { max: 1, from: RetryFrom::Failure });
    let etl = job("etl", vec![op("a", &[]), op("b", &["a"])]);
    Bench::of(file_of_jobs(vec![JobDef { run_retries, ..etl }])).await
}

async fn why(bench: &Bench, subject: &str) -> Why {
    bench.control.why(&TenantId::default_tenant(), subject).await.unwrap()
}

fn texts(why: &Why) -> Vec<&str> {
    why.because.iter().map(|reason| reason.text.as_str()).collect()
}

#[tokio::test]
async fn a_failed_run_says_what_failed_and_what_follows() {
    let bench = bench().await;
    let mut worker = bench.started("etl").await;
    let run = worker.run();
    let fails = || {
        let reason = "step b failed".to_owned();
        vec![step_started("b", 1), step_failed("b", 1), EventBody::RunFailed { reason }]
    };
    worker.say(vec![step_started("a", 1), step_succeeded("a", 1)]).await.unwrap();
    worker.say(fails()).await.unwrap();
    let retry = bench.row(run).await.retried_as.unwrap();
    let first = why(&bench, &run.to_string()).await;
    let answer = format!("It failed: step b failed. Run {} tries it again.", retry.short());
    assert_eq!(first.answer, answer);
    let tried = format!("run {} tries it again: retry 1 of 1", retry.short());
    let failed = "step b failed: it ended with 1 [step-exit]";
    assert_eq!(texts(&first), ["it exists because of ana, manual", tried.as_str(), failed]);

    let mut worker = bench.claimed(retry).await;
    worker.say(vec![started()]).await.unwrap();
    worker.say(fails()).await.unwrap();
    let second = why(&bench, &retry.to_string()).await;
    let answer = "It failed: step b failed. It was given up, because it was tried 2 times and \
                  failed each time.";
    assert_eq!(second.answer, answer);
    let kept = format!("step a was done in run {}", run.short());
    assert!(texts(&second).contains(&kept.as_str()), "{second:?}");
}

#[tokio::test]
async fn a_run_that_waits_for_another_worker_says_what_became_of_the_last() {
    let bench = bench().await;
    let worker = bench.started("etl").await;
    bench.lose_silent().await;
    let answer = why(&bench, &worker.run().to_string()).await;
    assert_eq!(answer.answer, "It is queued again for another worker, and nothing holds it.");
    let lost = "it was taken from its worker: its worker has given no sign of life for 15 s";
    assert!(texts(&answer).contains(&lost), "{answer:?}");
}

#[tokio::test]
async fn a_run_that_another_worker_took_over_names_the_step_that_is_done_again() {
    let bench = bench().await;
    let mut worker = bench.started("etl").await;
    let run = worker.run();
    worker.say(vec![step_started("a", 1)]).await.unwrap();
    bench.lose_silent().await;
    let mut worker = bench.start_again(run).await;
    let lost = EventBody::StepLost { step: "a".parse().unwrap(), attempt: 1 };
    worker.say(vec![lost, step_started("a", 2), step_succeeded("a", 2)]).await.unwrap();
    let answer = why(&bench, &run.to_string()).await;
    let again = "step a was lost with its worker in attempt 1: done again";
    assert!(texts(&answer).contains(&again), "{answer:?}");
}

#[tokio::test]
async fn a_canceled_run_names_who_asked_and_an_unknown_name_is_refused() {
    let bench = bench().await;
    let tenant = TenantId::default_tenant();
    let run = bench.launch("etl").await;
    bench.control.cancel(&tenant, run, "ben").await.unwrap();
    assert_eq!(why(&bench, &run.to_string()).await.answer, "It was canceled by ben.");
    let unknown = bench.control.why(&tenant, "nothing").await;
    assert!(matches!(unknown, Err(ControlError::SubjectUnknown { .. })));
}
