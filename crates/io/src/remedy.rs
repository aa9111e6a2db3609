//! What there is to do about a failure of a service.

use std::time::Duration;

/// What there is to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Another attempt may do better.
    Retry,
    /// Another attempt may do better after this time, and not before.
    RetryAfter(Duration),
    /// Only another definition or setting helps.
    Mend,
}
