//! Which failed runs were made good by other runs and by reports.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_control::{AssetReport, MaterializeRequest};
use millstream_model::{AssetDef, EventBody, FileManifest, PartitionsDef, RunId, TenantId};
use millstream_testkit::definitions::{asset, file_of_jobs, job, op};

use crate::bench::{Bench, TestWorker, request, step_failed, step_started, step_succeeded};

fn tenant() -> TenantId {
    TenantId::default_tenant()
}

/// Two assets by day, one after the other, and a job of ops.
async fn bench() -> Bench {
    let by_day = |asset: AssetDef| AssetDef { partitions: Some("day".parse().unwrap()), ..asset };
    let keys = ["mo", "tu"].map(|key| key.parse().unwrap()).to_vec();
    let partitions = [("day".parse().unwrap(), PartitionsDef::Static { keys })].into();
    let assets = vec![by_day(asset("raw", &[])), by_day(asset("clean", &["raw"]))];
    let jobs = vec![job("ops", vec![op("raw", &[])])];
    Bench::of(FileManifest { assets, partitions, ..file_of_jobs(jobs) }).await
}

/// A second later, the worker of a run of `select` for `day`.
async fn started<'b>(bench: &'b Bench, select: &str, day: &str) -> TestWorker<'b> {
    bench.clock.advance(Duration::from_secs(1));
    let partitions = vec![day.parse().unwrap()];
    let wish = MaterializeRequest { select: select.to_owned(), partitions, all_partitions: false };
    let launched = bench.control.materialize(&request(&tenant()), &wish).await.unwrap();
    bench.start_again(launched.first().unwrap().run_id).await
}

/// Has the step of `asset` make it for `day`.
async fn makes(worker: &mut TestWorker<'_>, asset: &str, day: &str) {
    let made = EventBody::Materialized {
        step: asset.parse().unwrap(),
        asset: asset.parse().unwrap(),
        partition: Some(day.parse().unwrap()),
        metadata: BTreeMap::new(),
        data_version: None,
        code_version: "1".to_owned(),
        remark: None,
    };
    worker.say(vec![step_started(asset, 1), made, step_succeeded(asset, 1)]).await.unwrap();
}

/// Has the step called `step` fail, and with it the run.
async fn fails(worker: &mut TestWorker<'_>, step: &str) {
    let reason = format!("step {step} failed");
    worker.say(vec![step_started(step, 1), step_failed(step, 1)]).await.unwrap();
    worker.say(vec![EventBody::RunFailed { reason }]).await.unwrap();
}

/// Whether something that `run` has left undone was not made since.
async fn is_open(bench: &Bench, run: RunId) -> bool {
    let runs = vec![bench.row(run).await];
    !bench.control.not_made_good(&tenant(), runs).await.unwrap().is_empty()
}

#[tokio::test]
async fn a_failed_run_is_made_good_once_all_that_it_left_undone_was_made_whatever_made_it() {
    let bench = bench().await;
    let mut both = started(&bench, "raw or clean", "mo").await;
    makes(&mut both, "raw", "mo").await;
    fails(&mut both, "clean").await;
    let mut first = started(&bench, "raw", "tu").await;
    fails(&mut first, "raw").await;
    assert!(is_open(&bench, both.run()).await && is_open(&bench, first.run()).await);

    // A wider run makes good what it has made, and nothing of other days.
    let mut wider = started(&bench, "raw or clean", "tu").await;
    makes(&mut wider, "raw", "tu").await;
    makes(&mut wider, "clean", "tu").await;
    wider.say(vec![EventBody::RunSucceeded {}]).await.unwrap();
    assert!(is_open(&bench, both.run()).await && !is_open(&bench, first.run()).await);

    // What it had done itself need not be made again.
    let report = AssetReport {
        asset: "clean".parse().unwrap(),
        partition: Some("mo".parse().unwrap()),
        metadata: BTreeMap::new(),
        data_version: None,
        code_version: None,
        key: None,
    };
    bench.clock.advance(Duration::from_secs(1));
    bench.control.report_asset(&tenant(), report, "ana").await.unwrap();
    assert!(!is_open(&bench, both.run()).await);
}

#[tokio::test]
async fn what_makes_no_asset_is_made_good_by_no_asset_of_its_name() {
    let bench = bench().await;
    let mut ops = bench.started("ops").await;
    fails(&mut ops, "raw").await;
    for day in ["mo", "tu"] {
        let mut made = started(&bench, "raw", day).await;
        makes(&mut made, "raw", day).await;
        made.say(vec![EventBody::RunSucceeded {}]).await.unwrap();
    }
    assert!(is_open(&bench, ops.run()).await);
}
