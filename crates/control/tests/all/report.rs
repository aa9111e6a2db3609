//! What a worker says is stored once, in order, and only while it is the run's worker.

use millstream_control::ReportError;
use millstream_model::view::PartitionState;
use millstream_model::{
    ErrorCode, EventBody, FileManifest, PlannedRetry, RunStatus, StepError, StepStatus,
};
use millstream_testkit::definitions::{asset, file_of_jobs, job, op};

use crate::bench::{
    Bench, TestWorker, request, started, step_canceled, step_failed, step_started, step_succeeded,
};
use crate::launch::airports;

async fn bench() -> Bench {
    let ops = vec![op("a", &[]), op("b", &["a"])];
    Bench::of(file_of_jobs(vec![job("etl", ops)])).await
}

#[tokio::test]
async fn a_report_moves_the_run_its_steps_and_the_count_of_those_that_are_over() {
    let bench = bench().await;
    let mut worker = bench.started("etl").await;
    let run = worker.run();
    worker.say(vec![step_started("a", 1)]).await.unwrap();
    worker.say(vec![step_succeeded("a", 1), step_started("b", 1)]).await.unwrap();
    let row = bench.row(run).await;
    assert_eq!((row.status, row.steps_over), (RunStatus::Started, 1));
    let steps = bench.steps(run).await;
    assert_eq!(
        steps.iter().map(|(_, status)| *status).collect::<Vec<_>>(),
        [StepStatus::Success, StepStatus::Started]
    );

    let error = StepError { code: ErrorCode::StepExit, message: "no".into(), detail: None };
    let failed = EventBody::StepFailed {
        step: "b".parse().unwrap(),
        attempt: 1,
        error,
        retry: None,
        usage: None,
    };
    let over = EventBody::RunFailed { reason: "step `b` failed: no".to_owned() };
    worker.say(vec![failed, over]).await.unwrap();

    let row = bench.row(run).await;
    assert_eq!((row.status, row.steps_over), (RunStatus::Failure, 2));
    assert_eq!(row.failure.as_deref(), Some("step `b` failed: no"));
    assert!(bench.control.store().live_run(&row.tenant, run).await.unwrap().is_none());
}

#[tokio::test]
async fn a_planned_retry_is_shown_with_the_time_it_is_due() {
    let bench = bench().await;
    let mut worker = bench.started("etl").await;
    let error = StepError { code: ErrorCode::StepExit, message: "no".into(), detail: None };
    let retry = Some(PlannedRetry { attempt: 2, delay_micros: 2_000_000 });
    let step = "a".parse().unwrap();
    let failed = EventBody::StepFailed { step, attempt: 1, error, retry, usage: None };
    worker.say(vec![step_started("a", 1), failed]).await.unwrap();
    let view = bench.control.run_view(&worker.claimed.tenant, worker.run()).await.unwrap();
    let step = view.steps.first().unwrap();
    assert_eq!((step.status, step.attempt), (StepStatus::Retrying, 1));
    let due = bench.control.now().after(std::time::Duration::from_secs(2));
    assert_eq!(step.retry_at, Some(due));
}

#[tokio::test]
async fn a_report_that_comes_again_is_answered_and_stored_once() {
    let bench = bench().await;
    let mut worker = bench.started("etl").await;
    let report = worker.report_of(vec![step_started("a", 1), step_succeeded("a", 1)]);
    worker.send(&report).await.unwrap();
    worker.send(&report).await.unwrap();
    let row = bench.row(worker.run()).await;
    assert_eq!(row.steps_over, 1);
    assert_eq!(bench.told(worker.run()).await.len(), 4);
}

#[tokio::test]
async fn the_last_report_that_comes_again_is_answered_though_the_run_is_over() {
    let bench = bench().await;
    let mut worker = bench.started("etl").await;
    let last = vec![step_canceled("b", 0), step_canceled("a", 0), EventBody::RunCanceled {}];
    bench.control.cancel(&worker.claimed.tenant, worker.run(), "ana").await.unwrap();
    let report = worker.report_of(last);
    worker.send(&report).await.unwrap();
    worker.send(&report).await.unwrap();
    assert_eq!(bench.status(worker.run()).await, RunStatus::Canceled);
}

