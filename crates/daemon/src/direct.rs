//! The control plane for a worker in this process: direct calls of `control`.

use std::time::Duration;

use futures_util::future::BoxFuture;
use millstream_control::{Control, ReportError as Refusal};
use millstream_launch::{ControlPlane, ReportError};
use millstream_model::worker_api::{Assignment, Report, ReportAnswer, SlotAnswer, SlotAsk};
use millstream_model::{RunId, TenantId};

/// Calls `control` where another worker would send a request.
#[derive(Clone)]
pub struct DirectControlPlane {
    control: Control,
}

impl DirectControlPlane {
    /// The control plane that `control` is.
    pub fn new(control: Control) -> Self {
        Self { control }
    }
}

impl ControlPlane for DirectControlPlane {
    fn assignment<'a>(
        &'a self,
        tenant: &'a TenantId,
        run: RunId,
        epoch: i64,
    ) -> BoxFuture<'a, Result<Assignment, ReportError>> {
        Box::pin(async move {
            self.control.assignment(tenant, run, epoch).await.map_err(|error| as_seen(&error))
        })
    }

    fn report<'a>(
        &'a self,
        tenant: &'a TenantId,
        run: RunId,
        report: Report,
    ) -> BoxFuture<'a, Result<ReportAnswer, ReportError>> {
        Box::pin(async move {
            self.control.report(tenant, run, &report).await.map_err(|error| as_seen(&error))
        })
    }

    fn beat<'a>(
        &'a self,
        tenant: &'a TenantId,
        run: RunId,
        epoch: i64,
    ) -> BoxFuture<'a, Result<ReportAnswer, ReportError>> {
        Box::pin(async move {
            self.control.beat(tenant, run, epoch).await.map_err(|error| as_seen(&error))
        })
    }

    fn slots<'a>(
        &'a self,
        tenant: &'a TenantId,
        run: RunId,
        ask: SlotAsk,
    ) -> BoxFuture<'a, Result<SlotAnswer, ReportError>> {
        Box::pin(async move {
            let wait = Duration::from_millis(ask.wait_millis);
            let time_out = async {
                if !wait.is_zero() {
                    tokio::time::sleep(wait).await;
                }
            };
            let answer = self.control.wait_for_slots((tenant, run), &ask, time_out).await;
            answer.map_err(|error| as_seen(&error))
        })
    }
}

/// The refusal as a worker anywhere sees it.
fn as_seen(refusal: &Refusal) -> ReportError {
    match refusal {
        Refusal::Stale { .. } => ReportError::Stale,
        Refusal::Refused { .. } => ReportError::Refused { reason: refusal.to_string() },
        Refusal::Store(error) => ReportError::Unavailable { reason: error.to_string() },
    }
}
