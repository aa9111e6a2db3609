//! Which ticks of a schedule are due, what becomes of each, and when it is due next.
//!
//! Pure: [`decide`] maps the cursor (the nominal time of the last tick that was decided) and the
//! time to verdicts; `control::ticks` loads the one and stores the other. Time is only compared
//! with nominal times, so a clock that jumps forward makes ticks due and one that jumps back makes
//! none due again.
//!
//! **Invariant.** Verdicts come in the order of time, all after the cursor, and none is left out.
//! **Invariant.** The new cursor is the last decided tick's nominal time, never "now".

use std::time::Duration;

use millstream_model::cron::CronSchedule;
use millstream_model::{
    CatchUp, ContentHash, Day, DaySpan, Exclusion, HumanDuration, Manifest, ScheduleCron,
    ScheduleDef, SkipReason, TenantDef, Timestamp, Zone,
};

/// A tick up to this late is on time: a daemon that restarts has missed nothing.
pub const ON_TIME: Duration = Duration::from_mins(1);

/// Ticks that one decision looks at; more wait for the next.
const TICKS_MAX: usize = 1_000;

/// Ticks that one decision lets fire.
const FIRES_MAX: usize = 100;

/// Missed ticks in a row that have a verdict each; more have one together.
const MISSED_SHOWN: usize = 20;

/// Excluded days in a row that are looked beyond.
const EXCLUDED_MAX: usize = 4_000;

/// When a tick that waits for runs to end is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// When a schedule is due: its expression, zone, bounds and exclusions, all checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Timing {
    cron: CronSchedule,
    zone: Zone,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    excluded: Vec<(String, DaySpan)>,
    hash: ContentHash,
}

/// What a schedule does about ticks that are late, or come while its runs are under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TickPolicy {
    /// What becomes of ticks whose time passed while nothing ran.
    pub catch_up: CatchUp,
    /// How old a tick may be and still be made up for.
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
}

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

impl Timing {
    /// The timing of `def` in a tenant; `None` when that tenant has no schedule of its own.
    pub fn of(
        def: &ScheduleDef,
        tenant: &TenantDef,
        manifest: &Manifest,
    ) -> Result<Option<Self>, String> {
        let cron = match (&def.cron, &tenant.schedule) {
            (ScheduleCron::Text(text), _) | (ScheduleCron::OfTenant, Some(text)) => text,
            (ScheduleCron::OfTenant, None) => return Ok(None),
        };
        let cron = CronSchedule::parse(cron).map_err(|error| error.to_string())?;
        let zone: Zone = def.timezone.parse().map_err(|error| format!("{error}"))?;
        let start = def.start.as_deref().map(|text| instant(text, &zone)).transpose()?;
        let end = def.end.as_deref().map(|text| instant(text, &zone)).transpose()?;
        let mut excluded = Vec::new();
        for exclusion in &def.exclude {
            match exclusion {
                Exclusion::Days(span) => excluded.push((span.to_string(), *span)),
                Exclusion::Calendar(name) => {
                    let spans = manifest.calendars.get(name).into_iter().flatten();
                    excluded.extend(spans.map(|span| (format!("calendar {name}"), *span)));
                }
            }
        }
        let days: Vec<String> = excluded.iter().map(|(_, span)| span.to_string()).collect();
        let identity = (cron.as_str(), zone.to_string(), &def.start, &def.end, days);
        let hash = ContentHash::of(format!("{identity:?}").as_bytes());
        Ok(Some(Self { cron, zone, start, end, excluded, hash }))
    }

    /// What changes when the timing does.
    pub fn hash(&self) -> &ContentHash {
        &self.hash
    }

    /// The zone whose clock it reads.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The expression, as written.
    pub fn cron(&self) -> &str {
        self.cron.as_str()
    }

    /// The first nominal time after `after`, on excluded days too.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let before_start =
            self.start.map(|start| Timestamp::from_micros(start.as_micros().saturating_sub(1)));
        let from = before_start.map_or(after, |start| start.max(after));
        let next = self.cron.next_after(from, &self.zone)?;
        (self.end.is_none_or(|end| next < end)).then_some(next)
    }

    /// The first nominal time after `after` that is not excluded.
    pub fn next_fire(&self, after: Timestamp) -> Option<Timestamp> {
        let mut after = after;
        for _ in 0..EXCLUDED_MAX {
            let next = self.next_after(after)?;
            if self.excluded_by(next).is_none() {
                return Some(next);
            }
            after = self.end_of_day(next).unwrap_or(next);
        }
        None
    }

    /// The next `count` nominal times after `after` that are not excluded.
    pub fn upcoming(&self, after: Timestamp, count: usize) -> Vec<Timestamp> {
        std::iter::successors(self.next_fire(after), |at| self.next_fire(*at)).take(count).collect()
    }

    /// What excludes the day of `at`, if anything does.
    pub fn excluded_by(&self, at: Timestamp) -> Option<&str> {
        let day = Day::from(self.local(at).date());
        let found = self.excluded.iter().find(|(_, span)| span.contains(day));
        found.map(|(by, _)| by.as_str())
    }

    /// `at` on the clock of the zone.
    pub fn local(&self, at: Timestamp) -> jiff::Zoned {
        at.to_jiff().to_zoned(self.zone.as_jiff().clone())
    }

    /// The last microsecond of the day of `at`.
    fn end_of_day(&self, at: Timestamp) -> Option<Timestamp> {
        let end = self.local(at).end_of_day().ok()?;
        Some(Timestamp::from(end.timestamp())).filter(|end| *end > at)
    }
}