#[tokio::test]
async fn a_first_report_that_comes_again_with_more_events_is_stored_from_where_it_ended() {
    let bench = bench().await;
    let run = bench.launch("etl").await;
    let mut worker = bench.claimed(run).await;
    let first = worker.report_of(vec![started(), step_started("a", 1)]);
    worker.send(&first).await.unwrap();
    worker.send(&first).await.unwrap();
    let mut grown = worker.report_of(vec![step_succeeded("a", 1)]);
    grown.events.splice(0..0, first.events);
    worker.send(&grown).await.unwrap();
    assert_eq!(bench.row(run).await.steps_over, 1);
    let told = bench.told(run).await;
    assert_eq!(told, ["run_queued", "run_started", "step_started", "step_succeeded"]);
}

#[tokio::test]
async fn a_report_that_leaves_an_event_out_is_refused() {
    let bench = bench().await;
    let mut worker = bench.started("etl").await;
    worker.report_of(vec![step_started("a", 1)]);
    let refused = worker.say(vec![step_succeeded("a", 1)]).await;
    assert!(matches!(refused, Err(ReportError::Refused { .. })), "{refused:?}");
    assert_eq!(bench.steps(worker.run()).await[0].1, StepStatus::Pending);
}

#[tokio::test]
async fn r195_a_report_that_starts_a_step_which_is_over_is_refused_whole() {
    let bench = bench().await;
    let mut worker = bench.started("etl").await;
    worker.say(vec![step_started("a", 1), step_succeeded("a", 1)]).await.unwrap();
    let refused = worker.say(vec![step_started("b", 1), step_started("a", 2)]).await;
    assert!(matches!(refused, Err(ReportError::Refused { .. })), "{refused:?}");
    let steps = bench.steps(worker.run()).await;
    assert_eq!((steps[0].1, steps[1].1), (StepStatus::Success, StepStatus::Pending));
}

#[tokio::test]
async fn f22_a_worker_that_was_replaced_is_refused_whatever_it_says() {
    let bench = bench().await;
    let mut old = bench.started("etl").await;
    let run = old.run();
    old.say(vec![step_started("a", 1)]).await.unwrap();
    assert_eq!(bench.lose_silent().await, 1);
    let new = bench.start_again(run).await;
    assert_eq!((old.claimed.epoch, new.claimed.epoch), (1, 2));

    let said = old.say(vec![step_succeeded("a", 1)]).await;
    assert!(matches!(said, Err(ReportError::Stale { epoch: 1, .. })), "{said:?}");
    assert!(matches!(old.beat().await, Err(ReportError::Stale { .. })));
    let tenant = &old.claimed.tenant;
    let asked = bench.control.assignment(tenant, run, 1).await;
    assert!(matches!(asked, Err(ReportError::Stale { .. })));
    new.beat().await.unwrap();
}

#[tokio::test]
async fn the_next_worker_is_told_what_the_one_before_has_left() {
    let bench = bench().await;
    let mut old = bench.started("etl").await;
    let run = old.run();
    old.say(vec![step_started("a", 1), step_succeeded("a", 1), step_started("b", 1)])
        .await
        .unwrap();
    bench.lose_silent().await;
    let new = bench.claimed(run).await;
    let tenant = &new.claimed.tenant;
    let assignment = bench.control.assignment(tenant, run, new.claimed.epoch).await.unwrap();
    let mut left: Vec<_> =
        assignment.progress.iter().map(|step| (step.step.as_str(), step.status)).collect();
    left.sort_unstable();
    assert_eq!(left, [("a", StepStatus::Success), ("b", StepStatus::Started)]);
}

