//! What the command line shows of runs and their events, to who looks for what happened.

use crate::project::{Project, short, wait_for};

const JOBS: &str = r#"
assets:
  orders:
    step:
      kind: command
      command: echo '{"status":"skipped","reason":"no rows today"}' > "$MILLSTREAM_RESULT"
  totals:
    step:
      kind: command
      pipes: { messages: stdout }
      command: >-
        echo '{"__dagster_pipes_version":"0.1","method":"report_asset_check","params":
        {"asset_key":"totals","check_name":"full","passed":false,"severity":"ERROR",
        "metadata":{"description":{"raw_value":"3 rows","type":"text"}}}}'
jobs:
  ends:
    nodes:
      - id: flaky
        type: command
        retry: { max: 1, delay: 1ms }
        config: { command: "test -e second || { touch second; echo early trouble >&2; exit 4; }" }
      - { id: talks, type: command, config: { command: "echo only said aloud; exit 3" } }
      - { id: absent, type: command, config: { command: [nosuchprogram] } }
  again:
    run_retries: 1
    nodes:
      - { id: a, type: command, config: { command: "test -e again || { touch again; exit 5; }" } }
"#;

#[test]
fn a_run_shows_what_its_events_say_and_what_the_steps_that_failed_have_written() {
    let project = Project::with(JOBS);
    let launched = project.run(&["job", "launch", "ends"]);
    assert_eq!(launched.code, 1, "{launched:?}");
    let run = project.json(&["run", "list"])[0]["run_id"].as_str().unwrap().to_owned();
    let shown = project.run(&["run", "show", &run]).out;
    let line = |words: [&str; 2]| {
        let found = shown.lines().any(|line| words.iter().all(|word| line.contains(word)));
        assert!(found, "{words:?} in {shown}");
    };
    line(["step_failed  flaky  failed · ", "; attempt 2 at "]);
    line(["step_failed  flaky", "the process exited with code 4 [step-exit]"]);
    line(["step_succeeded  flaky  succeeded (attempt 2) · its own work took ", " · CPU "]);
    let why = shown.lines().find_map(|line| line.strip_prefix("  why: ")).unwrap();
    assert!(
        ["step `talks` failed: ", "step `absent` failed: "].iter().any(|it| why.starts_with(it))
    );
    line(["run_failed  the run failed: ", why]);
    line(["nosuchprogram is in no folder of PATH, or a script", "[step-spawn]"]);

    assert!(shown.contains("  talks:\n    only said aloud\n  what talks has written: "), "{shown}");
    assert!(!shown.contains("early trouble"), "flaky succeeded: {shown}");
    assert!(!shown.contains("what absent has written"), "it never ran: {shown}");
    let logs = project.run(&["run", "logs", &run, "--step", "absent"]);
    assert_eq!((logs.out.as_str(), logs.err.as_str()), ("", "absent has written nothing.\n"));
    let logs = project.run(&["run", "logs", &run]);
    assert!(!logs.err.contains("written"), "{logs:?}");
}

#[test]
fn an_asset_whose_step_was_skipped_says_why() {
    let project = Project::with(JOBS);
    let run = project.json(&["asset", "materialize", "orders"]);
    let words =
        format!("ts last try was skipped, in run {}", short(run["run_id"].as_str().unwrap()));
    let why = project.run(&["why", "orders"]).out;
    assert!(why.starts_with("asset orders: It was never made. I"), "{why}");
    for said in [why, project.run(&["asset", "show", "orders"]).out] {
        assert!(said.contains(&words) && said.contains(": no rows today"), "{said}");
    }
}

#[test]
fn a_partition_whose_step_was_skipped_says_why() {
    let project = Project::with(&JOBS.replacen(
        "  orders:\n",
        "  orders:\n    partitions: { kind: static, keys: [jfk, lga] }\n",
        1,
    ));
    let run = project.json(&["asset", "materialize", "orders", "--partition", "jfk"]);
    let run = short(run["run_id"].as_str().unwrap()).to_owned();
    let words = format!("its last try of partition jfk was skipped, in run {run} at ");
    let shown = project.run(&["asset", "show", "orders"]).out;
    assert!(
        shown.contains(&format!("\n  {words}")) && shown.contains(": no rows today"),
        "{shown}"
    );
    let why = project.run(&["why", "orders"]).out;
    assert!(why.contains(&words) && why.contains("It was never made. Its last try of"), "{why}");
    let told = project.json(&["asset", "show", "orders"])["tried_in_vain"].take();
    assert_eq!((told[0]["partition"].as_str(), &told[1]), (Some("jfk"), &serde_json::Value::Null));
}

#[test]
fn lists_name_a_file_that_is_broken_since_what_it_declares_is_not_in_them() {
    let project = Project::with("assets: { a: { dep: [b] } }");
    for list in ["asset", "job", "schedule", "sensor"] {
        let shown = project.run(&[list, "list"]);
        let words = "The definition file main.yaml is broken, and what is new there is not loaded: \
                     `millstream definitions status` shows why.";
        assert!(shown.code == 0 && shown.err.contains(words), "{list}: {shown:?}");
        assert_eq!(project.json(&[list, "list"]), serde_json::json!([]));
    }
    project.write("dags/main.yaml", "assets: { a: {} }");
    let shown = project.run(&["asset", "list"]);
    assert!(!shown.err.contains("broken"), "{shown:?}");
}

