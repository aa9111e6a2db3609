//! Opening: the settings of each connection, and the schema.

use std::path::Path;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::execute::unavailable;
use crate::dialect::Dialect;
use crate::migrate::{self, CREATE_MIGRATION_TABLE, MIGRATIONS, Witness};
use crate::{SchemaState, StoreError};

/// The oldest SQLite without the bug that can corrupt a WAL database under two writers.
const SQLITE_MIN: i32 = 3_051_003;

/// How many prepared statements a connection keeps.
const STATEMENTS_KEPT: usize = 200;

/// The one connection that writes.
pub(super) fn writer(path: &Path) -> Result<Connection, StoreError> {
    if rusqlite::version_number() < SQLITE_MIN {
        return Err(StoreError::Unavailable(format!(
            "SQLite {} can corrupt a database in WAL mode; 3.51.3 or newer is needed",
            rusqlite::version()
        )));
    }
    let connection = Connection::open(path).map_err(unavailable)?;
    set_up(&connection, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")?;
    Ok(connection)
}

/// A connection that only reads.
pub(super) fn reader(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(path).map_err(unavailable)?;
    set_up(&connection, "PRAGMA query_only = TRUE;")?;
    Ok(connection)
}

/// A database in memory.
pub(super) fn memory() -> Result<Connection, StoreError> {
    let connection = Connection::open_in_memory().map_err(unavailable)?;
    set_up(&connection, "")?;
    Ok(connection)
}

fn set_up(connection: &Connection, more: &str) -> Result<(), StoreError> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    // A statement's plan is made once. Without this, SQLite makes it again after each binding of a
    // `LIMIT` and of what might match the condition of a partial index: most of what is read and
    // written here, and 100 µs each time.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(unavailable)?;
    connection
        .execute_batch(&format!("PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON; {more}"))
        .map_err(unavailable)
}

/// Gives every lease free: whoever held one was a process that owned this file, and that is over.
///
/// The fences go up, so that nothing a former holder left behind can pass for the next one's.
pub(super) fn release_leases(connection: &Connection) -> Result<(), StoreError> {
    connection.execute_batch("UPDATE lease SET holder = '', fence = fence + 1").map_err(unavailable)
}

/// Brings the schema up to date; an embedded database has one owner, so nobody can be in between.
pub(super) fn migrate(connection: &mut Connection, witness: Witness<'_>) -> Result<(), StoreError> {
    connection.execute_batch(CREATE_MIGRATION_TABLE).map_err(unavailable)?;
    let applied = applied(connection).map_err(unavailable)?;
    let found = match migrate::state(&applied, Dialect::Sqlite)? {
        SchemaState::Current => return Ok(()),
        SchemaState::Ahead { found } => return Err(migrate::too_new(found)),
        SchemaState::Behind { found } => found,
    };
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > found) {
        let transaction = connection.transaction().map_err(unavailable)?;
        transaction.execute_batch(&migration.sql(Dialect::Sqlite)).map_err(unavailable)?;
        transaction
            .execute(
                "INSERT INTO migration (version, name, checksum) VALUES (?1, ?2, ?3)",
                (migration.version, migration.name, migration.checksum(Dialect::Sqlite)),
            )
            .map_err(unavailable)?;
        witness(migration.name);
        transaction.commit().map_err(unavailable)?;
    }
    Ok(())
}

fn applied(connection: &Connection) -> rusqlite::Result<Vec<(i64, String)>> {
    connection
        .prepare("SELECT version, checksum FROM migration ORDER BY version")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_planned_once_whatever_is_bound_to_it() {
        let mut connection = memory().unwrap();
        migrate(&mut connection, &|_| ()).unwrap();
        let text = "SELECT run FROM live_run WHERE status = ?1 LIMIT ?2";
        for limit in 0..3 {
            let mut statement = connection.prepare_cached(text).unwrap();
            let mut rows = statement.query(("QUEUED", limit)).unwrap();
            assert!(rows.next().unwrap().is_none());
        }
        let statement = connection.prepare_cached(text).unwrap();
        assert_eq!(statement.get_status(rusqlite::StatementStatus::RePrepare), 0);
    }

    /// A database as the program that knew the migrations up to `version` has left it.
    fn left_at(version: i64) -> Connection {
        let connection = memory().unwrap();
        connection.execute_batch(CREATE_MIGRATION_TABLE).unwrap();
        for migration in MIGRATIONS.iter().filter(|migration| migration.version <= version) {
            connection.execute_batch(&migration.sql(Dialect::Sqlite)).unwrap();
            let row = (migration.version, migration.name, migration.checksum(Dialect::Sqlite));
            let insert = "INSERT INTO migration (version, name, checksum) VALUES (?1, ?2, ?3)";
            connection.execute(insert, row).unwrap();
        }
        connection
    }

    #[test]
    fn what_tables_hold_that_are_made_anew_is_still_there() {
        let mut connection = left_at(7);
        let batches = "INSERT INTO event_batch (tenant, id, position)
                       VALUES ('a', 'two', 2), ('a', 'one', 1), ('b', 'one', 3)";
        connection.execute_batch(batches).unwrap();
        let events = "INSERT INTO event (tenant, run, epoch, seq, batch, at, body)
                      VALUES ('a', 'r', 1, 1, 'one', 7, ''), ('a', 'r', 1, 2, 'two', 7, ''),
                             ('a', 'r', 1, 3, 'two', 7, ''), ('b', 'r', 1, 1, 'one', 7, '')";
        connection.execute_batch(events).unwrap();
        let steps = "INSERT INTO step (tenant, run, step, status, attempt, started_at, error)
                     VALUES ('a', 'r', 'load', 'FAILURE', 2, 7, '{}')";
        connection.execute_batch(steps).unwrap();

        migrate(&mut connection, &|_| ()).unwrap();

        let positions = "SELECT group_concat(tenant || seq || '.' || batch || '=' || position, ' ')
                         FROM (SELECT * FROM event ORDER BY position, seq)";
        let positions: String = connection.query_row(positions, [], |row| row.get(0)).unwrap();
        assert_eq!(positions, "a1.one=1 a2.two=2 a3.two=2 b1.one=3");
        let step = "SELECT run || step || status || attempt || started_at || error FROM step";
        let step: String = connection.query_row(step, [], |row| row.get(0)).unwrap();
        assert_eq!(step, "rloadFAILURE27{}");
    }

    #[test]
    fn events_are_placed_by_position_and_within_a_batch_by_run_and_number() {
        let mut connection = left_at(17);
        let events = "INSERT INTO event (tenant, run, epoch, seq, batch, at, body, position)
                      VALUES ('a', 's', 1, 2, 'two', 7, '', 2), ('a', 's', 1, 1, 'two', 7, '', 2),
                             ('a', 'r', 2, 0, 'two', 7, '', 2), ('a', 'r', 1, 0, 'one', 7, '', 1),
                             ('b', 't', 1, 0, 'new', 7, '', NULL)";
        connection.execute_batch(events).unwrap();
        migrate(&mut connection, &|_| ()).unwrap();
        let places =
            "SELECT group_concat(run || seq || '=' || position || '.' || (place & 1048575),
                                          ' ') FROM (SELECT * FROM event ORDER BY place)";
        let places: String = connection.query_row(places, [], |row| row.get(0)).unwrap();
        assert_eq!(places, "r0=1.0 r0=2.0 s1=2.1 s2=2.2 t0=3.0");
    }
}
