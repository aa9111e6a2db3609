//! What an operator reads who looks for the reason: of schedules that run nothing, of runs in
//! lists, of names that nothing has, and of folders that are not the demo's.

use std::process::Stdio;

use serde_json::json;

use crate::project::{Project, short, wait_for};

const JOBS: &str = r#"
pools: { desk: { slots: 1 } }
partitions:
  day: { kind: daily, start: 2026-01-01, end: 2026-02-01 }
  color: { kind: static, keys: [red, green, blue] }
assets:
  raw: { step: { kind: noop } }
  mart: { deps: [raw], step: { kind: noop } }
  sales: { partitions: day, step: { kind: noop } }
  paint: { partitions: color, step: { kind: noop } }
jobs:
  good: { nodes: [{ id: a, type: noop }] }
  bad:
    nodes:
      - { id: first, type: noop }
      - { id: fall, type: command, depends_on: [first], config: { command: "exit 3" } }
      - { id: after, type: noop, depends_on: [fall] }
      - { id: last, type: noop, depends_on: [after] }
  late:
    nodes:
      - { id: slow, type: command, timeout: 1s, config: { command: "echo so far; exec tail -f /dev/null" } }
  held:
    nodes:
      - { id: sit, type: command, pool: desk, config: { command: "exec tail -f /dev/null" } }
schedules:
  nightly: { cron: "0 2 * * *", job: good }
  over: { cron: "0 2 * * *", job: good, start: 2026-01-01, end: 2026-01-02 }
sensors:
  arrived: { kind: files, path: dags, pattern: "*.csv", request: { job: good } }
"#;

#[test]
fn a_schedule_whose_job_is_off_says_so_wherever_it_is_shown_and_what_switches_it_on() {
    let project = Project::with(JOBS);
    project.run(&["job", "stop", "good"]);
    let list = project.run(&["schedule", "list"]).out;
    assert!(list.contains("nightly   on (job off, no daemon)"), "{list}");
    let way = "`millstream job start good` switches it on";
    for arguments in [["schedule", "show", "nightly"].as_slice(), &["why", "nightly"]] {
        let shown = project.run(arguments).out;
        assert!(shown.contains(way), "{shown}");
    }
    assert_eq!(project.json(&["schedule", "show", "nightly"])["job_off"], true);
    project.run(&["job", "start", "good"]);
    let shown = project.run(&["schedule", "show", "nightly"]).out;
    assert!(shown.contains("state         on (no daemon)\n") && !shown.contains(way), "{shown}");
}

#[test]
fn a_sensor_whose_job_is_off_or_that_no_daemon_asks_says_so_wherever_it_is_shown() {
    let project = Project::with(JOBS);
    let list = project.run(&["sensor", "list"]).out;
    assert!(list.contains("arrived  on (no daemon)"), "{list}");
    let shown = project.run(&["sensor", "show", "arrived"]).out;
    assert!(shown.contains("until one starts"), "{shown}");
    let server = project.serve();
    project.run(&["job", "stop", "good"]);
    let list = project.run(&["sensor", "list"]).out;
    assert!(list.contains("arrived  on (job off)"), "{list}");
    let way = "`millstream job start good` switches it on";
    let asked: [&[&str]; 5] = [
        &["sensor", "show", "arrived"],
        &["sensor", "start", "arrived"],
        &["sensor", "test", "arrived"],
        &["sensor", "tick", "arrived"],
        &["why", "arrived"],
    ];
    for arguments in asked {
        let said = project.run(arguments);
        assert!(said.out.contains(way) || said.err.contains(way), "{arguments:?} {said:?}");
    }
    drop(server);
}

#[test]
fn a_schedule_that_is_over_says_so_in_its_preview() {
    let project = Project::with(JOBS);
    let preview = project.run(&["schedule", "preview", "over"]).out;
    assert_eq!(preview, "It never ticks again: its `end` is 2026-01-02.\n");
}

#[test]
fn a_list_of_runs_counts_the_steps_that_are_done_and_says_how_long_each_run_took() {
    let project = Project::with(JOBS);
    project.run(&["job", "launch", "bad"]);
    let list = project.run(&["run", "list"]).out;
    let (heads, line) = list.split_once('\n').unwrap();
    assert!(heads.contains("STEPS          DURATION  QUEUED"), "{list}");
    assert!(line.contains("1/4, 1 failed  "), "{list}");
    let counts = &project.json(&["run", "list"])[0]["step_counts"];
    assert_eq!(*counts, json!({ "SUCCESS": 1, "FAILURE": 1, "UPSTREAM_FAILED": 2 }));
}

