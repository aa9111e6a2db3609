//! Sensors over a clock that the tests set: what they find, what they request, and why not.

use std::collections::BTreeMap;

use millstream_control::{Control, FileSeen, RunFilter, SensorReply, SensorTicked, SensorWatch};
use millstream_definition::parse_file;
use millstream_model::view::RunRow;
use millstream_model::{
    Cause, EventBody, FileManifest, HumanDuration, PartitionKey, RunId, TenantId, TickRow,
    TickStatus, TickWarning, Timestamp,
};
use millstream_testkit::definitions::live;
use serde_json::{Value, json};

use crate::bench::{Bench, TIME_TO_LIVE, TestWorker, started, step_started, step_succeeded};

/// Jobs of one op each.
pub(crate) fn jobs(names: &[&str]) -> String {
    let lines: Vec<String> = names
        .iter()
        .map(|name| format!("  {name}:\n    nodes: [{{id: a, type: noop}}]\n"))
        .collect();
    format!("jobs:\n{}", lines.concat())
}

pub(crate) fn parsed(name: &str, text: &str) -> FileManifest {
    let parsed = parse_file(name, text.as_bytes());
    assert_eq!(parsed.diagnostics, [], "{text}");
    parsed.manifest.unwrap()
}

pub(crate) fn tenant() -> TenantId {
    TenantId::default_tenant()
}

/// An instance whose daemon asks sensors; what is asked of programs is said by the tests.
pub(crate) struct World {
    pub(crate) bench: Bench,
    pub(crate) watch: SensorWatch,
}

impl World {
    pub(crate) async fn of(text: &str) -> Self {
        let bench = Bench::empty().await;
        bench.clock.set(Timestamp::from_micros(1_780_000_000_000_000));
        let mut world = Self { bench, watch: SensorWatch::default() };
        world.load(text).await;
        world
    }

    pub(crate) async fn load(&mut self, text: &str) {
        self.bench.scan(vec![live("one.yaml", parsed("one.yaml", text))]).await;
    }

    /// Takes the sensors over, and asks none.
    pub(crate) async fn adopt(&mut self) {
        let control = self.bench.control.clone();
        control.due_sensors("one", &mut self.watch, TIME_TO_LIVE).await.unwrap();
    }

    pub(crate) fn control(&self) -> &Control {
        &self.bench.control
    }

    /// Asks every sensor that is due, each with `reply`.
    pub(crate) async fn pass(
        &mut self,
        reply: impl Fn() -> Result<SensorReply, TickWarning>,
    ) -> Vec<SensorTicked> {
        let control = self.bench.control.clone();
        let pass = control.due_sensors("one", &mut self.watch, TIME_TO_LIVE).await.unwrap();
        assert!(pass.is_holder);
        let mut ticked = Vec::new();
        for (tenant, source) in pass.due {
            let asking = control.begin_sensor(&tenant, &source).await.unwrap().unwrap();
            ticked.push(control.settle_sensor(&asking, reply()).await.unwrap());
        }
        let readers = control.tick_readers(&pass.readers).await;
        ticked.extend(readers.into_iter().map(|ticked| ticked.unwrap().unwrap()));
        ticked
    }

    /// As [`World::pass`] once everything is due again.
    pub(crate) async fn again(
        &mut self,
        reply: impl Fn() -> Result<SensorReply, TickWarning>,
    ) -> Vec<SensorTicked> {
        self.bench.clock.advance(std::time::Duration::from_mins(2));
        self.pass(reply).await
    }

    pub(crate) async fn events(&mut self) -> Vec<SensorTicked> {
        self.again(|| unreachable!("only events are read")).await
    }

    pub(crate) async fn answer(&mut self, answer: Value) -> Vec<SensorTicked> {
        self.again(move || Ok(SensorReply::Value(answer.clone()))).await
    }

    pub(crate) async fn runs(&self) -> Vec<RunRow> {
        let store = self.control().store();
        let mut runs = store.run_list(&[tenant()], &RunFilter::default(), 10_000).await.unwrap();
        runs.reverse();
        runs
    }

    pub(crate) async fn requested(&self) -> Vec<RunRow> {
        let by_sensor = |run: &RunRow| matches!(run.cause, Cause::Sensor { .. });
        self.runs().await.into_iter().filter(by_sensor).collect()
    }

    pub(crate) async fn ticks(&self, name: &str) -> Vec<TickRow> {
        self.control().sensor_ticks(&tenant(), name, None, 100).await.unwrap()
    }

    pub(crate) async fn last(&self, name: &str) -> TickRow {
        self.ticks(name).await.remove(0)
    }

