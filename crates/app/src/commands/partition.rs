//! `millstream partition`: list, add and delete.

use serde_json::{Value, json};

use super::answer::rows;
use super::tenants::{listed_tenants, tenant_of_key};
use crate::cli::{Global, PartitionCommand};
use crate::client::{Client, encoded};
use crate::error::AppError;
use crate::output;

pub(super) async fn run(
    client: &Client,
    global: &Global,
    command: PartitionCommand,
) -> Result<(), AppError> {
    match command {
        PartitionCommand::List { name, contains, after, limit } => {
            let query =
                format!("?text={}&after={}&limit={limit}", encoded(&contains), encoded(&after));
            let mut keys: Vec<Value> = Vec::new();
            for tenant in listed_tenants(client, global).await? {
                let path = format!("/{tenant}/api/v1/partitions/{}{query}", encoded(&name));
                keys.extend(rows(&client.get(&path).await?, "keys").iter().cloned());
            }
            keys.dedup();
            show(global, &keys);
        }
        PartitionCommand::Add { name, keys } => {
            let path = change_path(client, global, &name, &keys).await?;
            let answer = client.post(&path, &json!({ "keys": keys })).await?;
            say(global, &answer, keys.len(), "added");
        }
        PartitionCommand::Delete { name, keys } => {
            let path = change_path(client, global, &name, &keys).await?;
            let answer = client.delete(&path, &json!({ "keys": keys })).await?;
            say(global, &answer, keys.len(), "deleted");
            if !global.json {
                for line in rows(&answer, "unchanged").iter().filter_map(Value::as_str) {
                    output::note(line);
                }
            }
            if rows(&answer, "keys").is_empty() {
                return Err(AppError::Failed);
            }
        }
    }
    Ok(())
}

/// Where a change goes: to the named tenant, to the one that the keys name, or to the only one.
async fn change_path(
    client: &Client,
    global: &Global,
    name: &str,
    keys: &[String],
) -> Result<String, AppError> {
    let first = keys.first().map(String::as_str);
    let tenant = tenant_of_key(client, global, first, ("partitions", name)).await?;
    Ok(format!("/{tenant}/api/v1/partitions/{}", encoded(name)))
}

fn show(global: &Global, keys: &[Value]) {
    if global.json {
        output::json(&keys);
        return;
    }
    for key in keys {
        output::line(key.as_str().unwrap_or_default());
    }
}

fn say(global: &Global, answer: &Value, asked: usize, done: &str) {
    if global.json {
        output::json(answer);
        return;
    }
    let changed = rows(answer, "keys").len();
    let same = asked.saturating_sub(changed);
    output::line(&format!("{changed} {done}, {same} unchanged"));
}
