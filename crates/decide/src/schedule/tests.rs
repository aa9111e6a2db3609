//! Due ticks by policy, around edits, exclusions, limits and clocks that jump.

use std::time::Duration;

use millstream_model::{
    CatchUp, Exclusion, HumanDuration, JobName, LocationName, Manifest, ScheduleCron, ScheduleDef,
    ScheduleTarget, SkipReason, TenantDef, Timestamp,
};

use super::due::LOOK_AGAIN;
use super::*;

fn at(text: &str) -> Timestamp {
    Timestamp::from(text.parse::<jiff::Timestamp>().unwrap())
}

fn hourly() -> ScheduleDef {
    let job: JobName = "sync".parse().unwrap();
    let cron = ScheduleCron::Text("0 * * * *".to_owned());
    ScheduleDef::new("hourly".parse().unwrap(), cron, ScheduleTarget::Job(job))
}

fn timing(def: &ScheduleDef) -> Timing {
    let location: LocationName = "files".parse().unwrap();
    let manifest = Manifest::merge(location, []);
    Timing::of(def, &TenantDef::default(), &manifest).unwrap().unwrap()
}

fn policy(catch_up: CatchUp) -> TickPolicy {
    TickPolicy { catch_up, deadline: None, max_active_runs: None, active_runs: 0 }
}

/// The hours that fire and those that are skipped, of an hourly schedule last decided at 08:00.
fn hours(policy: &TickPolicy, now: &str) -> (Vec<i8>, Vec<i8>) {
    let timing = timing(&hourly());
    let decided = decide(&timing, policy, at("2026-03-01T08:00:00Z"), at(now));
    let hour = |tick: &DueTick| timing.local(tick.nominal).hour();
    let (fired, skipped): (Vec<_>, Vec<_>) =
        decided.ticks.iter().partition(|tick| tick.verdict == TickVerdict::Fire);
    (fired.into_iter().map(hour).collect(), skipped.into_iter().map(hour).collect())
}

#[test]
fn r186_three_hours_down_make_no_run_one_or_three() {
    let now = "2026-03-01T11:30:00Z";
    assert_eq!(hours(&policy(CatchUp::None), now), (vec![], vec![9, 10, 11]));
    assert_eq!(hours(&policy(CatchUp::Last), now), (vec![11], vec![9, 10]));
    assert_eq!(hours(&policy(CatchUp::All), now), (vec![9, 10, 11], vec![]));
}

#[test]
fn r186_a_deadline_bounds_what_is_made_up_for() {
    let deadline = Some(HumanDuration::from_secs(2 * 3_600));
    let policy = TickPolicy { deadline, ..policy(CatchUp::All) };
    assert_eq!(hours(&policy, "2026-03-01T11:30:00Z"), (vec![10, 11], vec![9]));
}

#[test]
fn a_deadline_of_less_than_a_minute_is_kept_whatever_the_policy() {
    let deadline = Some(HumanDuration::from_secs(10));
    for catch_up in [CatchUp::All, CatchUp::Last, CatchUp::None] {
        let policy = TickPolicy { deadline, ..policy(catch_up) };
        assert_eq!(hours(&policy, "2026-03-01T09:00:10Z"), (vec![9], vec![]));
        assert_eq!(hours(&policy, "2026-03-01T09:00:11Z"), (vec![], vec![9]));
    }
}

#[test]
fn a_deadline_of_nothing_skips_no_tick_that_comes_as_soon_as_it_can() {
    let deadline = Some(HumanDuration::from_secs(0));
    let policy = TickPolicy { deadline, ..policy(CatchUp::All) };
    assert_eq!(hours(&policy, "2026-03-01T09:00:05Z"), (vec![9], vec![]));
    assert_eq!(hours(&policy, "2026-03-01T10:00:01Z"), (vec![10], vec![9]));
    assert_eq!(hours(&policy, "2026-03-01T09:00:06Z"), (vec![], vec![9]));
}

#[test]
fn a_tick_that_is_seconds_late_is_not_missed_whatever_the_policy() {
    assert_eq!(hours(&policy(CatchUp::None), "2026-03-01T09:00:59Z"), (vec![9], vec![]));
    assert_eq!(hours(&policy(CatchUp::None), "2026-03-01T09:01:01Z"), (vec![], vec![9]));
}

