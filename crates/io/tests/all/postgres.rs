//! SQL steps on a real Postgres.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use millstream_io::{
    Keeper, Kept, Notices, Session, SqlError, SqlFailure, SqlOutcome, SqlRequest, Table, TableFile,
    TableName, quote_identifier,
};
use millstream_model::ResourceDef;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::postgres_url::postgres_url;

/// A schema of its own with an odd name, and requests to it.
struct Bench {
    folder: TempDir,
    url: String,
    schema: String,
}

impl Bench {
    /// A new schema, or `None` where there is no Postgres.
    async fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let url = postgres_url()?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let schema = format!("Odd \"{}\" {number}", std::process::id());
        let quoted = quote_identifier(&schema).unwrap();
        let bench = Self { folder: tempfile::tempdir().unwrap(), url, schema };
        let mut create = bench.request(&[&format!("CREATE SCHEMA {quoted}")]);
        create.resource = ResourceDef::Postgres { url: bench.url.clone(), schema: None };
        run_postgres(&create).await.unwrap();
        Some(bench)
    }

    fn request(&self, statements: &[&str]) -> SqlRequest {
        SqlRequest {
            resource: ResourceDef::Postgres {
                url: self.url.clone(),
                schema: Some(self.schema.clone()),
            },
            statements: statements.iter().map(|text| (*text).to_owned()).collect(),
            params: BTreeMap::new(),
            read: BTreeMap::new(),
            emptied: BTreeSet::new(),
            rows: None,
            read_only: false,
            kept: BTreeMap::new(),
            session: Session::default(),
        }
    }

    async fn run(&self, statements: &[&str]) -> Result<SqlOutcome, SqlError> {
        run_postgres(&self.request(statements)).await
    }

    async fn rows(&self, mut request: SqlRequest) -> Result<Table, SqlError> {
        let path: PathBuf = self.folder.path().join("rows");
        request.rows = Some(path.clone());
        run_postgres(&request).await?;
        Ok(Table::from_rows_file(&path, 1 << 20).unwrap())
    }

    async fn select(&self, text: &str) -> Vec<Vec<Value>> {
        self.rows(self.request(&[text])).await.unwrap().rows
    }

    fn with(&self, text: &str, params: &[(&str, Value)]) -> SqlRequest {
        let params = params.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        SqlRequest { params: params.collect(), ..self.request(&[text]) }
    }
}

async fn run_postgres(request: &SqlRequest) -> Result<SqlOutcome, SqlError> {
    millstream_io::run_postgres(request, &Notices::default()).await
}

fn message(error: &SqlError) -> String {
    let resource = ResourceDef::Sqlite { path: String::new() };
    let request = SqlRequest {
        resource,
        statements: Vec::new(),
        params: BTreeMap::new(),
        read: BTreeMap::new(),
        emptied: BTreeSet::new(),
        rows: None,
        read_only: false,
        kept: BTreeMap::new(),
        session: Session::default(),
    };
    SqlFailure::new(error, &request).message
}

#[tokio::test]
async fn an_asset_that_was_never_made_is_told_with_the_command_that_makes_it() {
    let Some(bench) = Bench::new().await else { return };
    let keeper = Keeper {
        tenant: "jfk".parse().unwrap(),
        asset: "up".parse().unwrap(),
        partition: Some("b".parse().unwrap()),
    };
    let table = TableName { schema: Some(bench.schema.clone()), table: "up".to_owned() };
    let mut request = bench.request(&["SELECT 1"]);
    request.kept = BTreeMap::from([("up".to_owned(), Kept { table, keeper })]);
    let told = message(&run_postgres(&request).await.unwrap_err());
    assert!(told.contains("there is no result of asset up for partition b in table"), "{told}");
    let command = "make it with `millstream asset materialize up --partition b --tenant jfk`";
    assert!(told.contains(command), "{told}");
}

