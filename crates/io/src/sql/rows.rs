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
pub(crate) struct RowsWriter {
    number: usize,
    path: PathBuf,
    file: BufWriter<File>,
    line: Vec<u8>,
    bytes: u64,
    count: u64,
    limit: u64,
}

impl RowsWriter {
    /// Starts the file at `path` with the columns of statement `number`.
    pub(crate) fn create(path: &Path, number: usize, columns: &[String]) -> Result<Self, SqlError> {
        let failed = |source| SqlError::RowsFile { path: path.to_owned(), source };
        let file = File::create(path).map_err(failed)?;
        let file = BufWriter::with_capacity(1 << 16, file);
        let path = path.to_owned();
        let mut writer =
            Self { number, path, file, line: Vec::new(), bytes: 0, count: 0, limit: ROWS_MAX };
        writer.write(columns)?;
        Ok(writer)
    }

    /// Writes one row.
    pub(crate) fn row(&mut self, values: &[Value]) -> Result<(), SqlError> {
        self.count += 1;
        self.write(values)
    }

    /// Ends the file; how many rows and bytes there are.
    pub(crate) fn finish(mut self) -> Result<(u64, u64), SqlError> {
        self.file.flush().map_err(|source| SqlError::RowsFile { path: self.path, source })?;
        Ok((self.count, self.bytes))
    }

    fn write<T: Serialize>(&mut self, values: &[T]) -> Result<(), SqlError> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, values).map_err(|error| self.failed(error.into()))?;
        self.line.push(b'\n');
        self.bytes = self.bytes.saturating_add(self.line.len() as u64);
        if self.bytes > self.limit {
            return Err(SqlError::TooManyRows { number: self.number, limit: self.limit });
        }
        self.file.write_all(&self.line).map_err(|error| self.failed(error))
    }

    fn failed(&self, source: std::io::Error) -> SqlError {
        SqlError::RowsFile { path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_above_the_limit_are_an_error_and_not_a_full_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        let mut writer = RowsWriter::create(&path, 3, &["a".to_owned()]).unwrap();
        writer.limit = 14;
        writer.row(&[1.into()]).unwrap();
        writer.row(&[2.into()]).unwrap();
        let error = writer.row(&[3.into()]).unwrap_err();
        assert!(matches!(error, SqlError::TooManyRows { number: 3, limit: 14 }), "{error}");
    }
}
