//! `millstream schedule`: list, show, start, stop, look ahead and back, and try a tick.

use millstream_model::Timestamp;
use serde_json::{Value, json};

use super::answer::{rows, text};
use super::tenants::{listed_tenants, one_tenant};
use crate::cli::{Global, ScheduleCommand};
use crate::client::{Client, encoded};
use crate::error::AppError;
use crate::output;

/// Runs of a tick that its line names.
const RUNS_SHOWN: usize = 3;

pub(super) async fn run(
    client: &Client,
    global: &Global,
    command: ScheduleCommand,
) -> Result<(), AppError> {
    match command {
        ScheduleCommand::List => list(client, global).await,
        ScheduleCommand::Show { name } => show(client, global, &name).await,
        ScheduleCommand::Start { name } => switch(client, global, (&name, "on")).await,
        ScheduleCommand::Stop { name } => switch(client, global, (&name, "off")).await,
        ScheduleCommand::Reset { name } => switch(client, global, (&name, "file")).await,
        ScheduleCommand::Preview { name, count } => preview(client, global, &name, count).await,
        ScheduleCommand::Test { name, at } => test(client, global, &name, at).await,
        ScheduleCommand::Ticks { name, limit } => ticks(client, global, &name, limit).await,
    }
}

/// The address of a schedule of the one tenant that is meant.
async fn address(client: &Client, global: &Global, name: &str) -> Result<String, AppError> {
    let tenant = one_tenant(client, global).await?;
    Ok(format!("/{tenant}/api/v1/schedules/{}", encoded(name)))
}

async fn list(client: &Client, global: &Global) -> Result<(), AppError> {
    let mut schedules: Vec<Value> = Vec::new();
    for tenant in listed_tenants(client, global).await? {
        let answer = client.get(&format!("/{tenant}/api/v1/schedules")).await?;
        schedules.extend(rows(&answer, "schedules").iter().cloned());
    }
    if global.json {
        output::json(&schedules);
        return Ok(());
    }
    let table: Vec<Vec<String>> = schedules
        .iter()
        .map(|row| {
            vec![
                text(row, "/tenant"),
                text(row, "/name"),
                state(row).to_owned(),
                text(row, "/cron"),
                text(row, "/timezone"),
                target(row),
                text(row, "/next_at"),
                last(row),
            ]
        })
        .collect();
    let heads = ["TENANT", "SCHEDULE", "STATE", "CRON", "ZONE", "RUNS", "NEXT", "LAST TICK"];
    output::table(&heads, &table);
    Ok(())
}

/// Whether it is on, and whose word that is.
pub(super) fn state(row: &Value) -> &'static str {
    let is_on = row.get("enabled").and_then(Value::as_bool).unwrap_or(false);
    let by_hand = !row.get("enabled_override").is_none_or(Value::is_null);
    match (is_on, by_hand) {
        (true, false) => "on",
        (false, false) => "off",
        (true, true) => "on (by hand)",
        (false, true) => "off (by hand)",
    }
}

fn on_off(word: Option<&Value>) -> &'static str {
    if word.and_then(Value::as_bool).unwrap_or(false) { "on" } else { "off" }
}

fn target(row: &Value) -> String {
    if row.get("job").is_some_and(|job| !job.is_null()) {
        text(row, "/job")
    } else {
        text(row, "/select")
    }
}

/// The last tick, as a list shows it.
pub(super) fn last(row: &Value) -> String {
    match row.get("last_tick") {
        Some(tick) if !tick.is_null() => {
            format!("{} {}", text(tick, "/nominal"), text(tick, "/status"))
        }
        _ => "–".to_owned(),
    }
}

