//! Dead letters: listing, showing, retrying, discarding; and retrying any failed run.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use millstream_control::{DeadLetterFilter, Launched};
use millstream_model::{DeadLetter, RetryFrom, RunId};
use serde::{Deserialize, Serialize};

use crate::access::Visitor;
use crate::body::Body;
use crate::input::{Params, RunPath, Segments};
use crate::problem::Problem;
use crate::state::ServerState;

/// Most dead letters in one answer.
const LIMIT_MAX: u32 = 1_000;
/// Dead letters in one answer when nothing else is asked for.
const LIMIT: u32 = 50;

/// Which dead letters are asked for.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ListQuery {
    #[serde(default)]
    show: Shown,
    before: Option<RunId>,
    limit: Option<u32>,
}

/// Which of them.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Shown {
    #[default]
    Open,
    All,
}

/// What a retry does again.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetryWish {
    #[serde(default)]
    pub(crate) from: RetryFrom,
}

/// Nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Empty {}

/// The tenant's dead letters, newest first.
pub(crate) async fn list(
    State(state): State<ServerState>,
    visitor: Visitor,
    Params(query): Params<ListQuery>,
) -> Result<Json<Vec<DeadLetter>>, Problem> {
    let filter = match query.show {
        Shown::Open => DeadLetterFilter::Open,
        Shown::All => DeadLetterFilter::All,
    };
    let limit = query.limit.unwrap_or(LIMIT).min(LIMIT_MAX);
    let tenant = visitor.tenant()?;
    Ok(Json(state.control.dead_letters(tenant, (filter, query.before), limit).await?))
}

/// The run that a path names.
async fn run(state: &ServerState, visitor: &Visitor, path: &RunPath) -> Result<RunId, Problem> {
    let tenant = std::slice::from_ref(visitor.tenant()?);
    Ok(state.control.find_run(tenant, &path.run).await?.run_id)
}

/// One of them, by its run.
pub(crate) async fn show(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<RunPath>,
) -> Result<Json<DeadLetter>, Problem> {
    let run = run(&state, &visitor, &path).await?;
    Ok(Json(state.control.dead_letter(visitor.tenant()?, run).await?))
}

/// A run that tries another again.
#[derive(Debug, Serialize)]
pub(crate) struct Retried {
    #[serde(flatten)]
    launched: Launched,
    /// That its definitions have changed since it was planned, and the way to take the new ones.
    older_plan: Option<String>,
}

/// Tries its run again.
pub(crate) async fn retry(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<RunPath>,
    Body(wish): Body<RetryWish>,
) -> Result<(StatusCode, Json<Retried>), Problem> {
    let (run, by) = (run(&state, &visitor, &path).await?, &visitor.caller.name);
    let tenant = visitor.tenant()?;
    let launched = state.control.retry_dead_letter(tenant, run, wish.from, by).await?;
    let older_plan = state.control.older_plan_words(tenant, run).await?;
    Ok((StatusCode::CREATED, Json(Retried { launched, older_plan })))
}

/// Puts it aside.
pub(crate) async fn discard(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<RunPath>,
    Body(Empty {}): Body<Empty>,
) -> Result<Json<DeadLetter>, Problem> {
    let (run, by) = (run(&state, &visitor, &path).await?, &visitor.caller.name);
    Ok(Json(state.control.discard_dead_letter(visitor.tenant()?, run, by).await?))
}

/// Tries a failed or canceled run again, dead letter or not.
pub(crate) async fn retry_run(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<RunPath>,
    Body(wish): Body<RetryWish>,
) -> Result<(StatusCode, Json<Retried>), Problem> {
    let (run, by) = (run(&state, &visitor, &path).await?, &visitor.caller.name);
    let tenant = visitor.tenant()?;
    let launched = state.control.retry_run(tenant, run, wish.from, by).await?;
    let older_plan = state.control.older_plan_words(tenant, run).await?;
    Ok((StatusCode::CREATED, Json(Retried { launched, older_plan })))
}
