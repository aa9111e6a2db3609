//! `millstream definitions`: status, scan and validate; the other verbs have files of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use millstream_model::Severity;
use millstream_model::view::FileState;
use serde_json::{Value, json};

use super::answer::{rows, text};
use super::dispatch::with_client;
use super::{files, plan, versions};
use crate::cli::{DefinitionsCommand, Global};
use crate::client::Client;
use crate::error::AppError;
use crate::output;
use crate::settings::Settings;

pub(super) async fn run(global: &Global, command: DefinitionsCommand) -> Result<(), AppError> {
    match command {
        DefinitionsCommand::Status => {
            with_client(global, async |client| status(client, global).await).await
        }
        DefinitionsCommand::Scan { accept_deletions } => {
            with_client(global, async |client| scan(client, global, accept_deletions).await).await
        }
        DefinitionsCommand::Validate { paths } => validate(global, &paths),
        DefinitionsCommand::Plan { folder, against, exit_code } => {
            let order = plan::Order { folder, against, tells: plan::Tells::from(exit_code) };
            plan::run(global, order).await
        }
        DefinitionsCommand::History { file } => {
            let file = files::name_of(global, &file)?;
            with_client(global, async |client| versions::history(client, global, &file).await).await
        }
        DefinitionsCommand::Diff { file, from, to } => {
            let (file, pair) = (files::name_of(global, &file)?, (from, to));
            with_client(global, async |client| versions::diff(client, global, &file, pair).await)
                .await
        }
        DefinitionsCommand::Rollback { file, version } => {
            let file = files::name_of(global, &file)?;
            with_client(global, async |client| {
                versions::rollback(client, global, &file, version).await
            })
            .await
        }
    }
}

async fn status(client: &Client, global: &Global) -> Result<(), AppError> {
    let status = client.get("/api/v1/definitions").await?;
    if global.json {
        output::json(&status);
        return Ok(());
    }
    if status.get("enabled") == Some(&Value::Bool(false)) {
        output::line("Loading of definition files is off (DAGS_ENABLED).");
        return Ok(());
    }
    output::line(&format!(
        "{} job(s) loaded from {}, scanned every {}",
        text(&status, "/dag_count"),
        text(&status, "/local_source/path"),
        text(&status, "/scan_interval")
    ));
    let names: Vec<String> = rows(&status, "loaded_dags")
        .iter()
        .filter_map(|name| name.as_str().map(|name| format!("  {name}")))
        .collect();
    for name in names {
        output::line(&name);
    }
    let counts: Vec<String> = status
        .get("counts")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter(|(_, count)| count.as_u64() != Some(0))
        .map(|(section, count)| format!("{section} {count}"))
        .collect();
    if !counts.is_empty() {
        output::line(&format!("In all: {}", counts.join(", ")));
    }
    show_files(&status);
    if let Some(reason) = status.pointer("/local_source/stale").and_then(Value::as_str) {
        output::line(&format!("STALE: {reason}"));
    }
    for error in rows(&status, "errors").iter().chain(rows(&status, "warnings")) {
        output::line(&format!(
            "{}:{}:{}: {} [{}]",
            text(error, "/place/file"),
            text(error, "/place/line"),
            text(error, "/place/column"),
            text(error, "/message"),
            text(error, "/code")
        ));
        if let Some(help) = error.get("help").and_then(Value::as_str) {
            output::line(&format!("  help: {help}"));
        }
    }
    for file in rows(&status, "files") {
        let name = text(file, "/name");
        let is_broken = text(file, "/state") == "last_good";
        if let Some(pin) = file.get("pin").filter(|pin| pin.is_object()) {
            let (number, by) = (text(pin, "/number"), text(pin, "/by"));
            let and_broken = if is_broken { "; what it holds has the errors above" } else { "" };
            output::line(&format!(
                "{name}: {by} went back to v{number}, until its next change{and_broken}"
            ));
        } else if is_broken {
            output::line(&format!("{name}: the last good version stays live"));
        }
    }
    Ok(())
}

/// Lists the files that versions are kept of.
fn show_files(status: &Value) {
    let row = |file: &Value| {
        let number = file.get("number").and_then(Value::as_u64);
        let state = text(file, "/state");
        let version = number.map_or_else(|| "–".to_owned(), |number| format!("v{number}"));
        let is_pinned = file.get("pin").is_some_and(Value::is_object);
        let says = if is_pinned { "somebody went back to it" } else { standing(&state) };
        vec![text(file, "/name"), version, says.to_owned()]
    };
    let files: Vec<Vec<String>> = rows(status, "files").iter().map(row).collect();
    if !files.is_empty() {
        output::table(&["FILE", "VERSION", ""], &files);
    }
}

/// What a file's state amounts to; a state that a newer server knows is shown as it is.
fn standing(state: &str) -> &str {
    match serde_json::from_value(state.into()) {
        Ok(FileState::Live) => "",
        Ok(FileState::LastGood) => "its last good version",
        Ok(FileState::Broken) => "no version of it was good",
        Ok(FileState::Stale) => "cannot be seen now",
        Ok(FileState::Deleted) => "deleted",
        Err(_) => state,
    }
}

async fn scan(client: &Client, global: &Global, accept: bool) -> Result<(), AppError> {
    let answer =
        client.post("/api/v1/definitions/scan", &json!({ "accept_deletions": accept })).await?;
    if global.json {
        output::json(&answer);
    } else if let Some(reason) = answer.get("stale").and_then(Value::as_str) {
        output::line(&format!("Nothing changed: {reason}"));
    } else {
        output::line(&format!(
            "{} file(s): {} loaded, {} with new errors, {} deleted",
            text(&answer, "/files"),
            text(&answer, "/loaded"),
            text(&answer, "/failed"),
            text(&answer, "/deleted")
        ));
    }
    Ok(())
}

fn validate(global: &Global, paths: &[PathBuf]) -> Result<(), AppError> {
    let settings = Settings::of(&global.dir)?;
    let paths = if paths.is_empty() { std::slice::from_ref(&settings.dags) } else { paths };
    // Names say which file is meant below one root only, so each root is checked by itself.
    let mut asked: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
    for path in paths {
        let path = files::found(path, &settings)?;
        let (root, names) = files::asked(&path, &settings)?;
        asked.entry(root).or_default().extend(names);
    }
    let (mut count, mut all) = (0, Vec::new());
    for (root, names) in asked {
        let files = files::read(&root, &settings.project_of(&root))?;
        let check = files::together(&files);
        let found = files::findings(&files, &check, |file| names.contains(file));
        if !global.json {
            files::draw(&files, &found);
        }
        count += names.len();
        all.extend(found.into_iter().cloned());
    }
    let errors = all.iter().filter(|found| found.severity == Severity::Error).count();
    let warnings = all.len() - errors;
    if global.json {
        output::json(&json!({
            "files": count, "errors": errors, "warnings": warnings, "diagnostics": all,
        }));
    } else {
        let and_warnings =
            if warnings > 0 { format!(", {warnings} warning(s)") } else { String::new() };
        output::line(&format!("{count} file(s) checked, {errors} error(s){and_warnings}"));
    }
    if errors > 0 { Err(AppError::Failed) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_of_a_newer_server_is_shown_and_does_not_look_live() {
        assert_eq!(standing("live"), "");
        assert_eq!(standing("stale"), "cannot be seen now");
        assert_eq!(standing("quarantined"), "quarantined");
    }
}
