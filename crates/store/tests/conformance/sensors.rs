//! Sensors: one answer to one asking, what stays of a row of nothings, and events without gaps.

use millstream_model::{
    ContentHash, ErrorCode, EventPosition, RunId, SkipReason, TenantId, TickKind, TickRun,
    TickSource, TickStatus, TickWarning, Timestamp,
};
use millstream_store::leases::Held;
use millstream_store::sensors::{self, AdoptedSensor, LogPlace, SensorMove};
use millstream_store::sources::{self, CursorMove, StoredSource, look_soon_unless};
use millstream_store::ticks::NewTick;
use millstream_store::{Batch, Store, events, leases, ticks};

use crate::conformance;
use crate::databases::Db;
use crate::fixture::{at, conflict, event, publish_all, queued, run_id, tenant};

conformance! {
    r129_of_two_answers_to_one_asking_one_is_stored,
    ticks_that_come_to_the_same_nothing_are_one_row,
    ticks_that_fail_alike_are_one_row,
    r043_a_page_of_events_ends_anywhere_and_the_next_begins_there,
    r043_pages_hold_each_event_of_a_batch_once_in_whichever_order_they_were_given,
    an_edited_sensor_keeps_its_cursor_unless_something_else_is_asked,
    an_answer_to_an_older_definition_is_not_stored,
    what_left_the_definitions_meanwhile_ticks_no_more_and_is_not_due_again,
    a_run_key_names_the_run_that_has_it,
    of_the_runs_of_a_source_those_are_named_that_are_not_over,
    a_retry_counts_among_the_runs_of_its_schedule_and_of_no_sensor,
    a_source_that_is_asked_for_is_found_where_it_is_due_later,
    what_somebody_stores_who_has_lost_the_lease_is_looked_at_at_once,
    a_sensor_that_is_woken_looks_no_sooner_than_it_may,
}

fn source() -> TickSource {
    TickSource {
        kind: TickKind::Sensor,
        location: "project".parse().unwrap(),
        name: "it".to_owned(),
    }
}

fn hash(text: &str) -> ContentHash {
    ContentHash::from_stored(text.to_owned())
}

async fn adopt(store: &Store, tenant: &TenantId, (version, forgets): (i64, bool)) {
    let stored = StoredSource {
        tenant: tenant.clone(),
        source: source(),
        version,
        timing: hash(&format!("v{version}")),
        cursor: at(1),
        next_due: Some(at(1)),
        default_on: true,
        override_on: None,
    };
    let mut batch = Batch::for_tenant(tenant);
    sensors::adopt(&mut batch, &[AdoptedSensor { stored, forgets }]);
    store.apply(batch).await.unwrap();
}

fn nothing(nominal: Timestamp) -> NewTick {
    NewTick {
        source: source(),
        nominal,
        decided_at: nominal,
        status: TickStatus::Skipped,
        skipped: Some(SkipReason::NoNews {}),
        error: None,
        warnings: Vec::new(),
        runs: Vec::new(),
    }
}

/// A tick at `nominal` of the sensor that had ticked at `from`.
fn tick(tenant: &TenantId, (from, cursor): (Timestamp, &str), tick: &NewTick) -> Batch {
    let to = SensorMove {
        source: source(),
        version: hash("v1"),
        from,
        cursor: Some(cursor.to_owned()),
        next_due: at(60),
    };
    let mut batch = Batch::for_tenant(tenant);
    sensors::settle(&mut batch, tenant, (&to, tick));
    batch
}

async fn cursor(store: &Store, tenant: &TenantId) -> (Timestamp, Option<String>) {
    let memory = store.sensor_memory(tenant, &source()).await.unwrap().unwrap();
    (memory.stored.cursor, memory.cursor)
}

async fn r129_of_two_answers_to_one_asking_one_is_stored(db: Db) {
    let tenant = tenant("a");
    adopt(&db.store, &tenant, (1, false)).await;
    let (one, two) = tokio::join!(
        db.store.apply(tick(&tenant, (at(1), "one"), &nothing(at(5)))),
        db.store.apply(tick(&tenant, (at(1), "two"), &nothing(at(6)))),
    );
    let winner = if one.is_ok() { "one" } else { "two" };
    let loser = if one.is_ok() { two } else { one };
    assert_eq!(conflict(loser), "SETTLE_SENSOR");
    assert_eq!(cursor(&db.store, &tenant).await.1.as_deref(), Some(winner));
    assert_eq!(db.store.ticks(&tenant, &source(), None, 10).await.unwrap().len(), 1);
}

