//! What statements cost, by counts: the rows that they read and the steps that they take, not time.

use millstream_store::{Sql, Store, all_statements};
use rusqlite::{Connection, StatementStatus};
use serde_json::Value;
use tempfile::TempDir;

use crate::databases::Db;
use crate::on_postgres;

on_postgres! {
    the_rows_that_a_pass_reads_do_not_grow_with_the_runs_that_wait,
    the_rows_that_a_launch_reads_do_not_grow_with_what_was_made,
    the_rows_that_a_search_for_a_label_reads_do_not_grow_with_the_history,
}

/// Runs that wait in a long queue.
const LONG: u32 = 100_000;

/// Runs in progress beside it.
const IN_PROGRESS: u32 = 35;

/// What a launch of 200 partitioned assets asks of the past of their partitions.
const LAUNCH: (&str, &str, u64) = ("PARTITION_VERSIONS", "'t1', $json$", 3 * 200);

/// What a list asks that no run has the label of: how far it searches, and the runs until there.
const SEARCH: [(&str, &str, u64); 2] = [
    ("RUN_BEHIND", "'t1', 'z', 9999", 10_001),
    ("RUN_LIST", "'[\"t1\"]', 'z', NULL, NULL, NULL, ',\"a\":\"b\"', 50, '$last$'", 20_010),
];

/// What a pass asks: the statement, its parameters as SQL, and the most rows that it may read.
///
/// The queue has nine lanes; a pass looks at one run more of each than it needs, and finds where
/// each lane ends.
///
/// And what a page of a run asks that is near the front: its place.
const PASS: [(&str, &str, u64); 6] = [
    ("LANE_HEADS", "35, 200, '[]'", 250),
    ("COUNT_BY_TENANT", "", 2 * IN_PROGRESS as u64),
    ("COUNTED_RUNS", "", 2 * IN_PROGRESS as u64),
    ("RUNS_IN_PROGRESS", "10000", 4 * IN_PROGRESS as u64),
    ("FIRST_IN_QUEUE", "'t1', 100", 1_000),
    ("RUNS_AHEAD", "'t1', 'r1000040', 1000", 100),
];

fn statement(name: &str) -> &'static Sql {
    all_statements().find(|sql| sql.name == name).unwrap()
}

/// `count` runs that wait: three tenants of three lanes each.
fn queue_of(count: u32) -> String {
    format!(
        "WITH RECURSIVE numbers(i) AS
             (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < {count})
         INSERT INTO live_run (tenant, run, status, epoch, seq, beat, priority, queued_at,
                               cancel_requested, lane, tags)
         SELECT 't' || CAST(i % 3 AS TEXT), 'r' || CAST(1000000 + i AS TEXT),
                CASE WHEN i <= {IN_PROGRESS} THEN 'STARTED' ELSE 'QUEUED' END, 0, -1, 0, 0, i,
                FALSE, '5000000000-' || CAST(i / 3 % 3 AS TEXT), '{{}}'
         FROM numbers;
         INSERT INTO slot (tenant, run, step, attempt, epoch, pool, slots, priority, asked_at,
                           granted, hold)
         SELECT tenant, run, 'a', 1, 1, 'p', 1, 0, queued_at, FALSE, NULL
         FROM live_run WHERE queued_at <= {count} / 10"
    )
}

/// `count` partitions of each of ten assets that were made, once each.
fn made(count: u32) -> String {
    format!(
        "WITH RECURSIVE numbers(i) AS
             (SELECT 0 UNION ALL SELECT i + 1 FROM numbers WHERE i + 1 < {count} * 10)
         INSERT INTO partition_state (tenant, asset, partition_key, state, run, at,
                                      materialized_at)
         SELECT 't1', 'a' || CAST(i % 10 AS TEXT), 'p' || CAST(i / 10 AS TEXT), 'MATERIALIZED',
                'r' || CAST(i AS TEXT), i, i
         FROM numbers;
         INSERT INTO materialization (tenant, asset, partition_key, run, step, at, metadata,
                                      code_version)
         SELECT tenant, asset, partition_key, run, 's', at, '{{}}', '1' FROM partition_state"
    )
}