#[test]
fn a_list_of_runs_says_of_one_that_goes_on_which_pool_its_steps_wait_for() {
    let project = Project::with(JOBS);
    let _server = project.serve();
    let runs = ["one", "two"].map(|_| {
        let queued = project.json(&["job", "launch", "held", "--no-wait"]);
        queued[0]["run_id"].as_str().unwrap().to_owned()
    });
    let why = wait_for("one of them says what it waits for", || {
        let list = project.json(&["run", "list", "--status", "STARTED"]);
        let rows = list.as_array().unwrap();
        let why = rows.iter().find_map(|run| run["waits"].as_str().map(str::to_owned))?;
        why.contains("held by").then_some(why)
    });
    assert!(why.starts_with("step sit is waiting for pool `desk` (1 of 1 slots held by"), "{why}");
    assert!(project.run(&["run", "list"]).out.contains(&why));
    for run in runs {
        project.run(&["run", "cancel", &run]);
    }
}

#[test]
fn a_step_that_ran_over_its_timeout_says_where_what_it_has_written_is() {
    let project = Project::with(JOBS);
    let outcome = project.run(&["job", "launch", "late"]);
    let run = project.json(&["run", "list"])[0]["run_id"].as_str().unwrap().to_owned();
    let way = format!("`millstream run logs {} --step slow`", short(&run));
    assert!(outcome.out.contains(&way), "{outcome:?}");
    let shown = project.run(&["run", "show", &run]).out;
    assert!(shown.contains(&way), "{shown}");
    assert_eq!(project.run(&["run", "logs", short(&run), "--step", "slow"]).out, "so far\n");
    let unknown = project.run(&["run", "logs", short(&run), "--step", "slwo"]);
    assert!(unknown.code == 1 && unknown.err.contains("its steps are "), "{unknown:?}");
}

#[test]
fn jobs_and_sensors_are_subjects_of_why_and_an_asset_names_what_it_lacks() {
    let project = Project::with(JOBS);
    let said = |subject: &str| project.run(&["why", subject]).out;
    assert!(said("good").starts_with("job good: It is on, and never ran.\n"), "{}", said("good"));
    let way = "raw was never made: `millstream asset materialize raw` makes it";
    assert!(said("mart").contains(way), "{}", said("mart"));
    assert!(project.run(&["asset", "show", "mart"]).out.contains(way));
    let unknown = project.run(&["why", "godo"]);
    assert!(unknown.err.contains("(did you mean good?)"), "{unknown:?}");
}

#[test]
fn a_partition_that_is_not_named_or_named_wrong_is_answered_with_what_to_write() {
    let project = Project::with(JOBS);
    let refused = |arguments: &[&str]| {
        let refused = project.run(&[&["asset", "materialize"], arguments].concat());
        assert_eq!(refused.code, 1, "{refused:?}");
        refused.err
    };
    let none = refused(&["sales"]);
    assert!(none.contains("`--partition KEY`: `millstream partition list day`"), "{none}");
    let form = refused(&["sales", "--partition", "31.1.2026"]);
    assert!(form.contains("keys of `day` look like `2026-01-31`"), "{form}");
    let late = refused(&["sales", "--partition", "2026-02-01"]);
    assert!(late.contains("near it are `2026-01-31`"), "{late}");
    let color = refused(&["paint", "--partition", "reed"]);
    assert!(color.contains("`red`"), "{color}");
}

#[test]
fn a_name_that_nothing_has_while_a_file_is_broken_names_the_file() {
    let project = Project::with(JOBS);
    let subjects: [&[&str]; 6] = [
        &["job", "launch", "fresh"],
        &["job", "stop", "fresh"],
        &["asset", "materialize", "fresh"],
        &["schedule", "show", "fresh"],
        &["sensor", "show", "fresh"],
        &["why", "fresh"],
    ];
    let way = "file other.yaml is broken, and what is new there is not loaded: `millstream \
               definitions status` shows why";
    for arguments in subjects {
        let unknown = project.run(arguments);
        assert!(!unknown.err.contains("broken"), "{unknown:?}");
    }
    project.write("dags/other.yaml", "jobs: { fresh: { nodes: 3 } }\n");
    for arguments in subjects {
        let unknown = project.run(arguments);
        assert!(unknown.code == 1 && unknown.err.contains(way), "{unknown:?}");
    }
}

#[test]
fn the_demo_is_not_unpacked_among_other_files_nor_where_a_server_runs() {
    let project = Project::with(JOBS);
    let refused = |folder: &str| {
        let refused = project.run(&["demo", folder, "--exit", "--port", "0"]);
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.err.contains("`millstream demo FOLDER`"), "{refused:?}");
        refused.err
    };
    assert!(refused(".").contains("there is dags"), "{}", refused("."));
    project.write("demo/README.md", include_str!("../../../../examples/asset_manager/README.md"));
    project.write("demo/dags/own.yaml", JOBS);
    let mut server = project.command(&["dev", "demo", "--port", "0"]);
    let mut server = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the server", || project.path("demo/.millstream/server.sock").exists().then_some(()));
    assert!(refused("demo").contains("a server runs on demo"));
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(!project.path("README.md").exists() && !project.path("demo/data").exists());
}
