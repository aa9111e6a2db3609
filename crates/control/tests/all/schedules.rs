//! Schedules over days of a clock that the tests set: what ticks, what it requests, and why not.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_control::{Control, RunFilter, TickPass, TickWatch};
use millstream_definition::{LocationFile, Version, check_location, file_hash, parse_file};
use millstream_model::view::RunRow;
use millstream_model::{
    Cause, ErrorCode, EventBody, FileManifest, RunId, SkipReason, TenantId, TickRow, TickStatus,
    Timestamp, Zone,
};
use millstream_testkit::definitions::live;
use serde_json::{Value, json};

use crate::bench::{Bench, TIME_TO_LIVE, location, step_started, step_succeeded};

/// The example's definitions.
const EXAMPLE: [(&str, &str); 4] = [
    ("flights.yaml", include_str!("../../../../examples/asset_manager/dags/flights.yaml")),
    ("metrics.yaml", include_str!("../../../../examples/asset_manager/dags/metrics.yaml")),
    ("tenants.yaml", include_str!("../../../../examples/asset_manager/dags/tenants.yaml")),
    ("warehouse.yaml", include_str!("../../../../examples/asset_manager/dags/warehouse.yaml")),
];

/// A job of one op, for a schedule of `keys`.
pub(crate) fn job_with(keys: &str) -> String {
    format!(
        "jobs:\n  etl:\n    nodes: [{{id: a, type: noop}}]\nschedules:\n  it: {{job: etl, {keys}}}\n"
    )
}

pub(crate) fn at(text: &str) -> Timestamp {
    Timestamp::at_local(text, &Zone::UTC).unwrap()
}

pub(crate) fn tenant(id: &str) -> TenantId {
    id.parse().unwrap()
}

/// What a file says; every finding is a failure.
pub(crate) fn parsed(name: &str, text: &str) -> FileManifest {
    let parsed = parse_file(name, text.as_bytes());
    assert_eq!(parsed.diagnostics, [], "{text}");
    let content = parsed.manifest.unwrap();
    let hash = file_hash(&content);
    let version = Version { hash: &hash, manifest: &content, places: None };
    let file = LocationFile { name, newest: Some(version), draft: None, live: None };
    let manifest = check_location(location(), &[file]).manifest;
    for schedule in manifest.schedules.values() {
        let problem = Control::schedule_problem(&manifest, schedule);
        assert!(problem.is_none() || name != "one.yaml", "{problem:?}");
    }
    content
}

/// An instance at `now` with these files, whose daemon has seen them.
pub(crate) struct World {
    pub(crate) bench: Bench,
    watch: TickWatch,
    env: BTreeMap<String, String>,
}

impl World {
    pub(crate) async fn of(files: &[(&str, &str)], now: &str) -> Self {
        let bench = Bench::empty().await;
        bench.clock.set(at(now));
        let mut world = Self { bench, watch: TickWatch::default(), env: BTreeMap::new() };
        world.load(files).await;
        world
    }

    /// One file of one schedule, `it`, with these keys.
    pub(crate) async fn with(keys: &str, now: &str) -> Self {
        Self::of(&[("one.yaml", &job_with(keys))], now).await
    }

    pub(crate) async fn load(&mut self, files: &[(&str, &str)]) {
        let live = files.iter().map(|(name, text)| live(name, parsed(name, text))).collect();
        self.bench.scan(live).await;
        self.pass().await;
    }

    pub(crate) fn control(&self) -> Control {
        self.bench.control.clone().with_env(self.env.clone())
    }

    pub(crate) async fn pass(&mut self) -> TickPass {
        let control = self.control();
        control.tick_schedules("one", &mut self.watch, TIME_TO_LIVE).await.unwrap()
    }

    /// Lets the clock go on to `until`, stopping wherever something is due, as a daemon does.
    pub(crate) async fn go_to(&mut self, until: &str) {
        let until = at(until);
        loop {
            let pass = self.pass().await;
            let next = pass.next_due.filter(|due| *due <= until);
            let now = self.bench.control.now();
            let to = next.unwrap_or(until);
            self.bench.clock.advance(to.since(now));
            if next.is_none() {
                self.pass().await;
                return;
            }
        }
    }

    /// The clock goes on to `until` while no daemon runs; then one starts and works until it waits.
    pub(crate) async fn down_until(&mut self, until: &str) {
        let now = self.bench.control.now();
        self.bench.clock.advance(at(until).since(now));
        self.watch = TickWatch::default();
        while self.pass().await.next_due.is_some_and(|due| due <= at(until)) {}
    }

    pub(crate) async fn runs(&self, id: &str) -> Vec<RunRow> {
        let tenants = [tenant(id)];
        let store = self.bench.control.store();
        let mut runs = store.run_list(&tenants, &RunFilter::default(), 1_000).await.unwrap();
        runs.reverse();
        runs
    }

    pub(crate) async fn ticks(&self, id: &str, name: &str) -> Vec<TickRow> {
        let mut ticks =
            self.bench.control.schedule_ticks(&tenant(id), name, None, 1_000).await.unwrap();
        ticks.reverse();
        ticks
    }

