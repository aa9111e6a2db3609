//! What statements cost, by counts: the rows that they read and the steps that they take, not time.

use millstream_store::{Sql, Store, all_statements};
use rusqlite::{Connection, StatementStatus};
use serde_json::Value;
use tempfile::TempDir;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::databases::{Db, Role};
use crate::on_postgres;

on_postgres! {
    the_rows_that_a_pass_reads_do_not_grow_with_the_runs_that_wait,
    what_was_planned_for_an_empty_queue_reads_no_more_of_a_long_one,
    what_was_planned_for_a_queue_that_was_counted_at_one_run_reads_no_more_of_a_long_one,
    the_rows_that_a_move_of_schedules_reads_do_not_grow_with_the_schedules,
    the_rows_that_a_retry_reads_do_not_grow_with_the_runs_of_schedules,
    what_was_planned_for_an_empty_log_reads_no_more_of_a_long_one,
    the_rows_that_a_launch_reads_do_not_grow_with_what_was_made,
    the_rows_that_a_search_for_a_label_reads_do_not_grow_with_the_history,
    the_rows_that_a_list_of_dead_letters_reads_do_not_grow_with_those_there_are,
}

/// Runs that wait in a long queue.
const LONG: u32 = 100_000;

/// Runs in progress beside it.
const IN_PROGRESS: u32 = 35;

/// What is asked of the database, and what it may cost.
#[derive(Debug, Clone, Copy)]
struct Asked {
    /// The statement.
    name: &'static str,
    /// Its parameters as SQL.
    params: &'static str,
    /// The rows that it answers with, or changes.
    answers: u64,
    /// The most rows, and lookups that find none, that its plan may come by.
    rows: u64,
    /// The most pages that it may look at: entries of an index that are passed over count nowhere
    /// else.
    pages: u64,
}

const fn asked(
    (name, params): (&'static str, &'static str),
    answers: u64,
    rows: u64,
    pages: u64,
) -> Asked {
    Asked { name, params, answers, rows, pages }
}

/// What a launch of 200 partitioned assets asks of the past of their partitions.
const LAUNCH: Asked = asked(("PARTITION_VERSIONS", "'t1', $json$"), 200, 2 * 200, 2_000);

/// What a list asks that no run has the label of: how far it searches, and the runs until there.
const SEARCH: [Asked; 2] = [
    asked(("RUN_BEHIND", "'t1', 'z', 9999"), 1, 10_001, 250),
    asked(
        ("RUN_LIST", "'[\"t1\"]', 'z', NULL, NULL, NULL, ',\"a\":\"b\"', 50, '$last$'"),
        0,
        10_001,
        300,
    ),
];

/// What a list of dead letters asks: its first page, and one amid them.
const LETTERS: [Asked; 2] = [
    asked(("DEAD_LETTERS", "'t1', NULL, 'all', 50"), 50, 102, 300),
    asked(("DEAD_LETTERS", "'t1', 'r1002000', 'all', 50"), 50, 103, 300),
];

/// What a pass asks.
///
/// The queue has nine lanes; a pass looks at one run more of each than it needs, and finds where
/// each lane ends.
///
/// And what a page of a run asks that is near the front: its place.
const PASS: [Asked; 6] = [
    asked(("LANE_HEADS", "35, 200, '[]'"), 36, 100, 200),
    asked(("COUNT_BY_TENANT", ""), 3, IN_PROGRESS as u64 + 1, 10),
    asked(("COUNTED_RUNS", ""), 35, IN_PROGRESS as u64 + 2, 10),
    asked(("RUNS_IN_PROGRESS", "10000"), 35, 2 * IN_PROGRESS as u64 + 2, 150),
    asked(("FIRST_IN_QUEUE", "'t1', 100"), 100, 700, 250),
    asked(("RUNS_AHEAD", "'t1', 'r1000040', 1000"), 1, 10, 50),
];

/// What a pass writes, with a list of 35 runs of the front: where the list finds them, where they
/// are read and where they are written, and the lease.
const CHANGES: [Asked; 6] = [
    asked(("LIVE_AMONG", "$runs$"), 35, 70, 300),
    asked(("CLAIM_QUEUED_RUNS", "$runs$, 'd', 1"), 35, 72, 600),
    asked(("SET_HOLDS", "$runs$"), 35, 70, 800),
    asked(("SET_LANES", "$runs$"), 35, 70, 900),
    asked(("KEEP_STARTS", "$runs$, 7"), 35, 70, 600),
    asked(("GRANT_SLOTS", "$slots$, 'd', 1"), 35, 72, 500),
];

