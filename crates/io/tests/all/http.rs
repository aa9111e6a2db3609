//! HTTP calls against a service in this process: pages, waiting, tokens, limits and errors.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use futures_util::future::{BoxFuture, FutureExt};
use millstream_io::http::{
    Authorization, Fetched, HttpCall, HttpError, HttpOutcome, Mask, Pace, fetch,
};
use millstream_io::{Remedy, Table};
use millstream_model::{
    Backoff, CursorPlace, ErrorCode, HttpBody, HttpMethod, HumanDuration, PageBy, Paginate,
    RetryWhile, Timestamp,
};
use millstream_outbound::{Client, Limits, SystemNames};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What a service was asked: method, address, headers and body.
type Asked = (Method, Uri, HeaderMap, Bytes);

type Behaviour = dyn Fn(usize, &Asked) -> Response + Send + Sync;

/// A service that answers the nth request as the test says.
#[derive(Clone)]
struct Service {
    asked: Arc<Mutex<Vec<Asked>>>,
    behaviour: Arc<Behaviour>,
}

impl Service {
    async fn start(
        behaviour: impl Fn(usize, &Asked) -> Response + Send + Sync + 'static,
    ) -> (Self, SocketAddr) {
        let service = Self { asked: Arc::default(), behaviour: Arc::new(behaviour) };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(service.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (service, address)
    }

    /// The queries of all requests.
    fn queries(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|(_, uri, ..)| uri.query().unwrap_or_default().to_owned()).collect()
    }
}

async fn answer(
    State(service): State<Service>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let asked = (method, uri, headers, body);
    let number = service.asked.lock().unwrap().len();
    let response = (service.behaviour)(number, &asked);
    service.asked.lock().unwrap().push(asked);
    response
}

fn said(status: u16, body: impl Into<Value>) -> Response {
    let body = match body.into() {
        Value::String(text) => text,
        json => json.to_string(),
    };
    let builder = Response::builder().status(status).header("content-type", "application/json");
    builder.body(body.into()).unwrap()
}

/// Time that passes only when somebody waits, and a log.
#[derive(Clone)]
struct Time(Arc<Mutex<Passed>>);

struct Passed {
    now: Timestamp,
    waits: Vec<Duration>,
    lines: Vec<String>,
}

impl Time {
    fn new() -> Self {
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        Self(Arc::new(Mutex::new(Passed { now, waits: Vec::new(), lines: Vec::new() })))
    }

    fn waits(&self) -> Vec<u64> {
        self.0.lock().unwrap().waits.iter().map(Duration::as_secs).collect()
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().lines.clone()
    }
}

impl Pace for Time {
    fn now(&self) -> Timestamp {
        self.0.lock().unwrap().now
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let mut time = self.0.lock().unwrap();
        time.now = time.now.after(duration);
        time.waits.push(duration);
        futures_util::future::ready(()).boxed()
    }

    fn say(&self, line: &str) {
        self.0.lock().unwrap().lines.push(line.to_owned());
    }
}

fn call(address: SocketAddr) -> HttpCall {
    HttpCall {
        base_url: format!("http://{address}/v1"),
        method: HttpMethod::Get,
        path: "/items".to_owned(),
        query: vec![("kind".to_owned(), "a&b".to_owned())],
        headers: Vec::new(),
        body: HttpBody::None,
        auth: None,
        mask: Mask::default(),
        timeout: Duration::from_secs(10),
        max_response: 1 << 20,
        retry_while: None,
        paginate: None,
        rows: None,
    }
}

async fn carry_out(call: &HttpCall, time: &Time) -> Result<HttpOutcome, HttpError> {
    let limit = Duration::from_secs(10);
    let limits = Limits { connect: limit, total: limit, answer_max: 1 << 20 };
    let allow = "127.0.0.1".parse().unwrap();
    let client = Client::guarded(limits, allow, Arc::new(SystemNames)).unwrap();
    fetch(&client, call, time).await
}

/// `call` with rows at `/data`, asked for by `by`; the rows and the outcome.
async fn pages(mut call: HttpCall, by: PageBy) -> (Table, HttpOutcome) {
    let folder = tempfile::tempdir().unwrap();
    call.rows = Some(("/data".to_owned(), folder.path().join("rows")));
    call.paginate = Some(Paginate { by, max_pages: 10 });
    let outcome = carry_out(&call, &Time::new()).await.unwrap();
    let path: PathBuf = folder.path().join("rows");
    (Table::from_rows_file(&path, 1 << 20).unwrap(), outcome)
}

