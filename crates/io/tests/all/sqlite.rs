//! SQL steps on SQLite files.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use millstream_io::sql_child::ChildRequest;
use millstream_io::{
    Address, Content, FileForm, FileIo, Session, SqlAnswer, SqlError, SqlOutcome, SqlRequest,
    Table, TableFile, TableName, TableWrite, run_sqlite, sql_child, write_sqlite,
};
use millstream_model::{ErrorCode, LoadMode, ResourceDef};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder with a database file in it, and a request to change a little at a time.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn request(&self, statements: &[&str]) -> SqlRequest {
        let path = self.path("users.db").to_str().unwrap().to_owned();
        SqlRequest {
            resource: ResourceDef::Sqlite { path },
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

    fn run(&self, statements: &[&str]) -> Result<SqlOutcome, SqlError> {
        run_sqlite(&self.request(statements))
    }

    fn rows(&self, mut request: SqlRequest) -> Result<Table, SqlError> {
        let path = self.path("rows");
        request.rows = Some(path.clone());
        run_sqlite(&request)?;
        Ok(Table::from_rows_file(&path, 1 << 20).unwrap())
    }

    fn select(&self, text: &str) -> Vec<Vec<Value>> {
        self.rows(self.request(&[text])).unwrap().rows
    }

    fn csv(&self, name: &str, content: &str) -> TableFile {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        TableFile::Csv(path)
    }

    fn reading(&self, file: TableFile, text: &str) -> Result<Table, SqlError> {
        let read = BTreeMap::from([("source".to_owned(), file)]);
        self.rows(SqlRequest { read, ..self.request(&[text]) })
    }
}

fn message(error: &SqlError) -> String {
    let request = Bench::new().request(&[]);
    millstream_io::SqlFailure::new(error, &request).message
}

#[test]
fn statements_run_in_order_and_say_how_many_rows_each_changed() {
    let bench = Bench::new();
    let outcome = bench
        .run(&[
            "CREATE TABLE t (a, b)",
            "INSERT INTO t VALUES (1, 'x'), (2, 'y'), (3, NULL)",
            "UPDATE t SET b = 'z' WHERE a > 1",
            "SELECT * FROM t",
            "CREATE INDEX i ON t (a)",
        ])
        .unwrap();
    assert_eq!(outcome.rows_affected, [0, 3, 2, 0, 0]);
    assert_eq!((outcome.row_count, outcome.columns.len()), (None, 0));
    assert_eq!(bench.select("SELECT count(*), min(b) FROM t"), [[json!(3), json!("x")]]);
}

#[test]
fn a_statement_that_fails_takes_the_ones_before_it_back() {
    let bench = Bench::new();
    bench.run(&["CREATE TABLE t (a UNIQUE)", "INSERT INTO t VALUES (1)"]).unwrap();
    let error = bench
        .run(&["INSERT INTO t VALUES (2)", "DROP TABLE t", "INSERT INTO t VALUES (1)"])
        .unwrap_err();
    assert_eq!(error.statement(), Some(3));
    assert_eq!(message(&error), "statement 3 failed: no such table: t");
    assert_eq!(bench.select("SELECT a FROM t"), [[json!(1)]]);
    let error = bench.run(&["SELECT a\n  FORM t"]).unwrap_err();
    assert_eq!(message(&error), "statement 1 failed: near \"t\": syntax error (line 2, column 8)");
}

#[test]
fn values_are_bound_by_name_and_never_read_as_sql() {
    let bench = Bench::new();
    let mut request = bench.request(&["SELECT :text, :number, :real, :flag, :list, :nothing"]);
    request.params = BTreeMap::from([
        ("text".to_owned(), json!("'; DROP TABLE t; --")),
        ("number".to_owned(), json!(7)),
        ("real".to_owned(), json!(1.5)),
        ("flag".to_owned(), json!(true)),
        ("list".to_owned(), json!([1, "a"])),
        ("nothing".to_owned(), Value::Null),
        ("unused".to_owned(), json!(1)),
    ]);
    let row = bench.rows(request).unwrap().rows.remove(0);
    let text = json!("'; DROP TABLE t; --");
    assert_eq!(row, [text, json!(7), json!(1.5), json!(1), json!("[1,\"a\"]"), Value::Null]);
}

#[test]
fn an_unknown_parameter_is_named_with_those_there_are() {
    let bench = Bench::new();
    let mut request = bench.request(&["SELECT 1", "SELECT :partition_month"]);
    request.params.insert("partition_key".to_owned(), json!("a"));
    request.params.insert("tenant".to_owned(), json!("jfk"));
    let error = run_sqlite(&request).unwrap_err();
    assert_eq!(
        message(&error),
        "statement 2 names the parameter `:partition_month`, which is not there; there are \
         `:partition_key`, `:tenant`; declare more under `params`"
    );
    for (text, found) in [("SELECT ?", "?"), ("SELECT ?2", "?"), ("SELECT @a", "@a")] {
        let error = bench.run(&[text]).unwrap_err();
        assert!(matches!(error, SqlError::NamelessParameter { number: 1, .. }), "{text}: {found}");
    }
}

#[test]
fn other_files_extensions_transactions_and_settings_are_refused() {
    let bench = Bench::new();
    for text in [
        "ATTACH 'other.db' AS other",
        "ATTACH (SELECT 'other' || '.db') AS other",
        "ATTACH :file AS other",
        "DETACH main",
        "SELECT load_extension('evil.so')",
        "COMMIT",
        "BEGIN",
        "PRAGMA journal_mode = OFF",
        "PRAGMA temp_store_directory = '/'",
        "PRAGMA writable_schema = 1",
    ] {
        let mut request = bench.request(&[text]);
        request.params.insert("file".to_owned(), json!("other.db"));
        let error = run_sqlite(&request).unwrap_err();
        assert!(matches!(error, SqlError::Refused { number: 1, .. }), "{text}: {error}");
    }
    let error = bench.run(&["VACUUM INTO 'copy.db'"]).unwrap_err();
    assert!(matches!(error, SqlError::Statement { .. } | SqlError::Refused { .. }), "{error}");
    assert!(!Path::new("copy.db").exists() && !Path::new("other.db").exists());
}

#[test]
fn ordinary_statements_pass_the_guard() {
    let bench = Bench::new();
    bench
        .run(&[
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)",
            "CREATE TABLE log (a TEXT)",
            "CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.a); END",
            "CREATE VIEW v AS SELECT a FROM t",
            "CREATE TEMP TABLE scratch AS SELECT 1 AS one",
            "SAVEPOINT s",
            "INSERT INTO t (a) VALUES ('x') ON CONFLICT DO NOTHING RETURNING id",
            "ROLLBACK TO s",
            "RELEASE s",
            "ALTER TABLE t ADD COLUMN b",
            "CREATE VIRTUAL TABLE words USING fts5(text)",
            "ANALYZE",
            "REINDEX",
            "PRAGMA user_version = 3",
            "SELECT * FROM pragma_table_info('t')",
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3)
             SELECT json_group_array(i), round(avg(i) OVER ()) FROM n",
            "ALTER TABLE t RENAME TO t2",
            "DROP TABLE t2",
        ])
        .unwrap();
}