/// `count` runs of one tenant that are over, each with one label.
fn history(count: u32) -> String {
    format!(
        "WITH RECURSIVE numbers(i) AS
             (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < {count})
         INSERT INTO run (tenant, id, location, title, status, cause, tags, context, plan_hash,
                          queued_at, steps_total, steps_done)
         SELECT 't1', 'r' || CAST(1000000 + i AS TEXT), 'l', 't', 'SUCCESS', '{{}}',
                '{{\"a\":\"c\"}}', '{{}}', 'h', i, 1, 1
         FROM numbers"
    )
}

/// The last run of `count` that is searched.
fn last_searched(count: u32) -> String {
    format!("r{}", 1_000_000 + count - 9_999)
}

/// Twenty partitions of each of the ten assets.
fn asked() -> String {
    let pairs = (0..200).map(|i| format!("[\"a{}\",\"p{}\"]", i % 10, i / 10));
    format!("[{}]", pairs.collect::<Vec<_>>().join(","))
}

async fn the_rows_that_a_pass_reads_do_not_grow_with_the_runs_that_wait(db: Db) {
    let admin = db.admin().await;
    admin.batch_execute(&queue_of(LONG)).await.unwrap();
    admin.batch_execute("ANALYZE live_run; ANALYZE slot").await.unwrap();
    for (name, params, most) in PASS {
        let types = match name {
            "LANE_HEADS" => "(BIGINT, BIGINT, TEXT)",
            "RUNS_AHEAD" => "(TEXT, TEXT, BIGINT)",
            _ => "",
        };
        check(&admin, (name, types, params), most).await;
    }
}

async fn the_rows_that_a_launch_reads_do_not_grow_with_what_was_made(db: Db) {
    let admin = db.admin().await;
    admin.batch_execute(&made(LONG / 10)).await.unwrap();
    admin.batch_execute("ANALYZE partition_state; ANALYZE materialization").await.unwrap();
    let (name, params, most) = LAUNCH;
    let params = params.replace("$json$", &format!("'{}'", asked()));
    check(&admin, (name, "(TEXT, TEXT)", &params), most).await;
}

async fn the_rows_that_a_search_for_a_label_reads_do_not_grow_with_the_history(db: Db) {
    let admin = db.admin().await;
    admin.batch_execute(&history(LONG)).await.unwrap();
    admin.batch_execute("VACUUM ANALYZE run").await.unwrap();
    for (name, params, most) in SEARCH {
        let types = match name {
            "RUN_BEHIND" => "(TEXT, TEXT, BIGINT)",
            _ => "(TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, BIGINT, TEXT)",
        };
        let params = params.replace("$last$", &last_searched(LONG));
        check(&admin, (name, types, &params), most).await;
    }
}

/// Asks a statement, and counts the rows that it reads.
async fn check(
    admin: &tokio_postgres::Client,
    (name, types, params): (&str, &str, &str),
    most: u64,
) {
    let text = statement(name).on_postgres();
    admin.batch_execute(&format!("PREPARE {name} {types} AS {text}")).await.unwrap();
    let params = if params.is_empty() { String::new() } else { format!("({params})") };
    let asked = format!("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) EXECUTE {name} {params}");
    let answer = admin.simple_query(&asked).await.unwrap();
    let plan = answer.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    let plan: Value = serde_json::from_str(plan.unwrap()).unwrap();
    let read = rows_read(&plan[0]["Plan"]);
    assert!(read <= most, "{name} reads {read} rows: {plan:#}");
}

/// The rows that a plan's scans of tables have read.
fn rows_read(plan: &Value) -> u64 {
    let below = plan["Plans"].as_array().into_iter().flatten().map(rows_read).sum::<u64>();
    if plan.get("Relation Name").is_none() {
        return below;
    }
    let count = |key: &str| plan[key].as_f64().unwrap_or_default();
    let rows = count("Actual Rows") + count("Rows Removed by Filter");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    let rows = (rows * count("Actual Loops")).ceil() as u64;
    below + rows
}

