//! The seams for time and chance: what a simulation replaces, and nothing else may ask.

use std::time::Duration;

use crate::Timestamp;

/// A clock.
pub trait Clock: Send + Sync {
    /// The time of day.
    fn now(&self) -> Timestamp;

    /// The time since some fixed point of this process, which never goes back: what leases are
    /// measured with. It is not comparable with another process's.
    fn elapsed(&self) -> Duration;
}

/// A source of randomness.
pub trait Entropy: Send + Sync {
    /// Fills `out` with random bytes.
    fn fill(&self, out: &mut [u8]);

    /// A number uniform in `0.0..1.0`.
    fn fraction(&self) -> f64 {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        f64::from(u32::from_le_bytes(bytes)) / 4_294_967_296.0
    }
}
