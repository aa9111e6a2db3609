//! IO managers for local files: results of assets as JSON or CSV, read again by later steps.
//!
//! The worker makes a [`FileIo`] for each IO manager of a plan. What an address means is
//! [`crate::layout`]'s business.
//!
//! **Invariant.** A result is either the whole old or the whole new one, also after a crash: it is
//! written beside its place, flushed to disk and renamed into it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use millstream_model::{ContentHash, ContentHasher, ErrorCode, IoKind};
use serde_json::Value;

use crate::sql::{JSON_MAX, ROWS_MAX};
use crate::table::{RowLines, csv_columns, csv_error, csv_reader};
use crate::{Address, Table, TableError, TableFile};

/// An IO manager: a folder and the form in which results are kept below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileIo {
    base: PathBuf,
    kind: IoKind,
}

/// What is to be stored.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// A step's result. As CSV it must be a table (see [`Table::from_json`]).
    Json(&'a Value),
    /// Rows in memory.
    Table(&'a Table),
    /// The file in the rows form that a SQL step left; it is not read into memory.
    RowsFile(&'a Path),
}

/// What was read.
#[derive(Debug, Clone, PartialEq)]
pub enum Loaded {
    /// A JSON document.
    Json(Value),
    /// The rows of a CSV file; every value is text, and an empty field is null.
    Table(Table),
}

/// What was stored, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// How many rows it has, when it is a table.
    pub rows: Option<u64>,
    /// The hash of its content: the version of the data.
    pub hash: ContentHash,
}

impl Stored {
    /// The line for the step's log.
    pub fn log_line(&self) -> String {
        format!("Wrote to {}", self.path.display())
    }
}

/// A result cannot be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum IoError {
    /// The input was never made, or not by this IO manager.
    #[error(
        "input {asset} does not exist: there is no file {}; materialize it first",
        path.display()
    )]
    Missing {
        /// The asset and partition, for people.
        asset: String,
        /// Where it should be.
        path: PathBuf,
    },
    /// The input is there and cannot be read.
    #[error("input cannot be read")]
    Unreadable(#[source] TableError),
    /// The result is no table, and the IO manager keeps tables.
    #[error("the result cannot be kept as CSV: {problem}; or use an io of kind `json`")]
    NoTable {
        /// What was found, and what to write instead.
        problem: String,
    },
    /// The rows that the step left cannot be read back.
    #[error("the step's rows cannot be read")]
    Rows(#[source] TableError),
    /// The file cannot be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl IoError {
    /// The code for the user.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Missing { .. } | Self::Unreadable(_) => ErrorCode::StepInput,
            Self::NoTable { .. } | Self::Rows(_) | Self::Write { .. } => ErrorCode::StepResult,
        }
    }

    /// The error and its causes in one line.
    pub fn message(&self) -> String {
        crate::error::chain(self)
    }
}

impl FileIo {
    /// The IO manager of `kind` below the folder `base`, which need not exist yet.
    pub fn new(kind: IoKind, base: PathBuf) -> Self {
        Self { base, kind }
    }

    /// The file of `address`.
    pub fn path_of(&self, address: &Address) -> PathBuf {
        self.base.join(address.relative_path(self.kind))
    }

