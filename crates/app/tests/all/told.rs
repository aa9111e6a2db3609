//! What commands tell of what is off, kept, waits and was made, in which order.

use crate::project::{Project, short};

const JOBS: &str = r#"
tenants: { t1: { enabled: false }, t2: {} }
jobs:
  two:
    nodes:
      - { id: a, type: command, config: { command: "echo said by a" } }
      - { id: b, type: command, depends_on: [a], config: { command: "test -e mended" } }
schedules: { nightly: { cron: "0 2 * * *", job: two } }
"#;

#[test]
fn of_a_tenant_that_is_off_lists_and_reasons_say_that_it_is() {
    let project = Project::with(JOBS);
    let words = "Tenant t1 is off: nothing new is started for it, and what was asked for before \
                 goes on, with its retries.";
    for list in ["job", "schedule", "sensor"] {
        let said = |tenant| project.run(&[list, "list", "--tenant", tenant]).err;
        assert!(said("t1").contains(words), "{list}: {}", said("t1"));
        assert!(!said("t2").contains(words), "{list}: {}", said("t2"));
    }
    let why = project.run(&["why", "two", "--tenant", "t1"]).out;
    assert!(why.contains(words), "{why}");
    assert!(project.run(&["why", "two", "--tenant", "t2"]).out.contains("It is on"));
}

#[test]
fn what_was_queued_before_a_tenant_or_a_job_was_switched_off_is_said_to_go_on() {
    let project = Project::with(&JOBS.replace("{ enabled: false }", "{}"));
    let launched = project.json(&["job", "launch", "two", "--tenant", "t1", "--no-wait"]);
    let run = short(launched[0]["run_id"].as_str().unwrap()).to_owned();
    project.write("dags/main.yaml", JOBS);
    let words = "Tenant t1 is off: nothing new is started for it, and what was asked for before \
                 goes on, with its retries (1 run is queued): `millstream run cancel RUN` ends it.";
    let queue = project.run(&["queue", "show"]);
    assert!(queue.out.contains(&run) && queue.err.contains(words), "{queue:?}");
    assert!(project.run(&["job", "list", "--tenant", "t1"]).err.contains(words));
    let why = project.run(&["why", "two", "--tenant", "t1"]).out;
    assert!(why.contains(words), "{why}");
    let why = project.run(&["why", &run]).out;
    let told = format!(
        "tenant t1 is off: this run was asked for before, and goes on, with its retries; \
         `millstream run cancel {run}` ends it"
    );
    assert!(why.contains(&told), "{why}");
    let all = project.json(&["run", "list", "--job", "two"]);
    assert!(all[0]["run_id"].as_str().is_some_and(|it| short(it) == run), "{all}");
    assert_eq!(project.run(&["run", "cancel", &run]).code, 0);
    let queue = project.run(&["queue", "show"]);
    assert!(queue.out.contains("no run waits") && !queue.err.contains("is off"), "{queue:?}");

    let stopped = project.run(&["job", "stop", "two", "--tenant", "t2"]);
    assert!(stopped.err.contains("what was asked for before goes on"), "{stopped:?}");
}

#[test]
fn a_run_of_a_job_that_is_off_is_not_tried_again_by_hand() {
    let project = Project::with(JOBS);
    project.run(&["job", "launch", "two", "--tenant", "t2"]);
    let run = project.json(&["run", "list"])[0]["run_id"].as_str().unwrap().to_owned();
    project.run(&["job", "stop", "two", "--tenant", "t2"]);
    let refused = project.run(&["run", "retry", &run]);
    assert!(refused.code == 1 && refused.err.contains("job-disabled"), "{refused:?}");
    project.run(&["job", "start", "two", "--tenant", "t2"]);
    assert_eq!(project.run(&["run", "retry", &run]).code, 0);
}

