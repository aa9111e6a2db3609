//! Whether the process lives, whether it can serve, and what it is.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use millstream_control::SchemaState;
use millstream_model::are_healthy;
use serde_json::json;

use crate::state::ServerState;

/// The process lives; nothing else is asked.
pub(crate) async fn health() -> Json<serde_json::Value> {
    Json(json!({ "status": "ok" }))
}

/// Ready once the database answers, its schema is this version's and every location was scanned,
/// unless loading is off.
pub(crate) async fn ready(State(state): State<ServerState>) -> Response {
    let readiness = Readiness::of(&state).await;
    let ready = readiness.database == "ok" && matches!(readiness.definitions, "loaded" | "off");
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "ready": ready,
        "database": readiness.database,
        "definitions": readiness.definitions,
    });
    let mut response = Json(body).into_response();
    *response.status_mut() = status;
    // The body says which part is not ready yet, which the form of an error would hide.
    response.extensions_mut().insert(PlainStatus);
    response
}

/// Marks an answer whose status is news and not a problem.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlainStatus;

/// What this server is and how it is doing, for a load balancer: always 200 while it answers.
pub(crate) async fn server_info(State(state): State<ServerState>) -> Json<serde_json::Value> {
    let readiness = Readiness::of(&state).await;
    let daemons = state.control.daemons().await;
    let daemons = match &daemons {
        Ok(daemons) if are_healthy(daemons) => "ok",
        Ok(daemons) if daemons.is_empty() => "none",
        Ok(_) => "unhealthy",
        Err(_) => "unknown",
    };
    let is_ok = readiness.database == "ok" && daemons == "ok";
    let status = if is_ok { "ok" } else { "degraded" };
    Json(json!({
        "name": "millstream",
        "version": env!("CARGO_PKG_VERSION"),
        "address": state.options.address,
        "status": status,
        "database": { "kind": state.control.store().database_name(), "status": readiness.database },
        "definitions": readiness.definitions,
        "daemons": daemons,
    }))
}

struct Readiness {
    database: &'static str,
    definitions: &'static str,
}

impl Readiness {
    async fn of(state: &ServerState) -> Self {
        let store = state.control.store();
        let database = match store.schema_state().await {
            Ok(SchemaState::Current) => match store.ping().await {
                Ok(()) => "ok",
                Err(_) => "unavailable",
            },
            Ok(_) => "schema",
            Err(_) => "unavailable",
        };
        let definitions = match store.locations().await {
            _ if state.options.scan.interval.is_none() => "off",
            Ok(all) if !all.is_empty() && all.iter().all(|one| one.scanned_at.is_some()) => {
                "loaded"
            }
            Ok(_) => "loading",
            Err(_) => "unknown",
        };
        Self { database, definitions }
    }
}