/// A database in a file, with the schema of a store.
fn sqlite() -> (TempDir, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    drop(Store::open_sqlite(&path).unwrap());
    (folder, Connection::open(path).unwrap())
}

/// The steps that a statement takes.
fn steps(connection: &Connection, name: &str, params: &[&str]) -> i32 {
    let mut asked = connection.prepare(&statement(name).on_sqlite()).unwrap();
    // What is not bound is null.
    for (place, param) in (1..).zip(params).filter(|(_, param)| **param != "NULL") {
        asked.raw_bind_parameter(place, param.trim_matches('\'')).unwrap();
    }
    let mut rows = asked.raw_query();
    while rows.next().unwrap().is_some() {}
    drop(rows);
    asked.get_status(StatementStatus::VmStep)
}

#[test]
fn the_steps_that_a_pass_takes_on_sqlite_do_not_grow_with_the_runs_that_wait() {
    let steps_with = |count: u32| -> Vec<i32> {
        let (_folder, connection) = sqlite();
        connection.execute_batch(&queue_of(count)).unwrap();
        let split = |params: &'static str| params.split(", ").filter(|param| !param.is_empty());
        let all = PASS.iter();
        all.map(|(name, params, _)| steps(&connection, name, &split(params).collect::<Vec<_>>()))
            .collect()
    };
    let (short, long) = (steps_with(LONG / 20), steps_with(LONG));
    for (((name, ..), short), long) in PASS.iter().zip(short).zip(long) {
        assert!(long <= short + short / 10, "{name} takes {long} steps instead of {short}");
    }
}

#[test]
fn the_steps_that_a_search_for_a_label_takes_on_sqlite_do_not_grow_with_the_history() {
    let steps_with = |count: u32| -> Vec<i32> {
        let (_folder, connection) = sqlite();
        connection.execute_batch(&history(count)).unwrap();
        let last = last_searched(count);
        let all = SEARCH.iter().map(|(name, params, _)| {
            let params = params.replace("$last$", &last);
            steps(&connection, name, &params.split(", ").collect::<Vec<_>>())
        });
        all.collect()
    };
    let (short, long) = (steps_with(LONG / 5), steps_with(LONG));
    for (((name, ..), short), long) in SEARCH.iter().zip(short).zip(long) {
        assert!(long <= short + short / 10, "{name} takes {long} steps instead of {short}");
    }
}

#[test]
fn the_steps_that_a_launch_takes_on_sqlite_do_not_grow_with_what_was_made() {
    let steps_with = |count: u32| {
        let (_folder, connection) = sqlite();
        connection.execute_batch(&made(count)).unwrap();
        steps(&connection, LAUNCH.0, &["t1", &asked()])
    };
    let (short, long) = (steps_with(LONG / 200), steps_with(LONG / 10));
    assert!(long <= short + short / 10, "{} takes {long} steps instead of {short}", LAUNCH.0);
}

#[test]
fn a_statement_that_changes_the_rows_it_is_given_finds_each_by_its_key() {
    let (_folder, connection) = sqlite();
    let changing = all_statements().filter(|sql| {
        let text = sql.text;
        text.contains("/*rows") && text.contains("UPDATE") && !text.contains("INSERT")
    });
    let mut seen = 0;
    for sql in changing {
        let mut asked =
            connection.prepare(&format!("EXPLAIN QUERY PLAN {}", sql.on_sqlite())).unwrap();
        let plan: Vec<String> =
            asked.raw_query().mapped(|row| row.get(3)).map(Result::unwrap).collect();
        // Without a list of their own the rows were read from their text again for each row of
        // the table: 13 s for 500 of 10,000 schedules.
        let by_key = |line: &String| line.starts_with("SEARCH") && line.matches("=?").count() > 1;
        assert!(plan.iter().any(by_key), "{}: {plan:#?}", sql.name);
        assert!(!plan.iter().any(|line| line.starts_with("SCAN tick_source")), "{plan:#?}");
        assert!(!plan.iter().any(|line| line.starts_with("SCAN live_run")), "{plan:#?}");
        seen += 1;
    }
    assert!(seen >= 4);
}
