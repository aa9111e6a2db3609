//! Cron expressions: checked once, asked for their next fire time.
//!
//! `definition` checks them at load, `decide` asks for ticks and `partitions` for windows. Around
//! changes of the clock they behave as Vixie's cron does: a fixed time in an hour that is left out
//! fires once when the clock jumps, one in an hour that comes twice fires the first time only, and
//! an interval (`*/30`) follows real time. Five fields, or six with the seconds first.

use std::fmt;

use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};

use crate::{ErrorCode, Timestamp, Zone};

/// A cron expression that has been checked and fires at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronSchedule {
    text: String,
    cron: Cron,
}

/// Why a text is not a cron expression, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cron expression {text:?} {problem}")]
pub struct CronScheduleError {
    /// The rejected text, cut to a length that can be shown.
    pub text: String,
    /// What is wrong with it.
    pub problem: String,
}

/// Longest expression in bytes; a list of all minutes is shorter.
const TEXT_MAX: usize = 250;

/// The names that stand for whole expressions.
const ALIASES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// A field of an expression.
#[derive(Debug, Clone, Copy)]
struct CronField {
    name: &'static str,
    /// What may stand in it, for people.
    allowed: &'static str,
    /// Whether its numbers begin with 0, and not with 1.
    has_zero: bool,
    /// The largest number, and so the longest step.
    max: u32,
    /// Words that stand for numbers.
    names: &'static [&'static str],
    /// Whether it may be the last of all.
    has_last: bool,
}

/// The fields of the longer form.
const FIELDS: [CronField; 6] = [
    CronField {
        name: "second",
        allowed: "0-59",
        has_zero: true,
        max: 59,
        names: &[],
        has_last: false,
    },
    CronField {
        name: "minute",
        allowed: "0-59",
        has_zero: true,
        max: 59,
        names: &[],
        has_last: false,
    },
    CronField {
        name: "hour",
        allowed: "0-23",
        has_zero: true,
        max: 23,
        names: &[],
        has_last: false,
    },
    CronField {
        name: "day of the month",
        allowed: "1-31 or L",
        has_zero: false,
        max: 31,
        names: &[],
        has_last: true,
    },
    CronField {
        name: "month",
        allowed: "1-12 or JAN-DEC",
        has_zero: false,
        max: 12,
        names: &[
            "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
        ],
        has_last: false,
    },
    CronField {
        name: "day of the week",
        allowed: "0-7 or SUN-SAT",
        has_zero: true,
        max: 7,
        names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
        has_last: false,
    },
];

impl CronScheduleError {
    /// The stable code.
    pub fn code(&self) -> ErrorCode {
        ErrorCode::DefinitionCron
    }
}

impl CronSchedule {
    /// Checks `text`, which may also be one of the aliases like `@daily`.
    pub fn parse(text: &str) -> Result<Self, CronScheduleError> {
        let trimmed = text.trim();
        let fail = |problem: String| CronScheduleError {
            text: text.chars().take(TEXT_MAX).collect(),
            problem,
        };
        if text.len() > TEXT_MAX || !text.is_ascii() {
            return Err(fail(format!("is not ASCII text of at most {TEXT_MAX} characters")));
        }
        let expression = match trimmed.strip_prefix('@') {
            Some(_) => alias(trimmed).map_err(fail)?,
            None => trimmed,
        };
        let fields: Vec<&str> = expression.split_ascii_whitespace().collect();
        if !matches!(fields.len(), 5 | 6) {
            return Err(fail(format!(
                "has {} fields; write minute, hour, day, month and weekday, like `0 6 * * 1`",
                fields.len()
            )));
        }
        // The parser knows more than documents say, and a step that is too long as no step.
        let skipped = FIELDS.len().saturating_sub(fields.len());
        for (text, field) in fields.iter().zip(FIELDS.iter().skip(skipped)) {
            field.check(text).map_err(|why| fail(field.blame(text, &why)))?;
        }
        let cron = parser().parse(expression).map_err(|error| fail(blame(&fields, &error)))?;
        let schedule = Self { text: trimmed.to_owned(), cron };
        // Leap days come within eight years of any time, so what fires at all fires after this.
        match schedule.next_after(Timestamp::from_micros(0), &Zone::UTC) {
            Some(_) => Ok(schedule),
            None => Err(fail("never fires; its month does not have that day".to_owned())),
        }
    }