    /// Launches a run of a job with a context and labels.
    pub(crate) async fn launch(&self, job: &str, context: Value, tags: &[(&str, &str)]) -> RunId {
        let mut request = crate::bench::request(&tenant());
        request.context = context.as_object().cloned().unwrap_or_default();
        request.tags = tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        self.control().launch_job(&request, &job.parse().unwrap()).await.unwrap().run_id
    }

    /// Lets the run that waits succeed.
    pub(crate) async fn succeed(&self, run: RunId) {
        let mut worker = self.bench.start_again(run).await;
        worker.say(vec![step_started("a", 1), step_succeeded("a", 1)]).await.unwrap();
        worker.say(vec![EventBody::RunSucceeded {}]).await.unwrap();
    }

    /// Lets the run that waits fail.
    pub(crate) async fn fail(&self, run: RunId) {
        let mut worker = self.bench.start_again(run).await;
        fail(&mut worker).await;
    }
}

pub(crate) async fn fail(worker: &mut TestWorker<'_>) {
    let error = millstream_model::StepError {
        code: millstream_model::ErrorCode::StepExit,
        message: "it broke".to_owned(),
        detail: None,
    };
    let step = "a".parse().unwrap();
    let failed = EventBody::StepFailed { step, attempt: 1, error, retry: None, usage: None };
    worker.say(vec![step_started("a", 1), failed]).await.unwrap();
    worker.say(vec![EventBody::RunFailed { reason: "a failed".to_owned() }]).await.unwrap();
}

pub(crate) fn chain() -> String {
    format!(
        "{}sensors:\n  after:\n    kind: run_status\n    job: sec_materialize\n    on: [SUCCESS]\n    \
         when: \"{{{{ run.config.graph_id | default('sec') == 'sec' }}}}\"\n    \
         request: {{job: snapshot, context: {{graph_id: sec}}}}\n",
        jobs(&["sec_materialize", "other", "snapshot"])
    )
}

#[tokio::test]
async fn r120_a_run_that_succeeds_requests_exactly_one_run_of_another_job() {
    let mut world = World::of(&chain()).await;
    world.events().await;
    let run = world.launch("sec_materialize", json!({}), &[]).await;
    world.succeed(run).await;
    let other = world.launch("other", json!({}), &[]).await;
    world.succeed(other).await;
    for _ in 0..3 {
        world.events().await;
    }
    let requested = world.requested().await;
    assert_eq!(requested.len(), 1);
    assert_eq!(requested[0].job.as_ref().unwrap().as_str(), "snapshot");
    let Cause::Sensor { name, of, .. } = &requested[0].cause else { unreachable!() };
    assert_eq!((name.as_str(), *of), ("after", Some(run)), "the chain is visible");
    assert_eq!(requested[0].tags["dagster/sensor_name"], "after");
}

#[tokio::test]
async fn r120_sensors_that_tick_together_read_the_log_once_and_up_to_one_place() {
    let sensor = |name: usize| {
        format!(
            "  s{name:02}: {{kind: run_status, job: source, on: [SUCCESS], request: {{job: own}}}}\n"
        )
    };
    let sensors: Vec<String> = (0..30).map(sensor).collect();
    let text = format!("{}sensors:\n{}", jobs(&["source", "own"]), sensors.concat());
    let mut world = World::of(&text).await;
    world.events().await;
    let run = world.launch("source", json!({}), &[]).await;
    world.succeed(run).await;
    assert_eq!(world.events().await, [SensorTicked::Launched(1); 30]);
    assert_eq!(world.requested().await.len(), 30);
    let stands = (0..30).map(async |name: usize| {
        let name = format!("s{name:02}");
        world.control().sensor_stand(&tenant(), &name).await.unwrap().cursor.unwrap()
    });
    let mut cursors = futures_util::future::join_all(stands).await;
    cursors.dedup();
    assert_eq!(cursors.len(), 1, "what one has queued moves no other's place: {cursors:?}");
    assert_eq!(world.events().await, [SensorTicked::Skipped; 30]);
}

#[tokio::test]
async fn r121_failures_of_every_job_are_seen_all_of_them_and_the_lag_is_shown() {
    let text = format!(
        "{}sensors:\n  broken: {{kind: run_status, on: [FAILURE, CANCELED], request: {{job: tell}}}}\n",
        jobs(&["one", "two", "tell"])
    );
    let mut world = World::of(&text).await;
    world.events().await;
    for job in ["one", "two", "one"] {
        let run = world.launch(job, json!({}), &[]).await;
        world.fail(run).await;
    }
    let ok = world.launch("two", json!({}), &[]).await;
    world.succeed(ok).await;
    let stand = world.control().sensor_stand(&tenant(), "broken").await.unwrap();
    assert_eq!(stand.lag.unwrap().events, 3);
    assert_eq!(world.events().await, [SensorTicked::Launched(3)]);
    let stand = world.control().sensor_stand(&tenant(), "broken").await.unwrap();
    assert_eq!(stand.lag.unwrap().events, 0);
    // Runs that the sensor itself requested are no news to it, or it would go on for ever.
    for claimed in world.bench.claim().await {
        let mut worker = world.bench.worker_of(claimed);
        worker.say(vec![started()]).await.unwrap();
        fail(&mut worker).await;
    }
    assert_eq!(world.events().await, [SensorTicked::Skipped]);
}

