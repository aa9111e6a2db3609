//! What steps see, return and end with, through the binary.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::process;
use crate::project::{Project, wait_for};

pub(crate) fn step<'a>(run: &'a Value, name: &str) -> &'a Value {
    let steps = run["steps"].as_array().unwrap();
    steps.iter().find(|step| step["step"] == name).unwrap_or_else(|| panic!("{run}"))
}

pub(crate) fn launched(project: &Project, job: &str) -> Value {
    project.run(&["job", "launch", job, "--json"]).json()
}

#[test]
fn r136_a_skipped_step_is_no_failure_and_says_why() {
    let project = Project::with(
        r#"
jobs:
  refresh:
    nodes:
      - id: look
        type: command
        config:
          command: echo '{"status":"skipped","reason":"capacity is 0"}' > "$MILLSTREAM_RESULT"
      - { id: act, type: noop, depends_on: [look] }
      - { id: other, type: noop }
"#,
    );
    let run = project.json(&["job", "launch", "refresh"]);
    assert_eq!(run["status"], "SUCCESS");
    assert_eq!(step(&run, "look")["status"], "SKIPPED");
    assert_eq!(step(&run, "look")["reason"], "capacity is 0");
    assert_eq!(step(&run, "act")["status"], "SKIPPED");
    assert_eq!(step(&run, "other")["status"], "SUCCESS");
    let text = project.run(&["run", "show", run["run_id"].as_str().unwrap()]);
    assert!(text.out.contains("capacity is 0"), "{text:?}");
}

#[test]
fn a_tenant_without_what_a_resource_is_named_by_has_no_other_tenant_s_database() {
    let project = Project::with(
        r#"
tenants: { a: { schema_name: sea }, b: {} }
resources:
  own: { kind: sqlite, path: "{{ tenant.schema_name }}.db" }
  web: { kind: http, base_url: "http://{{ tenant.s3_prefix }}/" }
jobs:
  keep: { nodes: [{ id: a, type: sql, config: { resource: own, statements: select 1 } }] }
  ask: { nodes: [{ id: a, type: http, config: { resource: web } }] }
"#,
    );
    for (job, tenant, wanted) in
        [("keep", "a", "SUCCESS"), ("keep", "b", "FAILURE"), ("ask", "a", "FAILURE")]
    {
        let run = project.run(&["job", "launch", job, "--tenant", tenant, "--json"]).json();
        assert_eq!(run["status"], wanted, "{run}");
        if wanted == "FAILURE" {
            let error = &step(&run, "a")["error"];
            assert_eq!(error["code"], "step-template");
            let said = format!("what it names is null for the tenant {tenant}; set it");
            assert!(error["message"].as_str().unwrap().contains(&said), "{error}");
        }
    }
    assert!(project.path("sea.db").exists() && !project.path(".db").exists());
}

#[test]
fn r188_a_module_that_nothing_handles_fails_by_its_name() {
    let project = Project::new();
    project.write(
        "dags/job.json",
        r#"{ "nodes": [{ "id": "a", "type": "local", "config": { "module": "My.Missing" } }] }"#,
    );
    let run = launched(&project, "job");
    assert_eq!(run["status"], "FAILURE", "{run}");
    let message = step(&run, "a")["error"]["message"].as_str().unwrap();
    assert!(message.contains("Failed to load module My.Missing"), "{message}");
}