    /// The reason of each skipped tick of `it`.
    pub(crate) async fn reasons(&self) -> Vec<String> {
        let ticks = self.ticks("default", "it").await;
        ticks.iter().filter_map(|it| it.skipped.as_ref().map(ToString::to_string)).collect()
    }
}

fn grains(runs: &[RunRow]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for run in runs {
        let key = run.partition.as_ref().unwrap().to_string();
        let grain = key.split("::").nth(1).unwrap().to_owned();
        *counts.entry(grain).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn r029_each_schedule_of_the_example_requests_the_partitions_of_its_grain() {
    // Sunday; Monday is the first of the month as well.
    let mut world = World::of(&EXAMPLE, "2026-05-31T12:00").await;
    world.go_to("2026-06-01T03:30").await;
    assert_eq!(grains(&world.runs("jfk").await), [("day".to_owned(), 3)].into());
    world.go_to("2026-06-01T06:30").await;
    let both = [("day".to_owned(), 3), ("week".to_owned(), 3)].into();
    assert_eq!(grains(&world.runs("jfk").await), both);
    world.go_to("2026-06-02T02:59").await;
    for id in ["ewr", "jfk", "lga"] {
        let runs = world.runs(id).await;
        let all = ["day", "week", "month"].map(|grain| (grain.to_owned(), 3));
        assert_eq!(grains(&runs), all.into(), "{id}");
        let ours = format!("{id}::");
        assert!(runs.iter().all(|run| run.partition.as_ref().unwrap().as_str().starts_with(&ours)));
    }
}

#[tokio::test]
async fn r030_run_keys_say_what_was_requested_and_nothing_is_requested_twice() {
    let mut world = World::of(&EXAMPLE, "2026-06-02T02:00").await;
    world.go_to("2026-06-02T03:00").await;
    let ticks = world.ticks("jfk", "daily").await;
    let keys: Vec<&str> = ticks[0].runs.iter().map(|run| run.run_key.as_str()).collect();
    let expected = ["jfk_cancellation_rate_day_20260602", "jfk_flights_day_20260602"];
    assert_eq!(keys[..2], expected);
    // The same tick is tried by hand: it names the keys, and that they were requested.
    let control = world.control();
    let tried = control.test_schedule(&tenant("jfk"), "daily", Some(at("2026-06-02T03:00"))).await;
    let tried = tried.unwrap();
    assert_eq!(tried.status, TickStatus::Skipped);
    assert!(tried.requests.iter().all(|request| request.is_known) && tried.requests.len() == 3);
    assert_eq!(world.runs("jfk").await.len(), 3, "a test writes nothing");
    // At any other time there is no such tick.
    let tried = control.test_schedule(&tenant("jfk"), "daily", Some(at("2026-06-02T03:01"))).await;
    let tried = tried.unwrap();
    let next = Some(at("2026-06-03T03:00"));
    let reason = SkipReason::NoTick { next, start: None, end: None };
    assert_eq!((tried.skipped, tried.requests.len()), (Some(reason), 0));
}

#[tokio::test]
async fn r031_a_broken_partition_key_is_a_warning_and_the_others_are_requested() {
    let plain =
        "partitions:\n  p: {kind: dynamic}\nassets:\n  a: {partitions: p, step: {kind: noop}}\n";
    let mut world = World::of(&[("p.yaml", plain)], "2026-06-01T00:00").await;
    let keys = ["broken", "eu::day", "us::day"].map(|key| key.parse().unwrap());
    let control = world.control();
    control.add_partitions(&tenant("default"), &"p".parse().unwrap(), &keys).await.unwrap();
    let parts = plain.replace("{kind: dynamic}", "{kind: dynamic, dimensions: [region, grain]}");
    let schedule = "schedules:\n  it: {cron: '@hourly', select: a, partitions: {grain: day}}\n";
    world.load(&[("p.yaml", &format!("{parts}{schedule}"))]).await;
    world.go_to("2026-06-01T01:00").await;
    let ticks = world.ticks("default", "it").await;
    let told: Vec<&str> = ticks[0].warnings.iter().map(|it| it.message.as_str()).collect();
    assert_eq!(told, ["Invalid partition key format: broken"]);
    assert_eq!((ticks[0].status, ticks[0].requested), (TickStatus::Launched, 2));
    let keys: Vec<String> = world
        .runs("default")
        .await
        .iter()
        .map(|run| run.partition.clone().unwrap().into())
        .collect();
    assert_eq!(keys, ["eu::day", "us::day"]);
}

#[tokio::test]
async fn r102_each_tenant_ticks_by_its_own_schedule_and_its_run_says_whose_it_is() {
    let text = r#"
tenants:
  tenant_a: { schedule: "0 6 * * *" }
  tenant_b: { schedule: "0 7 * * *" }
  tenant_c: { schedule: "0 8 * * *" }
  tenant_d: {}
jobs:
  etl: { nodes: [{ id: a, type: noop }] }
schedules:
  per_tenant: { cron: "{{ tenant.schedule }}", job: etl }
"#;
    let mut world = World::of(&[("t.yaml", text)], "2026-06-01T05:59").await;
    world.go_to("2026-06-01T08:01").await;
    for (id, hour) in [("tenant_a", "06"), ("tenant_b", "07"), ("tenant_c", "08")] {
        let runs = world.runs(id).await;
        assert_eq!(runs.len(), 1, "{id}");
        assert_eq!(runs[0].tags["tenant"], id);
        let nominal = at(&format!("2026-06-01T{hour}:00"));
        assert_eq!(runs[0].cause, Cause::Schedule { name: "per_tenant".to_owned(), nominal });
    }
    assert_eq!(world.runs("tenant_d").await.len(), 0);
}

#[tokio::test]
async fn a_schedule_that_no_daemon_has_let_tick_is_late_and_says_since_when() {
    let world = World::with("cron: '@hourly'", "2026-06-01T08:30").await;
    let why = async || {
        let tenant = millstream_model::TenantId::default_tenant();
        world.control().why(&tenant, "it").await.unwrap().answer
    };
    assert_eq!(why().await, "It has not ticked yet; it is due at 2026-06-01T09:00:00Z.");
    world.bench.clock.set(at("2026-06-01T09:00:09"));
    let late = "It is late: it was due at 2026-06-01T09:00:00Z, 9 s ago, and no daemon has let it \
                tick.";
    assert_eq!(why().await, late);
}

#[tokio::test]
async fn r186_three_hours_without_a_daemon_make_no_run_one_or_three() {
    for (policy, count) in [("none", 0), ("last", 1), ("all", 3)] {
        let keys = format!("cron: '@hourly', catch_up: {policy}");
        let mut world = World::with(&keys, "2026-06-01T08:30").await;
        world.down_until("2026-06-01T11:30").await;
        assert_eq!(world.runs("default").await.len(), count, "{policy}");
        assert_eq!(world.ticks("default", "it").await.len(), 3, "{policy}: each tick is told of");
        assert_eq!(world.reasons().await.len(), 3 - count, "{policy}");
    }
}

#[tokio::test]
async fn r187_no_run_starts_while_the_one_before_it_goes_on() {
    let keys = "cron: '* * * * *', max_active_runs: 1";
    let mut world = World::with(keys, "2026-06-01T08:00").await;
    world.go_to("2026-06-01T08:03").await;
    assert_eq!(world.runs("default").await.len(), 1);
    let reason = "1 of its runs was under way (max_active_runs: 1)";
    assert_eq!(world.reasons().await, [reason, reason]);
    let run: RunId = world.runs("default").await[0].run_id;
    world.control().cancel(&tenant("default"), run, "ana").await.unwrap();
    world.go_to("2026-06-01T08:04").await;
    assert_eq!(world.runs("default").await.len(), 2);
}

#[tokio::test]
async fn ticks_that_wait_for_the_run_before_are_counted_and_said_since_when() {
    let keys = "cron: '* * * * *', max_active_runs: 1, catch_up: all";
    let mut world = World::with(keys, "2026-06-01T08:00").await;
    world.go_to("2026-06-01T08:01").await;
    let id = tenant("default");
    let row = world.control().schedule_view(&id, "it").await.unwrap();
    assert_eq!(row.waiting, None, "nothing is due yet");
    world.go_to("2026-06-01T08:04").await;
    let row = world.control().schedule_view(&id, "it").await.unwrap();
    let words = "3 ticks from 2026-06-01T08:02:00Z on wait for its runs, of which 1 is under way \
                 (max_active_runs: 1)";
    assert_eq!(row.waiting.unwrap().to_string(), words);
    let answer = world.control().why(&id, "it").await.unwrap().answer;
    let start = format!("It is behind: {words}; the next is due at {}; its", row.next_at.unwrap());
    assert!(answer.starts_with(&start), "{answer}");
    let behind = format!("and is behind: {words}; the next is due at 2026-06-01T08:05:00Z");
    let job = world.control().why(&id, "etl").await.unwrap();
    let told = format!("schedule it runs it, {behind}");
    assert!(job.because.iter().any(|it| it.text == told), "{job:?}");

    let text = format!(
        "assets: {{a: {{step: {{kind: noop}}}}}}\nschedules: {{it: {{{keys}, select: a}}}}"
    );
    let mut world = World::of(&[("a.yaml", &text)], "2026-06-01T08:00").await;
    world.go_to("2026-06-01T08:04").await;
    let asset = world.control().why(&id, "a").await.unwrap();
    let told = format!("schedule it makes it, {behind}");
    assert!(asset.because.iter().any(|it| it.text == told), "{asset:?}");
}

#[tokio::test]
async fn a_schedule_is_shown_with_what_its_definition_says_and_the_end_that_keeps_it() {
    let keys = "cron: '@daily', deadline: 12h, exclude: ['2026-05-01..2026-05-02'], when: 'yes', \
                run_key: '{YYYYMMDD}', tags: {day: '{DD}'}, start: 2026-01-01, end: 2026-06-02";
    let world = World::with(keys, "2026-06-01T08:00").await;
    let row = world.control().schedule_view(&tenant("default"), "it").await.unwrap();
    assert_eq!(row.exclude, ["2026-05-01..2026-05-02"]);
    assert_eq!((row.when.as_deref(), row.run_key.as_deref()), (Some("yes"), Some("{YYYYMMDD}")));
    assert_eq!(
        (row.start.as_deref(), row.deadline.unwrap().0.as_secs()),
        (Some("2026-01-01"), 43_200)
    );
    assert_eq!(row.tags["day"], "{DD}");
    let answer = world.control().why(&tenant("default"), "it").await.unwrap().answer;
    assert_eq!(answer, "It is never due again before its `end`, 2026-06-02.");
}

#[tokio::test]
async fn r185_an_edited_file_moves_the_next_time_and_fires_nothing_that_passed() {
    let mut world = World::with("cron: '15 1 * * *'", "2026-06-01T00:00").await;
    world.go_to("2026-06-01T02:00").await;
    assert_eq!(world.runs("default").await.len(), 1);
    world.load(&[("one.yaml", &job_with("cron: '15 2 * * *'"))]).await;
    world.go_to("2026-06-01T02:14").await;
    assert_eq!(world.runs("default").await.len(), 1, "01:15 became 02:15");
    let row = world.control().schedule_view(&tenant("default"), "it").await.unwrap();
    assert_eq!(row.next_at, Some(at("2026-06-01T02:15")));
    world.go_to("2026-06-01T02:15").await;
    assert_eq!(world.runs("default").await.len(), 2);
    // The same back: 01:15 of today has passed.
    world.load(&[("one.yaml", &job_with("cron: '15 1 * * *'"))]).await;
    world.go_to("2026-06-01T23:00").await;
    assert_eq!(world.runs("default").await.len(), 2);
}

#[tokio::test]
async fn r130_a_variable_switches_a_schedule_and_a_word_by_hand_is_kept_and_shown() {
    let keys = "cron: '@hourly', enabled: '{{ env.SNAPSHOTS | default(false) }}'";
    let mut world = World::with(keys, "2026-06-01T08:30").await;
    let (control, id) = (world.control(), tenant("default"));
    let row = control.schedule_view(&id, "it").await.unwrap();
    assert!(!row.enabled && row.next_at.is_none());
    world.env.insert("SNAPSHOTS".to_owned(), "true".to_owned());
    world.watch = TickWatch::default();
    world.pass().await;
    let row = control.schedule_view(&id, "it").await.unwrap();
    assert!(row.enabled && row.enabled_override.is_none());
    let row = control.switch_schedule(&id, "it", (Some(false), "ana")).await.unwrap();
    assert_eq!((row.enabled, row.enabled_default), (false, true));
    assert_eq!(row.enabled_override.unwrap().by, "ana");
    world.watch = TickWatch::default();
    world.go_to("2026-06-01T10:30").await;
    assert_eq!(world.runs("default").await.len(), 0, "the word by hand outlives a restart");
    let row = control.switch_schedule(&id, "it", (None, "ana")).await.unwrap();
    assert!(row.enabled && row.enabled_override.is_none());
    world.go_to("2026-06-01T11:30").await;
    assert_eq!(world.runs("default").await.len(), 1, "what passed meanwhile is not made up for");
}

#[tokio::test]
async fn r132_a_condition_that_does_not_hold_skips_with_its_text() {
    let keys = "cron: '@hourly', when: \"{{ env.ENVIRONMENT != 'dev' }}\"";
    let mut world = World::with(keys, "2026-06-01T08:30").await;
    world.env.insert("ENVIRONMENT".to_owned(), "dev".to_owned());
    world.go_to("2026-06-01T09:00").await;
    assert_eq!(world.runs("default").await.len(), 0);
    let reason = "its condition does not hold: {{ env.ENVIRONMENT != 'dev' }}";
    assert_eq!(world.reasons().await, [reason]);
    world.env.insert("ENVIRONMENT".to_owned(), "prod".to_owned());
    world.go_to("2026-06-01T10:00").await;
    assert_eq!(world.runs("default").await.len(), 1);
}

#[tokio::test]
async fn r150_labels_are_filled_from_the_nominal_time_in_the_schedules_zone() {
    let keys = "cron: '0 21 * * 1-5', timezone: America/New_York, \
                tags: {batch_id: 'b-{YYYYMMDD}'}";
    let mut world = World::with(keys, "2026-03-06T00:00").await;
    world.go_to("2026-03-10T12:00").await;
    let batches: Vec<(String, String)> = world
        .runs("default")
        .await
        .iter()
        .map(|run| (run.tags["batch_id"].clone(), run.cause.to_string()))
        .collect();
    let day = |batch: &str, time: &str| (format!("b-{batch}"), format!("schedule it, {time}"));
    let expected = [
        day("20260305", "2026-03-06T02:00:00Z"),
        day("20260306", "2026-03-07T02:00:00Z"),
        day("20260309", "2026-03-10T01:00:00Z"),
    ];
    assert_eq!(batches, expected);
}

#[tokio::test]
async fn r032_the_preview_is_what_ticks_and_leaves_out_what_is_excluded() {
    let keys = "cron: '0 0 L * *', exclude: ['2026-02-28', '2026-04-01..2026-04-30']";
    let world = World::with(keys, "2026-01-15T00:00").await;
    let fires =
        world.control().schedule_preview(&tenant("default"), "it", (4, None)).await.unwrap();
    let expected = ["2026-01-31T00:00", "2026-03-31T00:00", "2026-05-31T00:00", "2026-06-30T00:00"];
    assert_eq!(fires, expected.map(at));
    let from = Some(at("2026-04-15T00:00"));
    let later =
        world.control().schedule_preview(&tenant("default"), "it", (2, from)).await.unwrap();
    assert_eq!(later, fires[2..]);
}

#[tokio::test]
async fn the_latest_window_of_a_nightly_tick_is_yesterday() {
    let text = "assets:\n  a: {partitions: {kind: daily, start: 2026-01-01}, step: {kind: noop}}\n\
                schedules:\n  it: {cron: '0 3 * * *', select: a, partitions: latest}\n";
    let mut world = World::of(&[("a.yaml", text)], "2026-06-01T00:00").await;
    world.down_until("2026-06-02T05:00").await;
    let runs = world.runs("default").await;
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].partition.as_ref().unwrap().as_str(), "2026-06-01");
}

