//! What is said of runs, steps and ticks that wait, beyond the limits themselves.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_control::{Control, LoopSaid, QueueLimits, QueueWatch, RunFilter};
use millstream_model::{
    EventBody, FileManifest, LimitScope, OpDef, PlannedRetry, PoolDef, QueueDef, RetryPolicy,
    StepStatus, TenantId,
};
use millstream_testkit::definitions::{file_of_jobs, job, live, op, with_tenants};

use crate::bench::{Bench, TIME_TO_LIVE, TestWorker, request, started, step_failed, step_started};
use crate::limits::{granted, pooled};
use crate::schedules::{World, at, job_with, parsed, tenant};

/// An instance of these tenants whose job `etl` needs a slot of the pool `warehouse`.
async fn pool_bench(pool: PoolDef, tenants: &[&str]) -> Bench {
    let pools = BTreeMap::from([("warehouse".parse().unwrap(), pool)]);
    let file = file_of_jobs(vec![job("etl", vec![pooled("a", 1)])]);
    Bench::of(with_tenants(FileManifest { pools, ..file }, tenants)).await
}

/// A run of `etl` whose worker has started and asked for its slot.
async fn asking<'a>(bench: &'a Bench, tenant: &TenantId) -> TestWorker<'a> {
    let job = "etl".parse().unwrap();
    let run = bench.control.launch_job(&request(tenant), &job).await.unwrap().run_id;
    let mut worker = bench.claimed(run).await;
    worker.say(vec![started()]).await.unwrap();
    granted(bench, &worker, &["a"]).await;
    worker
}

#[tokio::test]
async fn the_slots_that_other_tenants_hold_of_a_shared_pool_are_counted_and_no_run_of_theirs_named()
{
    let tenants = ["ta", "tb"].map(|id| id.parse::<TenantId>().unwrap());
    let shared = pool_bench(PoolDef { slots: 1, scope: LimitScope::Instance }, &["ta", "tb"]).await;
    asking(&shared, &tenants[0]).await;
    let waits = asking(&shared, &tenants[1]).await;
    let pool = shared.control.queue_view(&tenants[1]).await.unwrap().pools.remove(0);
    assert_eq!((pool.held_by.len(), pool.held_by_others, pool.waiting.len()), (0, 1, 1));
    let pool = shared.control.queue_view(&tenants[0]).await.unwrap().pools.remove(0);
    assert_eq!((pool.held_by.len(), pool.held_by_others, pool.waiting.len()), (1, 0, 0));
    let view = shared.control.run_view(&tenants[1], waits.run()).await.unwrap();
    let why = "waiting for pool `warehouse` (1 of 1 slots held, 1 by other tenants)";
    assert_eq!(view.steps[0].reason.as_deref(), Some(why));

    let own = pool_bench(PoolDef { slots: 1, scope: LimitScope::Tenant }, &["ta", "tb"]).await;
    asking(&own, &tenants[0]).await;
    let pool = own.control.queue_view(&tenants[1]).await.unwrap().pools.remove(0);
    assert_eq!(pool.held_by_others, 0, "each has such a pool for itself");
}

#[tokio::test]
async fn a_job_and_a_list_say_what_a_run_that_goes_on_waits_for_as_the_run_does() {
    let tenant = TenantId::default_tenant();
    let pool = PoolDef { slots: 0, scope: LimitScope::Tenant };
    let bench = pool_bench(pool, &[tenant.as_str()]).await;
    let run = asking(&bench, &tenant).await.run();
    let waits = "step a is waiting for pool `warehouse`, which has no slots";
    let answer = bench.control.why(&tenant, &run.to_string()).await.unwrap().answer;
    assert_eq!(answer, format!("It runs: 0 of 1 steps are over; {waits}."));
    let answer = bench.control.why(&tenant, "etl").await.unwrap().answer;
    let run = run.short();
    let goes_on = format!("its newest run {run} goes on: 0 of 1 steps are over; {waits}");
    assert_eq!(answer, format!("It is on: {goes_on}."));
    let listed = bench.control.newest_runs(&tenant, &RunFilter::default(), 9).await.unwrap();
    assert_eq!(listed[0].waits.as_deref(), Some(waits));
    let (row, _, steps) = bench.control.stored_run(&tenant, listed[0].run_id).await.unwrap();
    assert_eq!((row.waits, &steps[0].reason), (None, &None), "only who asks for it is told");
}

