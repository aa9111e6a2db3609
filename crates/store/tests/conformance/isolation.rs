//! The second wall between tenants: what the server refuses even to a wrong statement.

use millstream_store::{Batch, Scope, Sql, Store, Value};

use crate::databases::Db;
use crate::fixture::{claimed, event, event_batch, queue, refused, run_id, tenant};
use crate::on_postgres;

on_postgres! {
    a_query_that_forgets_the_tenant_reads_only_the_callers_rows,
    a_query_that_names_another_tenant_reads_nothing,
    a_write_that_forgets_the_tenant_changes_only_the_callers_rows,
    a_row_of_another_tenant_cannot_be_written,
    a_row_cannot_be_moved_to_another_tenant,
    a_key_of_another_tenant_is_not_revealed_as_taken,
    a_transaction_that_names_no_tenant_sees_no_row,
    the_login_itself_sees_no_tenants_row,
    a_role_does_not_outlast_its_transaction,
    a_daemon_sees_the_queue_of_all_and_nothing_else,
    a_daemon_cannot_add_a_run_to_the_queue,
    a_tenant_cannot_give_positions_or_change_history,
    a_tenant_cannot_touch_the_tables_of_the_instance,
}

static ALL_RUNS: Sql = Sql { name: "ALL_RUNS", text: "SELECT tenant FROM run ORDER BY id" };
static RUNS_OF: Sql = Sql { name: "RUNS_OF", text: "SELECT tenant FROM run WHERE tenant = $1" };
static ALL_LIVE: Sql = Sql { name: "ALL_LIVE", text: "SELECT tenant FROM live_run ORDER BY run" };
static RENAME: Sql = Sql { name: "RENAME", text: "UPDATE run SET title = 'x' RETURNING tenant" };
static MOVE: Sql = Sql { name: "MOVE", text: "UPDATE run SET tenant = 'b'" };
static ADD_PLAN: Sql =
    Sql { name: "ADD_PLAN", text: "INSERT INTO plan (tenant, hash, json) VALUES ($1, 'h', '{}')" };
static WHO: Sql =
    Sql { name: "WHO", text: "SELECT CAST(current_user AS TEXT), millstream_tenants() IS NULL" };

/// A run of `a`, one of `b` and one of `c`.
async fn runs_of_three(store: &Store) {
    for (number, name) in (1..).zip(["a", "b", "c"]) {
        queue(store, &tenant(name), run_id(number)).await;
    }
}

fn of(names: &[&str]) -> Scope {
    Scope::Tenants(names.iter().map(|name| tenant(name)).collect())
}

/// The texts that `sql` returns first in each row.
async fn texts(store: &Store, scope: Scope, sql: &'static Sql, params: Vec<Value>) -> Vec<String> {
    let rows = store.apply(Batch::new(scope).then(sql, params)).await.unwrap().rows(0);
    rows.into_iter().map(|mut row| row.text().unwrap()).collect()
}

async fn denied(store: &Store, scope: Scope, sql: &'static Sql) {
    let message = refused(store.apply(Batch::new(scope).then(sql, Vec::new())).await);
    assert!(message.ends_with("(42501)"), "{}: {message}", sql.name);
}

async fn a_query_that_forgets_the_tenant_reads_only_the_callers_rows(db: Db) {
    runs_of_three(&db.store).await;
    assert_eq!(texts(&db.store, of(&["a"]), &ALL_RUNS, Vec::new()).await, ["a"]);
    assert_eq!(texts(&db.store, of(&["b", "c"]), &ALL_RUNS, Vec::new()).await, ["b", "c"]);
}

async fn a_query_that_names_another_tenant_reads_nothing(db: Db) {
    runs_of_three(&db.store).await;
    assert_eq!(texts(&db.store, of(&["a"]), &RUNS_OF, vec!["b".into()]).await, [""; 0]);
    assert_eq!(texts(&db.store, of(&["b"]), &RUNS_OF, vec!["b".into()]).await, ["b"]);
}

async fn a_write_that_forgets_the_tenant_changes_only_the_callers_rows(db: Db) {
    runs_of_three(&db.store).await;
    assert_eq!(texts(&db.store, of(&["a"]), &RENAME, Vec::new()).await, ["a"]);
    let other = db.store.run(&tenant("b"), run_id(2)).await.unwrap().unwrap();
    assert_eq!(other.title, "orders");
}

async fn a_row_of_another_tenant_cannot_be_written(db: Db) {
    let wrong = Batch::new(of(&["a"])).then(&ADD_PLAN, vec!["b".into()]);
    assert!(refused(db.store.apply(wrong).await).contains("row-level security"));
    let right = Batch::new(of(&["a"])).then(&ADD_PLAN, vec!["a".into()]);
    db.store.apply(right).await.unwrap();
}

async fn a_row_cannot_be_moved_to_another_tenant(db: Db) {
    runs_of_three(&db.store).await;
    let moved = Batch::new(of(&["a"])).then(&MOVE, Vec::new());
    assert!(refused(db.store.apply(moved).await).contains("row-level security"));
}