#[test]
fn the_output_of_a_step_that_a_retry_keeps_is_said_to_be_in_the_run_that_did_it() {
    let project = Project::with(JOBS);
    project.run(&["job", "launch", "two", "--tenant", "t2"]);
    let first = project.json(&["run", "list"])[0]["run_id"].as_str().unwrap().to_owned();
    project.write("mended", "");
    let retry = project.json(&["run", "retry", &first]);
    let retry = retry["run_id"].as_str().unwrap();
    let logs = project.run(&["run", "logs", retry, "--step", "a"]);
    let first = short(&first);
    let told = format!("a was done in run {first}: `millstream run logs {first} --step a` prints");
    assert!(logs.code == 0 && logs.err.contains(&told), "{logs:?}");
    let there = project.run(&["run", "logs", first, "--step", "a"]);
    assert!(there.out.contains("said by a") && !there.err.contains("was done in"), "{there:?}");
}

#[test]
fn an_asset_is_shown_with_what_is_wrong_first_and_its_history_at_the_end() {
    let project = Project::with(
        "assets: { src: {}, mart: { deps: [src] }, cube: { deps: [mart] }, days: { partitions: d } }\n\
         partitions: { d: { kind: static, keys: [mo] } }",
    );
    for asset in ["src", "mart", "src"] {
        project.run(&["asset", "report", asset]);
    }
    let place =
        |text: &str, part: &str| text.find(part).unwrap_or_else(|| panic!("{part}: {text}"));
    let mart = project.run(&["asset", "show", "mart"]).out;
    let parts =
        ["  stale: src was made after it\n", "  made at ", ", reported by ", "  history:\n"];
    assert!(parts.map(|part| place(&mart, part)).is_sorted(), "{mart}");
    let states = |all: serde_json::Value| {
        let state = |row: &serde_json::Value| row["is_stale"].as_bool();
        all.as_array().unwrap().iter().map(state).collect::<Vec<_>>()
    };
    let wanted = [Some(false), Some(false), Some(true), Some(false)];
    assert_eq!(states(project.json(&["asset", "list"])), wanted, "cube, days, mart and src");
    let list = project.run(&["asset", "list"]).out;
    let mart = list.lines().find(|line| line.starts_with("mart ")).unwrap_or(&list);
    assert!(mart.split_whitespace().any(|word| word == "stale"), "{list}");
    let cube = project.run(&["asset", "show", "cube"]).out;
    assert!(cube.contains("\n  never made\n") && !cube.contains("history"), "{cube}");
}

#[test]
fn what_a_tenant_has_made_that_is_no_longer_declared_can_be_read() {
    let assets = "assets: { src: {}, day: { partitions: days }, never: {} }\n\
                  partitions: { days: { kind: static, keys: [mo, tu] } }\n";
    let project = Project::with(&format!("tenants: {{ t1: {{}}, t2: {{}} }}\n{assets}"));
    for asset in [["src"].as_slice(), &["day", "--partition", "mo"]] {
        let report = [&["asset", "report", "--tenant", "t1"], asset].concat();
        assert_eq!(project.run(&report).code, 0);
    }
    let declared = format!("tenants: {{ t2: {{}} }}\n{assets}");
    for files in [declared, "tenants: { t2: {} }".to_owned()] {
        project.write("dags/main.yaml", &files);
        let tenants = project.run(&["tenant", "list"]).out;
        assert!(tenants.contains("t1      not declared"), "{tenants}");
        let list = project.run(&["asset", "list", "--tenant", "t1"]);
        assert!(list.out.contains("t1      src") && list.out.contains("t1      day"), "{list:?}");
        assert!(!list.out.contains("never"), "it has none: {list:?}");
        assert!(list.err.contains("No file declares tenant t1 any more"), "{list:?}");
        let shown = project.run(&["asset", "show", "src", "--tenant", "t1"]).out;
        assert!(shown.contains("made at ") && shown.contains("reported by"), "{shown}");
        let day = project.run(&["asset", "show", "day", "--tenant", "t1"]).out;
        assert!(day.contains("  mo") && !day.contains("tu"), "{day}");
        let why = project.run(&["why", "src", "--tenant", "t1"]).out;
        assert!(why.contains("It was made"), "{why}");
    }
    let declared = format!("tenants: {{ t2: {{}} }}\n{assets}");
    project.write("dags/main.yaml", &declared);
    let keys = project.run(&["partition", "list", "days", "--tenant", "t1"]);
    assert!(keys.code == 0 && keys.out.contains("mo"), "{keys:?}");
    assert!(project.run(&["asset", "list", "--tenant", "t3"]).code == 1, "nobody knows it");
}
