//! A server that is away, busy or full is an answer, and work goes on when it is back.

use std::time::Duration;

use millstream_model::{ContentHash, TickKind, TickSource, Timestamp};
use millstream_store::sources::{self, CursorMove};
use millstream_store::{Batch, Scope, Sql, Store, StoreError, instance};

use crate::databases::Db;
use crate::fixture::{CHANGE, SET, assert_unavailable, conflict, refused, tenant};
use crate::on_postgres;

on_postgres! {
    after_every_connection_was_cut_reads_and_writes_go_on,
    of_batches_applied_together_whose_connections_are_cut_each_is_whole_or_absent,
    cursors_that_another_process_writes_meanwhile_all_move_as_decided_or_none_does,
    a_commit_of_another_process_is_heard,
    the_last_commit_of_a_process_that_announces_it_at_once_is_heard,
    announcements_are_heard_again_after_their_connection_was_cut,
    a_lock_that_is_not_given_and_a_pool_that_is_empty_are_unavailable,
    of_two_batches_that_wait_for_one_another_both_are_stored,
    a_batch_whose_caller_goes_away_is_whole_or_absent,
    a_value_of_another_type_is_refused_before_anything_is_sent,
    each_sqlstate_is_told_from_the_others,
    a_server_that_is_not_there_is_unavailable_and_its_password_is_not_shown,
}

fn set(key: &str) -> Batch {
    Batch::new(Scope::Instance).then_one(&SET, vec![key.into(), "1".into()])
}

/// Ends every other session on the database.
async fn cut_connections(db: &Db) {
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    db.admin().await.batch_execute(cut).await.unwrap();
}

async fn after_every_connection_was_cut_reads_and_writes_go_on(db: Db) {
    for round in 0..5 {
        let keys = [1, 2, 3].map(|part| format!("{round}.{part}"));
        let [one, two, three] = keys.each_ref().map(|key| db.store.apply(set(key)));
        let (one, two, three) = tokio::join!(one, two, three);
        one.and(two).and(three).unwrap();
        cut_connections(&db).await;
        // A read is made again by itself; a write whose connection breaks says what it knows.
        assert_eq!(db.store.setting(&keys[0]).await.unwrap().as_deref(), Some("1"));
    }
}

async fn of_batches_applied_together_whose_connections_are_cut_each_is_whole_or_absent(db: Db) {
    let batch = |key: &String| set(key).then_one(&SET, vec![format!("{key}+").into(), "1".into()]);
    let mut unknown = 0;
    for round in 0..10 {
        let keys: Vec<String> = (0..40).map(|number| format!("{round}.{number}")).collect();
        let applied = db.store.apply_each(keys.iter().map(batch).collect());
        let (outcomes, ()) = tokio::join!(applied, cut_connections(&db));
        for (key, outcome) in keys.iter().zip(outcomes) {
            let first = db.store.setting(key).await.unwrap();
            let last = db.store.setting(&format!("{key}+")).await.unwrap();
            assert_eq!(first, last, "half of {key} is stored");
            if outcome.is_ok() {
                assert!(first.is_some(), "{key} is gone");
                continue;
            }
            assert_unavailable(&outcome);
            unknown += 1;
            // Who does not know whether it is stored applies it again, and hears which.
            match db.store.apply(batch(key)).await {
                Ok(_) => assert_eq!(first, None),
                Err(StoreError::Duplicate { .. }) => assert!(first.is_some()),
                Err(other) => panic!("{other:?}"),
            }
        }
    }
    assert!(unknown > 0, "no connection was cut while it was used");
}

