//! Temporary tables of a SQLite connection, filled from CSV and JSON files.
//!
//! A column of a CSV file has one type, as it has on Postgres: it is INTEGER or REAL when all of it
//! are numbers, and text when one of the values would not survive that (`007`), of which a note
//! tells. A file that says of each value what it is decides itself, but for whole numbers beside
//! real ones, which are real.

use millstream_model::ColumnType;
use rusqlite::types::{ToSqlOutput, Value as SqliteValue, ValueRef};
use rusqlite::{Connection, Statement};

use crate::columns::Seen;
use crate::csv_file::{CsvColumn, CsvLook, CsvReader};
use crate::sql::SqlError;
use crate::sql::number::Meaning;
use crate::sql::sqlite::{bound, said};
use crate::stream::{RowStream, quotes};
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
    rows: Rows,
) -> Result<Vec<String>, SqlError> {
    let table = quote_identifier(name).map_err(SqlError::ReadName)?;
    let target = Fill { connection, name, table };
    target.execute("BEGIN")?;
    let notes = match file {
        TableFile::Csv(_) | TableFile::KeptCsv(_) => target.csv(file),
        TableFile::Json(_) | TableFile::Rows(_) => target.typed(file),
    }?;
    if rows == Rows::None {
        target.execute(&format!("DELETE FROM temp.{}", target.table))?;
    }
    target.execute("COMMIT")?;
    Ok(if rows == Rows::None { Vec::new() } else { notes })
}

/// Which rows of a file a table gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// All.
    All,
    /// None: the file says what its columns are.
    None,
}

struct Fill<'a> {
    connection: &'a Connection,
    name: &'a str,
    table: String,
}

impl Fill<'_> {
    fn csv(&self, file: &TableFile) -> Result<Vec<String>, SqlError> {
        let mut reader = self.reader(file)?;
        let mut look = CsvLook::new(reader.columns().len(), reader.quotes());
        while reader.next().map_err(|error| self.unread(error))? {
            look.see(reader.record());
        }
        let found = look.columns(file.path());
        let kinds: Vec<Option<ColumnType>> = found.iter().map(|column| column.kind).collect();
        let told = |(name, CsvColumn { note, .. }): (&String, CsvColumn)| {
            note.map(|note| format!("column {name:?} of {:?} {note}", self.name))
        };
        let notes = reader.columns().iter().zip(found).filter_map(told).collect();
        self.csv_rows(self.reader(file)?, &kinds)?;
        Ok(notes)
    }

    fn reader(&self, file: &TableFile) -> Result<CsvReader, SqlError> {
        CsvReader::open(file.path(), CSV_MAX, quotes(file)).map_err(|error| self.unread(error))
    }

    /// Fills the table from a file whose columns are `kinds`.
    fn csv_rows(
        &self,
        mut reader: CsvReader,
        kinds: &[Option<ColumnType>],
    ) -> Result<(), SqlError> {
        self.create(reader.columns(), |column| match kinds.get(column) {
            Some(Some(ColumnType::Integer)) => "INTEGER",
            Some(Some(ColumnType::Real)) => "REAL",
            _ => "TEXT",
        })?;
        let mut insert = self.insert(reader.columns().len())?;
        while reader.next().map_err(|error| self.unread(error))? {
            for (column, (field, kind)) in reader.record().fields().zip(kinds).enumerate() {
                insert
                    .raw_bind_parameter(column + 1, cell(field.text, *kind))
                    .map_err(|error| self.failed(error))?;
            }
            insert.raw_execute().map_err(|error| self.failed(error))?;
        }
        Ok(())
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
                seen.look(value);
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

/// A field as SQLite takes it in a column of `kind`.
fn cell(field: Option<&str>, kind: Option<ColumnType>) -> ToSqlOutput<'_> {
    let Some(field) = field else { return ToSqlOutput::Owned(SqliteValue::Null) };
    let meaning = match kind {
        Some(ColumnType::Integer | ColumnType::Real) => Meaning::of(field),
        _ => Meaning::Text,
    };
    match meaning {
        Meaning::Whole(whole) => ToSqlOutput::Owned(SqliteValue::Integer(whole)),
        Meaning::Real(real) => ToSqlOutput::Owned(SqliteValue::Real(real)),
        _ => ToSqlOutput::Borrowed(ValueRef::Text(field.as_bytes())),
    }
}
