//! Schedules: listing, switching, looking ahead and back, and trying a tick.

use axum::Json;
use axum::extract::State;
use millstream_model::view::{ScheduleRow, TickTest};
use millstream_model::{TickRow, Timestamp};
use serde::{Deserialize, Serialize};

use crate::access::Visitor;
use crate::api::jobs::SwitchBody;
use crate::api::ticks::TicksQuery;
use crate::body::Body;
use crate::input::{Params, SchedulePath, Segments};
use crate::problem::Problem;
use crate::state::ServerState;

/// The most fire times of one preview.
const PREVIEW_MAX: usize = 1_000;

/// The fire times of a preview that does not say how many.
const PREVIEW: usize = 10;

/// The tenant's schedules.
pub(crate) async fn list(
    State(state): State<ServerState>,
    visitor: Visitor,
) -> Result<Json<Vec<ScheduleRow>>, Problem> {
    Ok(Json(state.control.schedule_rows(visitor.tenant()?).await?))
}

/// One schedule.
pub(crate) async fn show(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<SchedulePath>,
) -> Result<Json<ScheduleRow>, Problem> {
    Ok(Json(state.control.schedule_view(visitor.tenant()?, &path.schedule).await?))
}

/// How many fire times are asked for.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct PreviewQuery {
    n: Option<usize>,
    from: Option<Timestamp>,
}

/// Fire times to come.
#[derive(Debug, Serialize)]
pub(crate) struct Preview {
    timezone: String,
    fires: Vec<Fire>,
}

/// A fire time, as a point in time and on the schedule's own clock.
#[derive(Debug, Serialize)]
struct Fire {
    at: Timestamp,
    local: String,
}

/// The next fire times of a schedule, as if it were on.
pub(crate) async fn preview(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<SchedulePath>,
    Params(query): Params<PreviewQuery>,
) -> Result<Json<Preview>, Problem> {
    let tenant = visitor.tenant()?;
    let count = query.n.unwrap_or(PREVIEW).min(PREVIEW_MAX);
    let row = state.control.schedule_view(tenant, &path.schedule).await?;
    let fires = state.control.schedule_preview(tenant, &path.schedule, (count, query.from));
    let fires = fires.await?;
    let fires = fires.into_iter().map(|at| Fire { at, local: at.local(&row.timezone) }).collect();
    Ok(Json(Preview { timezone: row.timezone, fires }))
}

/// The newest ticks of a schedule.
pub(crate) async fn ticks(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<SchedulePath>,
    Params(query): Params<TicksQuery>,
) -> Result<Json<Vec<TickRow>>, Problem> {
    let limit = query.limit();
    let (tenant, name) = (visitor.tenant()?, &path.schedule);
    Ok(Json(state.control.schedule_ticks(tenant, name, query.before, limit).await?))
}

/// What a test asks for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestBody {
    nominal: Option<Timestamp>,
}

/// What a tick would do; nothing is requested.
pub(crate) async fn test(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<SchedulePath>,
    Body(body): Body<TestBody>,
) -> Result<Json<TickTest>, Problem> {
    let tenant = visitor.tenant()?;
    Ok(Json(state.control.test_schedule(tenant, &path.schedule, body.nominal).await?))
}

/// Starts or stops a schedule, or gives the word back to its file.
pub(crate) async fn switch(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<SchedulePath>,
    Body(body): Body<SwitchBody>,
) -> Result<Json<ScheduleRow>, Problem> {
    let word = (body.to.enabled(), visitor.caller.name.as_str());
    let switched = state.control.switch_schedule(visitor.tenant()?, &path.schedule, word).await?;
    Ok(Json(switched))
}
