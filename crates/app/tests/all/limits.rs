//! What keeps runs and steps of a server as users start it from going on together: labels that are
//! limited, pools, priorities, and what is tried again.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::project::{Project, short, wait_for};
use crate::server::Server;

impl Server {
    /// Queues a run of `job` with labels.
    fn launch(&self, job: &str, tags: &[(&str, &str)]) -> String {
        let tags: BTreeMap<_, _> = tags.iter().copied().collect();
        let path = format!("/default/api/v1/jobs/{job}/launch");
        let launched = self.post(&path, &json!({ "tags": tags }).to_string());
        launched["run_id"].as_str().unwrap().to_owned()
    }

    fn run(&self, id: &str) -> Value {
        self.get(&format!("/default/api/v1/runs/{id}"))
    }

    /// A run once it has this status.
    fn run_in(&self, id: &str, status: &str) -> Value {
        wait_for(&format!("run {id} is {status}"), || {
            Some(self.run(id)).filter(|run| run["status"] == status)
        })
    }

    /// A run that waits, once it says why.
    fn held(&self, id: &str) -> (Value, String) {
        wait_for(&format!("run {id} says why it waits"), || {
            let waiting = self.get("/default/api/v1/queue");
            let mut rows = waiting["waiting"].as_array()?.iter();
            let row = rows.find(|row| row["run_id"] == id && row["status"] == "QUEUED")?;
            let hold = row["hold"].clone();
            let words: millstream_model::HoldReason = serde_json::from_value(hold.clone()).ok()?;
            Some((hold, words.to_string()))
        })
    }

    /// The runs of a job, oldest first.
    fn runs_of(&self, job: &str) -> Vec<Value> {
        let found = self.get(&format!("/default/api/v1/runs?job={job}&limit=1000"));
        found.as_array().unwrap().iter().rev().cloned().collect()
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key}: {value}"))
}

/// How many of these were going on at the same time at most.
fn together(rows: &[Value]) -> usize {
    let at = |row: &Value, key: &str| text(row, key).parse::<jiff::Timestamp>().unwrap();
    let begins = rows.iter().map(|row| at(row, "started_at"));
    let going_on = |time: jiff::Timestamp| {
        let on = |row: &&Value| at(row, "started_at") <= time && time < at(row, "ended_at");
        rows.iter().filter(on).count()
    };
    begins.map(going_on).max().unwrap_or(0)
}

/// Two sensors that both want the job of which only one run may go on.
const GUARDED: &str = r"
queue:
  tag_limits: [{ key: materialize_db, limit_per_value: 1 }]
jobs:
  source: { nodes: [{ id: a, type: noop }] }
  materialize:
    tags: { materialize_db: sec }
    nodes:
      - id: only
        type: command
        config:
          command: >-
            mkdir busy || echo x >> both; until [ -e go ]; do sleep 0.1; done; rmdir busy
sensors:
  one: { kind: run_status, job: source, on: [SUCCESS], every: 1s, request: { job: materialize } }
  two: { kind: run_status, job: source, on: [SUCCESS], every: 1s, request: { job: materialize } }
";

#[test]
fn r124_two_sensors_and_a_launch_by_hand_at_once_never_run_two_of_a_limited_label() {
    let project = Project::with(GUARDED);
    let server = project.serve();
    for sensor in ["one", "two"] {
        wait_for("the sensor's cursor", || {
            project.json(&["sensor", "show", sensor])["cursor"].as_str().map(str::to_owned)
        });
    }
    server.launch("source", &[]);
    let by_hand = server.launch("materialize", &[]);
    let three = || Some(server.runs_of("materialize")).filter(|runs| runs.len() == 3);
    let all = wait_for("both sensors have asked for a run", three);
    for run in &all {
        let id = text(run, "run_id");
        if server.run(id)["status"] == "QUEUED" {
            let (_, why) = server.held(id);
            assert!(why.starts_with("limit 1 for tag `materialize_db=sec`"), "{why}");
        }
    }
    assert_eq!(server.in_status("default", "QUEUED"), 2);
    assert!(all.iter().any(|run| run["run_id"] == by_hand.as_str()));

    project.write("go", "");
    for run in &all {
        server.run_in(text(run, "run_id"), "SUCCESS");
    }
    assert_eq!(together(&server.runs_of("materialize")), 1);
    assert_eq!(project.read("both"), "", "no two were in the folder at once");
}

