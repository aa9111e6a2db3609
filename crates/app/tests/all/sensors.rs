//! Sensors beside a server whose clock is the real one: what is asked is a real program, a real
//! database or a real service, and what comes of it is seen from outside.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt as _;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use millstream_model::Timestamp;
use serde_json::{Value, json};

use crate::database::Database;
use crate::project::{Project, wait_for};
use crate::s3::{self, S3};
use crate::server::Server;

const LOAD: &str = "jobs:\n  load: { nodes: [{ id: a, type: noop }] }\n";

/// A service that answers every request with what it was told last.
#[derive(Clone)]
struct Service(Arc<Mutex<(StatusCode, Value)>>);

impl Service {
    fn start(answer: Value) -> (Self, SocketAddr) {
        let service = Self(Arc::new(Mutex::new((StatusCode::OK, answer))));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answered).with_state(service.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, router).await.unwrap();
            });
        });
        (service, address)
    }

    fn say(&self, status: StatusCode, answer: Value) {
        *self.0.lock().unwrap() = (status, answer);
    }
}

async fn answered(State(service): State<Service>) -> (StatusCode, String) {
    let (status, answer) = service.0.lock().unwrap().clone();
    (status, answer.to_string())
}

/// Posts to the server, and returns the status and the body of the answer.
fn post(server: &Server, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let mut head = format!("POST {path} HTTP/1.0\r\nHost: {}\r\n", server.address);
    head.extend(headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")));
    let length = body.len();
    write!(stream, "{head}Content-Length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

/// The ticks of a sensor that came to something, once there are `count` of them; oldest first.
fn launched(project: &Project, sensor: &str, count: usize) -> Vec<Value> {
    wait_for(&format!("{count} ticks of {sensor} with runs"), || {
        let mut ticks = project.json(&["sensor", "ticks", sensor]).as_array().cloned()?;
        ticks.retain(|tick| tick["status"] == "LAUNCHED");
        ticks.reverse();
        (ticks.len() >= count).then_some(ticks)
    })
}

/// The run keys of a sensor's runs, in the order of its ticks, once there are `count`.
fn run_keys(project: &Project, sensor: &str, count: usize) -> Vec<String> {
    wait_for(&format!("{count} runs of {sensor}"), || {
        let mut ticks = project.json(&["sensor", "ticks", sensor]).as_array().cloned()?;
        ticks.reverse();
        let runs = ticks.iter().flat_map(|tick| tick["runs"].as_array().unwrap());
        let keys: Vec<String> =
            runs.map(|run| run["run_key"].as_str().unwrap().to_owned()).collect();
        (keys.len() >= count).then_some(keys)
    })
}

/// The last tick of a sensor that `fits`, once there is one.
fn last(project: &Project, sensor: &str, fits: impl Fn(&Value) -> bool) -> Value {
    wait_for(&format!("a tick of {sensor}"), || {
        let ticks = project.json(&["sensor", "ticks", sensor]);
        ticks.as_array()?.first().filter(|tick| fits(tick)).cloned()
    })
}

/// The example in GitHub's documentation: its secret, its body, and the signature of it.
const SECRET: &str = "It's a Secret to Everybody";
const BODY: &str = "Hello, World!";
const SIGNATURE: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

#[test]
fn a_signed_delivery_requests_one_run_and_survives_a_crash_before_its_tick() {
    let hook = "sensors:\n  pushed:\n    kind: webhook\n    auth: { hmac: { secret: github } }\n    \
                delivery_id: X-GitHub-Delivery\n    \
                request: { job: load, context: { said: \"{{ delivery.body }}\" } }\n";
    let project =
        Project::with(&format!("{LOAD}{hook}")).variable("MILLSTREAM_SECRET_GITHUB", SECRET);
    let server = project.serve();
    project.run(&["sensor", "stop", "pushed"]);
    let path = "/default/hooks/pushed";
    let signed = |id: &'static str| [("X-Hub-Signature-256", SIGNATURE), ("X-GitHub-Delivery", id)];
    let (status, kept) = post(&server, path, &signed("d-1"), BODY);
    assert_eq!((status, &kept), (202, &json!({ "delivery": "d-1", "repeated": false })));
    let (status, again) = post(&server, path, &signed("d-1"), BODY);
    assert_eq!((status, &again["repeated"]), (200, &json!(true)));
    let (status, refused) = post(&server, path, &signed("d-2"), "Hello, World?");
    assert_eq!((status, &refused["error"]["code"]), (401, &json!("delivery-refused")));
    let (elsewhere, unknown) = post(&server, "/default/hooks/nothing", &signed("d-2"), BODY);
    assert_eq!((elsewhere, &unknown["error"]["message"]), (401, &refused["error"]["message"]));
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("the signature or the secret in the delivery's header"), "{message}");
    let (status, _) = post(&server, path, &signed("d-2"), &"x".repeat((1 << 20) + 1));
    assert_eq!(status, 413);
    server.kill();

    let server = project.serve();
    assert_eq!(project.json(&["sensor", "show", "pushed"])["lag"]["events"], 1);
    project.run(&["sensor", "start", "pushed"]);
    assert_eq!(run_keys(&project, "pushed", 1), ["d-1"]);
    let (status, _) = post(&server, path, &signed("d-1"), BODY);
    assert_eq!(status, 200, "it is known although it was read");
    assert_eq!(post(&server, path, &signed("d-3"), BODY).0, 202);
    assert_eq!(run_keys(&project, "pushed", 2), ["d-1", "d-3"]);
}

#[test]
fn deliveries_that_wait_are_listed_and_one_that_is_dropped_is_gone() {
    let hook = "sensors:\n  pushed:\n    kind: webhook\n    auth: { bearer: { secret: hook } }\n    \
                delivery_id: X-Delivery\n    request: { job: load }\n";
    let project = Project::with(&format!("{LOAD}{hook}")).variable("MILLSTREAM_SECRET_HOOK", "s");
    let server = project.serve();
    project.run(&["sensor", "stop", "pushed"]);
    for id in ["d-1", "d-2"] {
        let headers = [("Authorization", "Bearer s"), ("X-Delivery", id)];
        assert_eq!(post(&server, "/default/hooks/pushed", &headers, "Hello").0, 202);
    }
    let listed = project.run(&["sensor", "deliveries", "pushed"]);
    let first_words = |line: &str| line.split_whitespace().next().unwrap().to_owned();
    let lines: Vec<String> = listed.out.lines().map(first_words).collect();
    assert_eq!((listed.code, &lines[..]), (0, &["DELIVERY", "d-1", "d-2"].map(str::to_owned)[..]));
    let ends = |line: &str| line.trim_end().ends_with(" 5      0      waits  –");
    assert!(listed.out.lines().skip(1).all(ends), "{}", listed.out);
    let resent = project.run(&["sensor", "resend", "pushed"]);
    assert_eq!(resent.out, "No delivery was set aside or waits for another try\n");
    let resent = project.run(&["sensor", "resend", "pushed", "d-1"]);
    let message = "no delivery d-1 was set aside or waits for another try by sensor pushed; \
                   `millstream sensor deliveries pushed` lists those that were";
    assert!(resent.code == 1 && resent.err.contains(message), "{resent:?}");

    let dropped = project.run(&["sensor", "drop", "pushed", "d-1"]);
    assert_eq!(dropped.code, 0, "{dropped:?}");
    assert_eq!(dropped.out, "The delivery d-1 is dropped; 1 more waits for pushed\n");
    let left = project.json(&["sensor", "deliveries", "pushed"]);
    let named: Vec<&Value> = left.as_array().unwrap().iter().map(|row| &row["delivery"]).collect();
    assert_eq!(named, ["d-2"]);
    let tick = &project.json(&["sensor", "ticks", "pushed"])[0];
    assert_eq!(tick["skipped"]["delivery"], "d-1", "{tick}");
    assert_eq!(project.json(&["sensor", "drop", "pushed", "d-2"])["lag"]["events"], 0);
    assert_eq!(project.json(&["sensor", "deliveries", "pushed"]), json!([]));

    let again = project.run(&["sensor", "drop", "pushed", "d-1"]);
    assert_eq!(again.code, 1, "{again:?}");
    let message = "no delivery d-1 waits for sensor pushed; `millstream sensor deliveries pushed` \
                   lists those that do";
    assert!(again.err.contains(message), "{again:?}");
    for arguments in [["deliveries", "pushd"].as_slice(), &["drop", "pushd", "d-1"]] {
        let unknown = project.run(&[&["sensor"], arguments].concat());
        assert_eq!(unknown.code, 1, "{unknown:?}");
        let message = "tenant default has no sensor pushd (did you mean pushed?)";
        assert!(unknown.err.contains(message), "{unknown:?}");
    }
}

#[test]
fn r152_an_asset_that_is_reported_from_outside_is_shown_and_requests_the_next() {
    let project = Project::with(
        "assets:\n  raw: {}\n  marts: { deps: [raw], step: { kind: noop } }\nsensors:\n  \
         follow: { kind: asset, select: raw, every: 1s, request: { select: marts } }\n",
    );
    let server = project.serve();
    wait_for("the sensor's cursor", || {
        project.json(&["sensor", "show", "follow"])["cursor"].as_str().map(str::to_owned)
    });
    let path = "/default/api/v1/assets/raw/report";
    let json_body = [("Content-Type", "application/json")];
    let body = r#"{"metadata": {"rows": 7}, "data_version": "2026-11-21"}"#;
    let (status, row) = post(&server, path, &json_body, body);
    assert_eq!((status, &row["metadata"]["rows"]["value"]), (201, &json!(7)), "{row}");
    // A page of another site cannot report.
    let foreign = [json_body[0], ("Origin", "https://evil.example")];
    assert_eq!(post(&server, path, &foreign, body).0, 403);
    let shown = project.json(&["asset", "show", "raw"]);
    assert_eq!(shown["history"][0]["data_version"], "2026-11-21");
    assert_eq!(shown["history"][0]["reported_by"], row["reported_by"]);
    assert_eq!(launched(&project, "follow", 1)[0]["requested"], 1);
    wait_for("marts", || {
        project.json(&["asset", "show", "marts"])["latest"]["at"].as_str().map(str::to_owned)
    });
}

#[test]
fn r152_a_report_that_is_sent_again_after_a_crash_is_one_for_pages_and_sensors() {
    let project = Project::with(
        "assets:\n  raw: {}\n  marts: { deps: [raw], step: { kind: noop } }\nsensors:\n  \
         follow: { kind: asset, select: raw, every: 1s, request: { select: marts } }\n",
    );
    let server = project.serve();
    wait_for("the sensor's cursor", || {
        project.json(&["sensor", "show", "follow"])["cursor"].as_str().map(str::to_owned)
    });
    let told = ["asset", "report", "raw", "--metadata", "rows=7", "--key", "load-1"];
    let first = project.json(&told);
    assert_eq!(
        (&first["repeated"], &first["metadata"]["rows"]["value"]),
        (&json!(false), &json!(7))
    );
    server.kill();
    let _server = project.serve();
    let again = project.json(&told);
    assert_eq!((&again["repeated"], &again["report_id"]), (&json!(true), &first["report_id"]));
    assert_eq!(project.run(&told).code, 0);
    let other = project.run(&["asset", "report", "raw", "--metadata", "rows=8", "--key", "load-1"]);
    assert_eq!(other.code, 1);
    assert!(other.err.contains("report-key-known"), "{other:?}");
    let last = ["asset", "report", "raw", "--metadata", "rows=9", "--key", "load-2"];
    assert_eq!(project.run(&last).out, "raw is reported in tenant default\n");

    assert_eq!(run_keys(&project, "follow", 2).len(), 2, "one run for each report");
    let shown = project.json(&["asset", "show", "raw"]);
    assert_eq!(shown["history"].as_array().unwrap().len(), 2);
}

#[test]
fn r129_a_function_in_python_is_asked_with_the_cursor_that_it_returned() {
    let sensor = "sensors:\n  own:\n    kind: python\n    function: \"sense.py:new_files\"\n    \
                  every: 1s\n    request: { job: load }\n";
    let project = Project::with(&format!("{LOAD}{sensor}"));
    project.write(
        "sense.py",
        "def new_files(context):\n    seen = int(context.trigger.cursor or 0)\n    \
         if seen >= 3:\n        return {'skip': 'all three are there'}\n    \
         return {'cursor': str(seen + 1), 'requests': [{'run_key': f'file-{seen + 1}'}]}\n",
    );
    let _server = project.serve();
    assert_eq!(run_keys(&project, "own", 3), ["file-1", "file-2", "file-3"]);
    let skipped = last(&project, "own", |tick| tick["status"] == "SKIPPED");
    assert_eq!(skipped["skipped"]["reason"], "all three are there", "{skipped}");
    assert_eq!(project.json(&["sensor", "show", "own"])["cursor"], "3");
    project.write("sense.py", "def new_files():\n    raise ValueError('no disk')\n");
    let failed = last(&project, "own", |tick| tick["status"] == "FAILED");
    let message = failed["error"]["message"].as_str().unwrap();
    assert!(message.contains("ValueError: no disk"), "{message}");
    assert_eq!(project.json(&["sensor", "show", "own"])["cursor"], "3", "the cursor stays");
}

#[test]
fn a_query_requests_a_run_for_each_new_row_of_an_embedded_file_and_of_a_server() {
    let mut databases = vec!["{ kind: sqlite, path: data/shop.db }".to_owned()];
    if let Some(database) = Database::on_postgres() {
        databases.push(format!("{{ kind: postgres, url: \"{}\" }}", database.url().unwrap()));
    }
    // The statement is that of the reference.
    let page = include_str!("../../../../docs/reference/sensors.md");
    assert!(page.contains(
        "\"select id from orders where id > coalesce(cast(:cursor as integer), 0) order by id\""
    ));
    for resource in databases {
        let sensor = "sensors:\n  orders:\n    kind: sql\n    every: 1s\n    \
                      query: { resource: db, statements: \"select id from orders \
                      where id > coalesce(cast(:cursor as integer), 0) order by id\" }\n    \
                      cursor: \"{{ item.id }}\"\n    request: { job: load, run_key: \"order-{{ item.id }}\" }\n";
        let insert = "jobs:\n  load: { nodes: [{ id: a, type: noop }] }\n  \
                      make:\n    nodes:\n      \
                      - { id: a, type: sql, config: { resource: db, \
                      statements: \"create table orders (id integer)\" } }\n      \
                      - { id: b, type: sql, depends_on: [a], config: { resource: db, \
                      statements: \"insert into orders values (1), (2)\" } }\n  \
                      add: { nodes: [{ id: a, type: sql, config: { resource: db, \
                      statements: \"insert into orders values (3)\" } }] }\n";
        let project = Project::with(&format!("resources:\n  db: {resource}\n{insert}{sensor}"));
        project.write("data/.keep", "");
        let made = project.run(&["job", "launch", "make"]);
        assert_eq!(made.code, 0, "{made:?}");
        let _server = project.serve();
        assert_eq!(run_keys(&project, "orders", 2), ["order-1", "order-2"], "{resource}");
        assert_eq!(project.run(&["job", "launch", "add"]).code, 0);
        assert_eq!(run_keys(&project, "orders", 3), ["order-1", "order-2", "order-3"]);
        assert_eq!(project.json(&["sensor", "show", "orders"])["cursor"], "3");
    }
}

fn api(address: SocketAddr) -> String {
    format!("resources:\n  api: {{ kind: http, base_url: \"http://{address}\" }}\n")
}

#[test]
fn a_service_is_polled_and_each_new_row_of_its_answer_requests_a_run() {
    let (service, address) = Service::start(json!({ "data": [{ "version": "v1" }] }));
    let sensor = "sensors:\n  releases:\n    kind: http\n    every: 1s\n    \
                  query: { resource: api, request: { path: /releases }, rows: /data }\n    \
                  request: { job: load, run_key: \"{{ item.version }}\" }\n";
    let project = Project::with(&format!("{}{LOAD}{sensor}", api(address)));
    let _server = project.serve();
    assert_eq!(run_keys(&project, "releases", 1), ["v1"]);
    service.say(StatusCode::OK, json!({ "data": [{ "version": "v1" }, { "version": "v2" }] }));
    assert_eq!(run_keys(&project, "releases", 2), ["v1", "v2"]);
    service.say(StatusCode::BAD_REQUEST, json!({ "error": "asleep" }));
    let failed = last(&project, "releases", |tick| tick["status"] == "FAILED");
    assert!(failed["error"]["message"].as_str().unwrap().contains("400"), "{failed}");
}

const SHOPS: &str = "partitions:\n  shop: { kind: dynamic }\nassets:\n  \
                     orders: { partitions: shop, step: { kind: noop } }\n";

fn shops(project: &Project) -> Vec<String> {
    let listed = project.json(&["partition", "list", "shop"]);
    let keys = listed.as_array().unwrap().iter();
    keys.map(|key| key.as_str().unwrap().to_owned()).collect()
}

#[test]
fn r027_r028_a_list_of_a_service_adds_and_removes_keys_and_its_failure_removes_none() {
    let list = |ids: &[&str]| json!(ids.iter().map(|id| json!({ "id": id })).collect::<Vec<_>>());
    let (service, address) = Service::start(list(&["a", "b", "c", "d", "e"]));
    let sensor = "sensors:\n  shops:\n    kind: partition_sync\n    partitions: shop\n    every: 1s\n    \
                  source: { kind: http, resource: api, request: { path: /shops } }\n    \
                  keys: \"{{ item.id }}\"\n    remove_missing: true\n    guard: { max_removed: \"20%\" }\n";
    let project = Project::with(&format!("{}{SHOPS}{sensor}", api(address)));
    let _server = project.serve();
    wait_for("five shops", || (shops(&project).len() == 5).then_some(()));
    let built = project.run(&["asset", "materialize", "orders", "--partition", "e"]);
    assert_eq!(built.code, 0, "{built:?}");
    service.say(StatusCode::OK, list(&["a", "b", "c", "d"]));
    wait_for("four shops", || (shops(&project) == ["a", "b", "c", "d"]).then_some(()));
    let runs = project.json(&["run", "list"]);
    assert_eq!(runs[0]["partition"], "e", "what was made of it stays");
    for (status, answer, word) in [
        (StatusCode::INTERNAL_SERVER_ERROR, json!("down"), "500"),
        (StatusCode::OK, json!([]), "names no key"),
        (StatusCode::OK, list(&["a", "b"]), "more than 20 %"),
    ] {
        service.say(status, answer);
        let fits = |tick: &Value| {
            let message = tick["error"]["message"].as_str().unwrap_or_default();
            tick["status"] == "FAILED" && message.contains(word)
        };
        last(&project, "shops", fits);
        assert_eq!(shops(&project).len(), 4, "{word}");
    }
    let log = project.read("log");
    let said = "Synced dynamic partitions: shop added=5 deleted=0 total=5";
    assert!(log.contains(said), "{log}");
}

#[test]
fn r027_a_query_names_the_keys_that_there_are() {
    let sensor = "resources:\n  db: { kind: sqlite, path: data/shop.db }\njobs:\n  \
                  make: { nodes: [{ id: a, type: sql, config: { resource: db, \
                  statements: \"create table shops as select 'x' as id union select 'y'\" } }] }\n\
                  sensors:\n  shops:\n    kind: partition_sync\n    partitions: shop\n    \
                  every: 1s\n    source: { kind: sql, resource: db, statements: \"select id from shops\" }\n    \
                  keys: \"{{ item.id }}\"\n";
    let project = Project::with(&format!("{SHOPS}{sensor}"));
    project.write("data/.keep", "");
    assert_eq!(project.run(&["job", "launch", "make"]).code, 0);
    let _server = project.serve();
    wait_for("two shops", || (shops(&project) == ["x", "y"]).then_some(()));
}

#[test]
fn a_file_that_is_there_at_first_is_known_before_it_has_settled_where_it_is_left_out() {
    let sensor = "sensors:\n  arrivals: { kind: files, path: data, settle: 1h, existing: skip, \
                  every: 1s, request: { job: load } }\n";
    let project = Project::with(&format!("{LOAD}{sensor}"));
    project.write("data/there.csv", "1");
    let _server = project.serve();
    let cursor = wait_for("the first tick", || {
        project.json(&["sensor", "show", "arrivals"])["cursor"].as_str().map(str::to_owned)
    });
    assert_eq!(cursor.len(), 16, "the mark of one file: {cursor:?}");
}

#[test]
fn new_objects_below_a_prefix_of_s3_request_a_run_each_over_many_pages() {
    let Some(s3) = S3::start() else { return };
    let sensor = "sensors:\n  arrivals:\n    kind: files\n    path: s3://lake/in\n    \
                  pattern: \"**/*.csv\"\n    settle: 0s\n    every: 1s\n    \
                  request: { job: load, context: { path: \"{{ file.path }}\", \
                  size: \"{{ file.size }}\" } }\n";
    let mut project = Project::with(&format!("{LOAD}{sensor}"));
    for (name, value) in s3::KEYS {
        project.set(name, Some(value));
    }
    project.set("AWS_ENDPOINT_URL_S3", Some(&s3.url));
    // More than one page of keys, of which two fit; and one beside the prefix.
    s3.script(
        "for n in range(1100): s3.put_object(Bucket='lake', Key=f'in/skip/{n}.txt', Body=b'')\n\
         s3.put_object(Bucket='lake', Key='in/2026/a b+ü&.csv', Body=b'12345')\n\
         s3.put_object(Bucket='lake', Key='in/z.csv', Body=b'1')\n\
         s3.put_object(Bucket='lake', Key='input/no.csv', Body=b'1')\n",
    );
    let _server = project.serve();
    let runs = run_keys(&project, "arrivals", 2);
    assert!(runs[0].starts_with("s3://lake/in/2026/a b+ü&.csv"), "{runs:?}");
    assert!(runs[1].starts_with("s3://lake/in/z.csv"), "{runs:?}");
    s3.script("s3.put_object(Bucket='lake', Key='in/new.csv', Body=b'1')");
    assert!(run_keys(&project, "arrivals", 3)[2].starts_with("s3://lake/in/new.csv"));
    let show = project.json(&["sensor", "show", "arrivals"]);
    assert_eq!(show["asks"], "files s3://lake/in/**/*.csv");
}

#[test]
fn a_bucket_that_is_not_there_fails_the_tick_and_says_so() {
    let Some(s3) = S3::start() else { return };
    let sensor =
        "sensors:\n  arrivals: { kind: files, path: \"s3://gone\", request: { job: load } }\n";
    let mut project = Project::with(&format!("{LOAD}{sensor}"));
    project.set("AWS_ENDPOINT_URL_S3", Some(&s3.url));
    let tried = project.json(&["sensor", "test", "arrivals"]);
    let message = tried["error"]["message"].as_str().unwrap();
    assert!(message.contains("no credentials for AWS"), "{message}");
    for (name, value) in s3::KEYS {
        project.set(name, Some(value));
    }
    let tried = project.json(&["sensor", "test", "arrivals"]);
    let message = tried["error"]["message"].as_str().unwrap();
    assert!(message.contains("s3://gone answered HTTP 404") && message.contains("NoSuchBucket"));
}

/// A program that requests three runs, one a tick; where `lasts` is, it hangs once.
const COUNTING: &str = "sensors:\n  own:\n    kind: command\n    every: 1s\n    request: { job: load }\n    \
    command: |\n      if [ -e lasts ]; then rm lasts; echo > begun; tail -f /dev/null; fi\n      \
    n=$((${MILLSTREAM_CURSOR:-0} + 1))\n      \
    if [ $n -gt 3 ]; then echo '{\"skip\": \"done\"}'; exit; fi\n      \
    printf '{\"cursor\": \"%s\", \"requests\": [{\"run_key\": \"k%s\"}]}' $n $n\n";

#[test]
fn r129_a_kill_at_any_point_of_a_tick_leaves_each_request_stored_once_on_sqlite() {
    kill_at_every_point(|| Some(Database::Embedded));
}

#[test]
fn r129_a_kill_at_any_point_of_a_tick_leaves_each_request_stored_once_on_postgres() {
    kill_at_every_point(Database::on_postgres);
}

/// The commits of a tick; in between stands the asking itself.
const POINTS: [&str; 4] =
    ["before:ADOPT_SENSORS", "after:ADOPT_SENSORS", "before:SETTLE_SENSOR", "after:SETTLE_SENSOR"];

fn kill_at_every_point(database: impl Fn() -> Option<Database> + Sync) {
    std::thread::scope(|scope| {
        for point in POINTS.iter().map(|point| Some(*point)).chain([None]) {
            let database = &database;
            scope.spawn(move || {
                let Some(database) = database() else { return };
                kill_at(point, &database);
            });
        }
    });
}

fn kill_at(point: Option<&str>, database: &Database) {
    let mut project =
        Project::with(&format!("{LOAD}{COUNTING}")).variable("MILLSTREAM_LEASE", "1s");
    if let Some(url) = database.url() {
        project.set("MILLSTREAM_DATABASE_URL", Some(url));
        assert_eq!(project.run(&["migrate"]).code, 0);
    }
    if let Some(point) = point {
        project.set("MILLSTREAM_CRASH_AT", Some(point));
        let status = project.command(&["dev", "--port", "0"]).output().unwrap().status;
        assert_eq!(status.signal(), Some(9), "{point}");
        project.set("MILLSTREAM_CRASH_AT", None);
    } else {
        project.write("lasts", "");
        let server = project.serve();
        wait_for("the question is asked", || project.path("begun").exists().then_some(()));
        server.kill();
    }
    let _server = project.serve();
    last(&project, "own", |tick| tick["skipped"]["reason"] == "done");
    assert_eq!(run_keys(&project, "own", 3), ["k1", "k2", "k3"], "{point:?}");
    assert_eq!(project.json(&["run", "list"]).as_array().unwrap().len(), 3, "{point:?}");
}

/// The nominal times of a sensor's ticks, oldest first, in microseconds.
fn nominal_times(project: &Project, sensor: &str) -> Vec<i64> {
    let ticks = project.json(&["sensor", "ticks", sensor]);
    let mut times: Vec<i64> = ticks
        .as_array()
        .unwrap()
        .iter()
        .map(|tick| serde_json::from_value::<Timestamp>(tick["nominal"].clone()).unwrap())
        .map(Timestamp::as_micros)
        .collect();
    times.reverse();
    times
}

#[test]
fn r022_r131_a_slow_sensor_never_overlaps_itself_and_delays_no_other() {
    let sensors = "sensors:\n  quick:\n    kind: command\n    every: 1s\n    request: { job: load }\n    \
                   command: \"echo '{\\\"requests\\\": [{}]}'\"\n  \
                   slow:\n    kind: command\n    every: 1s\n    \
                   command: |\n      echo begun >> told\n      \
                   while [ ! -e go ]; do sleep 0.02; done\n      \
                   echo ended >> told\n      echo '{}'\n";
    let project = Project::with(&format!("{LOAD}{sensors}"));
    let _server = project.serve();
    wait_for("the slow one is asked", || (project.read("told") == "begun\n").then_some(()));
    let before = nominal_times(&project, "quick").len();
    let times = wait_for("four more ticks of the quick one", || {
        let times = nominal_times(&project, "quick");
        (times.len() >= before + 4).then_some(times)
    });
    let shortest = times.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap();
    assert!(shortest >= 1_000_000, "it ticked {shortest} µs after a tick");
    assert_eq!(project.read("told"), "begun\n", "the slow one is asked once at a time");
    project.write("go", "");
    let told = wait_for("three answers of the slow one", || {
        let told = project.read("told");
        (told.lines().filter(|line| *line == "ended").count() >= 3).then_some(told)
    });
    let lines: Vec<&str> = told.lines().collect();
    for pair in lines.chunks_exact(2) {
        assert_eq!(pair, ["begun", "ended"], "{told}");
    }
}

#[test]
fn r022_a_thousand_due_sensors_are_all_asked_while_schedules_go_on() {
    use std::fmt::Write as _;
    let mut text =
        format!("{LOAD}schedules:\n  beat: {{ cron: \"* * * * * *\", job: load }}\nsensors:\n");
    for number in 0..1_000 {
        let kind = if number % 2 == 0 { "run_status, on: [FAILURE]" } else { "files, path: in" };
        writeln!(text, "  s{number}: {{ kind: {kind}, every: 1h, request: {{ job: load }} }}")
            .unwrap();
    }
    let project = Project::with(&text);
    project.write("in/.keep", "");
    let server = project.serve();
    wait_for("a tick of each", || {
        let (_, sensors) = server.try_get("/default/api/v1/sensors")?;
        let all: Vec<Value> = serde_json::from_str(&sensors).ok()?;
        let ticked = all.iter().filter(|sensor| !sensor["last_tick"].is_null()).count();
        (ticked == 1_000).then_some(())
    });
    let ticks = server.get("/default/api/v1/schedules/beat/ticks?limit=100");
    for tick in ticks.as_array().unwrap() {
        let at = |key: &str| serde_json::from_value::<Timestamp>(tick[key].clone()).unwrap();
        let late = at("decided_at").as_micros() - at("nominal").as_micros();
        assert!(late < 10_000_000, "a schedule was late by {late} µs");
    }
    let sensors = server.get("/default/api/v1/sensors");
    let failed = sensors.as_array().unwrap().iter();
    let failed: Vec<&Value> =
        failed.filter(|sensor| sensor["last_tick"]["status"] == "FAILED").collect();
    assert_eq!(failed.len(), 0, "{:?}", failed.first());
}

/// Five jobs that hand a batch and its partition on, of which the fourth fails until it is mended.
fn chain() -> String {
    let stages = ["download", "process", "stage", "copy", "snapshot"];
    let asset = |stage: &&str| {
        let command = if *stage == "copy" { "test -e mended" } else { "true" };
        let step = format!("{{ kind: command, command: \"{command}\" }}");
        format!("  {stage}ed: {{ partitions: day, step: {step} }}\n")
    };
    let job = |stage: &&str| format!("  {stage}: {{ select: {stage}ed }}\n");
    let sensor = |pair: &[&str]| {
        let request = format!("{{ job: {}, pass_tags: [batch_id] }}", pair[1]);
        format!(
            "  after_{0}: {{ kind: run_status, job: {0}, on: [SUCCESS], every: 1s, request: \
             {request} }}\n",
            pair[0]
        )
    };
    format!(
        "partitions:\n  day: {{ kind: static, keys: [d1, d2] }}\nassets:\n{}jobs:\n{}sensors:\n{}",
        stages.iter().map(asset).collect::<Vec<_>>().concat(),
        stages.iter().map(job).collect::<Vec<_>>().concat(),
        stages.windows(2).map(sensor).collect::<Vec<_>>().concat()
    )
}

#[test]
fn r151_the_runs_of_a_batch_are_one_list_that_says_where_the_chain_has_stopped() {
    let project = Project::with(&chain());
    let server = project.serve();
    for stage in ["download", "process", "stage", "copy"] {
        wait_for("the sensor's cursor", || {
            let sensor = project.json(&["sensor", "show", &format!("after_{stage}")]);
            sensor["cursor"].as_str().map(str::to_owned)
        });
    }
    let launch = |batch: &str, partition: &str| {
        let tag = format!("batch_id={batch}");
        let told = ["job", "launch", "download", "--partition", partition, "--tag", &tag];
        let launched = project.run(&told);
        assert_eq!(launched.code, 0, "{launched:?}");
    };
    launch("b-7", "d1");
    launch("b-8", "d2");
    let batch = |status: &str, count: usize| {
        wait_for(&format!("{count} runs of the batch, the last {status}"), || {
            let runs = project.json(&["run", "list", "--tag", "batch_id=b-7"]);
            let runs = runs.as_array()?.clone();
            (runs.len() == count && runs[0]["status"] == status).then_some(runs)
        })
    };
    let stuck = batch("FAILURE", 4);
    let (_, page) = server.try_get("/default/runs?q=tag:batch_id%3Db-7").unwrap();
    assert!(
        page.contains("4 runs, 1 failed; stopped at copy (failed): step `copyed` failed"),
        "{page}"
    );
    let (_, page) =
        server.try_get(&format!("/default/runs/{}", stuck[0]["run_id"].as_str().unwrap())).unwrap();
    assert!(page.contains("href=\"/default/runs?q=tag%3Abatch_id%3Db-7\""), "{page}");

    project.write("mended", "");
    project.json(&["run", "retry", stuck[0]["run_id"].as_str().unwrap()]);
    let all = batch("SUCCESS", 6);
    let of = |key: &str| all.iter().rev().map(|run| run[key].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(of("job"), ["download", "process", "stage", "copy", "copy", "snapshot"]);
    assert_eq!(of("partition"), ["d1"; 6]);
    let (_, page) = server.try_get("/default/runs?q=tag:batch_id%3Db-7").unwrap();
    assert!(!page.contains("stopped at") && !page.contains("now at"), "{page}");
}
