//! Which ticks are due, and what becomes of each.

use std::time::Duration;

use millstream_model::{CatchUp, HumanDuration, SkipReason, Timestamp};

use super::Timing;

/// A tick up to this late is on time: a daemon that restarts has missed nothing.
pub const ON_TIME: Duration = Duration::from_mins(1);

/// A tick up to this late is on time however short its deadline is: none comes in its very moment.
const ON_TIME_MIN: Duration = Duration::from_secs(5);

/// Ticks that one decision looks at; more wait for the next.
const TICKS_MAX: usize = 1_000;

/// Ticks that one decision lets fire.
const FIRES_MAX: usize = 100;

/// Ticks in a row that are not made up for, for one reason, and have a verdict each; more have one
/// together.
const MISSED_SHOWN: usize = 20;

/// When a tick that waits for runs to end is looked at again, though nobody has seen one end.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// What a schedule does about ticks that are late, or come while its runs are under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TickPolicy {
    /// What becomes of ticks whose time passed while nothing ran.
    pub catch_up: CatchUp,
    /// How late a tick may be and still fire.
    pub deadline: Option<HumanDuration>,
    /// How many runs may be under way; no limit when absent.
    pub max_active_runs: Option<u32>,
    /// How many are.
    pub active_runs: u32,
}

/// A tick that is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueTick {
    /// Its nominal time.
    pub nominal: Timestamp,
    /// What becomes of it.
    pub verdict: TickVerdict,
}

/// What becomes of a tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TickVerdict {
    /// It requests its runs.
    Fire,
    /// It requests nothing.
    Skip(SkipReason),
}

/// What becomes of a schedule now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The ticks, in the order of time.
    pub ticks: Vec<DueTick>,
    /// The nominal time of the last tick that is decided now or was before.
    pub cursor: Timestamp,
    /// When to look again; never, when absent.
    pub next_due: Option<Timestamp>,
    /// The limit that has the next tick wait until a run has ended, where it does.
    pub waits_for: Option<u32>,
}

/// Decides the ticks after `cursor` that are due at `now`.
pub fn decide(timing: &Timing, policy: &TickPolicy, cursor: Timestamp, now: Timestamp) -> Decided {
    let mut ticks = Vec::new();
    let mut at = cursor;
    let mut policy = *policy;
    let mut fires = 0;
    let mut next = timing.next_after(at);
    let (mut next_due, mut waits_for) = (None, None);
    while let Some(nominal) = next {
        if nominal > now || ticks.len() >= TICKS_MAX || fires >= FIRES_MAX {
            next_due = Some(nominal);
            break;
        }
        let Some(verdict) = verdict(timing, &policy, (nominal, now)) else {
            // Each tick is wanted, so this one waits until a run has ended.
            (next_due, waits_for) = (Some(now.after(LOOK_AGAIN)), policy.max_active_runs);
            break;
        };
        if verdict == TickVerdict::Fire {
            (policy.active_runs, fires) = (policy.active_runs.saturating_add(1), fires + 1);
        }
        ticks.push(DueTick { nominal, verdict });
        at = nominal;
        next = timing.next_after(at);
    }
    Decided { ticks: folded(&ticks), cursor: at, next_due, waits_for }
}

/// How many ticks after `cursor` are due at `now`, not decided and not too late by then, and the
/// time of the first; no more than `limit` are counted.
pub fn waiting(
    timing: &Timing,
    (cursor, deadline): (Timestamp, Option<HumanDuration>),
    (now, limit): (Timestamp, u32),
) -> Option<(u32, Timestamp)> {
    let from = in_time(cursor, deadline, now);
    let since = timing.next_fire(from).filter(|first| *first <= now)?;
    let due = timing.fires(from).take_while(|at| *at <= now);
    let count = due.take(usize::try_from(limit).unwrap_or(usize::MAX)).count();
    Some((u32::try_from(count).unwrap_or(u32::MAX), since))
}