#[test]
fn r189_results_and_the_trigger_context_reach_steps_by_file_and_by_template() {
    let project = Project::with(
        r#"
handlers:
  "Import.Fetch": { command: "echo '{\"records\": 500}' > \"$MILLSTREAM_RESULT\"" }
jobs:
  import:
    nodes:
      - { id: fetch, type: local, config: { module: Import.Fetch } }
      - id: by_template
        type: command
        depends_on: [fetch]
        config: { command: [echo, "{{ upstream.fetch.records }} for {{ trigger.who }}"] }
      - id: by_file
        type: command
        depends_on: [fetch]
        config: { command: "cat \"$MILLSTREAM_CONTEXT\" > \"$MILLSTREAM_RESULT\"" }
"#,
    );
    let run = project.json(&["job", "launch", "import", "--context", r#"{"who":"ana"}"#]);
    let id = run["run_id"].as_str().unwrap();
    let said = project.run(&["run", "logs", id, "--step", "by_template"]);
    assert_eq!(said.out, "500 for ana\n");
    let seen = &step(&run, "by_file")["result"];
    assert_eq!(seen["upstream_results"]["fetch"], json!({ "records": 500 }), "{seen}");
    assert_eq!(seen["trigger"], json!({ "who": "ana" }));
}

#[test]
fn r190_a_step_over_its_timeout_fails_and_leaves_no_process() {
    let project = Project::with(
        r#"
jobs:
  slow:
    nodes:
      - id: sleeper
        type: command
        timeout: 1
        config: { command: "tail -f /dev/null & exec tail -f /dev/null" }
"#,
    );
    let started = Instant::now();
    let run = launched(&project, "slow");
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    assert_eq!(run["status"], "FAILURE");
    assert_eq!(step(&run, "sleeper")["error"]["code"], "step-timeout", "{run}");
    let marker = format!("MILLSTREAM_RUN_ID={}", run["run_id"].as_str().unwrap());
    wait_for("no process is left", || process::with_variable(&marker).is_empty().then_some(()));
}

#[test]
fn r191_three_retries_are_four_attempts() {
    let project = Project::with(
        r#"
jobs:
  flaky:
    nodes:
      - id: fall
        type: command
        retry: { max: 3, delay: 0.01s, backoff: constant }
        config: { command: "exit 7" }
      - { id: below, type: noop, depends_on: [fall] }
"#,
    );
    let run = launched(&project, "flaky");
    assert_eq!(run["status"], "FAILURE");
    assert_eq!(step(&run, "fall")["attempt"], 4, "{run}");
    assert_eq!(step(&run, "below")["status"], "UPSTREAM_FAILED");
    let shown = project.json(&["run", "show", run["run_id"].as_str().unwrap()]);
    let failures: Vec<&str> = shown["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["kind"] == "step_failed")
        .map(|event| event["data"]["error"]["message"].as_str().unwrap())
        .collect();
    assert_eq!(failures.len(), 4);
    assert!(failures[0].starts_with("Attempt 1 failed: "), "{failures:?}");
}

#[test]
fn r019_a_step_over_its_memory_is_out_of_memory_and_the_run_says_what_it_used() {
    let project = Project::with(
        r#"
jobs:
  big:
    nodes:
      - id: take
        type: command
        config: { command: [perl, -e, '$x = "x" x 500_000_000; sleep 60'] }
        limits: { memory: 200 MiB }
"#,
    );
    let run = launched(&project, "big");
    assert_eq!(run["status"], "FAILURE", "{run}");
    let error = &step(&run, "take")["error"];
    assert_eq!(error["code"], "step-out-of-memory", "{error}");
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with("out of memory: peak "), "{message}");
    assert!(message.ends_with(" MiB, limit 200 MiB"), "{message}");
    let text = project.run(&["run", "show", run["run_id"].as_str().unwrap()]);
    assert!(text.out.contains(" · peak memory "), "{text:?}");
}

#[test]
fn g14_output_over_the_instance_s_cap_is_marked_and_its_end_can_be_printed_alone() {
    let project = Project::with(
        r#"
jobs:
  flood:
    nodes:
      - id: talk
        type: command
        config: { command: "head -c 3000000 /dev/zero; echo" }
"#,
    )
    .variable("MILLSTREAM_OUTPUT_MAX", "1 MiB");
    let run = launched(&project, "flood");
    assert_eq!(run["status"], "SUCCESS", "{run}");
    let marks = "\n[millstream: output capped at 1 MiB; what follows is dropped]\n\
                 [millstream: 1951425 bytes dropped]\n";
    let tail = marks.len().to_string();
    let id = run["run_id"].as_str().unwrap();
    let text = project.run(&["run", "logs", id, "--tail", &tail]);
    assert_eq!(text.out, marks);
    let text = project.run(&["run", "show", id]);
    assert!(text.out.contains("of output dropped"), "{text:?}");
}

#[test]
fn r019_statements_over_a_limit_are_ended_and_say_so() {
    let project = Project::with(
        r#"
resources:
  book: { kind: sqlite, path: book.db }
jobs:
  queries:
    nodes:
      - id: large
        type: sql
        config:
          resource: book
          statements: "SELECT length(hex(randomblob(300000000)))"
          limits: { memory: 100 MiB }
      - id: long
        type: sql
        config:
          resource: book
          statements: >
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n
          limits: { cpu_time: 300ms }
"#,
    );
    let run = launched(&project, "queries");
    assert_eq!(step(&run, "large")["error"]["code"], "step-out-of-memory", "{run}");
    assert_eq!(step(&run, "long")["error"]["code"], "step-limit", "{run}");
}

#[test]
fn a_program_is_told_where_its_asset_came_from_last_time() {
    let project = Project::with(
        r#"
assets:
  raw:
    step:
      kind: command
      command: echo '{"data_version":"d1"}' > "$MILLSTREAM_RESULT"
  orders:
    deps: [raw]
    code_version: v7
    step: { kind: command, command: [python3, tell.py] }
"#,
    );
    project.write(
        "tell.py",
        "import base64, json, os, zlib\n\
         context = base64.b64decode(os.environ['DAGSTER_PIPES_CONTEXT'])\n\
         told = json.loads(zlib.decompress(context))\n\
         with open(os.environ['MILLSTREAM_RESULT'], 'w') as file:\n    \
         json.dump(told['data']['provenance_by_asset_key'], file)\n",
    );
    project.json(&["asset", "materialize", "raw"]);
    let told = |run: &Value| step(run, "orders")["result"]["orders"].clone();
    let first = project.json(&["asset", "materialize", "orders"]);
    assert_eq!(told(&first), Value::Null, "{first}");
    let second = project.json(&["asset", "materialize", "orders"]);
    let wanted = json!({
        "code_version": "v7", "input_data_versions": { "raw": "d1" }, "is_user_provided": false,
    });
    assert_eq!(told(&second), wanted, "{second}");
}
