//! Rows of many answers on their way into one file in the rows form.
//!
//! The form begins with the columns' names, and later pages may bring new ones. So rows go to a
//! file beside it first, each as long as the columns known then; when all have come, they are
//! copied behind the names and the short ones are filled up with nulls.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Seek, Write};
use std::path::PathBuf;

use serde_json::Value;

use super::HttpError;
use crate::sql::ROWS_MAX;

/// The most columns of rows.
const COLUMNS_MAX: usize = 2_000;

/// The column of rows that are plain values.
const PLAIN: &str = "value";

/// Rows as they come.
pub(super) struct Rows {
    path: PathBuf,
    spool: BufWriter<File>,
    columns: Vec<String>,
    places: BTreeMap<String, usize>,
    /// How long rows are, from which one on.
    widths: Vec<(u64, usize)>,
    count: u64,
    bytes: u64,
    limit: u64,
}

impl Rows {
    /// Rows that will be in the file at `path`.
    pub(super) fn create(path: PathBuf) -> Result<Self, HttpError> {
        let spool = tempfile::tempfile_in(path.parent().unwrap_or(&path))
            .map_err(|source| HttpError::RowsFile { path: path.clone(), source })?;
        Ok(Self {
            path,
            spool: BufWriter::with_capacity(1 << 16, spool),
            columns: Vec::new(),
            places: BTreeMap::new(),
            widths: Vec::new(),
            count: 0,
            bytes: 0,
            limit: ROWS_MAX,
        })
    }

    /// Adds the rows of one page.
    pub(super) fn add(&mut self, rows: Vec<Value>) -> Result<(), HttpError> {
        for row in rows {
            let line = self.line(row)?;
            self.bytes = self.bytes.saturating_add(line.len() as u64);
            if self.bytes > self.limit {
                return Err(HttpError::TooManyRows { limit: self.limit });
            }
            self.spool.write_all(&line).map_err(|source| self.failed(source))?;
            if self.widths.last().is_none_or(|(_, width)| *width != self.columns.len()) {
                self.widths.push((self.count, self.columns.len()));
            }
            self.count += 1;
        }
        Ok(())
    }

    fn line(&mut self, row: Value) -> Result<Vec<u8>, HttpError> {
        let number = self.count + 1;
        let fields = match row {
            Value::Object(fields) => fields,
            Value::Array(_) => return Err(HttpError::Row { number, found: "a list" }),
            plain => serde_json::Map::from_iter([(PLAIN.to_owned(), plain)]),
        };
        let mut values = vec![Value::Null; self.columns.len()];
        for (name, value) in fields {
            let place = self.place(name)?;
            values.resize(self.columns.len(), Value::Null);
            if let Some(cell) = values.get_mut(place) {
                *cell = value;
            }
        }
        let mut line = Value::Array(values).to_string().into_bytes();
        line.push(b'\n');
        Ok(line)
    }

    fn place(&mut self, name: String) -> Result<usize, HttpError> {
        if let Some(place) = self.places.get(&name) {
            return Ok(*place);
        }
        if self.columns.len() >= COLUMNS_MAX {
            return Err(HttpError::TooManyColumns { limit: COLUMNS_MAX });
        }
        let place = self.columns.len();
        self.columns.push(name.clone());
        self.places.insert(name, place);
        Ok(place)
    }

    /// Writes the file; its columns, and how many rows it has.
    pub(super) fn finish(self) -> Result<(Vec<String>, u64), HttpError> {
        let Self { path, spool, columns, widths, count, .. } = self;
        let failed = |source| HttpError::RowsFile { path: path.clone(), source };
        let mut spool = spool.into_inner().map_err(|error| failed(error.into_error()))?;
        spool.rewind().map_err(failed)?;
        let mut file = BufWriter::with_capacity(1 << 16, File::create(&path).map_err(failed)?);
        serde_json::to_writer(&mut file, &columns).map_err(|error| failed(error.into()))?;
        file.write_all(b"\n").map_err(failed)?;
        let mut widths = widths.into_iter().peekable();
        let mut missing = 0;
        let mut lines = BufReader::with_capacity(1 << 16, spool);
        let mut line = Vec::new();
        for index in 0..count {
            line.clear();
            lines.read_until(b'\n', &mut line).map_err(failed)?;
            if let Some((_, width)) = widths.next_if(|(from, _)| *from == index) {
                missing = columns.len().saturating_sub(width);
            }
            if missing > 0 {
                fill_up(&mut line, missing);
            }
            file.write_all(&line).map_err(failed)?;
        }
        file.flush().map_err(failed)?;
        Ok((columns, count))
    }

    fn failed(&self, source: std::io::Error) -> HttpError {
        HttpError::RowsFile { path: self.path.clone(), source }
    }
}

/// Adds `missing` nulls to a row; `[1]` and a line's end become `[1,null]` and one.
fn fill_up(line: &mut Vec<u8>, missing: usize) {
    let is_empty = line.starts_with(b"[]");
    line.truncate(line.len().saturating_sub(b"]\n".len()));
    let nulls = vec!["null"; missing].join(",");
    if !is_empty {
        line.push(b',');
    }
    line.extend_from_slice(nulls.as_bytes());
    line.extend_from_slice(b"]\n");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Table;

    fn table(pages: &[Value]) -> Result<Table, HttpError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        let mut rows = Rows::create(path.clone())?;
        for page in pages {
            rows.add(page.as_array().unwrap().clone())?;
        }
        rows.finish()?;
        Ok(Table::from_rows_file(&path, 1 << 20).unwrap())
    }

    #[test]
    fn columns_that_come_late_are_null_in_the_rows_before() {
        let pages = [json!([{}, { "a": 1 }]), json!([{ "b": [2], "a": "x" }, { "c": null }])];
        let table = table(&pages).unwrap();
        assert_eq!(table.columns, ["a", "b", "c"]);
        let wanted =
            json!([[null, null, null], [1, null, null], ["x", [2], null], [null, null, null]]);
        assert_eq!(json!(table.rows), wanted);
    }

    #[test]
    fn plain_values_have_one_column_and_lists_are_no_rows() {
        let plain = table(&[json!([1, "b", null])]).unwrap();
        assert_eq!((plain.columns, plain.rows.len()), (vec!["value".to_owned()], 3));
        let refused = table(&[json!([{ "a": 1 }, [1]])]);
        assert!(matches!(refused, Err(HttpError::Row { number: 2, found: "a list" })));
    }

    #[test]
    fn no_rows_are_a_table_without_columns() {
        assert_eq!(table(&[json!([])]).unwrap(), Table::default());
    }

    #[test]
    fn rows_and_columns_have_limits() {
        let folder = tempfile::tempdir().unwrap();
        let mut rows = Rows::create(folder.path().join("rows")).unwrap();
        rows.limit = 10;
        let result = rows.add(vec![json!("0123456789")]);
        assert!(matches!(result, Err(HttpError::TooManyRows { limit: 10 })));
        let wide: serde_json::Map<String, Value> =
            (0..=COLUMNS_MAX).map(|index| (index.to_string(), Value::Null)).collect();
        let result = table(&[json!([wide])]);
        assert!(matches!(result, Err(HttpError::TooManyColumns { .. })));
    }
}
