//! What one step uses in a process that it shares: a fork of it, or its turn in a warm one.
//!
//! Whatever runs such a step asks it beside all else that can end the step. It only reads what the
//! kernel says, which never waits for a disk, and ends nothing itself.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use millstream_model::StepLimits;
use rustix::process::Pid;
use tokio::time::sleep;

use crate::supervisor::{Excess, Meter, cpu_time_of};

/// Hears of the process that a step's processes all descend from, once that is known.
#[derive(Debug, Clone, Default)]
pub(super) struct Leader(Arc<OnceLock<Pid>>);

impl Leader {
    /// It has this number. The first that is said is kept.
    pub(super) fn is(&self, pid: i32) {
        if let Some(pid) = Pid::from_raw(pid) {
            self.0.set(pid).ok();
        }
    }
}

/// The use of one step.
#[derive(Debug)]
pub(super) struct Gauge {
    leader: Leader,
    meter: Meter,
    /// The processor time that was used before the step.
    before: Duration,
    /// The step's, as far as that was asked.
    time: Duration,
}

impl Gauge {
    /// For a step that begins now with a process of its own, about which `leader` will hear.
    pub(super) fn of_fork(leader: Leader, limits: StepLimits) -> Self {
        let (before, time) = (Duration::ZERO, Duration::ZERO);
        Self { leader, meter: Meter::new(limits), before, time }
    }

    /// For a step that begins now in the process `pid`, which has run others and said that it has
    /// `used` this time.
    pub(super) fn of_turn(pid: i32, limits: StepLimits, used: Duration) -> Self {
        let leader = Leader::default();
        leader.is(pid);
        // To ask costs a tenth of a short step, so it is asked where it matters.
        let is_limited = limits.cpu_time.is_some();
        let before = leader.0.get().copied().filter(|_| is_limited).map_or(used, cpu_time_of);
        Self { leader, meter: Meter::new(limits).after(before), before, time: Duration::ZERO }
    }

    /// Waits until the step uses more than it may. Dropping the future and calling again is fine.
    pub(super) async fn exceeded(&mut self) -> Excess {
        loop {
            sleep(self.meter.wait()).await;
            let roots = self.leader.0.get().copied();
            if let Some(excess) = self.meter.look(roots.into_iter(), Duration::ZERO) {
                return excess;
            }
        }
    }

    /// Notes the processor time of the step until now: what is killed does not say it any more.
    pub(super) fn note_time(&mut self) {
        if let Some(leader) = self.leader.0.get() {
            self.time = self.time.max(cpu_time_of(*leader).saturating_sub(self.before));
        }
    }

    /// The processor time that was noted, in microseconds.
    pub(super) fn cpu_micros(&self) -> u64 {
        u64::try_from(self.time.as_micros()).unwrap_or(u64::MAX)
    }

    /// The most memory that was seen.
    pub(super) fn peak(&self) -> u64 {
        self.meter.peak()
    }
}