#[tokio::test]
async fn statements_run_in_one_transaction_in_the_schema_of_the_resource() {
    let Some(bench) = Bench::new().await else { return };
    let outcome = bench
        .run(&[
            "CREATE TABLE t (a int UNIQUE, b text)",
            "INSERT INTO t VALUES (1, 'x'), (2, 'y')",
            "UPDATE t SET b = 'z' WHERE a = 2",
            "SELECT * FROM t",
        ])
        .await
        .unwrap();
    assert_eq!(outcome.rows_affected, [0, 2, 1, 0]);
    let error = bench.run(&["DELETE FROM t", "INSERT INTO t VALUES (1), (1)"]).await.unwrap_err();
    assert_eq!(
        message(&error),
        "statement 2 failed: duplicate key value violates unique constraint \"t_a_key\" \
         (SQLSTATE 23505); Key (a)=(1) already exists."
    );
    let schema = json!(bench.schema);
    let rows = bench.select("SELECT count(*), min(current_schema()) FROM t").await;
    assert_eq!(rows, [[json!(2), schema]]);
}

#[tokio::test]
async fn values_are_bound_as_the_type_that_the_server_infers() {
    let Some(bench) = Bench::new().await else { return };
    bench
        .run(&[
            "CREATE TABLE t (d date, n numeric, i bigint, f boolean, j jsonb, l text[], s text)",
        ])
        .await
        .unwrap();
    let text = "INSERT INTO t VALUES (:d, :n, :i, :f, :j, :l, :s)
                RETURNING d, n, i, f, j, l, s, :d::text || ':x' /* :y */, now()::date IS NULL";
    let request = bench.with(
        text,
        &[
            ("d", json!("2013-02-09")),
            ("n", json!(12.50)),
            ("i", json!(9_007_199_254_740_993_i64)),
            ("f", json!(true)),
            ("j", json!({"a": [1]})),
            ("l", json!(["a", "b,\"c\"", null])),
            ("s", json!("'; DROP TABLE t; --")),
            ("unused", json!(1)),
        ],
    );
    let row = bench.rows(request).await.unwrap().rows.remove(0);
    let wanted = json!([
        "2013-02-09",
        12.5,
        9_007_199_254_740_993_i64,
        true,
        {"a": [1]},
        ["a", "b,\"c\"", null],
        "'; DROP TABLE t; --",
        "2013-02-09:x",
        false
    ]);
    assert_eq!(json!(row), wanted);
}

#[tokio::test]
async fn a_value_that_does_not_fit_names_its_parameter() {
    let Some(bench) = Bench::new().await else { return };
    let wrong = bench.with("SELECT 1 + :count", &[("count", json!("many"))]);
    assert_eq!(
        message(&run_postgres(&wrong).await.unwrap_err()),
        "statement 1: parameter `:count` cannot be bound: invalid input syntax for type integer: \
         \"many\" (SQLSTATE 22P02)"
    );
    let object = bench.with("SELECT 1 + :count", &[("count", json!({}))]);
    let error = message(&run_postgres(&object).await.unwrap_err());
    assert!(error.ends_with("an object does not fit the type int4"), "{error}");
    let unknown = bench.with("SELECT :tenat", &[("tenant", json!("jfk"))]);
    assert_eq!(
        message(&run_postgres(&unknown).await.unwrap_err()),
        "statement 1 names the parameter `:tenat`, which is not there; there are `:tenant`; \
         declare more under `params`"
    );
}

