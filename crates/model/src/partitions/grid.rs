//! Where windows of time begin: the boundaries of a cadence on the clock of a zone.
//!
//! **Invariant.** Windows tile time: `next_start` of a window's start is the start of the next, and
//! `start_at` of any instant within gives the same start. Changes of the clock make a window longer
//! or shorter, or leave it out where its whole day does not exist; they never open a gap.
//! **Invariant.** A window's slot never moves and never belongs to two windows. It counts hours,
//! days, weeks, months or (for cron) minutes from 1970, so some slots may stay empty.

use jiff::civil::{Date, Time, date};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan};

use super::Cadence;
use crate::cron::{CronSchedule, CronScheduleError};
use crate::{Timestamp, Zone};

const HOUR: i64 = 3_600_000_000;
const MINUTE: i64 = 60_000_000;

/// The windows of one cadence in one zone, from the first year to the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) steps: Steps,
    pub(super) zone: Zone,
}

/// How windows follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Steps {
    Hours,
    Days(Period),
    Cron(Box<CronSchedule>),
}

/// A number of days that has a first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Period {
    Day,
    Week,
    Month,
}

impl Steps {
    pub(super) fn of(cadence: &Cadence) -> Result<Self, CronScheduleError> {
        Ok(match cadence {
            Cadence::Hourly => Self::Hours,
            Cadence::Daily => Self::Days(Period::Day),
            Cadence::Weekly => Self::Days(Period::Week),
            Cadence::Monthly => Self::Days(Period::Month),
            Cadence::Cron(text) => Self::Cron(Box::new(CronSchedule::parse(text)?)),
        })
    }
}

impl Grid {
    /// The start of the window that holds `at`.
    pub(super) fn start_at(&self, at: Timestamp) -> Option<Timestamp> {
        match &self.steps {
            Steps::Hours => self.hour_until(at),
            Steps::Cron(cron) => cron.last_until(at, &self.zone),
            Steps::Days(period) => {
                let first = period.first_day(self.local_date(at));
                // A clock set back over midnight shows an earlier date again in the later day.
                let after = self.start_of(period.next(first)?)?;
                if after <= at {
                    return Some(after);
                }
                let start = self.start_of(first)?;
                if start <= at {
                    return Some(start);
                }
                self.start_of(period.first_day(first.yesterday().ok()?))
            }
        }
    }

    /// The first start of a window after `at`, exclusive.
    pub(super) fn next_start(&self, at: Timestamp) -> Option<Timestamp> {
        match &self.steps {
            Steps::Hours => self.hour_after(at),
            Steps::Cron(cron) => cron.next_after(at, &self.zone),
            Steps::Days(period) => {
                let mut first = self.first_day_of(self.start_at(at)?, *period);
                loop {
                    // A day that a zone left out starts with the one that follows it.
                    first = period.next(first)?;
                    let start = self.start_of(first)?;
                    if start > at {
                        return Some(start);
                    }
                }
            }
        }
    }

    /// The slot of the window that begins at `start`.
    pub(super) fn slot_of(&self, start: Timestamp) -> i64 {
        match &self.steps {
            Steps::Hours => start.as_micros().div_euclid(HOUR),
            Steps::Cron(_) => start.as_micros().div_euclid(MINUTE),
            Steps::Days(period) => period.number(self.first_day_of(start, *period)),
        }
    }

    /// The start of the window with this slot, if one has it.
    pub(super) fn start_of_slot(&self, slot: i64) -> Option<Timestamp> {
        let start = match &self.steps {
            Steps::Hours => self.start_at(end_of(slot, HOUR)?)?,
            Steps::Cron(_) => self.start_at(end_of(slot, MINUTE)?)?,
            Steps::Days(period) => self.start_of(period.day(slot)?)?,
        };
        (self.slot_of(start) == slot).then_some(start)
    }

    /// The first day of the window that begins at `start`.
    pub(super) fn first_day_of(&self, start: Timestamp, period: Period) -> Date {
        period.first_day(self.local_date(start))
    }

