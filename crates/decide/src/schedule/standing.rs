//! Where a schedule stands once its definition or its switch was looked at.

use std::collections::BTreeMap;

use millstream_model::{CatchUp, ContentHash, SkipReason, Timestamp};

use super::Timing;
use super::due::LOOK_AGAIN;

/// Where a schedule stands: what is stored of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The nominal time of the last decided tick, or when it was first seen, edited or started.
    pub cursor: Timestamp,
    /// The timing that the cursor belongs to.
    pub timing: ContentHash,
    /// Whether it ticks.
    pub is_on: bool,
}

/// What somebody saw who looked at a schedule's definition and switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Whether it ticks.
    pub is_on: bool,
    /// What becomes of ticks whose time passed while nothing ran.
    pub catch_up: CatchUp,
    /// When.
    pub now: Timestamp,
}

/// Where a schedule stands once its definition or its switch was looked at; `None` when it stands
/// there already.
///
/// An edited timing begins anew at `now`: what passed is never fired by the new rule. So does one
/// that is started, unless it makes up for everything.
pub fn adopt(
    timing: &Timing,
    known: Option<&Standing>,
    looked: Look,
) -> Option<(Standing, Option<Timestamp>)> {
    let Look { is_on, catch_up, now } = looked;
    let cursor = match known {
        None => now,
        Some(known) if known.timing != *timing.hash() => now.max(known.cursor),
        Some(known) if known.is_on == is_on => return None,
        Some(known) if is_on && catch_up != CatchUp::All => now.max(known.cursor),
        Some(known) => known.cursor,
    };
    let next_due = if is_on { timing.next_after(cursor) } else { None };
    Some((Standing { cursor, timing: timing.hash().clone(), is_on }, next_due))
}

/// Ticks that were due and that nobody decides any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lapsed {
    /// How many, at most [`SkipReason::RETIMED_MAX`].
    pub count: u32,
    /// The nominal time of the first.
    pub first: Timestamp,
    /// The nominal time of the last that is counted.
    pub last: Timestamp,
}

/// The ticks that lapse of many schedules: of those that stand alike, as one schedule in many
/// tenants, they are counted once.
#[derive(Debug, Default)]
pub struct LapsedTicks(pub(super) BTreeMap<(ContentHash, Timestamp, Timestamp), Option<Lapsed>>);

impl LapsedTicks {
    /// The ticks after `cursor` that were due at `now` by the timing `old`, which is edited: the
    /// new one begins at `now`.
    pub fn of(&mut self, old: &Timing, cursor: Timestamp, now: Timestamp) -> Option<Lapsed> {
        let counted = self.0.entry((old.hash().clone(), cursor, now));
        *counted.or_insert_with(|| lapsed(old, cursor, now))
    }
}

fn lapsed(old: &Timing, cursor: Timestamp, now: Timestamp) -> Option<Lapsed> {
    let max = usize::try_from(SkipReason::RETIMED_MAX).unwrap_or(usize::MAX);
    let due = old.fires(cursor).take_while(|at| *at <= now).take(max);
    due.fold(None, |lapsed, at| match lapsed {
        None => Some(Lapsed { count: 1, first: at, last: at }),
        Some(Lapsed { count, first, .. }) => Some(Lapsed { count: count + 1, first, last: at }),
    })
}

/// When to look at a schedule that is on, where the time stored for that is later than it can be: a
/// clock that was ahead has stored it. `None` where what is stored may stay.
pub fn brought_forward(
    timing: &Timing,
    (cursor, next_due): (Timestamp, Timestamp),
    now: Timestamp,
) -> Option<Timestamp> {
    let next = timing.next_after(cursor)?.max(now);
    (next_due > next.after(LOOK_AGAIN)).then_some(next)
}