async fn ticks_that_come_to_the_same_nothing_are_one_row(db: Db) {
    let tenant = tenant("a");
    adopt(&db.store, &tenant, (1, false)).await;
    let other = NewTick {
        skipped: Some(SkipReason::Said { reason: "not yet".to_owned() }),
        ..nothing(at(9))
    };
    let ticks = [nothing(at(5)), nothing(at(6)), nothing(at(7)), other, nothing(at(10))];
    let mut from = at(1);
    for one in &ticks {
        db.store.apply(tick(&tenant, (from, "c"), one)).await.unwrap();
        from = one.nominal;
    }
    let stored = db.store.ticks(&tenant, &source(), None, 10).await.unwrap();
    let rows: Vec<_> = stored.iter().map(|row| (row.nominal, row.times, row.since)).collect();
    assert_eq!(rows, [(at(10), 1, None), (at(9), 1, None), (at(7), 3, Some(at(5)))]);
}

async fn ticks_that_fail_alike_are_one_row(db: Db) {
    let tenant = tenant("a");
    adopt(&db.store, &tenant, (1, false)).await;
    let told = |message: &str| TickWarning {
        partition: None,
        code: ErrorCode::SensorAnswer,
        message: message.to_owned(),
    };
    let skipped =
        |seconds, warning: &str| NewTick { warnings: vec![told(warning)], ..nothing(at(seconds)) };
    let failed = |seconds, error: &str| NewTick {
        status: TickStatus::Failed,
        skipped: None,
        error: Some(told(error)),
        ..nothing(at(seconds))
    };
    let ticks = [
        skipped(5, "a"),
        skipped(6, "a"),
        skipped(7, "b"),
        nothing(at(8)),
        failed(9, "x"),
        failed(10, "x"),
        failed(11, "y"),
    ];
    let (mut from, mut repeated) = (at(1), Vec::new());
    for one in &ticks {
        let mut applied = db.store.apply(tick(&tenant, (from, "c"), one)).await.unwrap();
        repeated.push(sensors::is_repeated(&mut applied));
        from = one.nominal;
    }
    assert_eq!(repeated, [false, true, false, false, false, true, false]);
    let stored = db.store.ticks(&tenant, &source(), None, 10).await.unwrap();
    let rows: Vec<_> = stored.iter().rev().map(|row| (row.nominal, row.times)).collect();
    assert_eq!(rows, [(at(6), 2), (at(7), 1), (at(8), 1), (at(10), 2), (at(11), 1)]);
    let last = &stored[0];
    assert_eq!((&last.error, &last.skipped), (&Some(told("y")), &None));
    assert_eq!(stored[4].warnings, [told("a")]);
}

/// Stores one event of each of `seqs` as one batch.
async fn write(store: &Store, tenant: &TenantId, (run, seqs): (RunId, std::ops::Range<i64>)) {
    let id = format!("{run}-{}", seqs.start);
    let all: Vec<_> = seqs.map(|seq| event(tenant, run, 1, seq)).collect();
    let mut batch = Batch::for_tenant(tenant);
    events::insert(&mut batch, tenant, &id, &all);
    store.apply(batch).await.unwrap();
}

/// The events of a tenant up to a position, read in pages of so many.
async fn pages(
    store: &Store,
    tenant: &TenantId,
    (upto, limit): (EventPosition, u32),
) -> Vec<(RunId, i64, i64)> {
    let mut after = LogPlace { position: EventPosition(0), event: None };
    let mut seen = Vec::new();
    loop {
        let page = store.news(tenant, (after, upto), &["step_started"], limit).await.unwrap();
        let Some(last) = page.last() else { return seen };
        let event = Some((last.event.run, last.event.epoch, last.event.seq));
        after = LogPlace { position: last.position.unwrap(), event };
        seen.extend(page.iter().map(|row| (row.event.run, row.event.epoch, row.event.seq)));
    }
}

