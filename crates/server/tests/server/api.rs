//! The REST API.

use axum::http::{Method, StatusCode};
use millstream_blob::{LogKey, LogStream, LogWriter};
use millstream_model::{EventBody, StepError, StepUsage};
use serde_json::json;

use crate::instance::{Instance, ask, request};

#[tokio::test]
async fn a_job_whose_name_has_a_slash_and_a_space_is_launched_and_listed() {
    let instance = Instance::new().await;
    let run = instance.launch().await;
    let runs = instance.get("/jfk/api/v1/runs?status=queued&job=production/daily%20etl").await;
    let rows = runs.json();
    assert_eq!(rows[0]["run_id"], run.to_string());
    assert_eq!(
        (&rows[0]["job"], &rows[0]["status"]),
        (&json!("production/daily etl"), &json!("QUEUED"))
    );
    let other = instance.get("/lga/api/v1/runs").await;
    assert_eq!(other.json(), json!([]), "a run of jfk shows in lga");
}

#[tokio::test]
async fn a_run_is_shown_by_its_short_id_with_its_steps_and_events() {
    let instance = Instance::new().await;
    let run = instance.launch().await;
    let shown = instance.get(&format!("/jfk/api/v1/runs/{}", run.short())).await.json();
    assert_eq!(shown["run_id"], run.to_string());
    assert_eq!(shown["steps"][1]["depends_on"], json!(["extract"]));
    let path = format!("/jfk/api/v1/runs/{run}/events");
    let events = instance.get(&path).await.json();
    assert_eq!(events["events"][0]["kind"], "run_queued");
    let after = instance.get(&format!("{path}?after={}", events["next"].as_str().unwrap())).await;
    assert_eq!(after.json()["events"], json!([]));
}

#[tokio::test]
async fn a_queued_run_is_cancelled_once_and_a_second_time_is_a_conflict() {
    let instance = Instance::new().await;
    let path = format!("/jfk/api/v1/runs/{}/cancel", instance.launch().await);
    let first = instance.post(&path, &json!({})).await;
    assert_eq!(first.json()["status"], "CANCELED");
    let second = instance.post(&path, &json!({})).await;
    assert_eq!(second.status, StatusCode::CONFLICT);
    assert_eq!(second.json()["error"]["code"], "run-status");
}

#[tokio::test]
async fn a_context_that_is_no_object_and_an_unknown_field_are_refused_by_name() {
    let instance = Instance::new().await;
    let path = "/jfk/api/v1/jobs/production%2Fdaily%20etl/launch";
    let context = instance.post(path, &json!({"context": [1]})).await;
    assert_eq!(context.json()["error"]["code"], "context-json");
    let field = instance.post(path, &json!({"contxt": {}})).await;
    assert_eq!(field.status, StatusCode::BAD_REQUEST);
    assert!(field.text.contains("contxt"), "{}", field.text);
}

#[tokio::test]
async fn the_page_of_an_asset_shows_what_each_build_said_numbers_first() {
    let instance = Instance::new().await;
    let said = json!({ "metadata": { "note": "on time", "ok": true, "rows": 5 } });
    let reported = instance.post("/jfk/api/v1/assets/marts%2Fflights/report", &said).await;
    assert_eq!(reported.status, StatusCode::CREATED, "{}", reported.text);
    let page = instance.get("/jfk/assets/marts%2Fflights").await.text;
    assert!(page.contains("rows 5 · note on time · ok true"), "{page}");
}

#[tokio::test]
async fn each_key_of_an_asset_is_described() {
    const PAGE: &str = include_str!("../../../../docs/reference/api.md");
    let (_, described) = PAGE.split_once("### An asset\n").unwrap();
    let (described, _) = described.split_once("\n## ").unwrap();
    let instance = Instance::new().await;
    for asset in ["marts%2Fflights", "days"] {
        let path = format!("/jfk/api/v1/assets/{asset}");
        let key = json!({ "keys": ["mo"] });
        instance.post("/jfk/api/v1/partitions/days", &key).await;
        let partition = (asset == "days").then_some("mo");
        let said = json!({ "partition": partition });
        assert!(instance.post(&format!("{path}/report"), &said).await.status.is_success());
        let shown = instance.get(&path).await.json();
        let within = [&shown["latest"], &shown["history"][0], &shown["partition_rows"][0]];
        let objects = std::iter::once(&shown).chain(within).filter_map(|it| it.as_object());
        for key in objects.flat_map(|object| object.keys()) {
            assert!(described.contains(&format!("`{key}`")), "{key} of {shown}");
        }
    }
}

#[tokio::test]
async fn an_asset_of_two_parts_is_built_and_shown() {
    let instance = Instance::new().await;
    let built =
        instance.post("/jfk/api/v1/assets/materialize", &json!({"select": "marts/flights"})).await;
    assert_eq!(built.status, StatusCode::CREATED, "{}", built.text);
    assert_eq!(built.json()["runs"].as_array().unwrap().len(), 1);
    let shown = instance.get("/jfk/api/v1/assets/marts%2Fflights").await;
    assert_eq!(shown.json()["asset"], "marts/flights");
    let unknown = instance.get("/jfk/api/v1/assets/marts%2Fflight").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert!(
        unknown.text.contains("marts/flights"),
        "it does not name the nearest: {}",
        unknown.text
    );
}