#[tokio::test]
async fn a_tick_to_come_is_tried_with_the_windows_that_there_are_at_its_time() {
    let text = "assets:\n  a: {partitions: {kind: daily, start: 2026-01-01}, step: {kind: noop}}\n\
                schedules:\n  it: {cron: '0 3 * * *', select: a, partitions: latest}\n";
    let world = World::of(&[("a.yaml", text)], "2026-06-01T05:00").await;
    for (nominal, day) in [(None, "2026-06-01"), (Some("2026-06-09T03:00"), "2026-06-08")] {
        let tried = world.control().test_schedule(&tenant("default"), "it", nominal.map(at)).await;
        let tried = tried.unwrap();
        assert_eq!((tried.status, &tried.error), (TickStatus::Launched, &None));
        assert_eq!(tried.requests[0].partition.as_ref().unwrap().as_str(), day);
    }
}

#[tokio::test]
async fn a_tick_whose_run_cannot_be_planned_is_failed_and_says_why() {
    let text = "partitions:\n  p: {kind: static, keys: [x]}\nassets:\n  a: {step: {kind: noop}}\n\
                schedules:\n  it: {cron: '@hourly', select: a}\n";
    let mut world = World::of(&[("b.yaml", text)], "2026-06-01T00:30").await;
    // The asset becomes partitioned behind the schedule's back.
    let behind = text.replace("{step: {kind: noop}}", "{partitions: p, step: {kind: noop}}");
    world.load(&[("b.yaml", &behind)]).await;
    world.go_to("2026-06-01T01:00").await;
    let ticks = world.ticks("default", "it").await;
    assert_eq!(ticks[0].status, TickStatus::Skipped, "{ticks:?}");
}

