//! The log: every committed batch is read once, in the order of its position.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::{CheckSeverity, Event, EventBody, EventPosition, TenantId};
use millstream_store::{Batch, Sql, Store, StoreError, Value, events, leases};

use crate::databases::Db;
use crate::fixture::{
    at, conflict, duplicate, event, event_batch, hold_lease, publish_all, run_id, tenant,
};
use crate::{conformance, on_postgres};

conformance! {
    a_reader_by_position_sees_every_batch_of_many_writers_once,
    a_batch_is_never_cut_in_two,
    an_event_that_was_stored_is_not_stored_again,
    a_reader_sees_only_the_tenants_it_names,
    events_of_a_run_come_in_the_order_of_the_log,
    checks_are_found_of_many_runs_at_once_and_no_other_event_is,
    batches_written_one_after_the_other_are_published_in_that_order,
}
on_postgres! {
    a_batch_has_no_position_until_it_is_published,
    only_the_holder_of_the_lease_publishes,
    two_publishers_never_give_a_position_twice,
}

/// Holds the transaction open on the server, so that commits come in another order than writes.
static LINGER: Sql =
    Sql { name: "LINGER", text: "SELECT CAST(pg_sleep(CAST($1 AS BIGINT) / 1000.0) AS TEXT)" };

/// Follows the log of `tenants` until it has seen `wanted` events; returns them in order.
async fn follow(
    store: &Store,
    tenants: &[TenantId],
    wanted: usize,
) -> Vec<(EventPosition, TenantId, i64)> {
    let mut changes = store.changes();
    let mut seen = Vec::new();
    let mut cursor = EventPosition(0);
    while seen.len() < wanted {
        changes.mark_unchanged();
        let rows = store.events_after(tenants, cursor, 7).await.unwrap();
        let Some(last) = rows.last() else {
            changes.changed().await.unwrap();
            continue;
        };
        cursor = last.position.unwrap();
        seen.extend(
            rows.into_iter()
                .map(|row| (row.position.unwrap(), row.event.tenant.clone(), row.event.seq)),
        );
    }
    seen
}

/// Publishes whenever there is something, until told to stop.
async fn publisher(store: Store, holder: &'static str) {
    let fence = hold_lease(&store, events::PUBLISHER_LEASE, holder).await;
    let mut changes = store.changes();
    loop {
        changes.mark_unchanged();
        if store.publish(holder, fence).await.unwrap() == 0 {
            changes.changed().await.unwrap();
        }
    }
}

async fn a_reader_by_position_sees_every_batch_of_many_writers_once(db: Db) {
    const WRITERS: u32 = 8;
    const EACH: i64 = 40;
    let tenants = [tenant("a"), tenant("b")];
    let lingers = db.store.database_name() == "postgres";
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let (store, tenant) = (db.store.clone(), tenants[writer as usize % 2].clone());
        writers.spawn(async move {
            for seq in 0..EACH {
                let said = event(&tenant, run_id(writer), 1, seq);
                let mut batch = event_batch(&tenant, &format!("{writer}.{seq}"), &said);
                if lingers && (seq + i64::from(writer)) % 4 == 0 {
                    let delay = (seq * 7 + i64::from(writer) * 5) % 20;
                    batch = batch.then(&LINGER, vec![Value::Int(delay)]);
                }
                store.apply(batch).await.unwrap();
            }
        });
    }
    let other = db.other().await;
    let publishing = tokio::spawn(publisher(db.other().await, "p"));
    let wanted = WRITERS as usize * usize::try_from(EACH).unwrap();
    let seen = follow(&other, &tenants, wanted).await;
    while writers.join_next().await.is_some_and(|outcome| outcome.is_ok()) {}
    publishing.abort();

    assert_eq!(seen.len(), wanted);
    assert!(seen.is_sorted_by_key(|(position, ..)| *position));
    let positions: BTreeSet<EventPosition> = seen.iter().map(|(position, ..)| *position).collect();
    assert_eq!(positions.len(), wanted, "each batch has a position of its own");
    let last = other.last_position().await.unwrap();
    assert_eq!(usize::try_from(last.0), Ok(wanted), "positions have no gap");
    let rest = other.events_after(&tenants, last, 10).await.unwrap();
    assert!(rest.is_empty(), "nothing comes after the last");
}

