//! Deliveries: kept once, read in order, taken by one tick, and no more than there is room for.

use std::time::Duration;

use millstream_model::{ContentHash, TenantId, TickKind, TickSource, Timestamp};
use millstream_store::deliveries::{self, Kept, PutOff, StoredDelivery};
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
    what_is_put_off_lets_others_by_and_is_read_when_it_is_due,
    what_is_set_aside_keeps_what_it_says_as_far_as_there_is_room,
    what_was_set_aside_is_sent_anew_with_what_it_says,
    what_was_set_aside_is_dropped_and_forgotten_as_any_other,
    a_sensor_looks_when_the_first_of_what_was_put_off_is_due,
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
    StoredDelivery { id: id.to_owned(), received_at, headers, body: body.to_owned(), tries: 0 }
}

async fn keep(store: &Store, tenant: &TenantId, delivery: &StoredDelivery) -> Kept {
    let (every, room) = (Duration::from_secs(1), (3, 1_000));
    store.keep_delivery((tenant, &source()), delivery, every, room).await.unwrap()
}

async fn waiting(store: &Store, tenant: &TenantId, bytes: i64) -> Vec<String> {
    waiting_at(store, tenant, (bytes, at(1_000))).await
}

async fn waiting_at(
    store: &Store,
    tenant: &TenantId,
    (bytes, due): (i64, Timestamp),
) -> Vec<String> {
    let found = store.waiting_deliveries(tenant, &source(), (10, bytes, due)).await.unwrap();
    found.into_iter().map(|delivery| delivery.id).collect()
}