    /// The first fire time after `after`, exclusive, in the clock of `zone`.
    ///
    /// `None` when there is none within the years that calendars know.
    pub fn next_after(&self, after: Timestamp, zone: &Zone) -> Option<Timestamp> {
        let from = whole_second(after, zone)?;
        if let Ok(next) = self.cron.find_next_occurrence(&from, false) {
            return Some(Timestamp::from(next.timestamp()));
        }
        // The search gives up where a zone left out a whole day; beyond it, it goes on.
        let change = zone.as_jiff().following(from.timestamp()).next()?;
        let beyond = change.timestamp().to_zoned(zone.as_jiff().clone());
        let next = self.cron.find_next_occurrence(&beyond, true).ok()?;
        Some(Timestamp::from(next.timestamp()))
    }

    /// The last fire time that is not after `at`, in the clock of `zone`.
    pub fn last_until(&self, at: Timestamp, zone: &Zone) -> Option<Timestamp> {
        let from = whole_second(at, zone)?;
        if let Ok(last) = self.cron.find_previous_occurrence(&from, true) {
            return Some(Timestamp::from(last.timestamp()));
        }
        let change = zone.as_jiff().preceding(from.timestamp()).next()?;
        let beyond = change.timestamp().to_zoned(zone.as_jiff().clone());
        let last = self.cron.find_previous_occurrence(&beyond, false).ok()?;
        Some(Timestamp::from(last.timestamp()))
    }

    /// Whether it can fire more than once a minute.
    pub fn has_seconds(&self) -> bool {
        self.text.split_ascii_whitespace().count() == 6
    }

    /// The expression as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for CronSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The second that `at` is in. Fire times are whole seconds, and the search that looks backwards
/// from a fraction may answer with the second after it.
fn whole_second(at: Timestamp, zone: &Zone) -> Option<jiff::Zoned> {
    let seconds = at.as_micros().div_euclid(1_000_000);
    let whole = jiff::Timestamp::from_second(seconds).ok()?;
    Some(whole.to_zoned(zone.as_jiff().clone()))
}

fn parser() -> CronParser {
    CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build()
}

/// The expression that an alias stands for.
fn alias(text: &str) -> Result<&'static str, String> {
    let found = ALIASES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    found.map(|(_, expression)| *expression).ok_or_else(|| {
        let names: Vec<&str> = ALIASES.iter().map(|(name, _)| *name).collect();
        format!("is no alias; there are {}", names.join(", "))
    })
}

impl CronField {
    /// What of `text` is not of the form of a field; numbers out of its range are the parser's.
    fn check(&self, text: &str) -> Result<(), String> {
        for part in text.split(',') {
            let (span, step) = match part.split_once('/') {
                Some((span, step)) => (span, Some(step)),
                None => (part, None),
            };
            if part.is_empty() {
                return Err(", where a part of the list is empty".to_owned());
            }
            let is_last = self.has_last && step.is_none() && span.eq_ignore_ascii_case("L");
            let is_span = match span.split_once('-') {
                Some((from, to)) => self.is_value(from) && self.is_value(to),
                None => span == "*" || is_last || step.is_none() && self.is_value(span),
            };
            if !is_span {
                return Err(format!(", where {part:?} is not understood"));
            }
            let is_step =
                |step: &str| step.parse().is_ok_and(|step| (1..=self.max).contains(&step));
            if let Some(step) = step.filter(|step| !is_step(step)) {
                return Err(format!(", where the step {step:?} is not one of 1-{}", self.max));
            }
        }
        Ok(())
    }

    /// Which part of `text`, which has the form of a field, is refused, and why.
    fn why_refused(&self, text: &str) -> String {
        for part in text.split(',') {
            let (from, to) =
                part.split_once('/').map_or(part, |(span, _)| span).split_once('-').unzip();
            let number = |text: Option<&str>| text.and_then(|text| self.number(text));
            if let (Some(from), Some(to)) = (number(from), number(to))
                && from > to
                && self.holds(from)
            {
                return format!(", where the range {part:?} runs backwards");
            }
            let is_refused = |text: &&str| number(Some(text)).is_some_and(|it| !self.holds(it));
            let values = [Some(from.unwrap_or(part)), to];
            if let Some(value) = values.into_iter().flatten().find(is_refused) {
                return format!(", where {value:?} is out of its range");
            }
        }
        String::new()
    }

    fn holds(&self, number: u32) -> bool {
        (u32::from(!self.has_zero)..=self.max).contains(&number)
    }

    /// The number that `text` is, or stands for.
    fn number(&self, text: &str) -> Option<u32> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let named = named.and_then(|place| u32::try_from(place).ok());
        named.map(|place| place + u32::from(!self.has_zero)).or_else(|| text.parse().ok())
    }

    fn is_value(&self, text: &str) -> bool {
        let is_number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
        is_number || self.names.iter().any(|name| name.eq_ignore_ascii_case(text))
    }

    /// That `text` is wrong in it, with `why` where that is known.
    fn blame(&self, text: &str, why: &str) -> String {
        let Self { name, allowed, .. } = self;
        format!(
            "has {text:?} as the {name}{why}; write `*`, {allowed}, lists (`1,15`), ranges \
             (`1-5`) or steps (`*/15`)"
        )
    }
}

