//! Servers and workers that die at named points, on both databases: each run still comes to one
//! right end, no step succeeds twice, and no process of a step outlives its worker for long.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::Value;

use crate::database::Database;
use crate::process;
use crate::project::{Project, wait_for};
use crate::server::Server;

/// Cases that go on at the same time: they wait for leases more than they compute.
const AT_ONCE: usize = 8;

/// Three assets in a row; the second one's first attempt lasts until it is ended or let go.
const CHAIN: &str = r#"
io:
  lake: { kind: json, base: lake }
assets:
  first:
    io: lake
    step: { kind: command, command: "echo 1 > \"$MILLSTREAM_RESULT\"" }
  second:
    deps: [first]
    io: lake
    step:
      kind: command
      command: |
        if [ -e lasts ]; then
          rm lasts; tail -f /dev/null & echo > begun
          while [ ! -e go ]; do sleep 0.02; done
        fi
        echo 2 > "$MILLSTREAM_RESULT"
  third:
    deps: [second]
    io: lake
    step: { kind: command, command: "echo 3 > \"$MILLSTREAM_RESULT\"" }
jobs:
  chain: { select: "*" }
"#;

/// When what dies.
#[derive(Debug, Clone, Copy)]
enum Death {
    /// The server, at a commit of a run that goes its way.
    AtCommit(&'static str),
    /// The server, while a step's process runs.
    MidStep,
    /// The server, at a commit of the cancel of a run whose step's process runs.
    AtCancel(&'static str),
    /// The server while a step's process runs, and the next one when it finds the loss.
    MidStepAndAt(&'static str),
    /// The run's worker process, while a step's process runs.
    WorkerMidStep,
    /// The server, while a step's process runs; the run's worker process lives on.
    ServerOfWorkerMidStep,
}

/// Every death, and what the run comes to; `None` where there is no run.
const DEATHS: &[(Death, Option<&str>)] = &[
    (Death::AtCommit("before:run_queued"), None),
    (Death::AtCommit("after:run_queued"), Some("SUCCESS")),
    (Death::AtCommit("before:CLAIM_QUEUED_RUNS"), Some("SUCCESS")),
    (Death::AtCommit("after:CLAIM_QUEUED_RUNS"), Some("SUCCESS")),
    (Death::AtCommit("before:run_started"), Some("SUCCESS")),
    (Death::AtCommit("after:run_started"), Some("SUCCESS")),
    (Death::AtCommit("before:materialized"), Some("SUCCESS")),
    (Death::AtCommit("after:step_succeeded"), Some("SUCCESS")),
    (Death::AtCommit("before:run_succeeded"), Some("SUCCESS")),
    (Death::AtCommit("after:run_succeeded"), Some("SUCCESS")),
    (Death::MidStep, Some("SUCCESS")),
    (Death::AtCancel("before:cancel_requested"), Some("SUCCESS")),
    (Death::AtCancel("after:cancel_requested"), Some("CANCELED")),
    (Death::MidStepAndAt("before:worker_lost"), Some("SUCCESS")),
    (Death::MidStepAndAt("after:worker_lost"), Some("SUCCESS")),
    (Death::WorkerMidStep, Some("SUCCESS")),
    (Death::ServerOfWorkerMidStep, Some("SUCCESS")),
];

#[test]
fn r195_r197_a_kill_at_any_point_leaves_one_right_end_on_sqlite() {
    kill_everywhere(|| Some(Database::Embedded));
}

#[test]
fn r195_r197_a_kill_at_any_point_leaves_one_right_end_on_postgres() {
    kill_everywhere(Database::on_postgres);
}

fn kill_everywhere(database: impl Fn() -> Option<Database> + Sync) {
    let waiting = Mutex::new(DEATHS.iter());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((death, end)) = { waiting.lock().unwrap().next() } {
                    let Some(database) = database() else { return };
                    Case::new(*death, &database).check(*end);
                }
            });
        }
    });
}

/// One death.
struct Case {
    death: Death,
    project: Project,
}

impl Case {
    fn new(death: Death, database: &Database) -> Self {
        let mut project = Project::with(CHAIN).variable("MILLSTREAM_LEASE", "1s");
        if let Some(url) = database.url() {
            project.set("MILLSTREAM_DATABASE_URL", Some(url));
            assert_eq!(project.run(&["migrate"]).code, 0);
        }
        if matches!(death, Death::WorkerMidStep | Death::ServerOfWorkerMidStep) {
            project.set("MILLSTREAM_LAUNCHER", Some("process"));
        }
        Self { death, project }
    }