async fn r043_a_page_of_events_ends_anywhere_and_the_next_begins_there(db: Db) {
    let (a, b) = (tenant("a"), tenant("b"));
    write(&db.store, &a, (run_id(1), 0..7)).await;
    write(&db.store, &b, (run_id(2), 0..3)).await;
    write(&db.store, &a, (run_id(3), 0..4)).await;
    publish_all(&db.store).await;
    let upto = db.store.last_position().await.unwrap();
    let seen = pages(&db.store, &a, (upto, 3)).await;
    let seen: Vec<_> = seen.into_iter().map(|(run, _, seq)| (run, seq)).collect();
    let expected: Vec<_> =
        (0..7).map(|seq| (run_id(1), seq)).chain((0..4).map(|seq| (run_id(3), seq))).collect();
    assert_eq!(seen, expected);
    let whole = LogPlace { position: upto, event: None };
    assert_eq!(db.store.news(&a, (whole, upto), &["step_started"], 9).await.unwrap(), []);
    let start = LogPlace { position: EventPosition(0), event: None };
    assert_eq!(db.store.news(&a, (start, upto), &["run_failed"], 9).await.unwrap(), []);
}

async fn r043_pages_hold_each_event_of_a_batch_once_in_whichever_order_they_were_given(db: Db) {
    let tenant = tenant("a");
    let places = [(run_id(2), 1, 1), (run_id(2), 1, 0), (run_id(1), 2, 0), (run_id(1), 1, 5)];
    let all = places.map(|(run, epoch, seq)| event(&tenant, run, epoch, seq));
    let mut batch = Batch::for_tenant(&tenant);
    events::insert(&mut batch, &tenant, "one", &all);
    db.store.apply(batch).await.unwrap();
    publish_all(&db.store).await;
    let mut sorted = places.to_vec();
    sorted.sort_unstable();
    for upto in [1, 1 << 43, i64::MAX] {
        assert_eq!(pages(&db.store, &tenant, (EventPosition(upto), 1)).await, sorted);
    }
    let rows = db.store.events_after(std::slice::from_ref(&tenant), EventPosition(0), 1);
    let rows = rows.await.unwrap();
    let read: Vec<_> = rows.iter().map(|it| (it.event.run, it.event.epoch, it.event.seq)).collect();
    assert_eq!(read, sorted);
    for after in [1, 1 << 43, i64::MAX] {
        let behind = EventPosition(after);
        let all = std::slice::from_ref(&tenant);
        assert_eq!(db.store.events_after(all, behind, 1).await.unwrap(), []);
    }
}

async fn an_edited_sensor_keeps_its_cursor_unless_something_else_is_asked(db: Db) {
    let tenant = tenant("a");
    adopt(&db.store, &tenant, (1, false)).await;
    db.store.apply(tick(&tenant, (at(1), "kept"), &nothing(at(5)))).await.unwrap();
    adopt(&db.store, &tenant, (2, false)).await;
    assert_eq!(cursor(&db.store, &tenant).await, (at(5), Some("kept".to_owned())));
    adopt(&db.store, &tenant, (3, true)).await;
    assert_eq!(cursor(&db.store, &tenant).await, (at(5), None));
    adopt(&db.store, &tenant, (1, true)).await;
    let memory = db.store.sensor_memory(&tenant, &source()).await.unwrap().unwrap();
    assert_eq!(memory.stored.version, 3, "older definitions change nothing");
}

async fn an_answer_to_an_older_definition_is_not_stored(db: Db) {
    let tenant = tenant("a");
    adopt(&db.store, &tenant, (1, false)).await;
    adopt(&db.store, &tenant, (2, false)).await;
    let late = db.store.apply(tick(&tenant, (at(1), "late"), &nothing(at(5)))).await;
    assert_eq!(conflict(late), "SETTLE_SENSOR");
}