#[tokio::test]
async fn common_types_come_back_as_json_and_others_say_what_to_do() {
    let Some(bench) = Bench::new().await else { return };
    let row = bench
        .select(
            "SELECT 1::smallint, 0.1::real, 2.5::float8, 'NaN'::text, NULL::int, DATE '1969-12-31',
                    TIMESTAMP '2013-01-01 05:00:00.25', TIMESTAMPTZ '2013-01-01 05:00+05',
                    TIME '23:59:59', 12345678901234567890.123, -0.00012, 10000.0, 0::numeric(5,2),
                    '550e8400-e29b-41d4-a716-446655440000'::uuid, '{\"b\": 1}'::json, ARRAY[1, NULL],
                    'infinity'::date, -98765432109876543210::numeric, 100000000::numeric",
        )
        .await
        .remove(0);
    let wanted = json!([
        1, 0.1, 2.5, "NaN", null, "1969-12-31", "2013-01-01T05:00:00.25", "2013-01-01T00:00:00Z",
        "23:59:59", "12345678901234567890.123", -0.00012, 10000.0, 0.0,
        "550e8400-e29b-41d4-a716-446655440000", {"b": 1}, [1, null],
        "infinity", "-98765432109876543210", 100_000_000
    ]);
    assert_eq!(json!(row), wanted);
    let error = bench.rows(bench.request(&["SELECT '1 day'::interval AS wait"])).await.unwrap_err();
    assert_eq!(
        message(&error),
        "statement 1: column \"wait\" holds a value of type interval; convert it in the statement"
    );
}

#[tokio::test]
async fn what_a_step_may_not_do_is_refused_before_it_is_sent() {
    let Some(bench) = Bench::new().await else { return };
    for text in ["COMMIT", "/* x */ rollback", "begin", "END;", "PREPARE TRANSACTION 'x'"] {
        let error = bench.run(&[text]).await.unwrap_err();
        assert!(matches!(error, SqlError::Refused { number: 1, .. }), "{text}: {error}");
    }
    let several = bench.run(&["SELECT 1; SELECT 2"]).await.unwrap_err();
    assert!(matches!(several, SqlError::Several { number: 1 }), "{several}");
    let nameless = bench.run(&["SELECT $1::int"]).await.unwrap_err();
    assert!(matches!(nameless, SqlError::NamelessParameter { .. }), "{nameless}");
    let write = SqlRequest { read_only: true, ..bench.request(&["CREATE TABLE t (a int)"]) };
    assert_eq!(
        message(&run_postgres(&write).await.unwrap_err()),
        "statement 1 failed: cannot execute CREATE TABLE in a read-only transaction \
         (SQLSTATE 25006)"
    );
    bench.run(&["SAVEPOINT s", "ROLLBACK TO s", "RELEASE s"]).await.unwrap();
}

#[tokio::test]
async fn files_are_temporary_tables_for_statements_that_only_read_too() {
    let Some(bench) = Bench::new().await else { return };
    let path = bench.folder.path().join("flights.csv");
    std::fs::write(&path, "day,code,n\n2013-01-01,007,1.5\n2013-01-02,,2\n").unwrap();
    let mut request = bench.request(&["SELECT sum(n), max(code), count(code) FROM flights"]);
    request.read.insert("flights".to_owned(), TableFile::Csv(path));
    request.read_only = true;
    assert_eq!(
        bench.rows(request.clone()).await.unwrap().rows,
        [[json!(3.5), json!("007"), json!(1)]]
    );
    // The columns have their types without the rows, too, and nothing is said of these.
    request.emptied.insert("flights".to_owned());
    assert_eq!(run_postgres(&request).await.unwrap().notes, Vec::<String>::new());
    assert_eq!(bench.rows(request).await.unwrap().rows, [[Value::Null, Value::Null, json!(0)]]);
}

#[tokio::test]
async fn the_server_knows_whose_connection_it_is_and_how_long_it_may_take() {
    let Some(bench) = Bench::new().await else { return };
    let text = "SELECT current_setting('application_name'), current_setting('statement_timeout')";
    let mut request = bench.request(&[text]);
    let owner = format!("1a2b3c4d/{}", "größe".repeat(20));
    request.session = Session { owner, statement_timeout_ms: Some(1_000) };
    let rows = bench.rows(request).await.unwrap().rows;
    let name = rows[0][0].as_str().unwrap();
    assert!(name.starts_with("millstream 1a2b3c4d/gr") && name.len() <= 63, "{name}");
    assert_eq!(rows[0][1], json!("6s"));
}

