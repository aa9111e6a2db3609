//! Plans of edits of schedules that tick on: what becomes of the ticks that wait, and that it does.

use millstream_control::{Changes, Heir, JobOff, Lapsing, changes_between};
use millstream_model::{
    ContentHash, FileVersion, Manifest, RunStatus, SkipReason, TickStatus, Timestamp,
};
use millstream_testkit::definitions::live;

use crate::bench::location;
use crate::edits::{kept, plan, row, switch, waiting};
use crate::schedules::{World, at, job_with, parsed, tenant};

/// The schedule with more keys.
fn with(keys: &str) -> String {
    kept("* * * * *").replace("job: etl,", &format!("job: etl, {keys},"))
}

fn limited(to: &str) -> String {
    kept("* * * * *").replace("max_active_runs: 1,", to)
}

/// What is said of the ticks that wait: those that lapse, are skipped, kept, made up for and held.
fn counts(changes: &Changes) -> [u32; 5] {
    let Changes { lapsing, skipped, kept, made_up, held, .. } = changes;
    let sum = |rows: &[Lapsing]| rows.iter().map(|it| it.count).sum();
    [sum(lapsing), sum(skipped), sum(kept), sum(made_up), sum(held)]
}

/// The one reason for which ticks are said to be skipped.
fn reason(changes: &Changes) -> String {
    let skipped = changes.skipped.first().unwrap();
    assert_eq!((changes.skipped.len(), skipped.name.as_str()), (1, "schedule it"));
    skipped.reason.as_ref().unwrap().to_string()
}

/// The file with its job switched off.
fn off(text: &str) -> String {
    text.replace("  etl:\n", "  etl:\n    enabled: false\n")
}

/// Has the first run end, and the schedule see it.
async fn end_first(world: &mut World) {
    let run = world.runs("default").await.first().unwrap().run_id;
    world.control().cancel(&tenant("default"), run, "ana").await.unwrap();
    world.go_to("2026-06-01T08:04:45").await;
}

fn job_off(name: &str, off: bool) -> Vec<JobOff> {
    vec![JobOff { name: name.to_owned(), off }]
}

#[tokio::test]
async fn a_job_that_is_off_leaves_the_times_of_its_schedule_and_has_its_ticks_skipped() {
    let mut world = waiting().await;
    let text = off(&kept("* * * * *"));
    let changes = plan(&world, &text).await;
    assert_eq!((&changes.retimed, &changes.job_off), (&vec![], &job_off("schedule it", true)));
    let reason = Some(SkipReason::JobDisabled {});
    assert_eq!(changes.skipped, [Lapsing { reason: reason.clone(), ..row("schedule it") }]);
    assert_eq!(counts(&changes), [0, 3, 0, 0, 0]);
    world.load(&[("one.yaml", &text)]).await;
    end_first(&mut world).await;
    let ticks = world.ticks("default", "it").await;
    let skipped: Vec<Timestamp> =
        ticks.iter().filter(|it| it.skipped == reason).map(|it| it.nominal).collect();
    let minutes = ["08:02", "08:03", "08:04"].map(|it| at(&format!("2026-06-01T{it}")));
    assert_eq!(skipped, minutes, "as it was told");
}

#[tokio::test]
async fn a_job_that_is_on_again_has_the_ticks_that_wait_request_their_runs() {
    let mut world = waiting().await;
    let (on, off) = (kept("* * * * *"), off(&kept("* * * * *")));
    world.load(&[("one.yaml", &off)]).await;
    assert_eq!(plan(&world, &off).await, Changes::default());
    let changes = plan(&world, &on).await;
    assert_eq!((&changes.retimed, &changes.job_off), (&vec![], &job_off("schedule it", false)));
    assert_eq!(changes.held, [row("schedule it")]);
    // What somebody said by hand counts over the files.
    let (id, etl) = (tenant("default"), "etl".parse().unwrap());
    for by_hand in [true, false] {
        let job = (&location(), &etl);
        world.control().override_job(&id, job, Some(by_hand), "ana").await.unwrap();
        let changes = plan(&world, &on).await;
        assert_eq!((changes.job_off.len(), counts(&changes)), (0, [0; 5]), "{by_hand}");
    }
}

fn manifest(text: &str) -> Manifest {
    let (name, hash) = ("one.yaml".to_owned(), ContentHash::of(b"one"));
    Manifest::merge(location(), [(FileVersion { name, hash }, &parsed("one.yaml", text))])
}

