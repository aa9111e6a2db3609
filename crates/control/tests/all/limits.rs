//! Limits of the queue and slots of pools, as definitions declare them.

use std::collections::BTreeMap;

use millstream_control::{ClaimedRun, QueueLimits, QueueWatch};
use millstream_model::worker_api::{SlotAsk, WaitingStep};
use millstream_model::{
    EventBody, FileManifest, HoldReason, HumanDuration, LimitScope, OpDef, PoolDef, PoolUse,
    QueueDef, RateLimit, RunId, RunRequest, RunStatus, TagLimit, TagValues, TenantId,
};
use millstream_testkit::definitions::{file_of_jobs, job, op};

use crate::bench::{
    Bench, TIME_TO_LIVE, TestWorker, request, started, step_started, step_succeeded,
};

fn default_tenant() -> TenantId {
    TenantId::default_tenant()
}

fn one_per_value(key: &str) -> QueueDef {
    let (values, scope) = (TagValues::Each, LimitScope::Tenant);
    let limit = TagLimit { key: key.to_owned(), values, limit: 1, scope };
    QueueDef { tag_limits: vec![limit], ..QueueDef::default() }
}

async fn bench_with(queue: QueueDef) -> Bench {
    let file = file_of_jobs(vec![job("etl", vec![op("a", &[])])]);
    Bench::of(FileManifest { queue, ..file }).await
}

async fn launch(bench: &Bench, tags: &[(&str, &str)]) -> RunId {
    let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let request = RunRequest { tags: tags.collect(), ..request(&default_tenant()) };
    bench.control.launch_job(&request, &"etl".parse().unwrap()).await.unwrap().run_id
}

fn runs(claimed: &[ClaimedRun]) -> Vec<RunId> {
    claimed.iter().map(|claimed| claimed.run).collect()
}

#[tokio::test]
async fn r124_launches_at_once_under_a_limit_of_one_never_run_two_at_a_time() {
    let bench = bench_with(one_per_value("exclusive")).await;
    let tags = [("exclusive", "snapshot")];
    let (a, b, c) =
        tokio::join!(launch(&bench, &tags), launch(&bench, &tags), launch(&bench, &tags));
    let (mut one, mut two) = (QueueWatch::default(), QueueWatch::default());
    let limits = QueueLimits::of(None);
    let mut begun = Vec::new();
    for _ in 0..3 {
        let (first, second) = tokio::join!(
            bench.control.claim_runs("one", &mut one, limits, TIME_TO_LIVE),
            bench.control.claim_runs("two", &mut two, limits, TIME_TO_LIVE),
        );
        let claimed = [first.unwrap(), second.unwrap()].concat();
        assert_eq!(claimed.len(), 1);
        let run = claimed[0].run;
        bench.control.cancel(&default_tenant(), run, "ana").await.unwrap();
        let mut worker = TestWorker::of(&bench, claimed[0].clone());
        worker.say(vec![started(), EventBody::RunCanceled {}]).await.unwrap();
        begun.push(run);
    }
    let mut all = vec![a, b, c];
    all.sort();
    begun.sort();
    assert_eq!(begun, all);
}

#[tokio::test]
async fn r126_two_quarters_run_side_by_side_and_one_quarter_waits_for_itself() {
    let bench = bench_with(one_per_value("quarter")).await;
    let first = launch(&bench, &[("quarter", "Q1")]).await;
    let again = launch(&bench, &[("quarter", "Q1")]).await;
    let other = launch(&bench, &[("quarter", "Q2")]).await;
    assert_eq!(runs(&bench.claim().await), [first, other]);
    assert!(bench.claim().await.is_empty());
    let why = bench.row(again).await.hold.unwrap().to_string();
    assert_eq!(why, format!("limit 1 for tag `quarter=Q1` is reached by run {}", first.short()));
    let view = bench.control.run_view(&default_tenant(), again).await.unwrap();
    assert_eq!(view.place, Some(1));
}

