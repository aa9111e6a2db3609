//! `millstream dead-letter`: what was given up; and `millstream run retry`.

use millstream_model::Timestamp;
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::answer::{rows, text};
use super::run::find;
use super::tenants::searched_tenants;
use crate::cli::{DeadLetterCommand, Global, Retry, RetryScope};
use crate::client::Client;
use crate::error::AppError;
use crate::output;

pub(super) async fn run(
    client: &Client,
    global: &Global,
    command: DeadLetterCommand,
) -> Result<(), AppError> {
    match command {
        DeadLetterCommand::List { all, limit } => {
            list(client, global, if all { "all" } else { "open" }, limit).await
        }
        DeadLetterCommand::Show { run } => {
            let path = path_of(client, global, &run, "dead-letters").await?;
            let letter = client.get(&path).await?;
            if global.json {
                output::json(&letter);
            } else {
                print(&letter);
            }
            Ok(())
        }
        DeadLetterCommand::Retry(retry) => {
            let path = path_of(client, global, &retry.run, "dead-letters").await?;
            post_retry(client, global, &path, retry.from).await
        }
        DeadLetterCommand::Discard { run } => {
            let path = path_of(client, global, &run, "dead-letters").await?;
            let letter = client.post(&format!("{path}/discard"), &json!({})).await?;
            if global.json {
                output::json(&letter);
            } else {
                output::line(&format!("The dead letter of run {run} is discarded"));
            }
            Ok(())
        }
    }
}

/// `millstream run retry`.
pub(super) async fn retry_run(
    client: &Client,
    global: &Global,
    retry: &Retry,
) -> Result<(), AppError> {
    let path = path_of(client, global, &retry.run, "runs").await?;
    post_retry(client, global, &path, retry.from).await
}

async fn path_of(
    client: &Client,
    global: &Global,
    run: &str,
    noun: &str,
) -> Result<String, AppError> {
    let (tenant, found) = find(client, global, run).await?;
    Ok(format!("/{tenant}/api/v1/{noun}/{}", text(&found, "/run_id")))
}

async fn post_retry(
    client: &Client,
    global: &Global,
    path: &str,
    from: RetryScope,
) -> Result<(), AppError> {
    let from = match from {
        RetryScope::Failure => "failure",
        RetryScope::Start => "start",
    };
    let launched = client.post(&format!("{path}/retry"), &json!({ "from": from })).await?;
    if global.json {
        output::json(&launched);
    } else {
        output::line(&format!("Run {} is queued", text(&launched, "/run_id")));
        if let Some(words) = launched.get("older_plan").and_then(Value::as_str) {
            output::note(&format!("Of its plan: {words}."));
        }
    }
    Ok(())
}

async fn list(client: &Client, global: &Global, show: &str, limit: u32) -> Result<(), AppError> {
    let mut letters: Vec<Value> = Vec::new();
    for tenant in searched_tenants(client, global).await? {
        let path = format!("/{tenant}/api/v1/dead-letters?show={show}&limit={limit}");
        letters.extend(rows(&client.get(&path).await?, "dead_letters").iter().cloned());
    }
    letters.sort_by_key(|letter| std::cmp::Reverse(place(letter)));
    letters.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    if global.json {
        output::json(&letters);
        return Ok(());
    }
    let table: Vec<Vec<String>> = letters
        .iter()
        .map(|letter| {
            vec![
                text(letter, "/run_id"),
                text(letter, "/tenant"),
                text(letter, "/title"),
                text(letter, "/reason"),
                text(letter, "/at"),
                state(letter),
                text(letter, "/failure"),
            ]
        })
        .collect();
    output::table(&["RUN", "TENANT", "WHAT", "REASON", "AT", "STATE", "FAILURE"], &table);
    Ok(())
}

/// Where a dead letter stands in the list: when its run was given up, and the run.
fn place(letter: &Value) -> (Option<Timestamp>, String) {
    let at = letter.get("at").and_then(|at| Timestamp::deserialize(at).ok());
    (at, text(letter, "/run_id"))
}

fn state(letter: &Value) -> String {
    match text(letter, "/closed/as") {
        none if none == "–" => "open".to_owned(),
        closed => format!("{closed} by {}", text(letter, "/closed/by")),
    }
}

fn print(letter: &Value) {
    output::line(&format!(
        "{}  run {}  {}  (tenant {})",
        state(letter),
        text(letter, "/run_id"),
        text(letter, "/title"),
        text(letter, "/tenant")
    ));
    output::line(&format!("  reason: {}", text(letter, "/reason")));
    output::line(&format!("  last failure: {}", text(letter, "/failure")));
    output::line(&format!("  given up: {}", text(letter, "/at")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_letters_of_all_tenants_stand_by_when_they_were_given_up() {
        let letter = |(at, run): (&str, &str)| json!({ "at": at, "run_id": run });
        let mut letters: Vec<Value> = [
            ("2026-06-01T08:00:00Z", "c"),
            ("2026-06-01T08:00:00.5Z", "a"),
            ("2026-06-01T07:59:59Z", "d"),
            ("2026-06-01T08:00:00.5Z", "b"),
        ]
        .map(letter)
        .into();
        letters.sort_by_key(|letter| std::cmp::Reverse(place(letter)));
        let runs: Vec<String> = letters.iter().map(|letter| text(letter, "/run_id")).collect();
        assert_eq!(runs, ["b", "a", "c", "d"]);
    }
}
