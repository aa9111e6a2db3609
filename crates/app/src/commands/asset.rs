//! `millstream asset`: materialize, report, list and show.

use std::collections::BTreeSet;

use millstream_control::{check_words, failed_mark, failed_try_mark};
use millstream_model::ErrorCode;
use millstream_model::view::{AssetRow, FailedCheck};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::{rows, text};
use super::job::after_launch;
use super::tenants::{listed_tenants, note_list, searched_tenants, tenant_of_key, tenants};
use crate::cli::{AssetCommand, Global};
use crate::client::{Client, encoded};
use crate::error::AppError;
use crate::output;

/// Partitions that `asset show` prints one by one.
const PARTITIONS_SHOWN: usize = 40;

pub(super) async fn run(
    client: &Client,
    global: &Global,
    command: AssetCommand,
) -> Result<(), AppError> {
    match command {
        AssetCommand::List => list(client, global).await,
        AssetCommand::Report { asset, partition, metadata, data_version, code_version, key } => {
            let said = json!({
                "partition": partition,
                "metadata": said(&metadata)?,
                "data_version": data_version,
                "code_version": code_version,
                "idempotency_key": key,
            });
            report(client, global, &asset, &said).await
        }
        AssetCommand::Show { key } => show(client, global, &key).await,
        AssetCommand::Materialize {
            selection,
            select,
            partitions,
            all_partitions,
            all_tenants,
            no_wait,
        } => {
            let selection = selection.or(select).unwrap_or_default();
            let wish = json!({
                "select": selection,
                "partitions": partitions,
                "all": all_partitions,
            });
            let (mut launched, mut left_out) = (Vec::new(), BTreeSet::new());
            // A partition is one tenant's, and no other has it.
            let told = |error| if partitions.is_empty() { or_all(error) } else { error };
            let wished = (selection.as_str(), partitions.as_slice());
            let wished = wished_tenants(client, global, wished, all_tenants).await;
            for tenant in wished.map_err(told)? {
                let path = format!("/{tenant}/api/v1/assets/materialize");
                let answer = client.post(&path, &wish).await.map_err(told)?;
                launched.extend(rows(&answer, "runs").iter().cloned());
                left_out.extend(rows(&answer, "left_out").iter().map(|it| text(it, "/text")));
            }
            if !global.json {
                for line in &left_out {
                    output::note(line);
                }
            }
            after_launch(client, global, &launched, no_wait).await
        }
    }
}

/// A refusal of a tenant with the way to take all of them; other errors as they are.
fn or_all(error: AppError) -> AppError {
    const WAY: &str = "; `--all-tenants` takes every enabled one";
    let is_of_tenant = |code: &str| {
        [ErrorCode::TenantUnknown, ErrorCode::TenantDisabled].iter().any(|it| it.as_str() == code)
    };
    match error {
        AppError::Usage { code, message } if is_of_tenant(code.as_str()) => {
            AppError::Usage { code, message: format!("{message}{WAY}") }
        }
        AppError::Refused { status, code, message, help } if is_of_tenant(&code) => {
            AppError::Refused { status, code, message: format!("{message}{WAY}"), help }
        }
        error => error,
    }
}

/// Metadata from the command line: what is JSON is taken so, and the rest as text.
fn said(metadata: &[String]) -> Result<Map<String, Value>, AppError> {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').ok_or_else(|| AppError::Usage {
            code: ErrorCode::BadRequest,
            message: format!("`{text}` is no metadata; write it like `rows=5`"),
        })?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
        Ok((name.to_owned(), value))
    };
    metadata.iter().map(pair).collect()
}

/// Reports an asset in the one tenant that the command is about.
async fn report(
    client: &Client,
    global: &Global,
    asset: &str,
    said: &Value,
) -> Result<(), AppError> {
    let partition = said.get("partition").and_then(Value::as_str).map(str::to_owned);
    let partitions: Vec<String> = partition.into_iter().collect();
    for tenant in wished_tenants(client, global, (asset, partitions.as_slice()), false).await? {
        let path = format!("/{tenant}/api/v1/assets/{}/report", encoded(asset));
        let answer = client.post(&path, said).await?;
        if global.json {
            output::json(&answer);
        } else if answer.get("repeated").and_then(Value::as_bool) == Some(true) {
            output::line(&format!("{asset} was reported before, at {}", text(&answer, "/at")));
        } else {
            output::line(&format!("{asset} is reported in tenant {tenant}"));
        }
    }
    Ok(())
}

/// The tenants that a wish goes to: all, the named one, the one that the partitions' keys name,
/// or the only one there is.
async fn wished_tenants(
    client: &Client,
    global: &Global,
    (selection, partitions): (&str, &[String]),
    all_tenants: bool,
) -> Result<Vec<String>, AppError> {
    if all_tenants {
        return tenants(client).await;
    }
    let first = partitions.first().map(String::as_str);
    Ok(vec![tenant_of_key(client, global, first, ("select", selection)).await?])
}

