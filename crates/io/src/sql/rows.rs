//! The rows of a statement on their way into a file: one JSON array a line, columns first.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use crate::sql::SqlError;

/// The most bytes that the rows of one statement may take.
pub(crate) const ROWS_MAX: u64 = 1 << 30;

/// Writes rows as they come, and counts them.
pub(super) struct RowsWriter {
    number: usize,
    path: PathBuf,
    file: BufWriter<File>,
    line: Vec<u8>,
    bytes: u64,
    count: u64,
}

impl RowsWriter {
    /// Starts the file at `path` with the columns of statement `number`.
    pub(super) fn create(path: &Path, number: usize, columns: &[String]) -> Result<Self, SqlError> {
        let failed = |source| SqlError::RowsFile { path: path.to_owned(), source };
        let file = File::create(path).map_err(failed)?;
        let file = BufWriter::with_capacity(1 << 16, file);
        let path = path.to_owned();
        let mut writer = Self { number, path, file, line: Vec::new(), bytes: 0, count: 0 };
        writer.write(columns)?;
        Ok(writer)
    }

    /// Writes one row.
    pub(super) fn row(&mut self, values: &[Value]) -> Result<(), SqlError> {
        self.count += 1;
        self.write(values)
    }

    /// Ends the file; how many rows and bytes there are.
    pub(super) fn finish(mut self) -> Result<(u64, u64), SqlError> {
        self.file.flush().map_err(|source| SqlError::RowsFile { path: self.path, source })?;
        Ok((self.count, self.bytes))
    }

    fn write<T: Serialize>(&mut self, values: &[T]) -> Result<(), SqlError> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, values).map_err(|error| self.failed(error.into()))?;
        self.line.push(b'\n');
        self.bytes = self.bytes.saturating_add(self.line.len() as u64);
        if self.bytes > ROWS_MAX {
            return Err(SqlError::TooManyRows { number: self.number, limit: ROWS_MAX });
        }
        self.file.write_all(&self.line).map_err(|error| self.failed(error))
    }

    fn failed(&self, source: std::io::Error) -> SqlError {
        SqlError::RowsFile { path: self.path.clone(), source }
    }
}
