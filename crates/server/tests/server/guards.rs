//! Hosts, origins, content types and headers, through the whole router.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use millstream_server::{ROUTES, Verb};

use crate::instance::{Instance, ask};

#[tokio::test]
async fn a_foreign_host_name_reaches_nothing_not_even_health() {
    let instance = Instance::new().await;
    for path in ["/", "/health", "/jfk/runs", "/jfk/api/v1/runs", "/no/such/page"] {
        let request = Request::get(path).header(header::HOST, "rebound.example:3000");
        let heard = ask(&instance.router, request.body(Body::empty()).unwrap()).await;
        assert_eq!(heard.status, StatusCode::FORBIDDEN, "{path}");
        assert!(heard.text.contains("host-refused"), "{path}: {}", heard.text);
    }
}

#[tokio::test]
async fn no_route_that_changes_something_takes_a_request_of_another_site() {
    let instance = Instance::new().await;
    for route in ROUTES.iter().filter(|route| route.method != Verb::Get) {
        let kind = match route.method {
            Verb::Form => "application/x-www-form-urlencoded",
            _ => "application/json",
        };
        let path = route.path.replace("{tenant}", "jfk").replace(['{', '}'], "");
        let request = Request::builder()
            .method(route.http_method())
            .uri(path)
            .header(header::HOST, "localhost:3000")
            .header(header::ORIGIN, "https://evil.example")
            .header(header::CONTENT_TYPE, kind);
        let heard = ask(&instance.router, request.body(Body::from("{}")).unwrap()).await;
        assert_eq!(heard.status, StatusCode::FORBIDDEN, "{:?}", route.id);
        assert!(heard.text.contains("cross-origin"), "{:?}: {}", route.id, heard.text);
    }
}

#[tokio::test]
async fn every_answer_forbids_inline_scripts_framing_and_sniffing() {
    let instance = Instance::new().await;
    for path in ["/", "/jfk/runs", "/health", "/jfk/api/v1/runs", "/nowhere/runs", "/x/y/z/w"] {
        let heard = instance.get(path).await;
        let policy = heard.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe-inline") && policy.contains("frame-ancestors 'none'"));
        assert_eq!(heard.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
        assert!(heard.headers.contains_key("x-request-id"), "{path}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_in_our_own_words() {
    let instance = Instance::new().await;
    let heard = instance.form("/jfk/jobs/x/launch", &"a".repeat(2 << 20)).await;
    assert_eq!(heard.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(heard.text.contains("larger than this address takes"), "{}", heard.text);
}

#[tokio::test]
async fn what_goes_wrong_is_json_for_programs_and_a_page_for_people() {
    let instance = Instance::new().await;
    let api = instance.get("/jfk/api/v1/jobs/nope").await;
    assert_eq!(api.status, StatusCode::NOT_FOUND);
    let error = api.json()["error"].clone();
    for key in ["code", "message", "help", "request_id", "diagnostics"] {
        assert!(!error[key].is_null(), "{key} is missing in {error}");
    }
    let page = instance.get("/jfk/runs/ffffffff").await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    let id = page.headers["x-request-id"].to_str().unwrap();
    for part in ["run-unknown", "millstream run list", "millstream errors run-unknown", id] {
        assert!(page.text.contains(part), "{part} is missing in {}", page.text);
    }
    assert_eq!(page.text.matches("millstream errors ").count(), 1, "{}", page.text);
    assert!(page.text.contains("href=\"/jfk/runs\""), "no way to the other pages");
    assert!(!page.text.contains("Try again"), "the same request cannot be answered later either");
}