fn rows_of(folder: &TempDir) -> (String, PathBuf) {
    ("/data".to_owned(), folder.path().join("rows"))
}

fn call_of(address: SocketAddr, by: PageBy) -> HttpCall {
    HttpCall { paginate: Some(Paginate { by, max_pages: 10 }), ..call(address) }
}

fn numbered() -> PageBy {
    PageBy::Page {
        param: "page".to_owned(),
        start: 1,
        size: Some(2),
        size_param: Some("per_page".to_owned()),
    }
}

#[tokio::test]
async fn numbered_pages_end_with_one_that_is_not_full() {
    let (service, address) = Service::start(|number, _| {
        let data: Vec<Value> =
            (0..2 - number / 2).map(|n| json!({ "n": number * 2 + n })).collect();
        said(200, json!({ "data": data }))
    })
    .await;
    let (table, outcome) = pages(call(address), numbered()).await;
    assert_eq!(table.rows, [[json!(0)], [json!(1)], [json!(2)], [json!(3)], [json!(4)]]);
    assert_eq!((outcome.pages, outcome.requests, outcome.status), (3, 3, 200));
    let wanted = [1, 2, 3].map(|page| format!("kind=a%26b&page={page}&per_page=2"));
    assert_eq!(service.queries(), wanted);
}

#[tokio::test]
async fn a_service_that_gives_fewer_rows_a_page_than_asked_for_loses_none() {
    let by = || PageBy::Page {
        param: "page".to_owned(),
        start: 1,
        size: Some(100),
        size_param: Some("per_page".to_owned()),
    };
    let page = |from: usize, to: usize| {
        let data: Vec<Value> = (from..to).map(|n| json!({ "n": n })).collect();
        said(200, json!({ "data": data }))
    };
    // What stands behind the last page, which is full or not, and how many requests it takes.
    for (rows, behind, requests) in [
        (47, "never asked", 5),
        (40, "none", 5),
        (40, "not found", 5),
        (40, "bad request", 5),
        (40, "null", 5),
        (40, "the last again", 5),
        (7, "not found", 2),
        (7, "the last again", 2),
    ] {
        let (service, address) = Service::start(move |number, _| match (number * 10, behind) {
            (from, _) if from < rows => page(from, rows.min(from + 10)),
            (_, "none") => said(200, json!({ "data": [] })),
            (_, "null") => said(200, json!({ "data": null })),
            (_, "not found") => said(404, "no such page"),
            (_, "bad request") => said(400, "no such page"),
            (from, "the last again") => page(from - 10, rows.min(from)),
            _ => said(500, "it was asked"),
        })
        .await;
        let (table, outcome) = pages(call(address), by()).await;
        assert_eq!(table.rows.len(), rows, "{rows}, then {behind}");
        assert_eq!(outcome.status, 200, "{rows}, then {behind}");
        assert_eq!(service.queries().len(), requests, "{rows}, then {behind}");
    }
}

#[tokio::test]
async fn what_is_not_there_from_the_first_page_on_is_an_error() {
    let (_, address) = Service::start(|_, _| said(404, "gone")).await;
    let folder = tempfile::tempdir().unwrap();
    let call = HttpCall { rows: Some(rows_of(&folder)), ..call_of(address, numbered()) };
    let error = carry_out(&call, &Time::new()).await.unwrap_err();
    assert!(matches!(error, HttpError::Status { status: 404, .. }), "{error}");
    // Behind pages as long as they were asked for a refusal is one, but for "not found".
    for (status, rows) in [(404, Some(2)), (422, None)] {
        let (_, address) = Service::start(move |number, _| match number {
            0 => said(200, json!({ "data": [{ "n": 1 }, { "n": 2 }] })),
            _ => said(status, "no such page"),
        })
        .await;
        let call = HttpCall { rows: call.rows.clone(), ..call_of(address, numbered()) };
        let rows_of = |outcome: HttpOutcome| match outcome.fetched {
            Fetched::Rows { count, .. } => count,
            Fetched::Body(body) => panic!("{body}"),
        };
        assert_eq!(carry_out(&call, &Time::new()).await.ok().map(rows_of), rows, "{status}");
    }
}

#[tokio::test]
async fn pages_by_cursor_end_where_no_next_one_is_named() {
    let (service, address) = Service::start(|number, _| {
        let next = ["a/b", "c"].get(number);
        said(200, json!({ "data": [{ "n": number }], "meta": { "next": next } }))
    })
    .await;
    let next = "/meta/next".to_owned();
    let into = CursorPlace::Param("after".to_owned());
    let (table, _) = pages(call(address), PageBy::Cursor { next, into }).await;
    assert_eq!(table.rows.len(), 3);
    let queries = service.queries();
    assert_eq!(queries, ["kind=a%26b", "kind=a%26b&after=a%2Fb", "kind=a%26b&after=c"]);
}