async fn list(client: &Client, global: &Global) -> Result<(), AppError> {
    let mut assets: Vec<Value> = Vec::new();
    for tenant in listed_tenants(client, global).await? {
        let answer = client.get(&format!("/{tenant}/api/v1/assets")).await?;
        assets.extend(rows(&answer, "assets").iter().cloned());
    }
    if global.json {
        output::json(&assets);
        return Ok(());
    }
    let table: Vec<Vec<String>> = assets.iter().map(cells).collect();
    let heads = ["TENANT", "ASSET", "GROUP", "PARTITIONS", "MATERIALIZED", "LAST TRY", "STALE"];
    output::table(&[heads.as_slice(), &["CHECKS", "DESCRIPTION"]].concat(), &table);
    if assets.iter().any(|asset| stale(asset).starts_with(NOT_LOOKED)) {
        output::note("STALE is ? where each partition tells: `millstream asset show NAME` looks.");
    }
    note_list(client, global).await
}

/// What the list shows of an asset.
fn cells(asset: &Value) -> Vec<String> {
    let row = AssetRow::deserialize(asset).ok();
    let or_dash = |mark: Option<String>| mark.unwrap_or_else(|| "–".to_owned());
    vec![
        text(asset, "/tenant"),
        text(asset, "/asset"),
        text(asset, "/group"),
        partitions(asset),
        text(asset, "/latest/at"),
        or_dash(row.as_ref().and_then(failed_try_mark)),
        stale(asset),
        or_dash(row.and_then(|row| failed_mark(&row.failed_checks))),
        text(asset, "/description"),
    ]
}

/// The checks that did not pass in the run that made an asset last.
fn failed_checks(asset: &Value) -> Vec<FailedCheck> {
    let checks = asset.get("failed_checks").map(Vec::<FailedCheck>::deserialize);
    checks.and_then(Result::ok).unwrap_or_default()
}

/// What stands for that a list has not looked whether an asset is stale.
const NOT_LOOKED: &str = "?";

/// Whether an asset is stale, or else which above it is; `?` of one with partitions, where a list
/// would have to look at each.
fn stale(asset: &Value) -> String {
    let own = match asset.get("is_stale").and_then(Value::as_bool) {
        Some(true) => "stale",
        Some(false) => "no",
        None => NOT_LOOKED,
    };
    match asset.get("stale_upstream").and_then(Value::as_str) {
        Some(above) => format!("{own} ({above} is)"),
        None => own.to_owned(),
    }
}

/// How many partitions are in which state, worst first, and how many are made whose keys are no
/// more.
fn partitions(asset: &Value) -> String {
    let Some(Value::Object(counts)) = asset.get("counts") else { return "–".to_owned() };
    let gone = match asset.get("gone_partitions").and_then(Value::as_u64) {
        None | Some(0) => None,
        Some(1) => Some("1 made of a key that is no more".to_owned()),
        Some(more) => Some(format!("{more} made of keys that are no more")),
    };
    let words: Vec<String> = ["failed", "running", "missing", "materialized"]
        .iter()
        .filter_map(|state| {
            let count = counts.get(*state)?.as_u64()?;
            (count > 0).then(|| format!("{count} {state}"))
        })
        .chain(gone)
        .collect();
    if words.is_empty() { "–".to_owned() } else { words.join(" · ") }
}

async fn show(client: &Client, global: &Global, key: &str) -> Result<(), AppError> {
    let listed = listed_tenants(client, global).await?;
    let (mut refusal, mut shown) = known(client, key, &listed).await?;
    if shown.is_empty() {
        // Those that take no part any more are asked last.
        let mut others = searched_tenants(client, global).await?;
        others.retain(|tenant| !listed.contains(tenant));
        let (refused, found) = known(client, key, &others).await?;
        (refusal, shown) = (refusal.or(refused), found);
    }
    if shown.is_empty()
        && let Some(refusal) = refusal
    {
        return Err(refusal);
    }
    if global.json {
        match shown.as_slice() {
            [only] => output::json(only),
            all => output::json(&all),
        }
        return Ok(());
    }
    for view in &shown {
        print_asset(view);
    }
    Ok(())
}

/// What the tenants that have the asset say of it, and the last refusal of one that has not.
async fn known(
    client: &Client,
    key: &str,
    tenants: &[String],
) -> Result<(Option<AppError>, Vec<Value>), AppError> {
    let (mut refusal, mut shown) = (None, Vec::new());
    for tenant in tenants {
        match client.get(&format!("/{tenant}/api/v1/assets/{}", encoded(key))).await {
            Ok(view) => shown.push(view),
            Err(error) if error.is_unknown() => refusal = Some(error),
            Err(error) => return Err(error),
        }
    }
    Ok((refusal, shown))
}

