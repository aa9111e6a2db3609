//! Results of steps that are too large for their event.

use millstream_model::{RunId, StepKey, TenantId};

/// The largest result that an event carries itself.
pub const RESULT_INLINE_MAX: usize = 64 * 1024;

/// The largest result of a step; more than this is data and belongs in an IO manager.
pub const RESULT_MAX: usize = 16 * 1024 * 1024;

/// What can be done about a larger one, behind the words that say so.
pub const RESULT_WAYS: &str = ", also where an `io` keeps it; write a file and return its path, \
                               or make the rows with a step of kind `sql` or `http`, which \
                               stream to an `io`";

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
