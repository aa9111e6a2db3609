//! Who asks, and whether they may: the one layer that stands before every route.
//!
//! A tenant that the caller may not see answers exactly like one that does not exist.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use millstream_control::{ControlError, Delivery, Posted, RunRight, choices};
use millstream_model::{Caller, ErrorCode, Role, TenantId};

use crate::guard;
use crate::problem::Problem;
use crate::routes::{Access, Route};
use crate::state::ServerState;

/// What the layer of one route knows.
#[derive(Clone)]
pub(crate) struct Gate {
    /// The server.
    pub(crate) state: ServerState,
    /// The route.
    pub(crate) route: Route,
}

/// Who asks for something of which tenant; only [`authorize`] makes one.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    /// Who asks.
    pub(crate) caller: Caller,
    /// The tenant of the path; `None` where the route belongs to none.
    tenant: Option<TenantId>,
}

impl Visitor {
    /// The tenant of the path, in which the caller has the route's role.
    pub(crate) fn tenant(&self) -> Result<&TenantId, Problem> {
        self.tenant.as_ref().ok_or_else(|| Problem::not_found("this address belongs to no tenant"))
    }

    /// The same visitor in a tenant that a public page chose among those the caller sees.
    pub(crate) fn in_tenant(self, tenant: TenantId) -> Self {
        let tenant = self.caller.role_in(&tenant).map(|_| tenant);
        Self { tenant, ..self }
    }
}

/// What a worker proved with its token.
#[derive(Debug, Clone)]
pub(crate) struct WorkerRight(pub(crate) RunRight);

/// What was posted to a webhook by somebody who knows its secret.
#[derive(Debug, Clone)]
pub(crate) struct SenderRight(pub(crate) Delivery);

/// How long a delivery may take to come in.
const POSTING_MAX: Duration = Duration::from_secs(20);

/// Lets a request through to its handler, or says why not.
pub(crate) async fn authorize(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let (checked, body) = match gate.route.access {
        // What it says is its proof, so that it is read before it is let in.
        Access::Sender => (check_sender(&gate, &mut parts, body).await, Body::empty()),
        _ => (check(&gate, &mut parts).await, body),
    };
    match checked {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(problem) => problem.into_response(),
    }
}

