//! Plans of changed files, and versions, as the command line shows them.

use serde_json::json;

use crate::project::Project;

const FIRST: &str = "assets:
  orders: { step: { kind: command, command: [echo, one] } }
  report: { deps: [orders], step: { kind: noop } }
jobs:
  etl: { select: orders+, schedule: '0 6 * * *' }
";

/// The definitions with another command and another time.
fn second() -> String {
    FIRST.replace("one", "two").replace("0 6", "30 7")
}

#[test]
fn r204_a_file_is_planned_edited_compared_and_rolled_back_on_the_command_line() {
    let project = Project::with(FIRST);
    let server = project.serve();
    project.json(&["asset", "materialize", "orders+"]);

    project.write("new/main.yaml", &second());
    project.write("new/more.yaml", "jobs: { more: { select: report, shedule: '@daily' } }");
    let planned = project.run(&["definitions", "plan", "new"]);
    assert_eq!(planned.code, 1, "one file has an error: {planned:?}");
    for part in [
        "did you mean `schedule`",
        "~ assets orders",
        r#"step.command: ["echo","one"] → ["echo","two"]"#,
        "\nStale at once, until they are made again:\n  orders: its code changes\n\n\
         Stale once what they are made from is made again:\n  report: it is made from orders\n",
        "T07:30:00Z",
    ] {
        assert!(planned.out.contains(part), "{part}: {planned:?}");
    }
    assert_eq!(project.run(&["definitions", "plan"]).out, "Nothing changes.\n");

    project.write("dags/main.yaml", &second());
    project.json(&["definitions", "scan"]);
    let history = project.json(&["definitions", "history", "main.yaml"]);
    assert_eq!(history["versions"].as_array().unwrap().len(), 2);
    let diff = project.run(&["definitions", "diff", "main.yaml", "v1", "v2"]);
    assert!(diff.out.contains("~ jobs etl"), "{diff:?}");

    project.json(&["definitions", "rollback", "main.yaml", "v1"]);
    drop(server);
    let _server = project.serve();
    project.json(&["definitions", "scan"]);
    let file = project.json(&["definitions", "history", "main.yaml"])["file"].take();
    assert_eq!((&file["number"], file["pin"]["number"].as_u64()), (&1.into(), Some(1)));
    let planned = project.run(&["definitions", "plan", "--exit-code"]);
    assert_eq!(planned.code, 3, "the file holds what is not live: {planned:?}");

    project.write("dags/main.yaml", &second().replace("two", "three"));
    project.json(&["definitions", "scan"]);
    let file = project.json(&["definitions", "history", "main.yaml"])["file"].take();
    assert_eq!((&file["number"], file["pin"].is_null()), (&3.into(), true));
}

