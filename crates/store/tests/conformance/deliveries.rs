//! Deliveries: kept once, read in order, taken by one tick, and no more than there is room for.

use std::time::Duration;

use millstream_model::{ContentHash, TenantId, TickKind, TickSource, Timestamp};
use millstream_store::deliveries::{self, Kept, StoredDelivery};
use millstream_store::sensors::{self, AdoptedSensor};
use millstream_store::sources::StoredSource;
use millstream_store::{Batch, Store};

use crate::conformance;
use crate::databases::Db;
use crate::fixture::{at, conflict, tenant};

conformance! {
    deliveries_are_read_in_the_order_in_which_they_came_up_to_so_many_bytes,
    a_delivery_that_is_sent_again_is_known_even_once_it_was_taken,
    a_delivery_is_taken_by_one_tick,
    what_waits_is_listed_in_its_order_and_found_by_its_name,
    what_there_is_no_room_for_is_not_kept,
    a_delivery_wakes_its_sensor_no_earlier_than_it_may_tick,
}

fn source() -> TickSource {
    TickSource {
        kind: TickKind::Sensor,
        location: "project".parse().unwrap(),
        name: "hook".to_owned(),
    }
}

fn delivery(id: &str, received_at: Timestamp, body: &str) -> StoredDelivery {
    let headers = serde_json::json!({ "x-kind": "push" });
    StoredDelivery { id: id.to_owned(), received_at, headers, body: body.to_owned() }
}

async fn keep(store: &Store, tenant: &TenantId, delivery: &StoredDelivery) -> Kept {
    let (every, room) = (Duration::from_secs(1), (3, 1_000));
    store.keep_delivery((tenant, &source()), delivery, every, room).await.unwrap()
}

async fn waiting(store: &Store, tenant: &TenantId, bytes: i64) -> Vec<String> {
    let found = store.waiting_deliveries(tenant, &source(), (10, bytes)).await.unwrap();
    found.into_iter().map(|delivery| delivery.id).collect()
}

fn taken(tenant: &TenantId, ids: &[&str], nominal: Timestamp) -> Batch {
    let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    let mut batch = Batch::for_tenant(tenant);
    deliveries::take(&mut batch, tenant, &source(), (&ids, nominal));
    batch
}

async fn deliveries_are_read_in_the_order_in_which_they_came_up_to_so_many_bytes(db: Db) {
    let (tenant, other) = (tenant("a"), tenant("b"));
    let second = delivery("1", at(20), "22222");
    for it in [&second, &delivery("2", at(10), "1111"), &delivery("0", at(30), "3")] {
        assert_eq!(keep(&db.store, &tenant, it).await, Kept::New);
    }
    assert_eq!(waiting(&db.store, &tenant, 100).await, ["2", "1", "0"]);
    // The one that reaches the limit is still read: a larger one would never be.
    assert_eq!(waiting(&db.store, &tenant, 5).await, ["2", "1"]);
    assert_eq!(waiting(&db.store, &other, 100).await, Vec::<String>::new());
    let all = db.store.waiting_deliveries(&tenant, &source(), (10, 100)).await.unwrap();
    assert_eq!(all[1], second);
    let counted = db.store.count_deliveries(&tenant, &source(), 2).await.unwrap();
    assert_eq!(counted, (2, Some(at(10))));
}

async fn a_delivery_that_is_sent_again_is_known_even_once_it_was_taken(db: Db) {
    let tenant = tenant("a");
    let first = delivery("x", at(10), "one");
    assert_eq!(keep(&db.store, &tenant, &first).await, Kept::New);
    assert_eq!(keep(&db.store, &tenant, &delivery("x", at(11), "two")).await, Kept::Known);
    db.store.apply(taken(&tenant, &["x"], at(20))).await.unwrap();
    assert_eq!(keep(&db.store, &tenant, &first).await, Kept::Known);
    assert_eq!(waiting(&db.store, &tenant, 100).await, Vec::<String>::new());
    let mut batch = Batch::for_tenant(&tenant);
    deliveries::forget(&mut batch, &tenant, &source(), at(21));
    db.store.apply(batch).await.unwrap();
    assert_eq!(keep(&db.store, &tenant, &first).await, Kept::New, "its id was forgotten");
}

