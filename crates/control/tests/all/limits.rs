//! Limits of the queue and slots of pools, as definitions declare them.

use std::collections::BTreeMap;

use millstream_control::{ClaimedRun, LostWatch, QueueLimits, QueueWatch, RunFilter};
use millstream_decide::queue::lane_again;
use millstream_model::view::PoolRow;
use millstream_model::worker_api::{SlotAsk, WaitingStep};
use millstream_model::{
    EventBody, FileManifest, HoldReason, HumanDuration, JobDef, LimitScope, OpDef, PoolDef,
    PoolUse, QueueDef, RateLimit, RetryFrom, RunId, RunRequest, RunRetries, RunStatus, TagLimit,
    TagValues, TenantId, Timestamp,
};
use millstream_store::queue::HeadsPage;
use millstream_testkit::definitions::{file_of_jobs, job, op};

use crate::bench::{
    Bench, PATIENCE, TIME_TO_LIVE, TestWorker, request, started, step_failed, step_started,
    step_succeeded,
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
    let unseen = bench.control.queue_view(&default_tenant()).await.unwrap();
    assert_eq!(unseen.waiting.len(), 3, "also while no daemon has looked at them");
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

/// Ids begin with the time of day of who gave them, and clocks are set back.
#[tokio::test]
async fn a_run_that_will_have_another_worker_waits_for_no_run_that_waits_for_it() {
    let bench = bench_with(one_per_value("exclusive")).await;
    let tags = [("exclusive", "db")];
    let first = launch(&bench, &tags).await;
    bench.start_again(first).await;
    let hour_ago = bench.control.now().as_micros() - 3_600_000_000;
    bench.clock.set(Timestamp::from_micros(hour_ago));
    let second = launch(&bench, &tags).await;
    assert!(second < first);
    bench.lose_silent().await;
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

#[tokio::test]
async fn r125_a_retry_waits_beside_the_lane_of_its_limits_and_goes_first() {
    let run_retries = Some(RunRetries { max: 1, from: RetryFrom::Start });
    let etl = JobDef { run_retries, ..job("etl", vec![op("a", &[])]) };
    let queue = one_per_value("vendor");
    let bench = Bench::of(FileManifest { queue, ..file_of_jobs(vec![etl]) }).await;
    let first = launch(&bench, &[("vendor", "acme")]).await;
    let mut worker = bench.start_again(first).await;
    let next = launch(&bench, &[("vendor", "acme")]).await;
    let over = EventBody::RunFailed { reason: "a failed".to_owned() };
    worker.say(vec![step_started("a", 1), step_failed("a", 1), over]).await.unwrap();
    let retry = bench.row(first).await.retried_as.unwrap();

    let page = HeadsPage { runs: 10, lanes: 10 };
    let heads = bench.control.store().lane_heads(page, &BTreeMap::new()).await.unwrap();
    let lane_of = |run| heads.iter().find(|head| head.run == run).unwrap().lane.as_str();
    assert_eq!(lane_of(retry), lane_again(lane_of(next)));

    let claimed = bench.claim().await;
    assert_eq!(runs(&claimed), [retry], "it keeps the place of the run that failed");
    let why = bench.row(next).await.hold.unwrap();
    assert!(why.to_string().ends_with(&format!("is reached by run {}", retry.short())), "{why}");
}

pub(crate) fn pooled(id: &str, slots: u32) -> OpDef {
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
pub(crate) async fn granted(bench: &Bench, worker: &TestWorker<'_>, steps: &[&str]) -> Vec<String> {
    granted_of(bench, worker, steps.iter().map(|step| waiting(step, 1)).collect()).await
}

async fn granted_of(
    bench: &Bench,
    worker: &TestWorker<'_>,
    steps: Vec<WaitingStep>,
) -> Vec<String> {
    let ask = SlotAsk { epoch: worker.claimed.epoch, steps, wait_millis: 0 };
    let tenant = &worker.claimed.tenant;
    bench.control.ask_slots(tenant, worker.run(), &ask).await.unwrap();
    bench.claim().await;
    let answer = bench.control.ask_slots(tenant, worker.run(), &ask).await.unwrap();
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
    let answer = bench.control.why(&default_tenant(), &worker.run().to_string()).await.unwrap();
    let waits = "It runs: 0 of 10 steps are over; step s2 is waiting for pool `warehouse` (2 of 2";
    assert!(answer.answer.starts_with(waits), "{answer:?}");
    assert!(answer.because.iter().any(|reason| reason.text == format!("step s5 is {why}")));

    worker.say(vec![step_succeeded("s0", 1)]).await.unwrap();
    assert_eq!(granted(&bench, &worker, &all[1..]).await, ["s1", "s2"]);
}

#[tokio::test]
async fn a_step_behind_a_larger_one_says_what_it_needs_and_behind_whom_it_waits() {
    let pool = PoolDef { slots: 2, scope: LimitScope::Tenant };
    let pools = BTreeMap::from([("warehouse".parse().unwrap(), pool)]);
    let alone = |name: &str, slots| job(name, vec![pooled(name, slots)]);
    let jobs = vec![alone("download", 1), alone("rebuild", 2), alone("p1", 1)];
    let bench = Bench::of(FileManifest { pools, ..file_of_jobs(jobs) }).await;
    let first = bench.started("download").await;
    assert_eq!(granted(&bench, &first, &["download"]).await, ["download"]);
    let large = bench.started("rebuild").await;
    assert_eq!(granted(&bench, &large, &["rebuild"]).await, [] as [&str; 0]);
    bench.clock.advance(std::time::Duration::from_secs(1));
    let small = bench.started("p1").await;
    assert_eq!(granted(&bench, &small, &["p1"]).await, [] as [&str; 0]);

    let view = bench.control.run_view(&default_tenant(), small.run()).await.unwrap();
    let why = format!(
        "waiting for pool `warehouse` (1 of 2 slots held by `download` of run {}; 1 is needed, \
         behind `rebuild` of run {}, which needs 2)",
        first.run().short(),
        large.run().short()
    );
    assert_eq!(view.steps[0].reason.as_ref(), Some(&why));
    let listed = bench.control.listed_runs(&default_tenant(), &RunFilter::default(), 9).await;
    let waits: Vec<Option<String>> = listed.unwrap().into_iter().map(|it| it.run.waits).collect();
    assert_eq!(waits[0], Some(format!("step p1 is {why}")));
    assert!(waits[1].as_ref().unwrap().ends_with("; 2 are needed)"), "{waits:?}");
}

#[tokio::test]
async fn a_step_that_waits_for_a_place_in_its_run_says_so() {
    let etl = JobDef { max_parallel: Some(1), ..job("etl", vec![op("a", &[]), op("b", &[])]) };
    let bench = Bench::of(file_of_jobs(vec![etl])).await;
    let mut worker = bench.started("etl").await;
    worker.say(vec![step_started("a", 1)]).await.unwrap();
    let view = bench.control.run_view(&default_tenant(), worker.run()).await.unwrap();
    let why = "waiting for a place: 1 of 1 steps of this run are running (max_parallel)";
    assert_eq!(view.steps[1].reason.as_deref(), Some(why));
    let answer = bench.control.why(&default_tenant(), &worker.run().to_string()).await.unwrap();
    assert_eq!(answer.answer, format!("It runs: 0 of 2 steps are over; step b is {why}."));

    worker.say(vec![step_succeeded("a", 1)]).await.unwrap();
    let view = bench.control.run_view(&default_tenant(), worker.run()).await.unwrap();
    assert_eq!(view.steps[1].reason, None);
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
async fn a_step_whose_worker_was_lost_has_its_old_place_in_line_and_says_so() {
    let (tenant, second) = (default_tenant(), std::time::Duration::from_secs(1));
    let pool = PoolDef { slots: 1, scope: LimitScope::Tenant };
    let pools = BTreeMap::from([("warehouse".parse().unwrap(), pool)]);
    let jobs = ["lost", "next", "later"].map(|name| job(name, vec![pooled(name, 1)]));
    let bench = Bench::of(FileManifest { pools, ..file_of_jobs(jobs.to_vec()) }).await;
    let mut gone = bench.started("lost").await;
    assert_eq!(granted(&bench, &gone, &["lost"]).await, ["lost"]);
    gone.say(vec![step_started("lost", 1)]).await.unwrap();
    bench.clock.advance(second);
    let mut next = bench.started("next").await;
    assert_eq!(granted(&bench, &next, &["next"]).await, [] as [&str; 0]);
    assert_eq!(watch(&bench, &mut LostWatch::default(), &[&next], 4).await, 1);

    // From then on, and until the next worker asks, what it waits for is told.
    let words = "waiting for pool `warehouse`: its worker was lost, and another takes its place \
                 in line";
    let pool = || async { bench.control.queue_view(&tenant).await.unwrap().pools.remove(0) };
    let line = |pool: PoolRow| pool.waiting.into_iter().map(|it| it.run_id).collect::<Vec<_>>();
    assert_eq!(line(pool().await), [gone.run(), next.run()]);
    let view = bench.control.run_view(&tenant, gone.run()).await.unwrap();
    assert_eq!(view.steps[0].reason.as_deref(), Some(words));
    let mut again = bench.start_again(gone.run()).await;
    assert_eq!(line(pool().await), [gone.run()], "the free slot went to who was there");
    let answer = bench.control.why(&tenant, &gone.run().to_string()).await.unwrap().answer;
    assert_eq!(answer, format!("It runs: 0 of 1 steps are over; step lost is {words}."));

    let later = bench.started("later").await;
    assert_eq!(granted(&bench, &later, &["later"]).await, [] as [&str; 0]);
    bench.clock.advance(second);
    let lost = EventBody::StepLost { step: "lost".parse().unwrap(), attempt: 1 };
    again.say(vec![lost]).await.unwrap();
    assert_eq!(granted_of(&bench, &again, vec![waiting("lost", 2)]).await, [] as [&str; 0]);
    assert_eq!(line(pool().await), [gone.run(), later.run()]);
    next.say(vec![step_started("next", 1), step_succeeded("next", 1)]).await.unwrap();
    assert_eq!(granted_of(&bench, &again, vec![waiting("lost", 2)]).await, ["lost"]);
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

#[tokio::test]
async fn a_run_that_waits_for_slots_does_not_run_out_of_time() {
    let pool = PoolDef { slots: 1, scope: LimitScope::Tenant };
    let pools = BTreeMap::from([("warehouse".parse().unwrap(), pool)]);
    let timeout = Some(HumanDuration::from_secs(60));
    let holder = job("holder", vec![pooled("h", 1)]);
    let etl = JobDef { timeout, ..job("etl", vec![pooled("a", 1)]) };
    let bench = Bench::of(FileManifest { pools, ..file_of_jobs(vec![holder, etl]) }).await;
    let mut first = bench.started("holder").await;
    assert_eq!(granted(&bench, &first, &["h"]).await, ["h"]);
    let second = bench.started("etl").await;
    assert_eq!(granted(&bench, &second, &["a"]).await, [] as [&str; 0]);

    let mut seen = LostWatch::default();
    let waited = watch(&bench, &mut seen, &[&first, &second], 60).await;
    assert_eq!(waited, 0, "five minutes of waiting are none of its own minute");
    first.say(vec![step_started("h", 1), step_succeeded("h", 1)]).await.unwrap();
    assert_eq!(granted(&bench, &second, &["a"]).await, ["a"]);
    assert_eq!(watch(&bench, &mut seen, &[&first, &second], 11).await, 0);
    assert_eq!(watch(&bench, &mut seen, &[&first, &second], 3).await, 1, "it has had its minute");
}

/// Watches runs whose workers are alive `times` times, a third of the time-to-live apart; how many
/// were taken from them.
async fn watch(
    bench: &Bench,
    seen: &mut LostWatch,
    workers: &[&TestWorker<'_>],
    times: u32,
) -> usize {
    let mut lost = 0;
    for _ in 0..times {
        lost += bench.control.recover_lost(seen, PATIENCE).await.unwrap().len();
        bench.clock.advance(TIME_TO_LIVE / 3);
        for worker in workers {
            // One that has lost its run is refused.
            assert!(worker.beat().await.is_ok() || lost > 0);
        }
    }
    lost
}