#[tokio::test]
async fn r121_failures_in_two_locations_and_five_thousand_in_a_burst_are_all_handled() {
    let text = format!(
        "{}sensors:\n  broken: {{kind: run_status, on: [FAILURE], request: {{job: tell, \
         context: {{of: \"{{{{ run.id }}}}\"}}}}}}\n",
        jobs(&["one", "tell"])
    );
    let mut world = World::of(&text).await;
    let control = world.control().clone();
    let other: millstream_model::LocationName = "elsewhere".parse().unwrap();
    control.add_location(&other, "/elsewhere").await.unwrap();
    let seen_version = control.location_version(&other).await.unwrap();
    let files = vec![live("two.yaml", parsed("two.yaml", &jobs(&["two"])))];
    let change =
        millstream_control::LocationChange { location: other, seen_version, files, stale: None };
    control.apply_scan(&change).await.unwrap();
    world.events().await;
    let mut failed = std::collections::BTreeSet::new();
    for number in 0..5_000 {
        let job = if number % 2 == 0 { "one" } else { "two" };
        failed.insert(world.launch(job, json!({}), &[]).await.to_string());
    }
    while let claimed = world.bench.claim().await
        && !claimed.is_empty()
    {
        for run in claimed {
            let mut worker = world.bench.worker_of(run);
            let error = millstream_model::StepError {
                code: millstream_model::ErrorCode::StepExit,
                message: "it broke".to_owned(),
                detail: None,
            };
            let step = "a".parse().unwrap();
            let ended = EventBody::StepFailed { step, attempt: 1, error, retry: None, usage: None };
            let over = EventBody::RunFailed { reason: "a failed".to_owned() };
            worker.say(vec![started(), step_started("a", 1), ended, over]).await.unwrap();
        }
    }
    let lag = |stand: millstream_model::view::SensorStand| stand.lag.unwrap().events;
    assert_eq!(lag(control.sensor_stand(&tenant(), "broken").await.unwrap()), 5_000);
    let mut ticked = world.events().await;
    for _ in 0..4 {
        world.bench.clock.advance(std::time::Duration::from_millis(1));
        ticked.extend(world.pass(|| unreachable!()).await);
    }
    assert_eq!(ticked, [SensorTicked::Launched(1_000); 5]);
    assert_eq!(lag(control.sensor_stand(&tenant(), "broken").await.unwrap()), 0);
    let mut seen = std::collections::BTreeSet::new();
    for run in world.requested().await {
        let Cause::Sensor { of: Some(of), .. } = run.cause else { unreachable!() };
        assert!(seen.insert(of.to_string()), "{of} was handled twice");
    }
    assert_eq!(seen, failed);
}

#[tokio::test]
async fn r122_a_run_with_another_graph_is_skipped_and_the_tick_says_why() {
    let mut world = World::of(&chain()).await;
    world.events().await;
    let run = world.launch("sec_materialize", json!({ "graph_id": "roboinvestor" }), &[]).await;
    world.succeed(run).await;
    assert_eq!(world.events().await, [SensorTicked::Skipped]);
    let why = world.last("after").await.skipped.unwrap().to_string();
    assert!(why.contains(&run.to_string()) && why.contains("graph_id"), "{why}");
    let run = world.launch("sec_materialize", json!({ "graph_id": "sec" }), &[]).await;
    world.succeed(run).await;
    assert_eq!(world.events().await, [SensorTicked::Launched(1)]);
    assert_eq!(world.last("after").await.skipped, None);
}

#[tokio::test]
async fn a_tick_that_requests_runs_says_what_it_left_out_beside_them() {
    let mut world = World::of(&chain()).await;
    world.events().await;
    for graph in ["roboinvestor", "sec", "other"] {
        let run = world.launch("sec_materialize", json!({ "graph_id": graph }), &[]).await;
        world.succeed(run).await;
    }
    assert_eq!(world.events().await, [SensorTicked::Launched(1)]);
    let said = world.last("after").await.skipped.unwrap().to_string();
    assert!(said.starts_with("its condition does not hold for run "), "{said}");
    assert!(said.ends_with(" (and 1 more)"), "{said}");
}

