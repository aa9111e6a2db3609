//! Runs: listing, showing, their events, cancelling.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderName;
use axum::response::{IntoResponse, Response};
use millstream_control::{ControlError, RunFilter, RunView, TagFilter};
use millstream_model::view::{EventRow, MaterializationRow, QueueView, RunRow, StepRow};
use millstream_model::{JobName, PartitionKey, RunId, RunStatus};
use serde::{Deserialize, Serialize};

use crate::access::Visitor;
use crate::input::{Params, RunPath, Segments};
use crate::pages::runs::status_named;
use crate::problem::Problem;
use crate::state::ServerState;

/// Most runs or events in one answer.
const LIMIT_MAX: u32 = 1_000;
/// Runs in one answer when nothing else is asked for.
const LIMIT: u32 = 50;
/// How long an answer waits for a run's end at most.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// The header that names the last run that was searched for a label, where there are older ones.
const SEARCHED_TO: HeaderName = HeaderName::from_static("millstream-searched-to");

/// Which runs are asked for.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ListQuery {
    status: Option<String>,
    job: Option<JobName>,
    partition: Option<PartitionKey>,
    tag: Option<String>,
    before: Option<RunId>,
    limit: Option<u32>,
}

/// The tenant's runs, newest first.
pub(crate) async fn list(
    State(state): State<ServerState>,
    visitor: Visitor,
    Params(query): Params<ListQuery>,
) -> Result<Response, Problem> {
    let status = match query.status.as_deref() {
        None => None,
        Some(word) => Some(status_named(word).ok_or_else(|| {
            let known = RunStatus::ALL.map(RunStatus::as_str).join(", ");
            Problem::bad_request(format!("no run is ever {word:?}; the statuses are {known}"))
        })?),
    };
    let tag = match query.tag.as_deref() {
        None => None,
        Some(text) => Some(TagFilter::parse(text).ok_or_else(|| {
            Problem::bad_request(format!("tag={text} has no key; write it like `batch_id=b-7`"))
        })?),
    };
    let (job, partition, before) = (query.job, query.partition, query.before);
    let filter = RunFilter { status, job, partition, tag, before };
    let limit = query.limit.unwrap_or(LIMIT).min(LIMIT_MAX);
    let tenant = visitor.tenant()?;
    let runs = state.control.listed_runs(tenant, &filter, limit).await?;
    let tenants = std::slice::from_ref(tenant);
    let end = state.control.store().run_search_end(tenants, &filter).await;
    let end = end.map_err(ControlError::from)?.map(|run| [(SEARCHED_TO, run.to_string())]);
    Ok((end, Json(runs)).into_response())
}

/// The tenant's runs that wait, in their order, and its pools.
pub(crate) async fn queue(
    State(state): State<ServerState>,
    visitor: Visitor,
) -> Result<Json<QueueView>, Problem> {
    Ok(Json(state.control.queue_view(visitor.tenant()?).await?))
}

/// A run with its steps.
#[derive(Debug, Serialize)]
pub(crate) struct RunAnswer {
    #[serde(flatten)]
    run: RunRow,
    /// Its place among the runs that wait, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<u32>,
    steps: Vec<StepRow>,
    materializations: Vec<MaterializationRow>,
}

/// How a run is asked for.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ShowQuery {
    /// Seconds for which the answer may wait for the run's end.
    wait: Option<u64>,
}

/// One run, by its id or its short form; with `wait`, once it is over or that time has passed.
pub(crate) async fn show(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<RunPath>,
    Params(query): Params<ShowQuery>,
) -> Result<Json<RunAnswer>, Problem> {
    let tenant = visitor.tenant()?;
    let found = state.control.find_run(std::slice::from_ref(tenant), &path.run).await?;
    if let Some(seconds) = query.wait {
        let patience = Duration::from_secs(seconds).min(WAIT_MAX);
        tokio::select! {
            // A run that goes on when the time is over is shown as it is.
            waited = tokio::time::timeout(patience, until_over(&state, &found)) => {
                waited.unwrap_or(Ok(()))?;
            }
            () = state.live.closed() => {}
        }
    }
    let view = state.control.run_view(tenant, found.run_id).await?;
    let RunView { run, place, steps, materializations } = view;
    Ok(Json(RunAnswer { run, place, steps, materializations }))
}

/// Waits until `run` is over.
async fn until_over(state: &ServerState, run: &RunRow) -> Result<(), Problem> {
    let store = state.control.store();
    loop {
        let end = store.watch_end(run.run_id);
        let live = store.live_run(&run.tenant, run.run_id).await.map_err(ControlError::from)?;
        if live.is_none() {
            return Ok(());
        }
        end.over().await;
    }
}

/// Where the list of events goes on.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct EventsQuery {
    after: Option<String>,
    limit: Option<u32>,
}

/// Events of a run, and what to ask for the ones after them.
#[derive(Debug, Serialize)]
pub(crate) struct EventsAnswer {
    events: Vec<EventRow>,
    next: String,
}

/// The events of a run in the order of the log, after the cursor of an earlier answer.
pub(crate) async fn events(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<RunPath>,
    Params(query): Params<EventsQuery>,
) -> Result<Json<EventsAnswer>, Problem> {
    let tenant = visitor.tenant()?;
    let run = state.control.find_run(std::slice::from_ref(tenant), &path.run).await?.run_id;
    let after = query.after.as_deref().map_or(Ok((0, i64::MIN)), cursor)?;
    let limit = query.limit.unwrap_or(LIMIT_MAX).min(LIMIT_MAX);
    let events = state.control.store().run_events(tenant, run, after, limit).await;
    let events = events.map_err(ControlError::from)?;
    let last = events.last().and_then(|row| row.position.map(|at| (at.0, row.event.seq)));
    let (position, seq) = last.unwrap_or(after);
    Ok(Json(EventsAnswer { events, next: format!("{position}:{seq}") }))
}

fn cursor(text: &str) -> Result<(i64, i64), Problem> {
    let parts = text.split_once(':').unwrap_or((text, "-9223372036854775808"));
    match (parts.0.parse(), parts.1.parse()) {
        (Ok(position), Ok(seq)) => Ok((position, seq)),
        _ => Err(Problem::bad_request(format!(
            "after={text} is not a cursor; use the `next` of an earlier answer"
        ))),
    }
}

/// What a cancel answers.
#[derive(Debug, Serialize)]
pub(crate) struct CancelAnswer {
    run_id: RunId,
    status: RunStatus,
}

/// Asks a run to stop.
pub(crate) async fn cancel(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<RunPath>,
) -> Result<Json<CancelAnswer>, Problem> {
    let tenant = visitor.tenant()?;
    let run_id = state.control.find_run(std::slice::from_ref(tenant), &path.run).await?.run_id;
    let status = state.control.cancel(tenant, run_id, &visitor.caller.name).await?;
    Ok(Json(CancelAnswer { run_id, status }))
}
