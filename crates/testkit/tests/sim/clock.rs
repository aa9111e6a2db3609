//! The clocks of one simulated process: virtual time, with a time of day that may jump.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use millstream_model::Timestamp;

use crate::executor::Machines;

/// 2026-01-01T00:00:00Z, when every simulation begins.
pub(crate) const START_MICROS: i64 = 1_767_225_600_000_000;

/// The clocks of one process.
pub(crate) struct ProcessClock {
    machines: Machines,
    /// What the time of day is off by, in microseconds.
    offset: AtomicI64,
    /// When this process's own clock began, so that no two agree.
    origin: Duration,
}

impl ProcessClock {
    pub(crate) fn new(machines: Machines, offset_micros: i64, origin: Duration) -> Self {
        Self { machines, offset: AtomicI64::new(offset_micros), origin }
    }

    /// Sets the time of day off by this much.
    pub(crate) fn jump_to(&self, offset_micros: i64) {
        self.offset.store(offset_micros, Ordering::Relaxed);
    }

    fn time_of_day(&self) -> Timestamp {
        let elapsed = i64::try_from(self.machines.elapsed().as_micros()).unwrap();
        Timestamp::from_micros(START_MICROS + elapsed + self.offset.load(Ordering::Relaxed))
    }
}

impl millstream_model::Clock for ProcessClock {
    fn now(&self) -> Timestamp {
        self.time_of_day()
    }

    fn elapsed(&self) -> Duration {
        self.origin + self.machines.elapsed()
    }
}

impl millstream_worker::Clock for ProcessClock {
    fn now(&self) -> Timestamp {
        self.time_of_day()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.machines.sleep(duration).boxed()
    }
}