#[tokio::test]
async fn a_first_page_without_the_key_of_the_next_one_says_that_it_was_taken_as_the_last() {
    let warning = "page 1 has nothing at `/nxt`, so it was taken as the last; \
                   it has the keys `data`, `next`";
    for (answer, wanted) in [
        (json!({ "data": [{ "n": 1 }], "next": "b" }), Some(warning)),
        (json!({ "data": [{ "n": 1 }], "nxt": null }), None),
        (json!({ "data": [{ "n": 1 }], "nxt": "" }), None),
        (json!({ "data": [], "next": "b" }), None),
    ] {
        let (service, address) = Service::start(move |_, _| said(200, answer.clone())).await;
        let into = CursorPlace::Param("after".to_owned());
        let (folder, mut call) = (TempDir::new().unwrap(), call(address));
        call.rows = Some(rows_of(&folder));
        let by = PageBy::Cursor { next: "/nxt".to_owned(), into };
        call.paginate = Some(Paginate { by, max_pages: 10 });
        let time = Time::new();
        carry_out(&call, &time).await.unwrap();
        let lines = time.lines();
        assert_eq!(lines.get(1).map(String::as_str), wanted, "{lines:?}");
        assert_eq!(service.queries().len(), 1);
    }
}

#[tokio::test]
async fn a_cursor_can_go_into_the_body() {
    let (service, address) = Service::start(|number, _| {
        said(200, json!({ "data": [{ "n": number }], "next": (number == 0).then_some(7) }))
    })
    .await;
    let by = PageBy::Cursor {
        next: "/next".to_owned(),
        into: CursorPlace::Body("/query/after".to_owned()),
    };
    let body = HttpBody::Json(json!({ "query": { "limit": 1 } }));
    let call = HttpCall { method: HttpMethod::Post, body, ..call(address) };
    pages(call, by).await;
    let asked = service.asked.lock().unwrap();
    let bodies: Vec<Value> =
        asked.iter().map(|(.., body)| serde_json::from_slice(body).unwrap()).collect();
    let wanted =
        [json!({ "query": { "limit": 1 } }), json!({ "query": { "limit": 1, "after": 7 } })];
    assert_eq!(bodies, wanted);
}

