//! Assets in tables, rows loaded from one place into another, and statements that are given up,
//! through the binary and on both databases.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::database::Database;
use crate::project::{Project, wait_for};

/// Both kinds of database, as definitions name them; without a server Postgres is left out.
fn warehouses() -> Vec<(&'static str, String)> {
    let mut all = vec![("sqlite", "{ kind: sqlite, path: warehouse.db }".to_owned())];
    if let Some(database) = Database::on_postgres() {
        let url = database.url().unwrap();
        all.push(("postgres", format!("{{ kind: postgres, url: \"{url}\" }}")));
    }
    all
}

fn project(warehouse: &str, rest: &str) -> Project {
    Project::with(&format!("resources:\n  warehouse: {warehouse}\n{rest}"))
}

fn step<'a>(run: &'a Value, name: &str) -> &'a Value {
    let steps = run["steps"].as_array().unwrap();
    steps.iter().find(|step| step["step"] == name).unwrap_or_else(|| panic!("{run}"))
}

/// The rows that a statement selects, asked through a job of their own.
fn metadata(run: &Value, asset: &str) -> Value {
    let events = run["events"].as_array().unwrap();
    let made = events
        .iter()
        .find(|event| event["kind"] == "materialized" && event["data"]["step"] == asset);
    made.unwrap_or_else(|| panic!("{asset} was not made: {run}"))["data"]["metadata"].clone()
}

fn materialized(project: &Project, arguments: &[&str]) -> Value {
    let run = project.run(&[&["asset", "materialize"], arguments, &["--json"]].concat()).json();
    let id = run["run_id"].as_str().unwrap();
    project.json(&["run", "show", id])
}

const SHOP: &str = r#"
io:
  tables: { kind: table, resource: warehouse, schema: "{{ tenant.id }}", columns: { code: text } }
  files: { kind: csv, base: lake }
tenants:
  north: {}
  south: {}
partitions:
  site: { kind: static, keys: [a, b] }
assets:
  orders:
    partitions: site
    io: tables
    step:
      kind: command
      command: >-
        echo '[{"n": 1, "code": "007", "site": "{{ partition }}", "tenant": "{{ tenant.id }}"},
        {"n": 2.5, "code": "8", "site": "{{ partition }}", "tenant": "{{ tenant.id }}"}]'
        > "$MILLSTREAM_RESULT"
  totals:
    partitions: site
    deps: [orders]
    io: files
    step:
      kind: sql
      resource: warehouse
      rows: true
      read: { orders: { asset: orders } }
      statements:
        - "SELECT site, tenant, sum(n) AS total, min(code) AS code FROM orders GROUP BY site, tenant"
  report:
    partitions: site
    deps: [totals]
    step: { kind: load, resource: warehouse, table: "report {{ tenant.id }} {{ partition }}" }
  look:
    partitions: site
    deps: [report]
    step:
      kind: sql
      resource: warehouse
      read_only: true
      rows: true
      statements: 'SELECT * FROM {{ ["report", tenant.id, partition] | join(" ") | identifier }}'
"#;

#[test]
fn r104_r106_rows_pass_through_tables_files_and_tables_again_for_each_tenant_and_partition() {
    for (kind, warehouse) in warehouses() {
        let project = project(&warehouse, SHOP);
        for (tenant, site) in [("north", "a"), ("south", "a"), ("north", "b")] {
            let run = materialized(&project, &["orders+", "--partition", site, "--tenant", tenant]);
            assert_eq!(run["status"], "SUCCESS", "{kind}: {run}");
            let made = metadata(&run, "orders");
            let table = if kind == "sqlite" { "north__orders" } else { "north.orders" };
            let table = table.replace("north", tenant);
            assert_eq!(made["table"]["value"], json!(table), "{kind}");
            assert_eq!(made["rows"]["value"], json!(2));
            assert_eq!(metadata(&run, "report")["rows_loaded"]["value"], json!(1));
            let statements = &metadata(&run, "totals")["statements"]["value"];
            assert_eq!(statements[0]["statement"], json!(1), "{kind}: {statements}");
            assert_eq!(statements[0]["rows"], json!(1), "{kind}: {statements}");
            assert!(statements[0]["ms"].is_u64(), "{kind}: {statements}");
            let seen = &step(&run, "look")["result"]["rows"];
            assert_eq!(*seen, json!([[site, tenant, 3.5, "007"]]), "{kind}");
        }
        // Nobody made this one for the south.
        let arguments = ["totals", "--partition", "b", "--tenant", "south"];
        let run = materialized(&project, &arguments);
        let error = &step(&run, "totals")["error"];
        assert_eq!(error["code"], "step-input", "{kind}: {run}");
        let message = error["message"].as_str().unwrap();
        for part in ["orders", "partition b", "south"] {
            assert!(message.contains(part), "{kind}: {message}");
        }
        let events = run["events"].to_string();
        assert!(!events.contains("postgres://"), "{kind}: an address is told");
    }
}