/// A local date, or date and time, of a definition.
fn instant(text: &str, zone: &Zone) -> Result<Timestamp, String> {
    let fail = || format!("{text:?} is no date or time; write it like `2026-01-31`");
    Timestamp::at_local(text, zone).ok_or_else(fail)
}

/// Decides the ticks after `cursor` that are due at `now`.
pub fn decide(timing: &Timing, policy: &TickPolicy, cursor: Timestamp, now: Timestamp) -> Decided {
    let mut ticks = Vec::new();
    let mut at = cursor;
    let mut active = policy.active_runs;
    let mut fires = 0;
    let mut next = timing.next_after(at);
    let mut next_due = None;
    while let Some(nominal) = next {
        if nominal > now || ticks.len() >= TICKS_MAX || fires >= FIRES_MAX {
            next_due = Some(nominal);
            break;
        }
        let mut verdict = judge(timing, policy, nominal, now);
        if verdict == TickVerdict::Fire {
            match policy.max_active_runs {
                Some(_) if policy.catch_up == CatchUp::All && is_full(policy, active) => {
                    // Each tick is wanted, so this one waits until a run has ended.
                    next_due = Some(now.after(LOOK_AGAIN));
                    break;
                }
                Some(limit) if is_full(policy, active) => {
                    verdict = TickVerdict::Skip(SkipReason::Overlap { active, limit });
                }
                _ => (active, fires) = (active.saturating_add(1), fires + 1),
            }
        }
        ticks.push(DueTick { nominal, verdict });
        at = nominal;
        next = timing.next_after(at);
    }
    Decided { ticks: folded(&ticks), cursor: at, next_due }
}

fn is_full(policy: &TickPolicy, active: u32) -> bool {
    policy.max_active_runs.is_some_and(|limit| active >= limit)
}

fn judge(timing: &Timing, policy: &TickPolicy, nominal: Timestamp, now: Timestamp) -> TickVerdict {
    if let Some(by) = timing.excluded_by(nominal) {
        return TickVerdict::Skip(SkipReason::Excluded { by: by.to_owned() });
    }
    let late = now.since(nominal);
    if let Some(deadline) = policy.deadline
        && late > deadline.0
    {
        return TickVerdict::Skip(SkipReason::TooLate { deadline });
    }
    let made_up_for = match policy.catch_up {
        CatchUp::All => true,
        CatchUp::Last => timing.next_fire(nominal).is_none_or(|next| next > now),
        CatchUp::None => false,
    };
    if late <= ON_TIME || made_up_for {
        return TickVerdict::Fire;
    }
    TickVerdict::Skip(SkipReason::Missed { catch_up: policy.catch_up })
}

/// `ticks` with each long row of missed ones as one, at the nominal time of its last.
fn folded(ticks: &[DueTick]) -> Vec<DueTick> {
    let mut kept: Vec<DueTick> = Vec::with_capacity(ticks.len());
    for row in ticks.chunk_by(|a, b| missed(a).is_some() && missed(b).is_some()) {
        let ends = (row.first(), row.last());
        match ends {
            (Some(first), Some(last)) if row.len() > MISSED_SHOWN => {
                let catch_up = missed(last).unwrap_or_default();
                let count = u32::try_from(row.len()).unwrap_or(u32::MAX);
                let reason = SkipReason::ManyMissed { count, first: first.nominal, catch_up };
                kept.push(DueTick { nominal: last.nominal, verdict: TickVerdict::Skip(reason) });
            }
            _ => kept.extend_from_slice(row),
        }
    }
    kept
}

fn missed(tick: &DueTick) -> Option<CatchUp> {
    match &tick.verdict {
        TickVerdict::Skip(SkipReason::Missed { catch_up }) => Some(*catch_up),
        _ => None,
    }
}

/// Where a schedule stands once its definition or its switch was looked at; `None` when it stands
/// there already.
///
/// An edited timing begins anew at `now`: what passed is never fired by the new rule. So does one
/// that is started, unless it makes up for everything.
pub fn adopt(
    timing: &Timing,
    known: Option<&Standing>,
    is_on: bool,
    (catch_up, now): (CatchUp, Timestamp),
) -> Option<(Standing, Option<Timestamp>)> {
    let cursor = match known {
        None => now,
        Some(known) if known.timing != timing.hash => now.max(known.cursor),
        Some(known) if known.is_on == is_on => return None,
        Some(known) if is_on && catch_up != CatchUp::All => now.max(known.cursor),
        Some(known) => known.cursor,
    };
    let next_due = if is_on { timing.next_after(cursor) } else { None };
    Some((Standing { cursor, timing: timing.hash.clone(), is_on }, next_due))
}

#[cfg(test)]
mod tests;
