//! Jobs: listing, launching, switching on and off.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use millstream_control::Launched;
use millstream_model::view::JobRow;
use millstream_model::{ErrorCode, PartitionKey};
use serde::Deserialize;

use crate::access::Visitor;
use crate::body::Body;
use crate::input::{JobPath, Segments, job_name};
use crate::problem::Problem;
use crate::state::ServerState;
use crate::ui::act::by_hand;
use crate::ui::read::job_row;

/// The tenant's jobs.
pub(crate) async fn list(
    State(state): State<ServerState>,
    visitor: Visitor,
) -> Result<Json<Vec<JobRow>>, Problem> {
    Ok(Json(state.control.job_rows(visitor.tenant()?).await?))
}

/// What a launch asks for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LaunchBody {
    #[serde(default)]
    context: serde_json::Value,
    partition: Option<PartitionKey>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

/// Puts a run of the job into the queue.
pub(crate) async fn launch(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<JobPath>,
    Body(body): Body<LaunchBody>,
) -> Result<(StatusCode, Json<Launched>), Problem> {
    let mut request = by_hand(visitor.tenant()?, &visitor.caller);
    request.context = object(body.context)?;
    request.partition = body.partition;
    request.tags = body.tags;
    let launched = state.control.launch_job(&request, &job_name(&path.job)?).await?;
    Ok((StatusCode::CREATED, Json(launched)))
}

/// The trigger context that `text` writes; an empty text is an empty one.
pub(crate) fn context(text: &str) -> Result<serde_json::Map<String, serde_json::Value>, Problem> {
    if text.trim().is_empty() {
        return Ok(serde_json::Map::new());
    }
    let value = serde_json::from_str(text).map_err(|error| {
        let message = format!("the context is not JSON: {error}; write it like {{\"day\": 3}}");
        Problem::new(ErrorCode::ContextJson, message)
    })?;
    object(value)
}

fn object(value: serde_json::Value) -> Result<serde_json::Map<String, serde_json::Value>, Problem> {
    match value {
        serde_json::Value::Null => Ok(serde_json::Map::new()),
        serde_json::Value::Object(map) => Ok(map),
        other => {
            let message = format!("the context is {other}, not an object like {{\"day\": 3}}");
            Err(Problem::new(ErrorCode::ContextJson, message))
        }
    }
}

/// Where a job's switch goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SwitchTo {
    /// On, whatever the file says.
    On,
    /// Off, whatever the file says.
    Off,
    /// Back to the file's word.
    File,
}

impl SwitchTo {
    /// What is set against the file; `None` for nothing.
    pub(crate) fn enabled(self) -> Option<bool> {
        match self {
            Self::On => Some(true),
            Self::Off => Some(false),
            Self::File => None,
        }
    }
}

/// What a switch asks for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SwitchBody {
    pub(crate) to: SwitchTo,
}

/// Turns a job on or off, or gives the word back to its file.
pub(crate) async fn switch(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<JobPath>,
    Body(body): Body<SwitchBody>,
) -> Result<Json<JobRow>, Problem> {
    let tenant = visitor.tenant()?;
    let name = job_name(&path.job)?;
    let job = job_row(&state, tenant, &name).await?;
    let which = (&job.location, &job.name);
    state.control.override_job(tenant, which, body.to.enabled(), &visitor.caller.name).await?;
    Ok(Json(job_row(&state, tenant, &name).await?))
}