#[tokio::test]
async fn r127_two_runs_of_one_day_are_two_requests_and_a_repeated_tick_is_none() {
    let mut world = World::of(&chain()).await;
    world.events().await;
    let before = world.control().sensor_stand(&tenant(), "after").await.unwrap().cursor;
    for _ in 0..2 {
        let run = world.launch("sec_materialize", json!({}), &[]).await;
        world.succeed(run).await;
    }
    assert_eq!(world.events().await, [SensorTicked::Launched(2)]);
    // The same events once more, as if the cursor had been lost.
    let control = world.control().clone();
    control.set_sensor_cursor(&tenant(), "after", before.as_deref()).await.unwrap();
    assert_eq!(world.events().await, [SensorTicked::Skipped]);
    assert_eq!(world.requested().await.len(), 2);
}

#[tokio::test]
async fn r128_a_run_key_that_was_requested_is_listed_with_its_run_in_the_tick() {
    let text = format!(
        "{}sensors:\n  own: {{kind: command, command: [./x], request: {{job: etl}}}}\n",
        jobs(&["etl"])
    );
    let mut world = World::of(&text).await;
    let answer = json!({ "cursor": "1", "requests": [{ "run_key": "k" }] });
    assert_eq!(world.answer(answer.clone()).await, [SensorTicked::Launched(1)]);
    assert_eq!(world.answer(answer).await, [SensorTicked::Skipped]);
    let tick = world.last("own").await;
    let run = world.requested().await[0].run_id;
    let known = format!("deduplicated: run {} has the key k", run.short());
    assert_eq!(tick.warnings[0].message, known);
    assert_eq!(tick.skipped.unwrap().to_string(), "its runs were requested before (run_key)");
}

#[tokio::test]
async fn r145_a_request_with_a_label_that_must_be_a_number_and_is_none_is_left_out() {
    let text = format!(
        "{}sensors:\n  own: {{kind: command, command: [./x], request: {{job: etl}}}}\n",
        jobs(&["etl"])
    );
    let mut world = World::of(&text).await;
    let answer = json!({ "cursor": "1", "requests": [
        { "run_key": "a", "tags": { "dagster/priority": "high" } },
        { "run_key": "b", "tags": { "dagster/max_retries": "1001" } },
        { "run_key": "c", "tags": { "dagster/priority": "7" } },
    ] });
    assert_eq!(world.answer(answer).await, [SensorTicked::Launched(1)]);
    let warnings = world.last("own").await.warnings;
    let said: Vec<&str> = warnings.iter().map(|warning| warning.message.as_str()).collect();
    assert_eq!(
        said,
        [
            "the tag `dagster/priority` cannot be \"high\"; write a whole number, where higher \
             goes first",
            "the tag `dagster/max_retries` cannot be \"1001\"; write how often a failed run is \
             tried again, a whole number up to 1000",
        ]
    );
    let wrong = json!({ "requests": [{ "tags": { "dagster/priority": "high" } }] });
    assert_eq!(world.answer(wrong).await, [SensorTicked::Failed]);
}

#[tokio::test]
async fn a_sensor_of_its_own_keeps_its_cursor_and_its_words_and_fails_without_moving() {
    let text = format!(
        "{}sensors:\n  own: {{kind: command, command: [./x], request: {{job: etl}}}}\n",
        jobs(&["etl"])
    );
    let mut world = World::of(&text).await;
    world.answer(json!({ "cursor": "a", "skip": "nothing yet" })).await;
    assert_eq!(world.last("own").await.skipped.unwrap().to_string(), "nothing yet");
    for wrong in [json!([1]), json!({ "requests": [{ "job": "etl", "select": "x" }] })] {
        assert_eq!(world.answer(wrong).await, [SensorTicked::Failed]);
    }
    let failed = || {
        let (code, message) = (millstream_model::ErrorCode::StepExit, "code 1".to_owned());
        Err(TickWarning { partition: None, code, message })
    };
    assert_eq!(world.again(failed).await, [SensorTicked::Failed]);
    assert_eq!(world.last("own").await.error.unwrap().message, "code 1");
    let stand = world.control().sensor_stand(&tenant(), "own").await.unwrap();
    assert_eq!(stand.cursor.as_deref(), Some("a"));
}

