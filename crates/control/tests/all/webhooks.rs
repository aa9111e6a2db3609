//! Webhooks and reports: what comes from outside, who may send it, and what it requests.

use std::collections::BTreeMap;

use millstream_control::{AssetReport, ControlError, Posted, SensorReply, SensorTicked, Wished};
use millstream_model::view::{MadeBy, RunRow};
use millstream_model::{
    Cause, ErrorCode, MetadataValue, Secrets, SkipReason, TenantId, TickStatus,
};

use crate::sensors::{World, jobs};

const HOOK: &str = "sensors:\n  pushed:\n    kind: webhook\n    auth: { bearer: { secret: hook } }\n    \
                    delivery_id: X-Delivery\n    when: \"{{ delivery.body.ref != 'wip' }}\"\n    \
                    request: { job: load, context: { ref: \"{{ delivery.body.ref }}\", \
                    kind: \"{{ delivery.headers['x-kind'] }}\" } }\n";

pub(crate) async fn world() -> World {
    let mut world = World::of(&format!("{}{HOOK}", jobs(&["load"]))).await;
    let mut secrets = Secrets::default();
    secrets.take("MILLSTREAM_SECRET_HOOK", "s3cret".to_owned());
    world.bench.control = world.bench.control.clone().with_secrets(secrets);
    world
}

fn posted(id: &str, body: &str, token: &str) -> Posted {
    let headers = [
        ("authorization", format!("Bearer {token}")),
        ("x-delivery", id.to_owned()),
        ("x-kind", "push".to_owned()),
    ];
    let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Posted { headers, body: body.as_bytes().to_vec() }
}

pub(crate) async fn send(world: &World, id: &str, body: &str) -> bool {
    send_to(world, "pushed", (id, body)).await
}

async fn send_to(world: &World, sensor: &str, (id, body): (&str, &str)) -> bool {
    let (control, posted) = (&world.bench.control, posted(id, body, "s3cret"));
    let delivery = control.check_delivery(("default", sensor), posted).await.unwrap().unwrap();
    control.receive(delivery).await.unwrap().is_known
}