#[tokio::test]
async fn a_schedule_is_told_with_the_tenants_in_which_its_job_is_off() {
    let two = |text: &str| format!("tenants: {{ ewr: {{}}, jfk: {{}} }}\n{text}");
    let (on, none) = (two(&kept("* * * * *")), two("jobs: {}"));
    let now = at("2026-06-01T08:00");
    let told = |old: &str, new: &str| {
        let changes = changes_between(&manifest(old), &manifest(new), now);
        (changes.job_off, changes.retimed.len())
    };
    assert_eq!(told(&on, &off(&on)), (job_off("schedule it", true), 0));
    assert_eq!(told(&off(&on), &on), (job_off("schedule it", false), 0));
    assert_eq!(told(&none, &off(&on)), (job_off("schedule it", true), 1), "a new one");
    assert_eq!(told(&off(&on), &none), (vec![], 1));
    let renamed = |text: &str| text.replace("it: {", "that: {renamed_from: it, ");
    assert_eq!(told(&on, &renamed(&off(&on))), (job_off("schedule that", true), 0));
    assert_eq!(told(&off(&on), &renamed(&off(&on))), (vec![], 0));
    let stopped = off(&on).replace("it: {", "it: {enabled: false, ");
    assert_eq!(told(&on, &stopped), (vec![], 1), "it does not tick");

    let world = World::of(&[("one.yaml", &on)], "2026-06-01T08:00").await;
    let (id, etl) = (tenant("jfk"), "etl".parse().unwrap());
    world.control().override_job(&id, (&location(), &etl), Some(true), "ana").await.unwrap();
    assert_eq!(plan(&world, &off(&on)).await.job_off, job_off("schedule it in ewr", true));
}

#[tokio::test]
async fn a_plan_tells_what_a_deadline_and_a_condition_make_of_ticks_that_wait() {
    let edits = [
        ("deadline: 90s", [0, 1, 0, 0, 2], "its time passed more than 1m 30s ago (deadline)"),
        ("when: 'false'", [0, 3, 0, 0, 0], "its condition does not hold: false"),
        ("when: '{{ env.X }}'", [0, 3, 0, 0, 0], "its condition does not hold: {{ env.X }}"),
    ];
    for (keys, told, why) in edits {
        let world = waiting().await;
        let changes = plan(&world, &with(keys)).await;
        assert_eq!((counts(&changes), reason(&changes).as_str()), (told, why), "{keys}");
    }
    let mut world = waiting().await;
    world.load(&[("one.yaml", &with("deadline: 3m, when: 'true'"))]).await;
    assert_eq!(counts(&plan(&world, &with("when: 'true'")).await), [0, 0, 0, 0, 3]);
    world.bench.clock.set(at("2026-06-01T08:05:30"));
    let changes = plan(&world, &with("when: 'true'")).await;
    assert_eq!(counts(&changes), [0, 0, 0, 0, 4], "one that would have been too late among them");
    assert_eq!(counts(&plan(&world, &with("when: 'true', deadline: 2m")).await), [0, 1, 0, 0, 2]);
}

#[tokio::test]
async fn a_plan_tells_how_many_ticks_another_limit_lets_start_at_once() {
    let edits = [("", 3, 0), ("max_active_runs: 3,", 2, 1), ("max_active_runs: 9,", 3, 0)];
    for (limit, at_once, later) in edits {
        let mut world = waiting().await;
        let changes = plan(&world, &limited(limit)).await;
        assert_eq!(counts(&changes), [0, 0, 0, at_once, later], "{limit}");
        world.load(&[("one.yaml", &limited(limit))]).await;
        // It is looked at again within seconds.
        world.go_to("2026-06-01T08:04:40").await;
        let runs = world.runs("default").await.len();
        assert_eq!(runs, 1 + at_once as usize, "{limit}: as it was told");
        if later > 0 {
            let lowered = plan(&world, &kept("* * * * *")).await;
            assert_eq!(counts(&lowered), [0, 0, 0, 0, later], "they wait for more runs");
        }
    }
}

#[tokio::test]
async fn what_waits_under_a_name_that_is_taken_back_is_told_with_who_could_take_it_over() {
    let renamed = |name: &str, before: &str| {
        kept("* * * * *").replace("it: {", &format!("{name}: {{renamed_from: {before}, "))
    };
    let mut world = waiting().await;
    // Nobody has seen the new name yet, so that it takes nothing along.
    world.bench.scan(vec![live("one.yaml", parsed("one.yaml", &renamed("that", "it")))]).await;
    assert_eq!(counts(&plan(&world, &kept("* * * * *")).await), [0; 5]);
    let stopped = renamed("that", "it").replace("{ren", "{enabled: false, ren");
    assert_eq!(plan(&world, &stopped).await.kept, [row("schedule that")]);
    world.pass().await;
    let changes = plan(&world, &kept("* * * * *")).await;
    let heir = Heir { name: "schedule it".to_owned(), renamed_from: "that".to_owned() };
    assert_eq!(changes.kept, [Lapsing { heir: Some(heir), ..row("schedule that") }]);
    assert_eq!(counts(&plan(&world, &renamed("it", "that")).await), [0; 5], "they go on");
    let gone = plan(&world, "jobs: {}").await;
    assert_eq!(gone.kept, [row("schedule that")], "nothing has the old name");

    world.load(&[("one.yaml", &kept("* * * * *"))]).await;
    let id = tenant("default");
    let row = world.control().schedule_view(&id, "it").await.unwrap();
    assert_eq!(row.waiting, None, "as it was told");
}

