//! Runs that a sensor requested itself, which are no news to it: otherwise it would go on for ever.

use std::collections::BTreeMap;

use millstream_control::SensorTicked;
use millstream_model::{EventBody, RetryFrom, RunId, RunStatus};
use serde_json::json;

use crate::bench::{started, step_failed, step_started, step_succeeded};
use crate::sensors::{World, fail, jobs, tenant};

/// Runs that wait.
async fn waiting(world: &World) -> Vec<RunId> {
    let runs = world.runs().await.into_iter();
    runs.filter(|run| run.status == RunStatus::Queued).map(|run| run.run_id).collect()
}

/// Lets the run that waits make the asset `g`, and then succeed or fail.
async fn make(world: &World, run: RunId, end: RunStatus) {
    let mut worker = world.bench.start_again(run).await;
    let made = EventBody::Materialized {
        step: "g".parse().unwrap(),
        asset: "g".parse().unwrap(),
        partition: None,
        metadata: BTreeMap::new(),
        data_version: None,
        code_version: "1".to_owned(),
        remark: None,
    };
    worker.say(vec![step_started("g", 1), made]).await.unwrap();
    let ended = match end {
        RunStatus::Success => vec![step_succeeded("g", 1), EventBody::RunSucceeded {}],
        _ => vec![step_failed("g", 1), EventBody::RunFailed { reason: "g failed".to_owned() }],
    };
    worker.say(ended).await.unwrap();
}

async fn materialize(world: &World) -> RunId {
    let wish = millstream_control::MaterializeRequest {
        select: "g".to_owned(),
        partitions: Vec::new(),
        all_partitions: false,
    };
    let request = crate::bench::request(&tenant());
    world.control().materialize(&request, &wish).await.unwrap().remove(0).run_id
}

const FOLLOWS: &str = "assets:\n  g: {step: {kind: noop}}\nsensors:\n  \
                       lg: {kind: asset, select: g, request: {select: g}}\n";

#[tokio::test]
async fn what_a_sensor_had_made_is_no_news_to_it() {
    let mut world = World::of(FOLLOWS).await;
    world.events().await;
    let by_hand = materialize(&world).await;
    make(&world, by_hand, RunStatus::Success).await;
    assert_eq!(world.events().await, [SensorTicked::Launched(1)]);
    let own = waiting(&world).await;
    make(&world, own[0], RunStatus::Failure).await;
    assert_eq!(world.events().await, [SensorTicked::Skipped]);
    // Nor what a retry of it makes.
    let control = world.control();
    let retry = control.retry_run(&tenant(), own[0], RetryFrom::Start, "ana").await.unwrap();
    make(&world, retry.run_id, RunStatus::Success).await;
    assert_eq!(world.events().await, [SensorTicked::Skipped]);
    // What somebody else makes is.
    let by_hand = materialize(&world).await;
    make(&world, by_hand, RunStatus::Success).await;
    assert_eq!(world.events().await, [SensorTicked::Launched(1)]);
}

/// Lets all runs that wait fail, and says which.
async fn fail_waiting(world: &World) -> Vec<RunId> {
    let mut failed = Vec::new();
    for claimed in world.bench.claim().await {
        failed.push(claimed.run);
        let mut worker = world.bench.worker_of(claimed);
        worker.say(vec![started()]).await.unwrap();
        fail(&mut worker).await;
    }
    failed
}

#[tokio::test]
async fn a_retry_of_what_a_sensor_requested_is_no_news_to_it_however_often_it_is_tried() {
    let text = format!(
        "{}    run_retries: 1\nsensors:\n  \
         again: {{kind: run_status, job: rr, on: [FAILURE], request: {{job: rr}}}}\n",
        jobs(&["rr"])
    );
    let mut world = World::of(&text).await;
    world.events().await;
    world.launch("rr", json!({}), &[]).await;
    // The run, and its retry beside the run of the sensor: each is a failed run that counts.
    for failed in [1, 2] {
        assert_eq!(fail_waiting(&world).await.len(), failed);
        assert_eq!(world.events().await, [SensorTicked::Launched(1)]);
    }
    // The retry of the sensor's first run beside its second run, and the retry of that.
    assert_eq!(fail_waiting(&world).await.len(), 2);
    assert_eq!(world.events().await, [SensorTicked::Skipped]);
    let last = fail_waiting(&world).await;
    assert_eq!((last.len(), world.events().await), (1, vec![SensorTicked::Skipped]));
    world.control().retry_run(&tenant(), last[0], RetryFrom::Start, "ana").await.unwrap();
    for _ in ["the one by hand", "its retry"] {
        assert_eq!(fail_waiting(&world).await.len(), 1);
        assert_eq!(world.events().await, [SensorTicked::Skipped]);
    }
    assert_eq!(fail_waiting(&world).await, []);
}
