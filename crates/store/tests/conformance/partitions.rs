//! Dynamic partitions: their order, and ordinals that never move.

use millstream_model::{PartitionKey, PartitionsName, TenantId};
use millstream_store::{Batch, Scope, Sql, Store, partitions};

use crate::conformance;
use crate::databases::Db;
use crate::fixture::{at, tenant, text};

conformance! {
    an_ordinal_is_never_used_again,
    a_key_that_comes_back_has_its_old_ordinal,
    a_key_that_is_there_already_is_no_change,
    many_who_add_at_once_get_ordinals_of_their_own,
    keys_are_in_the_order_of_their_bytes_and_found_in_any_case,
    keys_of_another_tenant_are_other_keys,
}

static ORDINALS: Sql = Sql {
    name: "ORDINALS",
    text: "SELECT partition_key, ordinal FROM dynamic_partition
           WHERE tenant = $1 AND definition = $2 ORDER BY ordinal",
};

fn definition() -> PartitionsName {
    "shops".parse().unwrap()
}

fn key(name: &str) -> PartitionKey {
    name.parse().unwrap()
}

async fn add(store: &Store, tenant: &TenantId, names: &[&str]) -> usize {
    let mut batch = Batch::for_tenant(tenant);
    for name in names {
        partitions::add(&mut batch, tenant, &definition(), &key(name), at(1));
    }
    let mut applied = store.apply(batch).await.unwrap();
    (0..names.len()).map(|index| applied.rows(index).len()).sum()
}

async fn remove(store: &Store, tenant: &TenantId, name: &str) {
    let mut batch = Batch::for_tenant(tenant);
    partitions::remove(&mut batch, tenant, &definition(), &key(name), at(2));
    assert_eq!(store.apply(batch).await.unwrap().rows(0).len(), 1);
}

async fn ordinals(store: &Store, tenant: &TenantId) -> Vec<(String, i64)> {
    let params = vec![text(tenant), text(&definition())];
    let batch = Batch::new(Scope::tenant(tenant)).then(&ORDINALS, params);
    let rows = store.apply(batch).await.unwrap().rows(0);
    rows.into_iter().map(|mut row| (row.text().unwrap(), row.int().unwrap())).collect()
}

async fn an_ordinal_is_never_used_again(db: Db) {
    let tenant = tenant("a");
    add(&db.store, &tenant, &["x", "y", "z"]).await;
    remove(&db.store, &tenant, "z").await;
    add(&db.store, &tenant, &["new"]).await;
    let stored = ordinals(&db.store, &tenant).await;
    let expected = [("x", 0), ("y", 1), ("z", 2), ("new", 3)];
    assert_eq!(stored, expected.map(|(name, ordinal)| (name.to_owned(), ordinal)));
    assert_eq!(db.store.count_dynamic_partitions(&tenant, &definition()).await.unwrap(), 3);
}

async fn a_key_that_comes_back_has_its_old_ordinal(db: Db) {
    let tenant = tenant("a");
    add(&db.store, &tenant, &["x", "y"]).await;
    remove(&db.store, &tenant, "x").await;
    assert_eq!(add(&db.store, &tenant, &["x"]).await, 1);
    assert_eq!(ordinals(&db.store, &tenant).await[0], ("x".to_owned(), 0));
}

async fn a_key_that_is_there_already_is_no_change(db: Db) {
    let tenant = tenant("a");
    assert_eq!(add(&db.store, &tenant, &["x", "y"]).await, 2);
    assert_eq!(add(&db.store, &tenant, &["y", "x", "z"]).await, 1);
    let keys = [key("x"), key("missing")];
    let known = db.store.dynamic_partitions_known(&tenant, &definition(), &keys).await.unwrap();
    assert_eq!(known, [key("x")]);
}

async fn many_who_add_at_once_get_ordinals_of_their_own(db: Db) {
    let tenant = tenant("a");
    let mut adding = tokio::task::JoinSet::new();
    for number in 0..12 {
        let (store, tenant) = (db.store.clone(), tenant.clone());
        adding.spawn(async move { add(&store, &tenant, &[&format!("k{number}")]).await });
    }
    while let Some(added) = adding.join_next().await {
        assert_eq!(added.unwrap(), 1);
    }
    let stored = ordinals(&db.store, &tenant).await;
    let numbers: Vec<i64> = stored.into_iter().map(|(_, ordinal)| ordinal).collect();
    assert_eq!(numbers, (0..12).collect::<Vec<_>>());
}

async fn keys_are_in_the_order_of_their_bytes_and_found_in_any_case(db: Db) {
    let tenant = tenant("a");
    add(&db.store, &tenant, &["beta", "Alpha", "_x", "alpha", "50%", "ä"]).await;
    let list = async |after: &str, part: &str, limit| {
        let page = (after, part);
        let keys = db.store.dynamic_partitions(&tenant, &definition(), page, limit).await.unwrap();
        keys.iter().map(|key| key.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(list("", "", 10).await, ["50%", "Alpha", "_x", "alpha", "beta", "ä"]);
    assert_eq!(list("Alpha", "", 2).await, ["_x", "alpha"], "the next page");
    assert_eq!(list("", "ALPHA", 10).await, ["Alpha", "alpha"]);
    assert_eq!(list("", "%", 10).await, ["50%"], "a wildcard is a letter like any other");
    assert_eq!(list("", "_", 10).await, ["_x"]);
}

async fn keys_of_another_tenant_are_other_keys(db: Db) {
    let (a, b) = (tenant("a"), tenant("b"));
    add(&db.store, &a, &["x", "y"]).await;
    add(&db.store, &b, &["y"]).await;
    assert_eq!(ordinals(&db.store, &b).await, [("y".to_owned(), 0)]);
}
