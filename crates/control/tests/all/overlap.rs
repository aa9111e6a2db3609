//! Schedules whose runs are limited: what counts as one of them, and who waits for it to end.

use std::fmt::Write as _;
use std::time::Duration;

use crate::schedules::{World, tenant};

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
