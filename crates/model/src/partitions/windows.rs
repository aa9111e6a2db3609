//! Windows of time as partitions: which exist, what their keys are, which time each covers.
//!
//! [`Windows`] is a [`TimeWindowPartitions`] whose texts have been checked; every question about
//! time windows is asked of it. A window exists once it has ended: the partition of a day appears
//! with the next midnight, as in Dagster.

use jiff::civil::DateTime;
use jiff::fmt::strtime::{self, BrokenDownTime};
use jiff::tz::AmbiguousOffset;

use super::grid::{Grid, Steps};
use super::{Cadence, PartitionKey, PartitionsProblem, TimeWindow, TimeWindowPartitions};
use crate::{Timestamp, Zone};

/// Time windows that are ready to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Windows {
    grid: Grid,
    format: String,
    /// The start of the first window.
    first: Timestamp,
    /// Where windows stop.
    end: Option<Timestamp>,
}

impl Cadence {
    /// How keys are written when the definition does not say: as Dagster does.
    pub fn format(&self) -> &'static str {
        match self {
            Self::Daily | Self::Weekly => "%Y-%m-%d",
            Self::Monthly => "%Y-%m",
            Self::Hourly | Self::Cron(_) => "%Y-%m-%d-%H:%M",
        }
    }
}

impl TimeWindowPartitions {
    /// Checks the texts of the definition.
    pub fn windows(&self) -> Result<Windows, PartitionsProblem> {
        let zone: Zone = self.timezone.parse()?;
        let steps = Steps::of(&self.cadence)?;
        if let Steps::Cron(cron) = &steps
            && cron.has_seconds()
        {
            return Err(PartitionsProblem::CronSeconds { text: cron.to_string() });
        }
        let start = local_time(&self.start, &zone)?;
        let end = self.end.as_ref().map(|end| local_time(end, &zone)).transpose()?;
        if let (Some(until), Some(end)) = (end, &self.end)
            && until <= start
        {
            let (start, end) = (self.start.clone(), end.clone());
            return Err(PartitionsProblem::EndBeforeStart { start, end });
        }
        let grid = Grid { steps, zone };
        let format = self.format.clone().unwrap_or_else(|| self.cadence.format().to_owned());
        let none = || PartitionsProblem::NoWindow { start: self.start.clone() };
        // One microsecond earlier, so that a window that begins with `start` is the first.
        let before = Timestamp::from_micros(start.as_micros() - 1);
        let first = grid.next_start(before).ok_or_else(none)?;
        let windows = Windows { grid, format, first, end };
        let sample = windows.after(before).ok_or_else(none)?;
        // The second too: `%Y-%m` reads back right for a day that is the first of its month.
        let samples = [Some(sample), windows.after(sample.start)];
        let is_told = |window: TimeWindow| {
            let read = windows.key_of(window).and_then(|key| windows.parse(key.as_str()));
            read == Some(window)
        };
        if samples.into_iter().flatten().all(is_told) {
            return Ok(windows);
        }
        Err(PartitionsProblem::Format { format: windows.format })
    }
}

impl Windows {
    /// The window of `key`, whether or not it exists yet; `None` when no window has that key.
    pub fn window_of(&self, key: &PartitionKey) -> Option<TimeWindow> {
        self.parse(key.as_str())
    }

    /// The key of the window that holds `at`.
    pub fn key_at_time(&self, at: Timestamp) -> Option<PartitionKey> {
        self.key_of(self.holding(at)?)
    }

    /// Whether the window of `key` is one of the definition's and has ended by `now`.
    pub fn contains(&self, key: &PartitionKey, now: Timestamp) -> bool {
        self.window_of(key).is_some_and(|window| self.has_window(window, now))
    }

