//! Definition files from the outside: found, dropped in, refused, and switched off.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::project::{Project, wait_for};

const NOOP: &str = r#"{ "nodes": [{ "id": "a", "type": "noop" }] }"#;

fn jobs(status: &Value) -> Vec<String> {
    let names = status["loaded_dags"].as_array().unwrap();
    names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

#[test]
fn r183_the_status_has_the_fields_that_scripts_read() {
    let project = Project::new();
    project.write("dags/first.json", NOOP);
    project.write("dags/below/second.json", NOOP);
    project.write("dags/broken.json", "{ \"nodes\": [\n  {,}\n] }");
    let status = project.json(&["definitions", "status"]);
    assert_eq!(status["enabled"], true);
    assert_eq!(status["scan_interval"], "30s");
    assert_eq!(jobs(&status), ["below/second", "first"]);
    assert_eq!(status["dag_count"], 2);
    assert_eq!(status["local_source"]["path"], project.path("dags").to_str().unwrap());
    assert_eq!(status["s3_source"], Value::Null);
    assert!(status["last_scan"].is_string(), "{status}");
    let errors = status["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0]["place"]["file"], "broken.json");
    assert_eq!(errors[0]["place"]["line"], 2);
    let text = project.run(&["definitions", "status"]);
    assert!(text.out.contains("broken.json:2:"), "{text:?}");
    for row in ["FILE               VERSION\n", "below/second.json  v1\n", "broken.json        –  "]
    {
        assert!(text.out.contains(row), "{row}: {text:?}");
    }
}

#[test]
fn r158_files_and_folders_that_come_later_are_found_without_a_restart() {
    let project = Project::new().variable("DAGS_SCAN_INTERVAL", "1");
    let _server = project.serve();
    assert_eq!(project.json(&["job", "list"]), json!([]));
    project.write("dags/dropped.json", NOOP);
    let listed = |count: usize| {
        wait_for("the jobs are listed", || {
            let listed = project.json(&["job", "list"]);
            (listed.as_array().unwrap().len() == count).then_some(listed)
        })
    };
    assert_eq!(listed(1)[0]["name"], "dropped");
    project.write("dags/team/second.json", NOOP);
    assert_eq!(listed(2)[1]["name"], "team/second");
    std::fs::remove_file(project.path("dags/dropped.json")).unwrap();
    assert_eq!(listed(1)[0]["name"], "team/second");
}

#[test]
fn a_folder_that_is_made_after_the_start_is_read_before_the_next_scan() {
    let project = Project::new().variable("DAGS_SCAN_INTERVAL", "3600");
    let _server = project.serve();
    let status = project.run(&["definitions", "status"]);
    assert!(status.out.contains("there is no such folder; make it"), "{status:?}");
    project.write("dags/first.json", NOOP);
    wait_for("the job is listed", || {
        let listed = project.json(&["job", "list"]);
        (listed.as_array().unwrap().len() == 1).then_some(())
    });
}

#[test]
fn r159_a_bad_interval_is_warned_of_and_the_default_is_used() {
    let project = Project::new().variable("DAGS_SCAN_INTERVAL", "abc");
    project.write("dags/first.json", NOOP);
    let _server = project.serve();
    let log = project.read("log");
    assert!(log.contains("Invalid DAGS_SCAN_INTERVAL: abc, using default"), "{log}");
    assert_eq!(project.json(&["definitions", "status"])["scan_interval"], "30s");
}

#[test]
fn r160_loading_that_is_off_says_so_and_scans_nothing() {
    let project = Project::new().variable("DAGS_ENABLED", "false");
    project.write("dags/first.json", NOOP);
    assert_eq!(project.json(&["definitions", "status"]), json!({ "enabled": false }));
    let _server = project.serve();
    assert_eq!(project.json(&["definitions", "status"]), json!({ "enabled": false }));
    let scan = project.run(&["definitions", "scan"]);
    assert_eq!(scan.code, 1, "{scan:?}");
    assert!(scan.err.contains("disabled"), "{scan:?}");
    assert_eq!(project.json(&["job", "list"]), json!([]));
}

#[test]
fn r184_a_scan_by_hand_returns_with_its_counts() {
    let project = Project::new();
    project.write("dags/first.json", NOOP);
    let _server = project.serve();
    project.write("dags/second.json", NOOP);
    project.write("dags/third.json", "{");
    let scan = project.run(&["definitions", "scan", "--json"]);
    assert_eq!((scan.code, &scan.json()["files"]), (1, &3.into()), "{scan:?}");
    assert_eq!(jobs(&project.json(&["definitions", "status"])), ["first", "second"]);
    project.write("dags/third.json", NOOP);
    let text = project.run(&["definitions", "scan"]);
    assert_eq!(text.code, 0, "{text:?}");
    assert!(text.out.contains("3 file(s): 3 live, 0 with errors"), "{text:?}");
}

#[test]
fn r184_a_scan_says_what_is_live_and_what_is_wrong_whoever_read_it_first() {
    let project = Project::new();
    project.write("dags/x.yaml", "nodes: [");
    project.write("dags/y.yaml", NOOP);
    // With no server the command reads all when it opens the project, before it scans.
    for _ in 0..2 {
        let text = project.run(&["definitions", "scan"]);
        assert_eq!(text.code, 1, "{text:?}");
        assert!(text.out.contains("2 file(s): 1 live, 1 with errors"), "{text:?}");
        assert!(text.out.contains("x.yaml:1:") && text.out.contains("help:"), "{text:?}");
    }
    let json = project.run(&["definitions", "scan", "--json"]);
    assert_eq!(
        (json.code, &json.json()["live"], &json.json()["broken"]),
        (1, &1.into(), &1.into())
    );
    assert_eq!(json.json()["errors"][0]["place"]["file"], "x.yaml");
}

#[test]
fn validate_shows_all_that_is_wrong_and_fails() {
    let project = Project::new();
    project.write("dags/good.json", NOOP);
    assert_eq!(project.run(&["definitions", "validate"]).code, 0);
    project.write("dags/bad.json", r#"{ "nodes": [{ "id": "a", "type": "nop" }, { "id": "a" }] }"#);
    let bad = project.run(&["definitions", "validate", "dags/bad.json", "--json"]);
    assert_eq!(bad.code, 1, "{bad:?}");
    assert!(bad.json()["errors"].as_u64().unwrap() >= 2, "{bad:?}");
    let text = project.run(&["definitions", "validate", "dags"]);
    assert!(text.out.contains("bad.json"), "{text:?}");
}

#[test]
fn r164_the_ten_files_of_document_004_load() {
    let project = Project::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/cascade/dags");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        project.write(&format!("dags/{name}"), &std::fs::read_to_string(&path).unwrap());
        // The handlers beside them are no job.
        names.extend(name.strip_suffix(".json").map(str::to_owned));
    }
    names.sort();
    assert_eq!(names.len(), 10);
    let status = project.json(&["definitions", "status"]);
    assert_eq!(status["errors"], json!([]));
    assert_eq!(jobs(&status), names);
}

#[test]
fn r200_five_thousand_files_and_a_job_of_ten_thousand_steps_load() {
    let project = Project::new();
    for number in 0..5_000 {
        project.write(&format!("dags/{}/{number}.json", number % 50), NOOP);
    }
    let mut nodes = String::from("{ \"nodes\": [{ \"id\": \"n0\", \"type\": \"noop\" }");
    for number in 1..10_000 {
        let before = number - 1;
        write!(
            nodes,
            ",\n{{ \"id\": \"n{number}\", \"type\": \"noop\", \"depends_on\": [\"n{before}\"] }}"
        )
        .unwrap();
    }
    project.write("dags/deep.json", &format!("{nodes}] }}"));
    let status = project.json(&["definitions", "status"]);
    assert_eq!(status["errors"], json!([]));
    assert_eq!(status["dag_count"], 5_001);
}

#[test]
fn the_status_counts_each_kind_of_thing() {
    let project = Project::with(
        "
assets: { a: {}, b: {} }
partitions: { p: { kind: static, keys: [x] } }
jobs:
  all: { select: \"*\", schedule: \"@daily\" }
schedules: { weekly: { cron: \"0 6 * * 1\", job: all } }
sensors: { after: { kind: run_status, job: all, on: [FAILURE], request: { select: b } } }
calendars: { holidays: [\"2026-12-24\"] }
pools: { warehouse: 4 }
queue: { max_concurrent_runs: 5, tag_limits: [{ key: team, limit: 2 }] }
",
    );
    let status = project.json(&["definitions", "status"]);
    let counts = json!({
        "assets": 2, "calendars": 1, "handlers": 0, "io": 0, "jobs": 1, "partitions": 1,
        "pools": 1, "queue": 2, "resources": 0, "schedules": 2, "sensors": 1, "tenants": 1,
    });
    assert_eq!(status["counts"], counts, "{status:#}");
    let text = project.run(&["definitions", "status"]);
    let said = "In all: assets 2, calendars 1, jobs 1, partitions 1, pools 1, queue 2, \
                schedules 2, sensors 1, tenants 1";
    assert!(text.out.contains(said), "{text:?}");
}

#[test]
fn a_file_is_validated_with_the_others_of_its_folder_and_its_own_findings_are_shown() {
    let project = Project::with("assets: { orders: {} }");
    let uses = "jobs: { etl: { select: orders } }\nschedules: { s: { job: etl, cron: '@daily' } }";
    project.write("dags/team/uses.yaml", uses);
    project.write("dags/broken.yaml", "assets: { a: { dep: [b] } }");
    project.write("branch/dags/assets.yaml", "assets: { orders: {} }");
    project.write("branch/dags/uses.yaml", uses);
    project.write("uses.yaml", uses);
    let validate = |path: &str| project.run(&["definitions", "validate", path]);
    for path in ["dags/team/uses.yaml", "branch/dags/uses.yaml", "dags/team/../main.yaml"] {
        let checked = validate(path);
        assert_eq!((checked.code, checked.out.as_str()), (0, "1 file(s) checked, 0 error(s)\n"));
    }
    assert_eq!(validate("uses.yaml").code, 1, "it is in no definitions' folder");
    let broken = validate("dags/broken.yaml");
    assert!(broken.out.contains("broken.yaml") && !broken.out.contains("uses"), "{broken:?}");
    assert_eq!(validate("dags/team").out, "1 file(s) checked, 0 error(s)\n");
    assert!(validate("dags").out.contains("3 file(s) checked, 1 error(s)"));
}

#[test]
fn the_folder_of_definitions_is_named_without_the_way_back_that_led_to_it() {
    let project = Project::new();
    project.write("dags/one.json", NOOP);
    let unknown = project.run(&["--dir", "dags/..", "definitions", "validate", "two.json"]);
    let told = format!("its path below {}", project.path("dags").display());
    assert!(unknown.err.contains(&told) && !unknown.err.contains(".."), "{unknown:?}");
}

#[test]
fn files_of_one_name_in_several_folders_are_each_validated() {
    let project = Project::new();
    project.write("a/dags/x.yaml", "assets: { a: { dep: [b] } }");
    project.write("b/dags/x.yaml", "assets: { orders: {} }");
    project.write("c/x.yaml", "assets: { orders: {} }");
    let paths = ["a/dags/x.yaml", "b/dags/x.yaml", "c/x.yaml", "b/dags/x.yaml"];
    let checked = project.run(&[&["definitions", "validate"][..], &paths].concat());
    assert_eq!(checked.code, 1, "{checked:?}");
    assert!(checked.out.contains("`dep`"), "{checked:?}");
    assert!(checked.out.contains("3 file(s) checked, 1 error(s)"), "{checked:?}");
    let counted = project.run(&[&["definitions", "validate", "--json"][..], &paths].concat());
    let counted = counted.json();
    assert_eq!((&counted["files"], &counted["errors"]), (&json!(3), &json!(1)), "{counted}");
}

#[test]
fn a_file_that_leads_nowhere_is_told_of_its_selections_too() {
    let project = Project::with(
        "assets: { a: { deps: [b] } }\n\
         jobs: { none: { select: \"group:none\" }, some: { select: a } }\n\
         schedules: { often: { cron: \"@daily\", job: nome } }",
    );
    let checked = project.run(&["definitions", "validate", "--json"]).json();
    let found = checked["diagnostics"].as_array().unwrap();
    let codes: Vec<&str> = found.iter().map(|it| it["code"].as_str().unwrap()).collect();
    let wanted = ["definition-reference", "selection-empty", "definition-reference"];
    assert_eq!(codes, wanted, "{checked:#}");
    let help = "no asset has the group `none`; there are `default`";
    assert_eq!(found[1]["help"], help, "{checked:#}");
}

#[test]
fn what_a_selection_does_not_find_may_be_declared_in_a_file_that_cannot_be_read() {
    let project = Project::with("assets: [");
    project.write("dags/picks.yaml", "assets: { a: {} }\njobs: { j: { select: 'group:defualt' } }");
    let checked = project.run(&["definitions", "validate", "--json"]).json();
    let mut found = checked["diagnostics"].as_array().unwrap().iter();
    let empty = found.find(|it| it["code"] == "selection-empty").unwrap();
    let help = "correct `main.yaml` first: it cannot be read, and may declare it; of what can be \
                read, no asset has the group `defualt`; did you mean `default`? There are `default`";
    assert_eq!(empty["help"], help, "{checked:#}");
}

#[test]
fn a_file_that_waits_for_a_broken_one_is_told_apart_from_a_wrong_one() {
    let project = Project::with("assets: { orders: { timeout: soon } }");
    project.write(
        "dags/needs.yaml",
        "assets: { sum: { deps: [orders] } }\njobs: { j: { select: orders+ } }",
    );
    project.write("dags/picks.yaml", "jobs: { etl: { select: orders+ } }");
    let all = project.run(&["definitions", "validate"]);
    assert!(all.out.ends_with("3 file(s) checked, 3 error(s)\n"), "{all:?}");
    let waits = "What this selects is declared in `main.yaml`, which has errors";
    let one = project.run(&["definitions", "validate", "dags/picks.yaml", "--json"]).json();
    assert_eq!(one["diagnostics"][0]["message"], waits, "{one:#}");
    let status = project.json(&["definitions", "status"]);
    let said: Vec<&str> = status["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["message"].as_str().unwrap())
        .collect();
    let timeout = "duration \"soon\" is not understood; write it like `30s`, `5m` or `2h 30m`";
    let needs = "The asset `orders` is declared in `main.yaml`, which has errors";
    assert_eq!(said, [timeout, needs, waits]);

    project.write("dags/main.yaml", "assets: { orders: {} }");
    assert_eq!(project.json(&["definitions", "status"])["errors"], json!([]));
}

/// Files with mistakes of every kind: in themselves, among each other, and in what they run.
const MISTAKES: &[(&str, &str)] = &[
    ("broken", "assets:\n  orders: { timeout: soon }\n  rows: {}\n"),
    ("unread", "assets: { a: {"),
    ("needs", "assets: { sum: { deps: [orders] }, more: { deps: [rows, lost, gone], io: i } }\n"),
    ("picks", "jobs: { etl: { select: orders+ }, none: { select: 'group:none' } }\n"),
    ("first", "assets: { one: {} }\npools: { p: 1 }\n"),
    ("second", "assets: { one: {}, two: { deps: [three] }, three: { deps: [two] } }\n"),
    (
        "steps",
        "assets:\n  a: { step: { kind: python, function: \"tasks.py:nope\" } }\n  \
         b: { step: { kind: command, command: [sh, gone.sh] }, pool: { name: p, slots: 4 } }\n  \
         c: { step: { kind: command, command: [echo, '{{ run.id | shel }}'] } }\n  \
         d: { step: { kind: local, module: App.Gone } }\n",
    ),
    (
        "timed",
        "partitions: { shop: { kind: static, keys: [a, ''] } }\n\
         schedules: { s: { cron: '@daily', job: nope, exclude: off } }\n\
         sensors: { f: { kind: files, path: in, request: { job: etl, partition: '{{ f }}' } } }\n",
    ),
    ("below/deep", "jobs: { etl: { nodes: [{ id: a, type: noop, pool: q }] } }\n"),
];

#[test]
fn validate_says_of_a_folder_what_loading_it_says() {
    let project = Project::new();
    for (name, text) in MISTAKES {
        project.write(&format!("dags/{name}.yaml"), text);
    }
    project.write("tasks.py", "def make(context): ...");
    let told = |list: &Value| -> Vec<String> {
        let line = |it: &Value| {
            let place = &it["place"];
            let (line, column) = (&place["line"], &place["column"]);
            format!("{} {line}:{column} {} {}", place["file"], it["code"], it["message"])
        };
        let mut lines: Vec<String> = list.as_array().unwrap().iter().map(line).collect();
        lines.sort();
        lines
    };
    let status = project.json(&["definitions", "status"]);
    let mut loaded = told(&status["errors"]);
    loaded.extend(told(&status["warnings"]));
    loaded.sort();
    let checked = project.run(&["definitions", "validate", "--json"]).json();
    assert_eq!(told(&checked["diagnostics"]), loaded);
    assert_eq!(checked["errors"], status["errors"].as_array().unwrap().len(), "{checked:#}");
    assert!(loaded.len() > 15, "{loaded:#?}");
    // Each file by itself is told of what loading says of it.
    let alone: Vec<String> = MISTAKES
        .iter()
        .flat_map(|(name, _)| {
            let path = format!("dags/{name}.yaml");
            told(&project.run(&["definitions", "validate", &path, "--json"]).json()["diagnostics"])
        })
        .collect();
    assert_eq!(BTreeSet::from_iter(alone), BTreeSet::from_iter(loaded));
}

#[test]
fn a_file_that_cannot_be_read_hides_nothing_of_the_others() {
    let project = Project::with("assets: { a: { timeout: soon } }");
    std::os::unix::fs::symlink("/proc/self/mem", project.path("mem.yaml")).unwrap();
    let paths = ["dags/main.yaml", "mem.yaml"];
    let checked = project.run(&[&["definitions", "validate", "--json"][..], &paths].concat());
    let checked = checked.json();
    let found = checked["diagnostics"].as_array().unwrap();
    let codes: Vec<&str> = found.iter().map(|it| it["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["definition-value", "definition-unreadable"], "{checked:#}");
}

#[test]
fn a_step_whose_file_is_not_there_is_warned_of_until_it_is() {
    let project = Project::with(
        "assets:\n  a: { step: { kind: python, function: \"tasks.py:make\" } }\n\
         \u{20} b: { step: { kind: command, command: [sh, gone.sh] } }\n\
         handlers: { Report: { command: [./report.sh] } }\n",
    );
    let checked = project.run(&["definitions", "validate", "--json"]);
    assert_eq!(checked.code, 0, "{checked:?}");
    let checked = checked.json();
    let found = checked["diagnostics"].as_array().unwrap();
    let said: Vec<(u64, &str)> = found
        .iter()
        .map(|it| (it["place"]["line"].as_u64().unwrap(), it["message"].as_str().unwrap()))
        .collect();
    let wanted = [
        (2, "The asset `a`: the project has no file `tasks.py`"),
        (3, "The asset `b`: the project has no file `gone.sh`"),
        (4, "The handler `Report`: the project has no file `report.sh`"),
    ];
    assert_eq!(said, wanted, "{checked:#}");
    let text = project.run(&["definitions", "validate"]);
    assert!(text.out.ends_with("1 file(s) checked, 0 error(s), 3 warning(s)\n"), "{text:?}");
    for file in ["gone.sh", "report.sh"] {
        project.write(file, "");
    }
    project.write("tasks.py", "def make(context): ...");
    let text = project.run(&["definitions", "validate"]);
    assert_eq!(text.out, "1 file(s) checked, 0 error(s)\n");
}

#[test]
fn what_a_step_can_never_find_is_told_at_load() {
    let project = Project::with(
        "assets:\n  a: { step: { kind: python, function: \"tasks.py:extrac\" } }\n\
         \u{20} b: { step: { kind: python, function: \"lib.tasks:load\" } }\n\
         \u{20} c: { step: { kind: command, command: [ls], cwd: nowhere } }\n\
         \u{20} d: { step: { kind: command, command: [ls], cwd: \"{{ tenant }}\" } }\n",
    );
    project.write("tasks.py", "def extract(context): ...\n");
    project.write("lib/tasks.py", "from other import load\n");
    let status = project.json(&["definitions", "status"]);
    let found = status["warnings"].as_array().unwrap();
    let said: Vec<&str> = found.iter().map(|it| it["message"].as_str().unwrap()).collect();
    let wanted = [
        "The asset `a`: `tasks.py` has no function `extrac`",
        "The asset `c`: there is no folder `nowhere`, which is its `cwd`",
    ];
    assert_eq!(said, wanted, "{status:#}");
    let help = found[0]["help"].as_str().unwrap();
    assert!(help.starts_with("did you mean `extract`? "), "{help}");
    project.write("nowhere/a", "");
    project.write("tasks.py", "extrac = print\n");
    assert_eq!(project.json(&["definitions", "status"])["warnings"], json!([]));

    project.write(
        "dags/t.yaml",
        "nodes:\n  - { id: a, type: command, config: { command: \
                                  \"echo {{ run.id | shel }}\" } }",
    );
    let checked = project.run(&["definitions", "validate"]);
    let said = "The template names the filter `shel`, which does not exist";
    assert!(checked.code == 1 && checked.out.contains(said), "{checked:?}");
    assert!(checked.out.contains("did you mean `shell`?"), "{checked:?}");
}

#[test]
fn a_file_that_is_refused_is_told_with_its_place_and_the_way_out() {
    let project = Project::with("jobs: { x: { nodes: [{ id: a, type: noop }] } }");
    project.write("dags/x.yaml", NOOP);
    let checked = project.run(&["definitions", "validate"]);
    let said = "x.yaml: The job `x` is already declared in `main.yaml` [definition-name-taken]\n  \
                help: rename one of them; `main.yaml` keeps the name until then\n";
    assert!(checked.code == 1 && checked.out.starts_with(said), "{checked:?}");

    project.write("dags/bad.yaml", "nodes:\n  - { id: a, type: nop }");
    let _server = project.serve();
    let log = project.read("log");
    let line = |words: &str| log.lines().find(|line| line.contains(words)).unwrap_or_default();
    assert!(line("Failed to load DAG bad: ").ends_with("place=bad.yaml:2:20"), "{log}");
    assert!(line("Failed to load DAG x: ").ends_with("place=x.yaml"), "{log}");
}

#[test]
fn a_file_is_named_by_its_path_from_here_or_below_the_definitions_folder() {
    let project = Project::new();
    project.write("dags/team/etl.json", NOOP);
    for file in ["dags/team/etl.json", "team/etl.json", "./dags/team/../team/etl.json"] {
        let checked = project.run(&["definitions", "validate", file]);
        assert_eq!(checked.out, "1 file(s) checked, 0 error(s)\n", "{file}: {checked:?}");
        let history = project.run(&["definitions", "history", file]);
        assert!(history.out.contains("v1"), "{file}: {history:?}");
        let back = project.run(&["definitions", "rollback", file, "v1"]);
        assert_eq!(back.code, 0, "{file}: {back:?}");
    }
    for command in ["validate", "history"] {
        let wrong = project.run(&["definitions", command, "dags/team/elt.json"]);
        assert_ne!(wrong.code, 0, "{wrong:?}");
        assert!(wrong.err.contains("did you mean team/etl.json?"), "{wrong:?}");
    }
}

#[test]
fn a_way_back_shows_what_is_live_and_what_is_wrong_with_the_file() {
    let project = Project::new();
    for content in [NOOP, &NOOP.replace("\"a\"", "\"b\""), "{"] {
        project.write("dags/etl.json", content);
        project.json(&["definitions", "status"]);
    }
    let back = project.run(&["definitions", "rollback", "etl.json", "v1"]);
    assert!(back.out.contains("What the file holds has errors"), "{back:?}");
    let status = project.run(&["definitions", "status"]).out;
    assert!(status.contains("JSON parse error"), "{status}");
    let live = "etl.json: developer went back to v1, until its next change; \
                what it holds has the errors above";
    assert!(status.contains(live), "{status}");
}

#[test]
fn a_server_without_a_folder_of_definitions_says_where_it_looked_and_which_has_one() {
    let project = Project::new();
    project.write("dags/etl.json", NOOP);
    project.write("deep/er/x.txt", "");
    let within = project.path("deep/er");
    let folder = within.to_str().unwrap();
    let mut command = project.command(&["dev", folder, "--port", "0"]);
    let mut server = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let said = lines.take(2).map(Result::unwrap).collect::<Vec<_>>().join("\n");
    server.kill().unwrap();
    server.wait().unwrap();
    let looked = format!("there is no folder {}", within.join("dags").display());
    assert!(said.contains(&looked), "{said}");
    let advice = format!("to serve that project: millstream dev {}", project.path("").display());
    assert!(said.contains(advice.trim_end_matches('/')), "{said}");
}

#[test]
fn validate_finds_a_selection_that_selects_nothing() {
    let project = Project::with("jobs: { lost: { select: nothing } }");
    let checked = project.run(&["definitions", "validate"]);
    assert_eq!(checked.code, 1, "{checked:?}");
    assert!(checked.out.contains("job lost"), "{checked:?}");
}

#[test]
fn status_and_scan_name_the_files_that_are_passed_over_as_a_check_does() {
    let project = Project::new();
    project.write("dags/first.json", NOOP);
    project.write("dags/etl.ymll", NOOP);
    let said = "Passed over, because a definition file ends in .json, .yaml, .yml: etl.ymll";
    for command in ["status", "scan", "validate"] {
        let told = project.run(&["definitions", command]);
        assert!(told.out.contains(said), "{command}: {told:?}");
    }
    project.write("elsewhere.yaml", NOOP);
    let (file, link) = (project.path("elsewhere.yaml"), project.path("dags/linked.yaml"));
    std::os::unix::fs::symlink(file, link).unwrap();
    let told = project.run(&["definitions", "status"]);
    let links = "Passed over, because links are not followed: linked.yaml\n";
    assert!(told.out.contains(said) && told.out.contains(links), "{told:?}");
    let (status, page) = project.serve().try_get("/default/system").unwrap();
    assert!(status == 200 && page.contains("<h2>Passed over</h2>"), "{page}");
    for (name, why) in [("etl.ymll", "a definition file ends in"), ("linked.yaml", "links are not")]
    {
        assert!(page.contains(&format!("{name}</span> is not read: {why}")), "{page}");
    }
}