#[test]
fn two_statements_in_one_text_and_empty_ones_are_errors_of_their_own() {
    let bench = Bench::new();
    let several = bench.run(&["CREATE TABLE t (a); INSERT INTO t VALUES (1)"]).unwrap_err();
    assert!(matches!(several, SqlError::Several { number: 1 }), "{several}");
    let unknown = bench.run(&["INSERT INTO t VALUES (1)"]).unwrap_err();
    assert!(matches!(unknown, SqlError::Statement { number: 1, .. }), "{unknown}");
    let known = bench.run(&["SELECT 1; SELECT 2"]).unwrap_err();
    assert!(matches!(known, SqlError::Several { number: 1 }), "{known}");
    assert_eq!(several.statement(), Some(1));
    let empty = bench.run(&["SELECT 1;", " -- nothing"]).unwrap_err();
    assert!(matches!(empty, SqlError::Empty { number: 2 }), "{empty}");
    assert!(matches!(bench.run(&[]).unwrap_err(), SqlError::NoStatements));
}

#[test]
fn a_step_that_only_reads_cannot_write_and_needs_the_file() {
    let bench = Bench::new();
    let read_only = |text: &str| SqlRequest { read_only: true, ..bench.request(&[text]) };
    let missing = run_sqlite(&read_only("SELECT 1")).unwrap_err();
    assert!(matches!(missing, SqlError::DatabaseMissing { .. }), "{missing}");
    assert_eq!(missing.code(), ErrorCode::StepInput);
    assert!(!bench.path("users.db").exists());

    bench.run(&["CREATE TABLE t (a)"]).unwrap();
    let refused = run_sqlite(&read_only("INSERT INTO t VALUES (1)")).unwrap_err();
    assert_eq!(message(&refused), "statement 1 failed: attempt to write a readonly database");
    let mut request = read_only("SELECT count(*) FROM source, t");
    request.read.insert("source".to_owned(), bench.csv("a.csv", "x\n1\n"));
    assert_eq!(bench.rows(request).unwrap().rows, [[json!(0)]]);
}

