//! Workers that stand still until another has their run, and then go on: nothing that they say is
//! stored.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use crate::crashes::number;
use crate::database::Database;
use crate::process;
use crate::project::{Project, wait_for};
use crate::server::Server;

/// Cases that go on at the same time.
const AT_ONCE: u64 = 4;

/// Each attempt lasts until its file is there.
const JOB: &str = r"
jobs:
  slow:
    nodes:
      - id: a
        type: command
        config:
          command: |
            number=1
            [ -e begun.1 ] && number=2
            echo > begun.$number
            while [ ! -e go.$number ]; do sleep 0.02; done
";

/// When the old worker goes on.
#[derive(Debug, Clone, Copy)]
enum Wakes {
    /// While the new worker's attempt runs.
    Beside,
    /// After the run has ended.
    After,
}

#[test]
fn g5_a_worker_that_wakes_after_its_run_was_given_away_changes_nothing_on_sqlite() {
    println!("{}", wake_all("sqlite", || Some(Database::Embedded)));
}

#[test]
fn g5_a_worker_that_wakes_after_its_run_was_given_away_changes_nothing_on_postgres() {
    println!("{}", wake_all("postgres", Database::on_postgres));
}

fn wake_all(name: &str, database: impl Fn() -> Option<Database> + Sync) -> String {
    let count = number("MILLSTREAM_ZOMBIES", 2);
    let (next, woken) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(count) {
            scope.spawn(|| {
                loop {
                    let case = next.fetch_add(1, Ordering::Relaxed);
                    let wakes = if case.is_multiple_of(2) { Wakes::Beside } else { Wakes::After };
                    let database = if case < count { database() } else { None };
                    let Some(database) = database else { return };
                    wake(wakes, &database);
                    woken.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    format!(
        "G5: {name}: {} workers stopped, replaced and woken: 0 of their words stored, 0 ends changed",
        woken.into_inner()
    )
}

fn wake(wakes: Wakes, database: &Database) {
    let mut project = Project::with(JOB)
        .variable("MILLSTREAM_LEASE", "1s")
        .variable("MILLSTREAM_LAUNCHER", "process");
    if let Some(url) = database.url() {
        project.set("MILLSTREAM_DATABASE_URL", Some(url));
        assert_eq!(project.run(&["migrate"]).code, 0);
    }
    let server = project.serve();
    let launched = project.json(&["job", "launch", "slow", "--no-wait"]);
    let run = launched[0]["run_id"].as_str().unwrap().to_owned();
    let begun = |number: u32| {
        wait_for("the attempt has begun", || {
            project.path(&format!("begun.{number}")).exists().then_some(())
        });
    };
    begun(1);
    let old = worker(&project);
    // The one who launched it would end it; the next server knows of no such process. It is stopped
    // after that, because a stopped process whose parent dies is hung up by the kernel.
    server.kill();
    process::stop(old);
    let server = project.serve();
    begun(2);
    if matches!(wakes, Wakes::After) {
        project.write("go.2", "");
        wait_for("the run is over", || is_over(&server, &run).then_some(()));
    }
    let before = told(&server, &run);
    // Its step has ended meanwhile, so that it has something to say.
    project.write("go.1", "");
    process::wake(old);
    wait_for("the old worker has ended", || process::command_line(old).is_empty().then_some(()));
    let after = told(&server, &run);
    match wakes {
        Wakes::Beside => project.write("go.2", ""),
        Wakes::After => assert_eq!(before, after, "{wakes:?}"),
    }
    wait_for("the run is over", || is_over(&server, &run).then_some(()));
    let shown = server.get(&format!("/default/api/v1/runs/{run}"));
    assert_eq!(shown["status"], "SUCCESS", "{wakes:?}: {shown:#}");
    let ended: Vec<Value> = told(&server, &run)
        .into_iter()
        .filter(|event| event["kind"] == "step_succeeded" || event["kind"] == "step_failed")
        .collect();
    // On a busy machine the second worker may be replaced as well.
    let by_new = ended.iter().all(|event| event["epoch"] != 1 && event["data"]["attempt"] != 1);
    assert!(ended.len() == 1 && by_new, "{wakes:?}: {ended:#?}");
}

fn is_over(server: &Server, run: &str) -> bool {
    let shown = server.get(&format!("/default/api/v1/runs/{run}"));
    // On Postgres events are seen once they are published.
    let is_told = told(server, run).iter().any(|event| event["kind"] == "run_succeeded");
    shown["status"] == "FAILURE" || (shown["status"] == "SUCCESS" && is_told)
}

fn told(server: &Server, run: &str) -> Vec<Value> {
    let events = server.get(&format!("/default/api/v1/runs/{run}/events"));
    events["events"].as_array().unwrap().clone()
}

/// The process of the only worker.
fn worker(project: &Project) -> u32 {
    let folder = project.path("").display().to_string();
    let found = process::with_argument(folder.trim_end_matches('/'));
    let mut workers =
        found.into_iter().filter(|pid| process::command_line(*pid).contains("__worker"));
    workers.next().unwrap()
}