async fn cursors_that_another_process_writes_meanwhile_all_move_as_decided_or_none_does(db: Db) {
    let (admin, mut other) = (db.admin().await, db.admin().await);
    let sources = "DELETE FROM tick_source;
        INSERT INTO tick_source (tenant, kind, location, name, version, timing, cursor_at,
                                 default_on)
        SELECT 'a', 'schedule', 'project', name, 1, 'v', 1, TRUE
        FROM (VALUES ('one'), ('two'), ('three')) AS names(name)";
    let moves = ["one", "two", "three"].map(|name| CursorMove {
        source: TickSource {
            kind: TickKind::Schedule,
            location: "project".parse().unwrap(),
            name: name.to_owned(),
        },
        timing: ContentHash::from_stored("v".to_owned()),
        from: Timestamp::from_micros(1),
        is_on: false,
        to: Timestamp::from_micros(9),
        next_due: None,
    });
    for (change, is_kept) in
        [("cursor_at = 7", true), ("version = 2", true), ("cursor_at = 7", false)]
    {
        admin.batch_execute(sources).await.unwrap();
        let writer = other.transaction().await.unwrap();
        let write = format!("UPDATE tick_source SET {change} WHERE name = 'two'");
        writer.batch_execute(&write).await.unwrap();
        let mut batch = Batch::for_tenant(&tenant("a"));
        sources::move_cursors(&mut batch, &tenant("a"), &moves);
        let meeting = async {
            let waiting = "SELECT COUNT(*) FROM pg_stat_activity
                WHERE datname = current_database() AND wait_event_type = 'Lock'";
            while admin.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) < 1 {
                tokio::task::yield_now().await;
            }
            if is_kept { writer.commit().await } else { writer.rollback().await }.unwrap();
        };
        let (outcome, ()) = tokio::join!(db.store.apply(batch), meeting);
        let cursors = "SELECT cursor_at FROM tick_source ORDER BY name = 'two', name";
        let cursors: Vec<i64> =
            admin.query(cursors, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
        match (change, is_kept, outcome.is_ok()) {
            // What was decided for another cursor is not stored, and neither is the rest.
            ("cursor_at = 7", true, false) => assert_eq!(cursors, [1, 1, 7]),
            ("cursor_at = 7", false, true) | ("version = 2", true, true) => {
                assert_eq!(cursors, [9, 9, 9]);
            }
            // A row that was written meanwhile may count as missed; nothing is half done then.
            ("version = 2", true, false) => assert_eq!(cursors, [1, 1, 1]),
            _ => panic!("{change}, kept {is_kept}: {outcome:?}"),
        }
        if outcome.is_err() {
            assert_eq!(conflict(outcome), "MOVE_CURSORS");
        }
    }
}

async fn a_commit_of_another_process_is_heard(db: Db) {
    let other = db.other().await;
    let mut changes = other.changes();
    for key in 0..3 {
        changes.mark_unchanged();
        db.store.apply(set(&key.to_string())).await.unwrap();
        changes.changed().await.unwrap();
    }
}

async fn the_last_commit_of_a_process_that_announces_it_at_once_is_heard(db: Db) {
    let mut changes = db.store.changes();
    for key in 0..5 {
        let ending = db.other().await;
        ending.apply(set(&format!("{key}.first"))).await.unwrap();
        changes.changed().await.unwrap();
        // It has just announced something, and so would wait with the next announcement.
        changes.mark_unchanged();
        ending.apply(set(&format!("{key}.last"))).await.unwrap();
        ending.announce_now().await.unwrap();
        drop(ending);
        changes.changed().await.unwrap();
    }
}

async fn announcements_are_heard_again_after_their_connection_was_cut(db: Db) {
    let other = db.other().await;
    let mut changes = other.changes();
    // Whether `other` listened before this line or begins to after it: this commit it hears of.
    db.store.apply(set("before")).await.unwrap();
    changes.changed().await.unwrap();
    cut_connections(&db).await;
    for round in 0..5 {
        changes.mark_unchanged();
        // A cut connection of the pool may be found out only by its use; a caller tries again.
        let mut tries = 0;
        while let Err(error) = db.store.apply(set(&round.to_string())).await {
            tries += 1;
            assert!(tries < 10, "{error}");
        }
        // Reconnecting, too, says "look": what was missed meanwhile is found.
        changes.changed().await.unwrap();
    }
}

async fn a_lock_that_is_not_given_and_a_pool_that_is_empty_are_unavailable(db: Db) {
    let store = db.with_connections(1).await;
    let mut admin = db.admin().await;
    let holding = admin.transaction().await.unwrap();
    holding.batch_execute("LOCK TABLE instance").await.unwrap();
    let (one, two) = tokio::join!(store.apply(set("a")), store.apply(set("b")));
    assert_unavailable(&one);
    assert_unavailable(&two);
    holding.rollback().await.unwrap();
    store.apply(set("a")).await.unwrap();
}