async fn a_key_of_another_tenant_is_not_revealed_as_taken(db: Db) {
    queue(&db.store, &tenant("a"), run_id(1)).await;
    queue(&db.store, &tenant("b"), run_id(1)).await;
    assert!(db.store.run(&tenant("b"), run_id(1)).await.unwrap().is_some());
}

async fn a_transaction_that_names_no_tenant_sees_no_row(db: Db) {
    runs_of_three(&db.store).await;
    assert_eq!(texts(&db.store, of(&[]), &ALL_RUNS, Vec::new()).await, [""; 0]);
    let wrong = Batch::new(of(&[])).then(&ADD_PLAN, vec!["".into()]);
    assert!(refused(db.store.apply(wrong).await).contains("row-level security"));
}

async fn the_login_itself_sees_no_tenants_row(db: Db) {
    runs_of_three(&db.store).await;
    assert_eq!(texts(&db.store, Scope::Instance, &ALL_RUNS, Vec::new()).await, [""; 0]);
    assert_eq!(texts(&db.store, Scope::Instance, &ALL_LIVE, Vec::new()).await, [""; 0]);
}

async fn a_role_does_not_outlast_its_transaction(db: Db) {
    runs_of_three(&db.store).await;
    let store = db.with_connections(1).await;
    assert_eq!(texts(&store, of(&["a"]), &ALL_RUNS, Vec::new()).await, ["a"]);
    let asked = Batch::new(Scope::Instance).then_one(&WHO, Vec::new());
    let mut row = store.apply(asked).await.unwrap().rows(0).remove(0);
    assert_eq!(row.text().unwrap(), "store_conformance");
    assert!(row.truth().unwrap(), "the same connection names no tenant any more");
    assert_eq!(texts(&store, of(&["b"]), &ALL_RUNS, Vec::new()).await, ["b"]);
}

async fn a_daemon_sees_the_queue_of_all_and_nothing_else(db: Db) {
    static RUN: Sql = Sql { name: "RUN", text: "SELECT id FROM run" };
    static PLAN: Sql = Sql { name: "PLAN", text: "SELECT hash FROM plan" };
    static EVENT: Sql = Sql { name: "EVENT", text: "SELECT body FROM event" };
    static STEP: Sql = Sql { name: "STEP", text: "SELECT step FROM step" };
    static STATE: Sql = Sql { name: "STATE", text: "SELECT asset FROM asset_state" };
    static KEYS: Sql = Sql { name: "KEYS", text: "SELECT partition_key FROM dynamic_partition" };
    runs_of_three(&db.store).await;
    assert_eq!(texts(&db.store, Scope::Daemon, &ALL_LIVE, Vec::new()).await, ["a", "b", "c"]);
    for sql in [&RUN, &PLAN, &EVENT, &STEP, &STATE, &KEYS] {
        denied(&db.store, Scope::Daemon, sql).await;
    }
}

async fn a_daemon_cannot_add_a_run_to_the_queue(db: Db) {
    static REMOVE: Sql = Sql { name: "REMOVE", text: "DELETE FROM live_run" };
    static OWNER: Sql = Sql { name: "OWNER", text: "UPDATE live_run SET tenant = 'b'" };
    static CANCEL: Sql =
        Sql { name: "CANCEL", text: "UPDATE live_run SET cancel_requested = TRUE" };
    runs_of_three(&db.store).await;
    for sql in [&REMOVE, &OWNER, &CANCEL] {
        denied(&db.store, Scope::Daemon, sql).await;
    }
}

async fn a_tenant_cannot_give_positions_or_change_history(db: Db) {
    static POSITION: Sql = Sql { name: "POSITION", text: "UPDATE event_batch SET position = 1" };
    static REWRITE: Sql = Sql { name: "REWRITE", text: "UPDATE event SET body = '{}'" };
    static MADE: Sql = Sql { name: "MADE", text: "UPDATE materialization SET at = 0" };
    let run = claimed(&db.store, &tenant("a"), run_id(1)).await;
    let said = event(&run.tenant, run.run, run.epoch, 0);
    db.store.apply(event_batch(&run.tenant, "one", &said)).await.unwrap();
    for sql in [&POSITION, &REWRITE, &MADE] {
        denied(&db.store, of(&["a"]), sql).await;
    }
}

async fn a_tenant_cannot_touch_the_tables_of_the_instance(db: Db) {
    static SETTINGS: Sql = Sql { name: "SETTINGS", text: "SELECT key FROM instance" };
    static LEASES: Sql = Sql { name: "LEASES", text: "UPDATE lease SET fence = 0" };
    static FILES: Sql = Sql { name: "FILES", text: "SELECT json FROM definition_content" };
    static SCHEMA: Sql = Sql { name: "SCHEMA", text: "DELETE FROM migration" };
    for sql in [&SETTINGS, &LEASES, &FILES, &SCHEMA] {
        denied(&db.store, of(&["a"]), sql).await;
    }
}
