//! The queue of a server as users start it: how many runs go on at once, and whose turn it is.

use std::time::Duration;

use serde_json::Value;

use crate::project::{Project, wait_for};
use crate::server::Server;

/// Runs that may go on at once.
const LIMIT: u32 = 35;

/// Runs that may go on at once where two tenants share them.
const SLOTS: u32 = 2;

/// Runs that are queued at once; each waits for a file, as one that sleeps would.
const RUNS: u32 = 100;

const SLEEPER: &str = r#"
jobs:
  sleep:
    nodes:
      - id: wait
        type: command
        config: { command: "while [ ! -e go ]; do sleep 0.2; done" }
  quick:
    nodes: [{ id: a, type: noop }]
"#;

/// Two tenants, of which one will have a thousand runs.
const TENANTS: &str = r#"
tenants: { a: {}, b: {} }
jobs:
  one:
    nodes: [{ id: x, type: noop }]
  hold:
    nodes: [{ id: x, type: command, config: { command: "until [ -e go ]; do sleep 0.1; done" } }]
"#;

impl Server {
    /// Queues `count` runs of `job` of a tenant over the API.
    pub(crate) fn queue(&self, (tenant, job): (&str, &str), count: u32) -> Vec<String> {
        let path = format!("/{tenant}/api/v1/jobs/{job}/launch");
        let launch = |_| {
            let launched = self.post(&path, "{}");
            launched["run_id"].as_str().unwrap().to_owned()
        };
        (0..count).map(launch).collect()
    }

    /// The runs of a tenant in a status.
    pub(crate) fn in_status(&self, tenant: &str, status: &str) -> usize {
        let found = self.get(&format!("/{tenant}/api/v1/runs?status={status}&limit=1000"));
        found.as_array().unwrap().len()
    }
}

#[test]
fn r014_of_a_hundred_runs_never_more_than_the_limit_go_on_and_all_finish() {
    let limit = LIMIT.to_string();
    let project = Project::with(SLEEPER).variable("MILLSTREAM_MAX_CONCURRENT_RUNS", &limit);
    let server = project.serve();
    server.queue(("default", "sleep"), RUNS);
    let started = || server.in_status("default", "STARTED");
    wait_for("the places are taken", || (started() == LIMIT as usize).then_some(()));
    let waiting = server.get("/default/api/v1/queue");
    assert_eq!(waiting["waiting_total"], RUNS - LIMIT);
    let why = waiting["waiting"][0]["hold"].to_string();
    assert!(why.contains(&limit), "{why}");

    project.write("go", "");
    wait_for("all have finished", || {
        // In one answer: between two of them a run goes from one status to the next.
        let runs = server.get("/default/api/v1/runs?limit=1000");
        let in_status = |statuses: &[&str]| {
            let runs = runs.as_array().unwrap().iter();
            runs.filter(|run| statuses.contains(&run["status"].as_str().unwrap())).count()
        };
        let going = in_status(&["STARTING", "STARTED"]);
        assert!(going <= LIMIT as usize, "{going} runs go on");
        (in_status(&["SUCCESS"]) == RUNS as usize).then_some(())
    });
}

#[test]
fn r015_a_run_that_finds_the_system_idle_is_launched_within_two_intervals() {
    let project = Project::with(SLEEPER);
    let server = project.serve();
    // What is prepared once is prepared.
    server.queue(("default", "quick"), 1);
    wait_for("it is over", || (server.in_status("default", "SUCCESS") == 1).then_some(()));
    let [run] = &server.queue(("default", "quick"), 1)[..] else { panic!("one run") };
    let over = server.get(&format!("/default/api/v1/runs/{run}?wait=30"));
    let at = |key: &str| time(&over, key).unwrap();
    let latency = at("started_at").duration_since(at("queued_at"));
    // Dagster looks every two seconds; nothing is waited for here but the machine.
    assert!(latency.unsigned_abs() < Duration::from_secs(4), "{over}");
}

pub(crate) fn time(run: &Value, key: &str) -> Option<jiff::Timestamp> {
    run[key].as_str().map(|text| text.parse().unwrap())
}

#[test]
fn r116_one_tenants_thousand_runs_do_not_keep_another_waiting() {
    const ACTIVE_TENANTS: usize = 2;
    let slots = SLOTS.to_string();
    let project = Project::with(TENANTS).variable("MILLSTREAM_MAX_CONCURRENT_RUNS", &slots);
    let server = project.serve();
    // The places are taken until all of them wait.
    server.queue(("a", "hold"), SLOTS);
    let taken = || (server.in_status("a", "STARTED") == SLOTS as usize).then_some(());
    wait_for("the places are taken", taken);
    server.queue(("a", "one"), 1_000);
    let [other] = &server.queue(("b", "one"), 1)[..] else { panic!("one run") };
    project.write("go", "");
    let other = server.get(&format!("/b/api/v1/runs/{other}?wait=30"));
    assert_eq!(other["status"], "SUCCESS", "{other}");
    assert!(server.in_status("a", "QUEUED") > 0, "the other tenant's still wait");

    let (queued, started) = (time(&other, "queued_at"), time(&other, "started_at"));
    let of_a = server.get("/a/api/v1/runs?limit=1000");
    let between = |run: &&Value| {
        let at = time(run, "started_at");
        at.is_some() && at >= queued && at <= started
    };
    let before_it = of_a.as_array().unwrap().iter().filter(between).count();
    let most = 2 * ACTIVE_TENANTS * SLOTS as usize;
    assert!(before_it < most, "{before_it} launches of the other tenant came before it");
}