    /// The instant at which the day begins, or the next one where the clock leaves it out.
    pub(super) fn start_of(&self, day: Date) -> Option<Timestamp> {
        let zoned = day.to_zoned(self.tz().clone()).ok()?;
        // Where the clock jumps over midnight, the day begins with the jump; of a midnight that
        // comes twice this is the first.
        let start = if zoned.date() == day && zoned.time() != Time::midnight() {
            zoned.start_of_day().ok()?
        } else {
            zoned
        };
        Some(Timestamp::from(start.timestamp()))
    }

    fn local_date(&self, at: Timestamp) -> Date {
        self.tz().to_datetime(at.to_jiff()).date()
    }

    fn tz(&self) -> &TimeZone {
        self.zone.as_jiff()
    }

    /// The last full hour of the local clock that is not after `at`.
    fn hour_until(&self, at: Timestamp) -> Option<Timestamp> {
        let mut at = at.to_jiff();
        loop {
            let candidate = at.checked_sub(self.past_hour(at)).ok()?;
            // Just after `at`, because a change at this very instant counts.
            let probe = at.checked_add(SignedDuration::from_micros(1)).ok()?;
            match self.tz().preceding(probe).next() {
                Some(change) if change.timestamp() > candidate => {
                    at = change.timestamp().checked_sub(SignedDuration::from_micros(1)).ok()?;
                }
                _ => return Some(Timestamp::from(candidate)),
            }
        }
    }

    /// The first full hour of the local clock after `at`.
    fn hour_after(&self, at: Timestamp) -> Option<Timestamp> {
        let mut at = at.to_jiff();
        loop {
            let left = SignedDuration::from_hours(1) - self.past_hour(at);
            let candidate = at.checked_add(left).ok()?;
            match self.tz().following(at).next() {
                Some(change) if change.timestamp() <= candidate => {
                    at = change.timestamp();
                    if self.past_hour(at).is_zero() {
                        return Some(Timestamp::from(at));
                    }
                }
                _ => return Some(Timestamp::from(candidate)),
            }
        }
    }

    /// The time since the local clock last showed a full hour, were it never set.
    fn past_hour(&self, at: jiff::Timestamp) -> SignedDuration {
        let local = at.as_microsecond() + i64::from(self.tz().to_offset(at).seconds()) * 1_000_000;
        SignedDuration::from_micros(local.rem_euclid(HOUR))
    }
}

/// The last instant of a slot of `length`.
fn end_of(slot: i64, length: i64) -> Option<Timestamp> {
    let end = slot.checked_add(1)?.checked_mul(length)?.checked_sub(1)?;
    let held = Timestamp::from_micros(end);
    (held.as_micros() == end).then_some(held)
}

const EPOCH: Date = date(1970, 1, 1);

/// The Monday of the week that holds the epoch.
const EPOCH_MONDAY: Date = date(1969, 12, 29);

impl Period {
    /// The first day of the period that holds `day`.
    fn first_day(self, day: Date) -> Date {
        match self {
            Self::Day => day,
            Self::Week => {
                let past = i64::from(day.weekday().to_monday_zero_offset());
                day.saturating_sub(past.days())
            }
            Self::Month => day.first_of_month(),
        }
    }

    /// The first day of the period after the one that begins with `first`.
    fn next(self, first: Date) -> Option<Date> {
        let span = match self {
            Self::Day => 1.day(),
            Self::Week => 1.week(),
            Self::Month => 1.month(),
        };
        first.checked_add(span).ok()
    }

    /// How many periods `first` begins after the one that holds the epoch.
    fn number(self, first: Date) -> i64 {
        let days = |from: Date| first.duration_since(from).as_hours() / 24;
        match self {
            Self::Day => days(EPOCH),
            Self::Week => days(EPOCH_MONDAY).div_euclid(7),
            Self::Month => (i64::from(first.year()) - 1970) * 12 + i64::from(first.month()) - 1,
        }
    }

    /// The first day of the period with this number.
    fn day(self, number: i64) -> Option<Date> {
        // Beyond this no calendar of ours reaches, and spans refuse larger numbers.
        if number.unsigned_abs() > 4_000_000 {
            return None;
        }
        match self {
            Self::Day => EPOCH.checked_add(number.days()).ok(),
            Self::Week => EPOCH_MONDAY.checked_add(number.checked_mul(7)?.days()).ok(),
            Self::Month => EPOCH.checked_add(number.months()).ok(),
        }
    }
}
