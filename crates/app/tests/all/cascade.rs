//! The jobs of `examples/cascade`, with their handlers in Python and its stand-in for AWS, through
//! the binary.

use std::path::Path;

use serde_json::{Value, json};

use crate::aws::Aws;
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

/// The example, whose functions are invoked at `aws`.
fn with_functions(aws: &Aws) -> Project {
    let variables = aws.variables().into_iter();
    variables.fold(example("0"), |project, (name, value)| project.variable(name, &value))
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

#[test]
fn r164_the_jobs_of_functions_run_to_their_end_and_keep_their_results_in_the_bucket() {
    let aws = Aws::start("0");
    let project = with_functions(&aws);
    let context = json!({ "input_data": [10, 20, 30], "multiplier": 3 }).to_string();
    let run = project.json(&["job", "launch", "cloud_test_pipeline", "--context", &context]);
    assert_eq!(run["status"], "SUCCESS", "{run}");
    let process = &step(&run, "process")["result"];
    assert_eq!(process["processed_values"], json!([30, 60, 90]));
    assert_eq!(step(&run, "aggregate")["result"]["total"], 180);

    let key = format!("cloud-test/{}/process_result.json", run["run_id"].as_str().unwrap());
    assert_eq!(process["result_s3_key"], *key);
    assert_eq!(process["result_location"], format!("s3://artifacts/{key}"));
    let objects = aws.get("/_objects");
    let object = objects[format!("artifacts/{key}")].as_str().unwrap();
    assert_eq!(process["result_size_bytes"], object.len(), "r193: {object}");
    let kept: Value = serde_json::from_str(object).unwrap();
    assert_eq!(kept, json!({ "processed_values": [30, 60, 90], "total": 180 }));
}

#[test]
fn r164_a_job_of_handlers_and_functions_passes_results_from_one_to_the_other() {
    let aws = Aws::start("0");
    let project = with_functions(&aws);
    let run = project.json(&["job", "launch", "hybrid_processing_pipeline"]);
    assert_eq!(run["status"], "SUCCESS", "{run}");
    assert_eq!(step(&run, "aggregate_results")["result"]["total"], 90);
    assert_eq!(step(&run, "validate_and_store")["result"]["stored"], 29_850);
    let seen = aws.get("/_seen");
    let chunk = &seen.as_array().unwrap()[0]["event"];
    assert_eq!(chunk["context"]["upstream_results"]["prepare_data"]["total"], 30_000);
    assert_eq!(chunk["job_id"], run["run_id"]);
    assert_eq!(chunk["config"]["config"]["memory"], 1024);
    assert_eq!(chunk["config"]["config"]["timeout"], 300);
}

#[test]
fn r164_r193_payloads_are_filled_in_and_failing_functions_fail_their_job() {
    let context = json!({ "book1_id": 84, "book2_id": 1342, "analysis_depth": "deep" });
    let context = context.to_string();
    let launch = ["job", "launch", "literary_analysis_pipeline", "--context", &context, "--json"];
    let aws = Aws::start("0");
    let project = with_functions(&aws);
    let run = project.run(&launch).json();
    assert_eq!(run["status"], "SUCCESS", "{run}");
    assert_eq!(step(&run, "fetch_book_1")["result"]["book_id"], "84");
    assert_eq!(step(&run, "word_frequency_2")["result"]["analysis_depth"], "deep");
    let report = &step(&run, "compare_results")["result"];
    let common = json!(["a", "bad", "good", "night", "the", "was"]);
    assert_eq!(report["common_words"], common, "{report}");
    assert_eq!(report["sentiment_difference"], -2);

    let without = project.run(&["job", "launch", "literary_analysis_pipeline", "--json"]).json();
    let message = step(&without, "fetch_book_1")["error"]["message"].as_str().unwrap();
    assert!(message.contains("book1_id"), "{message}");

    let failing = Aws::start("1");
    let run = with_functions(&failing).run(&launch).json();
    assert_eq!(run["status"], "FAILURE");
    let error = &step(&run, "sentiment_analysis_1")["error"];
    assert_eq!(error["code"], "step-lambda");
    let wanted = "Lambda function error (RuntimeError): Simulated sentiment analysis failure";
    assert_eq!(error["message"], wanted);
    assert_eq!(step(&run, "compare_results")["status"], "UPSTREAM_FAILED", "{run}");
}

#[test]
fn r192_a_function_that_is_handed_its_event_is_not_waited_for() {
    let aws = Aws::start("0");
    let project = with_functions(&aws);
    let node = json!({ "id": "a", "type": "lambda", "config": {
        "function_name": "cascade-fetch-book", "invocation_type": "async" } });
    project.write("dags/handed.json", &json!({ "nodes": [node] }).to_string());
    let run = project.json(&["job", "launch", "handed"]);
    let wanted = json!({ "status": "async_invoked", "function": "cascade-fetch-book" });
    assert_eq!(step(&run, "a")["result"], wanted);
    assert_eq!(aws.get("/_seen")[0]["invocation_type"], "Event");
}

#[test]
fn r192_what_aws_refuses_says_why_and_is_not_tried_again() {
    let aws = Aws::start("0");
    let mut project = with_functions(&aws);
    let node = |function: &str| {
        json!({ "nodes": [{ "id": "a", "type": "lambda", "retry": 3,
            "config": { "function_name": function } }] })
        .to_string()
    };
    project.write("dags/unknown.json", &node("no-such"));
    let launch = |project: &Project, job: &str| {
        let run = project.run(&["job", "launch", job, "--json"]).json();
        let step = step(&run, "a");
        assert_eq!(step["attempt"], 1, "{step}");
        step["error"]["message"].as_str().unwrap().to_owned()
    };
    let unknown = launch(&project, "unknown");
    assert!(unknown.contains("HTTP 404 (ResourceNotFoundException: Function"), "{unknown}");
    project.set("AWS_SECRET_ACCESS_KEY", Some("another"));
    let forged = launch(&project, "unknown");
    assert!(forged.contains("HTTP 403 (InvalidSignatureException"), "{forged}");
    project.set("AWS_SECRET_ACCESS_KEY", None);
    let keyless = launch(&project, "unknown");
    assert!(keyless.contains("AWS_SECRET_ACCESS_KEY"), "{keyless}");
    project.set("CASCADE_S3_BUCKET", None);
    let nowhere = launch_first(&project, "cloud_test_pipeline");
    assert!(nowhere.contains("CASCADE_S3_BUCKET"), "{nowhere}");
}

/// The message of the first failed step of `job`.
fn launch_first(project: &Project, job: &str) -> String {
    let run = project.run(&["job", "launch", job, "--json"]).json();
    let steps = run["steps"].as_array().unwrap();
    let failed = steps.iter().find_map(|step| step["error"]["message"].as_str());
    failed.unwrap().to_owned()
}
