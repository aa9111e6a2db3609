//! Columns of whole numbers in a SQLite table that become real ones.

use millstream_io::{Keeper, Session, TableFile, TableName, TableWrite, Written, write_sqlite};
use millstream_model::{LoadMode, ResourceDef};
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kinds_bench::{address, table, write_rows};

/// A SQLite file with the table `numbers`.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn connect(&self) -> Connection {
        Connection::open(self.0.path().join("lake.db")).unwrap()
    }

    /// Writes `rows` of the column `x`: as a partition of an asset, or as more rows of a table.
    fn write(&self, partition: Option<&str>, rows: Value) -> Written {
        let path = self.0.path().join("rows");
        write_rows(&path, &table(&["x"], rows));
        let keeper = partition.map(|_| Keeper::from(&address("jfk", "numbers", partition)));
        let resource = ResourceDef::Sqlite {
            path: self.0.path().join("lake.db").to_str().unwrap().to_owned(),
        };
        let write = TableWrite {
            resource,
            table: TableName { schema: None, table: "numbers".to_owned() },
            columns: std::collections::BTreeMap::new(),
            mode: if keeper.is_some() { LoadMode::Replace } else { LoadMode::Append },
            source: TableFile::Rows(path),
            keeper,
            session: Session::default(),
        };
        write_sqlite(&write).unwrap()
    }
}

/// Each number, its type and a half of it.
fn halves(connection: &Connection, of: &str) -> String {
    let text = format!(
        "SELECT group_concat(x || ' ' || typeof(x) || ' ' || (x / 2), ', ' ORDER BY x) FROM {of}"
    );
    connection.query_row(&text, [], |row| row.get(0)).unwrap()
}

const WANTED: &str = "1.0 real 0.5, 1.5 real 0.75, 3.0 real 1.5";

#[test]
fn whole_numbers_of_other_partitions_become_real_ones() {
    let bench = Bench::new();
    bench.write(Some("a"), json!([[1]]));
    let connection = bench.connect();
    let around = "CREATE INDEX by_x ON numbers (x) WHERE x > 0; \
                  CREATE VIEW seen AS SELECT x FROM numbers; \
                  CREATE TABLE log (x); \
                  CREATE TRIGGER told AFTER INSERT ON numbers BEGIN \
                  INSERT INTO log VALUES (new.x); END;";
    connection.execute_batch(around).unwrap();
    let reader = bench.connect();
    reader.execute_batch("PRAGMA journal_mode = WAL; BEGIN").unwrap();
    assert_eq!(halves(&reader, "numbers"), "1 integer 0");

    let written = bench.write(Some("b"), json!([[1.5], [3.0]]));
    assert_eq!(written.notes, Vec::<String>::new());
    assert_eq!(halves(&reader, "numbers"), "1 integer 0", "a reader sees what was there");
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(halves(&reader, "numbers"), WANTED);
    assert_eq!(halves(&reader, "seen"), WANTED);
    assert_eq!(halves(&reader, "log"), "1.5 real 0.75, 3.0 real 1.5");
    let around = "SELECT group_concat(name, ' ' ORDER BY name) FROM sqlite_schema \
                  WHERE name NOT LIKE 'millstream_tables' AND name NOT LIKE 'sqlite_%'";
    let names: String = reader.query_row(around, [], |row| row.get(0)).unwrap();
    assert_eq!(names, "by_x log numbers seen told");
    let columns = "SELECT group_concat(name || ' ' || type, ', ') \
                   FROM pragma_table_info('numbers')";
    let columns: String = reader.query_row(columns, [], |row| row.get(0)).unwrap();
    assert_eq!(columns, "x REAL, _partition TEXT");
    bench.write(Some("b"), json!([[7]]));
    assert_eq!(halves(&reader, "numbers"), "1.0 real 0.5, 7.0 real 3.5");
}

#[test]
fn whole_numbers_that_rows_are_added_to_become_real_ones() {
    for made in ["CREATE TABLE Numbers(x integer, [Of] varchar(9))", ""] {
        let bench = Bench::new();
        bench.connect().execute_batch(made).unwrap();
        bench.write(None, json!([[1]]));
        bench.write(None, json!([[1.5], [3.0]]));
        assert_eq!(halves(&bench.connect(), "numbers"), WANTED, "{made}");
    }
}

#[test]
fn a_table_with_more_than_columns_and_types_stays_and_the_log_says_so() {
    for more in ["CHECK (x > 0)", "PRIMARY KEY", "DEFAULT 5", "/* told */"] {
        let bench = Bench::new();
        bench.connect().execute_batch(&format!("CREATE TABLE numbers (x INTEGER {more})")).unwrap();
        bench.write(None, json!([[1]]));
        let write = match more {
            "PRIMARY KEY" => json!([[2.0]]),
            _ => json!([[1.5], [3.0]]),
        };
        let notes = bench.write(None, write).notes;
        let told = "column \"x\" of table numbers stays one of whole numbers, since the table was \
                    made with more than columns and types: 3.0 is kept in it as 3; declare the \
                    column REAL";
        assert_eq!(notes, [told], "{more}");
        let connection = bench.connect();
        let text = "SELECT sql FROM sqlite_schema WHERE name = 'numbers'";
        let sql: String = connection.query_row(text, [], |row| row.get(0)).unwrap();
        assert!(sql.contains(more), "{sql}");
    }
}
