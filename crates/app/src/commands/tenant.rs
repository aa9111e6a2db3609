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
            let is = |name: &str| tenant.get(name).and_then(Value::as_bool).unwrap_or(true);
            let state = match (is("declared"), is("enabled")) {
                (false, _) => "not declared",
                (true, true) => "on",
                (true, false) => "off",
            };
            vec![
                text(tenant, "/id"),
                state.to_owned(),
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