/// What the history of `it` has after so many ticks: runs that were requested, and skipped ticks.
async fn history(world: &World, seen: usize) -> (u32, u32) {
    let ticks = world.ticks("default", "it").await;
    let launched = ticks.iter().skip(seen).filter(|it| it.status == TickStatus::Launched).count();
    let one_line = |reason: &SkipReason| match reason {
        SkipReason::Retimed { count, .. } => *count,
        _ => 1,
    };
    let skipped = ticks.iter().skip(seen).filter_map(|it| it.skipped.as_ref()).map(one_line).sum();
    (u32::try_from(launched).unwrap(), skipped)
}

#[tokio::test]
async fn a_plan_counts_what_waits_since_the_last_daemon_too() {
    let hourly = |keys: &str| job_with(&format!("cron: '@hourly', {keys}"));
    let (last, all) = (hourly("catch_up: last"), hourly("catch_up: all"));
    let edits = [
        (&last, hourly("catch_up: none"), [1, 0, 0, 0, 0], (0, 4)),
        (&last, hourly("catch_up: all"), [0, 0, 0, 4, 0], (4, 0)),
        (&last, hourly("deadline: 10m"), [0, 1, 0, 0, 0], (0, 4)),
        (&last, hourly("when: 'no'"), [0, 1, 0, 0, 0], (0, 4)),
        (&last, off(&last), [0, 1, 0, 0, 0], (0, 4)),
        (&last, hourly("enabled: false"), [4, 0, 0, 0, 0], (0, 0)),
        (&last, hourly("max_active_runs: 1"), [0, 0, 0, 1, 0], (1, 3)),
        (&last, job_with("cron: '15 * * * *'"), [4, 0, 0, 0, 0], (0, 4)),
        (&all, hourly("catch_up: last"), [3, 0, 0, 1, 0], (1, 3)),
        (&all, hourly("catch_up: all, deadline: 2h"), [0, 2, 0, 2, 0], (2, 2)),
        (&all, hourly("catch_up: all, max_active_runs: 1"), [0, 0, 0, 1, 3], (1, 0)),
        (&all, hourly("catch_up: all, when: 'no'"), [0, 4, 0, 0, 0], (0, 4)),
        (&all, off(&all), [0, 4, 0, 0, 0], (0, 4)),
        (&all, hourly("catch_up: all, enabled: false"), [0, 0, 4, 0, 0], (0, 0)),
        (&all, hourly("catch_up: all, description: x"), [0; 5], (4, 0)),
    ];
    for (old, new, told, then) in edits {
        let mut world = World::of(&[("one.yaml", old)], "2026-06-01T08:30").await;
        world.bench.clock.set(at("2026-06-01T12:30"));
        let changes = plan(&world, &new).await;
        assert_eq!(counts(&changes), told, "{old}{new}");
        world.bench.scan(vec![live("one.yaml", parsed("one.yaml", &new))]).await;
        world.down_until("2026-06-01T12:30").await;
        assert_eq!(history(&world, 0).await, then, "as it was told: {old}{new}");
    }
}

#[tokio::test]
async fn a_schedule_that_is_on_again_while_its_job_is_off_makes_up_for_nothing() {
    let mut world = waiting().await;
    let (text, stopped) = (kept("* * * * *"), with("enabled: false"));
    world.load(&[("one.yaml", &stopped)]).await;
    assert_eq!(counts(&plan(&world, &text).await), [0, 0, 0, 0, 3]);
    let changes = plan(&world, &off(&text)).await;
    assert_eq!(
        (counts(&changes), reason(&changes).as_str()),
        ([0, 3, 0, 0, 0], "its job is switched off")
    );
    end_first(&mut world).await;
    assert_eq!(world.runs("default").await[0].status, RunStatus::Canceled);
    assert_eq!(counts(&plan(&world, &text).await), [0, 0, 0, 1, 2], "its run is over");
    switch(&world, false).await;
    assert_eq!(counts(&plan(&world, &text).await), [0; 5], "it is off by hand");
}
