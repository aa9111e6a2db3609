//! A SQL step on a SQLite file.
//!
//! Blocking, and meant for a process of its own ([`crate::sql_child`]): a statement runs inside
//! whoever executes it and takes its memory. The file belongs to its users, so nothing about it is
//! set, its journal mode least of all.
//!
//! **Invariant.** Temporary tables are filled before the transaction begins, so that nobody waits
//! for the file while CSV is parsed.

use std::path::Path;
use std::time::{Duration, Instant};

use millstream_model::ResourceDef;
use millstream_model::sql_text::is_blank;
use rusqlite::config::DbConfig;
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::types::{ToSqlOutput, Value as SqliteValue, ValueRef};
use rusqlite::{Batch, Connection, OpenFlags, Statement};
use serde_json::Value;

use crate::columns::endless;
use crate::sql::fill::{Rows, fill};
use crate::sql::guard::Guard;
use crate::sql::request::micros;
use crate::sql::rows::RowsWriter;
use crate::sql::{SqlError, SqlOutcome, SqlRequest};

/// How long a step waits for another writer of the same file.
const BUSY_TIMEOUT: Duration = Duration::from_mins(1);

/// Runs `request` on its SQLite file; its rows are in the file it names when this returns.
///
/// Crash-safe: SQLite undoes what was not committed when the file is next opened.
pub fn run_sqlite(request: &SqlRequest) -> Result<SqlOutcome, SqlError> {
    let started = Instant::now();
    let ResourceDef::Sqlite { path } = &request.resource else {
        return Err(SqlError::WrongResource { wanted: "sqlite" });
    };
    let mut connection = open(Path::new(path), request.read_only)?;
    let mut outcome = SqlOutcome::default();
    for (table, file) in &request.read {
        let rows = if request.emptied.contains(table) { Rows::None } else { Rows::All };
        outcome.notes.extend(fill(&connection, table, file, rows)?);
    }

    let begin = if request.read_only { "BEGIN" } else { "BEGIN IMMEDIATE" };
    connection.execute_batch(begin).map_err(|error| transaction("begin", error))?;
    let guard = Guard::install(&mut connection).map_err(|error| transaction("begin", error))?;
    run_statements(&connection, &guard, request, &mut outcome)?;
    Guard::remove(&mut connection).map_err(|error| transaction("be committed", error))?;
    connection.execute_batch("COMMIT").map_err(|error| transaction("be committed", error))?;

    outcome.took_micros = micros(started);
    Ok(outcome)
}

/// Opens the file at `path`, which is made when it is to be written.
pub(crate) fn open(path: &Path, read_only: bool) -> Result<Connection, SqlError> {
    let failed = |source: Said| SqlError::Open { database: path.display().to_string(), source };
    let mut flags = OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if read_only {
        if !path.exists() {
            return Err(SqlError::DatabaseMissing { path: path.to_owned() });
        }
        flags |= OpenFlags::SQLITE_OPEN_READ_ONLY;
    } else {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| failed(error.into()))?;
        }
        flags |= OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    }
    let connection =
        Connection::open_with_flags(path, flags).map_err(|error| failed(said(error)))?;
    connection
        .busy_timeout(BUSY_TIMEOUT)
        .and_then(|()| connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true))
        .map_err(|error| failed(said(error)))?;
    Ok(connection)
}

fn run_statements(
    connection: &Connection,
    guard: &Guard,
    request: &SqlRequest,
    outcome: &mut SqlOutcome,
) -> Result<(), SqlError> {
    if request.statements.is_empty() {
        return Err(SqlError::NoStatements);
    }
    for (index, text) in request.statements.iter().enumerate() {
        let number = index + 1;
        let is_last = number == request.statements.len();
        if is_blank(text) {
            return Err(SqlError::Empty { number });
        }
        let refused_or = |error| statement_error(number, guard, error);
        let began = Instant::now();
        let before = connection.total_changes();
        let mut statement = connection.prepare(text).map_err(|error| {
            // Of two statements the second may use what only the first makes.
            let is_second = Batch::new(connection, text).next().is_ok();
            refused_or(if is_second { rusqlite::Error::MultipleStatement } else { error })
        })?;
        bind(&mut statement, number, request)?;
        match request.rows.as_deref().filter(|_| is_last) {
            Some(path) => write_rows(&mut statement, number, path, outcome)?,
            None => run_out(&mut statement).map_err(refused_or)?,
        }
        drop(statement);
        // `changes` keeps the number of an earlier statement when this one changes nothing.
        let changed = connection.total_changes() != before;
        outcome.rows_affected.push(if changed { connection.changes() } else { 0 });
        outcome.statement_micros.push(micros(began));
    }
    Ok(())
}