async fn of_two_batches_that_wait_for_one_another_both_are_stored(db: Db) {
    static MEET: Sql =
        Sql { name: "MEET", text: "SELECT CAST(pg_advisory_xact_lock_shared(1) AS TEXT)" };
    for key in ["a", "b"] {
        db.store.apply(set(key)).await.unwrap();
    }
    let admin = db.admin().await;
    admin.batch_execute("SELECT pg_advisory_lock(1)").await.unwrap();
    let both = |first: &str, second: &str, value: &str| {
        Batch::new(Scope::Instance)
            .then_one(&CHANGE, vec![first.into(), value.into()])
            .then(&MEET, Vec::new())
            .then_one(&CHANGE, vec![second.into(), value.into()])
    };
    let meeting = async {
        let waiting = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        while admin.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) < 2 {
            tokio::task::yield_now().await;
        }
        admin.batch_execute("SELECT pg_advisory_unlock(1)").await.unwrap();
    };
    let (one, two, ()) = tokio::join!(
        db.store.apply(both("a", "b", "one")),
        db.store.apply(both("b", "a", "two")),
        meeting
    );
    one.and(two).unwrap();
    let values = (db.store.setting("a").await.unwrap(), db.store.setting("b").await.unwrap());
    assert_eq!(values.0, values.1, "one after the other, not mixed");
}

async fn a_batch_whose_caller_goes_away_is_whole_or_absent(db: Db) {
    let store = db.with_connections(2).await;
    for round in 0..40_u64 {
        let keys: Vec<String> = (0..20).map(|part| format!("{round}.{part}")).collect();
        let batch = keys.iter().fold(Batch::new(Scope::Instance), |batch, key| {
            batch.then_one(&SET, vec![key.as_str().into(), "1".into()])
        });
        let patience = Duration::from_micros(round * 50);
        drop(tokio::time::timeout(patience, store.apply(batch)).await);
        // Two more trips on the same connections come after whatever was left on them.
        let (first, last) = tokio::join!(store.setting(&keys[0]), store.setting(&keys[19]));
        let (first, last) = (first.unwrap().is_some(), last.unwrap().is_some());
        let again = store.setting(&keys[19]).await.unwrap().is_some();
        assert!(!first || last || again, "half of batch {round} is stored");
    }
}

async fn a_value_of_another_type_is_refused_before_anything_is_sent(db: Db) {
    let batch = Batch::new(Scope::Instance)
        .then_one(&SET, vec!["a".into(), "1".into()])
        .then_one(&SET, vec!["b".into(), 2_i64.into()]);
    assert!(refused(db.store.apply(batch).await).contains("Int(2)"));
    assert_eq!(db.store.setting("a").await.unwrap(), None);
}

async fn each_sqlstate_is_told_from_the_others(db: Db) {
    static RAISE: Sql = Sql { name: "RAISE", text: "SELECT raise_state($1)" };
    let function = "CREATE FUNCTION raise_state(state TEXT) RETURNS TEXT LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION USING ERRCODE = state, MESSAGE = 'planted'; END $$";
    db.admin().await.batch_execute(function).await.unwrap();
    let raised = async |state: &str| {
        let batch = Batch::new(Scope::Instance)
            .then_one(&SET, vec![state.into(), "1".into()])
            .then(&RAISE, vec![state.into()]);
        let outcome = db.store.apply(batch).await;
        assert_eq!(db.store.setting(state).await.unwrap(), None, "{state}");
        outcome.unwrap_err()
    };
    for passing in ["40001", "40P01", "55P03", "57P01", "57014", "53300", "53100", "08006", "25006"]
    {
        assert_unavailable::<()>(&Err(raised(passing).await));
    }
    assert!(matches!(raised("MS001").await, StoreError::Conflict { statement: "RAISE" }));
    assert!(matches!(raised("23505").await, StoreError::Duplicate { statement: "RAISE" }));
    for defect in ["42601", "23502", "22003", "42501"] {
        refused::<()>(Err(raised(defect).await));
    }
}

async fn a_server_that_is_not_there_is_unavailable_and_its_password_is_not_shown(db: Db) {
    db.store.apply(instance::keep_first_setting("a", "1")).await.unwrap();
    let nobody = "postgres://ann:hunter2@127.0.0.1:1/none";
    let outcome = Store::connect_postgres(nobody, 1).await;
    let message = outcome.as_ref().unwrap_err().to_string();
    assert_unavailable(&outcome);
    assert!(!message.contains("hunter2"), "{message}");
    let garbled = Store::connect_postgres("postgres://ann:hunter2@[::1", 1).await;
    assert!(!garbled.unwrap_err().to_string().contains("hunter2"));
}