/// A job whose first run fails, and whose every run waits for a file of its own.
const FLAKY: &str = r"
queue:
  tag_limits: [{ key: exclusive, limit_per_value: 1 }]
jobs:
  flaky:
    run_retries: 1
    tags: { exclusive: db }
    nodes:
      - id: only
        type: command
        config:
          command: >-
            echo x >> began; n=$(grep -c x began);
            until [ -e go-$n ]; do sleep 0.1; done; [ $n -ne 1 ]
";

#[test]
fn r125_a_run_that_failed_and_will_be_tried_again_keeps_the_next_one_out() {
    let project = Project::with(FLAKY);
    let server = project.serve();
    let first = server.launch("flaky", &[]);
    wait_for("it has begun", || (project.read("began") == "x\n").then_some(()));
    let second = server.launch("flaky", &[]);
    let (_, why) = server.held(&second);
    assert!(why.ends_with(&format!("is reached by run {}", short(&first))), "{why}");

    project.write("go-1", "");
    let failed = server.run_in(&first, "FAILURE");
    let retry = text(&failed, "retried_as").to_owned();
    // Whoever asks finds the failed run's retry from the moment of the failure on.
    assert!(["QUEUED", "STARTING", "STARTED"].contains(&text(&server.run(&retry), "status")));
    let page = server.try_get(&format!("/default/runs/{first}")).unwrap().1;
    assert!(page.contains(short(&retry)), "the page of the failed run names the next");
    server.run_in(&retry, "STARTED");
    wait_for("the second names it", || {
        let (_, why) = server.held(&second);
        why.ends_with(&format!("is reached by run {}", short(&retry))).then_some(())
    });

    for name in ["go-2", "go-3"] {
        project.write(name, "");
    }
    server.run_in(&retry, "SUCCESS");
    server.run_in(&second, "SUCCESS");
    let runs = server.runs_of("flaky");
    assert_eq!((runs.len(), together(&runs)), (3, 1));
}

/// Limits in the forms that Dagster has.
const LIMITS: &str = r#"
queue:
  tag_limits:
    - { key: quarter, value: { applyLimitPerUniqueValue: true }, limit: 1 }
    - { key: heavy, limit: 1 }
    - { key: team, value: sec, limit: 1 }
jobs:
  load:
    nodes:
      - { id: a, type: command, config: { command: "until [ -e go ]; do sleep 0.1; done" } }
"#;

#[test]
fn r126_limits_for_each_value_for_all_and_for_one_hold_and_are_named() {
    let project = Project::with(LIMITS);
    let server = project.serve();
    let start = |tags: &[(&str, &str)]| {
        let run = server.launch("load", tags);
        server.run_in(&run, "STARTED");
        run
    };
    let first = start(&[("quarter", "Q1")]);
    start(&[("quarter", "Q2")]);
    let heavy = start(&[("heavy", "a")]);
    let sec = start(&[("team", "sec")]);
    start(&[("team", "other")]);
    start(&[("team", "other")]);
    let waits = [
        (("quarter", "Q1"), "`quarter=Q1`", &first),
        (("heavy", "b"), "`heavy`", &heavy),
        (("team", "sec"), "`team=sec`", &sec),
    ];
    let mut held = Vec::new();
    for (tag, label, holder) in waits {
        let run = server.launch("load", &[tag]);
        let (_, why) = server.held(&run);
        assert_eq!(why, format!("limit 1 for tag {label} is reached by run {}", short(holder)));
        held.push(run);
    }
    project.write("go", "");
    for run in held {
        server.run_in(&run, "SUCCESS");
    }
    let quarters: Vec<Value> =
        server.runs_of("load").into_iter().filter(|run| run["tags"]["quarter"] == "Q1").collect();
    assert_eq!((quarters.len(), together(&quarters)), (2, 1));
}

/// Jobs of several priorities, and one that fails whenever it is tried.
const PRIORITIES: &str = r#"
jobs:
  holds:
    nodes:
      - { id: a, type: command, config: { command: "until [ -e go ]; do sleep 0.1; done" } }
  low:
    priority: -1
    nodes: [{ id: a, type: command, config: { command: "echo low >> order" } }]
  usual:
    nodes: [{ id: a, type: command, config: { command: "echo usual >> order" } }]
  fails:
    tags: { dagster/max_retries: "3" }
    nodes: [{ id: a, type: command, config: { command: "echo tried >> order; exit 3" } }]
