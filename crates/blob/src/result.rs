//! Results of steps that are too large for their event.

use millstream_model::{RunId, StepKey, TenantId};

/// The largest result that an event carries itself.
pub const RESULT_INLINE_MAX: usize = 64 * 1024;

/// The largest result of a step; more than this is data and belongs in an IO manager.
pub const RESULT_MAX: usize = 16 * 1024 * 1024;

/// Whose result it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResultKey<'a> {
    /// The tenant.
    pub tenant: &'a TenantId,
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: &'a StepKey,
    /// The attempt, from 1.
    pub attempt: u32,
}
