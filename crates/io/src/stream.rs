//! The rows of a file, one at a time, whatever the file's form is.
//!
//! What loads rows into tables reads a file twice, once for its types and once for its rows, so
//! that a table of any length passes through bounded memory. JSON documents alone are held whole.
//!
//! **Invariant.** The columns' names are distinct, and every row has a value for each.

use std::path::PathBuf;

use serde_json::Value;

use crate::csv_file::{CsvLook, CsvReader, Field, Quotes};
use crate::sql::{CSV_MAX, ROWS_MAX};
use crate::table::{COLUMNS_MAX, RowLines, repeated};
use crate::{TableError, TableFile};

/// A file's rows on their way.
pub(crate) struct RowStream {
    path: PathBuf,
    columns: Vec<String>,
    rows: Rows,
    number: u64,
    note: Option<String>,
}

enum Rows {
    Lines(RowLines),
    Csv(CsvReader),
    Memory(std::vec::IntoIter<Vec<Value>>),
}

impl RowStream {
    /// Opens `file` and reads its columns; a JSON document without rows has none.
    pub(crate) fn open(file: &TableFile) -> Result<Self, TableError> {
        let path = file.path().to_owned();
        let mut note = None;
        let (columns, rows) = match file {
            TableFile::Rows(path) => {
                let mut lines = RowLines::open(path, ROWS_MAX)?;
                (lines.columns()?, Rows::Lines(lines))
            }
            TableFile::Csv(path) | TableFile::KeptCsv(path) => {
                let reader = CsvReader::open(path, CSV_MAX, quotes(file))?;
                (reader.columns().to_vec(), Rows::Csv(reader))
            }
            TableFile::Json(path) => {
                let (table, told) = crate::table::json_table(path)?;
                note = told;
                (table.columns, Rows::Memory(table.rows.into_iter()))
            }
        };
        check(file, &columns)?;
        Ok(Self { path, columns, rows, number: 0, note })
    }

    /// The columns' names.
    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// A first look at its columns, where it is a CSV file.
    pub(crate) fn look(&self) -> Option<CsvLook> {
        match &self.rows {
            Rows::Csv(reader) => Some(CsvLook::new(self.columns.len(), reader.quotes())),
            Rows::Lines(_) | Rows::Memory(_) => None,
        }
    }

    /// Shows `look` the row that was given last, where it is one of a CSV file.
    pub(crate) fn show(&self, look: &mut CsvLook) {
        if let Rows::Csv(reader) = &self.rows {
            look.see(reader.record());
        }
    }

    /// What became text on the way, as a line for the step's log.
    pub(crate) fn note(&self) -> Option<&String> {
        self.note.as_ref()
    }

    /// How many rows were given.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The next row, or `None` at the end.
    pub(crate) fn next_row(&mut self) -> Result<Option<Vec<Value>>, TableError> {
        let row = match &mut self.rows {
            Rows::Lines(lines) => match lines.next_line()? {
                Some(line) => Some(lines.parse::<Vec<Value>>(&line)?),
                None => None,
            },
            Rows::Csv(reader) => {
                reader.next()?.then(|| reader.record().fields().map(value).collect())
            }
            Rows::Memory(rows) => rows.next(),
        };
        let Some(row) = row else { return Ok(None) };
        self.number += 1;
        if row.len() != self.columns.len() {
            let problem = format!(
                "row {} has {} values for {} columns",
                self.number,
                row.len(),
                self.columns.len()
            );
            return Err(TableError::Shape { path: self.path.clone(), problem });
        }
        Ok(Some(row))
    }
}

/// What the quotes of `file` say, where it is CSV.
pub(crate) fn quotes(file: &TableFile) -> Quotes {
    match file {
        TableFile::KeptCsv(_) => Quotes::Text,
        TableFile::Csv(_) | TableFile::Json(_) | TableFile::Rows(_) => Quotes::Custom,
    }
}

fn value(field: Field<'_>) -> Value {
    field.text.map_or(Value::Null, Value::from)
}

fn check(file: &TableFile, columns: &[String]) -> Result<(), TableError> {
    let problem = if columns.len() > COLUMNS_MAX {
        format!("it has more than {COLUMNS_MAX} columns")
    } else if let Some(name) = repeated(columns) {
        format!("two columns are called {name:?}; names are compared without regard to case")
    } else {
        return Ok(());
    };
    Err(match file {
        TableFile::Rows(_) => TableError::Columns { problem },
        TableFile::Csv(path) | TableFile::KeptCsv(path) | TableFile::Json(path) => {
            TableError::Shape { path: path.clone(), problem }
        }
    })
}

/// How many rows `file` has, counted up to `most`.
pub fn row_count(file: &TableFile, most: u64) -> Result<u64, TableError> {
    let mut rows = RowStream::open(file)?;
    while rows.number() < most && rows.next_row()?.is_some() {}
    Ok(rows.number())
}
