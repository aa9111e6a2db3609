//! Wishes to have a sensor tick: each has it tick once, however many daemons find it.

use millstream_control::{
    ControlError, DAEMON_WAIT, SensorAsking, SensorReply, SensorTicked, TickWish, Wished,
};
use millstream_model::{ErrorCode, TenantId, TickRow, TickWarning};
use serde_json::json;

use crate::sensors::{World, jobs};

const SENSOR: &str = "sensors: {own: {kind: command, every: 1h, command: [sh], \
                      request: {job: load}}}";

/// An instance with one sensor, and somebody's wish that it ticks.
async fn wished() -> (World, TickWish) {
    let world = World::of(&format!("{}{SENSOR}\n", jobs(&["load"]))).await;
    let wish = wish(&world).await;
    (world, wish)
}

async fn wish(world: &World) -> TickWish {
    let tenant = TenantId::default_tenant();
    let id = world.control().ask_for_sensor_tick(&tenant, "own").await.unwrap();
    let open = world.control().open_requests().await.unwrap();
    let request = open.into_iter().find(|request| request.id == id).unwrap();
    assert_eq!(request.kind, "sensor_tick");
    serde_json::from_str(&request.body).unwrap()
}

async fn begun(world: &World, wish: &TickWish) -> Box<SensorAsking> {
    match world.control().begin_wish(wish).await.unwrap() {
        Wished::Ask(asking) => asking,
        Wished::Ticked(tick) => unreachable!("{tick:?}"),
    }
}

async fn settled(
    world: &World,
    (wish, asking): (&TickWish, &SensorAsking),
    reply: Result<SensorReply, TickWarning>,
) -> (SensorTicked, TickRow) {
    world.control().settle_wish(wish, asking, reply).await.unwrap()
}

fn requests(key: &str) -> SensorReply {
    SensorReply::Value(json!({"requests": [{"run_key": key}]}))
}

fn fails() -> Result<SensorReply, TickWarning> {
    let (code, message) = (ErrorCode::SensorAsk, "it broke".to_owned());
    Err(TickWarning { partition: None, code, message })
}

#[tokio::test]
async fn two_daemons_that_answer_one_wish_store_one_tick_and_both_say_it() {
    let (world, wish) = wished().await;
    let (first, second) = (begun(&world, &wish).await, begun(&world, &wish).await);
    let (ticked, tick) = settled(&world, (&wish, &first), Ok(requests("a"))).await;
    assert_eq!(ticked, SensorTicked::Launched(1));
    let (ticked, same) = settled(&world, (&wish, &second), Ok(requests("b"))).await;
    assert_eq!((ticked, &same), (SensorTicked::Replaced, &tick));
    assert_eq!(world.ticks("own").await, [tick]);
    assert_eq!(world.requested().await.len(), 1);
}

#[tokio::test]
async fn a_wish_that_is_found_again_is_answered_with_its_tick() {
    for reply in [Ok(requests("a")), fails()] {
        let (world, wish) = wished().await;
        let asking = begun(&world, &wish).await;
        let (_, tick) = settled(&world, (&wish, &asking), reply).await;
        // The daemon died before it answered, and the next finds the wish late.
        world.bench.clock.advance(DAEMON_WAIT * 2);
        let again = world.control().begin_wish(&wish).await.unwrap();
        assert!(matches!(&again, Wished::Ticked(same) if **same == tick), "{again:?}");
        assert_eq!(world.ticks("own").await.len(), 1);
    }
}

#[tokio::test]
async fn each_wish_has_a_sensor_tick_anew_though_its_ticks_come_to_the_same() {
    let (world, mut last) = wished().await;
    for times in 1..=3 {
        let asking = begun(&world, &last).await;
        let nothing = Ok(SensorReply::Value(json!({})));
        let (ticked, tick) = settled(&world, (&last, &asking), nothing).await;
        assert_eq!((ticked, tick.times), (SensorTicked::Skipped, times));
        last = wish(&world).await;
    }
}

#[tokio::test]
async fn a_wish_for_a_sensor_that_is_off_by_now_or_that_nobody_waits_for_is_refused() {
    let tenant = TenantId::default_tenant();
    let (world, wish) = wished().await;
    let asking = begun(&world, &wish).await;
    world.control().switch_sensor(&tenant, "own", (Some(false), "me")).await.unwrap();
    let refused = world.control().begin_wish(&wish).await.unwrap_err();
    assert!(matches!(refused, ControlError::SensorOff { .. }), "{refused}");
    let refused = world.control().settle_wish(&wish, &asking, Ok(requests("a"))).await.unwrap_err();
    assert!(matches!(refused, ControlError::SensorChanged { .. }), "{refused}");
    world.control().switch_sensor(&tenant, "own", (None, "me")).await.unwrap();
    let refused = world.control().begin_wish(&wish).await.unwrap_err();
    assert!(matches!(refused, ControlError::SensorChanged { .. }), "{refused}");

    let late = self::wish(&world).await;
    world.bench.clock.advance(DAEMON_WAIT);
    begun(&world, &late).await;
    world.bench.clock.advance(std::time::Duration::from_micros(1));
    let refused = world.control().begin_wish(&late).await.unwrap_err();
    assert!(matches!(refused, ControlError::SensorWishOld { .. }), "{refused}");
    assert_eq!(world.ticks("own").await, []);
}

#[tokio::test]
async fn a_wish_for_a_sensor_that_was_edited_is_for_it_as_it_is_now() {
    let (mut world, _) = wished().await;
    world.load(&format!("{}{}\n", jobs(&["load"]), SENSOR.replace("1h", "2h"))).await;
    // No daemon has seen the edit yet.
    let edited = wish(&world).await;
    let asking = begun(&world, &edited).await;
    let (ticked, _) = settled(&world, (&edited, &asking), Ok(requests("a"))).await;
    assert_eq!(ticked, SensorTicked::Launched(1));
}