/// Whether a delivery may come in. A webhook that is not there and a proof that is none get the
/// same answer.
async fn check_sender(gate: &Gate, parts: &mut Parts, body: Body) -> Result<(), Problem> {
    guard::check_change(parts, gate.route.carries())?;
    let read = axum::body::to_bytes(body, gate.route.body_max());
    let body = match tokio::time::timeout(POSTING_MAX, read).await {
        Ok(Ok(body)) => body.to_vec(),
        Ok(Err(_)) => return Err(Problem::of_status(StatusCode::PAYLOAD_TOO_LARGE)),
        Err(_) => return Err(Problem::of_status(StatusCode::REQUEST_TIMEOUT)),
    };
    let tenant = path_segment(&gate.state, parts, "tenant").await?;
    let sensor = path_segment(&gate.state, parts, "sensor").await?;
    let text = |(name, value): (&header::HeaderName, &header::HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    let headers: BTreeMap<String, String> = parts.headers.iter().filter_map(text).collect();
    let posted = Posted { headers, body };
    let checked = gate.state.control.check_delivery((&tenant, &sensor), posted).await;
    let Some(delivery) = checked.map_err(ControlError::from)? else {
        let message = "either the tenant has no webhook of this name, or the signature or the \
                       secret in the delivery's header is missing or wrong; the server's log \
                       says which";
        return Err(Problem::new(ErrorCode::DeliveryRefused, message));
    };
    parts.extensions.insert(SenderRight(delivery));
    Ok(())
}

async fn check(gate: &Gate, parts: &mut Parts) -> Result<(), Problem> {
    guard::check_change(parts, gate.route.carries())?;
    let caller = gate.state.options.everybody.clone();
    let visitor = match gate.route.access {
        Access::Public => Visitor { caller, tenant: None },
        Access::Tenant(needed) => {
            let starts_nothing = gate.route.starts_nothing();
            let tenant = tenant(&gate.state, &caller, (parts, starts_nothing)).await?;
            reach(caller.role_in(&tenant), needed, &format!("tenant {tenant}"))?;
            Visitor { caller, tenant: Some(tenant) }
        }
        Access::Instance(needed) => {
            reach(caller.instance_role(), needed, "the instance")?;
            Visitor { caller, tenant: None }
        }
        Access::Worker => {
            let right = worker_right(&gate.state, parts).await?;
            parts.extensions.insert(WorkerRight(right));
            return Ok(());
        }
        // Let in by what it posts, and by nothing else.
        Access::Sender => return reach(None, Role::Admin, ""),
    };
    parts.extensions.insert(visitor);
    Ok(())
}

/// The tenant that the path names, if it exists for the caller; one that is no longer declared
/// does where the route `starts_nothing`.
async fn tenant(
    state: &ServerState,
    caller: &Caller,
    (parts, starts_nothing): (&mut Parts, bool),
) -> Result<TenantId, Problem> {
    let text = path_segment(state, parts, "tenant").await?;
    let id: TenantId = match text.parse() {
        Ok(id) if caller.role_in(&id).is_some() => id,
        Ok(_) | Err(_) => return Err(unknown_tenant(state, caller, &text).await),
    };
    match state.control.known_tenant(&id).await {
        Ok(()) => return Ok(id),
        Err(ControlError::TenantUnknown { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    if !state.control.has_history(&id).await? {
        return Err(unknown_tenant(state, caller, &text).await);
    }
    if starts_nothing {
        return Ok(id);
    }
    let message = format!(
        "Unknown tenant: {id}; no file declares it any more: its history can be read, and nothing \
         new is started for it"
    );
    Err(Problem::new(ErrorCode::TenantUnknown, message))
}

/// That there is no tenant `text`, with those that the caller sees.
pub(crate) async fn unknown_tenant(state: &ServerState, caller: &Caller, text: &str) -> Problem {
    let known = match state.control.catalog().await {
        Ok(catalog) => catalog.tenant_ids(),
        Err(error) => return ControlError::from(error).into(),
    };
    let seen: Vec<TenantId> = known.into_iter().filter(|id| caller.role_in(id).is_some()).collect();
    let ways = if seen.is_empty() { String::new() } else { choices(text, &seen) };
    Problem::new(ErrorCode::TenantUnknown, format!("Unknown tenant: {text}{ways}"))
}

async fn path_segment(
    state: &ServerState,
    parts: &mut Parts,
    wanted: &str,
) -> Result<String, Problem> {
    let bad = || Problem::not_found("there is nothing at this address");
    let all = RawPathParams::from_request_parts(parts, state).await.map_err(|_| bad())?;
    let found = all.iter().find(|(name, _)| *name == wanted);
    found.map(|(_, value)| value.to_owned()).ok_or_else(bad)
}

fn reach(role: Option<Role>, needed: Role, place: &str) -> Result<(), Problem> {
    match role {
        Some(role) if role >= needed => Ok(()),
        Some(_) => {
            let needed = format!("{needed:?}").to_lowercase();
            let message = format!("this needs the role {needed} in {place}");
            Err(Problem::new(ErrorCode::Forbidden, message))
        }
        None => Err(Problem::not_found("there is nothing at this address")),
    }
}

async fn worker_right(state: &ServerState, parts: &mut Parts) -> Result<RunRight, Problem> {
    let refused = || {
        let message = "the request needs `Authorization: Bearer` with the token of this run";
        Problem::new(ErrorCode::Forbidden, message).with_status(StatusCode::UNAUTHORIZED)
    };
    let run = path_segment(state, parts, "run").await?;
    let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|text| text.strip_prefix("Bearer ")).ok_or_else(refused)?;
    let right = state.control.check_run_token(token).await.map_err(ControlError::from)?;
    right.filter(|right| right.run.to_string() == run).ok_or_else(refused)
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let missing = || Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR);
        parts.extensions.get::<Self>().cloned().ok_or_else(missing)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for SenderRight {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let missing = || Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR);
        parts.extensions.remove::<Self>().ok_or_else(missing)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for WorkerRight {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let missing = || Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR);
        parts.extensions.get::<Self>().cloned().ok_or_else(missing)
    }
}
