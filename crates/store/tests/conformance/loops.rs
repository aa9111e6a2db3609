//! Loops of daemons: each is kept once, and forgotten when its daemon ends or was silent for long.

use std::time::Duration;

use millstream_model::Timestamp;
use millstream_store::Store;
use millstream_store::loops::{StoredLoop, forget, forget_all, keep};

use crate::conformance;
use crate::databases::Db;
use crate::fixture::at;

conformance! {
    a_loop_is_kept_once_with_its_newest_time,
    loops_are_forgotten_with_their_daemon_or_after_a_long_silence,
    a_loop_that_hangs_is_known_as_long_as_its_daemon_lives,
    the_last_end_in_order_of_a_daemon_is_kept_and_none_of_one_that_was_never_heard_of,
}

fn beat(daemon: &str, name: &str, beat_at: Timestamp) -> StoredLoop {
    let (daemon, name) = (daemon.to_owned(), name.to_owned());
    StoredLoop { daemon, name, silence_max: Duration::from_secs(30), beat_at }
}

async fn known(store: &Store) -> Vec<StoredLoop> {
    store.daemon_loops(100).await.unwrap()
}

async fn a_loop_is_kept_once_with_its_newest_time(db: Db) {
    let first = [beat("a", "queue", at(1)), beat("a", "scans", at(1))];
    db.store.apply(keep(&first, at(0))).await.unwrap();
    db.store.apply(keep(&[beat("a", "queue", at(9))], at(0))).await.unwrap();
    let wanted = [beat("a", "queue", at(9)), beat("a", "scans", at(1))];
    assert_eq!(known(&db.store).await, wanted);
}

async fn a_loop_that_hangs_is_known_as_long_as_its_daemon_lives(db: Db) {
    let all = [beat("a", "queue", at(9)), beat("a", "scans", at(1))];
    db.store.apply(keep(&all, at(8))).await.unwrap();
    assert_eq!(known(&db.store).await, all);
}

async fn loops_are_forgotten_with_their_daemon_or_after_a_long_silence(db: Db) {
    let all = [beat("a", "queue", at(5)), beat("b", "queue", at(4)), beat("c", "queue", at(1))];
    db.store.apply(keep(&all, at(0))).await.unwrap();
    db.store.apply(keep(&all[..1], at(4))).await.unwrap();
    assert_eq!(known(&db.store).await, all[..2], "the third was silent since before that");
    db.store.apply(forget("a", at(6))).await.unwrap();
    assert_eq!(known(&db.store).await, all[1..2]);
    db.store.apply(forget_all()).await.unwrap();
    assert_eq!(known(&db.store).await, []);
}

async fn the_last_end_in_order_of_a_daemon_is_kept_and_none_of_one_that_was_never_heard_of(db: Db) {
    let all = [beat("a", "queue", at(1)), beat("a", "scans", at(1)), beat("b", "queue", at(1))];
    db.store.apply(keep(&all, at(0))).await.unwrap();
    assert_eq!(db.store.last_daemon_end().await.unwrap(), None);
    for (daemon, now, last) in [("a", at(2), at(2)), ("b", at(3), at(3)), ("c", at(4), at(3))] {
        db.store.apply(forget(daemon, now)).await.unwrap();
        assert_eq!(db.store.last_daemon_end().await.unwrap(), Some(last), "{daemon}");
    }
}
