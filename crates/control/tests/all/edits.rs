//! Edits of schedules whose ticks are due and not decided yet: what lapses is told.

use millstream_control::{Changes, FileChange, FileOutcome, Lapsing, Proposal, Rollback};
use millstream_model::{SkipReason, Timestamp};
use millstream_testkit::definitions::live;

use crate::schedules::{World, at, job_with, parsed, tenant};

/// A schedule that wants each of its ticks, one run at a time.
const KEPT: &str = "max_active_runs: 1, catch_up: all";

pub(crate) fn kept(cron: &str) -> String {
    job_with(&format!("cron: '{cron}', {KEPT}"))
}

/// The schedule at 08:04:30, each minute: the first tick runs, and three wait.
pub(crate) async fn waiting() -> World {
    let mut world = World::of(&[("one.yaml", &kept("* * * * *"))], "2026-06-01T08:00").await;
    world.go_to("2026-06-01T08:04:30").await;
    world
}

/// The lines of the history for ticks that lapsed, the oldest first: when, how many, from when on.
async fn lapsed(world: &World) -> Vec<(Timestamp, u32, Timestamp)> {
    let ticks = world.ticks("default", "it").await;
    let of = |reason: &Option<SkipReason>| match reason {
        Some(SkipReason::Retimed { count, first }) => Some((*count, *first)),
        _ => None,
    };
    ticks
        .iter()
        .filter_map(|it| of(&it.skipped).map(|(count, first)| (it.nominal, count, first)))
        .collect()
}

fn three() -> Vec<(Timestamp, u32, Timestamp)> {
    vec![(at("2026-06-01T08:04"), 3, at("2026-06-01T08:02"))]
}

#[tokio::test]
async fn ticks_that_wait_when_a_timing_is_edited_are_one_line_of_the_history() {
    let mut world = waiting().await;
    world.load(&[("one.yaml", &kept("*/7 * * * *"))]).await;
    assert_eq!(lapsed(&world).await, three());
    let said = "3 ticks from 2026-06-01T08:02:00Z on were not decided before the timing was edited";
    assert_eq!(world.reasons().await, [said]);
    let row = world.control().schedule_view(&tenant("default"), "it").await.unwrap();
    assert_eq!((row.waiting, row.next_at), (None, Some(at("2026-06-01T08:07"))));
    let run = world.runs("default").await[0].run_id;
    world.control().cancel(&tenant("default"), run, "ana").await.unwrap();
    world.go_to("2026-06-01T08:10").await;
    assert_eq!(world.runs("default").await.len(), 2, "what lapsed is not made up for");
    assert_eq!(world.ticks("default", "it").await.len(), 3);
}

#[tokio::test]
async fn what_passed_while_no_daemon_ran_lapses_with_an_edit_too() {
    let mut world = World::with("cron: '@hourly'", "2026-06-01T08:30").await;
    world.bench.clock.set(at("2026-06-01T11:30"));
    let text = job_with("cron: '15 * * * *'");
    world.bench.scan(vec![live("one.yaml", parsed("one.yaml", &text))]).await;
    world.down_until("2026-06-01T11:31").await;
    let line = (at("2026-06-01T11:00"), 3, at("2026-06-01T09:00"));
    assert_eq!(lapsed(&world).await, [line]);
}

#[tokio::test]
async fn an_edit_of_anything_else_has_nothing_lapse() {
    let mut world = waiting().await;
    let text = kept("* * * * *").replace("max_active_runs: 1", "max_active_runs: 2");
    world.load(&[("one.yaml", &text)]).await;
    world.go_to("2026-06-01T08:04:40").await;
    assert_eq!(lapsed(&world).await, []);
    assert_eq!(world.runs("default").await.len(), 2, "they go on");
}

/// Stops or starts the schedule by hand.
pub(crate) async fn switch(world: &World, on: bool) {
    let id = tenant("default");
    world.control().switch_schedule(&id, "it", (Some(on), "ana")).await.unwrap();
}