/// Names the field that is wrong, which the parser does not.
fn blame(fields: &[&str], error: &CronError) -> String {
    let skipped = FIELDS.len().saturating_sub(fields.len());
    for (place, (text, field)) in fields.iter().zip(FIELDS.iter().skip(skipped)).enumerate() {
        let mut alone = vec!["*"; fields.len()];
        if let Some(slot) = alone.get_mut(place) {
            *slot = text;
        }
        if parser().parse(&alone.join(" ")).is_err() {
            return field.blame(text, &field.why_refused(text));
        }
    }
    format!("is not understood: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fire times after `from`, as local times with their offset.
    fn fires(text: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
        let schedule = CronSchedule::parse(text).unwrap();
        let zone: Zone = zone.parse().unwrap();
        let mut at = Timestamp::from(from.parse::<jiff::Timestamp>().unwrap());
        let mut times = Vec::new();
        for _ in 0..count {
            at = schedule.next_after(at, &zone).unwrap();
            let local = at.to_jiff().to_zoned(zone.as_jiff().clone());
            times.push(local.strftime("%m-%d %H:%M%:z").to_string());
        }
        times
    }

    #[test]
    fn r185_a_time_that_the_clock_leaves_out_fires_once_when_it_jumps() {
        assert_eq!(
            fires("30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", 2),
            ["03-08 03:00-04:00", "03-09 02:30-04:00"]
        );
        assert_eq!(
            fires("30 0 * * *", "America/Havana", "2026-03-07T12:00:00Z", 2),
            ["03-08 01:00-04:00", "03-09 00:30-04:00"]
        );
    }

    #[test]
    fn a_day_that_the_zone_left_out_does_not_end_the_schedule() {
        assert_eq!(
            fires("30 2 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", 2),
            ["12-29 02:30-10:00", "12-31 02:30+14:00"]
        );
    }

    #[test]
    fn r185_a_time_that_comes_twice_fires_the_first_time_only() {
        assert_eq!(
            fires("30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", 2),
            ["11-01 01:30-04:00", "11-02 01:30-05:00"]
        );
    }

    #[test]
    fn r185_an_interval_follows_real_time_across_both_changes() {
        assert_eq!(
            fires("*/30 * * * *", "America/New_York", "2026-11-01T04:59:00Z", 5),
            [
                "11-01 01:00-04:00",
                "11-01 01:30-04:00",
                "11-01 01:00-05:00",
                "11-01 01:30-05:00",
                "11-01 02:00-05:00"
            ]
        );
        assert_eq!(
            fires("0 * * * *", "America/New_York", "2026-03-08T05:30:00Z", 2),
            ["03-08 01:00-05:00", "03-08 03:00-04:00"]
        );
    }

    #[test]
    fn r185_the_last_day_of_the_month_and_a_leap_day_are_found() {
        assert_eq!(
            fires("0 0 L * *", "Europe/London", "2026-02-01T00:00:00Z", 3),
            ["02-28 00:00+00:00", "03-31 00:00+01:00", "04-30 00:00+01:00"]
        );
        assert_eq!(
            fires("0 0 29 2 *", "UTC", "2097-01-01T00:00:00Z", 1),
            ["02-29 00:00+00:00"],
            "2100 is no leap year, so the next is 2104"
        );
    }

    #[test]
    fn r185_aliases_fire_when_their_names_say() {
        let next = |text| fires(text, "UTC", "2026-05-13T10:20:00Z", 1).remove(0);
        assert_eq!(next("@hourly"), "05-13 11:00+00:00");
        assert_eq!(next("@daily"), next("@midnight"));
        assert_eq!(next("@daily"), "05-14 00:00+00:00");
        assert_eq!(next("@weekly"), "05-17 00:00+00:00");
        assert_eq!(next("@monthly"), "06-01 00:00+00:00");
        assert_eq!(next("@yearly"), "01-01 00:00+00:00");
        assert_eq!(next("@yearly"), next("@annually"));
    }

    #[test]
    fn r185_every_minute_and_every_second_fire_that_often() {
        assert_eq!(
            fires("* * * * *", "UTC", "2026-05-13T10:20:30Z", 2),
            ["05-13 10:21+00:00", "05-13 10:22+00:00"]
        );
        let seconds = CronSchedule::parse("*/20 * * * * *").unwrap();
        let next = seconds.next_after(Timestamp::from_micros(5_000_000), &Zone::UTC).unwrap();
        assert_eq!(next.as_micros(), 20_000_000);
        assert!(seconds.has_seconds());
    }

    #[test]
    fn what_no_document_lists_is_refused_where_it_stands() {
        for (text, told) in [
            ("0 0 1W * *", "\"1W\" as the day of the month, where \"1W\" is not understood"),
            ("0 0 LW * *", "where \"LW\" is not understood"),
            ("0 0 1,L-2 * *", "where \"L-2\" is not understood"),
            ("0 0 ? * *", "where \"?\" is not understood"),
            ("0 0 * * FRI#1", "\"FRI#1\" as the day of the week, where \"FRI#1\" is not under"),
            ("0 0 * * 5L", "where \"5L\" is not understood"),
            ("0 0 * * L", "where \"L\" is not understood"),
            ("0 0 * * MON,", "\"MON,\" as the day of the week, where a part of the list is empty"),
            ("0 0 * * MONDAY", "where \"MONDAY\" is not understood"),
            ("0 0 * JANFEB *", "where \"JANFEB\" is not understood"),
            ("+5 * * * *", "where \"+5\" is not understood"),
            ("*/0 * * * *", "where the step \"0\" is not one of 1-59"),
            ("* */24 * * *", "as the hour, where the step \"24\" is not one of 1-23"),
            ("5/15 * * * *", "where \"5/15\" is not understood"),
            ("*/ * * * *", "where the step \"\" is not"),
            ("0-30/60 * * * *", "where the step \"60\" is not"),
        ] {
            assert!(problem(text).contains(told), "{}", problem(text));
        }
    }

    #[test]
    fn what_documents_list_is_taken_in_each_field() {
        for text in [
            "*/20 0,30 8-18/2 L JAN,mar-MAY MON-FRI",
            "5 * 1,15 * 0,7",
            "0 0 1-7,L * sun",
            "0-59/59 23 31 12 */7",
        ] {
            CronSchedule::parse(text).unwrap();
        }
        assert_eq!(
            fires("10-40/15 6 * * *", "UTC", "2026-05-13T00:00:00Z", 3),
            ["05-13 06:10+00:00", "05-13 06:25+00:00", "05-13 06:40+00:00"]
        );
    }

    #[test]
    fn a_range_that_runs_backwards_and_a_number_out_of_range_are_named_with_their_field() {
        for (text, told) in [
            ("0 5-1 * * *", "\"5-1\" as the hour, where the range \"5-1\" runs backwards;"),
            ("0 1,5-1/2 * * *", "\"1,5-1/2\" as the hour, where the range \"5-1/2\" runs back"),
            ("0 0 * * FRI-MON", "as the day of the week, where the range \"FRI-MON\" runs back"),
            ("0 0 * OCT-2 *", "as the month, where the range \"OCT-2\" runs backwards;"),
            ("0 0,25 * * *", "\"0,25\" as the hour, where \"25\" is out of its range;"),
            ("0 0 1-32 * *", "as the day of the month, where \"32\" is out of its range;"),
            ("0 0 0 * *", "as the day of the month, where \"0\" is out of its range;"),
            ("* * * 13-1 *", "as the month, where \"13\" is out of its range;"),
        ] {
            assert!(problem(text).contains(told), "{}", problem(text));
        }
    }

    fn problem(text: &str) -> String {
        CronSchedule::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn r185_the_error_names_the_field_and_what_may_stand_in_it() {
        assert_eq!(
            problem("61 * * * *"),
            "cron expression \"61 * * * *\" has \"61\" as the minute, where \"61\" is out of its \
             range; write `*`, 0-59, lists (`1,15`), ranges (`1-5`) or steps (`*/15`)"
        );
        assert_eq!(
            problem("*/90 * * * *"),
            "cron expression \"*/90 * * * *\" has \"*/90\" as the minute, where the step \"90\" is \
             not one of 1-59; write `*`, 0-59, lists (`1,15`), ranges (`1-5`) or steps (`*/15`)"
        );
        assert!(problem("* * * 13 *").contains("\"13\" as the month"));
        assert!(problem("70 * * * * *").contains("\"70\" as the second"));
        assert!(problem("* * *").contains("has 3 fields"));
        assert!(problem("* * * * * * 2030").contains("has 7 fields"));
        assert!(problem("@often").contains("there are @yearly"));
        assert!(problem("0 0 30 2 *").contains("never fires"));
        assert!(problem("").contains("has 0 fields"));
        assert!(problem(&"1,".repeat(200)).contains("at most 250 characters"));
    }
}