#[test]
fn the_rows_of_the_last_statement_keep_their_types() {
    let bench = Bench::new();
    let request = bench.request(&[
        "CREATE TABLE t (a)",
        "INSERT INTO t VALUES (1), (2.5), ('x'), (NULL) RETURNING a, a AS \"a b\"",
    ]);
    let table = bench.rows(request).unwrap();
    assert_eq!(table.columns, ["a", "a b"]);
    let values: Vec<Value> = table.rows.into_iter().map(|mut row| row.remove(0)).collect();
    assert_eq!(values, [json!(1), json!(2.5), json!("x"), Value::Null]);

    let none = bench.rows(bench.request(&["DELETE FROM t"])).unwrap_err();
    assert!(matches!(none, SqlError::NoRows { number: 1 }), "{none}");
    let blob = bench.rows(bench.request(&["SELECT x'00' AS raw"])).unwrap_err();
    assert_eq!(
        message(&blob),
        "statement 1: column \"raw\" holds a blob; convert it in the statement"
    );
    let endless = bench.rows(bench.request(&["SELECT -1e999 AS low"])).unwrap_err();
    assert_eq!(
        message(&endless),
        "statement 1: column \"low\" holds -Infinity; convert it in the statement"
    );
}

#[test]
fn csv_columns_sort_as_numbers_and_an_empty_field_is_null() {
    let bench = Bench::new();
    let file = bench.csv("a.csv", "name,n\nb,10\na,9\n\"c, d\",\ne,-1.5\n");
    let table = bench.reading(file, "SELECT name, n FROM source ORDER BY n").unwrap();
    let rows = [
        [json!("c, d"), Value::Null],
        [json!("e"), json!(-1.5)],
        [json!("a"), json!(9.0)],
        [json!("b"), json!(10.0)],
    ];
    assert_eq!(table.rows, rows);
}

#[test]
fn a_column_of_codes_with_leading_zeros_stays_text_and_a_note_says_so() {
    let bench = Bench::new();
    let file = bench.csv("a.csv", "zip,n\n10001,1\n00501,2\n");
    let read = BTreeMap::from([("source".to_owned(), file)]);
    let request = SqlRequest { read, ..bench.request(&["SELECT zip, n FROM source"]) };
    let outcome = run_sqlite(&request).unwrap();
    assert_eq!(outcome.notes.len(), 1);
    let table = bench.rows(request).unwrap();
    assert_eq!(table.rows, [[json!("10001"), json!(1)], [json!("00501"), json!(2)]]);
}

#[test]
fn a_column_of_a_csv_file_has_one_type_in_all_its_rows() {
    let bench = Bench::new();
    for (fields, wanted, told) in [
        ("7.0 7.5 2.0", "real 7.0, real 7.5, real 2.0", None),
        ("7 7.5 -2", "real 7.0, real 7.5, real -2.0", None),
        ("7.0 9.0", "real 7.0, real 9.0", None),
        ("7 1e-05", "real 7.0, real 1.0e-05", None),
        ("7 9223372036854775807", "integer 7, integer 9223372036854775807", None),
        ("7 -0", "text 7, text -0", Some("\"-0\" in line 3")),
        ("7 9223372036854775808", "text 7, text 9223372036854775808", Some("in line 3")),
        ("7.0 9007199254740993", "text 7.0, text 9007199254740993", Some("it has fractions and")),
        ("7 7.5 no", "text 7, text 7.5, text no", Some("it has values of several kinds")),
        ("\t7 no", "text \t7, text no", None),
    ] {
        let content = format!("x\n{}\n", fields.replace(' ', "\n"));
        let read = BTreeMap::from([("source".to_owned(), bench.csv("a.csv", &content))]);
        let text = "SELECT group_concat(typeof(x) || ' ' || x, ', ') FROM source";
        let request = SqlRequest { read, ..bench.request(&[text]) };
        let notes = run_sqlite(&request).unwrap().notes;
        assert_eq!(notes.len(), usize::from(told.is_some()), "{fields}: {notes:?}");
        assert!(notes.iter().all(|it| it.contains(told.unwrap())), "{fields}: {notes:?}");
        assert_eq!(bench.rows(request).unwrap().rows, [[json!(wanted)]], "{fields}");
    }
    let file = bench.csv("a.csv", "cost,clicks\n7.0,2\n7.5,2\n2.0,4\n");
    let halves = bench.reading(file, "SELECT sum(cost / clicks), max(clicks / 3) FROM source");
    assert_eq!(halves.unwrap().rows, [[json!(7.75), json!(1)]]);
}