/// Takes the file away.
async fn remove(world: &mut World) {
    let gone = FileChange { name: "one.yaml".to_owned(), outcome: FileOutcome::Deleted };
    world.bench.scan(vec![gone]).await;
    world.pass().await;
}

/// The three that waited, and the two that passed until 08:06:30.
fn five() -> Vec<(Timestamp, u32, Timestamp)> {
    vec![(at("2026-06-01T08:06"), 5, at("2026-06-01T08:02"))]
}

#[tokio::test]
async fn what_a_stopped_schedule_would_make_up_for_lapses_with_an_edit() {
    let mut world = waiting().await;
    switch(&world, false).await;
    world.go_to("2026-06-01T08:06:30").await;
    world.load(&[("one.yaml", &kept("*/7 * * * *"))]).await;
    assert_eq!(lapsed(&world).await, five());
    world.go_to("2026-06-01T08:08").await;
    switch(&world, true).await;
    let row = world.control().schedule_view(&tenant("default"), "it").await.unwrap();
    assert_eq!(row.waiting.map(|it| (it.count, it.since)), Some((1, at("2026-06-01T08:07"))));
    world.pass().await;
    assert_eq!(lapsed(&world).await, five(), "nothing more lapses when it starts");
}

#[tokio::test]
async fn what_waited_when_a_schedule_left_the_files_lapses_when_it_comes_back_with_another_timing()
{
    let mut world = waiting().await;
    remove(&mut world).await;
    world.go_to("2026-06-01T08:06:30").await;
    world.load(&[("one.yaml", &kept("*/7 * * * *"))]).await;
    assert_eq!(lapsed(&world).await, five());

    let mut world = waiting().await;
    remove(&mut world).await;
    world.load(&[("one.yaml", &kept("* * * * *"))]).await;
    assert_eq!(lapsed(&world).await, []);
    let row = world.control().schedule_view(&tenant("default"), "it").await.unwrap();
    assert_eq!(row.waiting.map(|it| it.count), Some(3), "by the same timing they go on waiting");
}

#[tokio::test]
async fn what_a_stopped_schedule_would_not_make_up_for_leaves_nothing_when_it_is_edited() {
    let last = |cron: &str| kept(cron).replace("catch_up: all", "catch_up: last");
    let after = async |old: &str, new: &str| {
        let mut world = World::of(&[("one.yaml", old)], "2026-06-01T08:00").await;
        switch(&world, false).await;
        world.go_to("2026-06-01T08:02:30").await;
        world.load(&[("one.yaml", new)]).await;
        lapsed(&world).await.len()
    };
    let (each, seventh) = ("* * * * *", "*/7 * * * *");
    assert_eq!(after(&last(each), &last(seventh)).await, 0);
    assert_eq!(after(&last(each), &kept(seventh)).await, 0, "it said that they lapse");
    assert_eq!(after(&kept(each), &last(seventh)).await, 1, "it said that they are kept");
}

#[tokio::test]
async fn who_switches_a_schedule_before_a_daemon_has_seen_its_edit_hears_what_lapses() {
    for on in [false, true] {
        let mut world = waiting().await;
        switch(&world, !on).await;
        let text = kept("*/7 * * * *");
        world.bench.scan(vec![live("one.yaml", parsed("one.yaml", &text))]).await;
        switch(&world, on).await;
        world.pass().await;
        assert_eq!(lapsed(&world).await, three(), "{on}");
        let next = on.then_some(at("2026-06-01T08:07"));
        let row = world.control().schedule_view(&tenant("default"), "it").await.unwrap();
        assert_eq!((row.enabled, row.next_at), (on, next));
    }
}

#[tokio::test]
async fn what_waits_when_catch_up_is_edited_is_told_tick_by_tick() {
    for catch_up in ["last", "none"] {
        let mut world = waiting().await;
        let text = kept("* * * * *").replace("catch_up: all", &format!("catch_up: {catch_up}"));
        world.load(&[("one.yaml", &text)]).await;
        world.go_to("2026-06-01T08:05").await;
        let minutes: Vec<_> =
            (1..=5).map(|minute| at(&format!("2026-06-01T08:0{minute}"))).collect();
        let ticks = world.ticks("default", "it").await;
        assert_eq!(ticks.iter().map(|it| it.nominal).collect::<Vec<_>>(), minutes, "{catch_up}");
    }
}