#[test]
fn nothing_is_due_before_its_time_and_the_next_time_is_known() {
    let now = at("2026-03-01T08:59:59Z");
    let decided =
        decide(&timing(&hourly()), &policy(CatchUp::All), at("2026-03-01T08:00:00Z"), now);
    assert_eq!(decided.ticks, []);
    assert_eq!(decided.cursor, at("2026-03-01T08:00:00Z"));
    assert_eq!(decided.next_due, Some(at("2026-03-01T09:00:00Z")));
}

#[test]
fn a_clock_set_back_makes_nothing_due_again() {
    let cursor = at("2026-03-01T11:00:00Z");
    let now = at("2026-03-01T09:30:00Z");
    let decided = decide(&timing(&hourly()), &policy(CatchUp::All), cursor, now);
    assert_eq!((decided.ticks.len(), decided.cursor), (0, cursor));
    assert_eq!(decided.next_due, Some(at("2026-03-01T12:00:00Z")));
}

#[test]
fn r187_a_tick_is_skipped_while_as_many_runs_as_allowed_are_under_way() {
    let limited =
        |active_runs| TickPolicy { max_active_runs: Some(1), active_runs, ..policy(CatchUp::Last) };
    let now = "2026-03-01T09:00:01Z";
    assert_eq!(hours(&limited(0), now), (vec![9], vec![]));
    assert_eq!(hours(&limited(1), now), (vec![], vec![9]));
}

#[test]
fn r187_where_every_tick_is_wanted_the_next_waits_for_the_run_before() {
    let policy = TickPolicy { max_active_runs: Some(1), ..policy(CatchUp::All) };
    let now = at("2026-03-01T11:30:00Z");
    let decided = decide(&timing(&hourly()), &policy, at("2026-03-01T08:00:00Z"), now);
    assert_eq!(decided.ticks.len(), 1);
    assert_eq!(decided.cursor, at("2026-03-01T09:00:00Z"));
    assert_eq!((decided.next_due, decided.waits_for), (Some(now.after(LOOK_AGAIN)), Some(1)));
}

#[test]
fn a_long_row_of_missed_ticks_is_one_line_that_counts_them() {
    let mut def = hourly();
    def.cron = ScheduleCron::Text("* * * * *".to_owned());
    let now = at("2026-03-01T16:00:30Z");
    let cursor = at("2026-03-01T08:00:00Z");
    let decided = decide(&timing(&def), &policy(CatchUp::None), cursor, now);
    let [missed, fired] = decided.ticks.as_slice() else { panic!("{:?}", decided.ticks) };
    assert_eq!(fired.verdict, TickVerdict::Fire);
    let TickVerdict::Skip(SkipReason::ManyMissed { count, first, .. }) = &missed.verdict else {
        panic!("{missed:?}")
    };
    assert_eq!((*count, *first), (479, at("2026-03-01T08:01:00Z")));
}

#[test]
fn a_long_row_of_ticks_past_the_deadline_is_one_line_too_and_a_short_one_is_not() {
    let mut def = hourly();
    def.cron = ScheduleCron::Text("* * * * *".to_owned());
    let deadline = Some(HumanDuration(Duration::from_mins(10)));
    let policy = TickPolicy { deadline, ..policy(CatchUp::All) };
    let decided = |from: &str| {
        let ticks = decide(&timing(&def), &policy, at(from), at("2026-03-01T09:00:30Z")).ticks;
        let skips = |it: &DueTick| match &it.verdict {
            TickVerdict::Skip(reason) => Some((it.nominal, reason.clone())),
            TickVerdict::Fire => None,
        };
        ticks.iter().filter_map(skips).collect::<Vec<_>>()
    };
    let deadline = HumanDuration(Duration::from_mins(10));
    let first = at("2026-03-01T08:30:00Z");
    let many = SkipReason::ManyTooLate { count: 21, first, deadline };
    assert_eq!(decided("2026-03-01T08:29:00Z"), [(at("2026-03-01T08:50:00Z"), many)]);
    assert_eq!(decided("2026-03-01T08:30:00Z").len(), 20);
}

#[test]
fn a_flood_of_missed_ticks_is_decided_in_portions_without_a_gap() {
    let mut def = hourly();
    def.cron = ScheduleCron::Text("* * * * * *".to_owned());
    let timing = timing(&def);
    let now = at("2026-03-01T08:00:00Z");
    let mut cursor = at("2026-03-01T07:30:00Z");
    let mut fired = Vec::new();
    for _ in 0..100 {
        let decided = decide(&timing, &policy(CatchUp::All), cursor, now);
        fired.extend(decided.ticks.iter().map(|tick| tick.nominal));
        cursor = decided.cursor;
        if decided.next_due.is_none_or(|next| next > now) {
            break;
        }
    }
    assert_eq!(fired.len(), 1_800);
    assert!(fired.is_sorted_by(|a, b| a < b));
}

