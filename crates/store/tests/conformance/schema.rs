//! The schema: every statement fits it, and it says of itself what DESIGN §5 asks of it.

use millstream_store::{SchemaState, Store, StoreError, all_statements};

use crate::databases::{self, Db};
use crate::{conformance, on_postgres};

conformance! {
    every_statement_prepares,
    a_current_schema_is_left_alone,
}
on_postgres! {
    every_table_of_tenants_is_guarded_by_the_server,
    every_unique_key_of_tenants_begins_with_the_tenant,
    the_roles_have_no_power_beyond_their_grants,
    texts_are_compared_byte_by_byte,
    nothing_in_the_schema_lends_its_owners_rights,
    a_schema_of_a_newer_program_is_refused,
    a_migration_that_was_changed_since_is_noticed,
}

/// Tables of the instance itself; every other one has a tenant in each row.
const OF_THE_INSTANCE: [&str; 10] = [
    "daemon_loop",
    "daemon_request",
    "definition_content",
    "definition_file",
    "definition_pin",
    "definition_version",
    "instance",
    "lease",
    "location",
    "migration",
];

async fn every_statement_prepares(db: Db) {
    assert_eq!(db.store.prepare_all().await.unwrap(), all_statements().count());
}

async fn a_current_schema_is_left_alone(db: Db) {
    assert_eq!(db.store.schema_state().await.unwrap(), SchemaState::Current);
    assert_eq!(db.store.migrate().await.unwrap(), 0);
    db.store.ping().await.unwrap();
}

#[test]
fn of_several_that_migrate_at_once_one_does_it() {
    databases::run_unmigrated(async |db: Db| {
        assert_eq!(db.store.schema_state().await.unwrap(), SchemaState::Behind { found: 0 });
        let (one, two, three) = (db.other().await, db.other().await, db.other().await);
        let (a, b, c) = tokio::join!(one.migrate(), two.migrate(), three.migrate());
        let mut applied = [a.unwrap(), b.unwrap(), c.unwrap()];
        applied.sort_unstable();
        assert_eq!(applied[..2], [0, 0]);
        assert!(applied[2] > 0);
        assert_eq!(db.store.schema_state().await.unwrap(), SchemaState::Current);
        db.store.prepare_all().await.unwrap();
    });
}