#[test]
fn versions_that_would_be_one_number_are_text_and_prices_are_numbers() {
    let bench = Bench::new();
    let content = "version,price,share\n1.1,12.50,.5\n1.10,3.00,.25\n";
    let read = BTreeMap::from([("source".to_owned(), bench.csv("a.csv", content))]);
    let text = "SELECT count(DISTINCT version), sum(price), sum(share) FROM source";
    let request = SqlRequest { read, ..bench.request(&[text]) };
    let notes = run_sqlite(&request).unwrap().notes;
    let told =
        "column \"version\" of \"source\" is text, because \"1.10\" in line 3 and \"1.1\" in";
    assert!(matches!(notes.as_slice(), [note] if note.starts_with(told)), "{notes:?}");
    assert_eq!(bench.rows(request).unwrap().rows, [[json!(2), json!(15.5), json!(0.75)]]);
}

#[test]
fn r104_what_millstream_keeps_as_csv_comes_back_as_it_was() {
    let bench = Bench::new();
    let io = FileIo::new(FileForm::Csv, bench.path("lake"));
    let asset = "lines".parse().unwrap();
    let address = Address { tenant: "jfk".parse().unwrap(), asset, partition: None };
    let rows = json!([["1.10", "1", 1.1, 1e300], ["1.1", "", 7, -2.5], ["007", null, 7.25, 0.0]]);
    let columns = ["code", "note", "n", "m"];
    let kept = json!({ "columns": columns, "rows": rows });
    io.store(&address, Content::Json(&kept)).unwrap();
    let file = io.source(&address).unwrap();
    let text = "SELECT code, note, n, m FROM source ORDER BY rowid";
    let read = BTreeMap::from([("source".to_owned(), file.clone())]);
    let request = SqlRequest { read, ..bench.request(&[text]) };
    assert_eq!(run_sqlite(&request).unwrap().notes, Vec::<String>::new());
    let mut wanted = rows;
    wanted[1][2] = json!(7.0);
    assert_eq!(json!(bench.rows(request).unwrap().rows), wanted);

    let write = TableWrite {
        resource: ResourceDef::Sqlite { path: bench.path("kept.db").to_str().unwrap().to_owned() },
        table: TableName { schema: None, table: "lines".to_owned() },
        columns: BTreeMap::new(),
        mode: LoadMode::Replace,
        source: file,
        keeper: None,
        session: Session::default(),
    };
    assert_eq!(write_sqlite(&write).unwrap().notes, Vec::<String>::new());
    let connection = rusqlite::Connection::open(bench.path("kept.db")).unwrap();
    let text =
        "SELECT group_concat(typeof(code) || ' ' || code || ' ' || typeof(n), ', ') FROM lines";
    let types: String = connection.query_row(text, [], |row| row.get(0)).unwrap();
    assert_eq!(types, "text 1.10 real, text 1.1 real, text 007 real");
}