async fn a_batch_is_never_cut_in_two(db: Db) {
    let (tenant, run) = (tenant("a"), run_id(1));
    for (id, seqs) in [("one", 0..5), ("two", 5..9)] {
        let said: Vec<_> = seqs.map(|seq| event(&tenant, run, 1, seq)).collect();
        let mut batch = Batch::for_tenant(&tenant);
        events::insert(&mut batch, &tenant, id, &said);
        db.store.apply(batch).await.unwrap();
    }
    publish_all(&db.store).await;
    let tenants = [tenant];
    let first = db.store.events_after(&tenants, EventPosition(0), 1).await.unwrap();
    assert_eq!(first.len(), 5);
    let next = db.store.events_after(&tenants, first[4].position.unwrap(), 1).await.unwrap();
    assert_eq!(next.iter().map(|row| row.event.seq).collect::<Vec<_>>(), [5, 6, 7, 8]);
}

async fn an_event_that_was_stored_is_not_stored_again(db: Db) {
    let tenant = tenant("a");
    let said = event(&tenant, run_id(1), 1, 0);
    db.store.apply(event_batch(&tenant, "one", &said)).await.unwrap();
    let same_event = db.store.apply(event_batch(&tenant, "two", &said)).await;
    assert_eq!(duplicate(same_event), "INSERT_EVENT");
    let other = event(&tenant, run_id(1), 1, 1);
    let same_batch = db.store.apply(event_batch(&tenant, "one", &other)).await.unwrap_err();
    assert!(same_batch.to_string().contains("INSERT_EVENT_BATCH"), "{same_batch}");
}

async fn a_reader_sees_only_the_tenants_it_names(db: Db) {
    let tenants = [tenant("a"), tenant("b"), tenant("c")];
    for tenant in &tenants {
        let said = event(tenant, run_id(1), 1, 0);
        db.store.apply(event_batch(tenant, "one", &said)).await.unwrap();
    }
    publish_all(&db.store).await;
    assert_eq!(db.store.last_position().await.unwrap(), EventPosition(3), "each has its own");
    let rows = db.store.events_after(&tenants[1..], EventPosition(0), 10).await.unwrap();
    let seen: BTreeSet<TenantId> = rows.into_iter().map(|row| row.event.tenant).collect();
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), tenants[1..]);
    assert_eq!(db.store.events_after(&[], EventPosition(0), 10).await.unwrap(), []);
    // Whoever asks who is in the log hears of each once.
    let again = event(&tenants[1], run_id(2), 1, 0);
    db.store.apply(event_batch(&tenants[1], "two", &again)).await.unwrap();
    assert_eq!(db.store.tenants_in_log(9).await.unwrap(), tenants);
    assert_eq!(db.store.tenants_in_log(2).await.unwrap(), tenants[..2]);
}

async fn events_of_a_run_come_in_the_order_of_the_log(db: Db) {
    let (tenant, run) = (tenant("a"), run_id(1));
    // A late event of the control plane comes after those of the worker that were before it.
    for (epoch, seqs) in [(0, vec![-9]), (1, vec![0, 1]), (1, vec![-6]), (2, vec![0])] {
        let id = format!("{epoch}.{}", seqs[0]);
        let said: Vec<_> = seqs.iter().map(|seq| event(&tenant, run, epoch, *seq)).collect();
        let mut batch = Batch::for_tenant(&tenant);
        events::insert(&mut batch, &tenant, &id, &said);
        db.store.apply(batch).await.unwrap();
    }
    publish_all(&db.store).await;
    let page = async |after, limit| {
        let rows = db.store.run_events(&tenant, run, after, limit).await.unwrap();
        rows.iter().map(|row| (row.event.epoch, row.event.seq)).collect::<Vec<_>>()
    };
    let start = (0, i64::MIN);
    assert_eq!(page(start, 10).await, [(0, -9), (1, 0), (1, 1), (1, -6), (2, 0)]);
    assert_eq!(page((2, 0), 2).await, [(1, 1), (1, -6)], "after the first of the second batch");
    assert!(db.store.event_exists(&tenant, run, (1, -6)).await.unwrap());
    assert!(!db.store.event_exists(&tenant, run, (2, -6)).await.unwrap());
}

