//! A process for each run's worker: alone with its environment, and longer lived than a server.

use serde_json::Value;

use crate::process;
use crate::project::{Project, wait_for};

const JOBS: &str = r#"
jobs:
  alone:
    nodes:
      - id: look
        type: command
        config:
          env: { MARK: "{{ trigger.mark }}" }
          command: |
            echo > "begun.$MARK"
            while [ ! -e go ]; do sleep 0.02; done
            env
"#;

fn is_over(run: &Value) -> bool {
    ["SUCCESS", "FAILURE", "CANCELED"].iter().any(|end| run["status"] == *end)
}

/// The worker processes of the project.
fn workers(project: &Project) -> Vec<u32> {
    let folder = project.path("").display().to_string();
    let ours = process::with_argument(folder.trim_end_matches('/'));
    let is_worker = |pid: &u32| process::command_line(*pid).contains("__worker");
    ours.into_iter().filter(is_worker).collect()
}

#[test]
fn r016_two_runs_have_a_process_each_and_see_nothing_of_each_other() {
    let project = Project::with(JOBS)
        .variable("MILLSTREAM_LAUNCHER", "process")
        .variable("A_SECRET_OF_THE_SERVER", "x9");
    let server = project.serve();
    let launch = |mark: &str| {
        let context = format!(r#"{{"mark":"{mark}"}}"#);
        let queued = project.json(&["job", "launch", "alone", "--no-wait", "--context", &context]);
        queued[0]["run_id"].as_str().unwrap().to_owned()
    };
    let runs = [launch("one"), launch("two")];
    for mark in ["one", "two"] {
        let file = project.path(&format!("begun.{mark}"));
        wait_for("the step has begun", || file.exists().then_some(()));
    }
    let processes = workers(&project);
    assert_eq!(processes.len(), 2, "one worker a run: {processes:?}");
    assert!(!processes.contains(&server.pid()));

    project.write("go", "");
    for (run, (own, other)) in runs.iter().zip([("one", "two"), ("two", "one")]) {
        wait_for("the run is over", || is_over(&project.json(&["run", "show", run])).then_some(()));
        let seen = project.run(&["run", "logs", run]).out;
        assert!(seen.lines().any(|line| line == format!("MARK={own}")), "{seen}");
        assert!(!seen.contains(&format!("MARK={other}")), "{seen}");
        assert!(!seen.contains("A_SECRET_OF_THE_SERVER"), "{seen}");
    }
    wait_for("no worker is left over", || workers(&project).is_empty().then_some(()));
}

#[test]
fn r197_a_server_that_is_told_to_end_hands_its_runs_back_and_the_next_one_resumes_them() {
    // No lease is waited out, and no worker counts as lost.
    let project = Project::with(JOBS).variable("MILLSTREAM_LEASE", "2m");
    let mut server = project.serve();
    let context = r#"{"mark":"first"}"#;
    let queued = project.json(&["job", "launch", "alone", "--no-wait", "--context", context]);
    let run = queued[0]["run_id"].as_str().unwrap();
    let begun = project.path("begun.first");
    for _ in 0..4 {
        wait_for("the step has begun", || begun.exists().then_some(()));
        assert!(server.terminate().success());
        // Its step was gone before the run could be anybody else's.
        let left = process::with_variable(&format!("MILLSTREAM_RUN_ID={run}"));
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(project.json(&["run", "show", run])["status"], "QUEUED");
        let why = project.run(&["why", run]).out;
        assert!(why.contains("it was taken from its worker: the server was stopped"), "{why}");
        std::fs::remove_file(&begun).unwrap();
        server = project.serve();
    }
    project.write("go", "");
    let over = wait_for("the run is resumed", || {
        let run = server.get(&format!("/default/api/v1/runs/{run}"));
        is_over(&run).then_some(run)
    });
    assert_eq!(over["status"], "SUCCESS", "{over}");
}
