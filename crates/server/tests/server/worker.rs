//! What workers in processes of their own ask, with the token of their run.

use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use millstream_control::ClaimedRun;
use millstream_model::RunId;
use serde_json::json;

use crate::instance::{Heard, Instance, ask, request};

async fn call(
    instance: &Instance,
    (path, token): (&str, &str),
    body: Option<serde_json::Value>,
) -> Heard {
    let method = if body.is_some() { Method::POST } else { Method::GET };
    let mut request = request(method, path);
    let headers = request.headers_mut();
    headers.insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
    headers.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
    if let Some(body) = body {
        *request.body_mut() = Body::from(body.to_string());
    }
    ask(&instance.router, request).await
}

async fn token(instance: &Instance, run: RunId, epoch: i64) -> String {
    let right = ClaimedRun { tenant: "jfk".parse().unwrap(), run, epoch };
    instance.control.run_token(&right).await.unwrap().reveal().to_owned()
}

#[tokio::test]
async fn a_worker_takes_its_run_over_reports_and_shows_that_it_lives() {
    let instance = Instance::new().await;
    let run = instance.launch().await;
    instance.claim().await;
    let token = token(&instance, run, 1).await;
    let base = format!("/worker/v1/runs/{run}");
    let given = call(&instance, (&format!("{base}/assignment"), &token), None).await.json();
    assert_eq!((&given["epoch"], &given["context"]["day"]), (&json!(1), &json!(3)));
    let event = json!({"seq": 0, "at": "2025-11-19T09:41:00Z", "kind": "run_started", "data": {"worker": "w"}});
    let report = json!({"epoch": 1, "events": [event]});
    let heard = call(&instance, (&format!("{base}/events"), &token), Some(report)).await;
    assert_eq!(heard.json(), json!({"cancel": false}), "{}", heard.text);
    instance.post(&format!("/jfk/api/v1/runs/{run}/cancel"), &json!({})).await;
    let beat = call(&instance, (&format!("{base}/beat"), &token), Some(json!({"epoch": 1}))).await;
    assert_eq!(beat.json(), json!({"cancel": true}));
}

#[tokio::test]
async fn a_worker_that_was_replaced_is_told_to_stop() {
    let instance = Instance::new().await;
    let run = instance.launch().await;
    instance.claim().await;
    let old = token(&instance, run, 0).await;
    let path = format!("/worker/v1/runs/{run}/beat");
    let heard = call(&instance, (&path, &old), Some(json!({"epoch": 0}))).await;
    assert_eq!(heard.status, StatusCode::CONFLICT);
    assert_eq!(heard.json()["error"]["code"], "epoch-stale");
    let lying = call(&instance, (&path, &old), Some(json!({"epoch": 1}))).await;
    assert_eq!(lying.status, StatusCode::CONFLICT, "a token speaks for its own epoch only");
}

#[tokio::test]
async fn a_token_of_another_run_or_none_at_all_opens_nothing() {
    let instance = Instance::new().await;
    let (one, two) = (instance.launch().await, instance.launch().await);
    let token = token(&instance, one, 1).await;
    let path = format!("/worker/v1/runs/{two}/assignment");
    for shown in [token.as_str(), "", "jfk:x:1:00", &token.replace("jfk", "lga")] {
        let heard = call(&instance, (&path, shown), None).await;
        assert_eq!(heard.status, StatusCode::UNAUTHORIZED, "{shown:?} opened it");
    }
}
