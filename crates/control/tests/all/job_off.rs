//! Sensors of a job that is off: what they find waits for it, and nothing is passed over.

use millstream_control::{FileSeen, SensorReply, SensorTicked};
use millstream_model::{ErrorCode, TenantId, TickKind, TickSource, TickStatus, Timestamp};
use serde_json::json;

use crate::sensors::{World, chain, jobs, materialize};
use crate::webhooks::{send, world as hook};

const OFF: &str = "its job is switched off";

/// Switches a job on or off.
async fn switch(world: &World, job: &str, on: bool) {
    let (tenant, location) = (TenantId::default_tenant(), crate::bench::location());
    let (job, control) = (job.parse().unwrap(), world.control());
    control.override_job(&tenant, (&location, &job), Some(on), "ana").await.unwrap();
}

async fn cursor(world: &World, sensor: &str) -> Option<String> {
    let tenant = TenantId::default_tenant();
    world.control().sensor_stand(&tenant, sensor).await.unwrap().cursor
}

#[tokio::test]
async fn runs_that_end_while_the_job_is_off_are_read_when_it_is_on_again() {
    let mut world = World::of(&chain()).await;
    world.events().await;
    switch(&world, "snapshot", false).await;
    let before = cursor(&world, "after").await;
    let run = world.launch("sec_materialize", json!({}), &[]).await;
    world.succeed(run).await;
    for _ in 0..3 {
        assert_eq!(world.events().await, [SensorTicked::Skipped]);
    }
    let tenant = TenantId::default_tenant();
    let row = world.control().sensor_view(&tenant, "after").await.unwrap();
    assert_eq!(row.stopped_by(), Some("snapshot"));
    let why = world.control().why(&tenant, "after").await.unwrap().answer;
    let begins = "It is on, but its job snapshot is switched off, so that no run of it is \
                  requested: `millstream job start snapshot` switches it on. Its tick of ";
    assert!(why.starts_with(begins), "{why}");
    let ticks = world.ticks("after").await;
    let told = ticks[0].skipped.as_ref().unwrap().to_string();
    assert_eq!((told.as_str(), ticks[0].times), (OFF, 3), "one line for all of them");
    assert_eq!(cursor(&world, "after").await, before, "it stays where it is");
    switch(&world, "snapshot", true).await;
    assert!(!world.control().sensor_view(&tenant, "after").await.unwrap().job_off);
    assert_eq!(world.events().await, [SensorTicked::Launched(1)]);
    assert_eq!(world.events().await, [SensorTicked::Skipped]);
    assert_eq!(world.requested().await.len(), 1);
}

#[tokio::test]
async fn what_is_made_while_the_file_has_the_job_off_is_read_when_somebody_starts_it() {
    let text = "jobs:\n  load: {enabled: false, nodes: [{id: a, type: noop}]}\n\
                partitions:\n  shop: {kind: dynamic}\n\
                assets:\n  sold: {partitions: shop, step: {kind: noop}}\n\
                sensors:\n  made: {kind: asset, select: sold, request: {job: load}}\n";
    let mut world = World::of(text).await;
    // It finds its place in the log though its job is off.
    assert_eq!(world.events().await, [SensorTicked::Skipped]);
    let (name, keys) = ("shop".parse().unwrap(), ["a".parse().unwrap()]);
    let tenant = TenantId::default_tenant();
    world.control().add_partitions(&tenant, &name, &keys).await.unwrap();
    materialize(&world, &["a".to_owned()]).await;
    assert_eq!(world.events().await, [SensorTicked::Skipped]);
    assert_eq!(world.last("made").await.skipped.unwrap().to_string(), OFF);
    switch(&world, "load", true).await;
    assert_eq!(world.events().await, [SensorTicked::Launched(1)]);
}

