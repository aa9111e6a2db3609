//! The jobs of `examples/cascade`, with their handlers in Python, through the binary.

use std::path::Path;

use serde_json::{Value, json};

use crate::project::Project;

/// The example in a folder of its own, without waits, and failing as often as `failures` says.
fn example(failures: &str) -> Project {
    let project = Project::new()
        .variable("MILLSTREAM_ENV", "CASCADE_PACE,CASCADE_FAILURES,CASCADE_SEED")
        .variable("CASCADE_PACE", "0")
        .variable("CASCADE_FAILURES", failures)
        .variable("CASCADE_SEED", "7");
    for folder in ["dags", "handlers"] {
        let from =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/cascade").join(folder);
        for entry in std::fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let name = path.file_name().unwrap().to_str().unwrap();
                let text = std::fs::read_to_string(&path).unwrap();
                project.write(&format!("{folder}/{name}"), &text);
            }
        }
    }
    project
}

fn step<'a>(run: &'a Value, name: &str) -> &'a Value {
    let steps = run["steps"].as_array().unwrap();
    steps.iter().find(|step| step["step"] == name).unwrap_or_else(|| panic!("{run}"))
}

#[test]
fn r164_the_jobs_of_local_handlers_run_to_their_end() {
    let project = example("0");
    for job in [
        "my_dag",
        "terraform_my_dag",
        "imported_pipeline",
        "daily_etl_pipeline",
        "test_flaky_dag",
        "inline_tasks_example",
        "data_processing_pipeline",
    ] {
        let run = project.json(&["job", "launch", job]);
        assert_eq!(run["status"], "SUCCESS", "{run}");
    }
}

#[test]
fn r189_handlers_see_what_the_steps_before_them_returned_and_what_the_trigger_said() {
    let project = example("0");
    let run = project.json(&["job", "launch", "imported_pipeline"]);
    assert_eq!(step(&run, "validate")["result"], json!({ "valid_records": 500 }), "{run}");
    assert_eq!(step(&run, "save")["result"]["records_inserted"], 500);
    let context = json!({ "city": "Oslo" }).to_string();
    let launch = ["job", "launch", "inline_tasks_example", "--context", &context];
    let run = project.json(&launch);
    assert_eq!(step(&run, "analyze_weather")["result"]["comfort_level"], "Comfortable", "{run}");
    assert_eq!(step(&run, "fetch_weather")["result"]["city"], "Oslo");
}

#[test]
fn r164_a_failure_of_the_examples_is_its_own_and_the_seed_repeats_it() {
    let always = example("1");
    let run = always.run(&["job", "launch", "daily_etl_pipeline", "--json"]).json();
    assert_eq!(run["status"], "FAILURE");
    let message = step(&run, "transform")["error"]["message"].as_str().unwrap();
    assert!(message.contains("Simulated transformation failure for testing"), "{message}");
    let sometimes = example("0.5");
    let launch = || {
        let run = sometimes.run(&["job", "launch", "my_dag", "--json"]).json();
        let steps = run["steps"].as_array().unwrap();
        steps.iter().map(|step| step["attempt"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(launch(), launch());
}
