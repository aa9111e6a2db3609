//! The content of a result on its way into a file: as JSON or as CSV, counted and hashed.
//!
//! Called by [`crate::FileIo`], which decides where the file is. Rows of a SQL step pass one at a
//! time, so that a large result costs no memory.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use millstream_model::{ContentHash, ContentHasher};
use serde_json::Value;

use crate::csv_file::{CsvLine, CsvReader, Quotes};
use crate::sql::{CSV_MAX, ROWS_MAX};
use crate::table::{RowLines, unusable};
use crate::{Content, IoError, Table};

/// A file in the making: everything written is counted and hashed.
pub(crate) struct Writer<'a> {
    path: &'a Path,
    file: Counted<'a>,
    notes: Vec<String>,
}

impl<'a> Writer<'a> {
    /// Writes into `file`, which will be at `path`.
    pub(crate) fn new(file: &'a File, path: &'a Path) -> Self {
        let file = BufWriter::with_capacity(1 << 16, file);
        let file = Counted { file, bytes: 0, hasher: ContentHasher::default() };
        Self { path, file, notes: Vec::new() }
    }

    /// Writes `content` as one document; how many rows it has if it is a table.
    pub(crate) fn json(&mut self, content: Content<'_>) -> Result<Option<u64>, IoError> {
        match content {
            Content::Json(value) => {
                self.put(value)?;
                Ok(None)
            }
            Content::Table(table) => {
                self.put(table)?;
                Ok(Some(table.rows.len() as u64))
            }
            Content::RowsFile(path) => self.json_rows(path).map(Some),
        }
    }

    /// The lines of the rows form are JSON already, so they are copied as they stand.
    fn json_rows(&mut self, path: &Path) -> Result<u64, IoError> {
        let mut lines = RowLines::open(path, ROWS_MAX).map_err(IoError::Rows)?;
        let columns = lines.columns().map_err(IoError::Rows)?;
        self.text("{\"columns\":")?;
        self.put(&columns)?;
        self.text(",\"rows\":[")?;
        let mut count = 0;
        while let Some(line) = lines.next_line().map_err(IoError::Rows)? {
            self.text(if count == 0 { "\n" } else { ",\n" })?;
            self.text(&line)?;
            count += 1;
        }
        self.text("\n]}")?;
        Ok(count)
    }

    /// Writes `content` as CSV; how many rows it has.
    pub(crate) fn csv(&mut self, content: Content<'_>) -> Result<u64, IoError> {
        match content {
            Content::Json(value) => {
                let table =
                    Table::from_json(value).map_err(|problem| IoError::NoTable { problem })?;
                self.csv_table(&table)
            }
            Content::Table(table) => self.csv_table(table),
            Content::RowsFile(path) => {
                let mut lines = RowLines::open(path, ROWS_MAX).map_err(IoError::Rows)?;
                let columns = lines.columns().map_err(IoError::Rows)?;
                let mut rows = CsvRows::begin(self, &columns)?;
                while let Some(line) = lines.next_line().map_err(IoError::Rows)? {
                    let row: Vec<Value> = lines.parse(&line).map_err(IoError::Rows)?;
                    rows.row(&row)?;
                }
                Ok(rows.finish())
            }
        }
    }

    fn csv_table(&mut self, table: &Table) -> Result<u64, IoError> {
        let mut rows = CsvRows::begin(self, &table.columns)?;
        for row in &table.rows {
            rows.row(row)?;
        }
        Ok(rows.finish())
    }

    fn text(&mut self, text: &str) -> Result<(), IoError> {
        self.file.write_all(text.as_bytes()).map_err(|source| self.failed(source))
    }

    fn put(&mut self, value: &impl serde::Serialize) -> Result<(), IoError> {
        serde_json::to_writer(&mut self.file, value).map_err(|error| self.failed(error.into()))
    }

    fn failed(&self, source: std::io::Error) -> IoError {
        IoError::Write { path: self.path.to_owned(), source }
    }

    /// Ends the file; its size and hash, and lines for the step's log.
    pub(crate) fn finish(mut self) -> Result<(u64, ContentHash, Vec<String>), IoError> {
        self.file.flush().map_err(|source| self.failed(source))?;
        Ok((self.file.bytes, self.file.hasher.finish(), self.notes))
    }
}

/// The rows of one CSV file.
struct CsvRows<'w, 'a> {
    writer: &'w mut Writer<'a>,
    line: CsvLine,
    columns: Vec<String>,
    /// Whether an empty text stood where it cannot be told from null.
    has_blank: bool,
    count: u64,
}

impl<'w, 'a> CsvRows<'w, 'a> {
    fn begin(writer: &'w mut Writer<'a>, columns: &[String]) -> Result<Self, IoError> {
        let columns = match columns {
            [] => columns_before(writer.path),
            columns => columns.to_vec(),
        };
        if columns.is_empty() {
            let problem = "there are no rows, and nothing is stored whose columns they could have; \
                           let the asset say `output_required: false`, have a program return \
                           `{\"columns\": […], \"rows\": []}`";
            return Err(IoError::NoTable { problem: problem.to_owned() });
        }
        // What is not refused here is refused when it is read, and then it is too late.
        if let Some(problem) = unusable(&columns) {
            return Err(IoError::NoTable { problem });
        }
        let mut line = CsvLine::default();
        for name in &columns {
            line.name(name);
        }
        writer.text(&line.take())?;
        Ok(Self { writer, line, columns, has_blank: false, count: 0 })
    }

    fn row(&mut self, values: &[Value]) -> Result<(), IoError> {
        self.count += 1;
        // Rows of objects without any key have no values.
        for index in 0..self.columns.len() {
            let value = values.get(index).unwrap_or(&Value::Null);
            self.has_blank |= self.columns.len() == 1 && value.as_str() == Some("");
            self.line.value(value);
        }
        self.writer.text(&self.line.take())
    }

    fn finish(self) -> u64 {
        if self.has_blank {
            let name = self.columns.first().map_or("", String::as_str);
            self.writer.notes.push(format!(
                "column {name:?} has empty texts, and alone in a CSV file they are null"
            ));
        }
        self.count
    }
}

/// The columns of the file that is at `path` now, or of the last one beside it, which is another
/// partition's: what rows that are none would have. None where there is no such file.
fn columns_before(path: &Path) -> Vec<String> {
    let of_file = |path: &Path| {
        let reader = CsvReader::open(path, CSV_MAX, Quotes::Text).ok()?;
        Some(reader.columns().to_vec())
    };
    let beside = || {
        let files = path.parent()?.read_dir().ok()?.filter_map(|entry| Some(entry.ok()?.path()));
        // What is being written has no such ending yet.
        let is_result = |file: &PathBuf| file.extension() == path.extension();
        of_file(&files.filter(is_result).max()?)
    };
    of_file(path).or_else(beside).unwrap_or_default()
}

struct Counted<'a> {
    file: BufWriter<&'a File>,
    bytes: u64,
    hasher: ContentHasher,
}

impl Write for Counted<'_> {
    fn write(&mut self, content: &[u8]) -> std::io::Result<usize> {
        self.file.write_all(content)?;
        self.hasher.update(content);
        self.bytes += content.len() as u64;
        Ok(content.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
