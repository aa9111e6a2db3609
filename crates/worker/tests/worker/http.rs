//! HTTP steps within runs: waits that end, attempts that wait, and rows that are none.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use millstream_blob::LogStream;
use millstream_model::worker_api::Assignment;
use millstream_model::{
    AssetStep, Backoff, ErrorCode, EventBody, FolderIo, HttpBody, HttpMethod, HttpRequest,
    HttpResource, HttpStep, HumanDuration, IoDef, ResourceDef, RetryPolicy, RetryWhile, StepConfig,
    StepPlan,
};
use millstream_plan::progress::RunOutcome;
use millstream_worker::RunEnd;
use serde_json::json;
use tokio::sync::watch;

use crate::bench::{Bench, noop, run_of};

/// A service that gives every request the same answer; how many it has heard.
///
/// Without an answer it keeps the connections open and says nothing.
pub(crate) fn serve(answer: &str) -> (SocketAddr, watch::Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = answer.to_owned();
    let (sender, heard) = watch::channel(0);
    std::thread::spawn(move || {
        let mut silent = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            assert!(stream.read(&mut [0; 1 << 14]).unwrap() > 0);
            stream.write_all(answer.as_bytes()).unwrap();
            if answer.is_empty() {
                silent.push(stream);
            }
            sender.send_modify(|count| *count += 1);
        }
    });
    (address, heard)
}

pub(crate) fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
}

pub(crate) fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.settings.outbound = "127.0.0.1".parse().unwrap();
    bench
}

pub(crate) fn step() -> HttpStep {
    HttpStep {
        resource: "api".parse().unwrap(),
        request: HttpRequest {
            method: HttpMethod::Post,
            path: "/load".to_owned(),
            query: BTreeMap::new(),
            headers: BTreeMap::new(),
            body: HttpBody::None,
        },
        retry_while: None,
        paginate: None,
        rows: None,
        max_response: HttpStep::default_max_response(),
    }
}

pub(crate) fn run_at(address: SocketAddr, step: HttpStep, plan: StepPlan) -> Assignment {
    let mut run = run_of(vec![StepPlan { step: StepConfig::Http(Box::new(step)), ..plan }]);
    let api = ResourceDef::Http(HttpResource {
        base_url: format!("http://{address}"),
        auth: None,
        headers: BTreeMap::new(),
        query: BTreeMap::new(),
        timeout: None,
    });
    run.plan.resources.insert("api".parse().unwrap(), api);
    run
}

