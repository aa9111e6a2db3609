//! When a schedule is due: its expression in its zone, between its bounds, without excluded days.
//!
//! [`crate::schedule::decide`] and previews ask it for nominal times; it knows no "now".

use millstream_model::cron::CronSchedule;
use millstream_model::{
    ContentHash, Day, DaySpan, Exclusion, Manifest, ScheduleCron, ScheduleDef, TenantDef,
    Timestamp, Zone,
};

/// Excluded days in a row that are looked beyond.
const EXCLUDED_MAX: usize = 4_000;

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

    /// Whether `at` is one of its nominal times that are not excluded.
    pub fn fires_at(&self, at: Timestamp) -> bool {
        self.next_fire(Timestamp::from_micros(at.as_micros().saturating_sub(1))) == Some(at)
    }

    /// Whether `at` is before the first time at which it may fire.
    pub fn is_before_start(&self, at: Timestamp) -> bool {
        self.start.is_some_and(|start| at < start)
    }

    /// What excludes `at`, which would be one of its nominal times otherwise.
    pub fn excluded_time(&self, at: Timestamp) -> Option<&str> {
        let before = Timestamp::from_micros(at.as_micros().saturating_sub(1));
        self.excluded_by(at).filter(|_| self.next_after(before) == Some(at))
    }

    /// The next `count` nominal times after `after` that are not excluded.
    pub fn upcoming(&self, after: Timestamp, count: usize) -> Vec<Timestamp> {
        self.fires(after).take(count).collect()
    }

    /// The times after `after` at which it fires, one at a time as they are asked for.
    pub fn fires(&self, after: Timestamp) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(self.next_fire(after), |at| self.next_fire(*at))
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