#[test]
fn whole_numbers_beside_real_ones_are_real_in_rows_that_say_their_types() {
    let bench = Bench::new();
    let path = bench.path("a.json");
    std::fs::write(&path, r#"[{"x": 7, "n": 7}, {"x": 7.5, "n": null}]"#).unwrap();
    let text = "SELECT typeof(x), x / 2, typeof(n) FROM source";
    let table = bench.reading(TableFile::Json(path), text).unwrap();
    let rows = [
        [json!("real"), json!(3.5), json!("integer")],
        [json!("real"), json!(3.75), json!("null")],
    ];
    assert_eq!(table.rows, rows);
}

#[test]
fn a_gzipped_csv_file_is_read_as_it_is() {
    let bench = Bench::new();
    let path = bench.path("a.csv.gz");
    let file = std::fs::File::create(&path).unwrap();
    let mut writer = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    writer.write_all(b"a\n1\n2\n").unwrap();
    writer.finish().unwrap();
    let table = bench.reading(TableFile::Csv(path), "SELECT sum(a) FROM source").unwrap();
    assert_eq!(table.rows, [[json!(3)]]);
}

#[test]
fn a_csv_file_that_is_wrong_says_where() {
    let bench = Bench::new();
    for (content, wanted) in [
        ("a,b\n1,\"2\n3,4\n", "line 2: a quote is never closed"),
        ("a,b\n1,2\n3\n", "line 3: it has 1 fields, the header has 2"),
        ("a,A\n1,2\n", "line 1: two columns are called \"A\""),
        ("a,,c\n1,2,3\n", "line 1: column 2 has no name"),
        ("", "line 1: the header line is empty"),
    ] {
        let error = bench.reading(bench.csv("a.csv", content), "SELECT 1").unwrap_err();
        assert_eq!(error.code(), ErrorCode::StepInput);
        assert!(message(&error).contains(wanted), "{content:?}: {}", message(&error));
    }
    let missing = TableFile::Csv(bench.path("none.csv"));
    let error = bench.reading(missing, "SELECT 1").unwrap_err();
    let path = bench.path("none.csv");
    let wanted = format!("table \"source\" cannot be read: {} does not exist", path.display());
    assert_eq!(message(&error), wanted);
}

#[test]
fn json_rows_are_read_in_both_forms() {
    let bench = Bench::new();
    for document in [
        json!([{"a": 1, "b": "x"}, {"a": 2}]),
        json!({"columns": ["a", "b"], "rows": [[1, "x"], [2, null]]}),
    ] {
        let path = bench.path("a.json");
        std::fs::write(&path, document.to_string()).unwrap();
        let table = bench.reading(TableFile::Json(path), "SELECT a, b FROM source").unwrap();
        assert_eq!(table.rows, [[json!(1), json!("x")], [json!(2), Value::Null]]);
    }
}

#[test]
fn steps_that_write_to_one_file_at_once_wait_for_each_other() {
    let bench = Bench::new();
    bench.run(&["CREATE TABLE t (a)", "INSERT INTO t VALUES (0)"]).unwrap();
    let statements = ["UPDATE t SET a = a + 1", "DROP TABLE IF EXISTS u", "CREATE TABLE u (b)"];
    let request = bench.request(&statements);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| run_sqlite(&request).unwrap());
        }
    });
    assert_eq!(bench.select("SELECT a FROM t"), [[json!(8)]]);
}

#[test]
fn the_files_journal_mode_is_its_owners() {
    let bench = Bench::new();
    let connection = rusqlite::Connection::open(bench.path("users.db")).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    drop(connection);
    bench.run(&["CREATE TABLE t (a)"]).unwrap();
    let connection = rusqlite::Connection::open(bench.path("users.db")).unwrap();
    let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
}

#[test]
fn the_child_leaves_its_answer_where_the_request_says() {
    let bench = Bench::new();
    let answer = |statements: &[&str], code: ExitCode| {
        let (path, answer) = (bench.path("request.json"), bench.path("answer.json"));
        let request = ChildRequest::Sql(bench.request(statements));
        sql_child::write_request(&path, request, &answer).unwrap();
        assert_eq!(format!("{:?}", sql_child::main(&path)), format!("{code:?}"));
        sql_child::read_answer(&answer).unwrap()
    };
    let SqlAnswer::Done(outcome) = answer(&["CREATE TABLE t (a)"], ExitCode::SUCCESS) else {
        panic!("the statement failed");
    };
    assert_eq!(outcome.rows_affected, [0]);
    let SqlAnswer::Failed(failure) = answer(&["SELECT 1", "SELECT nix"], ExitCode::from(1)) else {
        panic!("the statement ran");
    };
    assert_eq!((failure.statement, failure.text.as_deref()), (Some(2), Some("SELECT nix")));
    assert_eq!(failure.code, ErrorCode::StepSql);
    let none = sql_child::main(&bench.path("none.json"));
    assert_eq!(format!("{none:?}"), format!("{:?}", ExitCode::from(2)));
}
