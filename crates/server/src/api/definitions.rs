//! Definitions and tenants: what belongs to the instance.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use millstream_control::{Catalog, ControlError, DAEMON_WAIT, Deletions};
use millstream_model::view::{FileRow, FileState, TenantRow};
use millstream_model::{DaemonAnswer, Diagnostic, ErrorCode, LocationName, Severity, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::access::Visitor;
use crate::body::Body;
use crate::mask::masked;
use crate::problem::Problem;
use crate::state::ServerState;

/// What the status command of document 004 shows.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum StatusAnswer {
    /// Loading is off, and that is all there is to say.
    Off { enabled: bool },
    /// Loading is on.
    On(Box<DefinitionsStatus>),
}

/// The fields of document 004's status command, and every file.
#[derive(Debug, Serialize)]
pub(crate) struct DefinitionsStatus {
    enabled: bool,
    scan_interval: Option<String>,
    loaded_dags: Vec<String>,
    dag_count: usize,
    /// How many there are of each kind of thing, by the name of its section.
    counts: BTreeMap<&'static str, usize>,
    local_source: Option<SourceAnswer>,
    s3_source: Option<SourceAnswer>,
    last_scan: Option<Timestamp>,
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
    files: Vec<FileRow>,
}

/// Where definitions come from.
#[derive(Debug, Serialize)]
pub(crate) struct SourceAnswer {
    location: LocationName,
    path: String,
    files: usize,
    stale: Option<String>,
}

/// What is loaded, from where, and what is wrong with it.
pub(crate) async fn status(
    State(state): State<ServerState>,
) -> Result<Json<StatusAnswer>, Problem> {
    if state.options.scan.interval.is_none() {
        return Ok(Json(StatusAnswer::Off { enabled: false }));
    }
    let views = state.control.location_views().await.map_err(ControlError::from)?;
    let catalog = state.control.catalog().await.map_err(ControlError::from)?;
    let jobs = catalog.manifests().flat_map(|manifest| manifest.jobs.keys());
    let loaded_dags: Vec<String> = jobs.map(ToString::to_string).collect();
    let last_scan = views.iter().filter_map(|view| view.location.scanned_at).max();
    let local_source = views.first().map(|view| SourceAnswer {
        location: view.location.name.clone(),
        path: view.location.root.clone(),
        files: view.files.iter().filter(|file| file.state != FileState::Deleted).count(),
        stale: view.location.stale_reason.clone(),
    });
    let files: Vec<FileRow> = views.into_iter().flat_map(|view| view.files).collect();
    let all = files.iter().flat_map(|file| file.diagnostics.clone());
    let (errors, warnings) = all.partition(|found| found.severity == Severity::Error);
    Ok(Json(StatusAnswer::On(Box::new(DefinitionsStatus {
        enabled: true,
        scan_interval: state.options.scan.interval.clone(),
        dag_count: loaded_dags.len(),
        counts: counts(&catalog),
        loaded_dags,
        local_source,
        s3_source: None,
        last_scan,
        errors,
        warnings,
        files,
    }))))
}

fn counts(catalog: &Catalog) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for manifest in catalog.manifests() {
        for (section, count) in manifest.counts() {
            *counts.entry(section).or_default() += count;
        }
    }
    counts
}

/// How to scan.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScanBody {
    #[serde(default)]
    accept_deletions: bool,
}

/// Has the roots looked at again, and answers with what the daemon reports.
pub(crate) async fn scan(
    State(state): State<ServerState>,
    Body(body): Body<ScanBody>,
) -> Result<Json<serde_json::Value>, Problem> {
    let deletions = if body.accept_deletions { Deletions::Accepted } else { Deletions::Guarded };
    let (id, answer) = scan_now(&state, deletions).await?;
    let waiting = || serde_json::json!({ "request": id, "status": "waiting for a daemon" });
    Ok(Json(answer.unwrap_or_else(waiting)))
}

/// Asks the daemon for a scan; returns the request and the answer, if one came in time.
pub(crate) async fn scan_now(
    state: &ServerState,
    deletions: Deletions,
) -> Result<(String, Option<serde_json::Value>), Problem> {
    if state.options.scan.interval.is_none() {
        let message = "loading of definition files is disabled (DAGS_ENABLED)";
        return Err(Problem::new(ErrorCode::ScanDisabled, message));
    }
    let id = state.control.ask_for_scan(deletions).await?;
    match wait_for_daemon(state, &id).await? {
        None => Ok((id, None)),
        Some(DaemonAnswer::Done(report)) => Ok((id, Some(report))),
        Some(DaemonAnswer::Failed { error, .. }) => {
            Err(Problem::new(ErrorCode::DatabaseUnavailable, error))
        }
    }
}

/// The daemon's answer to the request, or `None` when none came in time.
pub(crate) async fn wait_for_daemon<T: DeserializeOwned>(
    state: &ServerState,
    id: &str,
) -> Result<Option<DaemonAnswer<T>>, Problem> {
    let mut changes = state.control.store().changes();
    let work = async {
        loop {
            // Marked as seen before the look, so that a change in between is not slept through.
            changes.borrow_and_update();
            if let Some(answer) = state.control.request_answer(id).await? {
                return Ok(Some(answer));
            }
            if changes.changed().await.is_err() {
                return Ok(None);
            }
        }
    };
    let answer: Option<String> = match tokio::time::timeout(DAEMON_WAIT, work).await {
        Ok(answer) => answer.map_err(|error: millstream_control::StoreError| {
            Problem::from(ControlError::from(error))
        })?,
        Err(_) => None,
    };
    let read = |text: String| {
        serde_json::from_str(&text).map_err(|error| {
            Problem::new(ErrorCode::Internal, format!("the daemon's answer: {error}"))
        })
    };
    answer.map(read).transpose()
}

/// The tenants that the caller sees, the disabled ones included; secrets are masked.
pub(crate) async fn tenants(
    State(state): State<ServerState>,
    visitor: Visitor,
) -> Result<Json<Vec<TenantRow>>, Problem> {
    let rows = state.control.tenant_rows().await?.into_iter();
    let seen = rows.filter(|row| visitor.caller.role_in(&row.id).is_some());
    Ok(Json(seen.map(masked).collect()))
}