#[test]
fn an_excluded_day_is_skipped_by_name_and_left_out_of_the_preview() {
    let mut def = hourly();
    def.cron = ScheduleCron::Text("0 6 * * *".to_owned());
    def.timezone = "Asia/Kolkata".to_owned();
    def.exclude = vec![Exclusion::Days("2026-12-25..2026-12-26".parse().unwrap())];
    let timing = timing(&def);
    let from = at("2026-12-24T12:00:00Z");
    let fires = timing.upcoming(from, 2);
    assert_eq!(fires, [at("2026-12-27T00:30:00Z"), at("2026-12-28T00:30:00Z")]);
    let decided = decide(&timing, &policy(CatchUp::All), from, at("2026-12-25T00:30:00Z"));
    let skip = SkipReason::Excluded { by: "2026-12-25..2026-12-26".to_owned() };
    assert_eq!(decided.ticks[0].verdict, TickVerdict::Skip(skip));
    assert!(timing.excluded_time(at("2026-12-25T00:30:00Z")).is_some());
    assert_eq!(timing.excluded_time(at("2026-12-25T00:31:00Z")), None, "it is none of its times");
}

#[test]
fn the_last_missed_tick_is_the_last_that_is_not_excluded() {
    let mut def = hourly();
    def.cron = ScheduleCron::Text("0 6 * * *".to_owned());
    def.exclude = vec![Exclusion::Days("2026-12-25..2026-12-26".parse().unwrap())];
    let (from, now) = (at("2026-12-22T12:00:00Z"), at("2026-12-26T12:00:00Z"));
    let decided = decide(&timing(&def), &policy(CatchUp::Last), from, now);
    let fired: Vec<_> = decided.ticks.iter().filter(|t| t.verdict == TickVerdict::Fire).collect();
    assert_eq!(fired.len(), 1);
    assert_eq!(fired[0].nominal, at("2026-12-24T06:00:00Z"));
}

#[test]
fn a_schedule_ticks_from_its_start_to_its_end() {
    let mut def = hourly();
    def.start = Some("2026-03-01T10:00".to_owned());
    def.end = Some("2026-03-01T12:00".to_owned());
    let timing = timing(&def);
    let fires = timing.upcoming(at("2026-02-01T00:00:00Z"), 9);
    assert_eq!(fires, [at("2026-03-01T10:00:00Z"), at("2026-03-01T11:00:00Z")]);
}

#[test]
fn r185_an_edited_expression_moves_the_next_time_and_fires_nothing_that_passed() {
    let old = timing(&hourly());
    let mut def = hourly();
    def.cron = ScheduleCron::Text("15 * * * *".to_owned());
    let new = timing(&def);
    let now = at("2026-03-01T11:30:00Z");
    let known =
        Standing { cursor: at("2026-03-01T08:00:00Z"), timing: old.hash().clone(), is_on: true };
    let (standing, next_due) =
        adopt(&new, Some(&known), Look { is_on: true, catch_up: CatchUp::All, now }).unwrap();
    assert_eq!(standing.cursor, now);
    assert_eq!(next_due, Some(at("2026-03-01T12:15:00Z")));
    assert_eq!(
        adopt(&new, Some(&standing), Look { is_on: true, catch_up: CatchUp::All, now }),
        None
    );
}

#[test]
fn what_was_due_by_a_timing_that_is_edited_is_counted_with_its_first_and_its_last() {
    let mut def = hourly();
    def.exclude = vec![Exclusion::Days("2026-03-02".parse().unwrap())];
    let old = timing(&def);
    let cursor = at("2026-03-01T22:00:00Z");
    let lapsed = |old: &Timing, cursor, now| LapsedTicks::default().of(old, cursor, now);
    assert_eq!(lapsed(&old, cursor, at("2026-03-01T22:59:59Z")), None);
    let last = at("2026-03-01T23:00:00Z");
    let one = Lapsed { count: 1, first: last, last };
    assert_eq!(lapsed(&old, cursor, last), Some(one));
    assert_eq!(lapsed(&old, cursor, at("2026-03-02T12:00:00Z")), Some(one), "the rest is excluded");
    let three = Lapsed { count: 3, last: at("2026-03-03T01:00:00Z"), ..one };
    assert_eq!(lapsed(&old, cursor, at("2026-03-03T01:00:00Z")), Some(three));
    def.cron = ScheduleCron::Text("* * * * * *".to_owned());
    let flood = lapsed(&timing(&def), cursor, at("2027-03-01T00:00:00Z")).unwrap();
    assert_eq!(flood.count, SkipReason::RETIMED_MAX);
}