#[tokio::test]
async fn ticks_in_a_row_that_come_to_the_same_nothing_are_one_line() {
    let text = format!(
        "{}sensors:\n  own: {{kind: command, command: [./x], request: {{job: etl}}}}\n",
        jobs(&["etl"])
    );
    let mut world = World::of(&text).await;
    let again = json!({ "requests": [{ "run_key": "a" }] });
    for answer in [again.clone(), again.clone(), again, json!([1]), json!([1]), json!([2])] {
        world.answer(answer).await;
    }
    world.answer(json!({ "requests": [{ "run_key": "b" }] })).await;
    world.answer(json!([2])).await;
    let ticks = world.ticks("own").await;
    let lines: Vec<(TickStatus, u32)> = ticks.iter().map(|it| (it.status, it.times)).collect();
    let (launched, failed) = (TickStatus::Launched, TickStatus::Failed);
    let skipped = TickStatus::Skipped;
    let begun = [(launched, 1), (skipped, 2), (failed, 2), (failed, 1), (launched, 1), (failed, 1)];
    assert_eq!(lines.into_iter().rev().collect::<Vec<_>>(), begun);
    assert_eq!(ticks[3].since.unwrap().since(ticks[4].nominal).as_secs(), 120);
    assert_eq!(ticks[4].warnings.len(), 1, "{ticks:?}");
}

#[tokio::test]
async fn r129_an_answer_that_comes_twice_is_stored_once_and_one_to_an_older_asking_never() {
    let text = format!(
        "{}sensors:\n  own: {{kind: command, command: [./x], request: {{job: etl}}}}\n",
        jobs(&["etl"])
    );
    let mut world = World::of(&text).await;
    let control = world.control().clone();
    let pass = control.due_sensors("one", &mut world.watch, TIME_TO_LIVE).await.unwrap();
    let (tenant_id, source) = pass.due[0].clone();
    let asking = control.begin_sensor(&tenant_id, &source).await.unwrap().unwrap();
    let late = control.begin_sensor(&tenant_id, &source).await.unwrap().unwrap();
    let answer = || Ok(SensorReply::Value(json!({ "cursor": "1", "requests": [{}] })));
    let ticked = control.settle_sensor(&asking, answer()).await.unwrap();
    assert_eq!(ticked, SensorTicked::Launched(1));
    for zombie in [&asking, &late] {
        let ticked = control.settle_sensor(zombie, answer()).await.unwrap();
        assert_eq!(ticked, SensorTicked::Replaced);
    }
    assert_eq!(world.requested().await.len(), 1);
    // What was asked before somebody stopped it is not stored either.
    let asking = control.begin_sensor(&tenant_id, &source).await.unwrap().unwrap();
    control.switch_sensor(&tenant(), "own", (Some(false), "ana")).await.unwrap();
    assert_eq!(control.settle_sensor(&asking, answer()).await.unwrap(), SensorTicked::Replaced);
    assert_eq!(world.answer(json!({})).await, [], "one that is off is not asked");
    control.switch_sensor(&tenant(), "own", (Some(true), "ana")).await.unwrap();
    assert_eq!(world.answer(json!({ "requests": [{}] })).await, [SensorTicked::Launched(1)]);
}

pub(crate) fn shops() -> &'static str {
    "partitions:\n  shop: {kind: dynamic}\nassets:\n  \
     sold: {partitions: shop, output_required: false, step: {kind: noop}}\n"
}

#[tokio::test]
async fn r148_three_thousand_keys_and_their_runs_are_one_tick() {
    let text = format!(
        "{}sensors:\n  own: {{kind: command, command: [./x], request: {{select: sold}}}}\n",
        shops()
    );
    let mut world = World::of(&text).await;
    let keys: Vec<String> = (0..3_000).map(|n| format!("shop-{n:04}")).collect();
    let requests: Vec<Value> =
        keys.iter().map(|key| json!({ "run_key": key, "partition": key })).collect();
    let begun = std::time::Instant::now();
    let ticked = world
        .answer(json!({ "partitions": { "shop": { "add": keys } }, "requests": requests }))
        .await;
    assert_eq!(ticked, [SensorTicked::Launched(3_000)]);
    assert!(begun.elapsed() < std::time::Duration::from_mins(1));
    let count = world
        .control()
        .store()
        .count_dynamic_partitions(&tenant(), &"shop".parse().unwrap())
        .await
        .unwrap();
    assert_eq!((count, world.requested().await.len()), (3_000, 3_000));
}

#[tokio::test]
async fn one_partition_that_does_not_exist_keeps_no_other_from_being_requested() {
    let text = format!(
        "{}sensors:\n  own: {{kind: command, command: [./x], request: {{select: sold}}}}\n",
        shops()
    );
    let mut world = World::of(&text).await;
    let answer = json!({
        "partitions": { "shop": { "add": ["a"] } },
        "requests": [{ "partition": "a" }, { "partition": "nowhere" }],
    });
    assert_eq!(world.answer(answer).await, [SensorTicked::Launched(1)]);
    assert_eq!(world.last("own").await.warnings.len(), 1);
    let hopeless = json!({ "cursor": "x", "requests": [{ "partition": "nowhere" }] });
    assert_eq!(world.answer(hopeless).await, [SensorTicked::Failed]);
    assert_eq!(world.control().sensor_stand(&tenant(), "own").await.unwrap().cursor, None);
}

