//! Fixed contracts of the commands: exit codes, JSON for programs, and where the work is done.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::project::{Project, wait_for};

const JOBS: &str = r#"
jobs:
  good:
    description: Succeeds
    nodes:
      - { id: say, type: command, config: { command: ["echo", "hello"] } }
  bad:
    nodes:
      - { id: fall, type: command, config: { command: "echo broken >&2; exit 3" } }
  off:
    enabled: false
    nodes: [{ id: nothing, type: noop }]
  lasting:
    nodes:
      - { id: wait, type: command, config: { command: "echo begun; exec tail -f /dev/null" } }
      - { id: after, type: noop, depends_on: [wait] }
"#;

/// Adds ten and twenty and thirty, three times, as an example of document 004 does.
const SUM: &str = r#"
jobs:
  sum:
    nodes:
      - id: total
        type: command
        config:
          command:
            - python3
            - -c
            - |
              import json, os
              given = json.load(open(os.environ["MILLSTREAM_CONTEXT"]))["trigger"]
              total = sum(given["input_data"]) * given["multiplier"]
              json.dump({"total": total}, open(os.environ["MILLSTREAM_RESULT"], "w"))
"#;

#[test]
fn exit_codes_say_whether_it_was_done_failed_or_was_not_understood() {
    let project = Project::with(JOBS);
    let codes = [
        (vec!["job", "launch", "good"], 0),
        (vec!["--help"], 0),
        (vec!["--version"], 0),
        (vec!["job", "launch", "bad"], 1),
        (vec!["job", "launch", "off"], 1),
        (vec!["job", "launch", "nowhere"], 1),
        (vec!["run", "show", "nowhere"], 1),
        (vec!["run", "cancel", "0123abcd"], 1),
        (vec!["definitions", "validate", "nowhere"], 1),
        (vec!["run", "list", "--url", "http://127.0.0.1:1"], 1),
        (vec!["run", "list", "--status", "BOGUS"], 2),
        (vec!["run", "list", "--status", "success"], 0),
        (vec!["job", "launch", "good", "--tag", "no-value"], 2),
        (vec!["job", "launch"], 2),
        (vec!["asset", "materialize"], 2),
        (vec!["nonsense"], 2),
        (vec![], 2),
    ];
    for (arguments, code) in codes {
        let outcome = project.run(&arguments);
        assert_eq!(outcome.code, code, "{arguments:?}: {outcome:?}");
        assert!(code == 0 || !outcome.err.is_empty() || !outcome.out.is_empty(), "{arguments:?}");
    }
}

