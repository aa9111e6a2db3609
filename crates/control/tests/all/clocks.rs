//! Clocks that were ahead and are set right: nobody waits for the time that was stored by them.

use std::time::Duration;

use millstream_control::{SensorReply, SensorTicked, SensorWatch, TickWatch};
use millstream_model::{EventBody, TickKind, Timestamp};
use millstream_store::Batch;
use millstream_store::sources::{self, StoredSource};
use serde_json::json;

use crate::bench::TIME_TO_LIVE;
use crate::schedules::{World, at};
use crate::{schedules, sensors};

const HOUR: Duration = Duration::from_hours(1);

/// A schedule whose second tick waits for the run of the first, at 08:02:30.
async fn waiting() -> World {
    let keys = "cron: '* * * * *', max_active_runs: 1, catch_up: all";
    let mut world = World::with(keys, "2026-06-01T08:00").await;
    world.go_to("2026-06-01T08:02:30").await;
    world
}

/// Whether a pass finds that the schedule is to be looked at soon.
async fn is_looked_at_soon(world: &mut World) -> bool {
    let soon = world.bench.control.now().after(Duration::from_secs(5));
    world.pass().await.next_due.is_some_and(|due| due <= soon)
}

#[tokio::test]
async fn a_daemon_that_starts_finds_the_tick_that_waited_when_a_clock_was_ahead() {
    let mut world = waiting().await;
    let run = world.runs("default").await[0].run_id;
    world.bench.clock.set(at("2026-06-01T09:02:30"));
    world.pass().await;
    world.bench.clock.set(at("2026-06-01T08:02:40"));
    world.bench.start_again(run).await.say(vec![EventBody::RunSucceeded {}]).await.unwrap();
    world.down_until("2026-06-01T08:02:41").await;
    assert_eq!(world.runs("default").await.len(), 2);
}

#[tokio::test]
async fn a_daemon_whose_clock_is_set_back_looks_again_as_soon_as_before() {
    let mut world = waiting().await;
    world.bench.clock.set(at("2026-06-01T09:02:30"));
    assert!(is_looked_at_soon(&mut world).await);
    world.bench.clock.set(at("2026-06-01T08:02:40"));
    assert!(is_looked_at_soon(&mut world).await);
    assert_eq!(world.runs("default").await.len(), 1, "nothing ticks that should wait");
}

#[tokio::test]
async fn a_daemon_that_takes_over_from_one_whose_clock_was_ahead_looks_again_soon() {
    let mut world = waiting().await;
    let control = world.control();
    control.release_schedules("one").await.unwrap();
    world.bench.clock.set(at("2026-06-01T09:02:30"));
    let mut other = TickWatch::default();
    control.tick_schedules("two", &mut other, TIME_TO_LIVE).await.unwrap();
    control.release_schedules("two").await.unwrap();
    world.bench.clock.advance(TIME_TO_LIVE);
    world.bench.clock.set(at("2026-06-01T08:02:40"));
    assert!(is_looked_at_soon(&mut world).await);
}

#[tokio::test]
async fn what_is_stored_by_a_clock_that_was_ahead_after_the_lease_was_lost_is_looked_at_at_once() {
    let text = format!(
        "{}sensors:\n  own: {{kind: command, command: [./x], request: {{job: etl}}}}\n",
        sensors::jobs(&["etl"])
    );
    let mut world = sensors::World::of(&text).await;
    let control = world.control().clone();
    let right = control.now();
    let due = async |name: &str, watch: &mut SensorWatch| {
        control.due_sensors(name, watch, TIME_TO_LIVE).await.unwrap().due
    };
    let (tenant, source) = due("one", &mut world.watch).await.remove(0);
    world.bench.clock.set(right.after(HOUR));
    let late = control.begin_sensor(&tenant, &source).await.unwrap().unwrap();
    world.bench.clock.set(right);
    let mut other = SensorWatch::default();
    assert_eq!(due("two", &mut other).await, []);
    world.bench.clock.advance(TIME_TO_LIVE * 2);
    world.bench.clock.set(right);
    assert_eq!(due("two", &mut other).await.len(), 1, "it has taken over, and compared all");
    world.bench.clock.set(right.after(HOUR));
    let reply = SensorReply::Value(json!({ "skip": "nothing yet" }));
    control.settle_sensor(&late, Ok(reply)).await.unwrap();
    world.bench.clock.set(right);
    assert_eq!(due("two", &mut other).await.len(), 1, "though its cursor is an hour ahead");
}

#[tokio::test]
async fn what_a_daemon_takes_over_late_moves_no_cursor_back() {
    let mut world = World::with("cron: '* * * * *'", "2026-06-01T08:00").await;
    let (control, id) = (world.control(), schedules::tenant("default"));
    let store = control.store();
    let read = store.sources_of_tenant(TickKind::Schedule, &id, 10).await.unwrap();
    let read: Vec<StoredSource> = read.into_values().map(|(stored, _)| stored).collect();
    world.go_to("2026-06-01T08:02:30").await;
    let mut batch = Batch::for_tenant(&id);
    sources::adopt(&mut batch, &read);
    store.apply(batch).await.unwrap();
    world.go_to("2026-06-01T08:03:30").await;
    assert_eq!(world.runs("default").await.len(), 3);
}

#[tokio::test]
async fn a_tick_that_is_not_due_yet_is_left_where_it_is() {
    let mut world = waiting().await;
    let control = world.control();
    let id = schedules::tenant("default");
    let run = world.runs("default").await[0].run_id;
    control.cancel(&id, run, "ana").await.unwrap();
    world.go_to("2026-06-01T08:02:40").await;
    world.bench.clock.set(at("2026-06-01T08:02:35"));
    assert_eq!(world.pass().await.next_due, Some(at("2026-06-01T08:03")));
}

#[tokio::test]
async fn a_sensor_goes_on_at_its_pace_when_its_clock_was_ahead() {
    let text = format!(
        "{}sensors:\n  own: {{kind: command, command: [./x], request: {{job: etl}}}}\n",
        sensors::jobs(&["etl"])
    );
    let mut world = sensors::World::of(&text).await;
    let answer = || json!({ "skip": "nothing yet" });
    let right: Timestamp = world.control().now();
    world.bench.clock.set(right.after(HOUR));
    assert_eq!(world.answer(answer()).await, [SensorTicked::Skipped]);
    world.bench.clock.set(right);
    world.adopt().await;
    for _ in 0..3 {
        assert_eq!(world.answer(answer()).await, [SensorTicked::Skipped]);
    }
}
