//! Names of reports: each is kept once in a tenant for an asset, until it is forgotten.

use millstream_model::{AssetKey, TenantId, Timestamp};
use millstream_store::reports::{self, NamedReport};
use millstream_store::{Batch, Store, StoreError};

use crate::conformance;
use crate::databases::Db;
use crate::fixture::{at, conflict, run_id, tenant};

conformance! {
    a_report_is_known_by_its_name_in_its_tenant_and_asset,
    a_name_is_forgotten_with_its_age,
}

fn orders() -> AssetKey {
    "orders".parse().unwrap()
}

fn report(number: u32, at: Timestamp) -> NamedReport {
    let (said, reported_by) = (format!("hash {number}"), "loader".to_owned());
    NamedReport { said, report: run_id(number), reported_by, at }
}

async fn keep(
    store: &Store,
    (tenant, name): (&TenantId, &str),
    report: &NamedReport,
    forget: Timestamp,
) -> Result<(), StoreError> {
    let mut batch = Batch::for_tenant(tenant);
    reports::keep_name(&mut batch, (tenant, &orders(), name), report, forget);
    store.apply(batch).await.map(|_| ())
}

async fn a_report_is_known_by_its_name_in_its_tenant_and_asset(db: Db) {
    let (a, b) = (tenant("a"), tenant("b"));
    let first = report(1, at(10));
    keep(&db.store, (&a, "n-1"), &first, at(0)).await.unwrap();
    conflict(keep(&db.store, (&a, "n-1"), &report(2, at(11)), at(0)).await);
    keep(&db.store, (&b, "n-1"), &report(3, at(12)), at(0)).await.unwrap();
    let key = orders();
    let named = |tenant, name| db.store.report_named(tenant, &key, name);
    assert_eq!(named(&a, "n-1").await.unwrap(), Some(first));
    assert_eq!(named(&b, "n-1").await.unwrap(), Some(report(3, at(12))));
    assert_eq!(named(&a, "n-2").await.unwrap(), None);
    let other = db.store.report_named(&a, &"raw".parse().unwrap(), "n-1").await.unwrap();
    assert_eq!(other, None);
}

async fn a_name_is_forgotten_with_its_age(db: Db) {
    let (a, b) = (tenant("a"), tenant("b"));
    keep(&db.store, (&a, "old"), &report(1, at(10)), at(0)).await.unwrap();
    keep(&db.store, (&b, "old"), &report(2, at(10)), at(0)).await.unwrap();
    keep(&db.store, (&a, "new"), &report(3, at(20)), at(11)).await.unwrap();
    assert_eq!(db.store.report_named(&a, &orders(), "old").await.unwrap(), None);
    assert!(db.store.report_named(&a, &orders(), "new").await.unwrap().is_some());
    assert!(db.store.report_named(&b, &orders(), "old").await.unwrap().is_some(), "another's");
}