#[tokio::test]
async fn r126_the_run_behind_a_run_that_waits_says_what_that_one_waits_for() {
    let bench = bench_with(one_per_value("quarter")).await;
    for _ in 0..3 {
        launch(&bench, &[("quarter", "Q1")]).await;
    }
    bench.claim().await;
    bench.claim().await;
    let queue = bench.control.queue_view(&default_tenant()).await.unwrap();
    let reasons: Vec<&HoldReason> =
        queue.waiting.iter().filter_map(|row| row.run.hold.as_ref()).collect();
    assert_eq!((queue.waiting_total, reasons.len()), (2, 2));
    assert_eq!(reasons[0], reasons[1]);
}

#[tokio::test]
async fn r125_a_run_that_will_have_another_worker_keeps_others_of_its_tag_out() {
    let bench = bench_with(one_per_value("exclusive")).await;
    let tags = [("exclusive", "db")];
    let first = launch(&bench, &tags).await;
    let mut worker = bench.claimed(first).await;
    worker.say(vec![started()]).await.unwrap();
    let second = launch(&bench, &tags).await;
    bench.lose_silent().await;
    assert_eq!(bench.status(first).await, RunStatus::Queued);
    assert_eq!(runs(&bench.claim().await), [first], "and not {second}");
}

#[tokio::test]
async fn r145_mixed_priorities_leave_the_queue_in_order() {
    let mut low = job("low", vec![op("a", &[])]);
    low.priority = Some(-1);
    let bench = Bench::of(file_of_jobs(vec![low, job("etl", vec![op("a", &[])])])).await;
    let last = bench.launch("low").await;
    let usual = bench.launch("etl").await;
    let first = launch(&bench, &[("dagster/priority", "3")]).await;
    assert_eq!(runs(&bench.claim().await), [first, usual, last]);
}

#[tokio::test]
async fn a_rate_limit_lets_the_next_run_start_when_the_time_is_over() {
    let (key, value, limit, scope) = (None, None, 2, LimitScope::Tenant);
    let rate = RateLimit { key, value, limit, per: HumanDuration::from_secs(60), scope };
    let queue = QueueDef { rate_limits: vec![rate], ..QueueDef::default() };
    let bench = bench_with(queue).await;
    for _ in 0..3 {
        launch(&bench, &[]).await;
    }
    assert_eq!(bench.claim().await.len(), 2);
    assert!(bench.claim().await.is_empty());
    bench.clock.advance(std::time::Duration::from_secs(61));
    assert_eq!(bench.claim().await.len(), 1);
}

#[tokio::test]
async fn a_limit_that_definitions_add_later_holds_for_runs_that_wait_already() {
    let bench = bench_with(QueueDef::default()).await;
    for _ in 0..3 {
        launch(&bench, &[("quarter", "Q1")]).await;
    }
    let file = file_of_jobs(vec![job("etl", vec![op("a", &[])])]);
    let file = FileManifest { queue: one_per_value("quarter"), ..file };
    bench.scan(vec![millstream_testkit::definitions::live("defs.yaml", file)]).await;
    assert_eq!(bench.claim().await.len(), 1);
    assert!(bench.claim().await.is_empty());
}

fn pooled(id: &str, slots: u32) -> OpDef {
    let pool = PoolUse { name: "warehouse".parse().unwrap(), slots };
    OpDef { pool: Some(pool), ..op(id, &[]) }
}

async fn pool_bench(slots: u32, ops: Vec<OpDef>) -> Bench {
    let pool = PoolDef { slots, scope: LimitScope::Tenant };
    let pools = BTreeMap::from([("warehouse".parse().unwrap(), pool)]);
    Bench::of(FileManifest { pools, ..file_of_jobs(vec![job("etl", ops)]) }).await
}

fn waiting(step: &str, attempt: u32) -> WaitingStep {
    WaitingStep { step: step.parse().unwrap(), attempt }
}

