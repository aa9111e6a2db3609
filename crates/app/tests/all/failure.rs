//! Failures as a user meets them: retries, dead letters and timeouts, from the command line.

use serde_json::Value;

use crate::project::{Project, short, wait_for};
use crate::server::Server;
use crate::steps::step;

/// A job whose second step fails until a file is there, and one that never ends by itself.
const JOBS: &str = r#"
jobs:
  flaky:
    run_retries: 1
    nodes:
      - { id: first, type: command, config: { command: "echo x >> first.txt" } }
      - { id: second, type: command, depends_on: [first], config: { command: "test -e mended" } }
  endless:
    timeout: 1s
    nodes:
      - { id: only, type: command, config: { command: "tail -f /dev/null" } }
"#;

/// The run `id` once it is over.
fn over(project: &Project, id: &str) -> Value {
    wait_for("the run is over", || {
        let run = project.json(&["run", "show", id]);
        let status = run["status"].as_str()?;
        matches!(status, "SUCCESS" | "FAILURE" | "CANCELED").then_some(run)
    })
}

/// A project with a server, of which runs of `job` were launched and have failed with its retry.
fn failed() -> (Project, Server, String) {
    let project = Project::with(JOBS).variable("MILLSTREAM_LEASE", "1s");
    let server = project.serve();
    let launched = project.run(&["job", "launch", "flaky", "--no-wait", "--json"]).json();
    let first = launched[0]["run_id"].as_str().unwrap();
    let run = over(&project, first);
    assert_eq!(run["status"], "FAILURE");
    let retry = run["retried_as"].as_str().unwrap().to_owned();
    (project, server, retry)
}

#[test]
fn r146_r154_a_failed_run_is_retried_from_its_failure_and_then_waits_for_somebody() {
    let (project, _server, retry) = failed();
    let run = over(&project, &retry);
    assert_eq!(run["status"], "FAILURE");
    assert_eq!(run["cause"]["kind"], "retry");
    assert_eq!(project.read("first.txt"), "x\n", "the step that was done is not done again");

    let letters = project.json(&["dead-letter", "list"]);
    assert_eq!(letters.as_array().unwrap().len(), 1);
    assert_eq!(letters[0]["run_id"], retry.as_str());
    assert_eq!(letters[0]["reason"], "failed_after_2_attempts");
    let shown = project.run(&["dead-letter", "show", &retry]);
    assert!(shown.out.contains("reason: failed_after_2_attempts"), "{shown:?}");

    project.write("mended", "");
    let again = project.json(&["dead-letter", "retry", &retry]);
    let mended = over(&project, again["run_id"].as_str().unwrap());
    assert_eq!(mended["status"], "SUCCESS");
    assert_eq!(project.read("first.txt"), "x\n");
    assert_eq!(project.json(&["dead-letter", "list"]), serde_json::json!([]));
    let all = project.json(&["dead-letter", "list", "--all"]);
    assert_eq!(all[0]["closed"]["as"], "retried");
    let again = short(again["run_id"].as_str().unwrap()).to_owned();
    let why = project.run(&["why", &retry]).out;
    assert!(why.contains("its dead letter was retried by"), "{why}");
    assert!(why.contains(&format!(", as run {again}\n")), "{why}");
    let story = project.run(&["run", "show", &retry]).out;
    let (given_up, after) = story.split_once("given up and put among the dead letters").unwrap();
    assert!(after.contains(&format!("tried again by run {again}")), "{given_up}{after}");
    let late = project.run(&["dead-letter", "discard", &retry]);
    assert_eq!(late.code, 1);
    assert!(late.err.contains("was retried by"), "{late:?}");

    project.write("dags/tenants.yaml", "tenants: { default: { enabled: false } }");
    project.run(&["definitions", "scan"]);
    assert!(project.run(&["tenant", "list"]).out.contains("off"), "its dead letters are kept");
    assert_eq!(project.json(&["dead-letter", "list", "--all"])[0]["run_id"], retry.as_str());
}

#[test]
fn r154_a_dead_letter_is_discarded_and_a_run_is_retried_whole() {
    let (project, server, retry) = failed();
    over(&project, &retry);
    assert_eq!(project.run(&["dead-letter", "discard", &retry]).code, 0);
    let (_, page) = server.try_get("/default/dead-letters").unwrap();
    assert!(page.contains("discarded by"), "{page}");
    let again = project.json(&["run", "retry", &retry, "--from", "start"]);
    over(&project, again["run_id"].as_str().unwrap());
    assert_eq!(project.read("first.txt"), "x\nx\n");
}