#[tokio::test]
async fn a_test_counts_the_keys_that_its_tick_would_really_add_and_remove() {
    let text = format!("{}sensors:\n  own: {{kind: command, command: [./x]}}\n", shops());
    let mut world = World::of(&text).await;
    world.answer(json!({ "partitions": { "shop": { "add": ["a", "b"] } } })).await;
    let control = world.control().clone();
    world.bench.clock.advance(std::time::Duration::from_mins(2));
    let pass = control.due_sensors("one", &mut world.watch, TIME_TO_LIVE).await.unwrap();
    let (of, source) = pass.due[0].clone();
    let asking = control.begin_sensor(&of, &source).await.unwrap().unwrap();
    let answer = json!({
        "skip": "no runs",
        "partitions": { "shop": { "add": ["a", "c"], "remove": ["b", "x"] } },
    });
    let reply = || Ok(SensorReply::Value(answer.clone()));
    let tried = control.try_sensor(&asking, reply()).await.unwrap();
    let change = tried.partitions.values().next().unwrap();
    assert_eq!((&change.add[..], &change.remove[..]), (&[key("c")][..], &[key("b")][..]));
    assert_eq!(tried.tick.status, TickStatus::Synced);
    let said = "partitions: added=1 deleted=1 total=2";
    assert_eq!(tried.tick.skipped.unwrap().to_string(), said);
    control.settle_sensor(&asking, reply()).await.unwrap();
    let tick = world.last("own").await;
    assert_eq!((tick.status, tick.skipped.unwrap().to_string()), (TickStatus::Synced, said.into()));
    // Where nothing changes, the tick says what its program says.
    let asked = json!({ "skip": "no runs", "partitions": { "shop": { "add": ["a"] } } });
    world.answer(asked).await;
    let tick = world.last("own").await;
    assert_eq!(tick.status, TickStatus::Skipped);
    assert_eq!(tick.skipped.unwrap().to_string(), "no runs");
}

fn key(text: &str) -> PartitionKey {
    text.parse().unwrap()
}

/// Queues a run that makes one partition of the asset.
async fn order(world: &World, key: &str) -> RunId {
    let request = crate::bench::request(&tenant());
    let wish = millstream_control::MaterializeRequest {
        select: "sold".to_owned(),
        partitions: vec![key.parse().unwrap()],
        all_partitions: false,
    };
    world.control().materialize(&request, &wish).await.unwrap().remove(0).run_id
}

/// Lets one run say that it made `keys` of the asset.
pub(crate) async fn materialize(world: &World, keys: &[String]) {
    let run = order(world, keys.first().unwrap()).await;
    let mut worker = world.bench.claimed(run).await;
    worker.say(vec![started(), step_started("sold", 1)]).await.unwrap();
    let made = |key: &String| EventBody::Materialized {
        step: "sold".parse().unwrap(),
        asset: "sold".parse().unwrap(),
        partition: Some(key.parse().unwrap()),
        metadata: BTreeMap::new(),
        data_version: None,
        code_version: "1".to_owned(),
        remark: None,
    };
    worker.say(keys.iter().map(made).collect()).await.unwrap();
    worker.say(vec![step_succeeded("sold", 1), EventBody::RunSucceeded {}]).await.unwrap();
}

fn following() -> String {
    format!(
        "{}  told: {{partitions: shop, step: {{kind: noop}}}}\nsensors:\n  \
         made: {{kind: asset, select: sold, request: {{select: told}}}}\n",
        shops()
    )
}

#[tokio::test]
async fn r043_a_burst_of_2500_materializations_is_read_in_three_ticks_each_once() {
    let mut world = World::of(&following()).await;
    world.events().await;
    let keys: Vec<String> = (0..2_500).map(|n| format!("s{n:04}")).collect();
    let name = "shop".parse().unwrap();
    let parsed: Vec<PartitionKey> = keys.iter().map(|key| key.parse().unwrap()).collect();
    world.control().add_partitions(&tenant(), &name, &parsed).await.unwrap();
    materialize(&world, &keys).await;
    let mut ticked = world.events().await;
    for _ in 0..2 {
        // What is left is due at once.
        world.bench.clock.advance(std::time::Duration::from_millis(1));
        ticked.extend(world.pass(|| unreachable!()).await);
    }
    let counts = [1_000, 1_000, 500].map(SensorTicked::Launched);
    assert_eq!(ticked, counts);
    assert_eq!(world.events().await, [SensorTicked::Skipped]);
    let mut seen: Vec<String> = world
        .requested()
        .await
        .iter()
        .map(|run| run.partition.as_ref().unwrap().to_string())
        .collect();
    seen.sort();
    assert_eq!(seen, keys);
}