/// What `worker` has once it has asked for `steps` and a daemon has looked.
async fn granted(bench: &Bench, worker: &TestWorker<'_>, steps: &[&str]) -> Vec<String> {
    let steps = steps.iter().map(|step| waiting(step, 1)).collect();
    let ask = SlotAsk { epoch: worker.claimed.epoch, steps, wait_millis: 0 };
    bench.control.ask_slots(&default_tenant(), worker.run(), &ask).await.unwrap();
    bench.claim().await;
    let answer = bench.control.ask_slots(&default_tenant(), worker.run(), &ask).await.unwrap();
    answer.granted.into_iter().map(|granted| granted.step.to_string()).collect()
}

#[tokio::test]
async fn r149_of_ten_steps_two_have_the_slots_and_the_others_say_what_they_wait_for() {
    let names: Vec<String> = (0..10).map(|number| format!("s{number}")).collect();
    let bench = pool_bench(2, names.iter().map(|name| pooled(name, 1)).collect()).await;
    let mut worker = bench.started("etl").await;
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(granted(&bench, &worker, &all).await, ["s0", "s1"]);

    worker.say(vec![step_started("s0", 1), step_started("s1", 1)]).await.unwrap();
    let view = bench.control.run_view(&default_tenant(), worker.run()).await.unwrap();
    let why = view.steps[5].reason.as_deref().unwrap();
    assert!(why.starts_with("waiting for pool `warehouse` (2 of 2 slots held by `s0` of run"));

    worker.say(vec![step_succeeded("s0", 1)]).await.unwrap();
    assert_eq!(granted(&bench, &worker, &all[1..]).await, ["s1", "s2"]);
}

#[tokio::test]
async fn r149_a_step_that_has_no_slots_cannot_start() {
    let bench = pool_bench(1, vec![pooled("a", 1)]).await;
    let mut worker = bench.started("etl").await;
    assert!(worker.say(vec![step_started("a", 1)]).await.is_err());
}

#[tokio::test]
async fn slots_are_free_again_when_their_worker_is_found_lost() {
    let bench = pool_bench(1, vec![pooled("a", 1)]).await;
    let mut gone = bench.started("etl").await;
    assert_eq!(granted(&bench, &gone, &["a"]).await, ["a"]);
    gone.say(vec![step_started("a", 1)]).await.unwrap();
    bench.lose_silent().await;
    assert!(bench.control.store().slots_held().await.unwrap().is_empty());

    let ask = SlotAsk { epoch: 1, steps: vec![waiting("a", 2)], wait_millis: 0 };
    let late = bench.control.ask_slots(&default_tenant(), gone.run(), &ask).await;
    assert!(late.is_ok(), "it is still in the first epoch, though it waits for another worker");
    assert!(bench.control.store().slots_waited_for(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_question_for_slots_that_comes_after_the_attempt_leaves_nothing_behind() {
    let bench = pool_bench(1, vec![pooled("a", 1), op("b", &["a"])]).await;
    let mut worker = bench.started("etl").await;
    granted(&bench, &worker, &["a"]).await;
    worker.say(vec![step_started("a", 1), step_succeeded("a", 1)]).await.unwrap();
    assert_eq!(granted(&bench, &worker, &["a"]).await, [] as [&str; 0]);
    assert!(bench.control.store().slots_of_tenant(&default_tenant(), 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_cancel_frees_what_steps_hold_and_wait_for() {
    let bench = pool_bench(1, vec![pooled("a", 1), pooled("b", 1)]).await;
    let mut worker = bench.started("etl").await;
    granted(&bench, &worker, &["a", "b"]).await;
    worker.say(vec![step_started("a", 1)]).await.unwrap();
    bench.control.cancel(&default_tenant(), worker.run(), "ana").await.unwrap();
    let canceled = |step: &str, attempt| crate::bench::step_canceled(step, attempt);
    worker.say(vec![canceled("b", 0), canceled("a", 1)]).await.unwrap();
    assert!(bench.control.store().slots_of_tenant(&default_tenant(), 9).await.unwrap().is_empty());
}
