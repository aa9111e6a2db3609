//! What statements cost, by counts: the rows that they read and the steps that they take, not time.

use millstream_store::{Sql, Store, all_statements};
use rusqlite::{Connection, StatementStatus};
use serde_json::Value;
use tempfile::TempDir;
use tokio_postgres::Client;

use crate::databases::{Db, Role};
use crate::on_postgres;

on_postgres! {
    the_rows_that_a_pass_reads_do_not_grow_with_the_runs_that_wait,
    what_was_planned_for_an_empty_queue_reads_no_more_of_a_long_one,
    what_was_planned_for_a_queue_that_was_counted_at_one_run_reads_no_more_of_a_long_one,
    what_was_planned_for_an_empty_log_reads_no_more_of_a_long_one,
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

/// What a pass writes: the statement, its parameters with a list of 35 runs of the front, and the
/// most rows that it may read: the runs where the list finds them, where they are read and where
/// they are written, and the lease.
const CHANGES: [(&str, &str, u64); 3] = [
    ("CLAIM_QUEUED_RUNS", "$runs$, 'd', 1", 106),
    ("SET_HOLDS", "$runs$", 105),
    ("SET_LANES", "$runs$", 105),
];

/// What a sensor asks about the last hundred batches of the log.
const NEWS: (&str, &str, u64) = ("NEWS", "'t1', 10000, 9900, '', 0, 0, '%', '%', '%', 50", 202);

/// What readers of the log ask about its last hundred batches, and a sensor about their runs.
const LOG: [(&str, &str, u64); 2] = [
    ("EVENTS_AFTER", "'[\"t1\"]', 9900, 10000", 200),
    ("RUNS_WITH_CONTEXT", "'t1', '[\"r1000001\",\"r1000002\"]'", 4),
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

/// A published batch with one event of one tenant's for each of `count` runs.
fn log(count: u32) -> String {
    format!(
        "INSERT INTO event_batch (tenant, id, position)
         SELECT 't1', 'b' || CAST(i AS TEXT), i FROM generate_series(1, {count}) AS i;
         INSERT INTO event (tenant, run, epoch, seq, batch, at, body)
         SELECT 't1', 'r' || CAST(1000000 + i AS TEXT), 1, 1, 'b' || CAST(i AS TEXT), i, '{{}}'
         FROM generate_series(1, {count}) AS i"
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

/// Runs of the front, as the lists of statements are written, with a third text that some take.
fn front() -> String {
    let runs = (1..=35).map(|i| {
        let i = IN_PROGRESS + i;
        format!("[\"t{}\",\"r{}\",\"{{}}\"]", i % 3, 1_000_000 + i)
    });
    format!("'[{}]'", runs.collect::<Vec<_>>().join(","))
}

/// All that a pass asks and writes.
fn pass() -> impl Iterator<Item = Cost> {
    let runs = front();
    let all = PASS.into_iter().chain(CHANGES);
    all.map(move |(name, params, most)| (name, params.replace("$runs$", &runs), most))
}

/// The queue's lease, without which nothing is claimed; and no statistics but those that are asked
/// for.
const PREPARED: &str = "
    ALTER TABLE live_run SET (autovacuum_enabled = FALSE);
    ALTER TABLE slot SET (autovacuum_enabled = FALSE);
    INSERT INTO lease (name, holder, fence, beat) VALUES ('queue', 'd', 1, 0)";

async fn the_rows_that_a_pass_reads_do_not_grow_with_the_runs_that_wait(db: Db) {
    let admin = db.admin().await;
    admin.batch_execute(PREPARED).await.unwrap();
    admin.batch_execute(&queue_of(LONG)).await.unwrap();
    admin.batch_execute("ANALYZE live_run; ANALYZE slot").await.unwrap();
    for (name, params, most) in pass() {
        let client = asking(&db, name).await;
        prepare(&client, name, &params).await;
        check(&client, (name, &params), most).await;
    }
}

async fn what_was_planned_for_an_empty_queue_reads_no_more_of_a_long_one(db: Db) {
    let admin = db.admin().await;
    admin.batch_execute(PREPARED).await.unwrap();
    check_as_planned_before(&db, &admin).await;
}

async fn what_was_planned_for_a_queue_that_was_counted_at_one_run_reads_no_more_of_a_long_one(
    db: Db,
) {
    let admin = db.admin().await;
    admin.batch_execute(PREPARED).await.unwrap();
    let one = "INSERT INTO live_run (tenant, run, status, epoch, seq, beat, priority, queued_at,
                                     cancel_requested)
               VALUES ('t1', 'r1', 'STARTED', 1, 0, 0, 0, 0, FALSE)";
    admin.batch_execute(one).await.unwrap();
    admin.batch_execute("VACUUM ANALYZE live_run").await.unwrap();
    admin.batch_execute("VACUUM ANALYZE slot").await.unwrap();
    check_as_planned_before(&db, &admin).await;
}

/// Plans all that a pass asks and writes, and then runs it on a long queue.
async fn check_as_planned_before(db: &Db, admin: &Client) {
    let planned = planned(db, pass()).await;
    admin.batch_execute(&queue_of(LONG)).await.unwrap();
    for (client, name, params, most) in planned {
        check(&client, (name, &params), most).await;
    }
}

/// A statement with its parameters and the most rows that it may read.
type Cost = (&'static str, String, u64);

/// Plans statements, each on a connection of its own that keeps to what it has planned.
async fn planned(
    db: &Db,
    costs: impl IntoIterator<Item = Cost>,
) -> Vec<(Client, &'static str, String, u64)> {
    let mut planned = Vec::new();
    for (name, params, most) in costs {
        let client = asking(db, name).await;
        client.batch_execute("SET plan_cache_mode = force_generic_plan").await.unwrap();
        prepare(&client, name, &params).await;
        client.batch_execute(&format!("EXPLAIN {}", execute(name, &params))).await.unwrap();
        planned.push((client, name, params, most));
    }
    planned
}

async fn what_was_planned_for_an_empty_log_reads_no_more_of_a_long_one(db: Db) {
    let admin = db.admin().await;
    let tables = ["event", "event_batch", "run", "live_run"];
    let unwatched = tables.map(|it| format!("ALTER TABLE {it} SET (autovacuum_enabled = FALSE)"));
    admin.batch_execute(&unwatched.join(";")).await.unwrap();
    let planned =
        planned(&db, LOG.map(|(name, params, most)| (name, params.to_owned(), most))).await;
    admin.batch_execute(&log(LONG / 10)).await.unwrap();
    admin.batch_execute(&history(LONG / 10)).await.unwrap();
    admin.batch_execute(&queue_of(LONG / 10)).await.unwrap();
    for (client, name, params, most) in planned {
        check(&client, (name, &params), most).await;
    }
    admin.batch_execute("ANALYZE event; ANALYZE event_batch").await.unwrap();
    let (name, params, most) = NEWS;
    let client = asking(&db, name).await;
    prepare(&client, name, params).await;
    check(&client, (name, params), most).await;
}

async fn the_rows_that_a_launch_reads_do_not_grow_with_what_was_made(db: Db) {
    let admin = db.admin().await;
    admin.batch_execute(&made(LONG / 10)).await.unwrap();
    admin.batch_execute("ANALYZE partition_state; ANALYZE materialization").await.unwrap();
    let (name, params, most) = LAUNCH;
    let params = params.replace("$json$", &format!("'{}'", asked()));
    let client = asking(&db, name).await;
    prepare(&client, name, &params).await;
    check(&client, (name, &params), most).await;
}

async fn the_rows_that_a_search_for_a_label_reads_do_not_grow_with_the_history(db: Db) {
    let admin = db.admin().await;
    admin.batch_execute(&history(LONG)).await.unwrap();
    admin.batch_execute("VACUUM ANALYZE run").await.unwrap();
    for (name, params, most) in SEARCH {
        let params = params.replace("$last$", &last_searched(LONG));
        let client = asking(&db, name).await;
        prepare(&client, name, &params).await;
        check(&client, (name, &params), most).await;
    }
}

/// A connection on which a statement is run as the store runs it.
async fn asking(db: &Db, name: &str) -> Client {
    let role = match name {
        "LANE_HEADS" | "COUNT_BY_TENANT" | "COUNTED_RUNS" | "RUNS_IN_PROGRESS" => Role::Daemon,
        _ if CHANGES.iter().any(|(change, ..)| *change == name) => Role::Daemon,
        _ => Role::Tenant("t1"),
    };
    db.asking(role).await
}

async fn prepare(client: &Client, name: &str, params: &str) {
    let types = match name {
        "LANE_HEADS" => "(BIGINT, BIGINT, TEXT)",
        "RUNS_AHEAD" | "RUN_BEHIND" | "CLAIM_QUEUED_RUNS" => "(TEXT, TEXT, BIGINT)",
        "PARTITION_VERSIONS" | "RUNS_WITH_CONTEXT" => "(TEXT, TEXT)",
        "EVENTS_AFTER" => "(TEXT, BIGINT, BIGINT)",
        "NEWS" => "(TEXT, BIGINT, BIGINT, TEXT, BIGINT, BIGINT, TEXT, TEXT, TEXT, BIGINT)",
        "RUN_LIST" => "(TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, BIGINT, TEXT)",
        "FIRST_IN_QUEUE" => "(TEXT, BIGINT)",
        _ if params.is_empty() => "",
        "RUNS_IN_PROGRESS" => "(BIGINT)",
        _ => "(TEXT)",
    };
    let text = statement(name).on_postgres();
    client.batch_execute(&format!("PREPARE {name} {types} AS {text}")).await.unwrap();
}

fn execute(name: &str, params: &str) -> String {
    let params = if params.is_empty() { String::new() } else { format!("({params})") };
    format!("EXECUTE {name} {params}")
}

/// Runs a statement that was prepared, counts the rows that it reads, and takes back what it wrote.
async fn check(client: &Client, (name, params): (&str, &str), most: u64) {
    let asked = format!("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {}", execute(name, params));
    client.batch_execute("BEGIN").await.unwrap();
    let answer = client.simple_query(&asked).await.unwrap();
    client.batch_execute("ROLLBACK").await.unwrap();
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
