//! Why runs and assets are as they are, from what is stored.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_control::{
    AssetReport, ControlError, LostWatch, MaterializeRequest, Patience, Why, failed_try_mark,
};
use millstream_model::view::{AssetRow, CODE_ELSEWHERE};
use millstream_model::{
    AssetDef, EventBody, FileManifest, JobDef, PRIORITY_TAG, PartitionKey, PartitionsDef,
    PlannedRetry, RetryFrom, RunId, RunRetries, TenantId,
};
use millstream_testkit::definitions::{asset, file_of_jobs, job, live, op};

use crate::bench::{
    Bench, PATIENCE, TestWorker, location, request, started, step_failed, step_started,
    step_succeeded,
};

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
async fn a_run_over_its_timeout_names_the_steps_that_went_on() {
    let ops = ["done", "a", "b", "again", "later"].map(|id| match id {
        "later" => op(id, &["a"]),
        _ => op(id, &[]),
    });
    let bench = Bench::of(file_of_jobs(vec![job("etl", ops.to_vec())])).await;
    let mut worker = bench.started("etl").await;
    let run = worker.run();
    let mut failed = step_failed("again", 1);
    if let EventBody::StepFailed { retry, .. } = &mut failed {
        *retry = Some(PlannedRetry { attempt: 2, delay_micros: 40_000_000 });
    }
    let mut said = vec![step_started("done", 1), step_succeeded("done", 1)];
    said.extend([step_started("a", 1), step_started("b", 1), step_started("again", 1), failed]);
    worker.say(said).await.unwrap();
    let patience = Patience { run: Some(Duration::from_secs(10)), ..PATIENCE };
    let mut watch = LostWatch::default();
    assert!(bench.control.recover_lost(&mut watch, patience).await.unwrap().is_empty());
    bench.clock.advance(Duration::from_secs(10));
    assert_eq!(bench.control.recover_lost(&mut watch, patience).await.unwrap().len(), 1);
    let why = why(&bench, &run.to_string()).await;
    let reason = "it has run for longer than its timeout of 10s";
    let went_on = "while steps a, b went on";
    assert_eq!(why.answer, format!("It failed: {reason}, {went_on}. Nothing tries it again."));
    for step in ["a", "b", "again"] {
        let ended = format!("step {step} was ended in attempt 1: the run failed: {reason}");
        assert!(texts(&why).contains(&ended.as_str()), "{why:?}");
    }
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
    assert_eq!(texts(&first), ["its cause: launched by ana", tried.as_str(), failed]);

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
async fn a_run_that_somebody_had_tried_again_names_who_that_was() {
    let bench = Bench::of(file_of_jobs(vec![job("etl", vec![op("a", &[])])])).await;
    let tenant = TenantId::default_tenant();
    let mut worker = bench.started("etl").await;
    let run = worker.run();
    let reason = "step a failed".to_owned();
    let failed = vec![step_started("a", 1), step_failed("a", 1), EventBody::RunFailed { reason }];
    worker.say(failed).await.unwrap();
    let retry = bench.control.retry_run(&tenant, run, RetryFrom::Failure, "ben").await.unwrap();
    let answer = why(&bench, &run.to_string()).await;
    let by = format!("ben had run {} try it again", retry.run_id.short());
    assert!(texts(&answer).contains(&by.as_str()), "{answer:?}");
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

/// Orders of shops, rates that hold for all of them, and what is made of both.
async fn shops() -> Bench {
    let by_shop = |asset: AssetDef| AssetDef { partitions: Some("shop".parse().unwrap()), ..asset };
    let keys = ["a", "b", "c", "d", "e"].map(|key| key.parse().unwrap()).to_vec();
    let assets = vec![
        by_shop(asset("orders", &[])),
        asset("rates", &[]),
        by_shop(asset("marts", &["orders", "rates"])),
    ];
    let partitions = [("shop".parse().unwrap(), PartitionsDef::Static { keys })].into();
    let jobs = vec![job("other", vec![op("rates", &[])])];
    Bench::of(FileManifest { assets, partitions, ..file_of_jobs(jobs) }).await
}

/// Lets a second pass, and has `keys` of `asset` made.
async fn made(bench: &Bench, asset: &str, keys: &[&str]) {
    bench.clock.advance(Duration::from_secs(1));
    let mut partitions: Vec<Option<PartitionKey>> =
        keys.iter().map(|key| Some(key.parse().unwrap())).collect();
    if partitions.is_empty() {
        partitions.push(None);
    }
    for partition in partitions {
        let report = AssetReport {
            asset: asset.parse().unwrap(),
            partition,
            metadata: BTreeMap::new(),
            data_version: None,
            code_version: Some("1".to_owned()),
            key: None,
        };
        bench.control.report_asset(&TenantId::default_tenant(), report, "ana").await.unwrap();
    }
}

#[tokio::test]
async fn a_name_that_nothing_has_is_compared_with_those_that_there_are() {
    let bench = shops().await;
    let unknown = bench.control.why(&TenantId::default_tenant(), "ordrs").await.unwrap_err();
    let said = unknown.to_string();
    let none = "there is no run, asset, schedule, sensor or job ordrs (did you mean orders?)";
    assert!(said.starts_with(none), "{said}");
    let unknown = bench.control.why(&TenantId::default_tenant(), "othr").await.unwrap_err();
    assert!(unknown.to_string().contains("(did you mean other?)"), "{unknown}");
}

#[tokio::test]
async fn what_was_made_elsewhere_by_code_that_nobody_named_is_not_stale_by_that() {
    let bench = shops().await;
    for (code_version, is_stale) in [(None, false), (Some("older".to_owned()), true)] {
        let report = AssetReport {
            asset: "rates".parse().unwrap(),
            partition: None,
            metadata: BTreeMap::new(),
            data_version: None,
            code_version,
            key: None,
        };
        bench.control.report_asset(&TenantId::default_tenant(), report, "ana").await.unwrap();
        let answer = why(&bench, "rates").await.answer;
        let stale =
            "It is stale: its code is another now than \"older\", with which ana reported it.";
        assert_eq!(answer.starts_with(stale), is_stale, "{answer}");
    }
    let mut worker = bench.started("other").await;
    for code_version in ["", "older", CODE_ELSEWHERE] {
        bench.clock.advance(Duration::from_secs(1));
        let made = EventBody::Materialized {
            step: "rates".parse().unwrap(),
            asset: "rates".parse().unwrap(),
            partition: None,
            metadata: BTreeMap::new(),
            data_version: None,
            code_version: code_version.to_owned(),
            remark: None,
        };
        worker.say(vec![made]).await.unwrap();
        let answer = why(&bench, "rates").await.answer;
        let is_stale = answer.starts_with("It is stale: its code is another now.");
        assert_eq!(is_stale, code_version == "older", "{answer}");
    }
}

#[tokio::test]
async fn of_a_partitioned_asset_the_stale_partitions_are_counted_and_named() {
    let bench = shops().await;
    let all = ["a", "b", "c", "d", "e"];
    for asset in ["orders", "marts"] {
        made(&bench, asset, &all).await;
    }
    let fresh = "It was made, and nothing stored says that it is stale.";
    assert_eq!(why(&bench, "marts").await.answer, fresh);
    made(&bench, "orders", &["a", "b"]).await;
    let stale = "It is stale: orders was made after 2 of its 5 partitions that are made: a, b.";
    assert_eq!(why(&bench, "marts").await.answer, stale);
    let (tenant, marts) = (TenantId::default_tenant(), "marts".parse().unwrap());
    let view = bench.control.asset_view(&tenant, &marts).await.unwrap();
    let [said] = view.stale.as_slice() else { panic!("{:?}", view.stale) };
    assert_eq!(stale, format!("It is stale: {}.", said.text), "the same as `why` says");
    made(&bench, "marts", &["a"]).await;
    made(&bench, "rates", &[]).await;
    let answer = why(&bench, "marts").await;
    let by_rates = "rates was made after 5 of its 5 partitions that are made: a, b, c and 2 more";
    assert!(texts(&answer).contains(&by_rates), "{answer:?}");
    let stale = "It is stale: orders was made after 1 of its 5 partitions that are made: b.";
    assert_eq!(answer.answer, stale);
    made(&bench, "marts", &all).await;
    assert_eq!(why(&bench, "marts").await.answer, fresh);
    assert_eq!(bench.control.asset_view(&tenant, &marts).await.unwrap().stale, []);
}

#[tokio::test]
async fn an_asset_below_one_that_is_stale_names_it_and_is_stale_once_that_is_made_again() {
    let shop = |key: &str, deps| AssetDef {
        partitions: Some("shop".parse().unwrap()),
        ..asset(key, deps)
    };
    let keys = vec!["a".parse().unwrap()];
    let partitions = [("shop".parse().unwrap(), PartitionsDef::Static { keys })].into();
    let assets = vec![shop("orders", &[]), asset("sums", &["orders"]), asset("page", &["sums"])];
    let bench = Bench::of(FileManifest { assets, partitions, ..FileManifest::default() }).await;
    let tenant = TenantId::default_tenant();
    let stands = async || {
        let rows = bench.control.listed_assets(&tenant).await.unwrap();
        let upstream = |row: &AssetRow| row.stale_upstream.as_ref().map(ToString::to_string);
        rows.iter().map(|row| (row.is_stale, upstream(row))).collect::<Vec<_>>()
    };
    let report = AssetReport {
        asset: "orders".parse().unwrap(),
        partition: Some("a".parse().unwrap()),
        metadata: BTreeMap::new(),
        data_version: None,
        code_version: Some("older".to_owned()),
        key: None,
    };
    bench.control.report_asset(&tenant, report, "ana").await.unwrap();
    made(&bench, "sums", &[]).await;
    // Of one that was never made nothing is said.
    let orders = || Some("orders".to_owned());
    let wanted = [(Some(true), None), (Some(false), None), (Some(false), orders())];
    assert_eq!(stands().await, wanted, "orders, page and sums");
    made(&bench, "page", &[]).await;
    assert_eq!(stands().await[1], (Some(false), orders()));
    let answer = why(&bench, "page").await;
    let fresh = "It was made, and nothing stored says that it is stale, but orders above it is.";
    assert_eq!(answer.answer, fresh);
    let told = "orders above it is stale (`millstream why orders`): it becomes stale once what it \
                is made from is made again";
    assert!(texts(&answer).contains(&told), "{answer:?}");
    made(&bench, "orders", &["a"]).await;
    let view = bench.control.asset_view(&tenant, &"sums".parse().unwrap()).await.unwrap();
    assert_eq!((view.asset.is_stale, view.asset.stale_upstream), (Some(true), None));
}

#[tokio::test]
async fn the_partitions_of_an_asset_are_counted_in_words_that_fit_one_and_many() {
    let bench = shops().await;
    made(&bench, "orders", &["a", "b", "c", "d"]).await;
    let answer = why(&bench, "orders").await;
    let told: Vec<&str> =
        texts(&answer).into_iter().filter(|text| text.contains(" partition")).collect();
    assert_eq!(told, ["1 partition was never made", "4 partitions are made"]);
}

/// A run whose step `rates` fails.
async fn fails(bench: &Bench) {
    let select = "rates".to_owned();
    let wish = MaterializeRequest { select, partitions: Vec::new(), all_partitions: false };
    let request = request(&TenantId::default_tenant());
    let launched = bench.control.materialize(&request, &wish).await.unwrap();
    failed(bench.start_again(launched.first().unwrap().run_id).await).await;
}

async fn failed(mut worker: TestWorker<'_>) {
    let reason = "step rates failed".to_owned();
    let events = vec![step_started("rates", 1), step_failed("rates", 1)];
    worker.say(events).await.unwrap();
    worker.say(vec![EventBody::RunFailed { reason }]).await.unwrap();
}

#[tokio::test]
async fn an_asset_whose_newest_tries_failed_says_when_and_why() {
    let bench = shops().await;
    let tenant = TenantId::default_tenant();
    failed(bench.started("other").await).await;
    let never = "It was never made.";
    assert_eq!(why(&bench, "rates").await.answer, never, "a job's step of that name is no try");
    fails(&bench).await;
    let answer = why(&bench, "rates").await.answer;
    assert!(answer.starts_with("It was never made. Its last try failed, in run "), "{answer}");

    made(&bench, "rates", &[]).await;
    let fresh = "It was made, and nothing stored says that it is stale.";
    assert_eq!(why(&bench, "rates").await.answer, fresh, "what failed before is over");
    bench.clock.advance(Duration::from_secs(1));
    fails(&bench).await;
    bench.clock.advance(Duration::from_secs(1));
    fails(&bench).await;
    let view = bench.control.asset_view(&tenant, &"rates".parse().unwrap()).await.unwrap();
    let newest = view.tries.newest.first().unwrap();
    let answer = format!(
        "It was made, but its last 2 tries failed, the newest in run {} at {}: it ended with 1 \
         [step-exit].",
        newest.run.short(),
        bench.control.now()
    );
    assert_eq!(why(&bench, "rates").await.answer, answer);
}

#[tokio::test]
async fn a_list_says_which_last_tries_failed_as_the_assets_themselves_do() {
    let bench = shops().await;
    let tenant = TenantId::default_tenant();
    let listed = async || {
        let rows = bench.control.listed_assets(&tenant).await.unwrap();
        let rates = rows.into_iter().find(|row| row.asset.to_string() == "rates").unwrap();
        let view = bench.control.asset_view(&tenant, &rates.asset).await.unwrap();
        assert_eq!(rates.failed_try, view.asset.failed_try);
        let shown = view.tries.newest.first().map(|it| (it.run, it.at));
        assert_eq!(rates.failed_try.map(|it| (it.run_id, it.at)), shown);
        failed_try_mark(&rates)
    };
    failed(bench.started("other").await).await;
    assert_eq!(listed().await, None, "a job's step of that name is no try");
    fails(&bench).await;
    assert!(listed().await.unwrap().starts_with("failed, in run "), "it was never made");
    made(&bench, "rates", &[]).await;
    assert_eq!(listed().await, None);
    bench.clock.advance(Duration::from_secs(1));
    fails(&bench).await;
    assert!(listed().await.unwrap().starts_with("failed, in run "), "it was made before");

    fails_for(&bench, "orders", "b").await;
    let rows = bench.control.listed_assets(&tenant).await.unwrap();
    let marks: Vec<_> = rows.iter().filter(|it| it.partitions.is_some()).collect();
    let marks: Vec<_> = marks.into_iter().filter_map(failed_try_mark).collect();
    assert_eq!(marks, ["failed, of 1 partition"]);
}

#[tokio::test]
async fn of_many_tries_that_failed_there_are_at_least_those_that_were_read() {
    let bench = shops().await;
    for _ in 0..21 {
        fails(&bench).await;
    }
    let answer = why(&bench, "rates").await.answer;
    let wanted = "It was never made. Its last tries failed, at least 20, the newest in run ";
    assert!(answer.starts_with(wanted), "{answer}");
}

/// A run of `select` for a partition, in which its step `orders` fails and what is after it does
/// not start.
async fn fails_for(bench: &Bench, select: &str, partition: &str) -> RunId {
    bench.clock.advance(Duration::from_secs(1));
    let partitions = vec![partition.parse().unwrap()];
    let wish = MaterializeRequest { select: select.to_owned(), partitions, all_partitions: false };
    let launched = bench.control.materialize(&request(&TenantId::default_tenant()), &wish).await;
    let mut worker = bench.start_again(launched.unwrap().first().unwrap().run_id).await;
    worker.say(vec![step_started("orders", 1), step_failed("orders", 1)]).await.unwrap();
    if select.contains("marts") {
        let (step, upstream) = ("marts".parse().unwrap(), "orders".parse().unwrap());
        worker.say(vec![EventBody::StepUpstreamFailed { step, upstream }]).await.unwrap();
    }
    let reason = "step orders failed".to_owned();
    worker.say(vec![EventBody::RunFailed { reason }]).await.unwrap();
    worker.run()
}

#[tokio::test]
async fn the_partitions_that_failed_last_are_named_each_with_its_run_its_time_and_its_error() {
    let bench = shops().await;
    made(&bench, "orders", &["b", "e"]).await;
    made(&bench, "rates", &[]).await;
    let mut runs = Vec::new();
    for key in ["b", "a", "e"] {
        runs.push(fails_for(&bench, "orders", key).await);
    }
    made(&bench, "orders", &["e"]).await;
    let (answer, newest) = (why(&bench, "orders").await, runs[1].short());
    let because = |wanted: &str| {
        answer.because.iter().find(|it| it.text.starts_with(wanted)).unwrap().clone()
    };
    let last = because("partition a failed");
    let at = last.at.unwrap();
    let wanted = format!(
        "It was made, but its last tries of 2 partitions failed, the newest, of a, in run {newest} \
         at {at}: it ended with 1 [step-exit]."
    );
    assert_eq!(answer.answer, wanted);
    let error = "it ended with 1 [step-exit]";
    assert_eq!(last.text, format!("partition a failed in run {newest}: {error}"));
    let first = because("partition b failed");
    assert_eq!(first.text, format!("partition b failed in run {}: {error}", runs[0].short()));
    assert!(first.at < last.at && !answer.because.iter().any(|it| it.text.contains("more failed")));

    let run = fails_for(&bench, "orders or marts", "c").await.short();
    let answer = why(&bench, "marts").await;
    let blocked = format!("partition c failed in run {run}: step orders before it failed");
    assert!(texts(&answer).contains(&blocked.as_str()), "{answer:?}");
    let wanted = format!("It was never made. Its last try of partition c failed, in run {run} at ");
    assert!(answer.answer.starts_with(&wanted), "{answer:?}");
}

#[tokio::test]
async fn of_many_partitions_that_failed_the_newest_are_named_with_what_lists_the_others() {
    let keys: Vec<String> = (0..7).map(|number| format!("k{number}")).collect();
    let text = format!(
        "partitions: {{shop: {{kind: static, keys: [{}]}}}}\n\
         assets: {{orders: {{partitions: shop, step: {{kind: noop}}}}}}\n",
        keys.join(", ")
    );
    let bench = Bench::of(crate::sensors::parsed("one.yaml", &text)).await;
    for key in &keys {
        fails_for(&bench, "orders", key).await;
    }
    let answer = why(&bench, "orders").await;
    let named = texts(&answer).into_iter().filter_map(|it| it.split_once(" failed in run "));
    let named: Vec<&str> = named.map(|(partition, _)| partition).collect();
    let newest = ["k6", "k5", "k4", "k3", "k2"].map(|key| format!("partition {key}"));
    assert_eq!(named, newest, "{answer:?}");
    let more = "and 2 more failed: `millstream asset show orders` lists them";
    assert!(texts(&answer).contains(&more), "{answer:?}");
}

/// An asset that eight schedules request, two of them by a job.
async fn requested() -> Bench {
    let lines = (0..6).map(|hour| format!("  s{hour}: {{cron: '0 {hour} * * *', select: a}}\n"));
    let lines: Vec<String> = lines.collect();
    let text = format!(
        "assets: {{a: {{step: {{kind: noop}}}}, b: {{step: {{kind: noop}}}}}}\n\
         jobs: {{j: {{select: a}}, other: {{select: b}}}}\n\
         schedules:\n{}  early: {{cron: '30 0 * * *', job: j}}\n  \
         off: {{cron: '15 0 * * *', job: j, enabled: false}}\n",
        lines.concat()
    );
    Bench::of(crate::sensors::parsed("one.yaml", &text)).await
}

#[tokio::test]
async fn of_many_schedules_that_make_an_asset_those_are_told_that_are_due_first() {
    let bench = requested().await;
    let answer = why(&bench, "a").await;
    let told: Vec<&str> = texts(&answer)
        .into_iter()
        .filter_map(|text| text.split_once(" makes it next at").map(|(name, _)| name))
        .collect();
    assert_eq!(told.len(), 5, "{answer:?}");
    assert!(told.contains(&"schedule early"), "{told:?}");
    assert!(texts(&answer).contains(&"3 more schedules make it"), "{answer:?}");
}

#[tokio::test]
async fn a_job_shows_the_schedule_that_requests_it_next_wherever_that_is_declared() {
    let bench = requested().await;
    let rows = bench.control.job_rows(&TenantId::default_tenant()).await.unwrap();
    let shown: Vec<_> =
        rows.iter().map(|row| (row.name.as_str(), row.schedule.as_deref())).collect();
    assert_eq!(shown, [("j", Some("30 0 * * *")), ("other", None)]);
    assert!(rows[0].next_at.is_some());
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

#[tokio::test]
async fn an_asset_names_the_runs_that_have_yet_to_make_it_and_how_each_stands() {
    let bench = requested().await;
    let tenant = TenantId::default_tenant();
    let wish = |select: &str| MaterializeRequest {
        select: select.to_owned(),
        partitions: Vec::new(),
        all_partitions: false,
    };
    let request = request(&tenant);
    let first = bench.control.materialize(&request, &wish("a or b")).await.unwrap()[0].run_id;
    let mut worker = bench.start_again(first).await;
    let second = bench.control.materialize(&request, &wish("a")).await.unwrap()[0].run_id;
    bench.control.materialize(&request, &wish("b")).await.unwrap();
    let (running, queued) = (
        format!("run {} is running to make it: 0 of 2 steps are over", first.short()),
        format!("run {} is queued to make it", second.short()),
    );
    let answer = why(&bench, "a").await;
    assert_eq!(answer.answer, format!("It was never made. R{}.", &running[1..]));
    assert!(texts(&answer).starts_with(&[&running, &queued]), "{answer:?}");
    let key = "a".parse().unwrap();
    let coming = async || bench.control.asset_view(&tenant, &key).await.unwrap().coming;
    let told: Vec<String> = coming().await.into_iter().map(|it| it.text).collect();
    assert_eq!(told, [running, queued.clone()]);

    // What it has done it does not do again, though the run goes on.
    worker.say(vec![step_started("a", 1), step_succeeded("a", 1)]).await.unwrap();
    let told: Vec<String> = coming().await.into_iter().map(|it| it.text).collect();
    assert_eq!(told, [queued]);
}

/// An instance with a job, a schedule that runs it, and a sensor that asks nobody.
async fn automated() -> Bench {
    let text = "jobs: {etl: {nodes: [{id: a, type: noop}]}}\n\
                schedules: {hourly: {cron: '0 * * * *', job: etl}}\n\
                sensors: {ended: {kind: run_status, on: [FAILURE], enabled: false}}\n";
    Bench::of(crate::sensors::parsed("one.yaml", text)).await
}

async fn switch_job(bench: &Bench, on: Option<bool>) {
    let (tenant, job) = (TenantId::default_tenant(), "etl".parse().unwrap());
    bench.control.override_job(&tenant, (&location(), &job), on, "ana").await.unwrap();
}

#[tokio::test]
async fn a_schedule_whose_job_is_off_says_so_and_what_switches_it_on() {
    let bench = automated().await;
    let rows = bench.control.schedule_rows(&TenantId::default_tenant()).await.unwrap();
    assert!(rows[0].enabled && !rows[0].job_off);
    switch_job(&bench, Some(false)).await;
    let rows = bench.control.schedule_rows(&TenantId::default_tenant()).await.unwrap();
    assert!(rows[0].enabled && rows[0].job_off);
    let answer = why(&bench, "hourly").await;
    let stopped = "its job etl is switched off, so that its ticks run nothing: `millstream job \
                   start etl` switches it on";
    assert!(answer.answer.starts_with(&format!("It is on, but {stopped}. ")), "{answer:?}");
    assert!(texts(&answer).contains(&stopped), "{answer:?}");
}

#[tokio::test]
async fn a_job_says_whether_it_is_on_how_its_newest_run_ended_and_what_asks_for_it() {
    let bench = automated().await;
    let never = why(&bench, "etl").await;
    assert_eq!(
        (never.what.as_str(), never.answer.as_str()),
        ("job etl", "It is on, and never ran.")
    );
    assert!(texts(&never)[0].starts_with("schedule hourly runs it next at "), "{never:?}");
    let mut worker = bench.started("etl").await;
    let run = worker.run().short();
    let reason = "step a failed".to_owned();
    let events = vec![step_started("a", 1), step_failed("a", 1), EventBody::RunFailed { reason }];
    worker.say(events).await.unwrap();
    let failed = why(&bench, "etl").await;
    assert_eq!(failed.answer, format!("It is on: its newest run {run} failed: step a failed."));
    switch_job(&bench, Some(false)).await;
    let off = why(&bench, "etl").await;
    let words = "It is off, and nothing new is started until `millstream job start etl` switches \
                 it on; what was asked for before goes on, with its retries";
    assert_eq!(off.answer, format!("{words}."));
    assert_eq!(texts(&off)[0], "ana switched it off");
    switch_job(&bench, Some(true)).await;
    let queued = [bench.launch("etl").await, bench.launch("etl").await].map(|run| run.short());
    assert!(!texts(&why(&bench, &queued[0]).await).iter().any(|text| text.contains("is off")));
    switch_job(&bench, Some(false)).await;
    let off = why(&bench, "etl").await.answer;
    let more = " (2 runs are queued): `millstream run cancel RUN` ends one.";
    assert_eq!(off, format!("{words}{more}"));
    let told = format!(
        "job etl is off: this run was asked for before, and goes on, with its retries; \
         `millstream run cancel {}` ends it",
        queued[0]
    );
    assert_eq!(texts(&why(&bench, &queued[0]).await).last(), Some(&told.as_str()));
    assert_eq!(bench.claim().await.len(), 2, "and it does go on");
}

#[tokio::test]
async fn a_job_whose_runs_wait_names_the_first_in_line_and_then_the_others_in_their_order() {
    let jobs = ["etl", "other"].map(|name| job(name, vec![op("a", &[])])).to_vec();
    let bench = Bench::of(file_of_jobs(jobs)).await;
    let alone = bench.launch("etl").await.short();
    let newest = why(&bench, "etl").await.answer;
    assert_eq!(newest, format!("It is on: its newest run {alone} waits in the queue."));
    // Runs of one moment have no order of their own.
    bench.clock.advance(Duration::from_secs(1));
    bench.launch("other").await;
    let second = bench.launch("etl").await.short();
    bench.clock.advance(Duration::from_secs(1));
    let mut urgent = request(&TenantId::default_tenant());
    urgent.tags.insert(PRIORITY_TAG.to_owned(), "9".to_owned());
    let job = "etl".parse().unwrap();
    let urgent = bench.control.launch_job(&urgent, &job).await.unwrap().run_id.short();
    bench.clock.advance(Duration::from_secs(1));
    let newest = bench.launch("etl").await.short();
    let answer = why(&bench, "etl").await;
    let first = format!("It is on: first in line, run {urgent} waits in the queue.");
    assert_eq!(answer.answer, first);
    let wanted = [
        format!("run {urgent} waits in the queue"),
        format!("run {alone} waits in the queue"),
        format!("run {second} waits in the queue"),
        format!("its newest run {newest} waits in the queue"),
    ];
    assert_eq!(texts(&answer), wanted);
}

#[tokio::test]
async fn a_sensor_that_no_daemon_asks_says_so() {
    let text = "sensors: {ended: {kind: run_status, on: [FAILURE]}}\n";
    let bench = Bench::without_daemon().await;
    bench.scan(vec![live("one.yaml", crate::sensors::parsed("one.yaml", text))]).await;
    let tenant = TenantId::default_tenant();
    let waits = async || bench.control.sensor_view(&tenant, "ended").await.unwrap().waits;
    let alone = "no server runs, and it waits until one starts (`millstream dev`)";
    assert_eq!(waits().await.as_deref(), Some(alone));
    let answer = why(&bench, "ended").await.answer;
    assert_eq!(answer, format!("It has not ticked yet; {alone}."));
    bench.control.begin_runs();
    assert_eq!(waits().await, None);
}

#[tokio::test]
async fn a_sensor_says_whether_it_is_on_and_by_whose_word() {
    let bench = automated().await;
    let off = why(&bench, "ended").await;
    assert_eq!(off.what, "sensor ended");
    assert_eq!(off.answer, "It is off: `millstream sensor start ended` switches it on.");
    assert_eq!(texts(&off), ["its file has it off"]);
    let tenant = TenantId::default_tenant();
    bench.control.switch_sensor(&tenant, "ended", (Some(true), "ana")).await.unwrap();
    bench.clock.advance(Duration::from_secs(1));
    let on = why(&bench, "ended").await;
    let due = on.answer.strip_prefix("It has not ticked yet; it was due at ").unwrap();
    assert!(due.ends_with("Z, and is being asked or is so at the next look."), "{due}");
    assert_eq!(texts(&on), ["ana switched it on"]);
}

#[tokio::test]
async fn what_an_asset_is_made_from_and_was_never_made_is_named_with_what_makes_it() {
    let bench = shops().await;
    let answer = why(&bench, "marts").await;
    let never = "It was never made, nor were orders and 1 more that it is made from.";
    assert_eq!(answer.answer, never);
    let missing = [
        "orders was never made: `millstream asset materialize orders --partition KEY` makes one \
         of it",
        "rates was never made: `millstream asset materialize rates` makes it",
    ];
    for text in missing {
        assert!(texts(&answer).contains(&text), "{answer:?}");
    }
    made(&bench, "rates", &[]).await;
    let answer = why(&bench, "marts").await.answer;
    assert_eq!(answer, "It was never made, nor was orders, which it is made from.");
    let key = "marts".parse().unwrap();
    let view = bench.control.asset_view(&TenantId::default_tenant(), &key).await.unwrap();
    let told: Vec<&str> = view.never_made.iter().map(|it| it.text.as_str()).collect();
    assert_eq!(told, &missing[..1]);
}
