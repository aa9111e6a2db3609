//! Versions of definition files: their history, their differences, the way back, and what a change
//! of the files would do.

use axum::Json;
use axum::extract::State;
use millstream_control::{
    Changes, ControlError, Proposal, Rollback, SourceSets, name_files, sets_of,
};
use millstream_model::view::{FileRow, VersionRow};
use millstream_model::{DaemonAnswer, Diagnostic, ErrorCode, RollbackOutcome};
use serde::{Deserialize, Serialize};

use crate::access::Visitor;
use crate::api::definitions::wait_for_daemon;
use crate::body::Body;
use crate::input::{FilePath, Params, Segments};
use crate::mask::masked_changes;
use crate::problem::Problem;
use crate::state::ServerState;

/// Sets of sources that are read for one answer.
const SETS_MAX: usize = 200;

/// A file with its versions.
#[derive(Debug, Serialize)]
pub(crate) struct HistoryAnswer {
    file: FileRow,
    versions: Vec<VersionRow>,
}

/// The versions of a file, the newest first.
pub(crate) async fn history(
    State(state): State<ServerState>,
    Segments(path): Segments<FilePath>,
) -> Result<Json<HistoryAnswer>, Problem> {
    let history = state.control.file_history(&path.file).await?;
    Ok(Json(HistoryAnswer { file: history.file, versions: history.versions }))
}

/// Which two versions are compared.
#[derive(Debug, Deserialize)]
pub(crate) struct DiffQuery {
    from: u32,
    to: u32,
}

/// What is different between two versions of a file.
pub(crate) async fn diff(
    State(state): State<ServerState>,
    Segments(path): Segments<FilePath>,
    Params(query): Params<DiffQuery>,
) -> Result<Json<Changes>, Problem> {
    let mut found = state.control.version_diff(&path.file, (query.from, query.to)).await?;
    name_changed_files(&state, &mut found, SourceSets::new()).await;
    Ok(Json(masked_changes(found)))
}

/// Which version to go back to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RollbackBody {
    version: u32,
}

/// What a rollback came to.
#[derive(Debug, Serialize)]
pub(crate) struct RollbackAnswer {
    file: FileRow,
    warnings: Vec<Diagnostic>,
}

/// Makes an older version of a file live until the file's content changes.
pub(crate) async fn rollback(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<FilePath>,
    Body(body): Body<RollbackBody>,
) -> Result<Json<RollbackAnswer>, Problem> {
    let wish = Rollback { file: path.file, number: body.version, by: visitor.caller.name };
    let warnings = roll_back(&state, &wish).await?;
    let file = state.control.file_history(&wish.file).await?.file;
    Ok(Json(RollbackAnswer { file, warnings }))
}

/// Has a daemon go back to a version; returns what there is to warn of.
pub(crate) async fn roll_back(
    state: &ServerState,
    wish: &Rollback,
) -> Result<Vec<Diagnostic>, Problem> {
    let id = state.control.ask_for_rollback(wish).await?;
    let Some(answer) = wait_for_daemon(state, &id).await? else {
        let message = "no daemon has answered yet; the wish waits for one";
        return Err(Problem::new(ErrorCode::DatabaseUnavailable, message));
    };
    match answer {
        DaemonAnswer::Done(RollbackOutcome::Live { warnings }) => Ok(warnings),
        DaemonAnswer::Done(RollbackOutcome::Refused { diagnostics }) => {
            let message = format!(
                "v{} of {} does not fit the other files; nothing has changed",
                wish.number, wish.file
            );
            let problem = Problem::new(ErrorCode::DefinitionRollback, message);
            Err(Problem { diagnostics, ..problem })
        }
        DaemonAnswer::Failed { error, code } => {
            Err(Problem::new(code.unwrap_or(ErrorCode::DefinitionRollback), error))
        }
    }
}

/// What a change of the files would do; nothing is changed.
pub(crate) async fn plan(
    State(state): State<ServerState>,
    Body(mut proposal): Body<Proposal>,
) -> Result<Json<Changes>, Problem> {
    let sets = std::mem::take(&mut proposal.sources);
    let found: Result<Changes, ControlError> = state.control.plan_change(proposal).await;
    let mut found = found?;
    name_changed_files(&state, &mut found, sets).await;
    Ok(Json(masked_changes(found)))
}

/// Names the files of sources that differ: those of `sets`, and of the sets that are kept. Of what
/// cannot be read nothing is named.
async fn name_changed_files(state: &ServerState, changes: &mut Changes, mut sets: SourceSets) {
    for hash in sets_of(changes).into_iter().take(SETS_MAX) {
        if sets.contains_key(&hash) {
            continue;
        }
        let kept = state.blobs.read_source(&hash).await.ok().flatten();
        let set = kept.and_then(|content| serde_json::from_slice(&content).ok());
        sets.extend(set.map(|set| (hash, set)));
    }
    name_files(changes, &sets);
}