#[test]
fn a_check_that_did_not_pass_is_shown_with_its_asset() {
    let project = Project::with(JOBS);
    let list = || project.run(&["asset", "list"]).out;
    assert!(!list().contains("failed"), "{}", list());
    let run = project.json(&["asset", "materialize", "totals"]);
    let run = short(run["run_id"].as_str().unwrap()).to_owned();
    let told = format!("check full did not pass, in run {run}: 3 rows\n");
    let shown = project.run(&["asset", "show", "totals"]).out;
    let (checks, made) = (shown.find(&told), shown.find("  made at "));
    assert!(checks.is_some() && checks < made, "{shown}");
    let why = project.run(&["why", "totals"]).out;
    assert!(why.contains("It was made, but its check full did not pass."), "{why}");
    assert!(why.contains(&told), "{why}");
    assert!(list().contains("  1 failed  "), "{}", list());
}

#[test]
fn who_waits_for_a_run_that_is_tried_again_waits_for_its_last_try() {
    let project = Project::with(JOBS);
    let launched = project.run(&["job", "launch", "again"]);
    assert_eq!(launched.code, 0, "{launched:?}");
    let runs = project.json(&["run", "list"]);
    let [second, first] = [0, 1].map(|place: usize| runs[place]["run_id"].as_str().unwrap());
    let told = format!("FAILURE  run {first}  again");
    assert!(launched.out.starts_with(&told), "{launched:?}");
    let way = format!("tried again by run {0}: `millstream run show {0}`", short(second));
    assert!(launched.out.contains(&way), "{launched:?}");
    assert!(launched.out.contains(&format!("SUCCESS  run {second}  again")), "{launched:?}");
    assert!(launched.err.contains(&format!("Waiting for run {}", short(second))), "{launched:?}");

    std::fs::remove_file(project.path("again")).unwrap();
    let only = project.json(&["job", "launch", "again"]);
    assert_eq!((&only["status"], &only["cause"]["kind"]), (&"SUCCESS".into(), &"retry".into()));
}

/// A sensor that requests a run at each tick, and writes a line for people.
const SENSOR: &str = "jobs: { load: { nodes: [{ id: a, type: noop }] } }\n\
    sensors:\n  own:\n    kind: command\n    every: 1s\n    request: { job: load }\n    \
    command: |\n      \
    echo looking around >&2; n=$((${MILLSTREAM_CURSOR:-0} + 1))\n      \
    printf '{\"cursor\": \"%s\", \"requests\": [{\"run_key\": \"k%s\"}]}' $n $n\n";

#[test]
fn a_sensor_ticks_when_somebody_says_so_unless_it_is_off() {
    let project = Project::with(SENSOR);
    for (count, key) in [(1, "k1"), (2, "k2")] {
        let ticked = project.run(&["sensor", "tick", "own"]);
        assert!(
            ticked.out.starts_with("Tick of ") && ticked.out.contains(": LAUNCHED\n"),
            "{ticked:?}"
        );
        let ticks = project.json(&["sensor", "ticks", "own"]);
        assert_eq!(ticks.as_array().unwrap().len(), count);
        assert_eq!(ticks[0]["runs"][0]["run_key"], key);
    }
    assert_eq!(project.json(&["run", "list"]).as_array().unwrap().len(), 2);
    project.run(&["sensor", "stop", "own"]);
    let refused = project.run(&["sensor", "tick", "own"]);
    let way = "sensor own is off, and does not tick: `millstream sensor start own` switches it on";
    assert!(refused.code == 1 && refused.err.contains(way), "{refused:?}");
    assert_eq!(project.json(&["sensor", "test", "own"])["enabled"], false);
}

#[test]
fn a_sensor_s_tick_that_fails_makes_its_command_fail() {
    let project = Project::with(
        "sensors:\n  slow: { kind: command, timeout: 1s, command: sleep 60 }\n  \
         wrong:\n    kind: command\n    command: |\n      echo '{\"cursor\": 1}'\n",
    );
    let ticked = project.run(&["sensor", "tick", "slow"]);
    let told = ": FAILED: timeout: the sensor took longer than 1s\n";
    assert!(ticked.code == 1 && ticked.out.ends_with(told), "{ticked:?}");
    let ticked = project.run(&["sensor", "tick", "wrong", "--json"]);
    let told = "the answer: cursor is a number, 1; a text is wanted";
    assert_eq!((ticked.code, &ticked.json()["error"]["message"]), (1, &told.into()));
    let tested = project.run(&["sensor", "test", "wrong"]);
    assert!(tested.code == 0 && tested.out.contains(told), "to say it is what a test is for");
}

#[test]
fn what_a_sensor_s_program_writes_is_in_the_log_when_somebody_asks_it_by_hand() {
    let project = Project::with(SENSOR);
    let tried = project.run(&["sensor", "test", "own"]);
    assert!(tried.out.contains("it wrote: looking around\n"), "{tried:?}");
    let _server = project.serve();
    wait_for("it has ticked twice", || {
        let ticks = project.json(&["sensor", "ticks", "own"]);
        (ticks.as_array().unwrap().len() > 1).then_some(())
    });
    let wrote = "a sensor's program wrote: looking around";
    assert!(!project.read("log").contains(wrote), "by itself it fills no log");
    project.run(&["sensor", "test", "own"]);
    wait_for("the line", || project.read("log").contains(wrote).then_some(()));
}
