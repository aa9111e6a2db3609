//! `millstream sensor`: list, show, start, stop, try, tick, look back, and set what one remembers.

use millstream_model::{TickStatus, shell_word};
use serde_json::{Value, json};

use super::answer::{rows, text};
use super::tenants::note_list;
use super::ticking::{Kind, last, off, outcome, runs_of, standing, state, stopped, warn, which};
use crate::cli::{Global, Named, Newest, SensorCommand};
use crate::client::{Client, encoded};
use crate::error::AppError;
use crate::output;

const SENSORS: Kind = Kind("sensors");

pub(super) async fn run(
    client: &Client,
    global: &Global,
    command: SensorCommand,
) -> Result<(), AppError> {
    match command {
        SensorCommand::List => list(client, global).await,
        SensorCommand::Show(Named { name }) => show(client, global, &name).await,
        SensorCommand::Switch(command) => switch(client, global, command.order()).await,
        SensorCommand::Test(Named { name }) => test(client, global, &name).await,
        SensorCommand::Tick(Named { name }) => tick(client, global, &name).await,
        SensorCommand::Ticks(Newest { name, limit }) => ticks(client, global, &name, limit).await,
        SensorCommand::Deliveries(Newest { name, limit }) => {
            deliveries(client, global, (&name, limit)).await
        }
        SensorCommand::Resend { name, delivery } => {
            resend(client, global, (&name, delivery.as_deref())).await
        }
        SensorCommand::Drop { name, delivery } => {
            drop_delivery(client, global, (&name, &delivery)).await
        }
        SensorCommand::Cursor { name, set, clear: _ } => {
            set_cursor(client, global, (&name, set)).await
        }
    }
}

async fn list(client: &Client, global: &Global) -> Result<(), AppError> {
    let sensors = SENSORS.all(client, global).await?;
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
                state(row),
                text(row, "/asks"),
                text(row, "/every"),
                text(row, "/target"),
                last(row),
            ]
        })
        .collect();
    output::table(&["TENANT", "SENSOR", "STATE", "ASKS", "EVERY", "RUNS", "LAST TICK"], &table);
    note_list(client, global).await
}

async fn show(client: &Client, global: &Global, name: &str) -> Result<(), AppError> {
    let row = client.get(&SENSORS.address(client, global, name).await?).await?;
    if global.json {
        output::json(&row);
        return Ok(());
    }
    output::line(&format!("{}  (tenant {})", text(&row, "/name"), text(&row, "/tenant")));
    let say = |word: &str, what: &str| output::line(&format!("  {word:<14}{what}"));
    say("asks", &text(&row, "/asks"));
    if text(&row, "/kind") == "webhook" {
        let (tenant, name) = (text(&row, "/tenant"), encoded(&text(&row, "/name")));
        say("address", &format!("POST /{tenant}/hooks/{name}"));
    }
    say("every", &text(&row, "/every"));
    say("timeout", &text(&row, "/timeout"));
    say("runs", &text(&row, "/target"));
    for word in ["query", "when", "guard"] {
        if row.get(word).is_some_and(|it| !it.is_null()) {
            say(word, &text(&row, &format!("/{word}")));
        }
    }
    for (word, what) in standing(&row) {
        say(word, &what);
    }
    say("cursor", &text(&row, "/cursor"));
    if let Some(lag) = row.get("lag").filter(|lag| !lag.is_null()) {
        let count = text(lag, "/events");
        if text(&row, "/kind") == "webhook" {
            let word = shell_word(&text(&row, "/name"));
            say(
                "lag",
                &format!("waiting deliveries: {count}; `millstream sensor deliveries {word}`"),
            );
            say("set aside", &text(&row, "/set_aside"));
        } else {
            say("lag", &format!("events not read yet: {count}"));
        }
    }
    Ok(())
}

async fn switch(
    client: &Client,
    global: &Global,
    (name, to): (&str, &str),
) -> Result<(), AppError> {
    let row = SENSORS.switch(client, global, (name, to)).await?;
    if global.json {
        output::json(&row);
    } else {
        output::line(&format!("{} is {}", text(&row, "/name"), state(&row)));
        note_stopped(&row);
    }
    Ok(())
}

/// Says that the sensor's job is off, and what switches it on, where it is.
fn note_stopped(row: &Value) {
    if let Some(words) = stopped(row) {
        output::note(&format!("Its job {words}."));
    }
}

async fn test(client: &Client, global: &Global, name: &str) -> Result<(), AppError> {
    let address = SENSORS.address(client, global, name).await?;
    let answer = client.post(&format!("{address}/test"), &json!({})).await?;
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
    warn(&answer);
    for line in answer.get("output").and_then(Value::as_str).unwrap_or_default().lines() {
        output::line(&format!("it wrote: {line}"));
    }
    let (before, after) = (text(&answer, "/cursor_before"), text(&answer, "/cursor_after"));
    if before != after {
        output::line(&format!("cursor: {before} -> {after}"));
    }
    if let Some(words) = off(("sensor", name), &answer) {
        output::note(&words);
    }
    note_stopped(&client.get(&address).await?);
    output::note("This was only a test: nothing was requested, and the cursor is where it was.");
    Ok(())
}