#[tokio::test]
async fn what_a_stopped_schedule_would_make_up_for_lapses_with_another_catch_up_when_it_starts() {
    let text = |to: &str| kept("* * * * *").replace("catch_up: all", &format!("catch_up: {to}"));
    for to in ["last", "none"] {
        let mut world = waiting().await;
        switch(&world, false).await;
        world.go_to("2026-06-01T08:06:30").await;
        let lapsing = Lapsing { count: 5, ..row("schedule it") };
        assert_eq!(planned(&world, text(to)).await, [lapsing], "{to}");
        world.load(&[("one.yaml", &text(to))]).await;
        assert_eq!(plan(&world, &text(to)).await, Changes::default());
        world.go_to("2026-06-01T08:09:30").await;
        switch(&world, true).await;
        let said =
            format!("5 ticks from 2026-06-01T08:02:00Z on passed undecided (catch_up: {to})");
        assert_eq!(world.reasons().await, [said.as_str()], "those until it was edited");
        assert_eq!(
            world.ticks("default", "it").await.last().unwrap().nominal,
            at("2026-06-01T08:06")
        );
        switch(&world, false).await;
        world.go_to("2026-06-01T08:12:30").await;
        switch(&world, true).await;
        assert_eq!(world.reasons().await, [said.as_str()], "they are told once");
    }
}

#[tokio::test]
async fn what_lapses_with_another_catch_up_is_told_where_the_files_start_the_schedule_too() {
    let text = |catch_up: &str, on: bool| {
        let text = kept("* * * * *").replace("catch_up: all", &format!("catch_up: {catch_up}"));
        text.replace("job: etl,", &format!("job: etl, enabled: {on},"))
    };
    let mut world = waiting().await;
    world.load(&[("one.yaml", &text("all", false))]).await;
    world.go_to("2026-06-01T08:06:30").await;
    let lapsing = Lapsing { count: 5, ..row("schedule it") };
    assert_eq!(planned(&world, text("last", true)).await, [lapsing]);
    world.load(&[("one.yaml", &text("last", true))]).await;
    let said = "5 ticks from 2026-06-01T08:02:00Z on passed undecided (catch_up: last)";
    assert_eq!(world.reasons().await, [said]);
}

#[tokio::test]
async fn a_stopped_schedule_that_makes_up_for_everything_again_loses_nothing() {
    let mut world = waiting().await;
    switch(&world, false).await;
    let last = kept("* * * * *").replace("catch_up: all", "catch_up: last");
    for text in [last, kept("* * * * *")] {
        world.load(&[("one.yaml", &text)]).await;
        world.go_to("2026-06-01T08:06:30").await;
    }
    switch(&world, true).await;
    let row = world.control().schedule_view(&tenant("default"), "it").await.unwrap();
    assert_eq!((row.waiting.map(|it| it.count), world.reasons().await.len()), (Some(5), 0));
}

#[tokio::test]
async fn a_plan_tells_no_times_of_a_schedule_that_is_off_by_hand() {
    let retimed = async |world: &World, text: &str| {
        let retimed = plan(world, text).await.retimed;
        retimed.into_iter().map(|it| (it.name, it.before.len(), it.after.len())).collect::<Vec<_>>()
    };
    let it = |name: &str, before, after| vec![(name.to_owned(), before, after)];
    let (world, text) = in_two().await;
    let other = text.replace("* * * * *", "*/7 * * * *");
    let renamed = other.replace("it: {", "that: {renamed_from: it, ");
    assert_eq!(retimed(&world, &other).await, it("schedule it", 5, 5));
    for (id, on) in [("ewr", false), ("jfk", false)] {
        world.control().switch_schedule(&tenant(id), "it", (Some(on), "ana")).await.unwrap();
        let told = if id == "ewr" { it("schedule it", 5, 5) } else { Vec::new() };
        assert_eq!(retimed(&world, &other).await, told);
        assert_eq!(retimed(&world, &renamed).await.len(), told.len());
    }
    assert_eq!(planned(&world, other.clone()).await.len(), 1, "what waits is told");
    world.control().switch_schedule(&tenant("jfk"), "it", (Some(true), "ana")).await.unwrap();
    let off = text.replace("it: {", "it: {enabled: false, ");
    assert_eq!(retimed(&world, &off).await, [], "what is on by hand goes on");
}

