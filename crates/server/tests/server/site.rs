//! Pages and forms through the router, without a script.

use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use millstream_model::{Caller, ErrorCode, EventBody, StepError};
use millstream_server::assets;
use millstream_server::frame::{Frame, Section, Theme};
use millstream_server::pages::dead_letters::{DeadLettersPage, dead_letters};
use serde_json::json;
use tower::ServiceExt;

use crate::instance::{Instance, location, request};
use crate::samples;

#[tokio::test]
async fn r063_health_is_200_at_once_and_ready_is_503_until_definitions_are_loaded() {
    let instance = Instance::empty(Caller::loopback_developer()).await;
    assert_eq!(instance.get("/health").await.status, StatusCode::OK);
    let early = instance.get("/ready").await;
    assert_eq!(
        (early.status, &early.json()["definitions"]),
        (StatusCode::SERVICE_UNAVAILABLE, &"loading".into())
    );
    instance.load(crate::instance::manifest()).await;
    let ready = instance.get("/ready").await;
    assert_eq!((ready.status, &ready.json()["ready"]), (StatusCode::OK, &true.into()));
}

#[tokio::test]
async fn r002_server_info_tells_version_and_status() {
    let info = Instance::new().await.get("/server_info").await.json();
    assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(info["database"]["kind"], "sqlite");
    assert_eq!((&info["daemons"], &info["status"]), (&"none".into(), &"degraded".into()));
}

#[tokio::test]
async fn an_address_with_a_slash_at_its_end_leads_to_the_one_without() {
    let instance = Instance::new().await;
    let answer = instance.get("/jfk/runs/?q=status:failed").await;
    assert_eq!(answer.status, 308);
    assert_eq!(answer.location(), "/jfk/runs?q=status:failed");
    assert_eq!(instance.get("/jfk/nothing/there/").await.status, 308);
    assert_eq!(instance.get("/jfk/nothing/there").await.status, 404);
}

#[tokio::test]
async fn r001_every_page_of_the_bar_is_there_and_refers_only_to_files_that_are_served() {
    let instance = Instance::new().await;
    let run = instance.launch().await;
    let mut paths = vec!["/".to_owned(), format!("/jfk/runs/{run}"), "/jfk/assets/days".to_owned()];
    for page in [
        "",
        "/runs",
        "/assets",
        "/automation",
        "/system",
        "/system/queue",
        "/system/daemons",
        "/system/tenants",
    ] {
        paths.push(format!("/jfk{page}"));
    }
    paths.push("/jfk/jobs/production%2Fdaily%20etl".to_owned());
    paths.push("/jfk/assets/marts%2Fflights".to_owned());
    for path in paths {
        let page = instance.get(&path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.text);
        for link in page.text.split("href=\"").skip(1).chain(page.text.split("src=\"").skip(1)) {
            let link = link.split(['"', '#']).next().unwrap();
            if link.is_empty() {
                continue;
            }
            let heard = instance.get(&link.replace("&#38;", "&")).await;
            assert_eq!(heard.status, StatusCode::OK, "{path} links to {link}: {}", heard.text);
        }
    }
}