async fn checks_are_found_of_many_runs_at_once_and_no_other_event_is(db: Db) {
    let (ours, theirs) = (tenant("a"), tenant("b"));
    let said = |tenant: &TenantId, run, seq, body| Event {
        at: at(seq),
        body,
        ..event(tenant, run_id(run), 1, seq)
    };
    let check = EventBody::AssetChecked {
        step: "extract".parse().unwrap(),
        asset: "orders".parse().unwrap(),
        partition: None,
        check: "full".to_owned(),
        passed: false,
        severity: CheckSeverity::Warn,
        metadata: BTreeMap::new(),
    };
    let payload = serde_json::json!({ "kind": "asset_checked" });
    let message = EventBody::StepMessage { step: "extract".parse().unwrap(), attempt: 1, payload };
    let all = [
        ("m", said(&ours, 1, 0, message)),
        ("c1", said(&ours, 1, 1, check.clone())),
        ("c2", said(&ours, 2, 2, check.clone())),
        ("c3", said(&ours, 3, 3, check.clone())),
        ("c4", said(&theirs, 1, 4, check)),
    ];
    for (id, said) in &all {
        db.store.apply(event_batch(&said.tenant, id, said)).await.unwrap();
    }
    let found = async |runs: &[u32], limit| {
        let runs: Vec<_> = runs.iter().map(|run| run_id(*run)).collect();
        let found = db.store.checks_of_runs(&ours, &runs, limit).await.unwrap();
        found.iter().map(|it| it.seq).collect::<Vec<_>>()
    };
    assert_eq!(found(&[1, 2], 9).await, [2, 1], "the newest first");
    assert_eq!(found(&[1, 2, 3], 2).await, [3, 2]);
    assert_eq!(found(&[4], 9).await, [0; 0]);
}

async fn batches_written_one_after_the_other_are_published_in_that_order(db: Db) {
    let (tenant, run) = (tenant("a"), run_id(1));
    // Ids that sort another way than the batches were written.
    for (seq, id) in ["m", "z", "a", "k"].into_iter().enumerate() {
        let said = event(&tenant, run, 1, i64::try_from(seq).unwrap());
        db.store.apply(event_batch(&tenant, id, &said)).await.unwrap();
    }
    publish_all(&db.store).await;
    let rows = db.store.events_after(&[tenant], EventPosition(0), 10).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.event.seq).collect::<Vec<_>>(), [0, 1, 2, 3]);
}

async fn a_batch_has_no_position_until_it_is_published(db: Db) {
    let (tenant, run) = (tenant("a"), run_id(1));
    let said = event(&tenant, run, 1, 0);
    db.store.apply(event_batch(&tenant, "one", &said)).await.unwrap();
    let start = EventPosition(0);
    let tenants = [tenant];
    assert_eq!(db.store.last_position().await.unwrap(), start);
    assert_eq!(db.store.events_after(&tenants, start, 9).await.unwrap(), []);
    let fence = hold_lease(&db.store, events::PUBLISHER_LEASE, "p").await;
    assert_eq!(db.store.publish("p", fence).await.unwrap(), 1);
    let rows = db.store.events_after(&tenants, start, 9).await.unwrap();
    assert_eq!(rows[0].position, Some(EventPosition(1)));
    assert_eq!(db.store.publish("p", fence).await.unwrap(), 0);
}

async fn only_the_holder_of_the_lease_publishes(db: Db) {
    let tenant = tenant("a");
    let said = event(&tenant, run_id(1), 1, 0);
    db.store.apply(event_batch(&tenant, "one", &said)).await.unwrap();
    let fence = hold_lease(&db.store, events::PUBLISHER_LEASE, "p").await;
    let seen = db.store.lease(events::PUBLISHER_LEASE).await.unwrap().unwrap();
    let taken = leases::take(events::PUBLISHER_LEASE, "q", &seen);
    db.store.apply(taken).await.unwrap();
    assert_eq!(conflict(db.store.publish("p", fence).await), "RAISE_LEASE");
    assert_eq!(db.store.last_position().await.unwrap(), EventPosition(0));
    assert_eq!(db.store.publish("q", fence + 1).await.unwrap(), 1);
}

async fn two_publishers_never_give_a_position_twice(db: Db) {
    let tenant = tenant("a");
    let fence = hold_lease(&db.store, events::PUBLISHER_LEASE, "p").await;
    let other = db.other().await;
    let mut positions: BTreeMap<i64, i64> = BTreeMap::new();
    for round in 0..20 {
        for part in 0..3 {
            let seq = round * 3 + part;
            let said = event(&tenant, run_id(1), 1, seq);
            db.store.apply(event_batch(&tenant, &format!("{seq}"), &said)).await.unwrap();
        }
        // The same holder twice, as if its process had been cloned: the row's lock orders them.
        let (one, two): (Result<u32, StoreError>, Result<u32, StoreError>) =
            tokio::join!(db.store.publish("p", fence), other.publish("p", fence));
        assert_eq!(one.unwrap() + two.unwrap(), 3);
    }
    for row in db.store.events_after(&[tenant], EventPosition(0), 100).await.unwrap() {
        *positions.entry(row.position.unwrap().0).or_default() += 1;
    }
    assert_eq!(positions.len(), 60);
    assert!(positions.values().all(|count| *count == 1));
}
