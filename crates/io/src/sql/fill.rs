//! Temporary tables of a SQLite connection, filled from CSV and JSON files.
//!
//! Columns of a CSV file are NUMERIC, so that numbers compare and sort as numbers, unless one of
//! the values would not survive that (`007`): then the column is text, and a note says so.

use std::path::Path;

use rusqlite::types::{ToSqlOutput, Value as SqliteValue, ValueRef};
use rusqlite::{Connection, Statement};

use crate::sql::SqlError;
use crate::sql::number::Meaning;
use crate::sql::sqlite::{bound, said};
use crate::stream::RowStream;
use crate::table::{csv_columns, csv_error, csv_reader};
use crate::{TableError, TableFile, quote_identifier};

/// The largest file that is read: what a step may unpack is bounded by its time and disk.
pub(crate) const CSV_MAX: u64 = 64 << 30;
/// The largest JSON document that is read, since it is held in memory.
pub(crate) const JSON_MAX: u64 = 256 << 20;

/// Makes the temporary table `name` with the rows of `file`; the notes are for the step's log.
pub(super) fn fill(
    connection: &Connection,
    name: &str,
    file: &TableFile,
) -> Result<Vec<String>, SqlError> {
    let table = quote_identifier(name).map_err(SqlError::ReadName)?;
    let target = Fill { connection, name, table };
    target.execute("BEGIN")?;
    let notes = match file {
        TableFile::Csv(path) => target.csv(path),
        TableFile::Json(_) | TableFile::Rows(_) => target.typed(file),
    }?;
    target.execute("COMMIT")?;
    Ok(notes)
}

struct Fill<'a> {
    connection: &'a Connection,
    name: &'a str,
    table: String,
}

/// A value that would not come back as it was if its column held numbers.
struct Lookalike {
    column: usize,
    line: u64,
    text: String,
}

impl Fill<'_> {
    fn csv(&self, path: &Path) -> Result<Vec<String>, SqlError> {
        let mut columns = Vec::new();
        let mut as_text: Vec<bool> = Vec::new();
        let mut notes = Vec::new();
        // A second round is rare: only a file with codes like `007` needs it.
        loop {
            let found = self.csv_round(path, &mut columns, &mut as_text)?;
            if found.is_empty() {
                return Ok(notes);
            }
            for Lookalike { column, line, text } in found {
                let name = columns.get(column).map_or("", String::as_str);
                notes.push(format!(
                    "column {name:?} of {:?} is text: {text:?} in line {line} of {} would change \
                     as a number",
                    self.name,
                    path.display(),
                ));
            }
            self.execute(&format!("DROP TABLE temp.{}", self.table))?;
        }
    }

    /// Fills the table; what it found to change is empty when the table is as it should be.
    fn csv_round(
        &self,
        path: &Path,
        columns: &mut Vec<String>,
        as_text: &mut Vec<bool>,
    ) -> Result<Vec<Lookalike>, SqlError> {
        let mut reader = csv_reader(path, CSV_MAX).map_err(|error| self.unread(error))?;
        *columns = csv_columns(path, &mut reader).map_err(|error| self.unread(error))?;
        as_text.resize(columns.len(), false);
        self.create(columns, |column| match as_text.get(column) {
            Some(true) => "TEXT",
            _ => "NUMERIC",
        })?;
        let mut insert = self.insert(columns.len())?;
        let mut found: Vec<Lookalike> = Vec::new();
        let mut record = csv::StringRecord::new();
        while reader
            .read_record(&mut record)
            .map_err(|error| self.unread(csv_error(path, error)))?
        {
            for (column, field) in record.iter().enumerate() {
                let is_text = as_text.get_mut(column);
                let meaning = match is_text {
                    Some(false) => Meaning::of(field),
                    _ => Meaning::Text,
                };
                if let (Meaning::Lookalike, Some(is_text)) = (meaning, is_text) {
                    *is_text = true;
                    let line = record.position().map_or(0, csv::Position::line);
                    found.push(Lookalike { column, line, text: field.to_owned() });
                }
                insert
                    .raw_bind_parameter(column + 1, cell(field, meaning))
                    .map_err(|error| self.failed(error))?;
            }
            insert.raw_execute().map_err(|error| self.failed(error))?;
        }
        Ok(found)
    }

    /// Fills the table from a file that says of each value what it is.
    fn typed(&self, file: &TableFile) -> Result<Vec<String>, SqlError> {
        let mut rows = RowStream::open(file).map_err(|error| self.unread(error))?;
        if rows.columns().is_empty() {
            let problem = "an empty list names no columns".to_owned();
            return Err(self.unread(TableError::Shape { path: file.path().to_owned(), problem }));
        }
        // Types come from the values, so the columns have none to impose.
        self.create(rows.columns(), |_| "")?;
        let mut insert = self.insert(rows.columns().len())?;
        while let Some(row) = rows.next_row().map_err(|error| self.unread(error))? {
            for (column, value) in row.iter().enumerate() {
                insert
                    .raw_bind_parameter(column + 1, bound(value))
                    .map_err(|error| self.failed(error))?;
            }
            insert.raw_execute().map_err(|error| self.failed(error))?;
        }
        Ok(rows.note().cloned().into_iter().collect())
    }

    fn create<'t>(
        &self,
        columns: &[String],
        affinity: impl Fn(usize) -> &'t str,
    ) -> Result<(), SqlError> {
        let mut parts = Vec::with_capacity(columns.len());
        for (index, name) in columns.iter().enumerate() {
            let name = format!("\"{}\"", name.replace('"', "\"\""));
            parts.push(format!("{name} {}", affinity(index)));
        }
        self.execute(&format!("CREATE TEMP TABLE {} ({})", self.table, parts.join(", ")))
    }

    fn insert(&self, columns: usize) -> Result<Statement<'_>, SqlError> {
        let holes = vec!["?"; columns].join(", ");
        let text = format!("INSERT INTO temp.{} VALUES ({holes})", self.table);
        self.connection.prepare(&text).map_err(|error| self.failed(error))
    }

    fn execute(&self, text: &str) -> Result<(), SqlError> {
        self.connection.execute_batch(text).map_err(|error| self.failed(error))
    }

    fn unread(&self, source: TableError) -> SqlError {
        SqlError::Read { table: self.name.to_owned(), source }
    }

    fn failed(&self, source: rusqlite::Error) -> SqlError {
        SqlError::Fill { table: self.name.to_owned(), source: said(source) }
    }
}

/// A field as SQLite takes it; an empty one was not recorded.
fn cell(field: &str, meaning: Meaning) -> ToSqlOutput<'_> {
    match meaning {
        Meaning::Whole(whole) => ToSqlOutput::Owned(SqliteValue::Integer(whole)),
        Meaning::Real(real) => ToSqlOutput::Owned(SqliteValue::Real(real)),
        _ if field.is_empty() => ToSqlOutput::Owned(SqliteValue::Null),
        _ => ToSqlOutput::Borrowed(ValueRef::Text(field.as_bytes())),
    }
}
