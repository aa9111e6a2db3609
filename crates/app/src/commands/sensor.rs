//! `millstream sensor`: list, show, start, stop, try, look back, and set what one remembers.

use serde_json::{Value, json};

use super::answer::{rows, text};
use super::schedule::{last, outcome, state};
use super::tenants::{listed_tenants, one_tenant};
use crate::cli::{Global, SensorCommand};
use crate::client::{Client, encoded};
use crate::error::AppError;
use crate::output;

/// Runs of a tick that its line names.
const RUNS_SHOWN: usize = 3;

pub(super) async fn run(
    client: &Client,
    global: &Global,
    command: SensorCommand,
) -> Result<(), AppError> {
    match command {
        SensorCommand::List => list(client, global).await,
        SensorCommand::Show { name } => show(client, global, &name).await,
        SensorCommand::Start { name } => switch(client, global, (&name, "on")).await,
        SensorCommand::Stop { name } => switch(client, global, (&name, "off")).await,
        SensorCommand::Reset { name } => switch(client, global, (&name, "file")).await,
        SensorCommand::Test { name } => test(client, global, &name).await,
        SensorCommand::Ticks { name, limit } => ticks(client, global, &name, limit).await,
        SensorCommand::Cursor { name, set, clear: _ } => {
            set_cursor(client, global, (&name, set)).await
        }
    }
}

/// The address of a sensor of the one tenant that is meant.
async fn address(client: &Client, global: &Global, name: &str) -> Result<String, AppError> {
    let tenant = one_tenant(client, global).await?;
    Ok(format!("/{tenant}/api/v1/sensors/{}", encoded(name)))
}

async fn list(client: &Client, global: &Global) -> Result<(), AppError> {
    let mut sensors: Vec<Value> = Vec::new();
    for tenant in listed_tenants(client, global).await? {
        let answer = client.get(&format!("/{tenant}/api/v1/sensors")).await?;
        sensors.extend(rows(&answer, "sensors").iter().cloned());
    }
    if global.json {
        output::json(&sensors);
        return Ok(());
    }
    let table: Vec<Vec<String>> = sensors
        .iter()
        .map(|row| {
            vec![
                text(row, "/tenant"),
                text(row, "/name"),
                state(row).to_owned(),
                text(row, "/asks"),
                text(row, "/every"),
                text(row, "/target"),
                last(row),
            ]
        })
        .collect();
    output::table(&["TENANT", "SENSOR", "STATE", "ASKS", "EVERY", "RUNS", "LAST TICK"], &table);
    Ok(())
}

async fn show(client: &Client, global: &Global, name: &str) -> Result<(), AppError> {
    let row = client.get(&address(client, global, name).await?).await?;
    if global.json {
        output::json(&row);
        return Ok(());
    }
    output::line(&format!("{}  (tenant {})", text(&row, "/name"), text(&row, "/tenant")));
    let say = |word: &str, what: &str| output::line(&format!("  {word:<14}{what}"));
    say("asks", &text(&row, "/asks"));
    say("every", &text(&row, "/every"));
    say("timeout", &text(&row, "/timeout"));
    say("runs", &text(&row, "/target"));
    say("state", state(&row));
    let default = row.get("enabled_default").and_then(Value::as_bool).unwrap_or(false);
    say("file says", if default { "on" } else { "off" });
    if let Some(word) = row.get("enabled_override").filter(|word| !word.is_null()) {
        let (by, at) = (text(word, "/by"), text(word, "/at"));
        say("by hand", &format!("{} by {by} at {at}", state(&row)));
    }
    say("next", &text(&row, "/next_at"));
    say("last tick", &last(&row));
    say("cursor", &text(&row, "/cursor"));
    if let Some(lag) = row.get("lag").filter(|lag| !lag.is_null()) {
        say("lag", &format!("{} events not read yet", text(lag, "/events")));
    }
    Ok(())
}

async fn switch(
    client: &Client,
    global: &Global,
    (name, to): (&str, &str),
) -> Result<(), AppError> {
    let path = format!("{}/switch", address(client, global, name).await?);
    let row = client.post(&path, &json!({ "to": to })).await?;
    if global.json {
        output::json(&row);
    } else {
        output::line(&format!("{} is {}", text(&row, "/name"), state(&row)));
    }
    Ok(())
}

async fn test(client: &Client, global: &Global, name: &str) -> Result<(), AppError> {
    let path = format!("{}/test", address(client, global, name).await?);
    let answer = client.post(&path, &json!({})).await?;
    if global.json {
        output::json(&answer);
        return Ok(());
    }
    output::line(&format!("A tick now: {}", outcome(&answer)));
    let table: Vec<Vec<String>> = rows(&answer, "requests")
        .iter()
        .map(|request| vec![text(request, "/run_key"), text(request, "/partition")])
        .collect();
    if !table.is_empty() {
        output::table(&["RUN KEY", "PARTITION"], &table);
    }
    for (partitions, change) in
        answer.get("partitions").and_then(Value::as_object).into_iter().flatten()
    {
        let (added, removed) = (rows(change, "add").len(), rows(change, "remove").len());
        output::line(&format!("partitions {partitions}: {added} added, {removed} removed"));
    }
    for warning in rows(&answer, "warnings") {
        output::line(&format!("warning: {}", text(warning, "/message")));
    }
    let (before, after) = (text(&answer, "/cursor_before"), text(&answer, "/cursor_after"));
    if before != after {
        output::line(&format!("cursor: {before} -> {after}"));
    }
    output::note("This was only a test: nothing was requested, and the cursor is where it was.");
    Ok(())
}

async fn ticks(client: &Client, global: &Global, name: &str, limit: u32) -> Result<(), AppError> {
    let path = format!("{}/ticks?limit={limit}", address(client, global, name).await?);
    let answer = client.get(&path).await?;
    if global.json {
        output::json(&answer);
        return Ok(());
    }
    let table: Vec<Vec<String>> = rows(&answer, "ticks")
        .iter()
        .map(|tick| {
            let all = rows(tick, "runs");
            let mut said: Vec<String> =
                all.iter().take(RUNS_SHOWN).map(|run| text(run, "/run_id")).collect();
            if all.len() > RUNS_SHOWN {
                said.push(format!("and {} more", all.len() - RUNS_SHOWN));
            }
            said.extend(rows(tick, "warnings").iter().map(|it| text(it, "/message")));
            vec![
                text(tick, "/nominal"),
                text(tick, "/times"),
                outcome(tick),
                text(tick, "/requested"),
                said.join(", "),
            ]
        })
        .collect();
    output::table(&["ASKED", "TIMES", "OUTCOME", "RUNS", "WHICH"], &table);
    Ok(())
}

async fn set_cursor(
    client: &Client,
    global: &Global,
    (name, cursor): (&str, Option<String>),
) -> Result<(), AppError> {
    let path = format!("{}/cursor", address(client, global, name).await?);
    let stand = client.post(&path, &json!({ "cursor": cursor })).await?;
    if global.json {
        output::json(&stand);
    } else {
        output::line(&format!("{name} remembers: {}", text(&stand, "/cursor")));
    }
    Ok(())
}
