//! Checks ticks against what should have ticked, as Jepsen checked Chronos: every target is matched
//! to a distinct launch.
//!
//! A target is a nominal time that a schedule must have launched for; a launch names the nominal
//! time it stands for. The checker knows nothing of how either came about.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What a schedule should have done, and what it did; times in microseconds.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// The nominal times that must have been launched for.
    pub targets: BTreeSet<i64>,
    /// Every launch, as (nominal time, time of the launch).
    pub launches: Vec<(i64, i64)>,
}

/// What is wrong with the ticks of some schedules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TickVerdict {
    /// Targets in all.
    pub targets: usize,
    /// Targets without a launch.
    pub missed: usize,
    /// Launches beyond the first of their target.
    pub doubled: usize,
    /// Launches of what was no target.
    pub extra: usize,
    /// Targets whose launch came later than allowed.
    pub late: usize,
    /// Times at which more runs were under way than a schedule allows.
    pub over: usize,
    /// Targets that waited for room and were launched when there was some, as they should.
    pub waited: usize,
    /// The first wrong ones, in words.
    pub examples: Vec<String>,
}

impl TickVerdict {
    /// Whether every target has exactly one launch, in time.
    pub fn is_valid(&self) -> bool {
        self.missed + self.doubled + self.extra + self.late + self.over == 0
    }

    /// Adds what was found elsewhere.
    pub fn add(&mut self, other: Self) {
        self.targets += other.targets;
        self.missed += other.missed;
        self.doubled += other.doubled;
        self.extra += other.extra;
        self.late += other.late;
        self.over += other.over;
        self.waited += other.waited;
        other.examples.into_iter().for_each(|example| self.note(example));
    }

    pub(crate) fn note(&mut self, example: String) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(example);
        }
    }
}

impl fmt::Display for TickVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ticks, {} of which waited: {} missed, {} double, {} extra, {} late, {} over limits",
            self.targets, self.waited, self.missed, self.doubled, self.extra, self.late, self.over
        )?;
        for example in &self.examples {
            write!(f, "; {example}")?;
        }
        Ok(())
    }
}

/// Matches the launches of every schedule to its targets. A launch is late when it comes after
/// `allowed` says for its target.
pub fn check_ticks<'a>(
    schedules: impl IntoIterator<Item = (&'a str, &'a Observed)>,
    allowed: impl Fn(i64) -> i64,
) -> TickVerdict {
    let mut verdict = TickVerdict::default();
    for (name, observed) in schedules {
        verdict.targets += observed.targets.len();
        let mut by_target: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for (nominal, at) in &observed.launches {
            by_target.entry(*nominal).or_default().push(*at);
        }
        for target in &observed.targets {
            let Some(first) = by_target.get(target).and_then(|times| times.iter().min()) else {
                verdict.missed += 1;
                verdict.note(format!("missed {name} at {target}"));
                continue;
            };
            if *first > allowed(*target) {
                verdict.late += 1;
                verdict.note(format!("late {name} at {target}: {first}"));
            }
        }
        for (nominal, times) in &by_target {
            if !observed.targets.contains(nominal) {
                verdict.extra += times.len();
                verdict.note(format!("extra {name} at {nominal}"));
            } else if times.len() > 1 {
                verdict.doubled += times.len() - 1;
                verdict.note(format!("double {name} at {nominal}"));
            }
        }
    }
    verdict
}

/// Examples that are kept.
const EXAMPLES_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(launches: &[(i64, i64)]) -> TickVerdict {
        let observed = Observed { targets: [10, 20, 30].into(), launches: launches.to_vec() };
        check_ticks([("it", &observed)], |target| target + 5)
    }

    #[test]
    fn each_target_with_one_launch_in_time_is_valid() {
        assert!(verdict(&[(10, 10), (20, 25), (30, 31)]).is_valid());
    }

    #[test]
    fn a_missed_a_double_an_extra_and_a_late_one_are_told_apart() {
        assert_eq!(verdict(&[(10, 10), (30, 30)]).missed, 1);
        assert_eq!(verdict(&[(10, 10), (20, 20), (20, 21), (30, 30)]).doubled, 1);
        assert_eq!(verdict(&[(10, 10), (15, 15), (20, 20), (30, 30)]).extra, 1);
        assert_eq!(verdict(&[(10, 10), (20, 26), (30, 30)]).late, 1);
    }
}
