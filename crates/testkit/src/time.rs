//! A clock that stands still until a test moves it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use millstream_model::{Clock, Timestamp};

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct FakeClock(Mutex<Hands>);

#[derive(Debug)]
struct Hands {
    now: Timestamp,
    elapsed: Duration,
}

/// 2026-01-01T00:00:00Z, when a new [`FakeClock`] stands.
const START_MICROS: i64 = 1_767_225_600_000_000;

impl Default for FakeClock {
    fn default() -> Self {
        let now = Timestamp::from_micros(START_MICROS);
        Self(Mutex::new(Hands { now, elapsed: Duration::ZERO }))
    }
}

impl FakeClock {
    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        let mut hands = self.hands();
        hands.now = hands.now.after(by);
        hands.elapsed += by;
    }

    /// Sets the time of day, as somebody who sets the machine's clock does: no time passes.
    pub fn set(&self, now: Timestamp) {
        self.hands().now = now;
    }

    fn hands(&self) -> MutexGuard<'_, Hands> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        self.hands().now
    }

    fn elapsed(&self) -> Duration {
        self.hands().elapsed
    }
}