"#;

#[test]
fn r145_priorities_leave_the_queue_in_order_and_retries_stop_at_their_number() {
    let project = Project::with(PRIORITIES).variable("MILLSTREAM_MAX_CONCURRENT_RUNS", "1");
    let server = project.serve();
    let holds = server.launch("holds", &[]);
    server.run_in(&holds, "STARTED");
    let low = server.launch("low", &[]);
    server.launch("usual", &[]);
    let first = server.launch("usual", &[("dagster/priority", "3")]);
    let shown = server.held(&low).0;
    assert_eq!(shown["kind"], "no_free_slot", "{shown}");
    server.held(&first);
    let queue = server.get("/default/api/v1/queue");
    assert_eq!(queue["waiting"][0]["run_id"], first.as_str());

    project.write("go", "");
    server.run_in(&low, "SUCCESS");
    assert_eq!(project.read("order"), "usual\nusual\nlow\n");
    let at = |run: &Value| text(run, "started_at").parse::<jiff::Timestamp>().unwrap();
    let usual = server.runs_of("usual");
    assert!(at(&usual[1]) < at(&usual[0]), "the later one had the higher priority");

    let failing = server.launch("fails", &[]);
    let mut run = server.run_in(&failing, "FAILURE");
    for _ in 0..3 {
        run = server.run_in(text(&run, "retried_as"), "FAILURE");
    }
    assert_eq!(run["retried_as"], Value::Null);
    assert_eq!(project.read("order").matches("tried").count(), 4);
    let letters = project.json(&["dead-letter", "list"]);
    assert_eq!(letters[0]["reason"], "failed_after_4_attempts", "{letters}");
    let events = server.get(&format!("/default/api/v1/runs/{failing}/events"));
    let retried =
        events["events"].as_array().unwrap().iter().find(|it| it["kind"] == "run_retried");
    assert_eq!(
        (&retried.unwrap()["data"]["number"], &retried.unwrap()["data"]["max"]),
        (&1.into(), &3.into())
    );
    let refused = project.run(&["job", "launch", "fails", "--tag", "dagster/max_retries=often"]);
    assert!(refused.err.contains("`dagster/max_retries` cannot be \"often\""), "{refused:?}");
}

/// Ten steps and an asset that share two slots.
fn pooled() -> String {
    let steps: Vec<String> = (0..10)
        .map(|number| {
            format!(
                "      - {{ id: s{number}, type: command, pool: sec_download, config: {{ command: \
                 \"until [ -e go ]; do sleep 0.1; done\" }} }}\n"
            )
        })
        .collect();
    format!(
        "pools: {{ sec_download: 2 }}\nassets:\n  filing: {{ step: {{ kind: noop }}, pool: \
         sec_download }}\njobs:\n  download:\n    \
         max_parallel: 10\n    nodes:\n{}",
        steps.concat()
    )
}

#[test]
fn r149_of_ten_steps_two_go_on_at_once_and_the_others_say_that_the_pool_is_full() {
    let project = Project::with(&pooled());
    let server = project.serve();
    let run = server.launch("download", &[]);
    let of = |status: &str, steps: &Value| {
        let with = |step: &&Value| step["status"] == status;
        steps.as_array().unwrap().iter().filter(with).cloned().collect::<Vec<_>>()
    };
    let full = |step: &Value| {
        let why = step["reason"].as_str().unwrap_or_default();
        why.starts_with("waiting for pool `sec_download` (2 of 2 slots held by")
    };
    wait_for("two steps go on and the others say why they wait", || {
        let steps = server.run(&run)["steps"].clone();
        let waiting = of("PENDING", &steps);
        (of("STARTED", &steps).len() == 2 && waiting.iter().filter(|step| full(step)).count() == 8)
            .then_some(())
    });
    let made = server.post("/default/api/v1/assets/materialize", r#"{"select": "filing"}"#);
    let asset = text(&made["runs"][0], "run_id").to_owned();
    wait_for("another run's step waits too", || {
        full(&server.run(&asset)["steps"][0]).then_some(())
    });
    let shown = project.run(&["queue", "show"]);
    assert!(shown.out.contains("2 of 2"), "{shown:?}");

    project.write("go", "");
    let over = server.run_in(&run, "SUCCESS");
    assert_eq!(together(&of("SUCCESS", &over["steps"])), 2);
    server.run_in(&asset, "SUCCESS");
}
