//! Schedules whose runs are limited: what counts as one of them, and who waits for it to end.

use std::fmt::Write as _;
use std::time::Duration;

use millstream_model::{Cause, EventBody, RetryFrom, RunId};

use crate::schedules::{World, tenant};

/// A minute's ticks of a job whose runs are tried once more, one run at a time.
fn one_at_a_time(catch_up: &str) -> String {
    let keys = format!("cron: '* * * * *', max_active_runs: 1, catch_up: {catch_up}");
    format!(
        "jobs:\n  etl:\n    nodes: [{{id: a, type: noop}}]\n    run_retries: {{max: 2}}\n\
         schedules:\n  it: {{job: etl, {keys}}}\n"
    )
}

/// Has the worker of `run` say how it ended.
async fn end(world: &World, run: RunId, how: EventBody) {
    world.bench.start_again(run).await.say(vec![how]).await.unwrap();
}

fn broke() -> EventBody {
    EventBody::RunFailed { reason: "it broke".to_owned() }
}

/// The only run that is not over.
async fn under_way(world: &World) -> RunId {
    let mut open = world.runs("default").await;
    open.retain(|run| !run.status.is_terminal());
    assert_eq!(open.len(), 1);
    open.pop().unwrap().run_id
}

#[tokio::test]
async fn a_tick_waits_for_the_retries_of_a_run_and_goes_on_as_soon_as_the_last_has_ended() {
    let text = one_at_a_time("all");
    let mut world = World::of(&[("one.yaml", &text)], "2026-06-01T08:00").await;
    world.go_to("2026-06-01T08:02:30").await;
    let (control, id) = (world.control(), tenant("default"));
    let first = under_way(&world).await;
    for _ in 0..2 {
        end(&world, under_way(&world).await, broke()).await;
        let retry = under_way(&world).await;
        let why = control.test_schedule(&id, "it", None).await.unwrap().in_the_way.unwrap();
        assert!(why.contains(&format!("run {} is under way (", retry.short())), "{why}");
        // Neither at once, nor when it is looked at again.
        for _ in 0..2 {
            assert_eq!(world.pass().await.launched, 0);
            world.bench.clock.advance(Duration::from_secs(5));
        }
        assert_eq!(world.pass().await.waiting, 1);
    }
    let retry = under_way(&world).await;
    let row = control.store().run(&id, retry).await.unwrap().unwrap();
    assert!(matches!(row.cause, Cause::Retry { number: 2, .. }), "{row:?}");
    end(&world, retry, broke()).await;
    // No time passes.
    assert_eq!(world.pass().await.launched, 1);
    let ticks = world.ticks("default", "it").await;
    let runs: Vec<RunId> = ticks[0].runs.iter().map(|run| run.run_id).collect();
    assert_eq!((runs, ticks.len()), (vec![first], 2), "a retry is none of a tick's runs");
}

#[tokio::test]
async fn a_tick_is_skipped_while_a_run_is_tried_again_by_hand_too() {
    let text = one_at_a_time("last");
    let mut world = World::of(&[("one.yaml", &text)], "2026-06-01T08:00").await;
    world.go_to("2026-06-01T08:01:30").await;
    let (control, id) = (world.control(), tenant("default"));
    let first = under_way(&world).await;
    control.cancel(&id, first, "ana").await.unwrap();
    control.retry_run(&id, first, RetryFrom::Start, "ana").await.unwrap();
    world.go_to("2026-06-01T08:02:30").await;
    let reason = "1 of its runs was under way (max_active_runs: 1)";
    assert_eq!(world.reasons().await, [reason]);
    end(&world, under_way(&world).await, broke()).await;
    world.go_to("2026-06-01T08:03:30").await;
    assert_eq!(world.reasons().await, [reason, reason]);
    end(&world, under_way(&world).await, EventBody::RunSucceeded {}).await;
    world.go_to("2026-06-01T08:04:30").await;
    assert_eq!(world.reasons().await.len(), 2);
    under_way(&world).await;
}

#[tokio::test]
async fn of_many_schedules_that_wait_some_are_watched_and_the_others_looked_at_after_a_while() {
    // A hundred runs each; the ends of two thousand are watched.
    let (schedules, watched) = (22, 20);
    let mut text = "jobs:\n  etl:\n    nodes: [{id: a, type: noop}]\nschedules:\n".to_owned();
    for number in 0..schedules {
        let keys = "cron: '* * * * * *', catch_up: all, max_active_runs: 100";
        writeln!(text, "  s{number}: {{job: etl, {keys}}}").unwrap();
    }
    let mut world = World::of(&[("many.yaml", &text)], "2026-06-01T08:00").await;
    world.down_until("2026-06-01T08:03").await;
    let pass = world.pass().await;
    assert_eq!((pass.launched, pass.waiting), (0, watched));

    let id = tenant("default");
    for number in 0..schedules {
        let run = world.ticks("default", &format!("s{number}")).await[0].runs[0].run_id;
        world.control().cancel(&id, run, "ana").await.unwrap();
    }
    let pass = world.pass().await;
    assert_eq!((pass.launched, pass.waiting), (watched, watched));
    assert_eq!(world.pass().await.launched, 0);
    world.bench.clock.advance(Duration::from_secs(5));
    let pass = world.pass().await;
    assert_eq!((pass.launched, pass.waiting), (schedules - watched, watched));
}