async fn show(client: &Client, global: &Global, name: &str) -> Result<(), AppError> {
    let row = client.get(&address(client, global, name).await?).await?;
    if global.json {
        output::json(&row);
        return Ok(());
    }
    output::line(&format!("{}  (tenant {})", text(&row, "/name"), text(&row, "/tenant")));
    let say = |word: &str, what: &str| output::line(&format!("  {word:<14}{what}"));
    say("when", &format!("{} {}", text(&row, "/cron"), text(&row, "/timezone")));
    say("runs", &target(&row));
    say("state", state(&row));
    say("file says", on_off(row.get("enabled_default")));
    if let Some(word) = row.get("enabled_override").filter(|word| !word.is_null()) {
        say(
            "by hand",
            &format!(
                "{}, said by {} at {}",
                on_off(word.get("on")),
                text(word, "/by"),
                text(word, "/at")
            ),
        );
    }
    say("next", &text(&row, "/next_at"));
    say("last tick", &last(&row));
    say("catch-up", &text(&row, "/catch_up"));
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
        let next = text(&row, "/next_at");
        output::line(&format!("{} is {}; next: {next}", text(&row, "/name"), state(&row)));
    }
    Ok(())
}

async fn preview(
    client: &Client,
    global: &Global,
    name: &str,
    count: usize,
) -> Result<(), AppError> {
    let path = format!("{}/preview?n={count}", address(client, global, name).await?);
    let answer = client.get(&path).await?;
    if global.json {
        output::json(&answer);
        return Ok(());
    }
    let table: Vec<Vec<String>> = rows(&answer, "fires")
        .iter()
        .map(|fire| vec![text(fire, "/at"), text(fire, "/local")])
        .collect();
    output::table(&["UTC", &text(&answer, "/timezone")], &table);
    Ok(())
}

async fn test(
    client: &Client,
    global: &Global,
    name: &str,
    at: Option<Timestamp>,
) -> Result<(), AppError> {
    let path = format!("{}/test", address(client, global, name).await?);
    let answer = client.post(&path, &json!({ "nominal": at })).await?;
    if global.json {
        output::json(&answer);
        return Ok(());
    }
    output::line(&format!("Tick of {}: {}", text(&answer, "/nominal"), outcome(&answer)));
    let table: Vec<Vec<String>> = rows(&answer, "requests")
        .iter()
        .map(|request| {
            let is_known = request.get("is_known").and_then(Value::as_bool).unwrap_or(false);
            vec![
                text(request, "/run_key"),
                text(request, "/partition"),
                if is_known { "requested before" } else { "would be requested" }.to_owned(),
            ]
        })
        .collect();
    if !table.is_empty() {
        output::table(&["RUN KEY", "PARTITION", "OUTCOME"], &table);
    }
    for warning in rows(&answer, "warnings") {
        output::line(&format!("warning: {}", text(warning, "/message")));
    }
    output::note("This was only a test: nothing was requested.");
    Ok(())
}

/// What came of a tick, with the reason when nothing did.
pub(super) fn outcome(tick: &Value) -> String {
    let status = text(tick, "/status");
    if let Some(error) = tick.get("error").filter(|error| !error.is_null()) {
        return format!("{status}: {}", text(error, "/message"));
    }
    match reason(tick) {
        Some(reason) => format!("{status}: {reason}"),
        None => status,
    }
}

/// Why a tick requested nothing, in words.
fn reason(tick: &Value) -> Option<String> {
    let skipped = tick.get("skipped").filter(|skipped| !skipped.is_null())?;
    let reason = serde_json::from_value::<millstream_model::SkipReason>(skipped.clone());
    Some(reason.map_or_else(|_| skipped.to_string(), |reason| reason.to_string()))
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
            let shown = all.iter().take(RUNS_SHOWN).map(|run| text(run, "/run_id"));
            let mut runs: Vec<String> = shown.collect();
            if all.len() > RUNS_SHOWN {
                runs.push(format!("and {} more", all.len() - RUNS_SHOWN));
            }
            let warnings = rows(tick, "warnings").iter().map(|it| text(it, "/message"));
            runs.extend(warnings);
            vec![text(tick, "/nominal"), outcome(tick), text(tick, "/requested"), runs.join(", ")]
        })
        .collect();
    output::table(&["NOMINAL TIME", "OUTCOME", "RUNS", "WHICH"], &table);
    Ok(())
}
