//! Sensors whose question is being answered while they, their tenant or their job go.

use millstream_control::{SensorReply, SensorTicked};
use millstream_model::{TickKind, TickSource};
use serde_json::json;

use crate::sensors::World;

const TENANTS: &str = "tenants: { t1: {}, t2: {} }\n";
const JOBS: &str = "jobs:\n  load: { nodes: [{ id: a, type: noop }] }\n";
const SENSOR: &str = "sensors:\n  own: { kind: command, command: [./x], request: { job: load } }\n";

/// What comes of an answer that was asked for before the files said `after`, and why.
async fn answered(after: &str) -> (SensorTicked, Option<String>) {
    let mut world = World::of(&format!("{TENANTS}{JOBS}{SENSOR}")).await;
    world.adopt().await;
    let (control, tenant) = (world.control().clone(), "t1".parse().unwrap());
    let location = crate::bench::location();
    let source = TickSource { kind: TickKind::Sensor, location, name: "own".to_owned() };
    let asking = control.begin_sensor(&tenant, &source).await.unwrap().unwrap();
    world.load(after).await;
    control.take_over_live().await.unwrap();
    let reply = SensorReply::Value(json!({ "cursor": "1", "requests": [{ "run_key": "a" }] }));
    let ticked = control.settle_sensor(&asking, Ok(reply)).await.unwrap();
    let stands = control.store().sensor_memory(&tenant, &source).await.unwrap().unwrap();
    let is_gone = ticked == SensorTicked::Replaced;
    assert_eq!(stands.stored.next_due.is_none(), is_gone, "what is gone is never due: {after}");
    let ticks = control.store().ticks(&tenant, &source, None, 1).await.unwrap();
    let said = ticks.into_iter().next().and_then(|tick| tick.skipped);
    (ticked, said.map(|said| said.to_string()))
}

#[tokio::test]
async fn an_answer_for_a_sensor_that_has_gone_meanwhile_is_let_go() {
    let gone = format!("{TENANTS}{JOBS}");
    assert_eq!(answered(&gone).await, (SensorTicked::Replaced, None));
    let off = TENANTS.replace("t1: {}", "t1: { enabled: false }");
    let off = format!("{off}{JOBS}{SENSOR}");
    assert_eq!(answered(&off).await, (SensorTicked::Replaced, None));
    let undeclared = format!("tenants: {{ t2: {{}} }}\n{JOBS}{SENSOR}");
    assert_eq!(answered(&undeclared).await, (SensorTicked::Replaced, None));
}

#[tokio::test]
async fn an_answer_for_a_job_that_its_file_has_off_meanwhile_waits_for_it() {
    let off = JOBS.replace("load: {", "load: { enabled: false,");
    let told = Some("its job is switched off".to_owned());
    assert_eq!(answered(&format!("{TENANTS}{off}{SENSOR}")).await, (SensorTicked::Skipped, told));
    let other = JOBS.replace("id: a", "id: b");
    let stays = answered(&format!("{TENANTS}{other}{SENSOR}")).await;
    assert_eq!(stays, (SensorTicked::Launched(1), None));
}