#[test]
fn what_lapses_in_many_tenants_is_counted_once_and_no_further_than_it_is_told() {
    let mut def = hourly();
    def.cron = ScheduleCron::Text("* * * * *".to_owned());
    let old = timing(&def);
    let (cursor, now) = (at("2026-01-01T00:00:00Z"), at("2026-12-01T00:00:00Z"));
    let mut counts = LapsedTicks::default();
    for tenant in 0..1_000 {
        let last = at("2026-01-01T16:40:00Z");
        let all = Lapsed { count: 1_000, first: at("2026-01-01T00:01:00Z"), last };
        assert_eq!(counts.of(&old, cursor, now), Some(all), "{tenant}");
    }
    let looked_at: u32 = counts.0.values().flatten().map(|it| it.count).sum();
    assert_eq!(looked_at, 1_000, "of all tenants together");
    assert_eq!(counts.of(&old, at("2026-11-30T23:58:30Z"), now).unwrap().count, 2);
    assert_eq!(counts.of(&timing(&hourly()), cursor, cursor), None, "another timing and time");
}

#[test]
fn what_is_in_time_of_the_ticks_that_lapse_is_what_would_have_fired() {
    let timing = timing(&hourly());
    let cursor = at("2026-03-01T00:00:00Z");
    for now in ["2026-03-01T11:59:59Z", "2026-03-01T12:00:00Z", "2026-03-01T12:00:00.000001Z"] {
        for deadline in [None, Some("1s"), Some("1h"), Some("100h")] {
            let deadline: Option<HumanDuration> = deadline.map(|it| it.parse().unwrap());
            let policy = TickPolicy { deadline, ..policy(CatchUp::All) };
            let ticks = decide(&timing, &policy, cursor, at(now)).ticks;
            let fires = ticks.iter().filter(|it| it.verdict == TickVerdict::Fire).count();
            let from = in_time(cursor, deadline, at(now));
            let counted = LapsedTicks::default().of(&timing, from, at(now));
            let counted = counted.map_or(0, |it| it.count);
            assert_eq!(usize::try_from(counted), Ok(fires), "{now} {deadline:?}");
            let waits = waiting(&timing, (cursor, deadline), (at(now), 1_000));
            assert_eq!(waits.map_or(0, |it| it.0), counted, "{now} {deadline:?}");
        }
    }
}

#[test]
fn what_passed_while_it_was_stopped_is_made_up_for_only_where_everything_is() {
    let timing = timing(&hourly());
    let (stopped, now) = (at("2026-03-01T08:00:00Z"), at("2026-03-01T11:30:00Z"));
    let known = Standing { cursor: stopped, timing: timing.hash().clone(), is_on: false };
    let cursor = |catch_up| {
        let (standing, _) =
            adopt(&timing, Some(&known), Look { is_on: true, catch_up, now }).unwrap();
        standing.cursor
    };
    assert_eq!(cursor(CatchUp::Last), now);
    assert_eq!(cursor(CatchUp::None), now);
    assert_eq!(cursor(CatchUp::All), stopped);
}

#[test]
fn r150_an_evening_in_new_york_keeps_its_hour_over_both_changes_of_the_clock() {
    let mut def = hourly();
    def.cron = ScheduleCron::Text("0 21 * * 1-5".to_owned());
    def.timezone = "America/New_York".to_owned();
    let timing = timing(&def);
    let spring = timing.upcoming(at("2026-03-06T00:00:00Z"), 3);
    let utc = ["2026-03-06T02:00:00Z", "2026-03-07T02:00:00Z", "2026-03-10T01:00:00Z"];
    assert_eq!(spring, utc.map(at));
    let autumn = timing.upcoming(at("2026-10-30T12:00:00Z"), 2);
    assert_eq!(autumn, ["2026-10-31T01:00:00Z", "2026-11-03T02:00:00Z"].map(at));
}