#[tokio::test]
async fn the_old_timing_is_found_through_a_new_name_and_a_new_file() {
    let mut world = waiting().await;
    let text = kept("*/7 * * * *").replace("it: {", "that: {renamed_from: it, ");
    let gone = FileChange { name: "one.yaml".to_owned(), outcome: FileOutcome::Deleted };
    world.bench.scan(vec![gone, live("two.yaml", parsed("two.yaml", &text))]).await;
    world.pass().await;
    let ticks = world.ticks("default", "that").await;
    let reason = SkipReason::Retimed { count: 3, first: at("2026-06-01T08:02") };
    assert_eq!(ticks.last().unwrap().skipped, Some(reason));
}

#[tokio::test]
async fn the_old_timing_is_found_in_the_file_of_the_tenants() {
    let tenants = |cron: &str| format!("tenants: {{ acme: {{ schedule: '{cron}' }} }}");
    let text = kept("{{ tenant.schedule }}");
    let each_minute = tenants("* * * * *");
    let files = [("a.yaml", each_minute.as_str()), ("b.yaml", text.as_str())];
    let mut world = World::of(&files, "2026-06-01T08:00").await;
    world.go_to("2026-06-01T08:04:30").await;
    world.load(&[("a.yaml", &tenants("*/7 * * * *"))]).await;
    let reason = SkipReason::Retimed { count: 3, first: at("2026-06-01T08:02") };
    assert_eq!(world.ticks("acme", "it").await.last().unwrap().skipped, Some(reason));
}

#[tokio::test]
async fn who_goes_back_to_an_older_version_hears_what_lapses() {
    let mut world = World::of(&[("one.yaml", &kept("*/7 * * * *"))], "2026-06-01T08:00").await;
    world.load(&[("one.yaml", &kept("* * * * *"))]).await;
    world.go_to("2026-06-01T08:04:30").await;
    let rollback = Rollback { file: "one.yaml".to_owned(), number: 1, by: "ana".to_owned() };
    let plan = world.control().plan_rollback(rollback).await.unwrap();
    world.control().apply_rollback(&plan).await.unwrap();
    world.pass().await;
    assert_eq!(lapsed(&world).await, three());
}

/// What a plan to have `text` says.
pub(crate) async fn plan(world: &World, text: &str) -> Changes {
    let files = [("one.yaml".to_owned(), Some(parsed("one.yaml", text)))].into();
    world.control().plan_change(Proposal { files, ..Proposal::default() }).await.unwrap()
}

/// What it says of the ticks that would lapse.
async fn planned(world: &World, text: String) -> Vec<Lapsing> {
    plan(world, &text).await.lapsing
}

/// Three ticks that wait.
pub(crate) fn row(name: &str) -> Lapsing {
    let name = name.to_owned();
    let since = at("2026-06-01T08:02");
    Lapsing { name, count: 3, at_least: false, since, reason: None, heir: None }
}

#[tokio::test]
async fn a_plan_tells_what_would_lapse() {
    let world = waiting().await;
    assert_eq!(planned(&world, kept("* * * * *")).await, []);
    assert_eq!(planned(&world, kept("*/7 * * * *")).await, [row("schedule it")]);
    let renamed = kept("*/7 * * * *").replace("it: {", "that: {renamed_from: it, ");
    assert_eq!(planned(&world, renamed).await[0].name, "schedule that");
    let same = kept("* * * * *").replace("it: {", "that: {renamed_from: it, ");
    assert_eq!(planned(&world, same).await, []);
}

