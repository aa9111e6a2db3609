//! Windows of time: they tile, their keys read back, and changes of the clock harm neither.

use std::time::Duration;

use millstream_model::partitions::{Cadence, PartitionsProblem, TimeWindow, Windows};
use millstream_model::{PartitionsDef, Timestamp};
use proptest::prelude::*;

use crate::{key, texts, time, windows_since};

/// Zones with half-hour offsets, half-hour changes, changes at midnight, a day left out, and none.
const ZONES: [&str; 14] = [
    "UTC",
    "America/New_York",
    "America/Havana",
    "America/Sao_Paulo",
    "America/St_Johns",
    "America/Caracas",
    "Europe/London",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Pyongyang",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Africa/Casablanca",
];

fn cadences() -> Vec<Cadence> {
    vec![
        Cadence::Hourly,
        Cadence::Daily,
        Cadence::Weekly,
        Cadence::Monthly,
        Cadence::Cron("30 2 * * *".to_owned()),
        Cadence::Cron("*/30 * * * *".to_owned()),
        Cadence::Cron("0 6 * * 1".to_owned()),
    ]
}

fn grid(cadence: &Cadence, zone: &str) -> Windows {
    windows_since(cadence.clone(), "1969-01-01", zone).windows().unwrap()
}

/// Asserts what holds for every run of neighbouring windows.
fn check_neighbours(windows: &Windows, all: &[TimeWindow], what: &str) {
    for pair in all.windows(2) {
        let [one, next] = pair else { continue };
        assert_eq!(one.end, next.start, "{what}: a gap or an overlap");
    }
    let mut last = i64::MIN;
    for window in all {
        assert!(window.start < window.end, "{what}: an empty window at {}", window.start);
        let name = windows.key_of(*window).unwrap();
        assert_eq!(windows.window_of(&name), Some(*window), "{what}: {name} reads back");
        let ordinal = windows.ordinal_of(&name).unwrap();
        assert!(ordinal > last, "{what}: {name} has the ordinal of an earlier window");
        last = ordinal;
        assert_eq!(windows.key_at(ordinal).as_ref(), Some(&name), "{what}: ordinal {ordinal}");
        let end = Timestamp::from_micros(window.end.as_micros() - 1);
        // Half an hour in, a clock that was set back over midnight shows the day before again.
        let soon = window.start.after(Duration::from_mins(30)).min(end);
        for inside in [window.start, soon, end] {
            assert_eq!(windows.key_at_time(inside).as_ref(), Some(&name), "{what}: {inside}");
        }
    }
}

