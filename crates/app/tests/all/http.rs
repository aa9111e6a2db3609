//! HTTP steps through the binary, against a service that behaves as Cube does.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use serde_json::{Value, json};

use crate::project::Project;

const SECRET: &str = "tok-3b1f9c55e0";

/// A service that says "Continue wait" once for each query, as Cube does, and then has the rows.
#[derive(Clone, Default)]
struct Cube {
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Cube {
    fn start(&self) -> SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/cubejs-api/v1/load", axum::routing::post(load))
            .fallback(refuse)
            .with_state(self.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, router).await.unwrap();
            });
        });
        address
    }
}

async fn load(State(cube): State<Cube>, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    let authorization = headers.get("authorization").map(|it| it.to_str().unwrap());
    if authorization != Some(&format!("Bearer {SECRET}")) {
        return (
            StatusCode::FORBIDDEN,
            json!({ "error": "Authorization header isn't set" }).to_string(),
        );
    }
    let query: Value = serde_json::from_slice(&body).unwrap();
    let mut asked = cube.asked.lock().unwrap();
    let is_first = !asked.contains(&query);
    asked.push(query);
    let answer = if is_first {
        json!({ "error": "Continue wait", "stage": "Executing query" })
    } else {
        json!({ "data": [{ "day": "2025-07-01", "revenue": 5.5 }, { "day": "2025-07-02", "revenue": null }] })
    };
    (StatusCode::OK, answer.to_string())
}

async fn refuse(headers: HeaderMap) -> impl IntoResponse {
    let said = headers.get("authorization").map(|it| it.to_str().unwrap().to_owned());
    (StatusCode::INTERNAL_SERVER_ERROR, format!("what is {said:?}?"))
}

fn project(address: SocketAddr) -> Project {
    Project::with(
        r#"
tenants: { tenant123: {}, other: {} }
resources:
  cube:
    kind: http
    base_url: "{{ env.CUBE_URL }}/cubejs-api/v1"
    auth: { bearer: { secret: cube_token } }
  closed: { kind: http, base_url: "{{ env.CUBE_URL }}", auth: { bearer: { secret: not_there } } }
  metadata: { kind: http, base_url: "http://169.254.169.254" }
partitions:
  tenant_grain_metric:
    kind: dynamic
    dimensions: [tenant, grain, metric]
    separator: "::"
    tenant: tenant
    keys: ["tenant123::day::metric_revenue", "other::day::metric_revenue"]
io:
  lake: { kind: csv, base: lake }
assets:
  metric_semantic_values:
    group: semantic_extraction
    partitions: tenant_grain_metric
    io: lake
    step:
      kind: http
      resource: cube
      request:
        method: POST
        path: /load
        json:
          query:
            measures: ["{{ partition.metric }}"]
            timeDimensions: [{ granularity: "{{ partition.grain }}" }]
            limit: "{{ 10 * 10 }}"
      retry_while: { status: 200, json: { error: "Continue wait" }, every: 0.01s }
      rows: /data
jobs:
  broken:
    nodes:
      - { id: ask, type: http, config: { resource: cube, request: { path: /nowhere } } }
  no_secret:
    nodes:
      - { id: ask, type: http, retry: 3, config: { resource: closed } }
  metadata:
    nodes:
      - { id: ask, type: http, retry: 3, config: { resource: metadata } }
"#,
    )
    .variable("MILLSTREAM_ENV", "CUBE_URL")
    .variable("CUBE_URL", &format!("http://{address}"))
    .variable("MILLSTREAM_SECRET_CUBE_TOKEN", SECRET)
}

const MATERIALIZE: &[&str] = &[
    "asset",
    "materialize",
    "--select",
    "metric_semantic_values",
    "--partition",
    "tenant123::day::metric_revenue",
];

fn launched(project: &Project, job: &str) -> Value {
    project.run(&["job", "launch", job, "--tenant", "tenant123", "--json"]).json()
}

fn shown(project: &Project, run: &Value) -> Value {
    project.json(&["run", "show", run["run_id"].as_str().unwrap(), "--tenant", "tenant123"])
}

#[test]
fn r033_r034_rows_of_cube_are_asked_for_until_they_are_ready_and_kept_by_partition() {
    let cube = Cube::default();
    let project = project(cube.start());
    let run = project.json(MATERIALIZE);
    assert_eq!((&run["tenant"], &run["status"]), (&json!("tenant123"), &json!("SUCCESS")), "{run}");
    let query = json!({ "query": {
        "measures": ["metric_revenue"], "timeDimensions": [{ "granularity": "day" }], "limit": 100
    } });
    assert_eq!(*cube.asked.lock().unwrap(), [query.clone(), query]);
    let path = "lake/tenant123/metric_semantic_values/tenant123::day::metric_revenue.csv";
    assert_eq!(project.read(path), "day,revenue\n2025-07-01,5.5\n2025-07-02,\n");
    let show = ["asset", "show", "metric_semantic_values", "--tenant", "tenant123"];
    let metadata = &project.json(&show)["latest"]["metadata"];
    for (name, wanted) in [("rows", 2), ("http_status", 200), ("http_requests", 2)] {
        assert_eq!(metadata[name]["value"], wanted, "{metadata}");
    }
}

/// All bytes of all files below `folder`.
fn contents(folder: &std::path::Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else if path.is_file() {
            all.extend(std::fs::read(path).unwrap());
        }
    }
    all
}

#[test]
fn a_secret_is_in_no_error_event_log_plan_or_file_even_when_the_service_repeats_it() {
    let project = project(Cube::default().start());
    assert_eq!(project.json(MATERIALIZE)["status"], "SUCCESS");
    let run = launched(&project, "broken");
    let error = &run["steps"][0]["error"];
    assert_eq!(error["code"], "step-http", "{run}");
    let detail = error["detail"].as_str().unwrap();
    assert_eq!(detail, "what is Some(\"Bearer ***\")?");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("/nowhere answered 500"), "{message}");
    assert!(!shown(&project, &run).to_string().contains(SECRET));
    let stored = contents(&project.path(""));
    let found = stored.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
    assert!(!found, "the secret is in a file of the project");
}

#[test]
fn a_missing_secret_and_a_metadata_address_fail_the_step_for_good_and_say_what_to_do() {
    let project = project(Cube::default().start());
    for (job, code, words) in [
        ("no_secret", "secret-unknown", "set MILLSTREAM_SECRET_NOT_THERE"),
        ("metadata", "address-refused", "169.254.169.254 is one that no request may go to"),
    ] {
        let run = launched(&project, job);
        let step = &run["steps"][0];
        assert_eq!((&step["attempt"], &step["error"]["code"]), (&json!(1), &json!(code)), "{run}");
        assert!(step["error"]["message"].as_str().unwrap().contains(words), "{run}");
    }
}

#[test]
fn this_machine_is_not_reached_once_the_operator_says_so() {
    let project = project(Cube::default().start()).variable("MILLSTREAM_OUTBOUND_ALLOW", "none");
    let run = launched(&project, "broken");
    let error = &run["steps"][0]["error"];
    assert_eq!(error["code"], "address-refused", "{run}");
    assert!(error["message"].as_str().unwrap().contains("MILLSTREAM_OUTBOUND_ALLOW"), "{run}");
}
