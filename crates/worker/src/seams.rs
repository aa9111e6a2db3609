//! Time and chance as the worker takes them, so that a simulation can give its own.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::BoxFuture;
use millstream_model::Timestamp;

use crate::ControlPlane;

/// What a run takes from outside, apart from its assignment.
#[derive(Clone)]
pub struct Seams {
    /// Where events go and orders come from.
    pub control: Arc<dyn ControlPlane>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
}

impl Seams {
    /// The real time and chance, with `control`.
    pub fn system(control: Arc<dyn ControlPlane>) -> Self {
        Self { control, clock: Arc::new(SystemClock::start()), entropy: Arc::new(SystemEntropy) }
    }
}

/// The time.
pub trait Clock: Send + Sync {
    /// The time of day. It never goes back.
    fn now(&self) -> Timestamp;

    /// Waits.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// Chance.
pub trait Entropy: Send + Sync {
    /// A number that is uniform in `0.0..1.0`.
    fn unit(&self) -> f64;
}

/// The machine's clocks: the time of day when it was made, and the monotonic time since.
///
/// A run is short, and its waits shall not jump when somebody sets the clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    started: Timestamp,
    since: Instant,
}

impl SystemClock {
    /// The clock from now on.
    pub fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX);
        Self { started: Timestamp::from_micros(micros), since: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.started.after(self.since.elapsed())
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// The randomness that the standard library seeds its hash maps with; enough for jitter.
#[derive(Debug, Clone, Copy)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn unit(&self) -> f64 {
        let bits = u32::try_from(RandomState::new().hash_one(0_u8) >> 32).unwrap_or_default();
        f64::from(bits) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_stays_in_its_range_and_differs() {
        let drawn: Vec<f64> = (0..32).map(|_| SystemEntropy.unit()).collect();
        assert!(drawn.iter().all(|number| (0.0..1.0).contains(number)), "{drawn:?}");
        assert!(drawn.windows(2).any(|pair| pair[0].to_bits() != pair[1].to_bits()));
    }
}