#[tokio::test]
async fn deliveries_wait_while_the_job_is_off() {
    let mut world = hook().await;
    world.events().await;
    switch(&world, "load", false).await;
    send(&world, "a", r#"{"ref": "main"}"#).await;
    assert_eq!(world.events().await, [SensorTicked::Skipped]);
    send(&world, "b", r#"{"ref": "main"}"#).await;
    assert_eq!(world.events().await, [SensorTicked::Skipped]);
    let tenant = TenantId::default_tenant();
    let waiting = world.control().waiting_deliveries(&tenant, "pushed", 10).await.unwrap();
    assert_eq!(waiting.len(), 2);
    switch(&world, "load", true).await;
    assert_eq!(world.events().await, [SensorTicked::Launched(2)], "nothing need come to wake it");
}

#[tokio::test]
async fn rows_and_files_wait_while_the_job_is_off_and_nobody_is_asked_for_them() {
    let text = format!(
        "{}resources:\n  db: {{kind: sqlite, path: a.db}}\nsensors:\n  rows:\n    kind: sql\n    \
         query: {{resource: db, statements: select 1}}\n    cursor: '{{{{ item.id }}}}'\n    \
         request: {{job: etl}}\n  \
         arrived: {{kind: files, path: data/in, request: {{job: other}}}}\n",
        jobs(&["etl", "other"])
    );
    let mut world = World::of(&text).await;
    world.adopt().await;
    let control = world.control().clone();
    let tenant = TenantId::default_tenant();
    let rows = SensorReply::Value(json!([{ "id": 7 }]));
    let changed_at = Timestamp::from_micros(7);
    let file = FileSeen { path: "a.csv".to_owned(), size: 3, changed_at };
    for (job, name, reply) in
        [("etl", "rows", rows), ("other", "arrived", SensorReply::Files(vec![file]))]
    {
        let begin = async || {
            let (kind, location) = (TickKind::Sensor, crate::bench::location());
            let source = TickSource { kind, location, name: name.to_owned() };
            control.begin_sensor(&tenant, &source).await.unwrap().unwrap()
        };
        assert!(!control.rests(&begin().await).await.unwrap());
        switch(&world, job, false).await;
        let asking = begin().await;
        assert!(control.rests(&asking).await.unwrap(), "{name}");
        // What was answered before the switch waits too.
        for reply in [reply.clone(), SensorReply::Resting] {
            let ticked = control.settle_sensor(&begin().await, Ok(reply)).await.unwrap();
            assert_eq!(ticked, SensorTicked::Skipped);
            assert_eq!(world.last(name).await.skipped.unwrap().to_string(), OFF);
        }
        assert_eq!(cursor(&world, name).await, None);
        switch(&world, job, true).await;
        let ticked = control.settle_sensor(&begin().await, Ok(reply)).await.unwrap();
        assert_eq!(ticked, SensorTicked::Launched(1));
        assert!(cursor(&world, name).await.is_some());
    }
}

#[tokio::test]
async fn a_sensor_that_rested_looks_at_once_when_somebody_switches_its_job_on() {
    let hourly = chain().replace("    kind: run_status", "    every: 1h\n    kind: run_status");
    let mut world = World::of(&hourly).await;
    world.events().await;
    let run = world.launch("sec_materialize", json!({}), &[]).await;
    world.succeed(run).await;
    switch(&world, "snapshot", false).await;
    world.bench.clock.advance(std::time::Duration::from_mins(61));
    assert_eq!(world.pass(|| unreachable!()).await, [SensorTicked::Skipped]);
    assert_eq!(world.last("after").await.skipped.unwrap().to_string(), OFF);
    switch(&world, "snapshot", false).await;
    assert_eq!(world.events().await, [], "it is due in an hour");
    switch(&world, "snapshot", true).await;
    assert_eq!(world.pass(|| unreachable!()).await, [SensorTicked::Launched(1)]);

    // Whoever switches back and forth has it look once a second.
    switch(&world, "snapshot", false).await;
    switch(&world, "snapshot", true).await;
    assert_eq!(world.pass(|| unreachable!()).await, []);
    world.bench.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(world.pass(|| unreachable!()).await, [SensorTicked::Skipped]);
    // The word of one who finds it on changes nothing.
    world.bench.clock.advance(std::time::Duration::from_secs(2));
    switch(&world, "snapshot", true).await;
    assert_eq!(world.pass(|| unreachable!()).await, []);
}

fn own(jobs_of: &[&str]) -> String {
    let sensor = "sensors:\n  own: {kind: command, command: [./x], request: {job: one}}\n";
    format!("{}{sensor}", jobs(jobs_of))
}

#[tokio::test]
async fn an_answer_that_wants_runs_of_a_job_that_is_off_alone_moves_nothing() {
    let mut world = World::of(&own(&["one", "two"])).await;
    switch(&world, "one", false).await;
    let answer = json!({ "cursor": "x", "requests": [{ "run_key": "a" }, { "run_key": "b" }] });
    assert_eq!(world.answer(answer.clone()).await, [SensorTicked::Skipped]);
    let tick = world.last("own").await;
    assert_eq!(tick.skipped.unwrap().to_string(), OFF);
    assert_eq!((tick.warnings.len(), tick.warnings[0].code), (1, ErrorCode::JobDisabled));
    assert_eq!(
        tick.warnings[0].message,
        "2 requests of the job one left out: it is off, and `millstream job start one` switches \
         it on"
    );
    assert_eq!(cursor(&world, "own").await, None);
    switch(&world, "one", true).await;
    assert_eq!(world.answer(answer).await, [SensorTicked::Launched(2)]);
    assert_eq!(cursor(&world, "own").await.as_deref(), Some("x"));
}

#[tokio::test]
async fn beside_runs_of_another_job_what_is_left_out_is_a_warning() {
    let mut world = World::of(&own(&["one", "two"])).await;
    switch(&world, "one", false).await;
    let requests = json!([{ "run_key": "a" }, { "run_key": "b", "job": "two" }]);
    let answer = json!({ "cursor": "x", "requests": requests });
    assert_eq!(world.answer(answer).await, [SensorTicked::Launched(1)]);
    let tick = world.last("own").await;
    assert!(tick.warnings[0].message.starts_with("a request of the job one left out"));
    assert_eq!(cursor(&world, "own").await.as_deref(), Some("x"));
}

#[tokio::test]
async fn a_request_that_was_made_before_keeps_the_tick_from_failing_by_the_others() {
    let mut world = World::of(&own(&["one"])).await;
    let requests = json!([
        { "run_key": "a", "job": "nowhere" },
        { "run_key": "b" },
        { "run_key": "c", "partition": "p" },
    ]);
    let answer = |cursor: &str| json!({ "cursor": cursor, "requests": requests.clone() });
    assert_eq!(world.answer(answer("1")).await, [SensorTicked::Launched(1)]);
    assert_eq!(world.last("own").await.warnings.len(), 2);
    assert_eq!(world.answer(answer("2")).await, [SensorTicked::Skipped]);
    let tick = world.last("own").await;
    assert_eq!((tick.status, tick.warnings.len(), tick.error), (TickStatus::Skipped, 3, None));
    assert_eq!(cursor(&world, "own").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn one_key_twice_in_an_answer_was_not_requested_before() {
    let mut world = World::of(&own(&["one"])).await;
    let twice = json!([{ "run_key": "a", "job": "nowhere" }, { "run_key": "a" }]);
    let answer = json!({ "cursor": "x", "requests": twice });
    assert_eq!(world.answer(answer).await, [SensorTicked::Failed]);
    assert_eq!(cursor(&world, "own").await, None);
}
