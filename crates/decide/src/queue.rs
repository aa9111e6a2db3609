//! Which queued runs may start now.
//!
//! Pure: [`decide`] maps a [`QueueSnapshot`] to one [`Verdict`] per queued run. It never reads the
//! store or a clock; `control::queue` loads the snapshot and carries the verdicts out.
//!
//! **Invariant.** Launching never takes the runs in progress above `limits.max_in_progress`.
//! **Invariant.** Deciding twice on one snapshot gives the same verdicts.

use millstream_model::{HoldReason, RunId, TenantId};

/// The head of the queue and what is known about the places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSnapshot {
    /// The queued runs, in any order.
    pub queued: Vec<QueuedRun>,
    /// How many runs hold a place.
    pub in_progress: u32,
    /// The limits.
    pub limits: QueueLimits,
}

/// A run that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedRun {
    /// The tenant.
    pub tenant: TenantId,
    /// The run.
    pub run: RunId,
    /// Higher goes first.
    pub priority: i64,
}

/// What limits the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// How many runs may be in progress at once; no limit when `None`.
    pub max_in_progress: Option<u32>,
}

/// What becomes of a queued run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may start.
    Launch(TenantId, RunId),
    /// It waits, for this reason.
    Hold(TenantId, RunId, HoldReason),
}

/// Decides every queued run, highest priority first; ties go to the older id, so the order is
/// total.
pub fn decide(snapshot: &QueueSnapshot) -> Vec<Verdict> {
    let mut queued: Vec<&QueuedRun> = snapshot.queued.iter().collect();
    queued.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.run.cmp(&b.run)));

    let limit = snapshot.limits.max_in_progress.unwrap_or(u32::MAX);
    let mut free = limit.saturating_sub(snapshot.in_progress);
    let mut place = 0;
    queued
        .into_iter()
        .map(|run| {
            if free > 0 {
                free -= 1;
                return Verdict::Launch(run.tenant.clone(), run.run);
            }
            place += 1;
            let reason = HoldReason::NoFreeSlot { limit, place };
            Verdict::Hold(run.tenant.clone(), run.run, reason)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use millstream_model::Timestamp;

    use super::*;

    fn run(number: u8, priority: i64) -> QueuedRun {
        let run = RunId::new(Timestamp::from_micros(i64::from(number) * 1_000), [number; 10]);
        QueuedRun { tenant: TenantId::default_tenant(), run, priority }
    }

    fn launched(verdicts: &[Verdict]) -> Vec<RunId> {
        verdicts
            .iter()
            .filter_map(|verdict| match verdict {
                Verdict::Launch(_, run) => Some(*run),
                Verdict::Hold(..) => None,
            })
            .collect()
    }

    #[test]
    fn r014_the_free_places_go_to_the_highest_priority_and_then_to_the_oldest() {
        let snapshot = QueueSnapshot {
            queued: vec![run(1, 0), run(2, 0), run(3, 5)],
            in_progress: 1,
            limits: QueueLimits { max_in_progress: Some(3) },
        };
        assert_eq!(launched(&decide(&snapshot)), [run(3, 5).run, run(1, 0).run]);
    }

    #[test]
    fn r014_a_run_that_waits_knows_its_place_and_the_limit() {
        let snapshot = QueueSnapshot {
            queued: vec![run(1, 0), run(2, 0)],
            in_progress: 35,
            limits: QueueLimits { max_in_progress: Some(35) },
        };
        let verdicts = decide(&snapshot);
        let reason = HoldReason::NoFreeSlot { limit: 35, place: 2 };
        assert_eq!(verdicts[1], Verdict::Hold(TenantId::default_tenant(), run(2, 0).run, reason));
    }

    #[test]
    fn without_a_limit_everything_starts() {
        let queued: Vec<QueuedRun> = (0..100).map(|number| run(number, 0)).collect();
        let snapshot = QueueSnapshot {
            queued,
            in_progress: 1_000,
            limits: QueueLimits { max_in_progress: None },
        };
        assert_eq!(launched(&decide(&snapshot)).len(), 100);
    }
}