#[tokio::test]
async fn a_run_key_without_the_time_is_requested_once_a_day_whatever_the_ticks() {
    let keys = "cron: '@hourly', run_key: '{tenant}_{YYYYMMDD}', catch_up: all";
    let mut world = World::with(keys, "2026-06-01T20:30").await;
    world.down_until("2026-06-02T02:30").await;
    world.go_to("2026-06-02T05:30").await;
    assert_eq!(world.runs("default").await.len(), 2);
    assert_eq!(world.reasons().await.len(), 7);
    let last = world.ticks("default", "it").await.pop().unwrap();
    let run = world.runs("default").await.into_iter().map(|run| run.run_id).max().unwrap();
    let named = format!("deduplicated: run {} has the key default_20260602", run.short());
    assert_eq!(last.warnings.iter().map(|it| &it.message).collect::<Vec<_>>(), [&named]);
}

#[tokio::test]
async fn a_switched_off_job_is_not_requested_and_the_tick_says_so() {
    let mut world = World::with("cron: '@hourly'", "2026-06-01T08:30").await;
    let job = "etl".parse().unwrap();
    let id = tenant("default");
    world.control().override_job(&id, (&location(), &job), Some(false), "ana").await.unwrap();
    world.go_to("2026-06-01T09:30").await;
    assert_eq!(world.reasons().await, [SkipReason::JobDisabled {}.to_string()]);
}

