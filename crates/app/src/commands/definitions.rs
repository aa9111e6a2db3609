//! `millstream definitions`: status, scan and validate.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use millstream_definition::{EXTENSIONS, LocationFile, ParsedFile, Version, check_location};
use millstream_model::{ContentHash, Diagnostic, Severity};
use serde_json::{Value, json};

use super::answer::{rows, text};
use super::dispatch::with_client;
use crate::cli::{DefinitionsCommand, Global};
use crate::client::Client;
use crate::error::AppError;
use crate::settings::Settings;
use crate::{draw, instance, output};

/// The largest file that validate reads; the parser refuses smaller ones already.
const READ_MAX: u64 = 2 << 20;

pub(super) async fn run(global: &Global, command: DefinitionsCommand) -> Result<(), AppError> {
    match command {
        DefinitionsCommand::Status => {
            with_client(global, async |client| status(client, global).await).await
        }
        DefinitionsCommand::Scan { accept_deletions } => {
            with_client(global, async |client| scan(client, global, accept_deletions).await).await
        }
        DefinitionsCommand::Validate { paths } => validate(global, &paths),
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
        if text(file, "/state") == "last_good" {
            let name = text(file, "/name");
            output::line(&format!("{name}: the last good version stays live"));
        }
    }
    Ok(())
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

/// A file that was read for validation.
struct Checked {
    text: String,
    parsed: ParsedFile,
    hash: Option<ContentHash>,
}

fn validate(global: &Global, paths: &[PathBuf]) -> Result<(), AppError> {
    let settings = Settings::of(&global.dir)?;
    let roots = if paths.is_empty() { vec![settings.dags] } else { paths.to_vec() };
    let mut files = BTreeMap::new();
    for root in &roots {
        for (name, path) in definition_files(root)? {
            let content = read(&path)?;
            let parsed = millstream_definition::parse_file(&name, &content);
            let hash = parsed.manifest.as_ref().map(millstream_definition::file_hash);
            let text = String::from_utf8_lossy(&content).into_owned();
            files.insert(name, Checked { text, parsed, hash });
        }
    }
    let together: Vec<LocationFile<'_>> = files
        .iter()
        .map(|(name, file)| LocationFile { name, newest: version(file), live: None })
        .collect();
    let check = check_location(instance::location_name(), &together);
    let mut found: Vec<&Diagnostic> =
        files.values().flat_map(|file| &file.parsed.diagnostics).collect();
    found.extend(&check.diagnostics);
    let errors = found.iter().filter(|found| found.severity == Severity::Error).count();
    if global.json {
        output::json(&json!({ "files": files.len(), "errors": errors, "diagnostics": found }));
    } else {
        for diagnostic in found {
            let source = files.get(&diagnostic.place.file).map_or("", |file| file.text.as_str());
            output::line(&draw::diagnostic(diagnostic, source));
        }
        output::line(&format!("{} file(s) checked, {errors} error(s)", files.len()));
    }
    if errors > 0 { Err(AppError::Failed) } else { Ok(()) }
}

fn version(file: &Checked) -> Option<Version<'_>> {
    Some(Version {
        hash: file.hash.as_ref()?,
        manifest: file.parsed.manifest.as_ref()?,
        places: Some(&file.parsed.places),
    })
}

/// The definition files at `root`, a file or a folder, with their names below it.
fn definition_files(root: &Path) -> Result<Vec<(String, PathBuf)>, AppError> {
    let failed = |source| AppError::Files { path: root.to_owned(), source };
    if root.metadata().map_err(failed)?.is_file() {
        let name = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Ok(vec![(name, root.to_owned())]);
    }
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() && !is_hidden {
                folders.push(path);
            } else if kind.is_file() && !is_hidden && is_definition(&path) {
                let below = path.strip_prefix(root).unwrap_or(&path);
                found.push((below.to_string_lossy().into_owned(), path.clone()));
            }
        }
    }
    Ok(found)
}

fn is_definition(path: &Path) -> bool {
    let extension = path.extension().and_then(std::ffi::OsStr::to_str);
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension))
}

fn read(path: &Path) -> Result<Vec<u8>, AppError> {
    use std::io::Read as _;
    let failed = |source| AppError::Files { path: path.to_owned(), source };
    let mut content = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(READ_MAX).read_to_end(&mut content).map_err(failed)?;
    Ok(content)
}
