//! What workers in processes of their own ask and report, each with the token of its run.
//!
//! The token says the tenant, the run and the epoch; what the body or a header says of them counts
//! only where it must agree.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use millstream_model::worker_api::{Assignment, Report, ReportAnswer, SlotAnswer, SlotAsk};
use serde::Deserialize;

use crate::access::WorkerRight;
use crate::body::Body;
use crate::problem::Problem;
use crate::state::ServerState;

/// A sign of life.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct BeatBody {
    epoch: i64,
}

/// What the worker of this launch has to do.
pub(crate) async fn assignment(
    State(state): State<ServerState>,
    WorkerRight(right): WorkerRight,
) -> Result<Json<Assignment>, Problem> {
    let given = state.control.assignment(&right.tenant, right.run, right.epoch).await?;
    Ok(Json(given))
}

/// Records events.
pub(crate) async fn report(
    State(state): State<ServerState>,
    WorkerRight(right): WorkerRight,
    Body(report): Body<Report>,
) -> Result<Json<ReportAnswer>, Problem> {
    check_epoch(right.epoch, report.epoch)?;
    Ok(Json(state.control.report(&right.tenant, right.run, &report).await?))
}

/// Records that the worker is alive.
pub(crate) async fn beat(
    State(state): State<ServerState>,
    WorkerRight(right): WorkerRight,
    Body(beat): Body<BeatBody>,
) -> Result<Json<ReportAnswer>, Problem> {
    check_epoch(right.epoch, beat.epoch)?;
    Ok(Json(state.control.beat(&right.tenant, right.run, right.epoch).await?))
}

/// The longest that an answer waits for slots: less than any proxy or worker has patience.
const SLOTS_WAIT_MAX: Duration = Duration::from_secs(20);

/// Answers when steps of the run have the slots they wait for, or after a while.
pub(crate) async fn slots(
    State(state): State<ServerState>,
    WorkerRight(right): WorkerRight,
    Body(ask): Body<SlotAsk>,
) -> Result<Json<SlotAnswer>, Problem> {
    check_epoch(right.epoch, ask.epoch)?;
    let wait = Duration::from_millis(ask.wait_millis).min(SLOTS_WAIT_MAX);
    let key = (&right.tenant, right.run);
    let answer = state.control.wait_for_slots(key, &ask, tokio::time::sleep(wait));
    Ok(Json(answer.await?))
}

fn check_epoch(token: i64, said: i64) -> Result<(), Problem> {
    if token == said {
        return Ok(());
    }
    let message = format!("the token is for epoch {token} and the report is of epoch {said}");
    Err(Problem::new(millstream_model::ErrorCode::EpochStale, message))
}