#[tokio::test]
async fn the_next_worker_is_told_when_a_planned_attempt_is_due() {
    let bench = bench().await;
    let mut old = bench.started("etl").await;
    let (tenant, run) = (old.claimed.tenant.clone(), old.run());
    let error = StepError { code: ErrorCode::StepExit, message: "no".into(), detail: None };
    let retry = Some(PlannedRetry { attempt: 2, delay_micros: 40_000_000 });
    let step = "a".parse().unwrap();
    let failed = EventBody::StepFailed { step, attempt: 1, error, retry, usage: None };
    let due = bench.control.now().after(std::time::Duration::from_secs(40));
    old.say(vec![step_started("a", 1), failed]).await.unwrap();
    assert!(bench.control.hand_back(&old.claimed, "the server was stopped").await.unwrap());
    let new = bench.claimed(run).await;
    let assignment = bench.control.assignment(&tenant, run, new.claimed.epoch).await.unwrap();
    let left: Vec<_> = assignment.progress.iter().map(|it| (it.status, it.retry_at)).collect();
    assert_eq!(left, [(StepStatus::Retrying, Some(due))]);
}

/// A worker of `flights` for one partition, started.
async fn of_partition<'a>(bench: &'a Bench, key: &str) -> TestWorker<'a> {
    let tenant = "jfk".parse().unwrap();
    let keys = [key.parse().unwrap()];
    bench.control.add_partitions(&tenant, &"by_airport".parse().unwrap(), &keys).await.unwrap();
    let wish = millstream_control::MaterializeRequest {
        select: "flights".to_owned(),
        partitions: keys.to_vec(),
        all_partitions: false,
    };
    let launched = bench.control.materialize(&request(&tenant), &wish).await.unwrap();
    bench.start_again(launched.first().unwrap().run_id).await
}

fn materialized(key: &str) -> EventBody {
    EventBody::Materialized {
        step: "flights".parse().unwrap(),
        asset: "flights".parse().unwrap(),
        partition: Some(key.parse().unwrap()),
        metadata: std::collections::BTreeMap::new(),
        data_version: Some("v1".to_owned()),
        code_version: "1".to_owned(),
        remark: None,
    }
}

async fn state_of(bench: &Bench, key: &str) -> PartitionState {
    let tenant = "jfk".parse().unwrap();
    let view = bench.control.asset_view(&tenant, &"flights".parse().unwrap()).await.unwrap();
    view.partitions.iter().find(|row| row.partition.as_str() == key).unwrap().state
}

#[tokio::test]
async fn a_materialization_is_the_newest_of_its_asset_and_makes_its_partition() {
    let bench = Bench::of(airports()).await;
    let mut worker = of_partition(&bench, "jfk::a").await;
    assert_eq!(state_of(&bench, "jfk::a").await, PartitionState::Missing);
    worker.say(vec![step_started("flights", 1)]).await.unwrap();
    assert_eq!(state_of(&bench, "jfk::a").await, PartitionState::Running);

    let done =
        vec![materialized("jfk::a"), step_succeeded("flights", 1), EventBody::RunSucceeded {}];
    worker.say(done).await.unwrap();

    assert_eq!(state_of(&bench, "jfk::a").await, PartitionState::Materialized);
    let rows = bench.control.asset_rows(&worker.claimed.tenant).await.unwrap();
    let latest = rows.first().unwrap().latest.clone().unwrap();
    assert_eq!(
        (latest.made_by.run(), latest.data_version.as_deref()),
        (Some(worker.run()), Some("v1"))
    );
    let view = bench.control.run_view(&worker.claimed.tenant, worker.run()).await.unwrap();
    assert_eq!(view.materializations, [latest]);
}

#[tokio::test]
async fn an_op_may_report_an_asset_that_another_op_of_its_run_has_reported() {
    let bench = bench().await;
    let mut worker = bench.started("etl").await;
    for version in ["v1", "v2"] {
        let made = EventBody::Materialized {
            step: "a".parse().unwrap(),
            asset: "elsewhere/orders".parse().unwrap(),
            partition: None,
            metadata: std::collections::BTreeMap::new(),
            data_version: Some(version.to_owned()),
            code_version: String::new(),
            remark: None,
        };
        worker.say(vec![made]).await.unwrap();
    }
    let view = bench.control.run_view(&worker.claimed.tenant, worker.run()).await.unwrap();
    let versions: Vec<_> = view.materializations.iter().map(|row| &row.data_version).collect();
    assert_eq!(versions, [&Some("v2".to_owned())]);
}