async fn what_left_the_definitions_meanwhile_ticks_no_more_and_is_not_due_again(db: Db) {
    let tenant = tenant("a");
    let stored = |kind, next_due| StoredSource {
        tenant: tenant.clone(),
        source: TickSource { kind, ..source() },
        version: 1,
        timing: hash("v1"),
        cursor: at(1),
        next_due,
        default_on: true,
        override_on: None,
    };
    let schedule = stored(TickKind::Schedule, None).source;
    let ticked = |is_on: bool| {
        let (from, to, next_due) = (at(1), at(2), is_on.then(|| at(3)));
        let (source, timing) = (schedule.clone(), hash("v1"));
        let mut batch = Batch::for_tenant(&tenant);
        let moved = CursorMove { source, timing, from, is_on, to, next_due };
        sources::move_cursors(&mut batch, &tenant, &[moved]);
        db.store.apply(batch)
    };
    for next_due in [Some(at(1)), None] {
        let mut batch = Batch::for_tenant(&tenant);
        sources::adopt(&mut batch, &[stored(TickKind::Schedule, next_due)]);
        let sensor = AdoptedSensor { stored: stored(TickKind::Sensor, next_due), forgets: false };
        sensors::adopt(&mut batch, &[sensor]);
        db.store.apply(batch).await.unwrap();
    }
    let late = db.store.apply(tick(&tenant, (at(1), "late"), &nothing(at(5)))).await;
    assert_eq!(conflict(late), "SETTLE_SENSOR");
    assert_eq!(conflict(ticked(true).await), "MOVE_CURSORS");
    for kind in [TickKind::Sensor, TickKind::Schedule] {
        assert_eq!(db.store.next_due(kind).await.unwrap(), None, "{kind}");
    }
    ticked(false).await.unwrap();
}

async fn a_run_key_names_the_run_that_has_it(db: Db) {
    let tenant = tenant("a");
    adopt(&db.store, &tenant, (1, false)).await;
    let run = TickRun { run_key: "k".to_owned(), run_id: run_id(4), partition: None };
    let launched =
        NewTick { status: TickStatus::Launched, skipped: None, runs: vec![run], ..nothing(at(5)) };
    db.store.apply(tick(&tenant, (at(1), "c"), &launched)).await.unwrap();
    let known = db.store.runs_of_keys(&tenant, &source(), &["k", "other"]).await.unwrap();
    assert_eq!(known.into_iter().collect::<Vec<_>>(), [("k".to_owned(), run_id(4))]);
}

async fn of_the_runs_of_a_source_those_are_named_that_are_not_over(db: Db) {
    let (a, b) = (tenant("a"), tenant("b"));
    adopt(&db.store, &a, (1, false)).await;
    let runs = [3, 1, 2].map(|number| TickRun {
        run_key: number.to_string(),
        run_id: run_id(number),
        partition: None,
    });
    let launched = NewTick {
        status: TickStatus::Launched,
        skipped: None,
        runs: runs.to_vec(),
        ..nothing(at(5))
    };
    db.store.apply(tick(&a, (at(1), "c"), &launched)).await.unwrap();
    // The third is over; a fourth is nobody's.
    for number in [2, 1, 4] {
        db.store.apply(queued(&a, run_id(number), 0)).await.unwrap();
    }
    let other = TickSource { name: "other".to_owned(), ..source() };
    let asked = [&source(), &other];
    let found = db.store.runs_not_over(&a, TickKind::Sensor, &asked).await.unwrap();
    let key = (source().location, source().name);
    assert_eq!(found, [(key, vec![run_id(1), run_id(2)])].into());
    let found = db.store.runs_not_over(&a, TickKind::Sensor, &[&other]).await.unwrap();
    assert_eq!(found.len(), 0);
    let asked = [(&a, run_id(1)), (&a, run_id(3)), (&b, run_id(2))];
    assert_eq!(db.store.live_among(&asked).await.unwrap(), [run_id(1)].into());
}

async fn a_retry_counts_among_the_runs_of_its_schedule_and_of_no_sensor(db: Db) {
    let (first, again, last) = (run_id(1), run_id(2), run_id(3));
    for (kind, id) in [(TickKind::Schedule, "a"), (TickKind::Sensor, "b")] {
        let tenant = tenant(id);
        let run = TickRun { run_key: "k".to_owned(), run_id: first, partition: None };
        let (source, runs) = (TickSource { kind, ..source() }, vec![run]);
        let (status, skipped) = (TickStatus::Launched, None);
        let tick = NewTick { source: source.clone(), status, skipped, runs, ..nothing(at(5)) };
        let mut batch = Batch::for_tenant(&tenant);
        ticks::insert(&mut batch, &tenant, std::slice::from_ref(&tick));
        for (run, retry) in [(first, again), (again, last), (run_id(8), run_id(9))] {
            ticks::count_retry(&mut batch, &tenant, (run, retry));
        }
        db.store.apply(batch).await.unwrap();
        for number in [3, 9] {
            db.store.apply(queued(&tenant, run_id(number), 0)).await.unwrap();
        }
        let counted = db.store.active_runs(&tenant, kind).await.unwrap();
        let named = db.store.runs_not_over(&tenant, kind, &[&source]).await.unwrap();
        let key = (source.location.clone(), source.name.clone());
        let is_counted = kind == TickKind::Schedule;
        assert_eq!(counted.get(&key), is_counted.then_some(&1));
        assert_eq!(named.get(&key), is_counted.then(|| vec![last]).as_ref());
        let shown = db.store.ticks(&tenant, &source, None, 9).await.unwrap();
        assert_eq!(shown[0].runs, tick.runs, "it requested one");
    }
}

