//! The commands, a file a noun.

mod asset;
mod definitions;
mod demo;
mod job;
mod partition;
mod run;
mod tenant;
mod wait;
mod worker;

use millstream_control::Store;
use serde_json::Value;

use crate::cli::{Cli, Command, Global};
use crate::client::Client;
use crate::error::AppError;
use crate::settings::Settings;
use crate::{output, serve};

/// Runs a command.
pub(crate) async fn run(cli: Cli) -> Result<(), AppError> {
    let Cli { global, command } = cli;
    match command {
        Command::Dev { folder, port } => {
            let folder = folder.unwrap_or_else(|| global.dir.clone());
            serve::dev(Settings::read(&folder, |name| std::env::var(name).ok()), port).await
        }
        Command::Migrate { database_url } => migrate(&global, &database_url).await,
        Command::Definitions(command) => definitions::run(&global, command).await,
        Command::Worker => worker::run(&global).await,
        Command::Job(command) => {
            with_client(&global, async |c| job::run(c, &global, command).await).await
        }
        Command::Asset(command) => {
            with_client(&global, async |c| asset::run(c, &global, command).await).await
        }
        Command::Partition(command) => {
            with_client(&global, async |c| partition::run(c, &global, command).await).await
        }
        Command::Run(command) => {
            with_client(&global, async |c| run::run(c, &global, command).await).await
        }
        Command::Tenant(command) => {
            with_client(&global, async |c| tenant::run(c, &global, &command).await).await
        }
        Command::Demo { folder, port, exit } => demo::run(&folder, port, exit).await,
        Command::Bench(_) => Err(AppError::Failed),
        // Handled before the runtime was started.
        Command::Supervisor | Command::Sql { .. } => Ok(()),
    }
}

/// Runs `work` with a way to the instance, and ends what this process started for it.
async fn with_client(
    global: &Global,
    work: impl AsyncFnOnce(&Client) -> Result<(), AppError>,
) -> Result<(), AppError> {
    let client = Client::connect(global).await?;
    let outcome = work(&client).await;
    client.close().await;
    outcome
}

async fn migrate(global: &Global, url: &str) -> Result<(), AppError> {
    let store = Store::connect_postgres(url, 1).await?;
    let count = store.migrate().await?;
    if global.json {
        output::json(&serde_json::json!({ "applied": count }));
    } else if count == 0 {
        output::line("The schema is current; nothing to do.");
    } else {
        output::line(&format!("Applied {count} migration(s); the schema is current."));
    }
    Ok(())
}

/// The ids of the enabled tenants.
async fn tenants(client: &Client) -> Result<Vec<String>, AppError> {
    let answer = client.get("/api/v1/tenants").await?;
    let enabled = |row: &&Value| row.get("enabled").and_then(Value::as_bool).unwrap_or(true);
    Ok(rows(&answer, "tenants")
        .iter()
        .filter(enabled)
        .filter_map(|row| row.get("id").and_then(Value::as_str).map(str::to_owned))
        .collect())
}

/// The tenant that a command is about: the one that is named, or the only one there is.
async fn one_tenant(client: &Client, global: &Global) -> Result<String, AppError> {
    if let Some(tenant) = &global.tenant {
        return Ok(tenant.clone());
    }
    let mut all = tenants(client).await?;
    match (all.pop(), all.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(last), false) => {
            all.push(last);
            Err(AppError::Usage {
                code: millstream_model::ErrorCode::TenantUnknown,
                message: format!(
                    "there is more than one tenant; name one with `--tenant`: {}",
                    all.join(", ")
                ),
            })
        }
        (None, _) => Ok("default".to_owned()),
    }
}

/// The tenants that a list is about: the one that is named, or all.
async fn listed_tenants(client: &Client, global: &Global) -> Result<Vec<String>, AppError> {
    match &global.tenant {
        Some(tenant) => Ok(vec![tenant.clone()]),
        None => tenants(client).await,
    }
}

/// An answer that is a list, or the list called `name` in it.
fn rows<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    let list = if answer.is_array() { Some(answer) } else { answer.get(name) };
    list.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A field of a row as text for a table; `–` when there is nothing.
fn text(row: &Value, pointer: &str) -> String {
    match row.pointer(pointer) {
        None | Some(Value::Null) => "–".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
