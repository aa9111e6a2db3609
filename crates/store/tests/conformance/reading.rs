//! Reading by position while sixteen write: nothing is lost, nothing comes twice, the order holds.
//!
//! `MILLSTREAM_EVENTS` says how many events.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use millstream_model::{EventPosition, RunId, TenantId};
use millstream_store::{Batch, Sql, Store, Value, events};

use crate::databases::Db;
use crate::fixture::{event, hold_lease, run_id, tenant};

const WRITERS: u32 = 16;

/// Events in one commit, at most.
const AT_ONCE: i64 = 20;

/// Holds the transaction open on the server, so that commits come in another order than writes.
static LINGER: Sql =
    Sql { name: "LINGER", text: "SELECT CAST(pg_sleep(CAST($1 AS BIGINT) / 1000.0) AS TEXT)" };

fn events_wanted() -> i64 {
    std::env::var("MILLSTREAM_EVENTS").map_or(8_000, |text| text.parse().unwrap())
}

/// What a reader has seen, and what is wrong with it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Read {
    events: i64,
    lost: i64,
    twice: i64,
    out_of_order: i64,
    /// The last event of each writer.
    last: BTreeMap<RunId, i64>,
}

impl Read {
    /// Takes in the next event of `run`: each writer numbers its own, one after the other.
    fn see(&mut self, run: RunId, seq: i64) {
        let last = self.last.entry(run).or_insert(-1);
        self.events += 1;
        match seq - *last {
            1 => {}
            0 => self.twice += 1,
            gap if gap > 1 => self.lost += gap - 1,
            _ => self.out_of_order += 1,
        }
        *last = seq.max(*last);
    }

    fn is_right(&self) -> bool {
        self.lost + self.twice + self.out_of_order == 0
    }
}

/// Writes `count` events of one writer, a few in a commit; on Postgres some commits linger.
async fn write(store: Store, tenant: TenantId, writer: u32, count: i64) {
    let run = run_id(writer);
    let mut seq = 0;
    while seq < count {
        let draw = (seq * 31 + i64::from(writer) * 17) % 101;
        let end = count.min(seq + 1 + draw % AT_ONCE);
        let said: Vec<_> = (seq..end).map(|seq| event(&tenant, run, 1, seq)).collect();
        let mut batch = Batch::for_tenant(&tenant);
        events::insert(&mut batch, &tenant, &format!("{writer}.{seq}"), &said);
        // The first of all lingers longest, so that others commit before it.
        let linger = if (writer, seq) == (0, 0) { 500 } else { draw * 4 };
        if (draw < 5 || linger == 500) && store.database_name() == "postgres" {
            batch = batch.then(&LINGER, vec![Value::Int(linger)]);
        }
        store.apply(batch).await.unwrap();
        seq = end;
    }
}

/// Publishes until nobody waits for it any more. The tables grow from nothing within a minute, and
/// the server counts them by itself later, so it is told to whenever they have doubled.
async fn publish(db: Db) {
    let (store, admin) = (db.other().await, db.admin().await);
    let (mut published, mut known) = (0, 500);
    let fence = hold_lease(&store, events::PUBLISHER_LEASE, "p").await;
    let mut changes = store.changes();
    loop {
        changes.mark_unchanged();
        let more = store.publish("p", fence).await.unwrap();
        published += more;
        if published >= known {
            known = published * 2;
            admin.batch_execute("ANALYZE event_batch; ANALYZE event").await.unwrap();
        }
        if more == 0 {
            changes.changed().await.unwrap();
        }
    }
}

/// Reads until `wanted` events were seen; the cursor is all that is kept between two looks.
async fn read(store: Store, tenants: [TenantId; 2], wanted: i64, batches: u32) -> Read {
    let mut changes = store.changes();
    let (mut seen, mut cursor) = (Read::default(), EventPosition(0));
    while seen.events < wanted && seen.is_right() {
        changes.mark_unchanged();
        let rows = store.events_after(&tenants, cursor, batches).await.unwrap();
        let Some(last) = rows.last() else {
            changes.changed().await.unwrap();
            continue;
        };
        cursor = last.position.unwrap();
        for row in &rows {
            seen.see(row.event.run, row.event.seq);
        }
    }
    seen
}