#[tokio::test]
async fn a_run_that_waits_for_all_others_names_some_and_what_they_wait_for() {
    let tenant = TenantId::default_tenant();
    let pools = [("warehouse".parse().unwrap(), PoolDef { slots: 0, scope: LimitScope::Tenant })];
    let file = file_of_jobs(vec![job("etl", vec![pooled("a", 1)])]);
    let queue = QueueDef { max_concurrent_runs: Some(4), ..QueueDef::default() };
    let bench = Bench::of(FileManifest { pools: pools.into(), queue, ..file }).await;
    let mut busy = Vec::new();
    for _ in 0..4 {
        bench.clock.advance(Duration::from_secs(1));
        busy.push(asking(&bench, &tenant).await.run().short());
    }
    bench.clock.advance(Duration::from_secs(1));
    let waits = bench.launch("etl").await;
    assert!(bench.claim().await.is_empty());

    let names = format!("run {}, run {}, run {}", busy[0], busy[1], busy[2]);
    let why = format!(
        "4 of 4 runs of this tenant are in progress, among them {names} \
         (queue.max_concurrent_runs in its definition files)"
    );
    let row = bench.control.queue_view(&tenant).await.unwrap().waiting.remove(0).run;
    assert_eq!(row.hold.unwrap().to_string(), why);
    let answer = bench.control.why(&tenant, &waits.to_string()).await.unwrap();
    assert_eq!(answer.answer, format!("It is queued: {why}."));
    let first = format!(
        "run {} goes on: 0 of 1 steps are over; step a is waiting for pool `warehouse`, which has \
         no slots",
        busy[0]
    );
    assert!(answer.because.iter().any(|it| it.text == first), "{answer:?}");
}

#[tokio::test]
async fn a_limit_that_definitions_have_raised_says_so_and_names_the_run_in_progress() {
    let tenant = TenantId::default_tenant();
    let queue = QueueDef { max_concurrent_runs: Some(2), ..QueueDef::default() };
    let file = file_of_jobs(vec![job("etl", vec![op("a", &[])])]);
    let bench = Bench::of(FileManifest { queue, ..file }).await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        bench.clock.advance(Duration::from_secs(1));
        runs.push(bench.launch("etl").await);
    }
    let limits = QueueLimits { raised_by_definitions: true, ..QueueLimits::of(Some(1)) };
    let mut watch = QueueWatch::default();
    let claimed = bench.control.claim_runs("one", &mut watch, limits, TIME_TO_LIVE).await;
    assert_eq!(claimed.unwrap().len(), 2);
    let row = bench.control.run_view(&tenant, runs[2]).await.unwrap().run;
    let why = format!(
        "2 of 2 runs of the instance are in progress: run {}, run {} (the largest \
         queue.max_concurrent_runs in definition files)",
        runs[0].short(),
        runs[1].short()
    );
    assert_eq!(row.hold.unwrap().to_string(), why);
}

