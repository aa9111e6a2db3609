//! What the addresses of schedules and of sensors share: which ticks are asked for.

use millstream_model::Timestamp;
use serde::Deserialize;

/// The most ticks of one answer, and those of one that does not say how many.
const TICKS_MAX: u32 = 500;
const TICKS: u32 = 50;

/// Which ticks are asked for.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct TicksQuery {
    /// Only those before this time.
    pub(crate) before: Option<Timestamp>,
    limit: Option<u32>,
}

impl TicksQuery {
    /// How many at most.
    pub(crate) fn limit(&self) -> u32 {
        self.limit.unwrap_or(TICKS).min(TICKS_MAX)
    }
}
