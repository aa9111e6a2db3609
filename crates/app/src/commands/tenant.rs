//! `millstream tenant`: list.

use serde_json::Value;

use super::answer::{rows, text};
use crate::cli::{Global, TenantCommand};
use crate::client::Client;
use crate::error::AppError;
use crate::output;

pub(super) async fn run(
    client: &Client,
    global: &Global,
    command: &TenantCommand,
) -> Result<(), AppError> {
    let TenantCommand::List = command;
    let answer = client.get("/api/v1/tenants").await?;
    let tenants = rows(&answer, "tenants");
    if global.json {
        output::json(&tenants);
        return Ok(());
    }
    let table: Vec<Vec<String>> = tenants
        .iter()
        .map(|tenant| {
            let enabled = tenant.get("enabled").and_then(Value::as_bool).unwrap_or(true);
            vec![
                text(tenant, "/id"),
                if enabled { "on".to_owned() } else { "off".to_owned() },
                text(tenant, "/name"),
                text(tenant, "/schema_name"),
                text(tenant, "/schedule"),
                text(tenant, "/database_url"),
            ]
        })
        .collect();
    output::table(&["TENANT", "STATE", "NAME", "SCHEMA", "SCHEDULE", "DATABASE"], &table);
    Ok(())
}