/// What a pass over the schedules writes of 35 of a tenant's.
const MOVES: Asked = asked(("MOVE_CURSORS", "'t1', $moves$"), 35, 70, 700);

/// And what it does to those if it has lost its lease.
const SOON: Asked = asked(("LOOK_SOON", "$sources$, 'schedules', 'd', 1"), 35, 72, 900);

/// What it asks about 35 that wait for runs to end.
const AHEAD: Asked = asked(("SOURCES_AHEAD", "$sources$, 0"), 35, 70, 300);

/// What a retry of a schedule's run asks and writes.
const RETRY: Asked = asked(("COUNT_RETRY", "'t1', 'r7', 'x'"), 1, 1, 50);

/// What a sensor asks about the last hundred batches of the log: the first that it heeds, and how
/// many there are.
const NEWS: [Asked; 2] = [
    asked(("NEWS", "'t1', 10000, 9900, '', 0, 0, '%', '%', '%', 50"), 50, 102, 250),
    asked(("COUNT_NEWS", "'t1', 10000, 9900, '', 0, 0, '%', '%', '%', 1000"), 1, 202, 450),
];

/// What readers of the log ask about its last hundred batches, and a sensor about their runs.
const LOG: [Asked; 2] = [
    asked(("EVENTS_AFTER", "'[\"t1\"]', 9900, 10000"), 100, 200, 450),
    asked(("RUNS_WITH_CONTEXT", "'t1', '[\"r1000001\",\"r1000002\"]'"), 2, 4, 20),
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

/// The same, each with a dead letter; the oldest was given up last.
fn letters(count: u32) -> String {
    let letters = "INSERT INTO dead_letter (tenant, run, reason, failure, at)
                   SELECT tenant, id, 'r', 'f', -queued_at FROM run";
    format!("{}; {letters}", history(count))
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
fn partitions() -> String {
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

/// What steps of these runs wait for.
fn slots() -> String {
    front().replace("{}", "a")
}

/// Moves of the first 35 schedules, as the list of the statement is written.
fn moves() -> String {
    let row = |i| format!("[\"schedule\",\"l\",\"s{i}\",\"v\",{i},{},null,true]", i + 1);
    let moves = (1..=35).map(row);
    format!("'[{}]'", moves.collect::<Vec<_>>().join(","))
}

/// The first 35 schedules, as the list of the statement is written.
fn sources() -> String {
    let sources = (1..=35).map(|i| format!("[\"t1\",\"schedule\",\"l\",\"s{i}\"]"));
    format!("'[{}]'", sources.collect::<Vec<_>>().join(","))
}

/// `count` schedules of one tenant.
fn schedules(count: u32) -> String {
    format!(
        "INSERT INTO tick_source (tenant, kind, location, name, version, timing, cursor_at,
                                  next_due, default_on)
         SELECT 't1', 'schedule', 'l', 's' || CAST(i AS TEXT), 1, 'v', i, i + 1, TRUE
         FROM generate_series(1, {count}) AS i"
    )
}

/// `count` runs that ticks of one schedule have requested.
fn tick_runs(count: u32) -> String {
    format!(
        "WITH RECURSIVE numbers(i) AS
             (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < {count})
         INSERT INTO tick_run (tenant, kind, location, name, run_key, nominal, run)
         SELECT 't1', 'schedule', 'l', 's', 'k' || CAST(i AS TEXT), i, 'r' || CAST(i AS TEXT)
         FROM numbers"
    )
}

/// A statement with its lists in the place of their names.
fn with_lists(asked: Asked) -> (Asked, String) {
    let params = asked.params.replace("$runs$", &front()).replace("$slots$", &slots());
    let params = params.replace("$moves$", &moves()).replace("$last$", &last_searched(LONG));
    let params = params.replace("$sources$", &sources());
    (asked, params.replace("$json$", &format!("'{}'", partitions())))
}

/// All that a pass asks and writes.
fn pass() -> impl Iterator<Item = Asked> {
    PASS.into_iter().chain(CHANGES)
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
    check_all(&db, pass()).await;
}

async fn what_was_planned_for_an_empty_queue_reads_no_more_of_a_long_one(db: Db) {
    let admin = db.admin().await;
    admin.batch_execute(PREPARED).await.unwrap();
    check_as_planned_before(&db, pass(), &queue_of(LONG)).await;
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
    let other = format!("DELETE FROM live_run; {}", queue_of(LONG));
    check_as_planned_before(&db, pass(), &other).await;
}

async fn the_rows_that_a_move_of_schedules_reads_do_not_grow_with_the_schedules(db: Db) {
    let admin = db.admin().await;
    let unwatched = "ALTER TABLE tick_source SET (autovacuum_enabled = FALSE)";
    admin.batch_execute(unwatched).await.unwrap();
    check_as_planned_before(&db, [MOVES, SOON, AHEAD], &schedules(LONG / 10)).await;
    admin.batch_execute("ANALYZE tick_source").await.unwrap();
    check_all(&db, [MOVES, SOON, AHEAD]).await;
}

async fn the_rows_that_a_retry_reads_do_not_grow_with_the_runs_of_schedules(db: Db) {
    let admin = db.admin().await;
    let unwatched = "ALTER TABLE tick_run SET (autovacuum_enabled = FALSE)";
    admin.batch_execute(unwatched).await.unwrap();
    check_as_planned_before(&db, [RETRY], &tick_runs(LONG / 10)).await;
    admin.batch_execute("ANALYZE tick_run").await.unwrap();
    check_all(&db, [RETRY]).await;
}

async fn what_was_planned_for_an_empty_log_reads_no_more_of_a_long_one(db: Db) {
    let admin = db.admin().await;
    let tables = ["event", "event_batch", "run", "live_run"];
    let unwatched = tables.map(|it| format!("ALTER TABLE {it} SET (autovacuum_enabled = FALSE)"));
    admin.batch_execute(&unwatched.join(";")).await.unwrap();
    let count = LONG / 10;
    let filled = [log(count), history(count), queue_of(count)].join(";");
    check_as_planned_before(&db, LOG, &filled).await;
    admin.batch_execute("ANALYZE event; ANALYZE event_batch").await.unwrap();
    check_all(&db, NEWS).await;
}

async fn the_rows_that_a_launch_reads_do_not_grow_with_what_was_made(db: Db) {
    let admin = db.admin().await;
    admin.batch_execute(&made(LONG / 10)).await.unwrap();
    admin.batch_execute("ANALYZE partition_state; ANALYZE materialization").await.unwrap();
    check_all(&db, [LAUNCH]).await;
}

async fn the_rows_that_a_search_for_a_label_reads_do_not_grow_with_the_history(db: Db) {
    let admin = db.admin().await;
    admin.batch_execute(&history(LONG)).await.unwrap();
    admin.batch_execute("VACUUM ANALYZE run").await.unwrap();
    check_all(&db, SEARCH).await;
}

async fn the_rows_that_a_list_of_dead_letters_reads_do_not_grow_with_those_there_are(db: Db) {
    let admin = db.admin().await;
    admin.batch_execute(&letters(LONG / 10)).await.unwrap();
    admin.batch_execute("VACUUM ANALYZE run").await.unwrap();
    admin.batch_execute("VACUUM ANALYZE dead_letter").await.unwrap();
    check_all(&db, LETTERS).await;
}

/// Runs each of `all` on the tables as they are.
async fn check_all(db: &Db, all: impl IntoIterator<Item = Asked>) {
    for (asked, params) in all.into_iter().map(with_lists) {
        let client = asking(db, asked.name).await;
        prepare(&client, asked.name, &params).await;
        check(&client, asked, &params).await;
    }
}

/// Plans all, each on a connection of its own that keeps to what it has planned; and then runs them
/// on tables that `fill` has filled.
async fn check_as_planned_before(db: &Db, all: impl IntoIterator<Item = Asked>, fill: &str) {
    let mut planned = Vec::new();
    for (asked, params) in all.into_iter().map(with_lists) {
        let client = asking(db, asked.name).await;
        client.batch_execute("SET plan_cache_mode = force_generic_plan").await.unwrap();
        prepare(&client, asked.name, &params).await;
        client.batch_execute(&format!("EXPLAIN {}", execute(asked.name, &params))).await.unwrap();
        planned.push((client, asked, params));
    }
    db.admin().await.batch_execute(fill).await.unwrap();
    for (client, asked, params) in planned {
        check(&client, asked, &params).await;
    }
}

/// A connection on which a statement is run as the store runs it.
async fn asking(db: &Db, name: &str) -> Client {
    let role = match name {
        "LANE_HEADS" | "COUNT_BY_TENANT" | "COUNTED_RUNS" | "RUNS_IN_PROGRESS" => Role::Daemon,
        _ if CHANGES.iter().any(|change| change.name == name) => Role::Daemon,
        _ => Role::Tenant("t1"),
    };
    db.asking(role).await
}

async fn prepare(client: &Client, name: &str, params: &str) {
    let types = match name {
        "LANE_HEADS" => "(BIGINT, BIGINT, TEXT)",
        "RUNS_AHEAD" | "RUN_BEHIND" | "CLAIM_QUEUED_RUNS" | "GRANT_SLOTS" => "(TEXT, TEXT, BIGINT)",
        "PARTITION_VERSIONS" | "RUNS_WITH_CONTEXT" | "MOVE_CURSORS" => "(TEXT, TEXT)",
        "EVENTS_AFTER" => "(TEXT, BIGINT, BIGINT)",
        "NEWS" | "COUNT_NEWS" => {
            "(TEXT, BIGINT, BIGINT, TEXT, BIGINT, BIGINT, TEXT, TEXT, TEXT, BIGINT)"
        }
        "LOOK_SOON" | "DEAD_LETTERS" => "(TEXT, TEXT, TEXT, BIGINT)",
        "COUNT_RETRY" => "(TEXT, TEXT, TEXT)",
        "RUN_LIST" => "(TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, BIGINT, TEXT)",
        "FIRST_IN_QUEUE" | "KEEP_STARTS" | "SOURCES_AHEAD" => "(TEXT, BIGINT)",
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

/// Runs a statement that was prepared, and takes back what it wrote: what it has looked at, and
/// what came of it.
async fn check(client: &Client, asked: Asked, params: &str) {
    let run = execute(asked.name, params);
    let explained = format!("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {run}");
    let answer = taken_back(client, asked.name, &explained).await;
    let plan = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    let plan: Value = serde_json::from_str(plan.unwrap()).unwrap();
    let plan = &plan[0]["Plan"];
    let (rows, pages) = (rows_read(plan), pages_read(plan));
    let answer = taken_back(client, asked.name, &run).await;
    let answers = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::CommandComplete(count) => Some(*count),
        _ => None,
    });
    assert_eq!(answers, Some(asked.answers), "{}", asked.name);
    let Asked { name, rows: most, .. } = asked;
    assert!(rows <= most, "{name} reads {rows} rows of {most}: {plan:#}");
    let most = asked.pages;
    assert!(pages <= most, "{name} reads {pages} pages of {most}: {plan:#}");
}

/// What a text answers in a transaction of its own, which is rolled back.
async fn taken_back(client: &Client, name: &str, text: &str) -> Vec<SimpleQueryMessage> {
    client.batch_execute("BEGIN").await.unwrap();
    if name == "KEEP_STARTS" {
        // The runs that were claimed in the same batch.
        let claimed = format!(
            "UPDATE live_run SET status = 'STARTING'
             WHERE (tenant, run) IN (SELECT r ->> 0, r ->> 1 FROM jsonb_array_elements({}) r)",
            front()
        );
        client.batch_execute(&claimed).await.unwrap();
    }
    let answer = client.simple_query(text).await.unwrap();
    client.batch_execute("ROLLBACK").await.unwrap();
    answer
}

/// The rows that a plan's scans of tables have come by, whether they were kept or not; a lookup
/// that has found none counts as one.
fn rows_read(plan: &Value) -> u64 {
    let below = plan["Plans"].as_array().into_iter().flatten().map(rows_read).sum::<u64>();
    if plan.get("Relation Name").is_none() || plan["Node Type"] == "ModifyTable" {
        return below;
    }
    let count = |key: &str| plan[key].as_f64().unwrap_or_default();
    let dropped = count("Rows Removed by Filter") + count("Rows Removed by Index Recheck");
    // The server tells the average of its loops.
    let rows = (count("Actual Rows") + dropped).max(1.0) * count("Actual Loops");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    let rows = rows.ceil() as u64;
    below + rows
}

/// The pages that a plan has looked at, of tables and indexes.
fn pages_read(plan: &Value) -> u64 {
    let count = |key: &str| plan[key].as_u64().unwrap_or_default();
    count("Shared Hit Blocks") + count("Shared Read Blocks")
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
        all.map(|it| steps(&connection, it.name, &split(it.params).collect::<Vec<_>>())).collect()
    };
    let (short, long) = (steps_with(LONG / 20), steps_with(LONG));
    for ((Asked { name, .. }, short), long) in PASS.iter().zip(short).zip(long) {
        assert!(long <= short + short / 10, "{name} takes {long} steps instead of {short}");
    }
}

#[test]
fn the_steps_that_a_search_for_a_label_takes_on_sqlite_do_not_grow_with_the_history() {
    let steps_with = |count: u32| -> Vec<i32> {
        let (_folder, connection) = sqlite();
        connection.execute_batch(&history(count)).unwrap();
        let last = last_searched(count);
        let all = SEARCH.iter().map(|it| {
            let params = it.params.replace("$last$", &last);
            steps(&connection, it.name, &params.split(", ").collect::<Vec<_>>())
        });
        all.collect()
    };
    let (short, long) = (steps_with(LONG / 5), steps_with(LONG));
    for ((Asked { name, .. }, short), long) in SEARCH.iter().zip(short).zip(long) {
        assert!(long <= short + short / 10, "{name} takes {long} steps instead of {short}");
    }
}

#[test]
fn the_steps_that_a_list_of_dead_letters_takes_on_sqlite_do_not_grow_with_those_there_are() {
    let steps_with = |count: u32| {
        let (_folder, connection) = sqlite();
        connection.execute_batch(&letters(count)).unwrap();
        LETTERS.map(|it| steps(&connection, it.name, &it.params.split(", ").collect::<Vec<_>>()))
    };
    let (short, long) = (steps_with(LONG / 20), steps_with(LONG / 5));
    for (short, long) in short.into_iter().zip(long) {
        assert!(long <= short + short / 10, "{long} steps instead of {short}");
    }
}

#[test]
fn the_steps_that_a_reader_of_the_log_takes_on_sqlite_do_not_grow_with_the_log() {
    let steps_with = |count: u32| -> Vec<i32> {
        let (_folder, connection) = sqlite();
        let log = format!(
            "WITH RECURSIVE numbers(i) AS
                 (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < {count})
             INSERT INTO event (place, tenant, run, epoch, seq, batch, at, body)
             SELECT i << 20, 't1', 'r' || CAST(1000000 + i AS TEXT), 1, 1,
                    'b' || CAST(i AS TEXT), i, '{{}}'
             FROM numbers"
        );
        connection.execute_batch(&log).unwrap();
        let (from, upto) = ((count - 5).to_string(), count.to_string());
        let news = ["t1", &upto, &from, "", "0", "0", "%", "", "", "10"];
        // Whoever reads from the beginning reads what it asks for, and sorts nothing.
        let first_news = ["t1", &upto, "0", "", "0", "0", "%", "", "", "10"];
        [
            steps(&connection, "EVENTS_AFTER", &["[\"t1\"]", &from, &upto]),
            steps(&connection, "BATCH_POSITIONS_AFTER", &["[\"t1\"]", &from, "10"]),
            steps(&connection, "LAST_POSITION", &[]),
            steps(&connection, "NEWS", &news),
            steps(&connection, "COUNT_NEWS", &news),
            steps(&connection, "NEWS", &first_news),
            steps(&connection, "BATCH_POSITIONS_AFTER", &["[\"t1\"]", "0", "10"]),
            // A cursor that somebody has set behind all there is.
            steps(&connection, "BATCH_POSITIONS_AFTER", &["[\"t1\"]", "99999999999999", "10"]),
            steps(&connection, "INSERT_EVENT_BATCH", &["t1", "new"]),
            steps(&connection, "INSERT_EVENT", &["t1", "r", "1", "1", "new", "7", "{}"]),
        ]
        .into()
    };
    let (short, long) = (steps_with(LONG / 1_000), steps_with(LONG / 10));
    assert!(short.iter().all(|steps| *steps > 10), "{short:?}");
    for (place, (short, long)) in short.into_iter().zip(long).enumerate() {
        assert!(long <= short + short / 10, "{place}: {long} steps instead of {short}");
    }
}

#[test]
fn the_steps_that_a_launch_takes_on_sqlite_do_not_grow_with_what_was_made() {
    let steps_with = |count: u32| {
        let (_folder, connection) = sqlite();
        connection.execute_batch(&made(count)).unwrap();
        steps(&connection, LAUNCH.name, &["t1", &partitions()])
    };
    let (short, long) = (steps_with(LONG / 200), steps_with(LONG / 10));
    assert!(long <= short + short / 10, "{} takes {long} steps instead of {short}", LAUNCH.name);
}

#[test]
fn the_steps_that_a_retry_takes_on_sqlite_do_not_grow_with_the_runs_of_schedules() {
    let steps_with = |count: u32| {
        let (_folder, connection) = sqlite();
        connection.execute_batch(&tick_runs(count)).unwrap();
        steps(&connection, RETRY.name, &["t1", "r7", "x"])
    };
    let (short, long) = (steps_with(LONG / 200), steps_with(LONG / 10));
    assert!(long <= short + short / 10, "{} takes {long} steps instead of {short}", RETRY.name);
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