#[tokio::test]
async fn a_run_whose_step_waits_for_its_next_attempt_says_until_when_everywhere() {
    let retry = RetryPolicy { max: 3, ..RetryPolicy::NEVER };
    let op = OpDef { retry: Some(retry), ..op("a", &[]) };
    let bench = Bench::of(file_of_jobs(vec![job("etl", vec![op])])).await;
    let mut worker = bench.started("etl").await;
    let mut failed = step_failed("a", 1);
    if let EventBody::StepFailed { retry, .. } = &mut failed {
        *retry = Some(PlannedRetry { attempt: 2, delay_micros: 40_000_000 });
    }
    let due = bench.control.now().after(Duration::from_secs(40));
    worker.say(vec![step_started("a", 1), failed]).await.unwrap();
    let (tenant, run) = (TenantId::default_tenant(), worker.run());
    let waits = format!("step a waits until {due} for attempt 2");
    let listed = bench.control.newest_runs(&tenant, &RunFilter::default(), 9).await.unwrap();
    assert_eq!(listed[0].waits.as_deref(), Some(waits.as_str()));
    let goes_on = format!("goes on: 0 of 1 steps are over; {waits}");
    let of_job = bench.control.why(&tenant, "etl").await.unwrap().answer;
    assert_eq!(of_job, format!("It is on: its newest run {} {goes_on}.", run.short()));
    let of_run = bench.control.why(&tenant, &run.to_string()).await.unwrap().answer;
    assert_eq!(of_run, format!("It runs: 0 of 1 steps are over; {waits}."));
    bench.clock.set(due);
    let listed = bench.control.newest_runs(&tenant, &RunFilter::default(), 9).await.unwrap();
    assert_eq!(listed[0].waits, None, "its time has come");
}

#[tokio::test]
async fn over_a_limit_that_was_lowered_a_run_counts_those_in_progress_and_names_some() {
    let bench = Bench::of(file_of_jobs(vec![job("etl", vec![op("a", &[])])])).await;
    let mut runs = Vec::new();
    for _ in 0..5 {
        bench.clock.advance(Duration::from_secs(1));
        runs.push(bench.launch("etl").await);
    }
    for (most, claimed) in [(4, 4), (2, 0)] {
        let (limits, mut watch) = (QueueLimits::of(Some(most)), QueueWatch::default());
        let found = bench.control.claim_runs("one", &mut watch, limits, TIME_TO_LIVE).await;
        assert_eq!(found.unwrap().len(), claimed);
    }
    let row = bench.control.run_view(&TenantId::default_tenant(), runs[4]).await.unwrap().run;
    let why = format!(
        "4 runs of the instance are in progress, among them run {}, run {}, run {}; 2 may be, and \
         3 must end first (the instance's max_concurrent_runs)",
        runs[0].short(),
        runs[1].short(),
        runs[2].short()
    );
    assert_eq!(row.hold.unwrap().to_string(), why);
}

#[tokio::test]
async fn a_run_in_progress_says_that_no_daemon_lives_that_would_miss_its_worker() {
    let tenant = TenantId::default_tenant();
    let bench = unwatched().await;
    let said =
        LoopSaid { name: "losses", silence_max: 2 * TIME_TO_LIVE, silent_for: Duration::ZERO };
    let run = bench.started("etl").await.run().to_string();
    bench.clock.advance(Duration::from_secs(1));
    bench.control.begin_loops("one", &[said]).await.unwrap();
    let last = bench.control.now();
    bench.clock.advance(TIME_TO_LIVE);
    let why = async || bench.control.why(&tenant, &run).await.unwrap().answer;
    assert_eq!(why().await, "It runs: 0 of 1 steps are over.");
    bench.clock.advance(2 * TIME_TO_LIVE);
    let gone = format!("no daemon has given a sign of life since {last}, so that nobody notices");
    let answer = why().await;
    assert!(answer.starts_with(&format!("It runs: 0 of 1 steps are over; {gone}")), "{answer}");
    let later = bench.started("etl").await.run();
    let row = bench.control.run_view(&tenant, later).await.unwrap().run;
    assert!(row.waits.unwrap().starts_with(&gone), "who has begun it is gone too");
    bench.control.begin_runs();
    let answer = why().await;
    assert_eq!(answer, "It runs: 0 of 1 steps are over.", "this process would notice");
}

/// An instance with a job, and whose process is no daemon.
async fn unwatched() -> Bench {
    let bench = Bench::without_daemon().await;
    let file = file_of_jobs(vec![job("etl", vec![op("a", &[])])]);
    bench.scan(vec![live("defs.yaml", file)]).await;
    bench
}