#[tokio::test]
async fn a_tick_of_a_job_that_is_gone_fails_by_that_and_does_not_say_that_it_is_off() {
    let text = "jobs:\n  etl:\n    nodes: [{id: a, type: noop}]\n";
    let schedule = "schedules:\n  it: {job: etl, cron: '@hourly'}\n";
    let files = [("a.yaml", text), ("b.yaml", schedule)];
    let mut world = World::of(&files, "2026-06-01T00:30").await;
    world.load(&[("a.yaml", &text.replace("etl", "other")), files[1]]).await;
    world.go_to("2026-06-01T01:00").await;
    let tick = world.ticks("default", "it").await.remove(0);
    assert_eq!((tick.status, tick.skipped), (TickStatus::Failed, None));
    assert_eq!(tick.error.unwrap().code, ErrorCode::JobUnknown);
}

#[tokio::test]
async fn a_renamed_schedule_keeps_its_cursor_history_and_switch() {
    let mut world = World::with("cron: '@hourly', catch_up: all", "2026-06-01T08:30").await;
    world.go_to("2026-06-01T09:30").await;
    let id = tenant("default");
    world.control().switch_schedule(&id, "it", (Some(false), "ana")).await.unwrap();
    let text =
        job_with("cron: '@hourly', catch_up: all, renamed_from: it").replace("  it:", "  new:");
    world.bench.scan(vec![live("one.yaml", parsed("one.yaml", &text))]).await;
    assert_eq!(world.ticks("default", "new").await.len(), 1, "before a daemon has seen the name");
    let row = world.control().schedule_rows(&id).await.unwrap().remove(0);
    assert_eq!((row.name.as_str(), row.enabled, row.enabled_default), ("new", false, true));
    assert_eq!(row.enabled_override.unwrap().by, "ana");
    assert_eq!(row.last_tick.unwrap().nominal, at("2026-06-01T09:00"));
    let why = world.control().why(&id, "new").await.unwrap();
    let said: Vec<&str> = why.because.iter().map(|it| it.text.as_str()).collect();
    assert_eq!(said[0], "ana switched it off");
    assert!(said[2].ends_with("waits in the queue"), "the run of its last tick: {said:?}");
    world.load(&[("one.yaml", &text)]).await;
    assert_eq!(world.ticks("default", "new").await.len(), 1);
    let row = world.control().schedule_view(&id, "new").await.unwrap();
    assert_eq!(row.enabled_override.unwrap().by, "ana");
}