#[tokio::test]
async fn a_plan_tells_what_would_lapse_of_what_is_stopped_or_in_no_file() {
    let rows = [row("schedule it")];
    let mut world = waiting().await;
    switch(&world, false).await;
    assert_eq!(planned(&world, kept("*/7 * * * *")).await, rows);
    assert_eq!(planned(&world, kept("* * * * *")).await, []);
    remove(&mut world).await;
    assert_eq!(planned(&world, kept("*/7 * * * *")).await, rows);
    assert_eq!(planned(&world, kept("* * * * *")).await, []);
}

#[tokio::test]
async fn a_plan_tells_what_would_be_made_up_for_of_what_is_on_again() {
    let mut world = waiting().await;
    assert_eq!(plan(&world, &kept("* * * * *")).await.held, [], "it ticks anyway");
    remove(&mut world).await;
    let timely = kept("* * * * *").replace("it: {", "it: {deadline: 90s, ");
    assert_eq!(plan(&world, &kept("* * * * *")).await.held, [row("schedule it")]);
    let free = kept("* * * * *").replace("max_active_runs: 1", "max_active_runs: 4");
    assert_eq!(plan(&world, &free).await.made_up, [row("schedule it")]);
    let last = Lapsing { count: 2, since: at("2026-06-01T08:03"), ..row("schedule it") };
    assert_eq!(plan(&world, &timely).await.held, [last], "the others are too late by then");
    assert_eq!(plan(&world, &kept("*/7 * * * *")).await.held, []);
    let off = kept("* * * * *").replace("it: {", "it: {enabled: false, ");
    assert_eq!(plan(&world, &off).await.held, []);
}

#[tokio::test]
async fn a_plan_tells_what_another_catch_up_would_let_go() {
    for (now, last, none) in [("08:04:30", 2, 2), ("08:04:59", 2, 2), ("08:05:30", 3, 3)] {
        let world = waiting().await;
        world.bench.clock.set(at(&format!("2026-06-01T{now}")));
        for (catch_up, count) in [("last", last), ("none", none), ("all", 0)] {
            let text = kept("* * * * *").replace("catch_up: all", &format!("catch_up: {catch_up}"));
            let lapsing: u32 = planned(&world, text).await.iter().map(|it| it.count).sum();
            assert_eq!(lapsing, count, "{catch_up} at {now}");
        }
    }
    let mut hourly = World::of(&[("one.yaml", &kept("0 * * * *"))], "2026-06-01T08:30").await;
    hourly.go_to("2026-06-01T12:30").await;
    for (catch_up, count) in [("last", 2), ("none", 3)] {
        let text = kept("0 * * * *").replace("catch_up: all", &format!("catch_up: {catch_up}"));
        let lapsing: u32 = planned(&hourly, text).await.iter().map(|it| it.count).sum();
        assert_eq!(lapsing, count, "{catch_up}: the newest is made up for by `last`");
    }
}

/// The schedule in two tenants, whose file says so, with three ticks that wait in each.
async fn in_two() -> (World, String) {
    let text = format!("tenants: {{ ewr: {{}}, jfk: {{}} }}\n{}", kept("* * * * *"));
    let mut world = World::of(&[("one.yaml", &text)], "2026-06-01T08:00").await;
    world.go_to("2026-06-01T08:04:30").await;
    (world, text)
}

#[tokio::test]
async fn a_plan_tells_of_the_ticks_that_wait_where_a_schedule_stops_in_a_tenant() {
    let (world, text) = in_two().await;
    let changes = plan(&world, &text).await;
    assert_eq!(changes, Changes::default());
    for (old, new) in
        [("jfk: {}", "jfk: { enabled: false }"), ("job: etl,", "job: etl, tenants: [ewr],")]
    {
        let changes = plan(&world, &text.replace(old, new)).await;
        assert_eq!(changes.retimed[0].name, "schedule it in jfk");
        assert_eq!((changes.kept, changes.lapsing), (vec![row("schedule it in jfk")], Vec::new()));
        let last = text.replace(old, new).replace("catch_up: all", "catch_up: last");
        let lapsing = plan(&world, &last).await.lapsing;
        let of_ewr = Lapsing { count: 2, ..row("schedule it") };
        assert_eq!(lapsing, [of_ewr, row("schedule it in jfk")], "{new}");
        let other = text.replace(old, new).replace("* * * * *", "*/7 * * * *");
        let changes = plan(&world, &other).await;
        assert_eq!(changes.lapsing, [row("schedule it")], "in ewr, which has another timing");
        assert_eq!(changes.kept, [row("schedule it in jfk")], "{new}");
    }
}

