//! Why: one question about a run, an asset, a schedule, a sensor or a job, whichever is named.

use axum::Json;
use axum::extract::State;
use millstream_control::Why;

use crate::access::Visitor;
use crate::input::{Segments, WhyPath};
use crate::problem::Problem;
use crate::state::ServerState;

/// Why what the path names is as it is.
pub(crate) async fn show(
    State(state): State<ServerState>,
    visitor: Visitor,
    Segments(path): Segments<WhyPath>,
) -> Result<Json<Why>, Problem> {
    Ok(Json(state.control.why(visitor.tenant()?, &path.subject).await?))
}