const EMPTY: &str = r#"
io: { files: { kind: csv, base: lake } }
assets:
  found:
    io: files
    step:
      kind: sql
      resource: warehouse
      rows: true
      statements: ["SELECT 1 AS n WHERE 1 = 0"]
  loaded:
    deps: [found]
    step: { kind: load, resource: warehouse, table: loaded }
  perhaps:
    output_required: false
    io: files
    step:
      kind: sql
      resource: warehouse
      rows: true
      statements: ["SELECT 1 AS n WHERE 1 = 0"]
  perhaps_loaded:
    deps: [found]
    output_required: false
    step: { kind: load, resource: warehouse, table: loaded }
"#;

#[test]
fn r040_without_rows_a_load_warns_and_an_asset_that_need_not_be_made_is_not() {
    for (kind, warehouse) in warehouses() {
        let project = project(&warehouse, EMPTY);
        let run = materialized(&project, &["found+"]);
        assert_eq!(run["status"], "SUCCESS", "{kind}: {run}");
        assert_eq!(metadata(&run, "loaded")["rows_loaded"]["value"], json!(0), "{kind}");
        let id = run["run_id"].as_str().unwrap();
        let log = project.run(&["run", "logs", id, "--step", "loaded"]).out;
        assert!(log.starts_with("warning: found has no rows"), "{kind}: {log}");
        let made = |run: &Value, asset: &str| {
            let events = run["events"].as_array().unwrap().iter();
            events.filter(|it| it["kind"] == "materialized" && it["data"]["asset"] == asset).count()
        };
        assert_eq!((made(&run, "loaded"), made(&run, "perhaps_loaded")), (1, 0), "{kind}");
        let run = materialized(&project, &["perhaps"]);
        assert_eq!((run["status"].as_str(), made(&run, "perhaps")), (Some("SUCCESS"), 0), "{kind}");
        let why = project.run(&["why", "perhaps"]).out;
        let told = "It was never made. Its last try succeeded and made nothing, in run ";
        assert!(why.contains(told), "{kind}: {why}");
        let shown = project.run(&["asset", "show", "perhaps"]).out;
        assert!(shown.contains("  its last try succeeded and made nothing"), "{kind}: {shown}");
    }
}

const PERHAPS: &str = r#"
io:
  files: { kind: csv, base: lake }
  tables: { kind: table, resource: warehouse }
assets:
  found:
    output_required: false
    io: files
    step: { kind: command, command: "cat rows.json > \"$MILLSTREAM_RESULT\"" }
  kept:
    deps: [found]
    output_required: false
    io: tables
    step:
      kind: sql
      resource: warehouse
      rows: true
      read: { found: { asset: found } }
      statements: ["SELECT n FROM found"]
  gate:
    deps: [found]
    step: { kind: command, command: "test -e open" }
  counted:
    deps: [found, kept, gate]
    step:
      kind: sql
      resource: warehouse
      rows: true
      read: { found: { asset: found }, kept: { asset: kept } }
      statements: ["SELECT (SELECT count(*) FROM found) AS found, count(*) AS kept, sum(n) AS n FROM kept"]
"#;

