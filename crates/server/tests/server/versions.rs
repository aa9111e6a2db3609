//! Versions of definition files over HTTP and on their pages.

use axum::http::StatusCode;
use millstream_control::{FileChange, FileOutcome, LocationChange};
use millstream_model::{ContentHash, FileManifest};
use serde_json::json;

use crate::gallery;
use crate::instance::{Instance, location, manifest};
use millstream_server::frame::Theme;

/// Loads `content` as the next version of the one good file.
async fn edit(instance: &Instance, content: FileManifest) {
    let hash = ContentHash::of(serde_json::to_string(&content).unwrap().as_bytes());
    let outcome = FileOutcome::Live {
        checksum: hash.clone(),
        version: hash,
        content: Box::new(content),
        warnings: Vec::new(),
    };
    let change = LocationChange {
        location: location(),
        seen_version: instance.control.location_version(&location()).await.unwrap(),
        files: vec![FileChange { name: "all.yaml".to_owned(), outcome }],
        stale: None,
    };
    instance.control.apply_scan(&change).await.unwrap();
}

/// The definitions with another address of a tenant's database and another time of the job.
fn edited() -> FileManifest {
    let mut content = serde_json::to_value(manifest()).unwrap();
    content["tenants"]["jfk"]["database_url"] = json!("postgres://app:0ther@db2/x");
    content["jobs"][0]["schedule"] = json!("@hourly");
    content["schedules"] = json!([{
        "name": "production/daily etl", "cron": { "text": "@hourly" }, "timezone": "UTC",
        "target": { "job": "production/daily etl" }, "enabled": { "fixed": true },
    }]);
    serde_json::from_value(content).unwrap()
}

#[tokio::test]
async fn r204_the_versions_of_a_file_are_listed_and_compared_without_their_secrets() {
    let instance = Instance::new().await;
    edit(&instance, edited()).await;
    let history = instance.get("/api/v1/definitions/files/all.yaml/versions").await.json();
    let numbers: Vec<_> = history["versions"].as_array().unwrap().iter().collect();
    assert_eq!((numbers.len(), &history["file"]["number"]), (2, &json!(2)));

    let heard = instance.get("/api/v1/definitions/files/all.yaml/diff?from=1&to=2").await;
    let diff = heard.json();
    assert_eq!(diff["things"][0]["fields"][0]["after"], "postgres://app:***@db2/x");
    assert_eq!(diff["retimed"][0]["name"], "job production/daily etl");
    assert!(!heard.text.contains("s3cret") && !heard.text.contains("0ther"), "{}", heard.text);

    let page = instance.get("/jfk/system/files/all.yaml").await;
    assert!(page.text.contains("Go back to v1") && page.text.contains("v2 is live"));
}

#[tokio::test]
async fn the_page_of_a_broken_file_says_what_is_wrong_and_where() {
    let page = Instance::new().await.get("/jfk/system/files/broken.yaml").await.text;
    assert!(page.contains("No content of it was ever good"), "{page}");
    for words in
        ["broken.yaml:3:5", "has the unknown key `depend_on`", "did you mean `depends_on`?"]
    {
        assert!(page.contains(words), "{words} in {page}");
    }
}

#[tokio::test]
async fn a_plan_says_what_would_change_and_changes_nothing() {
    let instance = Instance::new().await;
    let before = instance.control.location_version(&location()).await.unwrap();
    let body = json!({ "files": { "all.yaml": edited(), "broken.yaml": null } });
    let plan = instance.post("/api/v1/definitions/plan", &body).await.json();
    let things: Vec<_> =
        plan["things"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(things, ["jfk", "production/daily etl"]);
    assert_eq!(instance.control.location_version(&location()).await.unwrap(), before);

    let unread = json!({ "files": { "all.yaml": null } });
    let plan = instance.post("/api/v1/definitions/plan", &unread).await.json();
    assert_eq!(plan["things"], json!([]), "a file with errors keeps its live version");
}

#[tokio::test]
async fn a_version_that_does_not_exist_is_404_with_the_way_out() {
    let instance = Instance::new().await;
    let path = "/api/v1/definitions/files/all.yaml/rollback";
    let heard = instance.post(path, &json!({ "version": 9 })).await;
    assert_eq!(heard.status, StatusCode::NOT_FOUND);
    assert_eq!(heard.json()["error"]["code"], "definition-version-unknown");
    let heard = instance.get("/api/v1/definitions/files/none.yaml/versions").await;
    assert_eq!(heard.status, StatusCode::NOT_FOUND);
}

#[test]
fn r204_a_pinned_file_says_who_went_back_to_it_and_offers_the_way_on() {
    let pages = gallery::all(Theme::Auto);
    let (_, page) = pages.iter().find(|(name, _)| *name == "file").unwrap();
    for part in ["ana went back to it", "Follow the file again", "Go back to v2"] {
        assert!(page.text().contains(part), "{part}: {}", page.text());
    }
    assert!(!page.text().contains("Go back to v1"), "it is live already");
}
