//! What an attempt at a step may use, and what it has used.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{ByteSize, HumanDuration};

/// What an attempt's processes may use together; whatever is absent has no limit of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StepLimits {
    /// The memory of all its processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<ByteSize>,
    /// The cores that it may run on at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u32>,
    /// The processor time of all its processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_time: Option<HumanDuration>,
    /// How many processes it may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<u32>,
    /// How many files each of its processes may hold open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u32>,
}

impl StepLimits {
    /// No limit at all.
    pub const NONE: Self =
        Self { memory: None, cpu: None, cpu_time: None, processes: None, open_files: None };

    /// Whether nothing is limited.
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// These limits, and those of `defaults` where there is none.
    #[must_use]
    pub fn or(self, defaults: Self) -> Self {
        Self {
            memory: self.memory.or(defaults.memory),
            cpu: self.cpu.or(defaults.cpu),
            cpu_time: self.cpu_time.or(defaults.cpu_time),
            processes: self.processes.or(defaults.processes),
            open_files: self.open_files.or(defaults.open_files),
        }
    }
}

/// What an attempt's processes have used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StepUsage {
    /// Processor time, in user and system mode together.
    pub cpu_micros: u64,
    /// The most memory that they held at once, as far as it was seen; 0 when they were too short.
    #[serde(default)]
    pub peak_memory_bytes: u64,
    /// Output that is not in the logs: beyond their largest size, or refused by the disk.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub output_dropped_bytes: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl StepUsage {
    /// The processor time.
    pub fn cpu(&self) -> Duration {
        Duration::from_micros(self.cpu_micros)
    }

    /// What this and `next`, which came after it, used together.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        Self {
            cpu_micros: self.cpu_micros.saturating_add(next.cpu_micros),
            peak_memory_bytes: self.peak_memory_bytes.max(next.peak_memory_bytes),
            output_dropped_bytes: self
                .output_dropped_bytes
                .saturating_add(next.output_dropped_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_its_own_wins_over_a_default_and_the_rest_is_taken_over() {
        let own = StepLimits { memory: Some(ByteSize(5)), ..StepLimits::NONE };
        let defaults =
            StepLimits { memory: Some(ByteSize(9)), processes: Some(3), ..StepLimits::NONE };
        let both = own.or(defaults);
        assert_eq!((both.memory, both.processes, both.cpu), (Some(ByteSize(5)), Some(3), None));
    }

    #[test]
    fn usage_adds_time_and_keeps_the_higher_peak() {
        let one = StepUsage { cpu_micros: 5, peak_memory_bytes: 70, output_dropped_bytes: 0 };
        let two = StepUsage { cpu_micros: 6, peak_memory_bytes: 50, output_dropped_bytes: 1 };
        let both = StepUsage { cpu_micros: 11, peak_memory_bytes: 70, output_dropped_bytes: 1 };
        assert_eq!(one.then(two), both);
    }
}
