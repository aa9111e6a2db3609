//! What a worker is told of how its assets were made last, and how far a launch looks for it.

use millstream_control::MaterializeRequest;
use millstream_model::EventBody;
use millstream_model::worker_api::Assignment;

use crate::bench::{Bench, TestWorker, request, step_failed, step_started, step_succeeded};
use crate::sensors::parsed;

/// As many as one run has steps that ask.
const ASSETS: usize = 25;

async fn bench() -> Bench {
    let step = "{partitions: p, step: {kind: command, command: [./x]}}";
    let assets: Vec<String> =
        (0..ASSETS).map(|number| format!("  a{number:02}: {step}\n")).collect();
    let assets = assets.concat();
    let text = format!("partitions: {{p: {{kind: static, keys: [x, y, z]}}}}\nassets:\n{assets}");
    Bench::of(parsed("one.yaml", &text)).await
}

/// The worker of a run that makes all the assets of a partition.
async fn of_partition<'a>(bench: &'a Bench, key: &str) -> TestWorker<'a> {
    let wish = MaterializeRequest {
        select: "*".to_owned(),
        partitions: vec![key.parse().unwrap()],
        all_partitions: false,
    };
    let tenant = millstream_model::TenantId::default_tenant();
    let launched = bench.control.materialize(&request(&tenant), &wish).await.unwrap();
    bench.start_again(launched.first().unwrap().run_id).await
}

fn each(events: impl Fn(&str) -> Vec<EventBody>) -> Vec<EventBody> {
    (0..ASSETS).flat_map(|number| events(&format!("a{number:02}"))).collect()
}

async fn make(bench: &Bench, key: &str, version: &str) {
    let mut worker = of_partition(bench, key).await;
    let made = |step: &str| EventBody::Materialized {
        step: step.parse().unwrap(),
        asset: step.parse().unwrap(),
        partition: Some(key.parse().unwrap()),
        metadata: std::collections::BTreeMap::new(),
        data_version: Some("d".to_owned()),
        code_version: version.to_owned(),
        remark: None,
    };
    let all = |step: &str| vec![step_started(step, 1), made(step), step_succeeded(step, 1)];
    worker.say(each(all)).await.unwrap();
    worker.say(vec![EventBody::RunSucceeded {}]).await.unwrap();
}

async fn told(bench: &Bench, key: &str) -> Assignment {
    let worker = of_partition(bench, key).await;
    let claimed = &worker.claimed;
    bench.control.assignment(&claimed.tenant, claimed.run, claimed.epoch).await.unwrap()
}

#[tokio::test]
async fn a_worker_is_told_of_each_partition_that_was_made_however_many_there_are() {
    let bench = bench().await;
    make(&bench, "x", "1").await;
    make(&bench, "y", "2").await;
    let provenance = told(&bench, "x").await.provenance;
    assert_eq!(provenance.len(), ASSETS);
    assert!(provenance.values().all(|made| made.code_version == "1"), "{provenance:?}");
    assert!(told(&bench, "z").await.provenance.is_empty(), "it was never made");
}

#[tokio::test]
async fn a_launch_searches_the_history_of_a_few_assets_alone() {
    let bench = bench().await;
    make(&bench, "x", "1").await;
    let mut worker = of_partition(&bench, "x").await;
    worker.say(each(|step| vec![step_started(step, 1), step_failed(step, 1)])).await.unwrap();
    worker.say(vec![EventBody::RunFailed { reason: "all failed".to_owned() }]).await.unwrap();
    make(&bench, "y", "2").await;
    let provenance = told(&bench, "x").await.provenance;
    assert_eq!(provenance.len(), 20, "what was made before the last try has to be searched for");
    assert!(provenance.values().all(|made| made.code_version == "1"), "{provenance:?}");
}
