//! The daemons of the instance, and whether each of their loops still gets around.

use axum::Json;
use axum::extract::State;
use millstream_control::ControlError;
use millstream_model::{DaemonRow, are_healthy};
use serde::Serialize;

use crate::problem::Problem;
use crate::state::ServerState;

/// The daemons, and how they are together.
#[derive(Debug, Serialize)]
pub(crate) struct DaemonsAnswer {
    /// Whether some daemon lives and no loop of a living one hangs.
    healthy: bool,
    daemons: Vec<DaemonRow>,
}

/// The daemons, by name.
pub(crate) async fn list(State(state): State<ServerState>) -> Result<Json<DaemonsAnswer>, Problem> {
    let daemons = state.control.daemons().await.map_err(ControlError::from)?;
    Ok(Json(DaemonsAnswer { healthy: are_healthy(&daemons), daemons }))
}