#[test]
fn r040_a_retry_reads_no_rows_of_what_the_failed_run_did_not_make() {
    for (kind, warehouse) in warehouses() {
        let project = project(&warehouse, PERHAPS);
        let _server = project.serve();
        let counted = |run: &Value| {
            let told = metadata(run, "counted");
            [told["found"]["value"].clone(), told["kept"]["value"].clone()]
        };
        project.write("rows.json", r#"[{ "n": 1 }, { "n": 2 }]"#);
        project.write("open", "");
        let run = materialized(&project, &["found+"]);
        assert_eq!(counted(&run), [json!(2), json!(2)], "{kind}: {run}");

        project.write("rows.json", "[]");
        std::fs::remove_file(project.path("open")).unwrap();
        let run = materialized(&project, &["found+"]);
        assert_eq!(step(&run, "gate")["status"], "FAILURE", "{kind}: {run}");
        project.write("open", "");
        let again = project.json(&["run", "retry", run["run_id"].as_str().unwrap()]);
        let id = again["run_id"].as_str().unwrap();
        let run = wait_for("the retry is over", || {
            let run = project.json(&["run", "show", id]);
            matches!(run["status"].as_str()?, "SUCCESS" | "FAILURE").then_some(run)
        });
        assert_eq!(step(&run, "found")["reason"].as_str().map(|it| &it[..8]), Some("done in "));
        assert_eq!(counted(&run), [json!(0), json!(0)], "{kind}: {run}");
        let log = project.run(&["run", "logs", id, "--step", "counted"]).out;
        for asset in ["found", "kept"] {
            let told = format!("{asset} was not made in this run: no rows are read");
            assert!(log.contains(&told), "{kind}: {log}");
        }
    }
}

#[test]
fn rows_are_appended_and_a_table_of_its_users_keeps_its_own_columns() {
    for (kind, warehouse) in warehouses() {
        let project = project(
            &warehouse,
            r#"
io: { files: { kind: json, base: lake } }
assets:
  found:
    io: files
    step: { kind: command, command: "echo '[{\"n\": 1}, {\"n\": 2}]' > \"$MILLSTREAM_RESULT\"" }
  added:
    deps: [found]
    step: { kind: load, resource: warehouse, table: kept, mode: append }
  replaced:
    deps: [found]
    step: { kind: load, resource: warehouse, table: kept, mode: replace }
jobs:
  make:
    nodes:
      - id: make
        type: sql
        config:
          resource: warehouse
          statements: ["CREATE TABLE kept (n integer, origin text DEFAULT 'us')"]
  look:
    nodes:
      - id: look
        type: sql
        config:
          resource: warehouse
          rows: true
          statements: ["SELECT count(*), sum(n), min(origin) FROM kept"]
"#,
        );
        let look = || {
            let run = project.json(&["job", "launch", "look"]);
            step(&run, "look")["result"]["rows"][0].clone()
        };
        project.json(&["job", "launch", "make"]);
        for (asset, wanted) in [
            ("found", json!([0, null, null])),
            ("added", json!([2, 3, "us"])),
            ("added", json!([4, 6, "us"])),
            ("replaced", json!([2, 3, "us"])),
        ] {
            let run = materialized(&project, &[asset]);
            assert_eq!(run["status"], "SUCCESS", "{kind}: {run}");
            assert_eq!(look(), wanted, "{kind}: {asset}");
        }
    }
}

#[test]
fn a_statement_that_is_canceled_ends_within_a_second() {
    for (kind, warehouse) in warehouses() {
        let endless = match kind {
            "sqlite" => {
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
                 SELECT max(i) FROM n"
            }
            _ => "SELECT pg_sleep(600)",
        };
        let rest = format!(
            "jobs:\n  endless:\n    nodes:\n      - id: endless\n        type: sql\n        \
             config: {{ resource: warehouse, statements: [\"{endless}\"] }}\n"
        );
        let project = project(&warehouse, &rest);
        let server = project.serve();
        let queued = project.json(&["job", "launch", "endless", "--no-wait"]);
        let run = queued[0]["run_id"].as_str().unwrap();
        let path = format!("/default/api/v1/runs/{run}");
        wait_for("the statement runs", || {
            let run = server.get(&path);
            let is_started = run["steps"][0]["status"] == "STARTED";
            is_started.then_some(())
        });
        project.json(&["run", "cancel", run]);
        let asked = Instant::now();
        let over = wait_for("the run is over", || {
            let run = server.get(&path);
            (run["status"] == "CANCELED").then_some(run)
        });
        let took = asked.elapsed();
        assert!(took < Duration::from_secs(3), "{kind}: {took:?}: {over}");
    }
}

#[test]
fn what_a_postgres_server_says_is_in_the_log_of_a_step_also_when_it_fails() {
    let Some(database) = Database::on_postgres() else { return };
    let warehouse = format!("{{ kind: postgres, url: \"{}\" }}", database.url().unwrap());
    let said = "DO $$ BEGIN RAISE NOTICE 'hello'; RAISE WARNING 'careful'; END $$";
    for (last, wanted) in [
        ("SELECT 1", "notice: hello\nwarning: careful\nstatement 1: 0 rows"),
        ("SELECT 1/0", "notice: hello\nwarning: careful\n"),
    ] {
        let rest = format!(
            "jobs:\n  talk:\n    nodes:\n      - id: talk\n        type: sql\n        \
             config: {{ resource: warehouse, statements: [\"{said}\", \"{last}\"] }}\n"
        );
        let project = project(&warehouse, &rest);
        let run = project.run(&["job", "launch", "talk", "--json"]).json();
        let run = run["run_id"].as_str().unwrap_or_else(|| panic!("{run}"));
        let log = project.run(&["run", "logs", run]).out;
        assert!(log.starts_with(wanted), "{log}");
    }
}