async fn a_source_that_is_asked_for_is_found_where_it_is_due_later(db: Db) {
    let tenant = tenant("a");
    adopt(&db.store, &tenant, (1, false)).await;
    let other = TickSource { name: "other".to_owned(), ..source() };
    let asked = [(tenant.clone(), source()), (tenant.clone(), other)];
    let found = db.store.sources_ahead(&asked, at(0)).await.unwrap();
    assert_eq!(found.iter().map(|it| &it.source).collect::<Vec<_>>(), [&source()]);
    let found = db.store.sources_ahead(&asked, at(1)).await.unwrap();
    assert_eq!(found, [], "it is due by itself");
    let found = db.store.sources_ahead(&asked[1..], at(0)).await.unwrap();
    assert_eq!(found, []);
}

async fn what_somebody_stores_who_has_lost_the_lease_is_looked_at_at_once(db: Db) {
    let (mine, other) = (tenant("a"), tenant("b"));
    for tenant in [&mine, &other] {
        adopt(&db.store, tenant, (1, false)).await;
    }
    let due = async |tenant: &TenantId| {
        let memory = db.store.sensor_memory(tenant, &source()).await.unwrap().unwrap();
        (memory.stored.cursor, memory.stored.next_due)
    };
    let tick_of = |holder: &str, fence: i64, (from, to): (i64, i64)| {
        let mut batch = tick(&mine, (at(from), "x"), &nothing(at(to)));
        let held = Held { lease: "sensors", holder: holder.to_owned(), fence };
        look_soon_unless(&held, &mut batch, &mine, std::iter::once(&source()));
        batch
    };
    db.store.apply(tick(&other, (at(1), "x"), &nothing(at(10)))).await.unwrap();
    db.store.apply(leases::create("sensors", "one")).await.unwrap();
    db.store.apply(tick_of("one", 1, (1, 10))).await.unwrap();
    assert_eq!(due(&mine).await, (at(10), Some(at(60))), "it holds the lease");
    for (holder, fence, (from, to)) in
        [("one", 2, (10, 20)), ("two", 1, (20, 30)), ("one", 0, (30, 40))]
    {
        db.store.apply(tick_of(holder, fence, (from, to))).await.unwrap();
        let long_ago = Timestamp::from_micros(0);
        assert_eq!(due(&mine).await, (at(to), Some(long_ago)), "{holder} of {fence} does not");
        assert_eq!(due(&other).await, (at(10), Some(at(60))), "another tenant's");
    }
}

async fn a_sensor_that_is_woken_looks_no_sooner_than_it_may(db: Db) {
    let (mine, other) = (tenant("a"), tenant("b"));
    for tenant in [&mine, &other] {
        adopt(&db.store, tenant, (1, false)).await;
        db.store.apply(tick(tenant, (at(1), "x"), &nothing(at(10)))).await.unwrap();
    }
    let wake = async |name: &str, now: Timestamp| {
        let mut batch = Batch::for_tenant(&mine);
        let least = std::time::Duration::from_secs(5);
        sensors::wake(&mut batch, &mine, (&source().location, &[name]), (least, now));
        db.store.apply(batch).await.unwrap();
        let memory = db.store.sensor_memory(&mine, &source()).await.unwrap();
        memory.unwrap().stored.next_due
    };
    assert_eq!(wake("another", at(20)).await, Some(at(60)));
    assert_eq!(wake("it", at(70)).await, Some(at(60)), "it is never made to look later");
    assert_eq!(wake("it", at(20)).await, Some(at(20)), "at once");
    assert_eq!(wake("it", at(12)).await, Some(at(15)), "five seconds after its tick");
    let memory = db.store.sensor_memory(&other, &source()).await.unwrap().unwrap();
    assert_eq!(memory.stored.next_due, Some(at(60)), "another tenant's");
}