#[test]
fn r147_a_run_ends_at_its_timeout_with_its_processes() {
    let project = Project::with(JOBS).variable("MILLSTREAM_LEASE", "1s");
    let _server = project.serve();
    let launched = project.run(&["job", "launch", "endless", "--no-wait", "--json"]).json();
    let id = launched[0]["run_id"].as_str().unwrap();
    let run = over(&project, id);
    assert_eq!(run["status"], "FAILURE");
    assert_eq!(run["failure"], "it has run for longer than its timeout of 1s");
    let log = wait_for("the server says it", || {
        Some(project.read("log")).filter(|log| log.contains("a run went over its timeout"))
    });
    assert!(!log.contains("taken from its worker"), "{log}");
    let marker = format!("MILLSTREAM_RUN_ID={id}");
    wait_for("no process of a step is left", || {
        crate::process::with_variable(&marker).is_empty().then_some(())
    });
}

/// The page whose example is run below.
const WHY: &str = include_str!("../../../../docs/guide/why.md");

/// The first fenced block of `language` on the page.
fn block(language: &str) -> String {
    let fence = format!("```{language}\n");
    let rest = WHY.split_once(&fence).unwrap().1;
    rest.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_example_of_the_page_on_why_says_what_the_page_says() {
    let project = Project::with(&block("yaml")).variable("MILLSTREAM_LEASE", "1s");
    let _server = project.serve();
    let launched = project.run(&["job", "launch", "nightly", "--no-wait", "--json"]).json();
    let first = over(&project, launched[0]["run_id"].as_str().unwrap());
    let retry = first["retried_as"].as_str().unwrap();
    let failed = over(&project, retry);
    let reason = step(&failed, "load")["error"]["message"].as_str().unwrap();
    let said = project.run(&["why", retry]).out;
    let shown: Vec<String> = said
        .replace(reason, "REASON")
        .lines()
        .map(|line| {
            let mut line = line.to_owned();
            for id in [retry, first["run_id"].as_str().unwrap()] {
                line = line.replace(&id[id.len() - 8..], "RUN");
            }
            match line.trim_start().split_once("Z  ") {
                Some((_, text)) => format!("  TIME  {text}"),
                None => line,
            }
        })
        .collect();
    let wanted = block("text");
    assert_eq!(shown, wanted.lines().collect::<Vec<_>>(), "{said}");
    let json = project.json(&["why", retry]);
    assert!(json["because"].as_array().unwrap().len() >= 4, "{json}");
}

/// An asset whose schedule's job may not start, because its label is taken.
const LATE: &str = r#"
queue:
  tag_limits: [{ key: vendor, limit_per_value: 1 }]
assets:
  orders: { step: { kind: noop } }
jobs:
  nightly: { select: orders, tags: { vendor: acme } }
  holds:
    tags: { vendor: acme }
    nodes:
      - { id: a, type: command, config: { command: "until [ -e go ]; do sleep 0.1; done" } }
schedules:
  often: { cron: "* * * * * *", job: nightly, max_active_runs: 1 }
  never: { cron: "0 0 1 1 *", job: nightly, enabled: false }
"#;

#[test]
fn why_an_asset_is_not_made_follows_its_schedule_to_the_run_that_waits() {
    let project = Project::with(LATE);
    let server = project.serve();
    project.run(&["schedule", "stop", "often"]);
    wait_for("what has ticked before is over", || {
        (server.in_status("default", "QUEUED") + server.in_status("default", "STARTED") == 0)
            .then_some(())
    });
    let launched = project.run(&["job", "launch", "holds", "--no-wait", "--json"]).json();
    let holds = launched[0]["run_id"].as_str().unwrap().to_owned();
    wait_for("the label is taken", || (server.in_status("default", "STARTED") == 1).then_some(()));
    project.run(&["schedule", "start", "often"]);
    let limit = format!("waits: limit 1 for tag `vendor=acme` is reached by run {}", short(&holds));
    for subject in ["orders", "often"] {
        wait_for("the reason", || {
            let why = project.json(&["why", subject]);
            let mut reasons = why["because"].as_array()?.iter();
            let text = |reason: &Value| reason["text"].as_str().unwrap_or_default().to_owned();
            reasons.any(|reason| text(reason).ends_with(&limit)).then_some(())
        });
    }
    let said = project.run(&["why", "orders"]).out;
    assert!(said.contains("schedule never would make it, and is off"), "{said}");
    assert!(said.contains("schedule often makes it"), "{said}");
}