#[tokio::test]
async fn who_asks_for_a_schedule_by_its_old_name_hears_the_new_one() {
    let mut world = World::with("cron: '@hourly'", "2026-06-01T08:30").await;
    let text = job_with("cron: '@hourly', renamed_from: it").replace("  it:", "  new name:");
    let text = format!("{text}  its: {{job: etl, cron: '@daily', enabled: false}}\n");
    world.load(&[("one.yaml", &text)]).await;
    let (control, id) = (world.control(), tenant("default"));
    let words = "schedule it is now called new name; use that name: `millstream schedule show \
                 'new name'` shows it";
    let why = control.why(&id, "it").await.unwrap_err();
    let shown = control.schedule_view(&id, "it").await.unwrap_err();
    let switched = control.switch_schedule(&id, "it", (Some(false), "ana")).await.unwrap_err();
    for error in [why, shown, switched] {
        assert_eq!((error.code(), error.to_string()), (ErrorCode::ScheduleUnknown, words.into()));
    }
    let other = control.schedule_view(&id, "itz").await.unwrap_err().to_string();
    assert!(other.contains("did you mean its?"), "{other}");
    assert!(
        control
            .schedule_view(&tenant("else"), "it")
            .await
            .unwrap_err()
            .to_string()
            .contains("tenant else has no schedule it;")
    );
}

#[tokio::test]
async fn of_two_daemons_one_lets_schedules_tick_and_the_other_takes_over_when_it_dies() {
    let mut world = World::with("cron: '* * * * *'", "2026-06-01T08:00:30").await;
    let control = world.control();
    let mut other = TickWatch::default();
    let standby = control.tick_schedules("two", &mut other, TIME_TO_LIVE).await.unwrap();
    assert!(!standby.is_holder);
    world.bench.clock.advance(TIME_TO_LIVE + Duration::from_secs(20));
    let taken = control.tick_schedules("two", &mut other, TIME_TO_LIVE).await.unwrap();
    assert!(taken.is_holder);
    assert_eq!((taken.launched, world.pass().await.launched), (1, 0));
}

#[tokio::test]
async fn a_clock_that_jumps_a_day_ahead_and_back_fires_nothing_twice() {
    let mut world = World::with("cron: '@hourly'", "2026-06-01T08:30").await;
    world.bench.clock.set(at("2026-06-02T08:30"));
    world.go_to("2026-06-02T08:40").await;
    assert_eq!(world.runs("default").await.len(), 1, "the policy is to make up for the last");
    world.bench.clock.set(at("2026-06-01T08:41"));
    world.go_to("2026-06-02T08:59").await;
    assert_eq!(world.runs("default").await.len(), 1);
    world.go_to("2026-06-02T09:00").await;
    assert_eq!(world.runs("default").await.len(), 2);
}

#[tokio::test]
async fn an_unknown_schedule_names_the_nearest_one() {
    let world = World::with("cron: '@hourly'", "2026-06-01T08:30").await;
    let error = world.control().schedule_view(&tenant("default"), "itt").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "tenant default has no schedule itt (did you mean it?); `millstream schedule list` shows them"
    );
}

#[tokio::test]
async fn g12_ten_thousand_schedules_of_one_second_are_stored_by_one_pass_in_few_batches() {
    const SCHEDULES: usize = 10_000;
    let mut world = World::of(&[], "2026-05-13T10:00:00").await;
    let job = r#"{"jobs": {"etl": {"nodes": [{"id": "a", "type": "noop"}]}}}"#.to_owned();
    let files: Vec<(String, String)> = (0..SCHEDULES / 1_000)
        .map(|file| {
            let one = |number| {
                let cron = json!({ "cron": "30 0 11 * * *", "job": "etl" });
                (format!("s{file}-{number}"), cron)
            };
            let schedules: serde_json::Map<String, Value> = (0..1_000).map(one).collect();
            (format!("due-{file}.json"), json!({ "schedules": schedules }).to_string())
        })
        .chain([("etl.json".to_owned(), job)])
        .collect();
    let live = files
        .iter()
        .map(|(name, text)| live(name, parse_file(name, text.as_bytes()).manifest.unwrap()));
    world.bench.scan(live.collect()).await;
    world.pass().await;
    let due = at("2026-05-13T11:00:30");
    world.bench.clock.set(due);

    let commits = world.bench.control.store().changes();
    let before = *commits.borrow();
    let pass = world.pass().await;
    assert_eq!((pass.launched, pass.unsettled), (SCHEDULES, 0));
    let batches = *commits.borrow() - before;
    assert!(batches <= 25, "{batches} batches for {SCHEDULES} ticks");
    let waiting = world.bench.control.store().count_waiting(&tenant("default")).await.unwrap();
    assert_eq!(waiting as usize, SCHEDULES);
    let again = world.pass().await;
    assert_eq!((again.launched, again.next_due), (0, Some(at("2026-05-14T11:00:30"))));
}