/// Puts `ids` off at `nominal` until `due`, or sets them aside.
fn put_off(
    tenant: &TenantId,
    ids: &[&str],
    (nominal, due): (Timestamp, Option<Timestamp>),
    room: (u32, i64),
) -> Batch {
    let problem = || "no such shop".to_owned();
    let one = |id: &&str| PutOff { id: (*id).to_owned(), tries: 2, problem: problem(), due };
    let all: Vec<PutOff> = ids.iter().map(one).collect();
    let mut batch = Batch::for_tenant(tenant);
    deliveries::put_off(&mut batch, tenant, &source(), (&all, nominal), room);
    batch
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
    let upto = (10, 100, at(1_000));
    let all = db.store.waiting_deliveries(&tenant, &source(), upto).await.unwrap();
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

async fn what_is_put_off_lets_others_by_and_is_read_when_it_is_due(db: Db) {
    let (tenant, room) = (tenant("a"), (10, 1_000));
    for it in [delivery("bad", at(10), "long"), delivery("good", at(20), "1")] {
        keep(&db.store, &tenant, &it).await;
    }
    let off = put_off(&tenant, &["bad"], (at(30), Some(at(60))), room);
    db.store.apply(off).await.unwrap();
    assert_eq!(waiting_at(&db.store, &tenant, (1, at(59))).await, ["good"]);
    assert_eq!(waiting_at(&db.store, &tenant, (1, at(60))).await, ["bad"]);
    let read = db.store.waiting_deliveries(&tenant, &source(), (1, 100, at(60))).await.unwrap();
    assert_eq!((read[0].tries, read[0].body.as_str()), (2, "long"));
    let listed = db.store.list_deliveries(&tenant, &source(), 10).await.unwrap();
    let told = (listed[0].tries, listed[0].problem.as_deref(), listed[0].next_try);
    assert_eq!(told, (2, Some("no such shop"), Some(at(60))));
    assert_eq!((listed[1].tries, listed[1].next_try, listed[1].set_aside_at), (0, None, None));
    let mut batch = Batch::for_tenant(&tenant);
    deliveries::due_again(&mut batch, &tenant, &source());
    db.store.apply(batch).await.unwrap();
    assert_eq!(waiting_at(&db.store, &tenant, (100, at(31))).await, ["bad", "good"]);
    // Who is too late changes nothing.
    db.store.apply(taken(&tenant, &["good"], at(70))).await.unwrap();
    let late = put_off(&tenant, &["bad", "good"], (at(71), None), room);
    assert_eq!(conflict(db.store.apply(late).await), "PUT_OFF_DELIVERIES");
}

/// The names of what was set aside, the last one first.
async fn aside(db: &Db, tenant: &TenantId) -> Vec<String> {
    let listed = db.store.list_set_aside(tenant, &source(), 10).await.unwrap();
    assert!(listed.iter().all(|it| it.set_aside_at.is_some() && it.next_try.is_none()));
    listed.into_iter().map(|it| it.delivery).collect()
}

/// Keeps deliveries of five bytes called `ids`, and sets each aside, one a second from 20 on.
async fn set_aside(db: &Db, tenant: &TenantId, ids: &[&str], room: (u32, i64)) {
    for (id, second) in ids.iter().zip(20..) {
        keep(&db.store, tenant, &delivery(id, at(second - 10), "12345")).await;
        db.store.apply(put_off(tenant, &[id], (at(second), None), room)).await.unwrap();
    }
}

async fn what_is_set_aside_keeps_what_it_says_as_far_as_there_is_room(db: Db) {
    let [many, large, all] = ["a", "b", "c"].map(tenant);
    set_aside(&db, &many, &["a", "b", "c"], (2, 1_000)).await;
    set_aside(&db, &large, &["a", "b", "c"], (9, 14)).await;
    set_aside(&db, &all, &["a", "b", "c"], (9, 15)).await;
    assert_eq!(aside(&db, &many).await, ["c", "b"]);
    assert_eq!(aside(&db, &large).await, ["c", "b"]);
    assert_eq!(aside(&db, &all).await, ["c", "b", "a"]);
    assert_eq!(waiting(&db.store, &all, 100).await, Vec::<String>::new());
    assert_eq!(db.store.count_set_aside(&all, &source(), 2).await.unwrap(), 2);
    assert_eq!(db.store.count_deliveries(&all, &source(), 9).await.unwrap(), (0, None));
    for tenant in [&many, &all] {
        assert_eq!(keep(&db.store, tenant, &delivery("a", at(30), "new")).await, Kept::Known);
    }
}

async fn what_was_set_aside_is_sent_anew_with_what_it_says(db: Db) {
    let (tenant, other, room) = (tenant("a"), tenant("b"), (9, 1_000));
    set_aside(&db, &tenant, &["a", "b"], room).await;
    set_aside(&db, &other, &["a"], room).await;
    let resend = async |id: Option<&str>| {
        let at = (Duration::from_secs(1), at(50));
        db.store.resend_deliveries((&tenant, &source()), id, at).await.unwrap()
    };
    assert_eq!((resend(Some("c")).await, resend(Some("b")).await), (0, 1));
    assert_eq!(aside(&db, &tenant).await, ["a"]);
    let read = db.store.waiting_deliveries(&tenant, &source(), (9, 100, at(0))).await.unwrap();
    let read: Vec<_> = read.iter().map(|it| (it.id.as_str(), it.body.as_str(), it.tries)).collect();
    assert_eq!(read, [("b", "12345", 0)]);
    assert_eq!((resend(None).await, resend(None).await), (1, 0));
    assert_eq!(waiting(&db.store, &tenant, 100).await, ["a", "b"]);
    assert_eq!(aside(&db, &other).await, ["a"]);
}

async fn what_was_set_aside_is_dropped_and_forgotten_as_any_other(db: Db) {
    let tenant = tenant("a");
    set_aside(&db, &tenant, &["a", "b"], (9, 1_000)).await;
    assert!(db.store.delivery_is_kept(&tenant, &source(), "a").await.unwrap());
    db.store.apply(taken(&tenant, &["a"], at(61))).await.unwrap();
    assert!(!db.store.delivery_is_kept(&tenant, &source(), "a").await.unwrap());
    assert_eq!(aside(&db, &tenant).await, ["b"]);
    let mut batch = Batch::for_tenant(&tenant);
    deliveries::forget(&mut batch, &tenant, &source(), at(61));
    db.store.apply(batch).await.unwrap();
    assert_eq!(aside(&db, &tenant).await, Vec::<String>::new());
}

/// A source that has ticked at 100 and looks at 400 again.
async fn adopted(db: &Db, tenant: &TenantId) {
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
    let mut batch = Batch::for_tenant(tenant);
    sensors::adopt(&mut batch, &[AdoptedSensor { stored, forgets: false }]);
    db.store.apply(batch).await.unwrap();
}

async fn a_sensor_looks_when_the_first_of_what_was_put_off_is_due(db: Db) {
    let tenant = tenant("a");
    adopted(&db, &tenant).await;
    let next = || db.store.next_sensor_after(at(0));
    let wake = async |due: Timestamp| {
        let mut batch = Batch::for_tenant(&tenant);
        deliveries::wake_if_waiting(&mut batch, &tenant, &source(), due);
        db.store.apply(batch).await.unwrap();
    };
    // What comes in later than the sensor looks does not wake it.
    for id in ["a", "b"] {
        keep(&db.store, &tenant, &delivery(id, at(400), "")).await;
    }
    let room = (10, 1_000);
    for (id, due) in [("a", 300), ("b", 200)] {
        let off = put_off(&tenant, &[id], (at(150), Some(at(due))), room);
        db.store.apply(off).await.unwrap();
    }
    wake(at(151)).await;
    assert_eq!(next().await.unwrap(), Some(at(200)));
    wake(at(110)).await;
    assert_eq!(next().await.unwrap(), Some(at(200)), "nothing is due before");
    db.store.apply(put_off(&tenant, &["b"], (at(160), None), room)).await.unwrap();
    wake(at(110)).await;
    assert_eq!(next().await.unwrap(), Some(at(200)), "it is never made to look later");
    let again = (Duration::from_secs(1), at(120));
    db.store.resend_deliveries((&tenant, &source()), Some("b"), again).await.unwrap();
    assert_eq!(next().await.unwrap(), Some(at(120)), "at once");
}

async fn a_delivery_wakes_its_sensor_no_earlier_than_it_may_tick(db: Db) {
    let tenant = tenant("a");
    adopted(&db, &tenant).await;
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
    assert!(db.store.delivery_is_kept(&tenant, &source(), "b").await.unwrap());
    assert!(!db.store.delivery_is_kept(&tenant, &source(), "c").await.unwrap());
}