#[test]
fn r042_windows_tile_time_across_every_change_of_the_clock() {
    let (from, until) = (time("1985-01-01T00:00:00Z"), time("2027-12-31T00:00:00Z"));
    let far = time("2100-01-01T00:00:00Z");
    for zone in ZONES {
        let tz = jiff::tz::TimeZone::get(zone).unwrap();
        for cadence in cadences() {
            let windows = grid(&cadence, zone);
            for change in tz.following(from.to_jiff()) {
                let at = Timestamp::from(change.timestamp());
                if at > until {
                    break;
                }
                let before = Timestamp::from_micros(at.as_micros() - 3 * 3_600_000_000);
                let around: Vec<TimeWindow> = windows.existing(far, Some(before)).take(8).collect();
                let what = format!("{cadence:?} in {zone} at {at}");
                assert_eq!(around.len(), 8, "{what}");
                check_neighbours(&windows, &around, &what);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn windows_tile_time_from_any_instant(
        seconds in 0_i64..2_100_000_000,
        zone in 0..ZONES.len(),
        cadence in 0_usize..7,
    ) {
        let cadence = &cadences()[cadence];
        let windows = grid(cadence, ZONES[zone]);
        let from = Timestamp::from_micros(seconds * 1_000_000);
        let far = time("2100-01-01T00:00:00Z");
        let some: Vec<TimeWindow> = windows.existing(far, Some(from)).take(5).collect();
        check_neighbours(&windows, &some, &format!("{cadence:?} in {} at {from}", ZONES[zone]));
    }

    #[test]
    fn no_text_is_a_key_of_two_forms_or_makes_a_window_panic(text in "[-0-9:TZ+]{0,20}|\\PC{0,12}") {
        for cadence in cadences() {
            let windows = grid(&cadence, "Europe/London");
            let Ok(name) = text.parse() else { continue };
            if let Some(window) = windows.window_of(&name) {
                prop_assert_eq!(windows.key_of(window), Some(name));
            }
        }
    }
}

/// A calendar of its own: the Gregorian rules and nothing of the library under test.
struct Calendar {
    year: i64,
    month: i64,
    day: i64,
    /// 0 is Monday.
    weekday: i64,
    /// Days since 1970-01-01.
    number: i64,
}

impl Calendar {
    /// 2024-01-01, a Monday.
    const START: Self = Self { year: 2024, month: 1, day: 1, weekday: 0, number: 19_723 };

    fn days_in_month(&self) -> i64 {
        let leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        match self.month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    fn next(&mut self) {
        self.weekday = (self.weekday + 1) % 7;
        self.number += 1;
        self.day += 1;
        if self.day > self.days_in_month() {
            self.day = 1;
            self.month += 1;
        }
        if self.month > 12 {
            self.month = 1;
            self.year += 1;
        }
    }

    fn date(&self) -> String {
        format!("{}-{:02}-{:02}", self.year, self.month, self.day)
    }

    /// New York's midnight in UTC microseconds: summer time from the second Sunday of March to the
    /// first of November, both changes after midnight.
    fn midnight(&self) -> i64 {
        let sundays = (self.day + 6 - (self.weekday + 1) % 7) / 7;
        let is_sunday = self.weekday == 6;
        let summer = match self.month {
            4..=10 => true,
            3 => sundays > 2 || (sundays == 2 && !is_sunday),
            11 => sundays == 0 || (sundays == 1 && is_sunday),
            _ => false,
        };
        (self.number * 24 + if summer { 4 } else { 5 }) * 3_600_000_000
    }
}

#[test]
fn r042_three_years_of_keys_and_windows_equal_a_reference_calendar() {
    let (mut days, mut weeks, mut months) = (Vec::new(), Vec::new(), Vec::new());
    let mut calendar = Calendar::START;
    while calendar.year < 2027 {
        days.push((calendar.date(), calendar.midnight()));
        if calendar.weekday == 0 {
            weeks.push((calendar.date(), calendar.midnight()));
        }
        if calendar.day == 1 {
            let month = format!("{}-{:02}", calendar.year, calendar.month);
            months.push((month, calendar.midnight()));
        }
        calendar.next();
    }
    assert_eq!((days.len(), weeks.len(), months.len()), (1_096, 157, 36));

    let expected = [(Cadence::Daily, days), (Cadence::Weekly, weeks), (Cadence::Monthly, months)];
    for (cadence, expected) in expected {
        let windows = windows_since(cadence, "2024-01-01", "America/New_York").windows().unwrap();
        let found: Vec<(String, i64)> = windows
            .existing(time("2027-12-31T00:00:00Z"), None)
            .take(expected.len())
            .map(|w| (windows.key_of(w).unwrap().to_string(), w.start.as_micros()))
            .collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn r042_an_hour_that_comes_twice_has_two_keys_and_one_left_out_has_none() {
    let hours = grid(&Cadence::Hourly, "America/New_York");
    let keys = |from: &str, count| -> Vec<String> {
        hours
            .existing(time("2100-01-01T00:00:00Z"), Some(time(from)))
            .take(count)
            .map(|window| hours.key_of(window).unwrap().to_string())
            .collect()
    };
    assert_eq!(
        keys("2025-11-02T04:00:00Z", 3),
        ["2025-11-02-01:00", "2025-11-02-01:00-0500", "2025-11-02-02:00"]
    );
    assert_eq!(keys("2025-03-09T05:00:00Z", 2), ["2025-03-09-01:00", "2025-03-09-03:00"]);
    assert_eq!(hours.window_of(&key("2025-03-09-02:00")), None);
}

#[test]
fn a_day_that_the_zone_left_out_has_no_partition() {
    let days = grid(&Cadence::Daily, "Pacific/Apia");
    assert_eq!(days.window_of(&key("2011-12-30")), None);
    let eve = days.window_of(&key("2011-12-29")).unwrap();
    assert_eq!(days.window_of(&key("2011-12-31")).unwrap().start, eve.end);
}

#[test]
fn a_day_whose_midnight_is_left_out_begins_with_the_jump_and_keeps_its_name() {
    let days = grid(&Cadence::Daily, "America/Havana");
    let day = days.window_of(&key("2026-03-08")).unwrap();
    assert_eq!(day.start, time("2026-03-08T05:00:00Z"));
    assert_eq!(day.end, time("2026-03-09T04:00:00Z"));
}

#[test]
fn hours_of_a_half_hour_zone_begin_with_its_full_hours() {
    let hours = grid(&Cadence::Hourly, "Asia/Kolkata");
    let hour = hours.window_of(&key("2025-07-01-06:00")).unwrap();
    assert_eq!(hour.start, time("2025-07-01T00:30:00Z"));
}

#[test]
fn a_window_exists_once_it_has_ended() {
    let days = windows_since(Cadence::Daily, "2025-07-01", "Europe/London").windows().unwrap();
    let first = key("2025-07-01");
    assert!(!days.contains(&first, time("2025-07-01T22:59:59Z")));
    assert!(days.contains(&first, time("2025-07-01T23:00:00Z")));
    assert!(!days.contains(&key("2025-06-30"), time("2026-01-01T00:00:00Z")));
}

#[test]
fn windows_begin_with_the_first_whole_one_and_stop_at_the_end() {
    let mut def = windows_since(Cadence::Weekly, "2025-07-01", "UTC");
    def.end = Some("2025-07-25".to_owned());
    let weeks = PartitionsDef::TimeWindow(def);
    let keys = weeks.keys(time("2030-01-01T00:00:00Z"), None, 100);
    assert_eq!(texts(&keys), ["2025-07-07", "2025-07-14"]);
}

#[test]
fn an_ordinal_does_not_move_with_the_start() {
    let early = windows_since(Cadence::Daily, "2020-01-01", "UTC").windows().unwrap();
    let late = windows_since(Cadence::Daily, "2025-01-01", "UTC").windows().unwrap();
    assert_eq!(early.ordinal_of(&key("2025-07-01")), late.ordinal_of(&key("2025-07-01")));
    assert_eq!(early.ordinal_of(&key("1970-01-02")), Some(1));
    assert_eq!(early.key_at(i64::MAX), None);
    assert_eq!(early.key_at(i64::MIN), None);
}

#[test]
fn r042_only_the_one_written_form_is_a_key() {
    let is_key =
        |cadence: Cadence, text: &str| grid(&cadence, "UTC").window_of(&key(text)).is_some();
    assert!(is_key(Cadence::Weekly, "2025-07-07"));
    assert!(!is_key(Cadence::Weekly, "2025-07-08"), "a Tuesday");
    assert!(is_key(Cadence::Monthly, "2025-07"));
    assert!(!is_key(Cadence::Monthly, "2025-07-01"));
    for text in ["2025-7-1", "2025-02-30", "2025-07-01 ", "+2025-07-01", "yesterday"] {
        assert!(!is_key(Cadence::Daily, text), "{text:?}");
    }
}

#[test]
fn cron_windows_reach_from_tick_to_tick() {
    let quarter_days = grid(&Cadence::Cron("0 */6 * * *".to_owned()), "UTC");
    let window = quarter_days.window_of(&key("2025-07-01-06:00")).unwrap();
    assert_eq!(window.end, time("2025-07-01T12:00:00Z"));
    assert_eq!(quarter_days.window_of(&key("2025-07-01-07:00")), None);
}

#[test]
fn what_is_wrong_with_a_definition_of_windows_is_named() {
    let problem = |cadence: Cadence, start: &str, zone: &str, format: Option<&str>| {
        let mut def = windows_since(cadence, start, zone);
        def.format = format.map(str::to_owned);
        PartitionsDef::TimeWindow(def).validate().remove(0)
    };
    let cron = |text: &str| Cadence::Cron(text.to_owned());
    assert!(matches!(
        problem(Cadence::Daily, "2025-07-01", "Europe/Lundon", None),
        PartitionsProblem::Zone(_)
    ));
    assert!(matches!(
        problem(Cadence::Daily, "1st of July", "UTC", None),
        PartitionsProblem::Time { .. }
    ));
    assert!(matches!(
        problem(cron("0 25 * * *"), "2025-07-01", "UTC", None),
        PartitionsProblem::Cron(_)
    ));
    assert!(matches!(
        problem(cron("*/5 * * * * *"), "2025-07-01", "UTC", None),
        PartitionsProblem::CronSeconds { .. }
    ));
    for format in ["%Y-%m-%d", "%H:%M", "always", "%Q"] {
        assert!(matches!(
            problem(Cadence::Hourly, "2025-07-01T06:00", "UTC", Some(format)),
            PartitionsProblem::Format { .. }
        ));
    }
}
