//! Webhooks: what others post to the addresses of sensors.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use millstream_control::Delivered;
use serde::Serialize;

use crate::access::SenderRight;
use crate::problem::Problem;
use crate::state::ServerState;

/// What became of a delivery.
#[derive(Debug, Serialize)]
pub(crate) struct Receipt {
    delivery: String,
    repeated: bool,
}

/// Keeps a delivery for its sensor: 202 when it is new and stored, 200 when it came before.
pub(crate) async fn deliver(
    State(state): State<ServerState>,
    SenderRight(delivery): SenderRight,
) -> Result<(StatusCode, Json<Receipt>), Problem> {
    let Delivered { id, is_known } = state.control.receive(delivery).await?;
    let status = if is_known { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(Receipt { delivery: id, repeated: is_known })))
}