#[tokio::test]
async fn what_an_op_reports_of_an_asset_that_is_none_or_has_partitions_is_remarked_on() {
    let jobs = vec![job("etl", vec![op("a", &[])])];
    let FileManifest { assets: flights, partitions, .. } = airports();
    let assets = [flights, vec![asset("orders", &[])]].concat();
    let bench = Bench::of(FileManifest { assets, partitions, ..file_of_jobs(jobs) }).await;
    let mut worker = bench.started("etl").await;
    for (asset, wanted) in [
        ("orders", None),
        ("ordrs", Some("no asset is called so (did you mean orders?)")),
        (
            "flights",
            Some("it has partitions, and the report names none, so that none counts as made"),
        ),
    ] {
        let made = EventBody::Materialized {
            step: "a".parse().unwrap(),
            asset: asset.parse().unwrap(),
            partition: None,
            metadata: std::collections::BTreeMap::new(),
            data_version: None,
            code_version: "external".to_owned(),
            // What a worker says is not taken over.
            remark: Some("a word of its own".to_owned()),
        };
        worker.say(vec![made]).await.unwrap();
        let last = bench.events(worker.run()).await.pop().unwrap();
        let EventBody::Materialized { remark, .. } = last.event.body else { panic!("{last:?}") };
        assert_eq!(remark.as_deref(), wanted, "{asset}");
    }
}

#[tokio::test]
async fn a_partition_that_was_removed_is_neither_counted_nor_shown() {
    let bench = Bench::of(airports()).await;
    let mut worker = of_partition(&bench, "jfk::a").await;
    let reason = "step flights failed".to_owned();
    let failed = vec![step_started("flights", 1), step_failed("flights", 1)];
    worker.say(failed).await.unwrap();
    worker.say(vec![EventBody::RunFailed { reason }]).await.unwrap();
    assert_eq!(state_of(&bench, "jfk::a").await, PartitionState::Failed);

    let (tenant, keys) = (&worker.claimed.tenant, ["jfk::a".parse().unwrap()]);
    bench.control.remove_partitions(tenant, &"by_airport".parse().unwrap(), &keys).await.unwrap();
    let view = bench.control.asset_view(tenant, &"flights".parse().unwrap()).await.unwrap();
    assert_eq!(view.asset.counts.values().sum::<u64>(), 0);
    assert!(view.partitions.is_empty(), "{:?}", view.partitions);
}

#[tokio::test]
async fn a_partition_whose_run_made_nothing_is_again_what_it_was() {
    let bench = Bench::of(airports()).await;
    for was_made in [false, true] {
        let mut worker = of_partition(&bench, "jfk::a").await;
        worker.say(vec![step_started("flights", 1)]).await.unwrap();
        bench.control.cancel(&worker.claimed.tenant, worker.run(), "ana").await.unwrap();
        let stopped = vec![step_canceled("flights", 1), EventBody::RunCanceled {}];
        worker.say(stopped).await.unwrap();
        let before = if was_made { PartitionState::Materialized } else { PartitionState::Missing };
        assert_eq!(state_of(&bench, "jfk::a").await, before);

        let mut worker = of_partition(&bench, "jfk::a").await;
        let made = materialized("jfk::a");
        worker.say(vec![step_started("flights", 1), made]).await.unwrap();
        worker.say(vec![step_succeeded("flights", 1), EventBody::RunSucceeded {}]).await.unwrap();
    }
}

#[tokio::test]
async fn a_partition_is_not_running_once_its_run_has_failed_for_want_of_workers() {
    let bench = Bench::of(airports()).await;
    let mut worker = of_partition(&bench, "jfk::a").await;
    let run = worker.run();
    worker.say(vec![step_started("flights", 1)]).await.unwrap();
    for _ in 0..2 {
        bench.lose_silent().await;
        let mut next = bench.claimed(run).await;
        next.say(vec![started()]).await.unwrap();
    }
    bench.lose_silent().await;
    assert_eq!(state_of(&bench, "jfk::a").await, PartitionState::Missing);
}