#[tokio::test]
async fn a_queued_run_says_everywhere_that_no_daemon_lives_and_its_step_is_said_to_run_no_more() {
    let tenant = TenantId::default_tenant();
    let bench = unwatched().await;
    let mut worker = bench.started("etl").await;
    let run = worker.run();
    worker.say(vec![step_started("a", 1)]).await.unwrap();
    assert!(bench.control.hand_back(&worker.claimed, "the server was stopped").await.unwrap());

    let why = "no server runs, and it waits until one starts (`millstream dev`)";
    let view = bench.control.run_view(&tenant, run).await.unwrap();
    assert_eq!(view.run.hold.unwrap().to_string(), why);
    let lost = "lost with its worker, and done again by the next";
    let step = &view.steps[0];
    assert_eq!((step.status, step.reason.as_deref()), (StepStatus::Retrying, Some(lost)));
    let queue = bench.control.queue_view(&tenant).await.unwrap();
    assert_eq!(queue.waiting[0].run.hold.as_ref().unwrap().to_string(), why);
    let listed = bench.control.listed_runs(&tenant, &RunFilter::default(), 9).await.unwrap();
    assert_eq!(listed[0].run.hold.as_ref().unwrap().to_string(), why);
    assert_eq!(listed[0].step_counts, Some([(StepStatus::Retrying, 1)].into()));
    let answer = bench.control.why(&tenant, &run.to_string()).await.unwrap();
    assert_eq!(answer.answer, format!("It is queued: {why}."));
    let texts: Vec<&str> = answer.because.iter().map(|it| it.text.as_str()).collect();
    assert_eq!(texts.iter().filter(|it| it.contains("step a ")).count(), 1, "{texts:?}");
    let answer = bench.control.why(&tenant, "etl").await.unwrap().answer;
    assert_eq!(answer, format!("It is on: its newest run {} waits: {why}.", run.short()));

    let said =
        LoopSaid { name: "queue", silence_max: 2 * TIME_TO_LIVE, silent_for: Duration::ZERO };
    bench.control.begin_loops("one", &[said]).await.unwrap();
    assert_eq!(bench.control.run_view(&tenant, run).await.unwrap().run.hold, None, "one lives");

    // Another crashes, and the one that ends in order lives longer.
    bench.control.keep_loops("two", &[said]).await.unwrap();
    bench.clock.advance(Duration::from_secs(5));
    let ended = bench.control.now();
    bench.control.end_loops("one").await.unwrap();
    bench.clock.advance(9 * TIME_TO_LIVE);
    let hold = bench.control.run_view(&tenant, run).await.unwrap().run.hold.unwrap();
    assert_eq!(hold.to_string(), format!("{why}: the last ended in order at {ended}"));
}

#[tokio::test]
async fn a_backlog_that_no_daemon_looks_at_is_due_at_times_that_its_cron_names() {
    let keys = "cron: '* * * * *', max_active_runs: 1, catch_up: all";
    let mut world = World::with(keys, "2026-06-01T08:00").await;
    world.go_to("2026-06-01T08:04").await;
    world.bench.clock.set(at("2026-06-01T08:04:30"));
    let (control, id) = (world.control(), tenant("default"));
    let row = control.schedule_view(&id, "it").await.unwrap();
    let (since, next) = (at("2026-06-01T08:02"), at("2026-06-01T08:05"));
    assert_eq!((row.late_since, row.next_at), (None, Some(next)), "its run keeps it back");
    let job = control.job_rows(&id).await.unwrap().remove(0);
    assert_eq!((job.next_at, job.late_since), (Some(next), None));
    let answer = control.why(&id, "it").await.unwrap().answer;
    let words = "It is behind: 3 ticks from 2026-06-01T08:02:00Z on wait for its runs, of which 1 \
                 is under way (max_active_runs: 1); the next is due at 2026-06-01T08:05:00Z; its \
                 tick of 2026-06-01T08:01:00Z requested 1 run.";
    assert_eq!(answer, words);
    let run = world.runs("default").await.remove(0).run_id;
    control.cancel(&id, run, "ana").await.unwrap();
    let row = control.schedule_view(&id, "it").await.unwrap();
    assert_eq!((row.late_since, row.next_at), (Some(since), Some(next)));
    let answer = control.why(&id, "it").await.unwrap().answer;
    let words = "It is late: it was due at 2026-06-01T08:02:00Z, 150 s ago, and no daemon has let \
                 it tick; 3 ticks from 2026-06-01T08:02:00Z on wait for a daemon to decide them, \
                 with 0 of its runs under way (max_active_runs: 1); the next is due at \
                 2026-06-01T08:05:00Z.";
    assert_eq!(answer, words);
}

