//! The first page of an instance in which much has happened since.

use axum::http::StatusCode;
use millstream_model::EventBody;
use serde_json::json;

use crate::instance::Instance;

#[tokio::test]
async fn what_failed_and_what_goes_on_is_on_the_first_page_however_many_runs_are_newer() {
    let instance = Instance::new().await;
    let failed = instance.launch().await;
    let reason = "the disk is full".to_owned();
    let started = EventBody::RunStarted { worker: "w".to_owned() };
    instance.report(failed, vec![started, EventBody::RunFailed { reason }]).await;
    instance.launch().await;
    instance.claim().await;
    let keys: Vec<String> = (0..400).map(|number| format!("day-{number}")).collect();
    instance.post("/jfk/api/v1/partitions/days", &json!({"keys": keys})).await;
    let wish = json!({"select": "days", "all": true});
    let made = instance.post("/jfk/api/v1/assets/materialize", &wish).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);

    let page = instance.get("/jfk").await.text;
    // A file of the instance is broken as well.
    let said = "2 need attention · 1 running · 400 queued";
    assert!(page.contains(said) && page.contains("the disk is full"), "{page}");
}
