//! Which tenants a command is about.

use millstream_model::view::TenantRow;
use serde_json::Value;

use super::answer::{rows, text};
use crate::cli::Global;
use crate::client::{Client, encoded};
use crate::error::AppError;
use crate::output;

/// The ids of the enabled tenants.
pub(super) async fn tenants(client: &Client) -> Result<Vec<String>, AppError> {
    let answer = client.get("/api/v1/tenants").await?;
    let enabled = |row: &&Value| row.get("enabled").and_then(Value::as_bool).unwrap_or(true);
    Ok(rows(&answer, "tenants")
        .iter()
        .filter(enabled)
        .filter_map(|row| row.get("id").and_then(Value::as_str).map(str::to_owned))
        .collect())
}

/// The tenants in which a run may be found: the one that is named, or all, also those that take no
/// part any more.
pub(super) async fn searched_tenants(
    client: &Client,
    global: &Global,
) -> Result<Vec<String>, AppError> {
    if let Some(tenant) = &global.tenant {
        return Ok(vec![tenant.clone()]);
    }
    let answer = client.get("/api/v1/tenants").await?;
    Ok(rows(&answer, "tenants").iter().map(|row| text(row, "/id")).collect())
}

/// The tenant that a command is about: the one that is named, or the only one there is.
pub(super) async fn one_tenant(client: &Client, global: &Global) -> Result<String, AppError> {
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

/// The tenant that a command about the partition `key` goes to: the one that is named, the one that
/// the key names, or the only one there is. `asked` says as a query what the key is for.
pub(super) async fn tenant_of_key(
    client: &Client,
    global: &Global,
    key: Option<&str>,
    (asked, name): (&str, &str),
) -> Result<String, AppError> {
    if global.tenant.is_none()
        && let Some(key) = key
    {
        let (key, name) = (encoded(key), encoded(name));
        let path = format!("/api/v1/partitions/owner?key={key}&{asked}={name}");
        if let Some(owner) = client.get(&path).await?.get("tenant").and_then(Value::as_str) {
            return Ok(owner.to_owned());
        }
    }
    one_tenant(client, global).await
}

/// The tenants that a list is about: the one that is named, or all.
pub(super) async fn listed_tenants(
    client: &Client,
    global: &Global,
) -> Result<Vec<String>, AppError> {
    match &global.tenant {
        Some(tenant) => Ok(vec![tenant.clone()]),
        None => tenants(client).await,
    }
}

/// Says of the tenant that is named, where it takes no part, that nothing is started for it.
pub(super) async fn note_idle(client: &Client, global: &Global) -> Result<(), AppError> {
    let Some(named) = &global.tenant else { return Ok(()) };
    let answer = client.get("/api/v1/tenants").await?;
    let read = |row: &Value| serde_json::from_value::<TenantRow>(row.clone()).ok();
    let mut tenants = rows(&answer, "tenants").iter().filter_map(read);
    let words = tenants.find(|row| row.id.as_str() == named).and_then(|row| row.idle_words());
    if let Some(words) = words {
        output::note(&format!("{words}."));
    }
    Ok(())
}