async fn tick(client: &Client, global: &Global, name: &str) -> Result<(), AppError> {
    let address = SENSORS.address(client, global, name).await?;
    let tick = client.post(&format!("{address}/tick"), &json!({})).await?;
    let failed = text(&tick, "/status") == TickStatus::Failed.to_string();
    if global.json {
        output::json(&tick);
    } else {
        output::line(&format!("Tick of {}: {}", text(&tick, "/nominal"), outcome(&tick)));
        let runs = runs_of(&tick);
        if !runs.is_empty() {
            output::line(&format!("  {}", runs.join(", ")));
        }
        warn(&tick);
        note_stopped(&client.get(&address).await?);
    }
    if failed { Err(AppError::Failed) } else { Ok(()) }
}

async fn ticks(client: &Client, global: &Global, name: &str, limit: u32) -> Result<(), AppError> {
    let Some(ticks) = SENSORS.ticks(client, global, (name, limit)).await? else { return Ok(()) };
    let line = |tick| {
        vec![
            text(tick, "/nominal"),
            text(tick, "/times"),
            outcome(tick),
            text(tick, "/requested"),
            which(tick),
        ]
    };
    let table: Vec<Vec<String>> = ticks.iter().map(line).collect();
    output::table(&["ASKED", "TIMES", "OUTCOME", "RUNS", "WHICH"], &table);
    Ok(())
}

async fn set_cursor(
    client: &Client,
    global: &Global,
    (name, cursor): (&str, Option<String>),
) -> Result<(), AppError> {
    let path = format!("{}/cursor", SENSORS.address(client, global, name).await?);
    let stand = client.post(&path, &json!({ "cursor": cursor })).await?;
    if global.json {
        output::json(&stand);
    } else {
        output::line(&format!("{name} remembers: {}", text(&stand, "/cursor")));
    }
    Ok(())
}

async fn deliveries(
    client: &Client,
    global: &Global,
    (name, limit): (&str, u32),
) -> Result<(), AppError> {
    let address = SENSORS.address(client, global, name).await?;
    let waiting = client.get(&format!("{address}/deliveries?limit={limit}")).await?;
    if global.json {
        output::json(&waiting);
        return Ok(());
    }
    let line = |row| {
        let [delivery, received, bytes] =
            ["/delivery", "/received_at", "/bytes"].map(|name| text(row, name));
        vec![delivery, received, bytes, text(row, "/tries"), fate(row), text(row, "/problem")]
    };
    let table: Vec<Vec<String>> = rows(&waiting, "deliveries").iter().map(line).collect();
    output::table(&["DELIVERY", "RECEIVED", "BYTES", "TRIES", "", "WHY"], &table);
    Ok(())
}

/// What becomes of a delivery.
fn fate(row: &Value) -> String {
    let is_there = |name: &str| row.get(name).is_some_and(|it| !it.is_null());
    if is_there("set_aside_at") {
        "set aside".to_owned()
    } else if is_there("next_try") {
        format!("tried again at {}", text(row, "/next_try"))
    } else {
        "waits".to_owned()
    }
}

async fn resend(
    client: &Client,
    global: &Global,
    (name, delivery): (&str, Option<&str>),
) -> Result<(), AppError> {
    let path = format!("{}/deliveries/resend", SENSORS.address(client, global, name).await?);
    let answer = client.post(&path, &json!({ "delivery": delivery })).await?;
    if global.json {
        output::json(&answer);
        return Ok(());
    }
    let what = match text(&answer, "/resent").as_str() {
        "0" => "No delivery was set aside or waits for another try".to_owned(),
        "1" => format!("1 delivery is tried anew by the next tick of {name}"),
        many => format!("{many} deliveries are tried anew by the next tick of {name}"),
    };
    output::line(&what);
    Ok(())
}

async fn drop_delivery(
    client: &Client,
    global: &Global,
    (name, delivery): (&str, &str),
) -> Result<(), AppError> {
    let path = format!("{}/deliveries/drop", SENSORS.address(client, global, name).await?);
    let stand = client.post(&path, &json!({ "delivery": delivery })).await?;
    if global.json {
        output::json(&stand);
    } else {
        let left = match text(&stand, "/lag/events").as_str() {
            "1" => "1 more waits".to_owned(),
            "0" => "no other waits".to_owned(),
            many => format!("{many} more wait"),
        };
        output::line(&format!("The delivery {delivery} is dropped; {left} for {name}"));
    }
    Ok(())
}