#[tokio::test]
async fn a_late_schedule_is_next_due_when_it_should_have_ticked_and_so_is_its_job() {
    let world = World::with("cron: '@hourly'", "2026-06-01T08:30").await;
    let (control, id) = (world.control(), tenant("default"));
    let next = async || {
        let row = control.schedule_view(&id, "it").await.unwrap();
        let job = control.job_rows(&id).await.unwrap().remove(0);
        assert_eq!((job.next_at, job.late_since), (row.next_at, row.late_since));
        (row.next_at.unwrap(), row.late_since)
    };
    assert_eq!(next().await, (at("2026-06-01T09:00"), None));
    world.bench.clock.set(at("2026-06-01T10:30"));
    let due = at("2026-06-01T09:00");
    assert_eq!(next().await, (due, Some(due)));
    let why = control.why(&id, "etl").await.unwrap();
    let late = "schedule it would run it, and is late: it was due at 2026-06-01T09:00:00Z";
    assert!(why.because.iter().any(|it| it.text == late), "{why:?}");
}

#[tokio::test]
async fn a_schedule_that_is_off_says_what_becomes_of_the_ticks_that_pass_and_it_is_so() {
    let made = "3 ticks from 2026-06-01T09:00:00Z on are made up for once it is switched on \
                (catch_up: all)";
    let kept = "cron: '@hourly', catch_up: all, max_active_runs: 1";
    let lapses = "what passes meanwhile lapses (catch_up: last)";
    for (keys, words, first) in [(kept, made, Some(9)), ("cron: '@hourly'", lapses, None)] {
        let mut world = World::with(keys, "2026-06-01T08:30").await;
        let (control, id) = (world.control(), tenant("default"));
        control.switch_schedule(&id, "it", (Some(false), "ana")).await.unwrap();
        world.bench.clock.set(at("2026-06-01T11:30"));
        let row = control.schedule_view(&id, "it").await.unwrap();
        assert_eq!((row.off_words().as_deref(), row.next_at), (Some(words), None));
        let why = control.why(&id, "it").await.unwrap().answer;
        let off = "It is off: `millstream schedule start it` switches it on";
        assert_eq!(why, format!("{off}; {words}."));
        let row = control.switch_schedule(&id, "it", (Some(true), "ana")).await.unwrap();
        assert_eq!(row.off_words(), None);
        world.pass().await;
        let ticked = world.ticks("default", "it").await.first().map(|tick| tick.nominal);
        assert_eq!(ticked, first.map(|hour| at(&format!("2026-06-01T{hour:02}:00"))));
    }
}

#[tokio::test]
async fn a_test_of_a_tick_names_the_run_that_would_be_in_its_way_now() {
    let limited = "cron: '@hourly', max_active_runs: 1";
    let all = format!("{limited}, catch_up: all");
    for (keys, then) in [(limited, "be skipped"), (&all, "wait until one has ended")] {
        let mut world = World::with(keys, "2026-06-01T08:30").await;
        let (control, id) = (world.control(), tenant("default"));
        let test = async || control.test_schedule(&id, "it", None).await.unwrap();
        assert_eq!(test().await.in_the_way, None);
        world.go_to("2026-06-01T09:00").await;
        let run = world.runs("default").await[0].run_id.short();
        let words = format!("run {run} is under way (max_active_runs: 1): a tick now would {then}");
        let tried = test().await;
        assert_eq!((tried.in_the_way, tried.requests.len()), (Some(words), 1));
    }
}

/// Every two seconds, each tick wanted, one run at a time.
const ONE_BY_ONE: &str = "cron: '*/2 * * * * *', catch_up: all, max_active_runs: 1";

#[tokio::test]
async fn a_backlog_is_made_up_for_as_fast_as_runs_end_however_they_do() {
    let mut world = World::with(ONE_BY_ONE, "2026-06-01T08:00").await;
    world.down_until("2026-06-01T08:01").await;
    assert_eq!(world.pass().await.waiting, 1);
    for ended in 0..29 {
        let runs = world.runs("default").await;
        assert_eq!(runs.len(), ended + 1);
        let run = runs.iter().find(|run| !run.status.is_terminal()).unwrap().run_id;
        assert_eq!(world.pass().await.launched, 0, "while the run goes on");
        if ended % 3 == 0 {
            world.control().cancel(&tenant("default"), run, "ana").await.unwrap();
        } else {
            let mut worker = world.bench.start_again(run).await;
            let over = if ended % 3 == 1 {
                vec![step_started("a", 1), step_succeeded("a", 1), EventBody::RunSucceeded {}]
            } else {
                vec![EventBody::RunFailed { reason: "it broke".to_owned() }]
            };
            worker.say(over).await.unwrap();
        }
        // No time passes.
        assert_eq!(world.pass().await.launched, 1, "after {ended}");
    }
    let row = world.control().schedule_view(&tenant("default"), "it").await.unwrap();
    assert_eq!(row.waiting, None);
}

