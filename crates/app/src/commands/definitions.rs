//! `millstream definitions`: status, scan and validate; the other verbs have files of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use millstream_model::Severity;
use millstream_model::view::FileState;
use millstream_server::PassedOver;
use serde_json::{Value, json};

use super::answer::{rows, text};
use super::dispatch::{Way, with_client};
use super::{files, plan, versions};
use crate::cli::{DefinitionsCommand, Global};
use crate::client::Client;
use crate::error::AppError;
use crate::output;
use crate::settings::Settings;

pub(super) async fn run(way: Way<'_>, command: DefinitionsCommand) -> Result<(), AppError> {
    let global = way.global;
    match command {
        DefinitionsCommand::Status => {
            with_client(way, async |client| status(client, global).await).await
        }
        DefinitionsCommand::Scan { accept_deletions } => {
            with_client(way, async |client| scan(client, global, accept_deletions).await).await
        }
        DefinitionsCommand::Validate { paths } => validate(global, &paths),
        DefinitionsCommand::Plan { folder, against, exit_code } => {
            let order = plan::Order { folder, against, tells: plan::Tells::from(exit_code) };
            plan::run(way, order).await
        }
        DefinitionsCommand::History { file } => {
            let file = files::name_of(global, &file)?;
            with_client(way, async |client| versions::history(client, global, &file).await).await
        }
        DefinitionsCommand::Diff { file, from, to } => {
            let (file, pair) = (files::name_of(global, &file)?, (from, to));
            with_client(way, async |client| versions::diff(client, global, &file, pair).await).await
        }
        DefinitionsCommand::Rollback { file, version } => {
            let file = files::name_of(global, &file)?;
            with_client(way, async |client| {
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
    if status.get("last_scan").is_none_or(Value::is_null) {
        output::line("No definition file was ever loaded.");
        return show_passed_over_here(global);
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
    show_findings(rows(&status, "errors"));
    show_findings(rows(&status, "warnings"));
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
    show_passed_over_here(global)
}

/// Says what is wrong, each finding with its place and the way out.
fn show_findings(findings: &[Value]) {
    for found in findings {
        let file = text(found, "/place/file");
        let place = match text(found, "/place/line").as_str() {
            // It is about the file as a whole.
            "0" => file,
            line => format!("{file}:{line}:{}", text(found, "/place/column")),
        };
        output::line(&format!("{place}: {} [{}]", text(found, "/message"), text(found, "/code")));
        if let Some(help) = found.get("help").and_then(Value::as_str) {
            output::line(&format!("  help: {help}"));
        }
    }
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

/// Has the folder read now, and says what is live then and what is wrong: whoever read a file
/// first, so that a server which was quicker hides nothing.
async fn scan(client: &Client, global: &Global, accept: bool) -> Result<(), AppError> {
    let mut answer =
        client.post("/api/v1/definitions/scan", &json!({ "accept_deletions": accept })).await?;
    let status = client.get("/api/v1/definitions").await?;
    let (live, broken) = standings(rows(&status, "files"));
    let errors = rows(&status, "errors");
    if global.json {
        if let Some(answer) = answer.as_object_mut() {
            let now = [("live", live.into()), ("broken", broken.into()), ("errors", errors.into())];
            answer.extend(now.map(|(key, value): (_, Value)| (key.to_owned(), value)));
        }
        output::json(&answer);
    } else {
        show_findings(errors);
        show_scan(&answer, live, broken);
        show_passed_over_here(global)?;
    }
    if broken > 0 { Err(AppError::Failed) } else { Ok(()) }
}

/// How many files are live with what they hold, and how many hold errors.
fn standings(files: &[Value]) -> (usize, usize) {
    let count = |states: &[FileState]| {
        let is_one = |file: &&Value| {
            let state = file.get("state").cloned().unwrap_or_default();
            serde_json::from_value(state).is_ok_and(|state: FileState| states.contains(&state))
        };
        files.iter().filter(is_one).count()
    };
    let live = count(&[FileState::Live, FileState::Stale]);
    (live, count(&[FileState::LastGood, FileState::Broken]))
}

fn show_scan(answer: &Value, live: usize, broken: usize) {
    if let Some(reason) = answer.get("stale").and_then(Value::as_str) {
        return output::line(&format!("Nothing changed: {reason}"));
    }
    if answer.get("files").is_none() {
        return output::line("No daemon has answered; the files are read once one runs.");
    }
    output::line(&format!("{} file(s): {live} live, {broken} with errors", text(answer, "/files")));
    let count = |key| answer.get(key).and_then(Value::as_u64).unwrap_or_default();
    let news = [("loaded", "loaded"), ("failed", "with new errors"), ("deleted", "deleted")];
    let news = news.map(|(key, says)| (count(key), says));
    let news: Vec<String> = news
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, says)| format!("{count} {says}"))
        .collect();
    if !news.is_empty() {
        output::line(&format!("New since they were last read: {}", news.join(", ")));
    }
}

/// Names the files that were probably meant as definition files and are not read, by the reason.
fn show_passed_over(files: &[PassedOver]) {
    let mut names: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for file in files {
        names.entry(&file.why).or_default().push(&file.name);
    }
    for (why, names) in names {
        output::line(&format!("Passed over, because {why}: {}", names.join(", ")));
    }
}

/// The same of the project's folder, unless the answer came from elsewhere.
fn show_passed_over_here(global: &Global) -> Result<(), AppError> {
    let dags = Settings::of(&global.dir)?.dags;
    if global.url.is_none() && dags.is_dir() {
        show_passed_over(&files::passed_over(&dags)?);
    }
    Ok(())
}

fn validate(global: &Global, paths: &[PathBuf]) -> Result<(), AppError> {
    let settings = Settings::of(&global.dir)?;
    output::warnings(global.json, &settings.warnings);
    let own = if paths.is_empty() { vec![files::of_project(&settings)?] } else { Vec::new() };
    // Names say which file is meant below one root only, so each root is checked by itself.
    let mut asked: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
    for path in paths.iter().chain(&own) {
        let path = files::found(path, &settings)?;
        let (root, names) = files::asked(&path, &settings)?;
        asked.entry(root).or_default().extend(names);
    }
    let (mut count, mut all, mut passed_over) = (0, Vec::new(), Vec::new());
    for (root, names) in asked {
        let files = files::read(&root, &settings.project_of(&root))?;
        let check = files::together(&files);
        let mut found = files::findings(&files, &check, |file| names.contains(file));
        if root.is_file() {
            for it in &mut found {
                it.place.file = root.display().to_string();
            }
        }
        if !global.json {
            files::draw(&files, &found);
        }
        count += names.len();
        all.extend(found);
        passed_over.extend(files::passed_over(&root)?);
    }
    let errors = all.iter().filter(|found| found.severity == Severity::Error).count();
    let warnings = all.len() - errors;
    if global.json {
        output::json(&json!({
            "files": count, "errors": errors, "warnings": warnings, "diagnostics": all,
            "passed_over": passed_over.iter().map(|it| &it.name).collect::<Vec<_>>(),
        }));
    } else {
        let and_warnings =
            if warnings > 0 { format!(", {warnings} warning(s)") } else { String::new() };
        output::line(&format!("{count} file(s) checked, {errors} error(s){and_warnings}"));
        show_passed_over(&passed_over);
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