/// After when the ticks come that are made up for at `now`: after `cursor`, without those that are
/// too late by then.
pub fn in_time(cursor: Timestamp, deadline: Option<HumanDuration>, now: Timestamp) -> Timestamp {
    let Some(deadline) = deadline else { return cursor };
    let first = now.before(latest(deadline));
    cursor.max(first.before(Duration::from_micros(1)))
}

/// How late a tick may be and still fire.
fn latest(deadline: HumanDuration) -> Duration {
    deadline.0.max(ON_TIME_MIN)
}

/// What becomes of a tick now; `None` where it waits until a run has ended.
pub(super) fn verdict(
    timing: &Timing,
    policy: &TickPolicy,
    (nominal, now): (Timestamp, Timestamp),
) -> Option<TickVerdict> {
    let verdict = judge(timing, policy, nominal, now);
    let active = policy.active_runs;
    match policy.max_active_runs {
        Some(limit) if verdict == TickVerdict::Fire && active >= limit => {
            let reason = SkipReason::Overlap { active, limit };
            (policy.catch_up != CatchUp::All).then_some(TickVerdict::Skip(reason))
        }
        _ => Some(verdict),
    }
}

fn judge(timing: &Timing, policy: &TickPolicy, nominal: Timestamp, now: Timestamp) -> TickVerdict {
    if let Some(by) = timing.excluded_by(nominal) {
        return TickVerdict::Skip(SkipReason::Excluded { by: by.to_owned() });
    }
    let late = now.since(nominal);
    if let Some(deadline) = policy.deadline
        && late > latest(deadline)
    {
        return TickVerdict::Skip(SkipReason::TooLate { deadline });
    }
    if late <= ON_TIME {
        return TickVerdict::Fire;
    }
    let made_up_for = match policy.catch_up {
        CatchUp::All => true,
        CatchUp::Last => timing.next_fire(nominal).is_none_or(|next| next > now),
        CatchUp::None => false,
    };
    if made_up_for {
        return TickVerdict::Fire;
    }
    TickVerdict::Skip(SkipReason::Missed { catch_up: policy.catch_up })
}

/// `ticks` with each long row of those that one rule does not make up for as one, at the nominal
/// time of its last.
fn folded(ticks: &[DueTick]) -> Vec<DueTick> {
    let mut kept: Vec<DueTick> = Vec::with_capacity(ticks.len());
    let alike = |a: &DueTick, b: &DueTick| lapsed(a).is_some() && a.verdict == b.verdict;
    for row in ticks.chunk_by(alike) {
        let ends = (row.first(), row.last());
        match ends {
            (Some(first), Some(last)) if row.len() > MISSED_SHOWN => {
                let count = u32::try_from(row.len()).unwrap_or(u32::MAX);
                let reason = lapsed(last).map(|lapsed| lapsed.many(count, first.nominal));
                let verdict = reason.map_or_else(|| last.verdict.clone(), TickVerdict::Skip);
                kept.push(DueTick { nominal: last.nominal, verdict });
            }
            _ => kept.extend_from_slice(row),
        }
    }
    kept
}

/// The rule that does not make up for a tick whose time has passed.
#[derive(Clone, Copy)]
enum Lapsed {
    CatchUp(CatchUp),
    Deadline(HumanDuration),
}

impl Lapsed {
    /// The reason of `count` ticks from `first` on together.
    fn many(self, count: u32, first: Timestamp) -> SkipReason {
        match self {
            Self::CatchUp(catch_up) => SkipReason::ManyMissed { count, first, catch_up },
            Self::Deadline(deadline) => SkipReason::ManyTooLate { count, first, deadline },
        }
    }
}

fn lapsed(tick: &DueTick) -> Option<Lapsed> {
    match &tick.verdict {
        TickVerdict::Skip(SkipReason::Missed { catch_up }) => Some(Lapsed::CatchUp(*catch_up)),
        TickVerdict::Skip(SkipReason::TooLate { deadline }) => Some(Lapsed::Deadline(*deadline)),
        _ => None,
    }
}
