//! Running statements on one connection.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, ErrorCode, ToSql, params_from_iter};

use crate::batch::{Expect, Step};
use crate::dialect::Dialect;
use crate::{Applied, Batch, Row, Sql, StoreError, Value};

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Bool(truth) => ValueRef::Integer(i64::from(*truth)),
        }))
    }
}

/// A failure that is the database's, not the statement's.
#[expect(clippy::needless_pass_by_value, reason = "it is the function of a map_err")]
pub(super) fn unavailable(error: rusqlite::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

fn refused(sql: &'static Sql, error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) if is_taken_key(error) => {
            StoreError::Duplicate { statement: sql.name }
        }
        Some(
            ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure
            | ErrorCode::ReadOnly
            | ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::OutOfMemory
            | ErrorCode::CannotOpen
            | ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase,
        ) => StoreError::Unavailable(error.to_string()),
        _ => StoreError::Refused { statement: sql.name, message: error.to_string() },
    }
}

/// Whether a key is taken; a missing value is another kind of violation, and a defect.
fn is_taken_key(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi::{
        SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_ROWID, SQLITE_CONSTRAINT_UNIQUE,
    };
    const TAKEN: [i32; 3] =
        [SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_ROWID, SQLITE_CONSTRAINT_UNIQUE];
    error.sqlite_error().is_some_and(|error| TAKEN.contains(&error.extended_code))
}

/// The statements of one transaction: each is looked up once, however often it runs.
pub(super) struct Prepared<'a> {
    connection: &'a Connection,
    known: Vec<(&'static Sql, CachedStatement<'a>)>,
}

impl<'a> Prepared<'a> {
    pub(super) fn on(connection: &'a Connection) -> Self {
        Self { connection, known: Vec::new() }
    }

    fn statement(&mut self, sql: &'static Sql) -> rusqlite::Result<&mut CachedStatement<'a>> {
        let place = self.known.iter().position(|(known, _)| std::ptr::eq(*known, sql));
        // The borrow of a search that found something would last for the whole function.
        let place = place.unwrap_or(self.known.len());
        if place == self.known.len() {
            self.known.push((sql, self.connection.prepare_cached(&rendered(sql))?));
        }
        let found = self.known.get_mut(place).map(|(_, statement)| statement);
        found.ok_or(rusqlite::Error::InvalidQuery)
    }

    /// Runs the statements of `batch` inside a transaction or savepoint that the caller ends.
    pub(super) fn batch(&mut self, batch: &Batch) -> Result<Applied, StoreError> {
        let mut applied = Applied::default();
        for step in &batch.steps {
            applied.rows.push(self.step(step)?);
        }
        Ok(applied)
    }

    fn step(&mut self, step: &Step) -> Result<Vec<Row>, StoreError> {
        let failed = |error: rusqlite::Error| refused(step.sql, &error);
        run_step(self.statement(step.sql).map_err(failed)?, step)
    }
}

fn run_step(statement: &mut CachedStatement<'_>, step: &Step) -> Result<Vec<Row>, StoreError> {
    let failed = |error: rusqlite::Error| refused(step.sql, &error);
    let (rows, touched) = if statement.column_count() > 0 {
        let rows = collect(statement, step.sql, &step.params).map_err(failed)?;
        let count = rows.len();
        (rows, count)
    } else {
        let count = statement.execute(params_from_iter(&step.params)).map_err(failed)?;
        (Vec::new(), count)
    };
    match step.expect {
        Expect::Rows(wanted) if u32::try_from(touched) != Ok(wanted) => {
            Err(StoreError::Conflict { statement: step.sql.name })
        }
        _ => Ok(rows),
    }
}

/// Asks one question.
pub(super) fn query(
    connection: &Connection,
    sql: &'static Sql,
    params: &[Value],
) -> Result<Vec<Row>, StoreError> {
    let failed = |error: rusqlite::Error| refused(sql, &error);
    let mut statement = connection.prepare_cached(&rendered(sql)).map_err(failed)?;
    collect(&mut statement, sql, params).map_err(failed)
}

fn collect(
    statement: &mut CachedStatement<'_>,
    sql: &'static Sql,
    params: &[Value],
) -> rusqlite::Result<Vec<Row>> {
    let columns = statement.column_count();
    let mut rows = statement.query(params_from_iter(params))?;
    let mut collected = Vec::new();
    while let Some(row) = rows.next()? {
        let mut values = Vec::with_capacity(columns);
        for column in 0..columns {
            values.push(match row.get_ref(column)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => Value::Int(number),
                ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                // No column of ours holds these; the reader of the row will say so.
                ValueRef::Real(number) => Value::Text(number.to_string()),
                ValueRef::Blob(_) => Value::Text("<blob>".to_owned()),
            });
        }
        collected.push(Row::new(sql.name, values));
    }
    Ok(collected)
}

/// Prepares every statement; returns how many there are.
pub(super) fn prepare_all(connection: &Connection) -> Result<usize, StoreError> {
    let mut count = 0;
    for sql in crate::all_statements() {
        connection.prepare(&rendered(sql)).map_err(|error| refused(sql, &error))?;
        count += 1;
    }
    Ok(count)
}

/// `text` without its indentation: it is the key of prepared statements, and hashed at each use.
fn compact(text: &str) -> String {
    text.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The text as SQLite takes it, rendered once a thread and statement.
fn rendered(sql: &'static Sql) -> std::rc::Rc<str> {
    use std::cell::RefCell;
    use std::collections::HashMap;
    use std::rc::Rc;

    thread_local! {
        static TEXTS: RefCell<HashMap<usize, Rc<str>>> = RefCell::default();
    }
    TEXTS.with_borrow_mut(|texts| {
        let text = texts.entry(std::ptr::from_ref(sql).addr());
        text.or_insert_with(|| compact(&Dialect::Sqlite.render(sql.text)).into()).clone()
    })
}
