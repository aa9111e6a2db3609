//! Functions in Python as a user runs them: from a file and a definition to a result and a log.

use serde_json::{Value, json};

use crate::project::Project;
use crate::steps::{launched, step};

const DEFINITIONS: &str = r#"
handlers:
  "MyApp.Tasks.*": { python: "tasks.py:{{ name | snake }}" }
jobs:
  etl:
    nodes:
      - { id: extract, type: local, config: { module: MyApp.Tasks.FetchRows, limit: 3 } }
      - id: total
        type: python
        depends_on: [extract]
        config: { function: "tasks.py:total", isolation: warm, params: { unit: kg } }
      - id: report
        type: python
        depends_on: [total]
        config: { function: "reports.daily:report", isolation: process }
"#;

#[test]
fn r188_a_handler_and_steps_in_python_hand_on_their_results() {
    let project = Project::with(DEFINITIONS);
    project.write(
        "tasks.py",
        "def fetch_rows(config):\n    print('fetching', config['limit'])\n    \
         return {'rows': list(range(config['limit']))}\n\
         def total(upstream_results, unit):\n    \
         return {'total': sum(upstream_results['extract']['rows']), 'unit': unit}\n",
    );
    project.write(
        "reports/daily.py",
        "def report(context):\n    return context.upstream_results['total']\n",
    );
    let run = launched(&project, "etl");
    assert_eq!(run["status"], "SUCCESS", "{run}");
    let id = run["run_id"].as_str().unwrap();
    let logs = project.run(&["run", "logs", id, "--step", "extract"]);
    assert!(logs.out.contains("fetching 3"), "{logs:?}");
    assert_eq!(returned(&project, id, "report"), json!({"total": 3, "unit": "kg"}));
}

#[test]
fn an_exception_is_shown_with_its_traceback() {
    let project = Project::with(DEFINITIONS);
    project.write("tasks.py", "def fetch_rows():\n    return {}['rows']\n");
    let run = launched(&project, "etl");
    assert_eq!(run["status"], "FAILURE", "{run}");
    let error = &step(&run, "extract")["error"];
    assert_eq!(
        (&error["code"], &error["message"]),
        (&json!("step-python"), &json!("KeyError: 'rows'"))
    );
    assert!(error["detail"].as_str().unwrap().contains("File \"tasks.py\", line 2, in fetch_rows"));
}

/// Writes the files that the guide says to write.
fn following(guide: &str) -> Project {
    let project = Project::new();
    for part in guide.split("\nWrite `").skip(1) {
        let (name, rest) = part.split_once('`').unwrap();
        let code = rest.split("```").nth(1).unwrap();
        project.write(name, code.split_once('\n').unwrap().1);
    }
    project
}

#[test]
fn the_guide_for_functions_in_python_does_what_it_says() {
    let guide = include_str!("../../../../docs/guide/python.md");
    let project = following(guide);
    let run = launched(&project, "hours");
    assert_eq!(run["status"], "SUCCESS", "{run}");
    let id = run["run_id"].as_str().unwrap();
    assert_eq!(returned(&project, id, "total"), json!({"site": "JFK", "hours": 7}));
    let shown = project.run(&["run", "show", id]);
    assert!(shown.out.contains("  → {\"hours\":7,\"site\":\"JFK\"}\n"), "{shown:?}");
    let logs = project.run(&["run", "logs", id, "--step", "fetch"]);
    assert!(logs.out.contains("fetching"), "{logs:?}");
    let made = project.json(&["asset", "materialize", "longest_flight"]);
    assert_eq!(made["status"], "SUCCESS", "{made}");
    let result = returned(&project, made["run_id"].as_str().unwrap(), "longest_flight");
    assert_eq!(result, json!({"site": "LGA", "hours": "5"}));
}

fn returned(project: &Project, run: &str, step: &str) -> Value {
    let shown = project.json(&["run", "show", run]);
    let events = shown["events"].as_array().unwrap();
    let succeeded = events
        .iter()
        .find(|event| event["kind"] == "step_succeeded" && event["data"]["step"] == step);
    succeeded.unwrap()["data"]["result"].clone()
}