#[test]
fn programs_find_the_fields_of_jobs_and_runs_that_they_were_promised() {
    let project = Project::with(JOBS);
    let jobs = project.json(&["job", "list"]);
    let states: Vec<(&str, bool)> = jobs
        .as_array()
        .unwrap()
        .iter()
        .map(|job| (job["name"].as_str().unwrap(), job["enabled"].as_bool().unwrap()))
        .collect();
    assert_eq!(states, [("bad", true), ("good", true), ("lasting", true), ("off", false)]);

    let good = project.json(&["job", "launch", "good"]);
    let runs = project.json(&["run", "list"]);
    assert_eq!(runs[0]["run_id"], good["run_id"]);
    assert_eq!(runs[0]["job"], "good");
    assert_eq!(runs[0]["status"], "SUCCESS");
    let shown = project.json(&["run", "show", good["run_id"].as_str().unwrap()]);
    let kinds: Vec<&str> =
        shown["events"].as_array().unwrap().iter().map(|e| e["kind"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        ["run_queued", "run_started", "step_started", "step_succeeded", "run_succeeded"]
    );

    let lists = [vec!["tenant", "list"], vec!["asset", "list"], vec!["run", "list"]];
    for arguments in lists {
        assert!(project.json(&arguments).is_array(), "{arguments:?}");
    }
    let code = |arguments: &[&str]| {
        let failed = project.run(&[arguments, &["--json"]].concat());
        let error: Value = serde_json::from_str(&failed.err).unwrap();
        error["error"]["code"].clone()
    };
    assert_eq!(code(&["job", "launch", "nowhere"]), "job-unknown");
    assert_eq!(code(&["run", "list", "--url", "http://127.0.0.1:1"]), "server-unreachable");
}

#[test]
fn programs_read_logs_as_lines_of_json() {
    let project = Project::with(JOBS);
    let run = |job: &str| {
        let launched = project.run(&["job", "launch", job, "--json"]).json();
        launched["run_id"].as_str().unwrap().to_owned()
    };
    let pieces = |run: &str| {
        let logs = project.run(&["run", "logs", run, "--json"]);
        assert_eq!((logs.code, logs.err.as_str()), (0, ""), "{logs:?}");
        let lines = logs.out.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect::<Vec<Value>>()
    };
    let said = |step: &str, stream: &str, text: &str| {
        let whose = json!({ "step": step, "attempt": 1, "stream": stream });
        let mut piece = whose.as_object().unwrap().clone();
        piece.extend([("offset".to_owned(), json!(0)), ("text".to_owned(), json!(text))]);
        Value::Object(piece)
    };
    assert_eq!(pieces(&run("good")), [said("say", "out", "hello\n")]);
    assert_eq!(pieces(&run("bad")), [said("fall", "err", "broken\n")]);
}

#[test]
fn a_job_is_stopped_and_started_whatever_its_file_says() {
    let project = Project::with(JOBS);
    let switch = |verb: &str, job: &str| project.json(&["job", verb, job])["enabled"].clone();
    assert_eq!(switch("stop", "good"), false);
    assert_eq!(project.run(&["job", "launch", "good"]).code, 1);
    assert_eq!(switch("reset", "good"), true);
    assert_eq!(project.run(&["job", "start", "off"]).out, "Job off is on\n");
    assert_eq!(project.run(&["job", "launch", "off"]).code, 0);
    assert_eq!(switch("reset", "off"), false);
}

#[test]
fn r201_the_trigger_context_is_checked_and_reaches_the_steps() {
    let project = Project::with(SUM).variable("PATH", &std::env::var("PATH").unwrap());
    let context = r#"{"input_data":[10,20,30],"multiplier":3}"#;
    let run = project.json(&["job", "launch", "sum", "--context", context]);
    assert_eq!(run["status"], "SUCCESS", "{run}");
    assert_eq!(run["steps"][0]["result"], json!({ "total": 180 }));

    let bad = project.run(&["job", "launch", "sum", "--context", "{bad"]);
    assert_eq!(bad.code, 2, "{bad:?}");
    assert!(bad.err.contains("not valid JSON") && bad.err.contains("context-json"), "{bad:?}");
    let list = project.run(&["job", "launch", "sum", "--context", "[1]"]);
    assert_eq!(list.code, 2, "{list:?}");

    let unknown = project.run(&["job", "launch", "smu"]);
    assert_eq!(unknown.code, 1);
    assert!(unknown.err.contains("no job is called `smu`"), "{unknown:?}");
    assert!(unknown.err.contains("sum"), "the jobs there are: {unknown:?}");
    assert_eq!(project.json(&["run", "list"]).as_array().unwrap().len(), 1);
}

#[test]
fn a_run_that_is_not_waited_for_starts_when_a_server_does() {
    let project = Project::with(JOBS);
    let queued = project.json(&["job", "launch", "good", "--no-wait"]);
    let run = queued[0]["run_id"].as_str().unwrap();
    let server = project.serve();
    wait_for("the run succeeds", || {
        let shown = project.json(&["run", "show", run]);
        (shown["status"] == "SUCCESS").then_some(())
    });
    drop(server);
}

const ONCE: &str = r#"
jobs:
  once: { nodes: [{ id: a, type: command, config: { command: "echo begun >> begun; sleep 0.5" } }] }
  good: { nodes: [{ id: a, type: noop }] }
assets:
  empty: { partitions: { kind: dynamic }, step: { kind: noop } }
"#;

#[test]
fn a_command_that_waits_for_no_run_begins_none_and_one_that_does_ends_what_it_has_begun() {
    let project = Project::with(ONCE);
    let queued = project.json(&["job", "launch", "once", "--no-wait"]);
    let run = queued[0]["run_id"].as_str().unwrap();
    for _ in 0..3 {
        assert_eq!(project.json(&["run", "list"])[0]["status"], "QUEUED");
    }
    let none = project.json(&["asset", "materialize", "empty", "--all-partitions"]);
    assert_eq!(none, serde_json::json!([]));
    assert_eq!(project.json(&["run", "list"])[0]["status"], "QUEUED");
    // One that is refused waits for none either.
    for refused in [["job", "launch", "nope"], ["asset", "materialize", "nope"]] {
        let said = project.run(&refused);
        assert_ne!(said.code, 0, "{said:?}");
        assert!(!said.err.contains("that this command has begun"), "{said:?}");
        assert_eq!(project.json(&["run", "list"])[0]["status"], "QUEUED");
    }
    assert!(!project.path("begun").exists());
    assert_eq!(project.json(&["job", "launch", "good"])["status"], "SUCCESS");
    assert_eq!(project.json(&["run", "show", run])["status"], "SUCCESS");
    assert_eq!(std::fs::read_to_string(project.path("begun")).unwrap(), "begun\n");
}

#[test]
fn a_server_that_starts_while_a_command_owns_the_database_waits_for_it() {
    let project = Project::with(ONCE);
    let mut command = project.command(&["job", "launch", "once"]).spawn().unwrap();
    wait_for("its step", || project.path("begun").exists().then_some(()));
    let server = project.serve();
    assert!(command.wait().unwrap().success());
    assert_eq!(project.json(&["run", "list"])[0]["status"], "SUCCESS");
    drop(server);
}

#[test]
fn logs_are_read_while_a_run_goes_on_and_cancel_ends_it() {
    let project = Project::with(JOBS);
    let _server = project.serve();
    let queued = project.json(&["job", "launch", "lasting", "--no-wait"]);
    let run = queued[0]["run_id"].as_str().unwrap();
    wait_for("the step's first words", || {
        (project.run(&["run", "logs", run]).out == "begun\n").then_some(())
    });
    let following = project
        .command(&["run", "logs", run, "--follow"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let canceled = project.json(&["run", "cancel", &run[run.len() - 8..]]);
    assert_eq!(canceled["status"], "CANCELING");
    let followed = following.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(followed.stdout).unwrap(), "begun\n");
    let over = project.json(&["run", "show", run]);
    assert_eq!(over["status"], "CANCELED", "R203: {over}");
    for step in over["steps"].as_array().unwrap() {
        assert_eq!(step["status"], "CANCELED", "R203: {step}");
    }
    assert_eq!(project.run(&["run", "cancel", run]).code, 1, "it is over");
}

const WAITS: &str = r#"
jobs:
  waits:
    nodes:
      - id: a
        type: command
        config: { command: "echo > begun; while [ ! -e go ]; do sleep 0.02; done" }
"#;

#[test]
fn a_command_whose_server_is_started_again_goes_on() {
    let project = Project::with(WAITS).variable("MILLSTREAM_LEASE", "1s");
    let server = project.serve();
    let mut command = project
        .command(&["job", "launch", "waits", "--json"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the step", || project.path("begun").exists().then_some(()));
    server.kill();
    let _server = project.serve();
    project.write("go", "");
    let stdout = std::io::read_to_string(command.stdout.take().unwrap()).unwrap();
    assert!(command.wait().unwrap().success(), "{stdout}");
    let run: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(run["status"], "SUCCESS", "{run:#}");
    assert_eq!(project.json(&["run", "list"]).as_array().unwrap().len(), 1);
}

#[test]
fn a_command_whose_server_ends_for_good_says_so_and_leaves_the_folder_to_others() {
    let project = Project::with(WAITS).variable("MILLSTREAM_LEASE", "1s");
    let server = project.serve();
    let mut command = project
        .command(&["job", "launch", "waits"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the step", || project.path("begun").exists().then_some(()));
    server.kill();
    let stderr = std::io::read_to_string(command.stderr.take().unwrap()).unwrap();
    assert!(!command.wait().unwrap().success());
    assert!(stderr.contains("start the server again"), "{stderr}");
    project.write("go", "");
}

#[test]
fn commands_go_through_the_socket_of_the_folders_server_which_is_its_owners_alone() {
    let project = Project::with(JOBS);
    let server = project.serve();
    let mode = |name: &str| project.path(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(".millstream"), 0o700);
    assert_eq!(mode(".millstream/server.sock"), 0o600);

    let run = project.json(&["job", "launch", "good"]);
    let path = format!("/default/api/v1/runs/{}", run["run_id"].as_str().unwrap());
    assert_eq!(server.get(&path)["status"], "SUCCESS", "the server has it");
    let url = format!("http://{}", server.address);
    let over_url = project.json(&["run", "list", "--url", &url, "--dir", "/"]);
    assert_eq!(over_url[0]["run_id"], run["run_id"]);

    assert!(server.terminate().success());
    assert!(!project.path(".millstream/server.sock").exists());
    let alone = project.json(&["run", "list"]);
    assert_eq!(alone[0]["run_id"], run["run_id"], "without a server the command reads itself");
}

#[test]
fn a_second_server_of_a_folder_is_refused_and_told_which_process_has_it() {
    let project = Project::with(JOBS);
    let server = project.serve();
    let second = project.run(&["dev", "--port", "0"]);
    assert_eq!(second.code, 1, "{second:?}");
    assert!(second.err.contains(&server.pid().to_string()), "{second:?}");
    assert_eq!(project.run(&["job", "launch", "good"]).code, 0, "the first one goes on");
}

#[test]
fn a_port_that_is_taken_is_named_with_the_way_out() {
    let project = Project::with(JOBS);
    let other = Project::with(JOBS);
    let server = project.serve();
    let refused = other.run(&["dev", "--port", &server.port().to_string()]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains(&server.port().to_string()), "{refused:?}");
    assert!(refused.err.contains("--port"), "{refused:?}");
}

#[test]
fn the_page_of_an_error_s_code_is_printed_and_all_codes_are_listed() {
    let project = Project::new();
    let page = project.run(&["errors", "job-unknown"]);
    let written = include_str!("../../../../docs/errors/job-unknown.md");
    assert_eq!((page.code, page.out.as_str()), (0, written), "{page:?}");
    let all = project.json(&["errors"]);
    let says = all.as_array().unwrap().iter().find(|row| row["code"] == "job-unknown").unwrap();
    assert_eq!(says["says"], "No job of this name.");
    let unknown = project.run(&["errors", "job-unknwon"]);
    assert_eq!(unknown.code, 2, "{unknown:?}");
    assert!(unknown.err.contains("did you mean `job-unknown`?"), "{unknown:?}");
}

#[test]
fn an_asset_that_is_older_than_what_it_is_made_from_is_shown_as_stale() {
    let project = Project::with("assets: { src: {}, mart: { deps: [src] } }");
    for asset in ["src", "mart", "src"] {
        let reported = project.run(&["asset", "report", asset]);
        assert_eq!(reported.code, 0, "{reported:?}");
    }
    let shown = project.run(&["asset", "show", "mart"]);
    assert!(shown.out.contains("\n  stale: src was made after it\n"), "{shown:?}");
    assert_eq!(project.json(&["asset", "show", "src"])["stale"], serde_json::json!([]));
}