#[tokio::test]
async fn each_delivery_requests_one_run_in_order_and_one_sent_again_requests_none() {
    let mut world = world().await;
    assert_eq!(world.events().await, [SensorTicked::Skipped]);
    assert!(!send(&world, "a", r#"{"ref": "main"}"#).await);
    assert!(!send(&world, "b", r#"{"ref": "v1"}"#).await);
    assert!(send(&world, "a", r#"{"ref": "main"}"#).await);
    let stand = world.control().sensor_stand(&TenantId::default_tenant(), "pushed").await.unwrap();
    assert_eq!(stand.lag.unwrap().events, 2, "what waits is shown");
    assert_eq!(world.events().await, [SensorTicked::Launched(2)]);
    assert!(send(&world, "b", r#"{"ref": "v1"}"#).await);
    let runs = world.requested().await;
    let tick = world.last("pushed").await;
    let keys: Vec<&str> = tick.runs.iter().map(|run| run.run_key.as_str()).collect();
    assert_eq!((runs.len(), keys), (2, vec!["a", "b"]));
    let order = world.control().store().run_order(&runs[0].tenant, runs[0].run_id).await;
    let context = order.unwrap().unwrap().context;
    assert_eq!((&context["ref"], &context["kind"]), (&"main".into(), &"push".into()));
}

#[tokio::test]
async fn a_sensor_is_asked_as_soon_as_something_was_posted_and_not_before() {
    let mut world = world().await;
    world.events().await;
    world.bench.clock.advance(std::time::Duration::from_mins(2));
    assert_eq!(world.pass(|| unreachable!()).await, [], "nobody asks it for nothing");
    send(&world, "a", r#"{"ref": "main"}"#).await;
    assert_eq!(world.pass(|| unreachable!()).await, [SensorTicked::Launched(1)]);
    send(&world, "b", r#"{"ref": "main"}"#).await;
    assert_eq!(world.pass(|| unreachable!()).await, [], "it has just ticked");
    world.bench.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(world.pass(|| unreachable!()).await, [SensorTicked::Launched(1)]);
}

#[tokio::test]
async fn what_does_not_fit_is_read_and_said_and_what_cannot_be_requested_waits() {
    let mut world = world().await;
    world.events().await;
    send(&world, "a", r#"{"ref": "wip"}"#).await;
    assert_eq!(world.events().await, [SensorTicked::Skipped]);
    let skipped = world.last("pushed").await.skipped.unwrap();
    assert!(matches!(skipped, SkipReason::NoneFits { count: 1, .. }), "{skipped}");
    // The template names what this one has not: the definition may be mended before it is lost.
    send(&world, "b", "no JSON").await;
    assert_eq!(world.events().await, [SensorTicked::Failed]);
    assert_eq!(world.events().await, [SensorTicked::Failed]);
    send(&world, "c", r#"{"ref": "main"}"#).await;
    send(&world, "d", r#"{"ref": "wip"}"#).await;
    assert_eq!(world.events().await, [SensorTicked::Launched(1)]);
    let tick = world.last("pushed").await;
    assert_eq!((tick.status, tick.warnings.len()), (TickStatus::Launched, 1));
    assert!(tick.warnings[0].message.starts_with("delivery b: "), "{tick:?}");
    assert_eq!(waiting(&world).await, [("b".to_owned(), 3)], "the others are done with");
}

#[tokio::test]
async fn why_tells_of_deliveries_that_were_tried_in_vain_also_after_one_that_was_requested() {
    let mut world = world().await;
    world.events().await;
    send(&world, "a", "no JSON").await;
    assert_eq!(world.events().await, [SensorTicked::Failed]);
    send(&world, "b", "{}").await;
    assert_eq!(world.events().await, [SensorTicked::Failed]);
    send(&world, "c", r#"{"ref": "main"}"#).await;
    world.bench.clock.advance(std::time::Duration::from_secs(2));
    assert_eq!(world.pass(|| unreachable!()).await, [SensorTicked::Launched(1)]);
    let why = world.control().why(&TenantId::default_tenant(), "pushed").await.unwrap();
    assert!(why.answer.starts_with("It is on: its tick of "), "{why:?}");
    assert!(why.answer.ends_with(". No run could be made of 2 deliveries."), "{why:?}");
    let said = "2 deliveries were tried in vain, and will be tried again; the last, b: ";
    let tried = why.because.iter().find(|it| it.text.starts_with(said)).unwrap();
    assert!(tried.text.contains("`delivery.body.ref`"), "{tried:?}");
}

#[tokio::test]
async fn why_tells_how_many_deliveries_were_refused_and_why_the_last() {
    let mut world = world().await;
    let (control, tenant) = (world.control().clone(), TenantId::default_tenant());
    let begun = control.now();
    let why = async || control.why(&tenant, "pushed").await.unwrap();
    assert!(!why().await.answer.contains("refused"));
    let refused = async |posted| {
        let checked = control.check_delivery(("default", "pushed"), posted).await.unwrap();
        assert!(checked.is_none());
    };
    refused(Posted { headers: BTreeMap::new(), body: Vec::new() }).await;
    world.bench.clock.advance(std::time::Duration::from_secs(1));
    refused(posted("a", "", "wrong")).await;
    let (last, told) = (control.now(), why().await);
    let reason = "its header authorization proves nothing";
    let said = format!(" 2 deliveries were refused, the last at {last}: {reason}.");
    assert!(told.answer.ends_with(&said), "{told:?}");
    let said = format!(
        "2 deliveries were refused since {begun}, as the server's log says of each; the last: \
         {reason}"
    );
    let told = told.because.into_iter().find(|it| it.text == said);
    assert_eq!(told.unwrap().at, Some(last));

    // One whose sender knows the secret, and that is none all the same.
    let checked = control.check_delivery(("default", "pushed"), posted("", "", "s3cret")).await;
    control.receive(checked.unwrap().unwrap()).await.unwrap_err();
    let answer = why().await.answer;
    let reason = "the delivery's header `x-delivery` is empty; it names the delivery with 1 to 200 \
                  characters of ASCII";
    assert!(answer.contains("3 deliveries were refused") && answer.contains(reason), "{answer}");
    // Nobody else knows.
    let stranger = world.control().check_delivery(("default", "nothing"), posted("", "", "")).await;
    assert!(stranger.unwrap().is_none());
    world.events().await;
    assert!(why().await.answer.contains("3 deliveries were refused"));
    send(&world, "a", "{}").await;
    let told = why().await;
    assert!(!told.answer.contains("refused"), "one came through: {told:?}");
    refused(posted("b", "", "wrong")).await;
    assert!(why().await.answer.contains("1 delivery was refused"), "{:?}", why().await);
    world.bench.clock.advance(std::time::Duration::from_hours(24));
    assert!(!why().await.answer.contains("refused"), "it was a day ago");
}

#[tokio::test]
async fn why_names_no_secret_and_no_variable_of_a_webhook_whose_secret_is_not_there() {
    let world = world().await;
    let control = world.control().clone().with_secrets(Secrets::default());
    let checked = control.check_delivery(("default", "pushed"), posted("a", "", "s3cret")).await;
    assert!(checked.unwrap().is_none());
    let why = control.why(&TenantId::default_tenant(), "pushed").await.unwrap();
    assert!(why.answer.ends_with(": the server does not have its secret."), "{why:?}");
    let all = format!("{why:?}");
    assert!(!all.contains("MILLSTREAM_SECRET") && !all.contains("secret hook"), "{all}");
}

/// What waits for the sensor, and how often each was tried.
async fn waiting(world: &World) -> Vec<(String, u32)> {
    let tenant = TenantId::default_tenant();
    let kept = world.control().waiting_deliveries(&tenant, "pushed", 2_000).await.unwrap();
    let waiting = kept.into_iter().filter(|it| it.set_aside_at.is_none());
    waiting.map(|it| (it.delivery, it.tries)).collect()
}

#[tokio::test]
async fn as_much_as_one_tick_reads_of_what_cannot_be_requested_holds_back_nothing_behind_it() {
    let mut world = world().await;
    world.events().await;
    for number in 0..999 {
        send(&world, &format!("bad-{number}"), "no JSON").await;
    }
    send(&world, "a-wip", r#"{"ref": "wip"}"#).await;
    world.bench.clock.advance(std::time::Duration::from_secs(1));
    send(&world, "good", r#"{"ref": "main"}"#).await;
    assert_eq!(world.events().await, [SensorTicked::Failed]);
    world.bench.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(world.pass(|| unreachable!()).await, [SensorTicked::Launched(1)]);
    let waiting = waiting(&world).await;
    assert_eq!(waiting.len(), 999);
    assert!(waiting.iter().all(|(_, tries)| *tries == 1), "each waits for its next try");
    assert_eq!(world.pass(|| unreachable!()).await, [], "nothing is due");
}

#[tokio::test]
async fn what_can_never_be_requested_is_set_aside_and_sent_anew_once_the_definition_is_mended() {
    let mut world = world().await;
    world.events().await;
    send(&world, "bad", "no JSON").await;
    let (control, tenant) = (world.control().clone(), TenantId::default_tenant());
    for _ in 0..8 {
        world.bench.clock.advance(std::time::Duration::from_mins(40));
        assert_eq!(world.pass(|| unreachable!()).await, [SensorTicked::Failed]);
        let failed = world.last("pushed").await.error.unwrap().message;
        assert!(failed.starts_with("delivery bad: "), "{failed}");
    }
    let kept = control.waiting_deliveries(&tenant, "pushed", 10).await.unwrap().remove(0);
    assert!(kept.set_aside_at.is_some(), "{kept:?}");
    assert!(kept.problem.unwrap().contains("delivery.body.ref"));
    let stand = control.sensor_stand(&tenant, "pushed").await.unwrap();
    assert_eq!((stand.lag.unwrap().events, stand.set_aside), (0, Some(1)));
    assert_eq!(world.events().await, [], "no tick reads it");
    let why = control.why(&tenant, "pushed").await.unwrap();
    let said = "1 delivery was set aside, because no run could be made of it";
    let aside = why.because.iter().find(|it| it.text.starts_with(said)).unwrap();
    assert!(aside.text.contains("tries it anew; the last, bad: "), "{aside:?}");
    assert!(why.answer.ends_with(". No run could be made of 1 delivery."), "{why:?}");

    let mended = HOOK.replace("delivery.body.ref }}", "delivery.body }}");
    let mended = mended.replace("delivery.body.ref != 'wip'", "delivery.body != 'wip'");
    world.load(&format!("{}{mended}", jobs(&["load"]))).await;
    let resent = async |id: Option<&str>| control.resend_deliveries(&tenant, "pushed", id).await;
    assert_eq!(resent(Some("other")).await.unwrap_err().code(), ErrorCode::NotFound);
    assert_eq!(resent(Some("bad")).await.unwrap(), 1);
    assert_eq!(world.events().await, [SensorTicked::Launched(1)]);
    assert_eq!(resent(None).await.unwrap(), 0);
}

#[tokio::test]
async fn a_renamed_sensor_is_shown_with_what_it_had_before_a_daemon_takes_that_over() {
    let mut world = world().await;
    world.events().await;
    send(&world, "a", r#"{"ref": "main"}"#).await;
    assert_eq!(world.events().await, [SensorTicked::Launched(1)]);
    send(&world, "b", "no JSON").await;
    let (control, tenant) = (world.control().clone(), TenantId::default_tenant());
    control.switch_sensor(&tenant, "pushed", (Some(false), "ana")).await.unwrap();
    let renamed = HOOK.replace("  pushed:", "  new:\n    renamed_from: pushed");
    world.load(&format!("{}{renamed}", jobs(&["load"]))).await;
    let row = control.sensor_rows(&tenant).await.unwrap().remove(0);
    assert_eq!((row.name.as_str(), row.enabled, row.enabled_default), ("new", false, true));
    assert_eq!(row.enabled_override.unwrap().by, "ana");
    assert_eq!(row.last_tick.unwrap().requested, 1);
    let by_old_name = control.sensor_view(&tenant, "pushed").await.unwrap_err();
    assert_eq!(by_old_name.code(), ErrorCode::SensorUnknown);
    assert!(by_old_name.to_string().starts_with("sensor pushed is now called new;"));
    assert_eq!(world.ticks("new").await.len(), 2);
    assert_eq!(control.sensor_stand(&tenant, "new").await.unwrap().lag.unwrap().events, 1);
    assert_eq!(control.waiting_deliveries(&tenant, "new", 10).await.unwrap().len(), 1);
    let why = control.why(&tenant, "new").await.unwrap();
    assert_eq!(why.because[0].text, "ana switched it off");
    control.drop_delivery(&tenant, "new", ("b", "ben")).await.unwrap();
    assert_eq!(world.ticks("new").await.len(), 3, "whoever changes it takes over what it had");
    assert!(!control.sensor_rows(&tenant).await.unwrap()[0].enabled);
}

#[tokio::test]
async fn what_came_under_the_old_name_is_known_under_the_new_one_from_the_first_delivery_on() {
    let mut world = world().await;
    world.events().await;
    send(&world, "a", r#"{"ref": "main"}"#).await;
    assert_eq!(world.events().await, [SensorTicked::Launched(1)]);
    let renamed = HOOK.replace("  pushed:", "  new:\n    renamed_from: pushed");
    world.load(&format!("{}{renamed}", jobs(&["load"]))).await;
    assert!(send_to(&world, "new", ("a", r#"{"ref": "main"}"#)).await, "no daemon has seen it yet");
    assert!(!send_to(&world, "new", ("b", r#"{"ref": "main"}"#)).await);
    assert_eq!(world.events().await, [SensorTicked::Launched(1)]);
}

#[tokio::test]
async fn what_is_posted_to_the_old_name_comes_to_the_sensor_that_had_it() {
    let mut world = world().await;
    world.events().await;
    let renamed = HOOK.replace("  pushed:", "  new:\n    renamed_from: pushed");
    world.load(&format!("{}{renamed}", jobs(&["load"]))).await;
    assert!(!send_to(&world, "pushed", ("a", r#"{"ref": "main"}"#)).await);
    assert!(send_to(&world, "new", ("a", r#"{"ref": "main"}"#)).await, "the same");
    assert_eq!(world.events().await, [SensorTicked::Launched(1)]);
    // Another that has the name by now gets what is posted to it.
    let both = format!("{renamed}{}", HOOK.replacen("sensors:\n", "", 1));
    world.load(&format!("{}{both}", jobs(&["load"]))).await;
    world.events().await;
    send_to(&world, "pushed", ("b", r#"{"ref": "main"}"#)).await;
    world.events().await;
    let by = |run: &RunRow| match &run.cause {
        Cause::Sensor { name, .. } => name.clone(),
        _ => String::new(),
    };
    assert_eq!(world.requested().await.iter().map(by).collect::<Vec<_>>(), ["new", "pushed"]);
}

#[tokio::test]
async fn an_edit_and_a_tick_by_hand_do_not_wait_for_the_next_try() {
    let mut world = world().await;
    world.events().await;
    send(&world, "bad", "no JSON").await;
    assert_eq!(world.events().await, [SensorTicked::Failed]);
    let (control, tenant) = (world.control().clone(), TenantId::default_tenant());
    let id = control.ask_for_sensor_tick(&tenant, "pushed").await.unwrap();
    let asked = control.open_requests().await.unwrap().into_iter().find(|it| it.id == id);
    let wish = serde_json::from_str(&asked.unwrap().body).unwrap();
    let Wished::Ask(asking) = control.begin_wish(&wish).await.unwrap() else { panic!() };
    let test = control.try_sensor(&asking, Ok(SensorReply::None)).await.unwrap();
    assert_eq!(test.tick.status, TickStatus::Failed);
    let settled = control.settle_wish(&wish, &asking, Ok(SensorReply::None)).await.unwrap();
    assert_eq!(settled.0, SensorTicked::Failed);
    assert_eq!(waiting(&world).await, [("bad".to_owned(), 2)]);

    let mended = HOOK.replace("delivery.body.ref", "delivery.body");
    world.load(&format!("{}{mended}", jobs(&["load"]))).await;
    world.bench.clock.advance(std::time::Duration::from_secs(2));
    assert_eq!(world.pass(|| unreachable!()).await, [SensorTicked::Launched(1)]);
}

#[tokio::test]
async fn a_delivery_that_can_never_be_requested_is_named_with_what_it_lacks_and_dropped() {
    let mut world = world().await;
    world.events().await;
    send(&world, "a", r#"{"branch": "main"}"#).await;
    assert_eq!(world.events().await, [SensorTicked::Failed]);
    let failed = world.last("pushed").await.error.unwrap().message;
    assert!(failed.starts_with("delivery a: "), "{failed}");
    assert!(failed.ends_with("it names what is not there: `delivery.body.ref`"), "{failed}");

    let (control, tenant) = (world.control().clone(), TenantId::default_tenant());
    let waiting = control.waiting_deliveries(&tenant, "pushed", 10).await.unwrap();
    let told: Vec<(&str, u32)> =
        waiting.iter().map(|it| (it.delivery.as_str(), it.bytes)).collect();
    assert_eq!(told, [("a", 18)]);
    let dropped = async |id: &str| control.drop_delivery(&tenant, "pushed", (id, "ana")).await;
    assert_eq!(dropped("b").await.unwrap_err().code(), ErrorCode::NotFound);
    dropped("a").await.unwrap();
    assert_eq!(dropped("a").await.unwrap_err().code(), ErrorCode::NotFound);
    let said = world.last("pushed").await.skipped.unwrap().to_string();
    assert_eq!(said, "ana dropped the delivery a");
    assert!(send(&world, "a", r#"{"ref": "main"}"#).await, "its name is known");
    // The try that was due after the failure finds nothing any more.
    assert_eq!(world.events().await, [SensorTicked::Skipped]);
    assert_eq!(world.events().await, [], "nothing waits");
    send(&world, "c", r#"{"ref": "main"}"#).await;
    assert_eq!(world.events().await, [SensorTicked::Launched(1)]);
}

#[tokio::test]
async fn a_delivery_without_the_secret_and_one_to_nowhere_are_told_apart_by_nobody() {
    let world = world().await;
    let control = world.control();
    for (tenant, sensor, token) in [
        ("default", "pushed", "wrong"),
        ("default", "pushed", ""),
        ("default", "nothing", "s3cret"),
        ("nobody", "pushed", "s3cret"),
        ("!", "pushed", "s3cret"),
    ] {
        let checked = control.check_delivery((tenant, sensor), posted("a", "", token)).await;
        assert!(checked.unwrap().is_none(), "{tenant} {sensor} {token}");
    }
    let mut nameless = posted("", "", "s3cret");
    let delivery = control.check_delivery(("default", "pushed"), nameless.clone()).await;
    let refused = control.receive(delivery.unwrap().unwrap()).await.unwrap_err();
    let form = "it names the delivery with 1 to 200 characters of ASCII";
    let wanted = format!("the delivery's header `x-delivery` is empty; {form}");
    assert_eq!(refused.to_string(), wanted);
    let long = posted(&"n".repeat(201), "", "s3cret");
    let delivery = control.check_delivery(("default", "pushed"), long).await.unwrap().unwrap();
    let refused = control.receive(delivery).await.unwrap_err();
    let wanted = format!("the delivery's header `x-delivery` has 201 bytes; {form}");
    assert_eq!((refused.code(), refused.to_string()), (ErrorCode::BadRequest, wanted));
    nameless.headers.insert("x-delivery".to_owned(), "a".to_owned());
    nameless.body = vec![0xff];
    let delivery = control.check_delivery(("default", "pushed"), nameless).await.unwrap().unwrap();
    let refused = control.receive(delivery).await.unwrap_err();
    assert!(matches!(refused, ControlError::DeliveryBinary), "{refused}");
}

fn report(asset: &str, partition: Option<&str>) -> AssetReport {
    AssetReport {
        asset: asset.parse().unwrap(),
        partition: partition.map(|key| key.parse().unwrap()),
        metadata: BTreeMap::from([("rows".to_owned(), MetadataValue::int(5))]),
        data_version: Some("v1".to_owned()),
        code_version: None,
        key: None,
    }
}

#[tokio::test]
async fn r152_a_report_that_is_sent_again_under_its_key_is_one() {
    let text = "partitions:\n  shop: { kind: dynamic, keys: [s1, s2] }\nassets:\n  \
                raw: {}\n  orders: { partitions: shop, step: { kind: noop } }\n";
    let world = World::of(text).await;
    let (control, tenant) = (world.control().clone(), TenantId::default_tenant());
    let keyed = |asset, partition, key: &str| {
        let key = Some(key.to_owned());
        let report = AssetReport { key, ..report(asset, partition) };
        control.report_asset(&tenant, report, "loader")
    };
    let (one, other) = tokio::join!(keyed("raw", None, "n-1"), keyed("raw", None, "n-1"));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!((one.is_known, other.is_known), (false, true));
    assert_eq!(one.row, other.row, "the answer is that of the first");
    assert!(!keyed("raw", None, "n-2").await.unwrap().is_known);
    assert!(!keyed("orders", Some("s1"), "n-1").await.unwrap().is_known, "another asset's key");
    let refused = keyed("orders", Some("s2"), "n-1").await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::ReportKeyKnown, "{refused}");
    let view = control.asset_view(&tenant, &"raw".parse().unwrap()).await.unwrap();
    assert_eq!(view.history.len(), 2);
    let refused = keyed("raw", None, &"k".repeat(201)).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::BadRequest);

    world.bench.clock.advance(std::time::Duration::from_hours(8 * 24));
    assert!(!keyed("raw", None, "n-3").await.unwrap().is_known);
    assert!(!keyed("raw", None, "n-1").await.unwrap().is_known, "keys are forgotten after a week");
}

#[tokio::test]
async fn r152_a_reported_materialization_is_on_the_asset_and_requests_the_next_run() {
    let text = "partitions:\n  shop: { kind: dynamic, keys: [s1] }\nassets:\n  \
                raw: {}\n  orders: { partitions: shop, step: { kind: noop } }\n  \
                marts: { deps: [raw], step: { kind: noop } }\nsensors:\n  \
                follow: { kind: asset, select: \"raw\", request: { select: marts, context: { \
                by: \"{{ event.reported_by }}\", rows: \"{{ event.metadata.rows.value }}\" } } }\n";
    let mut world = World::of(text).await;
    world.events().await;
    let (control, tenant) = (world.control().clone(), TenantId::default_tenant());
    control.report_asset(&tenant, report("raw", None), "loader").await.unwrap();
    control.report_asset(&tenant, report("orders", Some("s1")), "loader").await.unwrap();
    let view = control.asset_view(&tenant, &"raw".parse().unwrap()).await.unwrap();
    let latest = view.asset.latest.unwrap();
    assert!(
        matches!(&latest.made_by, MadeBy::Report { reported_by, .. } if reported_by == "loader")
    );
    assert_eq!((view.history.len(), latest.data_version.as_deref()), (1, Some("v1")));
    let view = control.asset_view(&tenant, &"orders".parse().unwrap()).await.unwrap();
    assert_eq!(view.partitions[0].state, millstream_model::view::PartitionState::Materialized);
    assert_eq!(view.partitions[0].run_id, None, "no run made it");

    assert_eq!(world.events().await, [SensorTicked::Launched(1)]);
    let run = world.requested().await.remove(0);
    assert!(matches!(run.cause, Cause::Sensor { of: None, .. }), "{:?}", run.cause);
    let order = control.store().run_order(&tenant, run.run_id).await.unwrap().unwrap();
    assert_eq!((&order.context["by"], &order.context["rows"]), (&"loader".into(), &5.into()));
    let why = control.why(&tenant, "raw").await.unwrap();
    assert!(why.because[0].text.contains("loader reported it"), "{why:?}");
    assert_eq!(world.events().await, [SensorTicked::Skipped]);
}

#[tokio::test]
async fn r152_a_report_that_no_asset_or_partition_can_have_is_refused() {
    let text = "partitions:\n  shop: { kind: dynamic, keys: [s1] }\nassets:\n  \
                raw: {}\n  orders: { partitions: shop, step: { kind: noop } }\n";
    let world = World::of(text).await;
    let tenant = TenantId::default_tenant();
    for (asset, partition, code) in [
        ("rawr", None, ErrorCode::AssetUnknown),
        ("raw", Some("s1"), ErrorCode::PartitionNeeded),
        ("orders", None, ErrorCode::PartitionNeeded),
        ("orders", Some("s2"), ErrorCode::PartitionUnknown),
    ] {
        let refused = world.control().report_asset(&tenant, report(asset, partition), "x").await;
        assert_eq!(refused.unwrap_err().code(), code, "{asset} {partition:?}");
    }
    let mut large = report("raw", None);
    large.metadata.insert("text".to_owned(), MetadataValue::text("x".repeat(70_000)));
    let refused = world.control().report_asset(&tenant, large, "x").await.unwrap_err();
    assert!(refused.to_string().contains("bytes of metadata"), "{refused}");
}
