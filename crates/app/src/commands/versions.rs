//! `millstream definitions history`, `diff` and `rollback`: the versions of one file.

use millstream_control::Changes;
use serde_json::json;

use super::answer::{rows, text};
use super::plan;
use crate::cli::{Global, VersionNumber};
use crate::client::{Client, encoded};
use crate::error::AppError;
use crate::output;

/// Lists the versions of a file.
pub(super) async fn history(client: &Client, global: &Global, file: &str) -> Result<(), AppError> {
    let answer = client.get(&address(file, "versions")).await?;
    if global.json {
        output::json(&answer);
        return Ok(());
    }
    let live = text(&answer, "/file/number");
    let pinned = answer.pointer("/file/pin/by").and_then(serde_json::Value::as_str);
    let table: Vec<Vec<String>> = rows(&answer, "versions")
        .iter()
        .map(|row| {
            let number = text(row, "/number");
            let says = match (number == live, pinned) {
                (true, Some(by)) => format!("live; {by} went back to it"),
                (true, None) => "live".to_owned(),
                (false, _) => String::new(),
            };
            let hash = text(row, "/hash").chars().take(8).collect();
            vec![format!("v{number}"), text(row, "/loaded_at"), hash, says]
        })
        .collect();
    output::table(&["VERSION", "LOADED", "HASH", ""], &table);
    Ok(())
}

/// Shows what is different between two versions of a file.
pub(super) async fn diff(
    client: &Client,
    global: &Global,
    file: &str,
    (from, to): (VersionNumber, VersionNumber),
) -> Result<(), AppError> {
    let path = format!("{}?from={}&to={}", address(file, "diff"), from.0, to.0);
    let answer = client.get(&path).await?;
    if global.json {
        output::json(&answer);
        return Ok(());
    }
    let changes: Changes = plan::decoded(client, answer)?;
    plan::show_things(&changes);
    for line in plan::divided_anew(&changes) {
        output::line(&line);
    }
    Ok(())
}

/// Makes an older version of a file live until the file's content changes.
pub(super) async fn rollback(
    client: &Client,
    global: &Global,
    file: &str,
    version: VersionNumber,
) -> Result<(), AppError> {
    let answer = client.post(&address(file, "rollback"), &json!({ "version": version.0 })).await?;
    if global.json {
        output::json(&answer);
        return Ok(());
    }
    let number = version.0;
    if answer.pointer("/file/pin").is_some_and(serde_json::Value::is_object) {
        output::line(&format!(
            "{file} is at v{number}, and stays there until its content or one of its sources \
             changes. Runs that are queued or going on keep the version they were launched with."
        ));
    } else {
        output::line(&format!("{file} is at v{number}, its newest, and follows its content."));
    }
    if answer.pointer("/file/state").and_then(serde_json::Value::as_str) == Some("last_good") {
        output::line("What the file holds has errors; `millstream definitions status` shows them.");
    }
    for warning in rows(&answer, "warnings") {
        output::line(&format!("warning: {}", text(warning, "/message")));
    }
    Ok(())
}

fn address(file: &str, what: &str) -> String {
    format!("/api/v1/definitions/files/{}/{what}", encoded(file))
}