/// Reads what is committed by the highest number seen so far, as one would without positions.
async fn read_by_highest(db: Db, stop: tokio::sync::watch::Receiver<bool>) -> Read {
    let admin = db.admin().await;
    let (mut seen, mut highest) = (Read::default(), 0_i64);
    let question = "SELECT b.arrival, e.run, e.seq FROM event_batch b \
                    JOIN event e ON e.tenant = b.tenant AND e.batch = b.id \
                    WHERE b.arrival > $1 ORDER BY b.arrival, e.seq";
    loop {
        let is_last = *stop.borrow();
        for row in admin.query(question, &[&highest]).await.unwrap() {
            highest = highest.max(row.get(0));
            seen.see(row.get::<_, String>(1).parse().unwrap(), row.get(2));
        }
        // One loss is enough; its question costs more the more there is.
        if is_last || seen.lost > 0 {
            return seen;
        }
        tokio::task::yield_now().await;
    }
}

/// Has everybody write, and readers read beside them; one of them by the highest number.
async fn sixteen_write(db: &Db, count: i64) -> (Vec<Read>, Read) {
    let tenants = [tenant("a"), tenant("b")];
    let mut writers = tokio::task::JoinSet::new();
    let stores = [db.other().await, db.other().await];
    for writer in 0..WRITERS {
        let place = writer as usize % 2;
        let (store, tenant) = (stores[place].clone(), tenants[place].clone());
        writers.spawn(write(store, tenant, writer, count / i64::from(WRITERS)));
    }
    let wanted = count / i64::from(WRITERS) * i64::from(WRITERS);
    let publishing = tokio::spawn(publish(db.clone()));
    let readers: Vec<_> = [1, 7, 500]
        .into_iter()
        .map(|batches| tokio::spawn(read(db.store.clone(), tenants.clone(), wanted, batches)))
        .collect();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let by_highest = tokio::spawn(read_by_highest(db.clone(), stopped));
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    stop.send_replace(true);
    let mut read = Vec::new();
    for reader in readers {
        read.push(reader.await.unwrap());
    }
    publishing.abort();
    (read, by_highest.await.unwrap())
}

#[test]
fn g6_g19_of_sixteen_writers_every_event_is_read_once_and_in_order() {
    let limit = Duration::from_hours(1);
    crate::databases::run_for(limit, crate::databases::Kind::Postgres, async |db: Db| {
        let (count, started) = (events_wanted(), Instant::now());
        let (readers, by_highest) = sixteen_write(&db, count).await;
        let wanted = count / i64::from(WRITERS) * i64::from(WRITERS);
        for reader in &readers {
            assert!(reader.is_right() && reader.events == wanted, "{reader:?}");
        }
        let seconds = started.elapsed().as_secs_f64();
        println!(
            "G6: postgres: {wanted} events of {WRITERS} writers, {} readers, {seconds:.0} s: \
             0 lost, 0 twice, 0 out of order",
            readers.len()
        );
        assert!(by_highest.lost > 0, "a reader by the highest number loses nothing here");
        println!("G19: a cursor by the highest number: found by {} events lost", by_highest.lost);
    });
}

#[test]
fn g6_on_sqlite_every_event_is_read_once_and_in_order() {
    let count = events_wanted().min(100_000);
    let limit = Duration::from_hours(1);
    crate::databases::run_for(limit, crate::databases::Kind::SqliteFile, async |db: Db| {
        let tenants = [tenant("a"), tenant("b")];
        let each = count / i64::from(WRITERS);
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let tenant = tenants[writer as usize % 2].clone();
            writers.spawn(write(db.store.clone(), tenant, writer, each));
        }
        let wanted = each * i64::from(WRITERS);
        let seen = read(db.store.clone(), tenants, wanted, 7).await;
        while let Some(ended) = writers.join_next().await {
            ended.unwrap();
        }
        assert!(seen.is_right() && seen.events == wanted, "{seen:?}");
        println!(
            "G6: sqlite: {wanted} events of {WRITERS} writers: 0 lost, 0 twice, 0 out of order"
        );
    });
}
