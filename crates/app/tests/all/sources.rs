//! Sources of steps: a run has those of the version it was launched with, whatever happens to the
//! files meanwhile.

use serde_json::Value;

use crate::project::{Project, wait_for};
use crate::steps::step;

/// A project whose job runs a script and a function, after a step that writes both anew.
fn rewritten_on_the_way() -> Project {
    let project = Project::new().variable("MILLSTREAM_PYTHON", "/usr/bin/python3");
    project.write(
        "dags/job.yaml",
        r#"
nodes:
  - id: rewrite
    type: command
    config: { command: "cp new/say.sh say.sh; cp new/tasks.py .; cp new/load.py new/helper.py etl" }
  - id: script
    type: command
    depends_on: [rewrite]
    config: { command: [./say.sh, "{{ run.id }}"] }
  - id: line
    type: command
    depends_on: [rewrite]
    config: { command: "./say.sh > copy.txt && cat copy.txt" }
  - id: module
    type: command
    depends_on: [rewrite]
    config: { command: [/usr/bin/python3, load.py], cwd: etl }
  - id: function
    type: python
    depends_on: [rewrite]
    config: { function: "tasks.py:say" }
"#,
    );
    for (folder, word) in [("", "old"), ("new/", "new")] {
        project.program(&format!("{folder}say.sh"), &format!("#!/bin/sh\necho {word}\n"));
        project.write(&format!("{folder}tasks.py"), &format!("def say(): return '{word}'\n"));
    }
    for (path, word) in [("etl/", "old"), ("new/", "new")] {
        project.write(&format!("{path}load.py"), "import helper\nprint(helper.WORD)\n");
        project.write(&format!("{path}helper.py"), &format!("WORD = '{word}'\n"));
    }
    project
}

/// What the steps of a run of the job said.
fn said(project: &Project) -> Vec<String> {
    let run = project.json(&["job", "launch", "job"]);
    assert_eq!(run["status"], "SUCCESS", "{run}");
    let id = run["run_id"].as_str().unwrap();
    let log = |step: &str| project.run(&["run", "logs", id, "--step", step]).out.trim().to_owned();
    let mut said: Vec<String> = ["script", "line", "module"].map(log).into();
    said.push(step(&run, "function")["result"].as_str().unwrap().to_owned());
    said
}

#[test]
fn sources_that_change_between_launch_and_start_run_as_they_were_launched() {
    let project = rewritten_on_the_way();
    assert_eq!(said(&project), ["old"; 4]);
    assert_eq!(project.read("say.sh"), project.read("new/say.sh"), "the file itself has changed");
    assert_eq!(project.read("copy.txt"), "old\n", "steps write to the project");
    assert_eq!(said(&project), ["new"; 4]);
}

fn history(project: &Project) -> Value {
    project.json(&["definitions", "history", "job.yaml"])
}

fn versions(project: &Project) -> usize {
    history(project)["versions"].as_array().unwrap().len()
}

fn with_script(text: &str) -> Project {
    let project = Project::new();
    project.write(
        "dags/job.yaml",
        "nodes: [{ id: say, type: command, config: { command: [sh, bin/say.sh], sources: [lib] } }]",
    );
    project.write("bin/say.sh", text);
    project.write("lib/words/a.txt", "a");
    project
}

fn word(project: &Project) -> String {
    let run = project.json(&["job", "launch", "job"]);
    let id = run["run_id"].as_str().unwrap().to_owned();
    project.run(&["run", "logs", &id, "--step", "say"]).out.trim().to_owned()
}

#[test]
fn r204_a_rollback_runs_the_sources_of_its_version_until_one_of_them_changes() {
    let project = with_script("echo one; cat \"$(dirname \"$0\")/../lib/words/a.txt\"");
    assert_eq!(word(&project), "one\na");
    project.write("bin/say.sh", "echo two");
    let planned = project.run(&["definitions", "plan", "--exit-code"]);
    assert_eq!(planned.code, 3, "{planned:?}");
    let named = "say.step: bin/say.sh, which it runs, is another one\n";
    assert!(planned.out.contains(named), "{planned:?}");
    assert_eq!(word(&project), "two");
    let diff = project.run(&["definitions", "diff", "job.yaml", "v1", "v2"]);
    assert!(diff.out.contains(named), "{diff:?}");

    project.json(&["definitions", "rollback", "job.yaml", "v1"]);
    project.write("lib/words/a.txt", "a");
    assert_eq!(word(&project), "one\na");
    assert_eq!(history(&project)["file"]["pin"]["number"], 1);
    let status = project.run(&["definitions", "status"]).out;
    assert!(status.contains("job.yaml: developer went back to v1"), "{status}");

    std::fs::remove_dir_all(project.path(".millstream/code")).unwrap();
    assert_eq!(word(&project), "one\na", "a copy that is gone is made anew");

    project.write("lib/words/a.txt", "b");
    assert_eq!(word(&project), "two", "another source ends the rollback");
    assert_eq!(versions(&project), 3);
}

#[test]
fn a_changed_source_is_noticed_where_nobody_asks_for_a_scan() {
    let project = with_script("echo one").variable("DAGS_SCAN_INTERVAL", "3600000");
    let _server = project.serve();
    assert_eq!(versions(&project), 1);
    project.write("bin/say.sh", "echo two");
    wait_for("the script's change makes a version", || (versions(&project) == 2).then_some(()));
    project.write("lib/words/a.txt", "b");
    wait_for("so does one of a file in a folder", || (versions(&project) == 3).then_some(()));
}

#[test]
fn a_plan_of_another_checkout_compares_its_sources_too() {
    let project = with_script("echo one");
    word(&project);
    for name in ["dags/job.yaml", "bin/say.sh", "lib/words/a.txt"] {
        project.write(&format!("branch/{name}"), &project.read(name));
    }
    let plan = || project.run(&["definitions", "plan", "branch/dags"]).out;
    assert_eq!(plan(), "Nothing changes.\n");
    project.write("branch/bin/say.sh", "echo three");
    assert!(plan().contains("~ jobs job"), "{}", plan());
    project.write("branch/lib/words/b.txt", "b");
    let against = project.run(&["definitions", "plan", "branch/dags", "--against", "dags"]).out;
    let named = "say.step: bin/say.sh, which it runs, is another one; lib/words/b.txt, which it \
                 runs, is new\n";
    assert!(against.contains(named) && plan().contains(named), "{against}");
}

#[test]
fn sources_that_cannot_be_kept_are_said_with_their_place_and_a_way_out() {
    let project = with_script("echo one");
    std::fs::remove_dir_all(project.path("lib")).unwrap();
    let found = project.run(&["definitions", "validate", "--json"]).json();
    let found = &found["diagnostics"][0];
    assert_eq!(found["code"], "definition-sources", "{found}");
    assert_eq!(found["place"]["line"], 1, "{found}");
    let message = found["message"].as_str().unwrap();
    assert!(message.contains("`lib`") && message.contains("Node `say` of `job`"), "{message}");

    project.write("lib/big", "");
    let big = std::fs::File::options().write(true).open(project.path("lib/big")).unwrap();
    big.set_len(65 << 20).unwrap();
    let found = project.run(&["definitions", "validate", "--json"]).json();
    let message = found["diagnostics"][0]["message"].as_str().unwrap();
    assert!(message.contains("over 64 MiB"), "{message}");
}
