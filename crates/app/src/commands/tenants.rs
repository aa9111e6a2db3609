//! Which tenants a command is about.

use std::collections::BTreeMap;

use millstream_model::view::{FileState, TenantRow};
use millstream_model::{ScheduleName, some_names};
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

/// The tenants in which there may be runs: the one that is named, or all, also those that take no
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

/// Says of the tenants that a list is about which schedules do not tick there, because they have no
/// `schedule`.
pub(super) async fn note_unscheduled(client: &Client, global: &Global) -> Result<(), AppError> {
    let is_meant = |row: &TenantRow| global.tenant.as_ref().is_none_or(|it| row.id.as_str() == it);
    let rows: Vec<TenantRow> = every_tenant(client).await?.into_iter().filter(is_meant).collect();
    for words in unscheduled_words(&rows) {
        output::note(&words);
    }
    Ok(())
}

/// What is said of tenants without a `schedule`: those with the same schedules in one sentence.
fn unscheduled_words(rows: &[TenantRow]) -> Vec<String> {
    let mut tenants: BTreeMap<Vec<&str>, Vec<&str>> = BTreeMap::new();
    for row in rows.iter().filter(|row| !row.unscheduled.is_empty()) {
        let schedules = row.unscheduled.iter().map(ScheduleName::as_str).collect();
        tenants.entry(schedules).or_default().push(row.id.as_str());
    }
    let words = |(schedules, tenants): (Vec<&str>, Vec<&str>)| {
        format!(
            "{} not tick in {}: `cron: \"{{{{ tenant.schedule }}}}\"` asks for the tenant's \
             `schedule`, and there is none.",
            match schedules.as_slice() {
                [only] => format!("{only} does"),
                _ => format!("{} do", some_names(&schedules)),
            },
            some_names(&tenants)
        )
    };
    tenants.into_iter().map(words).collect()
}

/// Says below a list of what files declare which of them are broken, and of the tenant that is
/// named, where it takes no part, that nothing new is started for it.
pub(super) async fn note_list(client: &Client, global: &Global) -> Result<(), AppError> {
    // Who may not look at the files has the list all the same.
    if let Ok(status) = client.get("/api/v1/definitions").await
        && let Some(words) = broken_words(&status)
    {
        output::note(&words);
    }
    note_idle(client, global).await
}

/// That files are broken, where some are, and what says why.
fn broken_words(status: &Value) -> Option<String> {
    let is_broken = |file: &&Value| {
        let state = file.get("state").cloned().unwrap_or_default();
        serde_json::from_value::<FileState>(state).is_ok_and(FileState::is_broken)
    };
    let mut broken = rows(status, "files").iter().filter(is_broken);
    let first = text(broken.next()?, "/name");
    let (files, are) = match broken.count() {
        0 => (format!("file {first}"), "is"),
        more => (format!("files {first} and {more} more"), "are"),
    };
    Some(format!(
        "The definition {files} {are} broken, and what is new there is not loaded: `millstream \
         definitions status` shows why."
    ))
}

/// Says of the tenant that is named, where it takes no part, that nothing new is started for it.
async fn note_idle(client: &Client, global: &Global) -> Result<(), AppError> {
    let Some(named) = &global.tenant else { return Ok(()) };
    let row = every_tenant(client).await?.into_iter().find(|row| row.id.as_str() == named);
    if let Some(row) = row.filter(is_idle) {
        let queue = client.get(&format!("/{named}/api/v1/queue")).await?;
        note_idle_of(&row, &queue);
    }
    Ok(())
}

/// Says the same of a tenant with this queue, where it takes no part.
pub(super) fn note_idle_of(row: &TenantRow, queue: &Value) {
    let queued = queue.get("waiting_total").and_then(Value::as_u64).unwrap_or(0);
    if let Some(words) = row.idle_words(u32::try_from(queued).unwrap_or(u32::MAX)) {
        output::note(&format!("{words}."));
    }
}

/// Whether nothing new is started for a tenant.
pub(super) fn is_idle(row: &TenantRow) -> bool {
    row.idle_words(0).is_some()
}

/// Every tenant, also those that take no part any more.
pub(super) async fn every_tenant(client: &Client) -> Result<Vec<TenantRow>, AppError> {
    let answer = client.get("/api/v1/tenants").await?;
    let read = |row: &Value| serde_json::from_value::<TenantRow>(row.clone()).ok();
    Ok(rows(&answer, "tenants").iter().filter_map(read).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn files_that_are_broken_are_told_with_the_first_of_them() {
        let told = |states: &[&str]| {
            let file = |(place, state)| json!({ "name": format!("{place}.yaml"), "state": state });
            let files: Vec<Value> = states.iter().enumerate().map(file).collect();
            broken_words(&json!({ "files": files }))
        };
        let rest = "broken, and what is new there is not loaded: `millstream definitions status` \
                    shows why.";
        assert_eq!(told(&["live", "deleted"]), None);
        let one = format!("The definition file 1.yaml is {rest}");
        assert_eq!(told(&["live", "broken"]), Some(one));
        let two = format!("The definition files 0.yaml and 1 more are {rest}");
        assert_eq!(told(&["last_good", "live", "broken"]), Some(two));
    }

    #[test]
    fn tenants_that_lack_a_schedule_are_told_together_and_not_all_by_name() {
        let row = |id: &str, names: &[&str]| {
            let row = json!({ "id": id, "enabled": true, "declared": true, "unscheduled": names });
            serde_json::from_value::<TenantRow>(row).unwrap()
        };
        let mut rows = vec![row("a", &[]), row("b", &["own"]), row("c", &["late", "own"])];
        let why = "`cron: \"{{ tenant.schedule }}\"` asks for the tenant's `schedule`, and there \
                   is none.";
        let said = |rows: &[TenantRow]| unscheduled_words(rows);
        assert_eq!(
            said(&rows),
            [
                format!("late, own do not tick in c: {why}"),
                format!("own does not tick in b: {why}"),
            ]
        );
        rows = (0..7).map(|number| row(&format!("t{number}"), &["own"])).collect();
        assert_eq!(
            said(&rows),
            [format!("own does not tick in t0, t1, t2, t3, t4 and 2 more: {why}")]
        );
        assert_eq!(said(&[row("a", &[])]), [""; 0]);
    }
}