#[test]
fn what_a_plan_says_becomes_stale_is_what_is_stale_once_it_is_live() {
    let project = Project::with(FIRST);
    project.json(&["asset", "materialize", "orders+"]);
    let planned = |folder: &str| project.json(&["definitions", "plan", folder])["changes"].take();
    let names = |planned: &serde_json::Value, key: &str| {
        let all = planned[key].as_array().unwrap().iter();
        all.map(|it| it["asset"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let stands = || {
        let rows = project.json(&["asset", "list"]);
        let states = rows.as_array().unwrap().iter();
        let state = |it: &serde_json::Value| (it["is_stale"].clone(), it["stale_upstream"].clone());
        states.map(state).collect::<Vec<_>>()
    };
    project.write("new/main.yaml", &second());
    let changes = planned("new");
    assert_eq!(names(&changes, "stale"), ["orders"]);
    assert_eq!(names(&changes, "stale_later"), ["report"]);
    assert_eq!(changes["stale_later"][0]["upstream"], "orders");

    project.write("old/main.yaml", FIRST);
    project.write("dags/main.yaml", &second());
    assert_eq!(stands(), [(true.into(), json!(null)), (false.into(), "orders".into())]);
    let list = project.run(&["asset", "list"]).out;
    assert!(list.contains("  no (orders is)"), "{list}");
    let shown = project.run(&["asset", "show", "report"]).out;
    assert!(shown.contains("\n  not stale, but orders above it is\n"), "{shown}");
    let why = project.json(&["why", "report"]);
    let answer = "It was made, and nothing stored says that it is stale, but orders above it is.";
    assert_eq!(why["answer"], answer, "{why}");
    let back = planned("old");
    assert_eq!(names(&back, "stale"), [""; 0], "it was made by the code that comes back");
    assert_eq!(names(&back, "stale_later"), [""; 0]);

    project.json(&["asset", "materialize", "orders"]);
    assert_eq!(stands(), [(false.into(), json!(null)), (true.into(), json!(null))]);
}

#[test]
fn a_plan_without_a_server_loads_nothing() {
    let project = Project::with(FIRST);
    let planned = project.json(&["definitions", "plan"]);
    assert_eq!(planned["changes"]["things"].as_array().unwrap().len(), 3, "{planned}");
    let planned = project.json(&["definitions", "plan"]);
    assert_eq!(planned["changes"]["things"].as_array().unwrap().len(), 3, "{planned}");
    project.write("old/main.yaml", FIRST);
    let planned = project.run(&["definitions", "plan", "--against", "old", "--exit-code"]);
    assert_eq!((planned.code, planned.out.as_str()), (0, "Nothing changes.\n"));

    let schedule =
        |cron: &str| format!("{FIRST}schedules: {{ s: {{ job: etl, cron: '{cron}' }} }}");
    project.write("dags/main.yaml", &schedule("0 5 * * *"));
    project.write("old/main.yaml", &schedule("0 3 * * *"));
    let planned = project.run(&["definitions", "plan", "--against", "old", "--exit-code"]);
    assert_eq!(planned.code, 3, "{planned:?}");
    for part in ["~ schedules s", r#"cron: "0 3 * * *" → "0 5 * * *""#, "schedule s", "T05:00:00Z"]
    {
        assert!(planned.out.contains(part), "{part}: {planned:?}");
    }
}

#[test]
fn a_plan_says_what_begins_and_stops_in_a_tenant() {
    let project = Project::with(FIRST);
    let of = |tenants: &str| {
        let schedule = "schedules: { s: { job: etl, cron: '0 5 * * *' } }";
        let sensor = "sensors: { after: { kind: run_status, on: [SUCCESS] } }";
        format!("{FIRST}{schedule}\n{sensor}\ntenants: {{ {tenants} }}\n")
    };
    project.write("dags/main.yaml", &of("ewr: {}, jfk: { enabled: false }, lga: {}"));
    project.write("old/main.yaml", &of("ewr: {}, jfk: {}, lga: { enabled: false }"));
    let planned = project.run(&["definitions", "plan", "--against", "old"]);
    for part in [
        "\n  schedule s in jfk\n    before: 2",
        "\n  schedule s in lga\n    before: never\n",
        "\nBegins to look (+), or looks no more (-):\n",
        ":\n  - sensor after in jfk\n  + sensor after in lga\n",
    ] {
        assert!(planned.out.contains(part), "{part}: {planned:?}");
    }
}

#[test]
fn a_project_is_set_up_by_its_file_and_a_variable_wins() {
    let mut project = Project::new();
    project.write("etl/main.yaml", FIRST);
    project.write("millstream.yaml", "dags:\n  dir: etl\n  scan_interval: 7s\n");
    let status = project.json(&["definitions", "status"]);
    assert_eq!((&status["dag_count"], &status["scan_interval"]), (&1.into(), &"7s".into()));
    project.set("DAGS_SCAN_INTERVAL", Some("9s"));
    assert_eq!(project.json(&["definitions", "status"])["scan_interval"], "9s");

    project.write("millstream.yaml", "dags:\n  dri: etl\n");
    let refused = project.run(&["job", "list"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    for part in ["millstream.yaml:2:3", "dags.dri", "did you mean `dags.dir`"] {
        assert!(refused.err.contains(part), "{part}: {refused:?}");
    }
}