#[tokio::test]
async fn r040_an_asset_that_returned_nothing_triggers_nothing() {
    let mut world = World::of(&following()).await;
    world.events().await;
    let name = "shop".parse().unwrap();
    world.control().add_partitions(&tenant(), &name, &["a".parse().unwrap()]).await.unwrap();
    let run = order(&world, "a").await;
    let mut worker = world.bench.start_again(run).await;
    // Zero rows of an asset with `output_required: false`: the step succeeds and reports no asset.
    worker.say(vec![step_started("sold", 1), step_succeeded("sold", 1)]).await.unwrap();
    worker.say(vec![EventBody::RunSucceeded {}]).await.unwrap();
    assert_eq!(world.events().await, [SensorTicked::Skipped]);
    assert_eq!(world.last("made").await.skipped.unwrap().to_string(), "nothing new");
    assert_eq!(world.requested().await, []);
}

#[tokio::test]
async fn r151_a_chain_of_five_jobs_passes_its_batch_on_to_every_run() {
    let names = ["download", "process", "stage", "copy", "snapshot"];
    let links: Vec<String> = names
        .windows(2)
        .map(|pair| {
            format!(
                "  to_{1}: {{kind: run_status, job: {0}, on: [SUCCESS], \
                 request: {{job: {1}, pass_tags: [batch_id]}}}}\n",
                pair[0], pair[1]
            )
        })
        .collect();
    let mut world = World::of(&format!("{}sensors:\n{}", jobs(&names), links.concat())).await;
    world.events().await;
    let mut run = world.launch("download", json!({}), &[("batch_id", "b-7"), ("x", "y")]).await;
    for stage in names.iter().skip(1) {
        world.succeed(run).await;
        world.events().await;
        let last = world.runs().await.pop().unwrap();
        assert_eq!(last.job.as_ref().unwrap().as_str(), *stage);
        run = last.run_id;
    }
    let of_batch: Vec<String> = world
        .runs()
        .await
        .iter()
        .filter(|run| run.tags.get("batch_id").is_some_and(|batch| batch == "b-7"))
        .map(|run| run.job.as_ref().unwrap().to_string())
        .collect();
    assert_eq!(of_batch, names);
}

fn synced() -> String {
    format!(
        "{}resources:\n  db: {{kind: sqlite, path: a.db}}\nsensors:\n  sync:\n    \
         kind: partition_sync\n    partitions: shop\n    every: 5m\n    remove_missing: true\n    \
         source: {{kind: sql, resource: db, statements: select shop from shops}}\n    \
         keys: '{{{{ item.shop }}}}'\n",
        shops()
    )
}

fn rows(count: u32) -> Value {
    (0..count).map(|n| json!({ "shop": format!("s{n}") })).collect()
}

#[tokio::test]
async fn r027_partitions_follow_their_source_and_what_was_made_of_removed_ones_stays() {
    let mut world = World::of(&synced()).await;
    world.answer(rows(5)).await;
    assert_eq!(
        world.last("sync").await.skipped.unwrap().to_string(),
        "partitions: added=5 deleted=0 total=5"
    );
    world.bench.clock.advance(std::time::Duration::from_mins(5));
    materialize(&world, &["s4".to_owned()]).await;
    world.answer(rows(4)).await;
    assert_eq!(
        world.last("sync").await.skipped.unwrap().to_string(),
        "partitions: added=0 deleted=1 total=4"
    );
    let made = world.runs().await;
    assert_eq!(made[0].partition.as_ref().unwrap().as_str(), "s4", "history stays");
    world.bench.clock.advance(std::time::Duration::from_mins(5));
    world.answer(rows(5)).await;
    let tick = world.last("sync").await;
    assert_eq!(tick.skipped.unwrap().to_string(), "partitions: added=1 deleted=0 total=5");
    assert_eq!(tick.status, TickStatus::Synced);
    world.bench.clock.advance(std::time::Duration::from_mins(5));
    world.answer(rows(5)).await;
    let tick = world.last("sync").await;
    assert_eq!(tick.skipped.unwrap().to_string(), "partitions: added=0 deleted=0 total=5");
    assert_eq!(tick.status, TickStatus::Skipped);
}