#[tokio::test]
async fn a_plan_tells_of_the_ticks_that_wait_where_a_schedule_stops_everywhere() {
    let world = waiting().await;
    let off = kept("* * * * *").replace("it: {", "it: {enabled: false, ");
    let renamed = off.replace("it: {", "that: {renamed_from: it, ");
    let rows = |changes: Changes| (changes.kept, changes.lapsing);
    assert_eq!(rows(plan(&world, &off).await), (vec![row("schedule it")], Vec::new()));
    assert_eq!(rows(plan(&world, &renamed).await), (vec![row("schedule that")], Vec::new()));
    let gone = world.control().plan_change(Proposal::default()).await.unwrap();
    assert_eq!(rows(gone), (vec![row("schedule it")], Vec::new()));
    let last = off.replace("catch_up: all", "catch_up: last");
    assert_eq!(rows(plan(&world, &last).await), (Vec::new(), vec![row("schedule it")]));
    switch(&world, true).await;
    assert_eq!(rows(plan(&world, &off).await), (Vec::new(), Vec::new()), "it is on by hand");
}

#[tokio::test]
async fn a_plan_says_where_it_has_not_counted_all_ticks_that_wait() {
    let (world, text) = in_two().await;
    world.bench.clock.set(at("2026-06-03T08:00"));
    let rows = |count| [Lapsing { count, at_least: true, ..row("schedule it") }];
    let off = plan(&world, &text.replace("it: {", "it: {enabled: false, ")).await;
    assert_eq!(off.kept, rows(2_000));
    let other = plan(&world, &text.replace("* * * * *", "*/7 * * * *")).await;
    assert_eq!(other.lapsing, rows(2_000));
}

/// The same as [`kept`] for ticks that are three minutes late at most.
fn timely(cron: &str) -> String {
    kept(cron).replace("it: {", "it: {deadline: 3m, ")
}

#[tokio::test]
async fn what_is_too_late_to_be_made_up_for_neither_lapses_nor_is_kept() {
    let text = timely("* * * * *");
    let mut world = World::of(&[("one.yaml", &text)], "2026-06-01T08:00").await;
    world.go_to("2026-06-01T08:04:30").await;
    world.bench.clock.set(at("2026-06-01T08:06:30"));
    let off = plan(&world, &text.replace("it: {", "it: {enabled: false, ")).await;
    let last_three = [Lapsing { since: at("2026-06-01T08:04"), ..row("schedule it") }];
    assert_eq!(off.kept, last_three);

    switch(&world, false).await;
    let other = timely("*/7 * * * *");
    assert_eq!(planned(&world, other.clone()).await, last_three);
    world.load(&[("one.yaml", &other)]).await;
    let line = (at("2026-06-01T08:06"), 3, at("2026-06-01T08:04"));
    assert_eq!(lapsed(&world).await, [line]);
}

#[tokio::test]
async fn what_the_live_file_says_of_a_schedule_is_told_before_a_daemon_has_taken_it_over() {
    let text = |on: bool| job_with(&format!("cron: '@hourly', enabled: {on}"));
    let world = World::of(&[("one.yaml", &text(true))], "2026-06-01T08:30").await;
    world.bench.scan(vec![live("one.yaml", parsed("one.yaml", &text(false)))]).await;
    let row = world.control().schedule_view(&tenant("default"), "it").await.unwrap();
    assert_eq!((row.enabled, row.enabled_default, row.next_at), (false, false, None));
}