/// Prints an asset: what is wrong with it, when it was made and what makes it next, then what it
/// waits for, and at last its history and its partitions.
fn print_asset(view: &Value) {
    output::line(&format!(
        "{}  (tenant {}, group {})  {}",
        text(view, "/asset"),
        text(view, "/tenant"),
        text(view, "/group"),
        text(view, "/description")
    ));
    if let Some(words) = view.get("last_try").and_then(Value::as_str) {
        output::line(&format!("  its {words}"));
    }
    for tried in rows(view, "tried_in_vain") {
        output::line(&format!("  its {}", text(tried, "/text")));
    }
    for stale in rows(view, "stale") {
        output::line(&format!("  stale: {}", text(stale, "/text")));
    }
    if let Some(above) = view.get("stale_upstream").and_then(Value::as_str) {
        output::line(&format!("  not stale, but {above} above it is"));
    }
    for failed in failed_checks(view) {
        output::line(&format!("  at {}: {}", failed.at, check_words(&failed)));
    }
    match view.get("latest").filter(|latest| !latest.is_null()) {
        Some(latest) => {
            output::line(&format!("  made at {}, {}", text(latest, "/at"), maker(latest)));
        }
        None => output::line("  never made"),
    }
    for coming in rows(view, "coming") {
        output::line(&format!("  {}", text(coming, "/text")));
    }
    let counts = partitions(view);
    if counts != "–" {
        output::line(&format!("  partitions: {counts}"));
    }
    for missing in rows(view, "never_made") {
        output::line(&format!("  made from {}", text(missing, "/text")));
    }
    if !rows(view, "history").is_empty() {
        output::line("  history:");
    }
    for made in rows(view, "history") {
        output::line(&format!(
            "    {}  {}  {}  {}",
            text(made, "/at"),
            maker(made),
            text(made, "/partition"),
            metadata(made)
        ));
    }
    print_partitions(view);
}

/// Who made what a materialization tells of.
fn maker(made: &Value) -> String {
    match made.get("reported_by").and_then(Value::as_str) {
        Some(name) => format!("reported by {name}"),
        None => format!("run {}", text(made, "/run_id")),
    }
}

/// Prints the partitions with their states: those that failed first, and those that were never made
/// last.
fn print_partitions(view: &Value) {
    let place = |partition: &&Value| match text(partition, "/state").as_str() {
        "failed" => 0,
        "missing" => 2,
        _ => 1,
    };
    let mut all: Vec<&Value> = rows(view, "partition_rows").iter().collect();
    all.sort_by_key(place);
    for partition in all.iter().take(PARTITIONS_SHOWN) {
        let (state, key) = (text(partition, "/state"), text(partition, "/partition"));
        output::line(&format!("  {state}  {key}"));
    }
    if all.len() > PARTITIONS_SHOWN {
        output::line(&format!("  … and {} more; `--json` has all", all.len() - PARTITIONS_SHOWN));
    }
}

/// What a materialization says about itself, on one line.
fn metadata(made: &Value) -> String {
    let Some(Value::Object(all)) = made.get("metadata") else { return String::new() };
    let words: Vec<String> =
        all.iter().map(|(name, value)| format!("{name}={}", text(value, "/value"))).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_says_beside_when_it_was_made_that_the_last_try_failed() {
        let run = "00000000-0000-7000-8000-0000abcd1234";
        let mut row = json!({
            "tenant": "default", "asset": "ok", "group": "default", "kinds": [], "owners": [],
            "deps": [], "counts": {}, "is_stale": false,
            "failed_try": { "run_id": run, "at": "2026-01-02T03:04:05Z" },
        });
        assert_eq!(cells(&row)[5], "failed, in run abcd1234");
        row["failed_try"] = Value::Null;
        row["counts"] = json!({ "failed": 2 });
        assert_eq!(cells(&row)[5], "failed, of 2 partitions");
        row["counts"] = json!({});
        assert_eq!(cells(&row)[5], "–");
    }

    #[test]
    fn of_an_asset_whose_partitions_were_not_looked_at_it_is_not_known_whether_it_is_stale() {
        assert_eq!(stale(&json!({ "is_stale": null })), "?");
        assert_eq!(stale(&json!({ "is_stale": null, "stale_upstream": "raw" })), "? (raw is)");
        assert_eq!(stale(&json!({ "is_stale": false })), "no");
    }

    #[test]
    fn partitions_made_of_keys_that_are_no_more_are_told_apart() {
        let told = |gone| {
            let counts = json!({ "materialized": 2, "missing": 1 });
            partitions(&json!({ "counts": counts, "gone_partitions": gone }))
        };
        assert_eq!(told(0), "1 missing · 2 materialized");
        assert_eq!(told(1), "1 missing · 2 materialized · 1 made of a key that is no more");
        assert_eq!(told(3), "1 missing · 2 materialized · 3 made of keys that are no more");
    }
}