#[tokio::test]
async fn r028_a_source_that_fails_or_is_empty_leaves_the_partitions_alone() {
    let mut world = World::of(&synced()).await;
    world.answer(rows(5)).await;
    let fails = || {
        let (code, message) = (millstream_model::ErrorCode::StepHttp, "500".to_owned());
        Err(TickWarning { partition: None, code, message })
    };
    world.bench.clock.advance(std::time::Duration::from_mins(5));
    assert_eq!(world.again(fails).await, [SensorTicked::Failed]);
    for answer in [json!([]), rows(2), json!({ "error": "maintenance" }), Value::Null] {
        world.bench.clock.advance(std::time::Duration::from_mins(5));
        assert_eq!(world.answer(answer).await, [SensorTicked::Failed]);
    }
    let name = "shop".parse().unwrap();
    let left = world.control().store().count_dynamic_partitions(&tenant(), &name).await.unwrap();
    assert_eq!(left, 5);
}

#[tokio::test]
async fn rows_of_a_query_are_requested_once_and_the_cursor_is_the_last_ones() {
    let text = format!(
        "{}resources:\n  db: {{kind: sqlite, path: a.db}}\nsensors:\n  rows:\n    kind: sql\n    \
         query: {{resource: db, statements: select id from t where id > :cursor}}\n    \
         cursor: '{{{{ item.id }}}}'\n    \
         request: {{job: etl, run_key: 'order-{{{{ item.id }}}}', context: {{order: '{{{{ item.id }}}}'}}}}\n",
        jobs(&["etl"])
    );
    let mut world = World::of(&text).await;
    let ticked = world.answer(json!([{ "id": 1 }, { "id": 2 }])).await;
    assert_eq!(ticked, [SensorTicked::Launched(2)]);
    assert_eq!(world.answer(json!([])).await, [SensorTicked::Skipped]);
    assert_eq!(world.answer(json!([{ "id": 2 }, { "id": 3 }])).await, [SensorTicked::Launched(1)]);
    let stand = world.control().sensor_stand(&tenant(), "rows").await.unwrap();
    assert_eq!(stand.cursor.as_deref(), Some("3"));
    let tick = world.last("rows").await;
    assert_eq!((tick.status, tick.runs[0].run_key.as_str()), (TickStatus::Launched, "order-3"));
}

#[tokio::test]
async fn files_that_are_new_request_runs_with_their_paths() {
    let text = format!(
        "{}sensors:\n  arrived:\n    kind: files\n    path: data/in\n    \
         request: {{job: etl, context: {{path: '{{{{ file.path }}}}'}}}}\n",
        jobs(&["etl"])
    );
    let mut world = World::of(&text).await;
    let file = |path: &str| FileSeen {
        path: path.to_owned(),
        size: 3,
        changed_at: Timestamp::from_micros(7),
    };
    let there = move |paths: &[&str]| {
        let files: Vec<FileSeen> = paths.iter().map(|path| file(path)).collect();
        move || Ok(SensorReply::Files(files.clone()))
    };
    assert_eq!(world.again(there(&["a.csv"])).await, [SensorTicked::Launched(1)]);
    assert_eq!(world.again(there(&["a.csv"])).await, [SensorTicked::Skipped]);
    assert_eq!(world.again(there(&["a.csv", "b/c.csv"])).await, [SensorTicked::Launched(1)]);
    assert_eq!(
        world.last("arrived").await.runs[0].run_key.split(' ').next(),
        Some("data/in/b/c.csv")
    );
}

#[tokio::test]
async fn a_slow_answer_took_its_time_and_is_not_late() {
    let text = format!(
        "{}sensors:\n  own: {{kind: command, command: [./x], request: {{job: etl}}}}\n",
        jobs(&["etl"])
    );
    let mut world = World::of(&text).await;
    let clock = std::sync::Arc::clone(&world.bench.clock);
    let slow = move || {
        clock.advance(std::time::Duration::from_millis(2_500));
        Ok(SensorReply::Value(json!({ "requests": [{}] })))
    };
    assert_eq!(world.again(slow).await, [SensorTicked::Launched(1)]);
    let nominal = world.last("own").await.nominal;
    let answer = world.control().why(&tenant(), "own").await.unwrap().answer;
    let words = format!("It is on: its tick of {nominal}, which took 2 s, requested 1 run; ");
    assert!(answer.starts_with(&words), "{answer}");
}

#[tokio::test]
async fn ticks_come_no_more_often_than_the_sensor_says() {
    let mut world = World::of(&chain()).await;
    assert_eq!(world.pass(|| unreachable!()).await.len(), 1, "a new one is asked at once");
    assert_eq!(world.pass(|| unreachable!()).await.len(), 0);
    let row = world.control().sensor_view(&tenant(), "after").await.unwrap();
    assert_eq!(row.every, HumanDuration(std::time::Duration::from_secs(30)));
    assert_eq!(row.next_at.unwrap().since(world.control().now()).as_secs(), 30);
}
