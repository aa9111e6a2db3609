//! The control plane for a worker in this process: direct calls of `control`.

use futures_util::future::BoxFuture;
use millstream_control::{Control, ReportError as Refusal};
use millstream_launch::{ControlPlane, ReportError};
use millstream_model::worker_api::{Assignment, Report, ReportAnswer};
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
}

/// The refusal as a worker anywhere sees it.
fn as_seen(refusal: &Refusal) -> ReportError {
    match refusal {
        Refusal::Stale { .. } => ReportError::Stale,
        Refusal::Refused { .. } => ReportError::Refused { reason: refusal.to_string() },
        Refusal::Store(error) => ReportError::Unavailable { reason: error.to_string() },
    }
}