fn bind(
    statement: &mut Statement<'_>,
    number: usize,
    request: &SqlRequest,
) -> Result<(), SqlError> {
    for index in 1..=statement.parameter_count() {
        let written = statement.parameter_name(index).unwrap_or("?").to_owned();
        let Some(name) = written.strip_prefix(':') else {
            return Err(SqlError::NamelessParameter { number, found: written });
        };
        let Some(value) = request.params.get(name) else {
            return Err(SqlError::unknown_parameter(number, name, request.params.keys()));
        };
        statement
            .raw_bind_parameter(index, bound(value))
            .map_err(|source| SqlError::Statement { number, source: said(source) })?;
    }
    Ok(())
}

/// `value` as SQLite takes it; lists and objects become their JSON text.
pub(crate) fn bound(value: &Value) -> ToSqlOutput<'_> {
    match value {
        Value::Null => ToSqlOutput::Owned(SqliteValue::Null),
        Value::Bool(flag) => ToSqlOutput::Owned(SqliteValue::Integer(i64::from(*flag))),
        Value::Number(number) => ToSqlOutput::Owned(match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => SqliteValue::Integer(whole),
            // A whole number beyond SQLite's would lose digits as a real one.
            (None, Some(real)) if number.is_f64() => SqliteValue::Real(real),
            (None, _) => SqliteValue::Text(number.to_string()),
        }),
        Value::String(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        Value::Array(_) | Value::Object(_) => {
            ToSqlOutput::Owned(SqliteValue::Text(value.to_string()))
        }
    }
}

fn run_out(statement: &mut Statement<'_>) -> rusqlite::Result<()> {
    let mut rows = statement.raw_query();
    while rows.next()?.is_some() {}
    Ok(())
}

fn write_rows(
    statement: &mut Statement<'_>,
    number: usize,
    path: &Path,
    outcome: &mut SqlOutcome,
) -> Result<(), SqlError> {
    let failed = |source: rusqlite::Error| SqlError::Statement { number, source: said(source) };
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    if columns.is_empty() {
        return Err(SqlError::NoRows { number });
    }
    let mut writer = RowsWriter::create(path, number, &columns)?;
    let mut values: Vec<Value> = Vec::with_capacity(columns.len());
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next().map_err(failed)? {
        values.clear();
        for (index, column) in columns.iter().enumerate() {
            let cell = row.get_ref(index).map_err(failed)?;
            let value = json(cell).map_err(|what| {
                let (column, what) = (column.clone(), what.to_owned());
                SqlError::Value { number, column, what }
            })?;
            values.push(value);
        }
        writer.row(&values)?;
    }
    let (count, bytes) = writer.finish()?;
    outcome.row_count = Some(count);
    outcome.rows_bytes = bytes;
    outcome.columns = columns;
    Ok(())
}

/// `cell` as JSON, or what it is that JSON does not have.
fn json(cell: ValueRef<'_>) -> Result<Value, &'static str> {
    match cell {
        ValueRef::Null => Ok(Value::Null),
        ValueRef::Integer(whole) => Ok(whole.into()),
        ValueRef::Real(real) => {
            serde_json::Number::from_f64(real).map(Value::Number).ok_or_else(|| endless(real))
        }
        ValueRef::Text(text) => std::str::from_utf8(text)
            .map(|text| Value::String(text.to_owned()))
            .map_err(|_| "text that is not UTF-8"),
        ValueRef::Blob(_) => Err("a blob"),
    }
}

fn statement_error(number: usize, guard: &Guard, source: rusqlite::Error) -> SqlError {
    if let Some(reason) = guard.take_reason() {
        return SqlError::Refused { number, reason };
    }
    match source {
        rusqlite::Error::MultipleStatement => SqlError::Several { number },
        source => SqlError::Statement { number, source: said(source) },
    }
}

type Said = Box<dyn std::error::Error + Send + Sync>;

/// SQLite's own words for `error`, once, and for a mistake in a text where it is.
pub(crate) fn said(error: rusqlite::Error) -> Said {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.into(),
        rusqlite::Error::SqlInputError { msg, sql, offset, .. } => {
            match usize::try_from(offset).ok().and_then(|offset| sql.get(..offset)) {
                Some(before) => {
                    let line = before.matches('\n').count() + 1;
                    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
                    format!("{msg} (line {line}, column {column})").into()
                }
                None => msg.into(),
            }
        }
        other => other.into(),
    }
}

fn transaction(what: &'static str, source: rusqlite::Error) -> SqlError {
    SqlError::Transaction { what, source: said(source) }
}