#[tokio::test]
async fn links_are_followed_on_the_same_host_with_the_same_headers() {
    let (service, address) = Service::start(|number, _| {
        let mut response = said(200, json!({ "data": [{ "n": number }] }));
        if number == 0 {
            let link = "</v1/items?page=2>; rel=\"next\", </v1/items?page=9>; rel=\"last\"";
            response.headers_mut().insert("link", link.parse().unwrap());
        }
        response
    })
    .await;
    let auth = Some(Authorization::Bearer("tok-12345".to_owned()));
    let (table, _) = pages(HttpCall { auth, ..call(address) }, PageBy::Link).await;
    assert_eq!(table.rows.len(), 2);
    assert_eq!(service.queries(), ["kind=a%26b", "page=2"]);
    for (_, _, headers, _) in service.asked.lock().unwrap().iter() {
        assert_eq!(headers["authorization"], "Bearer tok-12345");
    }

    let (service, address) = Service::start(|_, _| {
        let mut response = said(200, json!({ "data": [] }));
        let link = "<http://evil.example/>; rel=next";
        response.headers_mut().insert("link", link.parse().unwrap());
        response
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let paginate = Some(Paginate { by: PageBy::Link, max_pages: 10 });
    let call = HttpCall { rows: Some(rows_of(&folder)), paginate, ..call(address) };
    let error = carry_out(&call, &Time::new()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::AddressRefused, "{error}");
    assert_eq!(service.queries().len(), 1);
}

#[tokio::test]
async fn pages_that_do_not_end_are_an_error() {
    let (_, address) =
        Service::start(|number, _| said(200, json!({ "data": [number], "next": number / 4 })))
            .await;
    let folder = tempfile::tempdir().unwrap();
    let with = |by, max_pages| HttpCall {
        rows: Some(rows_of(&folder)),
        paginate: Some(Paginate { by, max_pages }),
        ..call(address)
    };
    let unending = PageBy::Page { param: "page".into(), start: 0, size: None, size_param: None };
    let result = carry_out(&with(unending, 3), &Time::new()).await;
    assert!(matches!(result, Err(HttpError::TooManyPages { limit: 3, .. })), "{result:?}");
    let into = CursorPlace::Param("after".to_owned());
    let by_cursor = with(PageBy::Cursor { next: "/next".into(), into }, 10);
    let result = carry_out(&by_cursor, &Time::new()).await;
    assert!(matches!(result, Err(HttpError::SamePage { .. })), "{result:?}");
}

fn waiting(max_time: Option<u64>) -> RetryWhile {
    RetryWhile {
        status: Some(200),
        json: Some(json!({ "error": "Continue wait" })),
        every: HumanDuration::from_secs(1),
        backoff: Backoff::Exponential,
        max_time: max_time.map(HumanDuration::from_secs),
    }
}

fn continue_wait() -> Response {
    said(200, json!({ "error": "Continue wait", "stage": "In queue" }))
}

#[tokio::test]
async fn the_same_is_asked_again_while_the_answer_is_not_ready() {
    let (service, address) = Service::start(|number, _| match number {
        0..3 => continue_wait(),
        _ => said(200, json!({ "data": [] })),
    })
    .await;
    let time = Time::new();
    let outcome =
        carry_out(&HttpCall { retry_while: Some(waiting(None)), ..call(address) }, &time).await;
    assert_eq!(outcome.unwrap().fetched, Fetched::Body(json!({ "data": [] })));
    assert_eq!((time.waits(), service.queries().len()), (vec![1, 2, 4], 4));
}

#[tokio::test]
async fn an_answer_that_is_never_ready_is_an_error_in_the_end() {
    let (_, address) = Service::start(|_, _| continue_wait()).await;
    let call = HttpCall { retry_while: Some(waiting(Some(100))), ..call(address) };
    let error = carry_out(&call, &Time::new()).await.unwrap_err();
    let HttpError::NotReady { waited, .. } = &error else { panic!("{error}") };
    assert_eq!(waited.as_secs(), 100);
    assert!(error.to_string().contains("was not ready after 1m 40s;"), "{error}");
}

#[tokio::test]
async fn the_last_question_comes_when_max_time_is_over() {
    let (service, address) = Service::start(|number, _| match number {
        0..2 => continue_wait(),
        _ => said(200, json!({ "data": [] })),
    })
    .await;
    let call = HttpCall { retry_while: Some(waiting(Some(2))), ..call(address) };
    let time = Time::new();
    carry_out(&call, &time).await.unwrap();
    assert_eq!((time.waits(), service.queries().len()), (vec![1, 1], 3));
}

#[tokio::test]
async fn a_service_that_asks_for_more_than_is_left_of_max_time_is_left_alone() {
    let (service, address) = Service::start(|_, _| {
        let mut answer = continue_wait();
        answer.headers_mut().insert("retry-after", "30".parse().unwrap());
        answer
    })
    .await;
    let call = HttpCall { retry_while: Some(waiting(Some(40))), ..call(address) };
    let time = Time::new();
    let error = carry_out(&call, &time).await.unwrap_err();
    assert_eq!((time.waits(), service.queries().len()), (vec![30], 2));
    assert_eq!(error.remedy(), Remedy::RetryAfter(Duration::from_secs(30)));
    let said = error.to_string();
    assert!(said.contains("not ready after 30s and asks to come back in 30s;"), "{said}");
}

#[tokio::test]
async fn a_signed_token_is_one_that_the_service_accepts() {
    let (service, address) = Service::start(|_, _| said(200, "{}")).await;

    let claims = json!({ "tenant": "jfk" }).as_object().unwrap().clone();
    let key = "the key of cube".to_owned();
    let ttl = Duration::from_mins(5);
    let auth = Some(Authorization::Jwt { key, claims, ttl });
    carry_out(&HttpCall { auth, ..call(address) }, &Time::new()).await.unwrap();
    let asked = service.asked.lock().unwrap();
    let header = asked[0].2["authorization"].to_str().unwrap();
    let token = header.strip_prefix("Bearer ").unwrap();
    let verified = |key: &str| {
        let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
        // The token's time is the test's own.
        rules.validate_exp = false;
        let key = jsonwebtoken::DecodingKey::from_secret(key.as_bytes());
        jsonwebtoken::decode::<Value>(token, &key, &rules)
    };
    let claims = verified("the key of cube").unwrap().claims;
    let wanted = json!({ "tenant": "jfk", "iat": 1_700_000_000, "exp": 1_700_000_300 });
    assert_eq!(claims, wanted);
    assert!(verified("another key").is_err());
}

#[tokio::test]
async fn a_name_and_a_password_are_sent_as_basic_says() {
    let (service, address) = Service::start(|_, _| said(200, "{}")).await;
    let auth = Authorization::Basic { user: "Aladdin".into(), password: "open sesame".into() };
    carry_out(&HttpCall { auth: Some(auth), ..call(address) }, &Time::new()).await.unwrap();
    let asked = service.asked.lock().unwrap();
    assert_eq!(asked[0].2["authorization"], "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
}

#[tokio::test]
async fn a_refusal_says_what_was_asked_and_when_to_come_back_and_hides_secrets() {
    let (_, address) = Service::start(|_, (_, _, headers, _)| {
        let mut response = said(429, format!("slow down, {:?}", headers["authorization"]));
        response.headers_mut().insert("retry-after", "30".parse().unwrap());
        response
    })
    .await;
    let mut mask = Mask::default();
    mask.add("tok-12345");
    let auth = Some(Authorization::Bearer("tok-12345".to_owned()));
    let query = vec![("key".to_owned(), "tok-12345".to_owned())];
    let call = HttpCall { auth, mask, query, ..call(address) };
    let error = carry_out(&call, &Time::new()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::StepHttp);
    assert_eq!(error.remedy(), Remedy::RetryAfter(Duration::from_secs(30)));
    let wanted = format!("GET http://{address}/v1/items answered 429 and asks to come back in 30s");
    assert_eq!(error.to_string(), wanted);
    assert_eq!(error.excerpt(), Some("slow down, \"Bearer ***\""));
    assert!(!format!("{error:?} {call:?}").contains("Bearer tok"), "{error:?}");
}

#[tokio::test]
async fn answers_without_rows_say_what_is_there_instead() {
    let folder = tempfile::tempdir().unwrap();
    for (body, words) in [
        (r#"{"rows": [], "total": 0}"#, "page 1 has the keys `rows`, `total`"),
        (r#"{"data": {"a": 1}}"#, "there is an object"),
        ("<html>", "is no JSON"),
        (r#"{"data": [[1]]}"#, "row 1 is a list"),
    ] {
        let (_, address) = Service::start(move |_, _| said(200, body)).await;
        let call = HttpCall { rows: Some(rows_of(&folder)), ..call(address) };
        let error = carry_out(&call, &Time::new()).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn without_rows_the_body_is_the_result_as_json_or_as_text() {
    for (status, body, wanted) in [
        (200, r#"{"a": 1}"#, json!({ "a": 1 })),
        (201, "plain", json!("plain")),
        (204, "", json!(null)),
    ] {
        let (_, address) = Service::start(move |_, _| {
            Response::builder().status(status).body(body.into()).unwrap()
        })
        .await;
        let outcome = carry_out(&call(address), &Time::new()).await.unwrap();
        assert_eq!((outcome.status, outcome.fetched), (status, Fetched::Body(wanted)));
    }
}

#[tokio::test]
async fn a_body_that_is_called_json_and_is_none_is_refused_and_shown() {
    let (_, address) = Service::start(|_, _| said(200, "<html>tok-12345")).await;
    let mut mask = Mask::default();
    mask.add("tok-12345");
    let error = carry_out(&HttpCall { mask, ..call(address) }, &Time::new()).await.unwrap_err();
    assert!(error.to_string().contains("is no JSON"), "{error}");
    assert_eq!(error.excerpt(), Some("<html>***"));
}

#[tokio::test]
async fn an_answer_over_its_limit_is_an_error_that_names_it() {
    let (_, address) = Service::start(|_, _| said(200, "x".repeat(2_000))).await;
    let call = HttpCall { max_response: 1_000, ..call(address) };
    let error = carry_out(&call, &Time::new()).await.unwrap_err();
    assert!(error.to_string().ends_with("is over the limit of 1000 bytes"), "{error}");
}

#[tokio::test]
async fn a_form_is_encoded() {
    let (service, address) = Service::start(|_, _| said(200, "{}")).await;
    let body = HttpBody::Form([("a".to_owned(), "b&c =".to_owned())].into());
    let call = HttpCall { method: HttpMethod::Post, body, ..call(address) };
    carry_out(&call, &Time::new()).await.unwrap();
    let asked = service.asked.lock().unwrap();
    assert_eq!(asked[0].3, "a=b%26c+%3D");
    assert_eq!(asked[0].2["content-type"], "application/x-www-form-urlencoded");
}