#[tokio::test]
async fn r203_a_cancel_ends_the_wait_for_an_answer_that_is_not_ready() {
    let bench = bench();
    let wait = json!({ "error": "Continue wait" });
    let (address, mut heard) = serve(&answer("200 OK", "", &wait.to_string()));
    let retry_while = Some(RetryWhile {
        status: None,
        json: Some(wait),
        every: HumanDuration::from_secs(3600),
        backoff: Backoff::Constant,
        max_time: None,
    });
    let run = run_at(address, HttpStep { retry_while, ..step() }, noop("ask", &[]));
    let canceling = async {
        heard.wait_for(|count| *count > 0).await.unwrap();
        bench.control.cancel();
    };
    let started = Instant::now();
    let (end, ()) = tokio::join!(bench.run(run), canceling);
    assert_eq!(end, RunEnd::Finished(RunOutcome::Canceled));
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_service_that_says_nothing_is_given_up_at_the_step_s_timeout() {
    let bench = bench();
    let (address, _heard) = serve("");
    let timeout = HumanDuration::from_secs_f64(0.2);
    bench.run(run_at(address, step(), StepPlan { timeout, ..noop("ask", &[]) })).await;
    assert_eq!(bench.control.errors()[0].code, ErrorCode::StepTimeout);
}

#[tokio::test]
async fn the_next_attempt_waits_as_long_as_the_service_asks() {
    let bench = bench();
    let (address, _heard) = serve(&answer("429 Too Many Requests", "Retry-After: 900\r\n", ""));
    let retry = RetryPolicy { max: 2, ..RetryPolicy::NEVER };
    let run = run_at(address, step(), StepPlan { retry, ..noop("ask", &[]) });
    let canceling = async {
        bench.control.heard("step_failed ask").await;
        bench.control.cancel();
    };
    tokio::join!(bench.run(run), canceling);
    let waits: Vec<Duration> = bench
        .control
        .events()
        .into_iter()
        .filter_map(|event| match event {
            EventBody::StepFailed { retry, .. } => Some(retry.unwrap().delay()),
            _ => None,
        })
        .collect();
    assert_eq!(waits, [Duration::from_mins(15)]);
}

#[tokio::test]
async fn r040_an_optional_asset_without_rows_is_not_materialized() {
    for (output_required, wanted) in [(false, 0), (true, 1)] {
        let bench = bench();
        let (address, _heard) = serve(&answer("200 OK", "", r#"{"data": []}"#));
        let asset = AssetStep {
            key: "values".parse().unwrap(),
            partition: None,
            window: None,
            io: None,
            inputs: Vec::new(),
            code_version: "v1".to_owned(),
            output_required,
        };
        let plan = StepPlan { asset: Some(asset), ..noop("ask", &[]) };
        let rows = Some("/data".to_owned());
        let end = bench.run(run_at(address, HttpStep { rows, ..step() }, plan)).await;
        assert_eq!(end, RunEnd::Finished(RunOutcome::Succeeded));
        let made = bench.control.told().iter().filter(|it| *it == "materialized ask").count();
        assert_eq!(made, wanted);
    }
}

#[tokio::test]
async fn a_document_keeps_what_our_own_results_would_mean_something_by() {
    let bench = bench();
    let document = json!({ "metadata": { "page": 1 }, "status": "skipped", "data_version": "7" });
    let (address, _heard) = serve(&answer("200 OK", "", &document.to_string()));
    let end = bench.run(run_at(address, step(), noop("ask", &[]))).await;
    assert_eq!(end, RunEnd::Finished(RunOutcome::Succeeded));
    assert_eq!(crate::bench::result_of(&bench.control, "ask"), document);
}

#[tokio::test]
async fn numbers_of_an_answer_keep_their_digits() {
    let list = r#"[{"id": 1180591620717411303424, "price": 1234567890123456789.25}]"#;
    for rows in [None, Some(String::new())] {
        let bench = bench();
        let (address, _heard) = serve(&answer("200 OK", "", list));
        let end = bench.run(run_at(address, HttpStep { rows, ..step() }, noop("ask", &[]))).await;
        assert_eq!(end, RunEnd::Finished(RunOutcome::Succeeded));
        let result = crate::bench::result_of(&bench.control, "ask").to_string();
        for number in ["1180591620717411303424", "1234567890123456789.25"] {
            assert!(result.contains(&format!("\"{number}\"")), "{result}");
        }
        let log = bench.log("ask", 1, LogStream::Out).await;
        assert!(log.contains("1180591620717411303424 is kept as text"), "{log}");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_rows_names_the_key_that_says_where_they_are() {
    let bench = bench();
    let (address, _heard) = serve(&answer("200 OK", "", r#"{"data": [{"n": 1}]}"#));
    let asset = AssetStep {
        key: "answers".parse().unwrap(),
        partition: None,
        window: None,
        io: Some(IoDef::Csv(FolderIo { base: "lake".to_owned() })),
        inputs: Vec::new(),
        code_version: "v1".to_owned(),
        output_required: true,
    };
    let plan = StepPlan { asset: Some(asset), ..noop("ask", &[]) };
    bench.run(run_at(address, step(), plan)).await;
    let error = &bench.control.errors()[0];
    assert_eq!(error.code, ErrorCode::StepResult);
    assert!(error.message.contains("as in `rows: /data`"), "{}", error.message);
}
