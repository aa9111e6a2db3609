//! Batches: all or nothing, whoever else writes.

use millstream_store::{Batch, Expect, Scope, Sql, Store, StoreError, live};

use crate::conformance;
use crate::databases::Db;
use crate::fixture::{CHANGE, SET, conflict, duplicate, queue, queued, refused, run_id, tenant};

static RETURNED: Sql = Sql {
    name: "RETURNED",
    text: "UPDATE instance SET value = $2 WHERE key = $1 RETURNING key, value",
};
static FORGET: Sql = Sql { name: "FORGET", text: "DELETE FROM instance WHERE key = $1" };

conformance! {
    a_batch_is_stored_whole,
    a_batch_whose_last_statement_fails_stores_nothing,
    a_statement_that_touches_another_number_of_rows_undoes_its_batch,
    a_statement_with_rows_of_its_own_is_counted_too,
    no_row_at_all_can_be_what_is_expected,
    rows_come_back_at_the_place_of_their_statement,
    a_taken_key_is_told_from_a_defect,
    a_value_too_many_stores_nothing_of_the_batch,
    a_bad_batch_among_many_harms_only_itself,
    batches_applied_together_stand_or_fall_each_for_itself_and_answer_in_their_order,
    a_batch_of_two_thousand_statements_is_one,
    many_new_runs_of_a_batch_are_all_stored_or_none,
    an_empty_batch_does_nothing,
    a_commit_is_announced_and_a_refused_batch_is_not,
    a_stored_value_that_is_not_known_is_named_with_its_place,
}

fn instance() -> Batch {
    Batch::new(Scope::Instance)
}

async fn setting(store: &Store, key: &str) -> Option<String> {
    store.setting(key).await.unwrap()
}

async fn a_batch_is_stored_whole(db: Db) {
    let batch = instance()
        .then_one(&SET, vec!["a".into(), "1".into()])
        .then_one(&SET, vec!["b".into(), "2".into()]);
    db.store.apply(batch).await.unwrap();
    assert_eq!(setting(&db.store, "a").await.as_deref(), Some("1"));
    assert_eq!(setting(&db.store, "b").await.as_deref(), Some("2"));
}

async fn a_batch_whose_last_statement_fails_stores_nothing(db: Db) {
    let batch = instance()
        .then_one(&SET, vec!["a".into(), "1".into()])
        .then_one(&SET, vec!["a".into(), "2".into()]);
    assert_eq!(duplicate(db.store.apply(batch).await), "SET");
    assert_eq!(setting(&db.store, "a").await, None);
}

async fn a_statement_that_touches_another_number_of_rows_undoes_its_batch(db: Db) {
    let batch = instance()
        .then_one(&SET, vec!["a".into(), "1".into()])
        .then_one(&CHANGE, vec!["missing".into(), "2".into()])
        .then_one(&SET, vec!["b".into(), "3".into()]);
    assert_eq!(conflict(db.store.apply(batch).await), "CHANGE");
    assert_eq!(setting(&db.store, "a").await, None);
    assert_eq!(setting(&db.store, "b").await, None);
}

async fn a_statement_with_rows_of_its_own_is_counted_too(db: Db) {
    let batch = instance()
        .then_one(&SET, vec!["a".into(), "1".into()])
        .then_one(&RETURNED, vec!["missing".into(), "2".into()]);
    assert_eq!(conflict(db.store.apply(batch).await), "RETURNED");
    assert_eq!(setting(&db.store, "a").await, None);
}

async fn no_row_at_all_can_be_what_is_expected(db: Db) {
    let none = |key: &str| {
        let mut batch = instance();
        batch.push(&RETURNED, vec![key.into(), "1".into()], Expect::Rows(0));
        batch.push(&FORGET, vec![key.into()], Expect::Rows(0));
        batch
    };
    assert!(db.store.apply(none("missing")).await.unwrap().rows(0).is_empty());
    let set = instance().then_one(&SET, vec!["there".into(), "1".into()]);
    db.store.apply(set).await.unwrap();
    assert_eq!(conflict(db.store.apply(none("there")).await), "RETURNED");
}