#[tokio::test]
async fn a_missing_schema_and_a_server_that_is_not_there_are_told_apart() {
    let Some(bench) = Bench::new().await else { return };
    let resource = |url: &str, schema: &str| ResourceDef::Postgres {
        url: url.to_owned(),
        schema: Some(schema.to_owned()),
    };
    let mut request = bench.request(&["SELECT 1"]);
    request.resource = resource(&bench.url, "nix");
    assert_eq!(
        message(&run_postgres(&request).await.unwrap_err()),
        "schema \"nix\" does not exist; create it with `CREATE SCHEMA`"
    );
    request.resource = resource("postgres://me:hidden@127.0.0.1:1/metrics", "nix");
    let error = message(&run_postgres(&request).await.unwrap_err());
    assert!(error.starts_with("database metrics on 127.0.0.1:1 cannot be opened: "), "{error}");
    assert!(!error.contains("hidden"), "{error}");
    request.resource = resource("postgres://127.0.0.1:1/metrics?sslmode=require", "nix");
    let error = run_postgres(&request).await.unwrap_err();
    assert!(error.to_string().starts_with("database metrics on 127.0.0.1:1 cannot"), "{error}");
}

#[tokio::test]
async fn r008_a_server_without_encryption_is_refused_where_the_url_asks_for_it() {
    let Some(bench) = Bench::new().await else { return };
    let mut request = bench.request(&["SELECT 1"]);
    let url = format!("{}?sslmode=require", bench.url);
    request.resource = ResourceDef::Postgres { url, schema: None };
    let error = message(&run_postgres(&request).await.unwrap_err());
    assert!(error.contains("the server offers no encrypted connections (SSL)"), "{error}");
}

#[tokio::test]
async fn a_step_that_is_given_up_stops_on_the_server_too() {
    let Some(bench) = Bench::new().await else { return };
    let mark = format!("SELECT pg_sleep(600), '{}'", bench.schema);
    let request = bench.request(&[&mark]);
    let step = tokio::spawn(async move { run_postgres(&request).await });
    let running = bench.with(
        "SELECT count(*) FROM pg_stat_activity
         WHERE query = :query AND state = 'active' AND wait_event = 'PgSleep'",
        &[("query", json!(mark))],
    );
    let count = async |wanted: Value| {
        while bench.rows(running.clone()).await.unwrap().rows != [[wanted.clone()]] {
            tokio::task::yield_now().await;
        }
    };
    let limit = Duration::from_secs(30);
    tokio::time::timeout(limit, count(json!(1))).await.expect("the statement started");
    step.abort();
    tokio::time::timeout(limit, count(json!(0))).await.expect("the statement ended");
}

#[tokio::test]
async fn what_the_server_says_is_heard_in_order_also_before_an_error_and_within_bounds() {
    let Some(bench) = Bench::new().await else { return };
    let heard = async |statements: &[&str]| {
        let notices = Notices::default();
        let done = millstream_io::run_postgres(&bench.request(statements), &notices).await;
        (done.is_ok(), notices.take())
    };
    let said = "DO $$ BEGIN
        RAISE NOTICE 'hello %', 1;
        RAISE DEBUG 'not asked for';
        RAISE WARNING 'careful' USING DETAIL = 'it is thin', HINT = 'go round';
    END $$";
    let lines = ["notice: hello 1", "warning: careful; it is thin; go round"];
    assert_eq!(heard(&[said, "SELECT 1"]).await, (true, lines.map(str::to_owned).to_vec()));
    assert_eq!(heard(&[said, "SELECT 1/0"]).await, (false, lines.map(str::to_owned).to_vec()));
    let many = "DO $$ BEGIN
        FOR i IN 1..1003 LOOP RAISE NOTICE '%', i || repeat('x', 5000); END LOOP;
    END $$";
    let (_, lines) = heard(&[many]).await;
    assert_eq!(lines.len(), 1_001);
    assert!(lines[999].starts_with("notice: 1000x") && lines[999].ends_with("x …"));
    assert_eq!(lines[999].chars().count(), 2_002);
    assert_eq!(lines[1_000], "3 more notices are left out");
}