#[tokio::test]
async fn a_vendored_file_may_be_kept_for_ever_and_an_old_address_is_gone() {
    let instance = Instance::new().await;
    let style = instance.get(&assets::url("style.css")).await;
    assert!(style.headers[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
    assert_eq!(instance.get("/static/00000000/style.css").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_run_is_launched_and_cancelled_with_forms_alone() {
    let instance = Instance::new().await;
    let job = "/jfk/jobs/production%2Fdaily%20etl/launch";
    let launched = instance.form(job, "context=%7B%22day%22%3A3%7D").await;
    assert_eq!(launched.status, StatusCode::SEE_OTHER, "{}", launched.text);
    let page = launched.location().to_owned();
    assert!(instance.get(&page).await.text.contains("Cancel run"));
    let cancelled = instance.form(&format!("{page}/cancel"), "").await;
    assert_eq!(cancelled.location(), page);
    let after = instance.get(&page).await;
    assert!(
        after.text.contains("Canceled") && !after.text.contains("Cancel run"),
        "{}",
        after.text
    );
}

#[tokio::test]
async fn ticked_cells_are_built_and_none_ticked_says_what_to_do() {
    let instance = Instance::new().await;
    let keys = serde_json::json!({"keys": ["a", "b", "c"]});
    instance.post("/jfk/api/v1/partitions/days", &keys).await;
    let page = instance.get("/jfk/assets/days").await;
    assert!(page.text.contains("aria-label=\"b: Never built\""), "{}", page.text);
    let form = "/jfk/assets/days/materialize";
    let none = instance.form(form, "select=ticked").await;
    assert!(none.text.contains("tick those to build"), "{}", none.text);
    let two = instance.form(form, "partition=a&partition=c&select=ticked").await;
    assert_eq!(two.location(), "/jfk/runs?queued=2");
    let list = instance.get(two.location()).await;
    assert!(list.text.contains("2 runs are queued"), "{}", list.text);
}

#[tokio::test]
async fn the_theme_is_kept_in_a_cookie_and_drawn_by_the_server() {
    let instance = Instance::new().await;
    let chosen = instance.form("/theme", "theme=dark&back=%2Fjfk%2Fruns").await;
    assert_eq!(chosen.location(), "/jfk/runs");
    let cookie = chosen.headers[header::SET_COOKIE].to_str().unwrap();
    assert!(cookie.starts_with("theme=dark;"), "{cookie}");
    let mut again = request(axum::http::Method::GET, "/jfk/runs");
    again.headers_mut().insert(header::COOKIE, "a=b; theme=dark".parse().unwrap());
    let page = crate::instance::ask(&instance.router, again).await;
    assert!(page.text.contains("data-theme=\"dark\""));
}

#[tokio::test]
async fn an_unknown_filter_or_tab_shows_a_notice_and_never_an_empty_page() {
    let instance = Instance::new().await;
    let run = instance.launch().await;
    let filter = instance.get("/jfk/runs?q=colour%3Ared&utm=1").await;
    assert!(filter.text.contains("colour:red") && filter.text.contains("Not understood"));
    assert!(filter.text.contains(&run.short()));
    let tab = instance.get(&format!("/jfk/runs/{run}?tab=flame")).await;
    assert!(tab.text.contains("There is no tab") && tab.text.contains("class=\"story\""));
}

#[tokio::test]
async fn the_bar_of_every_page_counts_what_failed_and_the_files_that_are_broken() {
    let instance = Instance::new().await;
    let first = instance.get("/jfk").await;
    assert!(first.text.contains("1 needs attention"), "the broken file: {}", first.text);
    let runs = instance.get("/jfk/runs").await.text;
    assert_eq!(runs.matches("class=\"problems\"").count(), 1, "{runs}");
    let (_, badge) = runs.split_once(">System\n<span class=\"problems\">").unwrap();
    assert!(
        badge.split_once("</a>").unwrap().0.contains("1<span class=\"visually-hidden\"> broken")
    );
}

#[tokio::test]
async fn a_failed_run_needs_no_attention_once_what_it_left_undone_was_made_by_another() {
    let instance = Instance::new().await;
    let wish = json!({ "select": "marts/flights" });
    let launched = instance.post("/jfk/api/v1/assets/materialize", &wish).await.json();
    let run = launched["runs"][0]["run_id"].as_str().unwrap().parse().unwrap();
    let (step, worker) = ("marts/flights".parse().unwrap(), "process 1".to_owned());
    let reason = "step marts/flights failed".to_owned();
    let error = StepError { code: ErrorCode::StepExit, message: reason.clone(), detail: None };
    let failed = vec![
        EventBody::RunStarted { worker },
        EventBody::StepFailed { step, attempt: 1, error, retry: None, usage: None },
        EventBody::RunFailed { reason },
    ];
    instance.report_at(crate::samples::before(60), run, failed).await;
    let bar = "class=\"problems\"";
    assert!(instance.get("/jfk").await.text.contains("2 need attention"));
    assert_eq!(instance.get("/jfk/runs").await.text.matches(bar).count(), 2);
    let made = instance.post("/jfk/api/v1/assets/marts%2Fflights/report", &json!({})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let first = instance.get("/jfk").await.text;
    assert!(first.contains("1 needs attention"), "the broken file alone: {first}");
    assert_eq!(instance.get("/jfk/runs").await.text.matches(bar).count(), 1);
}

#[tokio::test]
async fn the_page_of_an_asset_that_was_reported_says_so_where_its_code_would_stand() {
    let instance = Instance::new().await;
    let path = "/jfk/api/v1/assets/marts%2Fflights/report";
    for (said, wanted) in
        [(json!({}), "not known: it was reported"), (json!({"code_version": "v7"}), "v7")]
    {
        assert_eq!(instance.post(path, &said).await.status, StatusCode::CREATED);
        let page = instance.get("/jfk/assets/marts%2Fflights").await.text;
        let (_, code) = page.split_once(">Code<").unwrap();
        let code: String = code.chars().take(80).collect();
        assert!(code.contains(wanted), "{code}");
    }
}

#[tokio::test]
async fn the_page_of_a_failed_run_says_that_its_definitions_are_others_by_now() {
    let instance = Instance::new().await;
    let run = instance.launch().await;
    let (worker, reason) = ("process 1".to_owned(), "it broke".to_owned());
    let failed = vec![EventBody::RunStarted { worker }, EventBody::RunFailed { reason }];
    instance.report(run, failed).await;
    let page = format!("/jfk/runs/{run}");
    let words = "and a retry keeps its plan";
    assert!(!instance.get(&page).await.text.contains(words));
    let mut changed = crate::instance::manifest();
    if let millstream_model::JobShape::Ops(ops) = &mut changed.jobs[0].shape {
        ops.pop();
    }
    instance.load(changed).await;
    let text = instance.get(&page).await.text;
    assert!(text.contains(words), "{text}");
}

#[tokio::test]
async fn neither_the_api_nor_a_page_tries_a_run_again_whose_job_or_tenant_is_off() {
    let instance = Instance::new().await;
    let run = instance.launch().await;
    let (worker, reason) = ("process 1".to_owned(), "it broke".to_owned());
    let failed = vec![EventBody::RunStarted { worker }, EventBody::RunFailed { reason }];
    instance.report(run, failed).await;
    let switch = "/jfk/api/v1/jobs/production%2Fdaily%20etl/switch";
    instance.post(switch, &json!({ "to": "off" })).await;
    let refused = async || {
        let by_api = instance.post(&format!("/jfk/api/v1/runs/{run}/retry"), &json!({})).await;
        let by_page = instance.form(&format!("/jfk/runs/{run}/retry"), "from=failure").await;
        assert_eq!((by_api.status, by_page.status), (StatusCode::CONFLICT, StatusCode::CONFLICT));
        by_api.json()["error"]["code"].clone()
    };
    assert_eq!(refused().await, "job-disabled");
    instance.post(switch, &json!({ "to": "on" })).await;
    let mut off = crate::instance::manifest();
    off.tenants.get_mut("jfk").unwrap().enabled = false;
    instance.load(off).await;
    assert_eq!(refused().await, "tenant-disabled");
}

#[test]
fn dead_letters_of_a_tenant_that_is_off_are_discarded_and_not_tried_again() {
    let page = |idle: Option<&str>| {
        let idle = idle.map(str::to_owned);
        let frame = Frame { idle, ..samples::frame(Section::Runs, Theme::Auto) };
        let (now, letters) = (samples::now(), samples::dead_letters());
        dead_letters(DeadLettersPage { frame, now, letters })
    };
    assert!(page(None).text().contains("value=\"failure\">Retry"));
    let off = page(Some("Tenant jfk is off"));
    assert!(off.text().contains("value=\"failure\" disabled>Retry"), "{}", off.text());
    assert!(off.text().contains("<button class=\"button small\">Discard"), "{}", off.text());
}

#[tokio::test]
async fn every_page_of_a_tenant_that_is_off_says_so_and_starts_nothing() {
    let instance = Instance::new().await;
    let run = instance.launch().await;
    let mut off = crate::instance::manifest();
    off.tenants.get_mut("jfk").unwrap().enabled = false;
    instance.load(off).await;
    let (job, run) = ("/jobs/production%2Fdaily%20etl", format!("/runs/{run}"));
    let words = "Tenant jfk is off: nothing new is started for it, and what was asked for before \
                 goes on, with its retries (1 run is queued): `millstream run cancel RUN` ends it.";
    let pages = ["", "/runs", &run, "/assets", "/assets/days", "/assets/marts%2Fflights"];
    for page in pages.into_iter().chain([job, "/automation", "/system", "/system/queue"]) {
        let text = instance.get(&format!("/jfk{page}")).await.text;
        assert!(text.contains(words), "{page}: {text}");
        let mut buttons = text.split("<button").skip(1).map(|it| it.split_once('>').unwrap());
        let starts = |(head, rest): (&str, &str)| {
            let is_one = ["Build", "Launch run", "Retry"].iter().any(|it| rest.starts_with(it));
            is_one && !head.ends_with(" disabled")
        };
        assert!(!buttons.any(starts), "{page}: {text}");
    }
    let first = instance.get("/jfk").await.text;
    assert!(!first.contains("Nothing needs attention"), "{first}");
    let jobs = instance.get("/jfk/automation").await.text;
    assert!(jobs.contains("tenant off") && jobs.contains("No schedule ticks</b> while"));
    assert!(!instance.get("/lga/runs").await.text.contains("is off: nothing"));
}

#[tokio::test]
async fn r202_a_page_hears_of_its_run_however_late_it_listens_and_streams_end_with_the_server() {
    let instance = Instance::new().await;
    let (hub, control) = (instance.live.clone(), instance.control.clone());
    let follower = tokio::spawn(async move { hub.follow(control).await });
    // One turn takes it to where it listens: the store in memory never waits.
    tokio::task::yield_now().await;
    let page = instance.get("/jfk/runs").await.text;
    let (_, stream) = page.split_once("data-live=\"").unwrap();
    let (stream, _) = stream.split_once('"').unwrap();
    let listen = || instance.router.clone().oneshot(request(axum::http::Method::GET, stream));
    let response = listen().await.unwrap().into_response();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    let run = instance.launch().await;
    let mut body = response.into_body().into_data_stream();
    let mut heard = String::new();
    while !heard.contains(&format!("event: run-{run}")) {
        let piece = futures_util::StreamExt::next(&mut body).await.unwrap().unwrap();
        heard.push_str(&String::from_utf8_lossy(&piece));
    }
    assert!(!heard.contains("everything"), "nothing happened before it listened: {heard}");
    // A page of the same moment that is late to listen has missed it, and is told so at once.
    let mut late = listen().await.unwrap().into_response().into_body().into_data_stream();
    let first = futures_util::StreamExt::next(&mut late).await.unwrap().unwrap();
    assert!(first.starts_with(b"event: everything"), "{first:?}");
    drop(late);
    instance.live.close();
    while futures_util::StreamExt::next(&mut body).await.is_some() {}
    follower.await.unwrap();
}

#[tokio::test]
async fn the_definitions_page_shows_each_finding_with_its_place_and_way_out() {
    let instance = Instance::new().await;
    let page = instance.get("/jfk/system").await;
    for part in
        ["broken.yaml:3:5", "depend_on", "did you mean", "definition-unknown-key", "all.yaml"]
    {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    assert_eq!(location().as_str(), "project");
}
