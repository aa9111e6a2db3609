//! What a worker needs from the control plane, wherever that is.

use futures_util::future::BoxFuture;
use millstream_model::worker_api::{Assignment, Report, ReportAnswer, SlotAnswer, SlotAsk};
use millstream_model::{RunId, TenantId};

/// The control plane as one run's worker sees it.
///
/// In one process it is `control` itself; elsewhere [`crate::HttpControlPlane`] speaks for it.
pub trait ControlPlane: Send + Sync {
    /// What the worker that was launched with `epoch` has to do.
    fn assignment<'a>(
        &'a self,
        tenant: &'a TenantId,
        run: RunId,
        epoch: i64,
    ) -> BoxFuture<'a, Result<Assignment, ReportError>>;

    /// Records events. Sending the same ones again is harmless.
    fn report<'a>(
        &'a self,
        tenant: &'a TenantId,
        run: RunId,
        report: Report,
    ) -> BoxFuture<'a, Result<ReportAnswer, ReportError>>;

    /// Says that the worker is alive; a report says so too.
    fn beat<'a>(
        &'a self,
        tenant: &'a TenantId,
        run: RunId,
        epoch: i64,
    ) -> BoxFuture<'a, Result<ReportAnswer, ReportError>>;

    /// Asks for the slots of pools, and waits for a while until some of the attempts have theirs.
    /// Asking again is harmless.
    fn slots<'a>(
        &'a self,
        tenant: &'a TenantId,
        run: RunId,
        ask: SlotAsk,
    ) -> BoxFuture<'a, Result<SlotAnswer, ReportError>>;
}

/// The control plane did not take what the worker sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// Another worker holds the run, or the run is over. The worker stops at once.
    #[error("the run is no longer this worker's")]
    Stale,
    /// No answer came, or one that says so. Sending again later may help.
    #[error("the control plane is not available: {reason}")]
    Unavailable {
        /// What was seen.
        reason: String,
    },
    /// It will never take it. The worker stops and says so in its log.
    #[error("the control plane refused: {reason}")]
    Refused {
        /// What it said.
        reason: String,
    },
}