    /// The windows that exist at `now`, in order of time, after the one that begins at `after`.
    pub fn existing(
        &self,
        now: Timestamp,
        after: Option<Timestamp>,
    ) -> impl Iterator<Item = TimeWindow> + use<'_> {
        let before_first = Timestamp::from_micros(self.first.as_micros() - 1);
        let from = after.map_or(before_first, |after| after.max(before_first));
        let mut next = self.grid.next_start(from);
        std::iter::from_fn(move || {
            let start = next?;
            let window = TimeWindow { start, end: self.grid.next_start(start)? };
            next = Some(window.end);
            self.has_window(window, now).then_some(window)
        })
    }

    /// The last window that exists at `now`.
    pub fn last(&self, now: Timestamp) -> Option<TimeWindow> {
        let limit = self.end.map_or(now, |end| end.min(now));
        let open = self.holding(limit)?;
        let before = Timestamp::from_micros(open.start.as_micros() - 1);
        self.holding(before).filter(|window| self.has_window(*window, now))
    }

    /// A window that shows how keys look: the last that exists at `now`, or the first of all.
    pub fn sample(&self, now: Timestamp) -> Option<TimeWindow> {
        self.last(now).or_else(|| self.holding(self.first))
    }

    /// The place of a window among all windows of its cadence, counted from 1970. It never moves,
    /// even when the definition's start does, and no other window ever has it.
    pub fn ordinal_of(&self, key: &PartitionKey) -> Option<i64> {
        self.window_of(key).map(|window| self.grid.slot_of(window.start))
    }

    /// The key at a place; `None` for places that the clock or the cadence leaves out.
    pub fn key_at(&self, ordinal: i64) -> Option<PartitionKey> {
        let start = self.grid.start_of_slot(ordinal)?;
        self.key_of(self.holding(start)?)
    }

    /// The key of `window`.
    pub fn key_of(&self, window: TimeWindow) -> Option<PartitionKey> {
        let text = match &self.grid.steps {
            // A day is named by its date even where its clock begins at one o'clock.
            Steps::Days(period) => {
                let day = self.grid.first_day_of(window.start, *period);
                strtime::format(&self.format, day.to_datetime(jiff::civil::Time::midnight()))
            }
            Steps::Hours | Steps::Cron(_) => {
                let zone = self.grid.zone.as_jiff();
                let zoned = window.start.to_jiff().to_zoned(zone.clone());
                let offset = zone.to_ambiguous_zoned(zoned.datetime()).offset();
                match offset {
                    // The hour comes twice; the second one says so, as in Dagster.
                    AmbiguousOffset::Fold { after, .. } if after == zoned.offset() => {
                        strtime::format(format!("{}%z", self.format), &zoned)
                    }
                    _ => strtime::format(&self.format, &zoned),
                }
            }
        };
        text.ok()?.parse().ok()
    }

    /// The window whose key is exactly `text`.
    fn parse(&self, text: &str) -> Option<TimeWindow> {
        let start = match &self.grid.steps {
            Steps::Days(_) => {
                let mut parts = BrokenDownTime::parse(&self.format, text).ok()?;
                if parts.day().is_none() && parts.day_of_year().is_none() {
                    parts.set_day(Some(1)).ok()?;
                }
                self.grid.start_of(parts.to_date().ok()?)?
            }
            Steps::Hours | Steps::Cron(_) => self.parse_time(text)?,
        };
        let window = self.holding(start)?;
        // Only the one written form is a key: `2025-7-1` and a Tuesday of a week are none.
        let is_key =
            window.start == start && self.key_of(window).is_some_and(|key| key.as_str() == text);
        is_key.then_some(window)
    }

    fn parse_time(&self, text: &str) -> Option<Timestamp> {
        let with_offset = format!("{}%z", self.format);
        let parts = BrokenDownTime::parse(&self.format, text)
            .or_else(|_| BrokenDownTime::parse(&with_offset, text))
            .ok()?;
        if parts.offset().is_some() {
            return parts.to_timestamp().ok().map(Timestamp::from);
        }
        let local = parts.to_datetime().ok()?;
        let zoned = self.grid.zone.as_jiff().to_ambiguous_zoned(local).earlier().ok()?;
        Some(Timestamp::from(zoned.timestamp()))
    }

    fn holding(&self, at: Timestamp) -> Option<TimeWindow> {
        let start = self.grid.start_at(at)?;
        Some(TimeWindow { start, end: self.grid.next_start(start)? })
    }

    fn after(&self, at: Timestamp) -> Option<TimeWindow> {
        let start = self.grid.next_start(at)?;
        Some(TimeWindow { start, end: self.grid.next_start(start)? })
    }

    fn has_window(&self, window: TimeWindow, now: Timestamp) -> bool {
        window.start >= self.first
            && window.end <= now
            && self.end.is_none_or(|end| window.end <= end)
    }
}

/// Reads a local date, or date and time, of a definition.
fn local_time(text: &str, zone: &Zone) -> Result<Timestamp, PartitionsProblem> {
    let fail = || PartitionsProblem::Time { text: text.to_owned() };
    // A `Z` or an offset would be silently dropped by a civil type; jiff refuses the `Z` itself.
    let local: DateTime = text.trim().parse().map_err(|_| fail())?;
    let zoned = local.to_zoned(zone.as_jiff().clone()).map_err(|_| fail())?;
    Ok(Timestamp::from(zoned.timestamp()))
}
