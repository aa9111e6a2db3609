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
    measure: Measure,
}

/// What durations are measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    /// A clock that only goes forward.
    OwnClock,
    /// The time of day: a mistake, planted to be found.
    TimeOfDay,
}

/// More than a time of day is ever set back.
const DAY_MICROS: i64 = 86_400_000_000;

impl ProcessClock {
    pub(crate) fn new(machines: Machines, offset_micros: i64, origin: Duration) -> Self {
        let (offset, measure) = (AtomicI64::new(offset_micros), Measure::OwnClock);
        Self { machines, offset, origin, measure }
    }

    /// The same clocks, by which durations are measured so.
    pub(crate) fn measuring_by(self, measure: Measure) -> Self {
        Self { measure, ..self }
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
        match self.measure {
            Measure::OwnClock => self.origin + self.machines.elapsed(),
            Measure::TimeOfDay => {
                let since = self.time_of_day().as_micros() - START_MICROS + DAY_MICROS;
                Duration::from_micros(u64::try_from(since).unwrap())
            }
        }
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