async fn a_delivery_is_taken_by_one_tick(db: Db) {
    let tenant = tenant("a");
    keep(&db.store, &tenant, &delivery("x", at(10), "")).await;
    keep(&db.store, &tenant, &delivery("y", at(11), "")).await;
    db.store.apply(taken(&tenant, &["x"], at(20))).await.unwrap();
    let late = db.store.apply(taken(&tenant, &["x", "y"], at(21))).await;
    assert_eq!(conflict(late), "TAKE_DELIVERIES");
    assert_eq!(waiting(&db.store, &tenant, 100).await, ["y"]);
}

async fn what_there_is_no_room_for_is_not_kept(db: Db) {
    let tenant = tenant("a");
    for id in ["a", "b", "c"] {
        assert_eq!(keep(&db.store, &tenant, &delivery(id, at(1), "x")).await, Kept::New);
    }
    assert_eq!(keep(&db.store, &tenant, &delivery("d", at(2), "x")).await, Kept::Full);
    assert_eq!(keep(&db.store, &tenant, &delivery("a", at(2), "x")).await, Kept::Known);
    db.store.apply(taken(&tenant, &["a", "b"], at(3))).await.unwrap();
    let large = delivery("e", at(4), &"x".repeat(2_000));
    assert_eq!(keep(&db.store, &tenant, &large).await, Kept::New);
    assert_eq!(keep(&db.store, &tenant, &delivery("f", at(5), "")).await, Kept::Full);
}

async fn a_delivery_wakes_its_sensor_no_earlier_than_it_may_tick(db: Db) {
    let tenant = tenant("a");
    let stored = StoredSource {
        tenant: tenant.clone(),
        source: source(),
        version: 1,
        timing: ContentHash::from_stored("v1".to_owned()),
        cursor: at(100),
        next_due: Some(at(400)),
        default_on: true,
        override_on: None,
    };
    let mut batch = Batch::for_tenant(&tenant);
    sensors::adopt(&mut batch, &[AdoptedSensor { stored, forgets: false }]);
    db.store.apply(batch).await.unwrap();
    let next = || db.store.next_sensor_after(at(0));
    let mut batch = Batch::for_tenant(&tenant);
    deliveries::wake_if_waiting(&mut batch, &tenant, &source(), at(101));
    db.store.apply(batch).await.unwrap();
    assert_eq!(next().await.unwrap(), Some(at(400)), "nothing waits");
    let half = Timestamp::from_micros(100_500_000);
    keep(&db.store, &tenant, &delivery("x", half, "")).await;
    assert_eq!(next().await.unwrap(), Some(at(101)), "it ticked half a second ago");
    keep(&db.store, &tenant, &delivery("y", at(300), "")).await;
    assert_eq!(next().await.unwrap(), Some(at(101)), "it is due already");
}

async fn what_waits_is_listed_in_its_order_and_found_by_its_name(db: Db) {
    let tenant = tenant("a");
    for it in [delivery("b", at(20), "22"), delivery("a", at(10), "1"), delivery("c", at(5), "")] {
        keep(&db.store, &tenant, &it).await;
    }
    db.store.apply(taken(&tenant, &["c"], at(30))).await.unwrap();
    let listed = db.store.list_deliveries(&tenant, &source(), 10).await.unwrap();
    let told: Vec<_> = listed.iter().map(|it| (it.delivery.as_str(), it.bytes)).collect();
    assert_eq!(told, [("a", 1), ("b", 2)]);
    assert_eq!(db.store.list_deliveries(&tenant, &source(), 1).await.unwrap(), listed[..1]);
    assert!(db.store.delivery_waits(&tenant, &source(), "b").await.unwrap());
    assert!(!db.store.delivery_waits(&tenant, &source(), "c").await.unwrap());
}