#[tokio::test]
async fn partition_keys_are_added_listed_and_removed() {
    let instance = Instance::new().await;
    let path = "/jfk/api/v1/partitions/days";
    let added = instance.post(path, &json!({"keys": ["a", "b"]})).await;
    assert_eq!(added.json()["keys"], json!(["a", "b"]));
    let again = instance.post(path, &json!({"keys": ["b", "c"]})).await;
    assert_eq!(again.json()["keys"], json!(["c"]), "only new keys are named");
    let mut removal = request(Method::DELETE, path);
    removal.headers_mut().insert("content-type", "application/json".parse().unwrap());
    *removal.body_mut() = json!({"keys": ["a"]}).to_string().into();
    assert_eq!(ask(&instance.router, removal).await.json()["keys"], json!(["a"]));
    assert_eq!(instance.get(path).await.json()["keys"], json!(["b", "c"]));
    let unknown = instance.get("/jfk/api/v1/partitions/weeks").await;
    assert_eq!(unknown.json()["error"]["code"], "partition-unknown");
}

#[tokio::test]
async fn r010_a_log_is_read_by_offset_while_it_grows_and_says_when_it_is_over() {
    let instance = Instance::new().await;
    let run = instance.launch().await;
    let step: millstream_model::StepKey = "extract".parse().unwrap();
    let started = vec![
        EventBody::RunStarted { worker: "w".to_owned() },
        EventBody::StepStarted { step: step.clone(), attempt: 1 },
    ];
    instance.report(run, started).await;
    let (tenant, stream) = ("jfk".parse().unwrap(), LogStream::Out);
    let key = LogKey { tenant, run, step, attempt: 1, stream };
    let mut log = LogWriter::new(instance.blobs.log_path(&key));
    log.append(b"one\n", crate::samples::now()).unwrap();
    let path = format!("/jfk/api/v1/runs/{run}/logs/extract/1/out");
    let first = instance.get(&path).await;
    assert_eq!(
        (first.text.as_str(), first.headers["millstream-log-done"].as_bytes()),
        ("one\n", &b"false"[..])
    );
    log.append(b"two\n", crate::samples::now()).unwrap();
    assert_eq!(instance.get(&format!("{path}?offset=4")).await.text, "two\n");
    let page = instance.get(&format!("/jfk/runs/{run}?tab=output")).await;
    assert!(page.text.contains("<span class=\"line\">two</span>"), "{}", page.text);
    assert!(page.text.contains("data-follow=\"true\""), "the page does not follow an open log");
    let whole = instance.get(&format!("{path}?download=1")).await;
    assert_eq!(whole.text, "one\ntwo\n");
    assert_eq!(instance.get(&path.replace("extract", "nope")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn definitions_status_has_the_fields_of_the_document_and_the_errors() {
    let instance = Instance::new().await;
    let status = instance.get("/api/v1/definitions").await.json();
    assert_eq!(status["dag_count"], 1);
    assert_eq!(status["loaded_dags"], json!(["production/daily etl"]));
    assert_eq!(status["local_source"]["path"], "/project/dags");
    assert_eq!(status["errors"][0]["place"]["line"], 3);
    for key in ["enabled", "scan_interval", "s3_source"] {
        assert!(status.as_object().unwrap().contains_key(key), "{key}");
    }
}

#[tokio::test]
async fn the_password_in_a_tenant_s_database_address_is_not_told() {
    let instance = Instance::new().await;
    for path in ["/api/v1/tenants", "/jfk/system/tenants"] {
        let heard = instance.get(path).await;
        assert!(heard.text.contains("postgres://app:***@db/x"), "{path}: {}", heard.text);
        assert!(!heard.text.contains("s3cret"), "{path}");
    }
}

#[tokio::test]
async fn r179_a_job_turned_off_by_hand_stays_off_until_the_word_goes_back_to_the_file() {
    let instance = Instance::new().await;
    let path = "/jfk/api/v1/jobs/production%2Fdaily%20etl";
    let off = instance.post(&format!("{path}/switch"), &json!({"to": "off"})).await.json();
    assert_eq!((&off["enabled"], &off["enabled_override"]["on"]), (&json!(false), &json!(false)));
    let launch = instance.post(&format!("{path}/launch"), &json!({})).await;
    assert_eq!(launch.json()["error"]["code"], "job-disabled");
    let page = instance.get("/jfk/automation").await;
    assert!(page.text.contains("by hand"), "{}", page.text);
    let file = instance.post(&format!("{path}/switch"), &json!({"to": "file"})).await.json();
    assert_eq!((&file["enabled"], &file["enabled_override"]), (&json!(true), &json!(null)));
}

#[tokio::test]
async fn why_a_step_failed_is_the_first_thing_on_its_run_s_page() {
    let instance = Instance::new().await;
    let run = instance.launch().await;
    let step: millstream_model::StepKey = "extract".parse().unwrap();
    let error = StepError {
        code: millstream_model::ErrorCode::StepExit,
        message: "exit code 3 <b>".to_owned(),
        detail: Some("traceback".to_owned()),
    };
    let events = vec![
        EventBody::RunStarted { worker: "w".to_owned() },
        EventBody::StepStarted { step: step.clone(), attempt: 1 },
        EventBody::StepFailed {
            step: step.clone(),
            attempt: 1,
            error,
            retry: None,
            usage: Some(StepUsage {
                cpu_micros: 1_900_000,
                peak_memory_bytes: 96_000_000,
                output_dropped_bytes: 5_000_000,
            }),
        },
    ];
    instance.report(run, events).await;
    let page = instance.get(&format!("/jfk/runs/{run}")).await;
    let message =
        page.text.find("exit code 3 &#60;b&#62;").unwrap_or_else(|| panic!("{}", page.text));
    assert!(message < page.text.find("class=\"gantt\"").unwrap());
    let used = "failed · CPU 1.9s · peak memory 91.5 MiB · 4.7 MiB of output dropped";
    assert!(page.text.contains(used), "{}", page.text);
}
