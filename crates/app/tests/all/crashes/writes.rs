//! Whoever stores a result dies in the middle of it: what is there is the old one or the new one,
//! and the next worker makes the new one.

use std::collections::BTreeMap;

use millstream_io::sql_child::{ChildRequest, SUBCOMMAND, write_request};
use millstream_io::{Keeper, Session, TableFile, TableName, TableWrite};
use millstream_model::{LoadMode, ResourceDef};

use crate::database::Database;
use crate::project::{Project, machine, wait_for};

/// What is found after a death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Old,
    New,
}

/// The points of a file.
const FILE: [(&str, Left); 3] =
    [("file:begun", Left::Old), ("file:written", Left::Old), ("file:placed", Left::New)];

/// The points of a table.
const TABLE: [(&str, Left); 4] = [
    ("table:emptied", Left::Old),
    ("table:filled", Left::Old),
    ("table:recorded", Left::Old),
    ("table:stored", Left::New),
];

/// Rows of a result: more than a writer holds back before it writes.
const ROWS: usize = 20_000;

const BIG: &str = r#"
assets:
  big:
    io: lake
    step:
      kind: command
      command: |
        seq 1 20000 | awk -v v="$(cat version)" '
          BEGIN { print "[" } { printf "%s{\"n\": %d, \"v\": \"%s\"}\n", (NR > 1 ? "," : ""), $1, v }
          END { print "]" }' > "$MILLSTREAM_RESULT"
"#;

/// The version of all rows that are found.
fn whole(rows: &[String], what: &str) -> String {
    assert_eq!(rows.len(), ROWS, "{what}: half of it is there");
    let mut versions = rows.to_vec();
    versions.dedup();
    assert_eq!(versions.len(), 1, "{what}: {versions:?}");
    versions.remove(0)
}

/// Has whoever stores `big` die at each of `points`, and looks at it with `rows`.
fn die_at(points: &[(&str, Left)], io: &str, rows: impl Fn(&Project) -> Vec<String>) {
    let mut project = Project::with(&format!("{io}{BIG}")).variable("MILLSTREAM_LEASE", "1s");
    project.write("version", "first");
    assert_eq!(project.run(&["asset", "materialize", "big"]).code, 0);
    let mut old = "first".to_owned();
    for (number, (point, left)) in points.iter().enumerate() {
        let new = format!("version {number}");
        assert_eq!(whole(&rows(&project), point), old);
        project.write("version", &new);
        project.set("MILLSTREAM_CRASH_AT", Some(point));
        let died = project.run(&["asset", "materialize", "big"]);
        assert_eq!(died.code, -1, "{point}: {died:?}");
        project.set("MILLSTREAM_CRASH_AT", None);
        let found = whole(&rows(&project), point);
        assert_eq!(found, if *left == Left::Old { old } else { new.clone() }, "{point}");
        let server = project.serve();
        wait_for(&format!("{point}: its end"), || {
            let runs = server.get("/default/api/v1/runs");
            let status = runs[0]["status"].as_str().unwrap();
            assert_ne!(status, "FAILURE", "{point}: {runs:#}");
            (status == "SUCCESS").then_some(())
        });
        drop(server);
        assert_eq!(whole(&rows(&project), point), new, "{point}");
        old = new;
    }
}

#[test]
fn g2_r195_a_kill_in_the_middle_of_a_file_leaves_the_old_or_the_new_one() {
    let _machine = machine();
    die_at(&FILE, "io: { lake: { kind: json, base: lake } }", |project| {
        let text = project.read("lake/default/big/_.json");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let rows = value.as_array().unwrap().iter();
        rows.map(|row| row["v"].as_str().unwrap().to_owned()).collect()
    });
    println!("G2: files: {} deaths in the middle of a write: 0 halves", FILE.len());
}

#[test]
fn g2_r195_a_kill_in_the_middle_of_a_table_on_a_server_leaves_the_old_or_the_new_rows() {
    let _machine = machine();
    let Some(database) = Database::on_postgres() else { return };
    let url = database.url().unwrap();
    let io = format!(
        "resources: {{ warehouse: {{ kind: postgres, url: \"{url}\" }} }}\n\
         io: {{ lake: {{ kind: table, resource: warehouse }} }}"
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    die_at(&TABLE, &io, |_| {
        runtime.block_on(async {
            let (client, connection) =
                tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
            let connection = tokio::spawn(connection);
            let rows = client.query("SELECT v FROM big", &[]).await.unwrap();
            drop(client);
            connection.await.unwrap().unwrap();
            rows.iter().map(|row| row.get(0)).collect()
        })
    });
    println!("G2: tables: {} deaths in the middle of a write: 0 halves", TABLE.len());
}

/// The process that works on a file of SQLite dies; who asked it to asks again.
#[test]
fn g2_r195_a_kill_in_the_middle_of_a_table_in_a_file_leaves_the_old_or_the_new_rows() {
    let mut project = Project::new();
    let write = |project: &Project, version: &str| {
        let rows = (0..ROWS).map(|_| format!("[\"{version}\"]\n"));
        project.write("rows", &format!("[\"v\"]\n{}", rows.collect::<Vec<_>>().concat()));
        let keeper = Keeper {
            tenant: "default".parse().unwrap(),
            asset: "big".parse().unwrap(),
            partition: None,
        };
        let write = TableWrite {
            resource: ResourceDef::Sqlite {
                path: project.path("w.db").to_string_lossy().into_owned(),
            },
            table: TableName { schema: None, table: "big".to_owned() },
            columns: BTreeMap::new(),
            mode: LoadMode::Replace,
            source: TableFile::Rows(project.path("rows")),
            keeper: Some(keeper),
            session: Session::default(),
        };
        let (request, answer) = (project.path("request"), project.path("answer"));
        write_request(&request, ChildRequest::Write(write), &answer).unwrap();
        project.run(&[SUBCOMMAND, request.to_str().unwrap()]).code
    };
    let rows = |project: &Project| -> Vec<String> {
        let connection = rusqlite::Connection::open(project.path("w.db")).unwrap();
        let mut asked = connection.prepare("SELECT v FROM big").unwrap();
        let rows = asked.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    assert_eq!(write(&project, "first"), 0);
    let mut old = "first".to_owned();
    for (number, (point, left)) in TABLE.iter().enumerate() {
        let new = format!("version {number}");
        project.set("MILLSTREAM_CRASH_AT", Some(point));
        assert_eq!(write(&project, &new), -1, "{point}");
        project.set("MILLSTREAM_CRASH_AT", None);
        let found = whole(&rows(&project), point);
        assert_eq!(found, if *left == Left::Old { old } else { new.clone() }, "{point}");
        assert_eq!(write(&project, &new), 0, "{point}");
        assert_eq!(whole(&rows(&project), point), new, "{point}");
        old = new;
    }
}