#[tokio::test]
async fn no_tick_passes_its_deadline_while_there_is_room() {
    let keys = format!("{ONE_BY_ONE}, deadline: 61s");
    let mut world = World::with(&keys, "2026-06-01T08:00").await;
    // Nobody looks for almost as long as a tick may wait.
    world.bench.clock.advance(Duration::from_secs(56));
    for _ in 0..300 {
        world.bench.clock.advance(Duration::from_secs(1));
        world.pass().await;
        let runs = world.runs("default").await;
        if let Some(run) = runs.iter().find(|run| !run.status.is_terminal()) {
            world.control().cancel(&tenant("default"), run.run_id, "ana").await.unwrap();
        }
        world.pass().await;
    }
    assert_eq!(world.reasons().await, Vec::<String>::new());
    let row = world.control().schedule_view(&tenant("default"), "it").await.unwrap();
    assert_eq!(row.waiting.map(|it| it.count), None, "it has caught up");
}

#[tokio::test]
async fn a_tick_that_requests_nothing_keeps_none_waiting() {
    let keys = format!("{ONE_BY_ONE}, when: '{{{{ env.ON | default(false) }}}}'");
    let mut world = World::with(&keys, "2026-06-01T08:00").await;
    let until = "2026-06-01T08:01";
    world.down_until(until).await;
    assert_eq!(world.reasons().await.len(), 30);
    assert_eq!(world.pass().await.waiting, 0);
}

#[tokio::test]
async fn a_schedule_that_is_switched_off_while_it_waits_is_not_waited_for() {
    let mut world = World::with(ONE_BY_ONE, "2026-06-01T08:00").await;
    world.down_until("2026-06-01T08:01").await;
    let (control, id) = (world.control(), tenant("default"));
    control.switch_schedule(&id, "it", (Some(false), "ana")).await.unwrap();
    let run = world.runs("default").await[0].run_id;
    control.cancel(&id, run, "ana").await.unwrap();
    let pass = world.pass().await;
    assert_eq!((pass.launched, pass.waiting, pass.next_due), (0, 0, None));
}

#[tokio::test]
async fn a_backlog_that_no_run_keeps_back_waits_for_a_daemon_and_is_said() {
    let keys = "cron: '* * * * *', max_active_runs: 1, catch_up: all";
    let mut world = World::with(keys, "2026-06-01T08:00").await;
    world.go_to("2026-06-01T08:04").await;
    let (control, id) = (world.control(), tenant("default"));
    let run = world.runs("default").await[0].run_id;
    control.cancel(&id, run, "ana").await.unwrap();
    let row = control.schedule_view(&id, "it").await.unwrap();
    let words = "3 ticks from 2026-06-01T08:02:00Z on wait for a daemon to decide them, with 0 of \
                 its runs under way (max_active_runs: 1)";
    assert_eq!(row.waiting.map(|it| it.to_string()).as_deref(), Some(words));
    assert_eq!(row.late_since, None);
    let answer = control.why(&id, "it").await.unwrap().answer;
    let start = format!("It is behind: {words}; the next is due at {}; its", row.next_at.unwrap());
    assert!(answer.starts_with(&start), "{answer}");
    // Also where runs have no limit, but not before a daemon is late, nor where ticks lapse.
    for (keys, until, count) in [
        ("cron: '* * * * *', catch_up: all", "2026-06-01T08:03:30", Some(3)),
        ("cron: '* * * * *', catch_up: all", "2026-06-01T08:01:04", None),
        ("cron: '* * * * *'", "2026-06-01T08:03:30", None),
    ] {
        let world = World::with(keys, "2026-06-01T08:00").await;
        world.bench.clock.set(at(until));
        let row = world.control().schedule_view(&id, "it").await.unwrap();
        assert_eq!(row.waiting.map(|it| it.count), count, "{keys} {until}");
    }
}

#[tokio::test]
async fn a_test_of_a_tick_out_of_its_bounds_names_the_bound() {
    let keys = "cron: '@daily', start: 2026-05-01, end: 2026-06-02";
    let world = World::with(keys, "2026-06-01T08:00").await;
    let past = "it does not fire at this time, nor after it: its `end` is 2026-06-02";
    let before = "it does not fire before its `start`, 2026-05-01; it does at 2026-05-01T00:00:00Z";
    for (nominal, words) in
        [(None, past), (Some("2026-07-01T00:00"), past), (Some("2026-04-30T00:00"), before)]
    {
        let tried = world.control().test_schedule(&tenant("default"), "it", nominal.map(at)).await;
        let reason = tried.unwrap().skipped.map(|reason| reason.to_string());
        assert_eq!(reason.as_deref(), Some(words), "{nominal:?}");
    }
}
