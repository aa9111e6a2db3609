//! Temporary tables of a SQLite connection, filled from CSV and JSON files.
//!
//! A column of a CSV file has one type, as it has on Postgres: it is INTEGER or REAL when all of it
//! are numbers, and text when one of the values would not survive that (`007`), of which a note
//! tells. A file that says of each value what it is decides itself, but for whole numbers beside
//! real ones, which are real.

use std::io::Read;
use std::path::Path;

use millstream_model::ColumnType;
use rusqlite::types::{ToSqlOutput, Value as SqliteValue, ValueRef};
use rusqlite::{Connection, Statement};

use crate::columns::Seen;
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

/// A column of a CSV file as a first reading finds it.
#[derive(Default)]
struct Found {
    seen: Seen,
    /// The first value that would not come back as it was if it were a number, and its line.
    lookalike: Option<(u64, String)>,
}

impl Fill<'_> {
    fn csv(&self, path: &Path) -> Result<Vec<String>, SqlError> {
        let mut kinds = Vec::new();
        let mut notes = Vec::new();
        for (name, Found { seen, lookalike }) in self.look(path)? {
            let (kind, why) = seen.kind();
            if let Some(why) = why {
                let reason = match lookalike {
                    None => format!("in {}, {why}", path.display()),
                    Some((line, text)) => format!(
                        "{text:?} in line {line} of {} would change as a number",
                        path.display()
                    ),
                };
                notes.push(format!("column {name:?} of {:?} is text: {reason}", self.name));
            }
            kinds.push(kind);
        }
        self.csv_rows(path, &kinds)?;
        Ok(notes)
    }

    /// Reads all of the file for what its columns are.
    fn look(&self, path: &Path) -> Result<Vec<(String, Found)>, SqlError> {
        let mut reader = csv_reader(path, CSV_MAX).map_err(|error| self.unread(error))?;
        let names = csv_columns(path, &mut reader).map_err(|error| self.unread(error))?;
        let mut columns: Vec<(String, Found)> =
            names.into_iter().map(|name| (name, Found::default())).collect();
        let mut record = csv::StringRecord::new();
        while self.next(path, &mut reader, &mut record)? {
            for (field, (_, found)) in record.iter().zip(&mut columns) {
                if field.is_empty() {
                    continue;
                }
                let meaning = Meaning::of(field);
                if meaning == Meaning::Lookalike && found.lookalike.is_none() {
                    let line = record.position().map_or(0, csv::Position::line);
                    found.lookalike = Some((line, field.to_owned()));
                }
                found.seen.mean(meaning);
            }
        }
        Ok(columns)
    }

    /// Fills the table from a file whose columns are `kinds`.
    fn csv_rows(&self, path: &Path, kinds: &[Option<ColumnType>]) -> Result<(), SqlError> {
        let mut reader = csv_reader(path, CSV_MAX).map_err(|error| self.unread(error))?;
        let columns = csv_columns(path, &mut reader).map_err(|error| self.unread(error))?;
        self.create(&columns, |column| match kinds.get(column) {
            Some(Some(ColumnType::Integer)) => "INTEGER",
            Some(Some(ColumnType::Real)) => "REAL",
            _ => "TEXT",
        })?;
        let mut insert = self.insert(columns.len())?;
        let mut record = csv::StringRecord::new();
        while self.next(path, &mut reader, &mut record)? {
            for (column, (field, kind)) in record.iter().zip(kinds).enumerate() {
                let meaning = match kind {
                    Some(ColumnType::Integer | ColumnType::Real) => Meaning::of(field),
                    _ => Meaning::Text,
                };
                insert
                    .raw_bind_parameter(column + 1, cell(field, meaning))
                    .map_err(|error| self.failed(error))?;
            }
            insert.raw_execute().map_err(|error| self.failed(error))?;
        }
        Ok(())
    }

    fn next(
        &self,
        path: &Path,
        reader: &mut csv::Reader<Box<dyn Read>>,
        record: &mut csv::StringRecord,
    ) -> Result<bool, SqlError> {
        reader.read_record(record).map_err(|error| self.unread(csv_error(path, error)))
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
        let mut columns = vec![Seen::default(); rows.columns().len()];
        while let Some(row) = rows.next_row().map_err(|error| self.unread(error))? {
            for (column, (value, seen)) in row.iter().zip(&mut columns).enumerate() {
                seen.look(value, false);
                insert
                    .raw_bind_parameter(column + 1, bound(value))
                    .map_err(|error| self.failed(error))?;
            }
            insert.raw_execute().map_err(|error| self.failed(error))?;
        }
        let mixed = rows.columns().iter().zip(columns).filter(|(_, it)| it.has_whole_beside_real());
        for (name, _) in mixed {
            let name = quoted(name);
            self.execute(&format!(
                "UPDATE temp.{} SET {name} = CAST({name} AS REAL) WHERE typeof({name}) = 'integer'",
                self.table
            ))?;
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
            parts.push(format!("{} {}", quoted(name), affinity(index)));
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

/// A column's name as it is written in a statement; a file may call it what it likes.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
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