    /// Stores `content` at `address` in place of what was there.
    ///
    /// Crash-safe: at any moment the file is whole; what a crash leaves beside it begins with `.`.
    pub fn store(&self, address: &Address, content: Content<'_>) -> Result<Stored, IoError> {
        let path = self.path_of(address);
        let failed = |source| IoError::Write { path: path.clone(), source };
        let folder = path.parent().unwrap_or(&self.base);
        std::fs::create_dir_all(folder).map_err(failed)?;
        let temporary = tempfile::Builder::new()
            .prefix(".writing-")
            // Other programs read the results; the umask still takes away what it should.
            .permissions(std::fs::Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(failed)?;

        let mut writer = Writer::new(temporary.as_file(), &path);
        let rows = match self.kind {
            IoKind::Json => writer.json(content)?,
            IoKind::Csv => Some(writer.csv(content)?),
        };
        let (bytes, hash) = writer.finish()?;

        temporary.as_file().sync_all().map_err(failed)?;
        temporary.persist(&path).map_err(|error| failed(error.error))?;
        // The rename itself is only on disk once its folder is.
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok(Stored { path, bytes, rows, hash })
    }

    /// What is stored at `address`.
    pub fn load(&self, address: &Address) -> Result<Loaded, IoError> {
        match self.source(address)? {
            TableFile::Json(path) => load_json(&path).map(Loaded::Json),
            TableFile::Csv(path) => load_csv(&path).map(Loaded::Table),
        }
        .map_err(IoError::Unreadable)
    }

    /// The file of `address` as a source that a SQL step reads; it must be there.
    pub fn source(&self, address: &Address) -> Result<TableFile, IoError> {
        let path = self.path_of(address);
        if !path.is_file() {
            let asset = match &address.partition {
                None => address.asset.to_string(),
                Some(key) => format!("{} [{key}]", address.asset),
            };
            return Err(IoError::Missing { asset, path });
        }
        Ok(match self.kind {
            IoKind::Json => TableFile::Json(path),
            IoKind::Csv => TableFile::Csv(path),
        })
    }
}

fn load_json(path: &Path) -> Result<Value, TableError> {
    let file = crate::table::open(path, JSON_MAX)?;
    serde_json::from_reader(std::io::BufReader::new(file)).map_err(|error| TableError::Line {
        path: path.to_owned(),
        line: error.line() as u64,
        problem: error.to_string(),
    })
}

fn load_csv(path: &Path) -> Result<Table, TableError> {
    let mut reader = csv_reader(path, JSON_MAX)?;
    let columns = csv_columns(path, &mut reader)?;
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| csv_error(path, error))?;
        let value = |field: &str| match field {
            "" => Value::Null,
            text => Value::String(text.to_owned()),
        };
        rows.push(record.iter().map(value).collect());
    }
    Ok(Table { columns, rows })
}

/// A file in the making: everything written is counted and hashed.
struct Writer<'a> {
    path: &'a Path,
    file: Counted<'a>,
}

impl<'a> Writer<'a> {
    fn new(file: &'a File, path: &'a Path) -> Self {
        let file = BufWriter::with_capacity(1 << 16, file);
        Self { path, file: Counted { file, bytes: 0, hasher: ContentHasher::default() } }
    }

    /// Writes `content` as one document; how many rows it has if it is a table.
    fn json(&mut self, content: Content<'_>) -> Result<Option<u64>, IoError> {
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
    fn csv(&mut self, content: Content<'_>) -> Result<u64, IoError> {
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
                rows.finish()
            }
        }
    }

    fn csv_table(&mut self, table: &Table) -> Result<u64, IoError> {
        let mut rows = CsvRows::begin(self, &table.columns)?;
        for row in &table.rows {
            rows.row(row)?;
        }
        rows.finish()
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

    fn finish(mut self) -> Result<(u64, ContentHash), IoError> {
        self.file.flush().map_err(|source| self.failed(source))?;
        Ok((self.file.bytes, self.file.hasher.finish()))
    }
}

/// The rows of one CSV file.
struct CsvRows<'w, 'a> {
    path: &'a Path,
    csv: csv::Writer<&'w mut Counted<'a>>,
    count: u64,
}

impl<'w, 'a> CsvRows<'w, 'a> {
    fn begin(writer: &'w mut Writer<'a>, columns: &[String]) -> Result<Self, IoError> {
        if columns.is_empty() {
            let problem = "it has no columns".to_owned();
            return Err(IoError::NoTable { problem });
        }
        let mut rows =
            Self { path: writer.path, csv: csv::Writer::from_writer(&mut writer.file), count: 0 };
        rows.csv.write_record(columns).map_err(|error| failed(rows.path, error.into()))?;
        Ok(rows)
    }

    fn row(&mut self, values: &[Value]) -> Result<(), IoError> {
        self.count += 1;
        for value in values {
            let written = match value {
                Value::Null => self.csv.write_field(""),
                Value::String(text) => self.csv.write_field(text),
                other => self.csv.write_field(other.to_string()),
            };
            written.map_err(|error| failed(self.path, error.into()))?;
        }
        self.csv.write_record(None::<&[u8]>).map_err(|error| failed(self.path, error.into()))
    }

    fn finish(mut self) -> Result<u64, IoError> {
        self.csv.flush().map_err(|error| failed(self.path, error))?;
        Ok(self.count)
    }
}

fn failed(path: &Path, source: std::io::Error) -> IoError {
    IoError::Write { path: path.to_owned(), source }
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
