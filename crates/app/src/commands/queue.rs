//! `millstream queue`: what waits, for what, and who has it.

use serde_json::Value;

use super::answer::{rows, text};
use super::run::{short, why};
use super::tenants::listed_tenants;
use crate::cli::Global;
use crate::client::Client;
use crate::error::AppError;
use crate::output;

/// Shows the queues and pools of the tenants that are asked for.
pub(super) async fn show(client: &Client, global: &Global) -> Result<(), AppError> {
    let mut all = serde_json::Map::new();
    for tenant in listed_tenants(client, global).await? {
        let queue = client.get(&format!("/{tenant}/api/v1/queue")).await?;
        all.insert(tenant, queue);
    }
    if global.json {
        output::json(&all);
        return Ok(());
    }
    let mut runs = Vec::new();
    let mut pools = Vec::new();
    for (tenant, queue) in &all {
        runs.extend(rows(queue, "waiting").iter().map(|run| {
            let place = text(run, "/place");
            vec![place, short(&text(run, "/run_id")), tenant.clone(), text(run, "/title"), why(run)]
        }));
        pools.extend(rows(queue, "pools").iter().map(|pool| pool_line(tenant, pool)));
    }
    if runs.is_empty() {
        output::line("no run waits");
    } else {
        output::table(&["PLACE", "RUN", "TENANT", "WHAT", "WHY"], &runs);
    }
    if !pools.is_empty() {
        output::line("");
        output::table(&["POOL", "TENANT", "HELD", "HELD BY", "WAITING"], &pools);
    }
    Ok(())
}

fn pool_line(tenant: &str, pool: &Value) -> Vec<String> {
    let holders = rows(pool, "held_by");
    let held: u64 = holders.iter().filter_map(|it| it.get("slots")?.as_u64()).sum();
    let names: Vec<String> = holders
        .iter()
        .map(|it| format!("{} of {}", text(it, "/step"), short(&text(it, "/run_id"))))
        .collect();
    vec![
        text(pool, "/name"),
        tenant.to_owned(),
        format!("{held} of {}", text(pool, "/slots")),
        if names.is_empty() { "–".to_owned() } else { names.join(", ") },
        rows(pool, "waiting").len().to_string(),
    ]
}