#[tokio::test]
async fn ticks_that_wait_for_runs_when_the_server_is_killed_say_both_at_once_and_later() {
    let keys = "cron: '* * * * *', max_active_runs: 1, catch_up: all";
    let mut world = World::with(keys, "2026-06-01T08:00").await;
    world.go_to("2026-06-01T08:04").await;
    let said =
        LoopSaid { name: "ticks", silence_max: 2 * TIME_TO_LIVE, silent_for: Duration::ZERO };
    world.bench.control.begin_loops("one", &[said]).await.unwrap();
    // Whoever opens the database after the server has died.
    let (store, seams) = (world.bench.control.store().clone(), world.bench.control.seams().clone());
    let (command, id) = (Control::new(store, seams), tenant("default"));
    let gone = "no daemon has given a sign of life since 2026-06-01T08:04:00Z, and it waits until \
                one starts";
    let waiting = "3 ticks from 2026-06-01T08:02:00Z on wait for its runs, of which 1 is under \
                   way (max_active_runs: 1); the next is due at 2026-06-01T08:05:00Z";
    for now in ["2026-06-01T08:04:01", "2026-06-01T08:04:59"] {
        world.bench.clock.set(at(now));
        let answer = command.why(&id, "it").await.unwrap().answer;
        let last = "its tick of 2026-06-01T08:01:00Z requested 1 run";
        assert_eq!(answer, format!("It is behind: {waiting}, but {gone}; {last}."), "{now}");
    }
    let of_job = command.why(&id, "etl").await.unwrap().because;
    let words = format!("schedule it runs it, and is behind: {waiting}, but {gone}");
    assert!(of_job.iter().any(|it| it.text == words), "{of_job:?}");

    // No run keeps them back any more.
    let run = world.runs("default").await.remove(0).run_id;
    command.cancel(&id, run, "ana").await.unwrap();
    let late = "it was due at 2026-06-01T08:02:00Z";
    let waiting = "3 ticks from 2026-06-01T08:02:00Z on wait for a daemon to decide them, with 0 \
                   of its runs under way (max_active_runs: 1); the next is due at \
                   2026-06-01T08:05:00Z";
    let answer = command.why(&id, "it").await.unwrap().answer;
    let nobody = "179 s ago, and no daemon has let it tick";
    assert_eq!(answer, format!("It is late: {late}, {nobody}: {gone}; {waiting}."));
    let of_job = command.why(&id, "etl").await.unwrap().because;
    let words = format!("schedule it would run it, and is late: {late}, but {gone}; {waiting}");
    assert!(of_job.iter().any(|it| it.text == words), "{of_job:?}");
}

#[tokio::test]
async fn a_tick_that_passed_while_a_schedule_was_off_waits_at_once_where_no_daemon_lives() {
    let (bench, id) = (Bench::without_daemon().await, tenant("default"));
    bench.clock.set(at("2026-06-01T08:30"));
    let text = job_with("cron: '@hourly', catch_up: all, max_active_runs: 1");
    bench.scan(vec![live("one.yaml", parsed("one.yaml", &text))]).await;
    let switch = async |on| bench.control.switch_schedule(&id, "it", (Some(on), "ana")).await;
    switch(false).await.unwrap();
    bench.clock.set(at("2026-06-01T09:00:02"));
    let passed = bench.control.schedule_view(&id, "it").await.unwrap().passed;
    assert_eq!(passed.map(|it| it.count), Some(1));
    let row = switch(true).await.unwrap();
    assert_eq!(row.waiting.map(|it| (it.count, it.since)), Some((1, at("2026-06-01T09:00"))));
    assert_eq!((row.late_since, row.next_at), (None, Some(at("2026-06-01T10:00"))));
    // A daemon decides it in a moment.
    bench.control.begin_runs();
    assert_eq!(bench.control.schedule_view(&id, "it").await.unwrap().waiting, None);
}

