//! `millstream schedule`: list, show, start, stop, look ahead and back, and try a tick.

use millstream_model::Timestamp;
use serde_json::{Value, json};

use super::answer::{rows, text};
use super::tenants::{note_list, note_unscheduled};
use super::ticking::{
    Kind, last, meanwhile, next, off, outcome, standing, state, stopped, warn, which,
};
use crate::cli::{Global, Named, Newest, ScheduleCommand};
use crate::client::{Client, encoded};
use crate::error::AppError;
use crate::output;

const SCHEDULES: Kind = Kind("schedules");

pub(super) async fn run(
    client: &Client,
    global: &Global,
    command: ScheduleCommand,
) -> Result<(), AppError> {
    match command {
        ScheduleCommand::List => list(client, global).await,
        ScheduleCommand::Show(Named { name }) => show(client, global, &name).await,
        ScheduleCommand::Switch(command) => switch(client, global, command.order()).await,
        ScheduleCommand::Preview { name, count, from } => {
            preview(client, global, (&name, count, from)).await
        }
        ScheduleCommand::Test { name, at } => test(client, global, &name, at).await,
        ScheduleCommand::Ticks(Newest { name, limit }) => ticks(client, global, &name, limit).await,
    }
}

async fn list(client: &Client, global: &Global) -> Result<(), AppError> {
    let schedules = SCHEDULES.all(client, global).await?;
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
                state(row),
                text(row, "/cron"),
                text(row, "/timezone"),
                target(row),
                next(row),
                last(row),
            ]
        })
        .collect();
    let heads = ["TENANT", "SCHEDULE", "STATE", "CRON", "ZONE", "RUNS", "NEXT", "LAST TICK"];
    output::table(&heads, &table);
    note_unscheduled(client, global).await?;
    note_list(client, global).await
}

fn target(row: &Value) -> String {
    if row.get("job").is_some_and(|job| !job.is_null()) {
        text(row, "/job")
    } else {
        text(row, "/select")
    }
}

async fn show(client: &Client, global: &Global, name: &str) -> Result<(), AppError> {
    let row = client.get(&SCHEDULES.address(client, global, name).await?).await?;
    if global.json {
        output::json(&row);
        return Ok(());
    }
    output::line(&format!("{}  (tenant {})", text(&row, "/name"), text(&row, "/tenant")));
    let say = |word: &str, what: &str| output::line(&format!("  {word:<14}{what}"));
    say("when", &format!("{} {}", text(&row, "/cron"), text(&row, "/timezone")));
    say("runs", &target(&row));
    for (word, what) in standing(&row) {
        say(word, &what);
    }
    say("catch-up", &text(&row, "/catch_up"));
    for (word, what) in keys(&row) {
        say(word, &what);
    }
    Ok(())
}

/// What else the definition says, in its own words.
fn keys(row: &Value) -> Vec<(&'static str, String)> {
    let partitions = row.get("partitions").filter(|it| !it.is_null());
    let partitions = partitions.map(|it| it.as_str().map_or_else(|| it.to_string(), str::to_owned));
    let excluded: Vec<&str> = rows(row, "exclude").iter().filter_map(Value::as_str).collect();
    let tags = row.get("tags").and_then(Value::as_object).into_iter().flatten();
    let tags: Vec<String> =
        tags.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    let plain = [
        ("runs at once", "/max_active_runs"),
        ("deadline", "/deadline"),
        ("when", "/when"),
        ("run key", "/run_key"),
        ("start", "/start"),
        ("end", "/end"),
    ];
    let said = |place: &str| row.pointer(place).is_some_and(|it| !it.is_null());
    let plain = plain.into_iter().filter(|(_, place)| said(place));
    let mut keys: Vec<(&'static str, String)> =
        plain.map(|(word, place)| (word, text(row, place))).collect();
    keys.extend(partitions.map(|it| ("partitions", it)));
    keys.extend((!excluded.is_empty()).then(|| ("exclude", excluded.join(", "))));
    keys.extend((!tags.is_empty()).then(|| ("tags", tags.join(", "))));
    keys
}

async fn switch(
    client: &Client,
    global: &Global,
    (name, to): (&str, &str),
) -> Result<(), AppError> {
    let row = SCHEDULES.switch(client, global, (name, to)).await?;
    if global.json {
        output::json(&row);
    } else {
        let (name, state, due) = (text(&row, "/name"), state(&row), next(&row));
        output::line(&format!("{name} is {state}; next: {due}"));
        if let Some(words) = meanwhile(&row) {
            output::note(&format!("While it is off: {words}."));
        }
        if let Some(words) = stopped(&row) {
            output::note(&format!("Its job {words}."));
        }
    }
    Ok(())
}

async fn preview(
    client: &Client,
    global: &Global,
    (name, count, from): (&str, u32, Option<Timestamp>),
) -> Result<(), AppError> {
    let from = from.map(|at| format!("&from={}", encoded(&at.to_string()))).unwrap_or_default();
    let address = SCHEDULES.address(client, global, name).await?;
    let path = format!("{address}/preview?n={count}{from}");
    let answer = client.get(&path).await?;
    if global.json {
        output::json(&answer);
        return Ok(());
    }
    if rows(&answer, "fires").is_empty() {
        output::line(&never(&client.get(&address).await?, !from.is_empty()));
        return Ok(());
    }
    let table: Vec<Vec<String>> = rows(&answer, "fires")
        .iter()
        .map(|fire| vec![text(fire, "/at"), text(fire, "/local")])
        .collect();
    output::table(&["UTC", &text(&answer, "/timezone")], &table);
    Ok(())
}

/// Why a schedule has no next time; after one that was named, if one was.
fn never(row: &Value, is_named: bool) -> String {
    let when = if is_named { "after that time" } else { "again" };
    let end = row.get("end").and_then(Value::as_str);
    let why = end.map(|end| format!(": its `end` is {end}")).unwrap_or_default();
    format!("It never ticks {when}{why}.")
}

async fn test(
    client: &Client,
    global: &Global,
    name: &str,
    at: Option<Timestamp>,
) -> Result<(), AppError> {
    let address = SCHEDULES.address(client, global, name).await?;
    let answer = client.post(&format!("{address}/test"), &json!({ "nominal": at })).await?;
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
    warn(&answer);
    if let Some(words) = answer.get("in_the_way").and_then(Value::as_str) {
        output::note(&format!("As things stand, {words}."));
    }
    if let Some(words) = off(("schedule", name), &answer) {
        output::note(&words);
    }
    output::note("This was only a test: nothing was requested.");
    Ok(())
}

async fn ticks(client: &Client, global: &Global, name: &str, limit: u32) -> Result<(), AppError> {
    let Some(ticks) = SCHEDULES.ticks(client, global, (name, limit)).await? else {
        return Ok(());
    };
    let line =
        |tick| vec![text(tick, "/nominal"), outcome(tick), text(tick, "/requested"), which(tick)];
    let table: Vec<Vec<String>> = ticks.iter().map(line).collect();
    output::table(&["NOMINAL TIME", "OUTCOME", "RUNS", "WHICH"], &table);
    Ok(())
}