async fn rows_come_back_at_the_place_of_their_statement(db: Db) {
    let batch = instance()
        .then_one(&SET, vec!["a".into(), "1".into()])
        .then_one(&RETURNED, vec!["a".into(), "2".into()])
        .then(&RETURNED, vec!["missing".into(), "3".into()])
        .then(&RETURNED, vec!["a".into(), "4".into()]);
    let mut applied = db.store.apply(batch).await.unwrap();
    let mut pairs = |index: usize| -> Vec<(String, String)> {
        let rows = applied.rows(index).into_iter();
        rows.map(|mut row| (row.text().unwrap(), row.text().unwrap())).collect()
    };
    assert_eq!(pairs(0), []);
    assert_eq!(pairs(1), [("a".to_owned(), "2".to_owned())]);
    assert_eq!(pairs(2), []);
    assert_eq!(pairs(3), [("a".to_owned(), "4".to_owned())]);
}

async fn a_taken_key_is_told_from_a_defect(db: Db) {
    let set = |value: millstream_store::Value| instance().then(&SET, vec!["a".into(), value]);
    db.store.apply(set("1".into())).await.unwrap();
    assert_eq!(duplicate(db.store.apply(set("2".into())).await), "SET");
    // The column takes no NULL: no other process was faster, the statement is wrong.
    refused(db.store.apply(set(millstream_store::Value::Null)).await);
}

async fn a_value_too_many_stores_nothing_of_the_batch(db: Db) {
    let batch = instance()
        .then_one(&SET, vec!["a".into(), "1".into()])
        .then_one(&SET, vec!["b".into(), "2".into(), "3".into()]);
    refused(db.store.apply(batch).await);
    assert_eq!(setting(&db.store, "a").await, None);
}

async fn a_bad_batch_among_many_harms_only_itself(db: Db) {
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..60 {
        let store = db.store.clone();
        writers.spawn(async move {
            let key = format!("k{number}");
            let batch = instance().then_one(&SET, vec![key.as_str().into(), "1".into()]);
            let bad = vec!["missing".into(), "1".into()];
            let batch = if number % 5 == 0 { batch.then_one(&CHANGE, bad) } else { batch };
            (number, store.apply(batch).await.is_ok())
        });
    }
    while let Some(outcome) = writers.join_next().await {
        let (number, stored) = outcome.unwrap();
        assert_eq!(stored, number % 5 != 0, "batch {number}");
        assert_eq!(setting(&db.store, &format!("k{number}")).await.is_some(), stored);
    }
}

async fn batches_applied_together_stand_or_fall_each_for_itself_and_answer_in_their_order(db: Db) {
    let one = |number: usize| {
        let (key, value) = (format!("k{number}"), number.to_string());
        let batch = instance()
            .then_one(&SET, vec![key.as_str().into(), "0".into()])
            .then_one(&RETURNED, vec![key.as_str().into(), value.as_str().into()]);
        match number % 50 {
            7 => batch.then_one(&CHANGE, vec!["missing".into(), "1".into()]),
            11 => batch.then_one(&SET, vec!["there".into(), "1".into()]),
            13 => batch.then_one(&SET, vec!["one".into(), "too".into(), "many".into()]),
            _ => batch,
        }
    };
    let set = instance().then_one(&SET, vec!["there".into(), "1".into()]);
    db.store.apply(set).await.unwrap();
    // More than one commit of the embedded database holds.
    let outcomes = db.store.apply_each((0..300).map(one).collect()).await;
    assert_eq!(outcomes.len(), 300);
    for (number, outcome) in outcomes.into_iter().enumerate() {
        let key = format!("k{number}");
        let stored = setting(&db.store, &key).await;
        match number % 50 {
            7 => assert_eq!(conflict(outcome), "CHANGE"),
            11 => assert_eq!(duplicate(outcome), "SET"),
            13 => drop(refused(outcome)),
            _ => {
                let mut row = outcome.unwrap().rows(1).remove(0);
                assert_eq!(row.text().unwrap(), key);
                assert_eq!(stored, Some(number.to_string()));
                continue;
            }
        }
        assert_eq!(stored, None, "{key}");
    }
    assert!(db.store.apply_each(Vec::new()).await.is_empty());
}