#[tokio::test]
async fn a_tick_that_nobody_has_decided_is_due_until_it_is_late_and_not_the_one_after_it() {
    let world = World::with("cron: '0 46 8 * * *'", "2026-06-01T08:45:38").await;
    let (control, id) = (world.control(), tenant("default"));
    let due = at("2026-06-01T08:46");
    for (now, late_since) in [
        ("2026-06-01T08:45:59", None),
        ("2026-06-01T08:46:00", None),
        ("2026-06-01T08:46:04.9", None),
        ("2026-06-01T08:46:05", Some(due)),
        ("2026-06-03T08:46:05", Some(due)),
    ] {
        world.bench.clock.set(at(now));
        let row = control.schedule_view(&id, "it").await.unwrap();
        assert_eq!((row.next_at, row.late_since), (Some(due), late_since), "{now}");
        let answer = control.why(&id, "it").await.unwrap().answer;
        let first = "due at 2026-06-01T08:46:00Z";
        assert!(answer.contains(first), "{now}: {answer}");
    }
}

#[tokio::test]
async fn a_time_that_is_excluded_is_never_due_nor_late() {
    let (keys, now) = ("cron: '@hourly', exclude: [2026-06-01]", "2026-05-31T23:30");
    let world = World::with(keys, now).await;
    let (control, id) = (world.control(), tenant("default"));
    let due = at("2026-06-02T00:00");
    for (now, late_since) in [
        ("2026-06-01T12:00", None),
        ("2026-06-02T00:00:04", None),
        ("2026-06-02T00:00:05", Some(due)),
    ] {
        world.bench.clock.set(at(now));
        let row = control.schedule_view(&id, "it").await.unwrap();
        assert_eq!((row.next_at, row.late_since), (Some(due), late_since), "{now}");
    }
}

#[tokio::test]
async fn ticks_that_the_deadline_forbids_are_counted_nowhere() {
    let keys = "cron: '* * * * *', catch_up: all, deadline: 70s";
    let world = World::with(keys, "2026-06-01T08:00").await;
    let (control, id) = (world.control(), tenant("default"));
    world.bench.clock.set(at("2026-06-01T08:11:05"));
    let (first, since) = (at("2026-06-01T08:01"), at("2026-06-01T08:10"));
    let row = control.schedule_view(&id, "it").await.unwrap();
    assert_eq!(row.waiting.map(|it| (it.count, it.since)), Some((2, since)));
    assert_eq!((row.late_since, row.next_at), (Some(first), Some(at("2026-06-01T08:12"))));
    let row = control.switch_schedule(&id, "it", (Some(false), "ana")).await.unwrap();
    assert_eq!(row.passed.map(|it| (it.count, it.since)), Some((2, since)));

    let world =
        World::with("cron: '@hourly', catch_up: all, deadline: 10s", "2026-06-01T08:30").await;
    let control = world.control();
    control.switch_schedule(&id, "it", (Some(false), "ana")).await.unwrap();
    world.bench.clock.set(at("2026-06-01T11:30"));
    let row = control.schedule_view(&id, "it").await.unwrap();
    let words = "what passes meanwhile is made up for then, but for those over 10s old (deadline) \
                 (catch_up: all)";
    assert_eq!((row.passed, row.off_words().as_deref()), (None, Some(words)));
}

#[tokio::test]
async fn what_an_edit_has_lapse_is_not_said_to_wait_before_a_daemon_has_seen_it() {
    let keys = "cron: '* * * * *', catch_up: all";
    let world = World::with(keys, "2026-06-01T08:00").await;
    world.bench.clock.set(at("2026-06-01T10:30"));
    let edited = job_with("cron: '@hourly', catch_up: all");
    world.bench.scan(vec![live("one.yaml", parsed("one.yaml", &edited))]).await;
    let row = world.control().schedule_view(&tenant("default"), "it").await.unwrap();
    let next = Some(at("2026-06-01T11:00"));
    assert_eq!((row.waiting, row.late_since, row.next_at), (None, None, next));
}
