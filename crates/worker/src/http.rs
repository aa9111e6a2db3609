//! The control plane over HTTP, for workers in a process or on a machine of their own.

use std::path::Path;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use millstream_model::worker_api::{
    Assignment, Report, ReportAnswer, RunToken, SlotAnswer, SlotAsk,
};
use millstream_model::{RunId, TenantId};
use millstream_outbound::{Answer, Body, Client, Limits, Method, OutboundError, Request};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::{ControlPlane, ReportError};

/// The header that names the tenant.
const TENANT_HEADER: &str = "millstream-tenant";

/// How long one call may take, and how large a plan may be.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(5),
    total: Duration::from_secs(30),
    answer_max: 64 * 1024 * 1024,
};

/// How much of a refusal is shown.
const REASON_MAX: usize = 500;

/// The control plane at a URL, as the holder of one run's token sees it.
#[derive(Debug, Clone)]
pub struct HttpControlPlane {
    client: Client,
    url: String,
    token: RunToken,
}

impl HttpControlPlane {
    /// The control plane at `url`: `http://127.0.0.1:3000`, or `unix:` and the path of a socket on
    /// this machine, where the next server of the same folder answers too.
    pub fn new(url: &str, token: RunToken) -> Result<Self, OutboundError> {
        if let Some(path) = url.strip_prefix("unix:") {
            let client = Client::over_socket(Path::new(path), LIMITS)?;
            return Ok(Self { client, url: "http://localhost".to_owned(), token });
        }
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { client: Client::direct(LIMITS)?, url, token })
    }

    async fn call<T: DeserializeOwned>(
        &self,
        tenant: &TenantId,
        run: RunId,
        what: &str,
        json: Option<Vec<u8>>,
    ) -> Result<T, ReportError> {
        let url = format!("{}/worker/v1/runs/{run}/{what}", self.url);
        let headers = [
            ("authorization", format!("Bearer {}", self.token.reveal())),
            (TENANT_HEADER, tenant.to_string()),
        ];
        let method = if json.is_some() { Method::Post } else { Method::Get };
        let request = Request { method, url: &url, headers: &headers, body: json.map(Body::json) };
        match self.client.send(request).await {
            Ok(answer) => understand(&answer),
            Err(error) if error.is_passing() => {
                Err(ReportError::Unavailable { reason: error.to_string() })
            }
            Err(error) => Err(ReportError::Refused { reason: error.to_string() }),
        }
    }
}

/// What an answer's status and body mean.
fn understand<T: DeserializeOwned>(answer: &Answer) -> Result<T, ReportError> {
    match answer.status {
        200..=299 => serde_json::from_slice(&answer.body).map_err(|error| {
            let reason = format!("the answer is not understood: {error}");
            ReportError::Refused { reason }
        }),
        409 => Err(ReportError::Stale),
        // Overload and time-outs pass; a proxy in between says so for a server that restarts.
        408 | 429 | 500..=599 => Err(ReportError::Unavailable { reason: reason(answer) }),
        _ => Err(ReportError::Refused { reason: reason(answer) }),
    }
}

fn reason(answer: &Answer) -> String {
    let body: String = String::from_utf8_lossy(&answer.body).chars().take(REASON_MAX).collect();
    format!("HTTP {}: {}", answer.status, body.trim())
}

fn body(value: &impl serde::Serialize) -> Result<Vec<u8>, ReportError> {
    serde_json::to_vec(value).map_err(|error| ReportError::Refused { reason: error.to_string() })
}

impl ControlPlane for HttpControlPlane {
    fn assignment<'a>(
        &'a self,
        tenant: &'a TenantId,
        run: RunId,
        _epoch: i64,
    ) -> BoxFuture<'a, Result<Assignment, ReportError>> {
        // The token says which epoch it is for.
        self.call(tenant, run, "assignment", None).boxed()
    }

    fn report<'a>(
        &'a self,
        tenant: &'a TenantId,
        run: RunId,
        report: Report,
    ) -> BoxFuture<'a, Result<ReportAnswer, ReportError>> {
        async move { self.call(tenant, run, "events", Some(body(&report)?)).await }.boxed()
    }

    fn beat<'a>(
        &'a self,
        tenant: &'a TenantId,
        run: RunId,
        epoch: i64,
    ) -> BoxFuture<'a, Result<ReportAnswer, ReportError>> {
        async move {
            let body = body(&json!({ "epoch": epoch }))?;
            self.call(tenant, run, "beat", Some(body)).await
        }
        .boxed()
    }

    fn slots<'a>(
        &'a self,
        tenant: &'a TenantId,
        run: RunId,
        ask: SlotAsk,
    ) -> BoxFuture<'a, Result<SlotAnswer, ReportError>> {
        async move { self.call(tenant, run, "slots", Some(body(&ask)?)).await }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(status: u16, body: &str) -> Result<ReportAnswer, ReportError> {
        understand(&Answer { status, body: body.as_bytes().to_vec(), ..Answer::default() })
    }

    #[test]
    fn a_409_stops_the_worker_and_a_503_makes_it_wait() {
        assert_eq!(heard(200, r#"{"cancel": true}"#), Ok(ReportAnswer { cancel: true }));
        assert_eq!(heard(409, "{}"), Err(ReportError::Stale));
        assert!(matches!(heard(503, ""), Err(ReportError::Unavailable { .. })));
        assert!(matches!(heard(404, ""), Err(ReportError::Refused { .. })));
        assert!(matches!(heard(200, "<html>"), Err(ReportError::Refused { .. })));
    }
}
