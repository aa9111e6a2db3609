//! What the processes of one step use, looked at again and again while they run.
//!
//! The supervisor asks it about processes of its own, and the worker about steps that share one.
//!
//! Memory is sampled: every 20 ms to 250 ms where it is limited, the more often the nearer to the
//! limit it is, and once a second where it is only measured.

use std::time::Duration;

use millstream_model::{ByteSize, HumanDuration, StepLimits};
use rustix::process::Pid;

use super::kernel;
use super::protocol::Excess;

/// Before the first look, and the second; it doubles from there.
const PAUSE_FIRST: Duration = Duration::from_millis(50);

/// The longest time between two looks while a limit holds.
const PAUSE_LIMITED: Duration = Duration::from_millis(250);

/// The longest time between two looks at a step without limits.
const PAUSE_FREE: Duration = Duration::from_secs(1);

/// The time between two looks when more than half of the memory is used.
const PAUSE_NEAR: Duration = Duration::from_millis(20);

/// The use of one step's processes.
#[derive(Debug)]
pub(crate) struct Meter {
    limits: StepLimits,
    /// The processor time that was used before the step.
    before: Duration,
    peak: u64,
    pause: Duration,
    wait: Duration,
    family: Vec<Pid>,
}

impl Meter {
    /// A meter for processes that start now.
    pub(crate) fn new(limits: StepLimits) -> Self {
        let (before, wait) = (Duration::ZERO, PAUSE_FIRST);
        Self { limits, before, peak: 0, pause: PAUSE_FIRST, wait, family: Vec::new() }
    }

    /// The same for processes that have used the time `before` for somebody else.
    pub(crate) fn after(self, before: Duration) -> Self {
        Self { before, ..self }
    }

    /// How long after the last look it is to look again.
    pub(crate) fn wait(&self) -> Duration {
        self.wait
    }

    /// The most memory that was seen.
    pub(crate) fn peak(&self) -> u64 {
        self.peak
    }

    /// The processes that were there at the last look.
    pub(super) fn family(&self) -> &[Pid] {
        &self.family
    }

    /// Looks at `roots` and their descendants; `reaped` is the time of those that are gone.
    pub(crate) fn look(
        &mut self,
        roots: impl Iterator<Item = Pid>,
        reaped: Duration,
    ) -> Option<Excess> {
        self.family = kernel::family(roots);
        let mut memory = self.family.iter().map(|pid| kernel::memory(*pid)).sum();
        let limit = self.limits.memory.map(|ByteSize(limit)| limit);
        if limit.is_some_and(|limit| memory > limit) && self.family.len() > 1 {
            // What forked processes share was counted once for each of them.
            memory = kernel::memory_shared_fairly(&self.family).min(memory);
        }
        self.peak = self.peak.max(memory);
        self.plan_next(memory);
        if let Some(limit) = limit
            && memory > limit
        {
            return Some(Excess::Memory { limit: ByteSize(limit), peak: ByteSize(self.peak) });
        }
        self.too_many().or_else(|| self.too_long(reaped))
    }

    fn plan_next(&mut self, memory: u64) {
        let is_near = self.limits.memory.is_some_and(|limit| memory > limit.0 / 2);
        let longest = if self.limits.is_none() { PAUSE_FREE } else { PAUSE_LIMITED };
        self.wait = if is_near { PAUSE_NEAR } else { self.pause };
        self.pause = (self.wait * 2).min(longest);
    }

    fn too_many(&self) -> Option<Excess> {
        let limit = self.limits.processes?;
        let count = u32::try_from(self.family.len()).unwrap_or(u32::MAX);
        (count > limit).then_some(Excess::Processes { limit, count })
    }

    fn too_long(&self, reaped: Duration) -> Option<Excess> {
        let limit = self.limits.cpu_time?;
        let all = self.family.iter().map(|pid| kernel::cpu_time(*pid)).sum::<Duration>() + reaped;
        let used = all.saturating_sub(self.before);
        (used > limit.0).then_some(Excess::CpuTime { limit, used: HumanDuration(used) })
    }
}

/// The processor time that `root` and its descendants have used until now.
pub(crate) fn cpu_time_of(root: Pid) -> Duration {
    kernel::family([root].into_iter()).into_iter().map(kernel::cpu_time).sum()
}