    fn check(mut self, end: Option<&str>) {
        let server = self.die();
        let server = server.unwrap_or_else(|| self.project.serve());
        let what = self.death;
        let run = wait_for(&format!("{what:?}: the run's end"), || {
            let runs = server.get("/default/api/v1/runs");
            let run = runs.as_array().unwrap().first().cloned();
            match (run, end) {
                (None, None) => Some(Value::Null),
                (Some(run), Some(_)) => {
                    let status = run["status"].as_str().unwrap();
                    matches!(status, "SUCCESS" | "FAILURE" | "CANCELED").then_some(run)
                }
                (run, _) => panic!("{what:?}: {run:?}"),
            }
        });
        let Some(end) = end else { return };
        let id = run["run_id"].as_str().unwrap();
        // On Postgres events are seen once they are published, which a next daemon does.
        let shown = wait_for(&format!("{what:?}: the run's last event"), || {
            let shown = self.project.json(&["run", "show", id]);
            let events = shown["events"].as_array().unwrap();
            events.iter().any(|event| is_end(&event["kind"])).then_some(shown)
        });
        assert_eq!(shown["status"], end, "{what:?}: {shown:#}");
        assert_one_end(&shown, &format!("{what:?}"));
        let marker = format!("MILLSTREAM_RUN_ID={id}");
        wait_for(&format!("{what:?}: no process of a step is left"), || {
            process::with_variable(&marker).is_empty().then_some(())
        });
    }

    /// Has somebody die; returns the server where it is not the one who died.
    fn die(&mut self) -> Option<Server> {
        match self.death {
            Death::AtCommit(point) => {
                self.crash_at(point);
                let server = self.project.start_server(0);
                self.launch_until_it_dies(server);
                self.heal();
                None
            }
            Death::MidStep => {
                self.start_lasting_step().kill();
                None
            }
            Death::AtCancel(point) => {
                self.crash_at(point);
                let server = self.start_lasting_step();
                let runs = server.get("/default/api/v1/runs");
                let id = runs[0]["run_id"].as_str().unwrap().to_owned();
                self.project.run(&["run", "cancel", &id]);
                server.ended();
                self.heal();
                None
            }
            Death::MidStepAndAt(point) => {
                self.start_lasting_step().kill();
                self.crash_at(point);
                self.project.start_server(0).ended();
                self.heal();
                None
            }
            Death::WorkerMidStep => {
                let server = self.start_lasting_step();
                process::kill(self.worker());
                Some(server)
            }
            Death::ServerOfWorkerMidStep => {
                let server = self.start_lasting_step();
                let worker = self.worker();
                server.kill();
                // Another port: the worker reports to the folder's socket.
                let server = self.project.serve();
                self.project.write("go", "");
                assert_eq!(self.worker(), worker, "the worker goes on");
                Some(server)
            }
        }
    }

    /// The process of the only run's worker.
    fn worker(&self) -> u32 {
        let folder = self.project.path("").display().to_string();
        let found = process::with_argument(folder.trim_end_matches('/'));
        let mut workers =
            found.into_iter().filter(|pid| process::command_line(*pid).contains("__worker"));
        workers.next_back().unwrap()
    }

    /// A server with a run whose second step's process is there.
    fn start_lasting_step(&self) -> Server {
        self.project.write("lasts", "");
        let server = self.project.serve();
        let launched = self.project.run(&["job", "launch", "chain", "--no-wait"]);
        assert_eq!(launched.code, 0, "{launched:?}");
        wait_for("the second step runs", || self.project.path("begun").exists().then_some(()));
        server
    }

    /// Launches a run as soon as the server can, and waits until the server is dead.
    fn launch_until_it_dies(&self, mut server: Server) {
        wait_for("the run is launched", || {
            if server.has_ended() {
                return Some(());
            }
            // No answer comes from a server that dies while it asks for one.
            let ready = server.try_get("/ready").is_some_and(|(status, _)| status == 200);
            ready.then(|| self.project.run(&["job", "launch", "chain", "--no-wait"])).map(|_| ())
        });
        server.ended();
    }

    fn crash_at(&mut self, point: &str) {
        self.project.set("MILLSTREAM_CRASH_AT", Some(point));
    }

    fn heal(&mut self) {
        self.project.set("MILLSTREAM_CRASH_AT", None);
    }
}

fn is_end(kind: &Value) -> bool {
    ["run_succeeded", "run_failed", "run_canceled"].iter().any(|end| kind == end)
}

/// Each step has ended once, succeeded at most once, and starts no attempt of a number twice; the
/// run has one end.
fn assert_one_end(run: &Value, what: &str) {
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for event in run["events"].as_array().unwrap() {
        let data = &event["data"];
        let kind = event["kind"].as_str().unwrap();
        let key = match kind {
            _ if is_end(&event["kind"]) => "the run's end".to_owned(),
            "step_succeeded" => format!("{kind} {}", data["step"]),
            "step_started" => format!("{kind} {} {}", data["step"], data["attempt"]),
            _ => continue,
        };
        *counts.entry(key).or_default() += 1;
    }
    assert!(counts.values().all(|count| *count == 1), "{what}: {counts:?} {run:#}");
    let steps = run["steps"].as_array().unwrap();
    let succeeded = counts.keys().filter(|key| key.starts_with("step_succeeded")).count();
    let shown = steps.iter().filter(|step| step["status"] == "SUCCESS").count();
    assert_eq!((steps.len(), succeeded), (3, shown), "{what}: {run:#}");
}