/// The first column of an answer.
async fn names(db: &Db, asked: &str) -> Vec<String> {
    let rows = db.admin().await.query(asked, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

const OURS: &str = "n.nspname = 'public' AND c.relkind IN ('r', 'p')";

async fn every_table_of_tenants_is_guarded_by_the_server(db: Db) {
    let all = format!(
        "SELECT CAST(c.relname AS TEXT) FROM pg_class c
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {OURS}"
    );
    let guarded = format!(
        "SELECT CAST(c.relname AS TEXT) FROM pg_class c
         JOIN pg_namespace n ON n.oid = c.relnamespace
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant' AND a.attnotnull
         JOIN pg_policy p ON p.polrelid = c.oid AND p.polpermissive AND p.polcmd = '*'
          AND p.polroles = ARRAY['millstream_tenant'::regrole::oid]
          AND pg_get_expr(p.polqual, c.oid) = '(tenant = ANY (millstream_tenants()))'
          AND pg_get_expr(p.polwithcheck, c.oid) = '(tenant = ANY (millstream_tenants()))'
         WHERE {OURS} AND c.relrowsecurity AND c.relforcerowsecurity"
    );
    let mut expected = names(&db, &all).await;
    expected.retain(|table| !OF_THE_INSTANCE.contains(&table.as_str()));
    expected.sort();
    let mut found = names(&db, &guarded).await;
    found.sort();
    assert_eq!(found, expected);
    assert!(found.len() >= 14, "{found:?}");

    let wider = "SELECT CAST(c.relname AS TEXT) FROM pg_policy p
         JOIN pg_class c ON c.oid = p.polrelid WHERE p.polname <> 'tenant_rows' ORDER BY 1";
    assert_eq!(
        names(&db, wider).await,
        ["event_batch", "live_run", "queue_share", "run_start", "slot", "tick_source"],
        "the daemon's, and no more"
    );
}

async fn every_unique_key_of_tenants_begins_with_the_tenant(db: Db) {
    let firsts = format!(
        "SELECT CAST(c.relname AS TEXT), CAST(a.attname AS TEXT) FROM pg_index i
         JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
         WHERE {OURS} AND i.indisunique"
    );
    let rows = db.admin().await.query(&firsts, &[]).await.unwrap();
    assert!(rows.len() > OF_THE_INSTANCE.len());
    for row in rows {
        let (table, first): (String, String) = (row.get(0), row.get(1));
        if !OF_THE_INSTANCE.contains(&table.as_str()) {
            assert_eq!(first, "tenant", "a unique key of {table}");
        }
    }
}

async fn the_roles_have_no_power_beyond_their_grants(db: Db) {
    let strong = "SELECT CAST(rolname AS TEXT) FROM pg_roles
        WHERE rolname IN ('millstream_tenant', 'millstream_daemon', 'store_conformance')
          AND (rolsuper OR rolbypassrls OR (rolcanlogin AND rolname <> 'store_conformance'))";
    assert_eq!(names(&db, strong).await, [] as [&str; 0]);
    let daemon = "SELECT DISTINCT CAST(table_name AS TEXT)
        FROM information_schema.column_privileges WHERE grantee = 'millstream_daemon' ORDER BY 1";
    assert_eq!(
        names(&db, daemon).await,
        ["event_batch", "lease", "live_run", "queue_share", "run_start", "slot", "tick_source"]
    );
    let instance = "SELECT DISTINCT CAST(table_name AS TEXT)
        FROM information_schema.column_privileges
        WHERE grantee = 'millstream_tenant' AND column_name = 'tenant' ORDER BY 1";
    let all = "SELECT DISTINCT CAST(table_name AS TEXT)
        FROM information_schema.column_privileges
        WHERE grantee = 'millstream_tenant' AND table_name <> 'lease' ORDER BY 1";
    assert_eq!(names(&db, all).await, names(&db, instance).await, "tenants' tables alone");
    let lease = "SELECT CAST(privilege_type || ' ' || column_name AS TEXT)
        FROM information_schema.column_privileges
        WHERE grantee = 'millstream_tenant' AND table_name = 'lease' ORDER BY 1";
    assert_eq!(names(&db, lease).await, ["SELECT fence", "SELECT holder", "SELECT name"]);
    let public = "SELECT CAST(table_name AS TEXT)
        FROM information_schema.table_privileges
        WHERE grantee = 'PUBLIC' AND table_schema = 'public'";
    assert_eq!(names(&db, public).await, [] as [&str; 0]);
}

async fn texts_are_compared_byte_by_byte(db: Db) {
    let others = "SELECT table_name || '.' || column_name FROM information_schema.columns
        WHERE table_schema = 'public' AND table_name <> 'migration' AND data_type = 'text'
          AND collation_name IS DISTINCT FROM 'C'";
    assert_eq!(names(&db, others).await, [] as [&str; 0]);
}

async fn nothing_in_the_schema_lends_its_owners_rights(db: Db) {
    let lending = "SELECT CAST(p.proname AS TEXT) FROM pg_proc p
        JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname = 'public' AND p.prosecdef
        UNION ALL
        SELECT CAST(c.relname AS TEXT) FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'public' AND c.relkind IN ('v', 'm')";
    assert_eq!(names(&db, lending).await, [] as [&str; 0]);
}

async fn a_schema_of_a_newer_program_is_refused(db: Db) {
    let newer = "INSERT INTO migration (version, name, checksum) VALUES (99, 'later', 'x')";
    db.admin().await.batch_execute(newer).await.unwrap();
    assert_eq!(db.store.schema_state().await.unwrap(), SchemaState::Ahead { found: 99 });
    let refused = db.store.migrate().await;
    assert!(matches!(refused, Err(StoreError::Schema { found: 99, .. })), "{refused:?}");
}

async fn a_migration_that_was_changed_since_is_noticed(db: Db) {
    let changed = "UPDATE migration SET checksum = 'x'";
    db.admin().await.batch_execute(changed).await.unwrap();
    let state = db.store.schema_state().await;
    assert!(matches!(state, Err(StoreError::Schema { .. })), "{state:?}");
}

#[test]
fn a_file_of_a_newer_program_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    drop(Store::open_sqlite(&path).unwrap());
    let file = rusqlite::Connection::open(&path).unwrap();
    let newer = "INSERT INTO migration (version, name, checksum) VALUES (99, 'later', 'x')";
    file.execute(newer, []).unwrap();
    drop(file);
    let opened = Store::open_sqlite(&path);
    assert!(matches!(opened, Err(StoreError::Schema { found: 99, .. })), "{opened:?}");
}

#[test]
fn a_file_that_is_opened_again_keeps_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = Store::open_sqlite(&path).unwrap();
        store.apply(millstream_store::instance::keep_first_setting("a", "1")).await.unwrap();
    });
    runtime.block_on(async {
        let store = Store::open_sqlite(&path).unwrap();
        assert_eq!(store.schema_state().await.unwrap(), SchemaState::Current);
        assert_eq!(store.setting("a").await.unwrap().as_deref(), Some("1"));
    });
}