async fn a_batch_of_two_thousand_statements_is_one(db: Db) {
    let many = |last: &str| {
        let batch = instance();
        let batch = (0..2_000).fold(batch, |batch, number| {
            batch.then_one(&SET, vec![format!("{last}{number}").into(), "x".repeat(500).into()])
        });
        batch.then_one(&CHANGE, vec![last.into(), "2".into()])
    };
    assert_eq!(conflict(db.store.apply(many("a")).await), "CHANGE");
    assert_eq!(setting(&db.store, "a0").await, None);
    let set = instance().then_one(&SET, vec!["b".into(), "1".into()]);
    db.store.apply(set).await.unwrap();
    db.store.apply(many("b")).await.unwrap();
    assert!(setting(&db.store, "b1999").await.is_some());
}

async fn many_new_runs_of_a_batch_are_all_stored_or_none(db: Db) {
    let tenant = tenant("t1");
    let with_last = |last: u32| {
        let runs = (0..120).chain([last]).map(|number| queued(&tenant, run_id(number), 0));
        runs.fold(Batch::for_tenant(&tenant), |mut batch, run| {
            batch.append(run);
            batch
        })
    };
    assert_eq!(duplicate(db.store.apply(with_last(60)).await), "INSERT_RUN");
    assert_eq!(db.store.count_waiting(&tenant).await.unwrap(), 0);
    db.store.apply(with_last(120)).await.unwrap();
    assert_eq!(db.store.count_waiting(&tenant).await.unwrap(), 121);
    let first = db.store.first_in_queue(&tenant, 200).await.unwrap();
    assert_eq!(first, (0..=120).map(run_id).collect::<Vec<_>>());
}

async fn an_empty_batch_does_nothing(db: Db) {
    assert!(db.store.apply(instance()).await.unwrap().rows(0).is_empty());
}

async fn a_commit_is_announced_and_a_refused_batch_is_not(db: Db) {
    let mut changes = db.store.changes();
    let wrong = instance().then_one(&CHANGE, vec!["missing".into(), "1".into()]);
    db.store.apply(wrong).await.unwrap_err();
    // On a server the connection for announcements may just have been made, which says "look".
    let before = *changes.borrow_and_update();
    assert!(before <= 1, "{before} changes before the first commit");
    let right = instance().then_one(&SET, vec!["a".into(), "1".into()]);
    db.store.apply(right).await.unwrap();
    changes.changed().await.unwrap();
    assert!(*changes.borrow() > before);
}

async fn a_stored_value_that_is_not_known_is_named_with_its_place(db: Db) {
    static SPOIL: Sql =
        Sql { name: "SPOIL", text: "UPDATE live_run SET status = $2 WHERE tenant = $1" };
    let (tenant, run) = (tenant("a"), run_id(1));
    queue(&db.store, &tenant, run).await;
    let spoil = Batch::for_tenant(&tenant).then_one(&SPOIL, vec!["a".into(), "PAUSED".into()]);
    db.store.apply(spoil).await.unwrap();
    match db.store.live_run(&tenant, run).await {
        Err(StoreError::UnknownValue { statement: "LIVE_RUN", column: 3, value }) => {
            assert_eq!(value, "\"PAUSED\"");
        }
        other => panic!("{other:?}"),
    }
    // The row of another run is read all the same.
    db.store.apply(queued(&tenant, run_id(2), 0)).await.unwrap();
    let other = db.store.live_run(&tenant, run_id(2)).await.unwrap();
    assert_eq!(other.map(|row: live::LiveRun| row.run), Some(run_id(2)));
}
