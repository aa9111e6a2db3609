//! IO managers for local files: results of assets as JSON or CSV, read again by later steps.
//!
//! The worker makes a [`FileIo`] for each IO manager of a plan. What an address means is
//! [`crate::layout`]'s business.
//!
//! **Invariant.** A result is either the whole old or the whole new one, also after a crash: it is
//! written beside its place, flushed to disk and renamed into it.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use millstream_model::ErrorCode;
use serde_json::Value;

use crate::crash::reach;
use crate::csv_file::{CsvReader, Field, Quotes};
use crate::sql::JSON_MAX;
use crate::writer::Writer;
use crate::{Address, Place, Stored, Table, TableError, TableFailure, TableFile};

/// An IO manager: a folder and the form in which results are kept below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileIo {
    base: PathBuf,
    form: FileForm,
}

/// The form of an IO manager's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileForm {
    /// One JSON document.
    Json,
    /// Rows as CSV with a header line.
    Csv,
}

impl FileForm {
    /// The file name extension, without the dot.
    fn extension(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
        }
    }
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
    /// The rows of a CSV file; every value is text or null.
    Table(Table),
}

/// A result cannot be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum IoError {
    /// The input was never made, or not by this IO manager.
    #[error("input {asset} does not exist: {reason}; make it with `{command}`")]
    Missing {
        /// The asset and partition, for people.
        asset: String,
        /// Where it should be.
        reason: String,
        /// What makes it.
        command: String,
    },
    /// The input is there and cannot be read.
    #[error("input cannot be read")]
    Unreadable(#[source] TableError),
    /// The result is no table, and the IO manager keeps tables.
    #[error("the result cannot be kept as rows: {problem}; or use an io of kind `json`")]
    NoTable {
        /// What was found, and what to write instead.
        problem: String,
    },
    /// The rows that the step left cannot be read back.
    #[error("the step's rows cannot be read")]
    Rows(#[source] TableError),
    /// The table cannot be written or read.
    #[error("{}", .0.message)]
    Table(TableFailure),
    /// What was asked to do the work ended without an answer.
    #[error("the result was not stored or read, because what did it ended")]
    Interrupted,
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
    /// There is nothing at `address`, for `reason`.
    pub(crate) fn missing(address: &Address, reason: String) -> Self {
        let asset = match &address.partition {
            None => address.asset.to_string(),
            Some(key) => format!("{} [{key}]", address.asset),
        };
        Self::Missing { asset, reason, command: address.command() }
    }

    /// The code for the user.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Missing { .. } | Self::Unreadable(_) => ErrorCode::StepInput,
            Self::Table(failure) => failure.code,
            Self::Interrupted => ErrorCode::Internal,
            Self::NoTable { .. } | Self::Rows(_) | Self::Write { .. } => ErrorCode::StepResult,
        }
    }

    /// The error and its causes in one line.
    pub fn message(&self) -> String {
        millstream_model::chain(self)
    }
}

impl FileIo {
    /// The IO manager of `form` below the folder `base`, which need not exist yet.
    pub fn new(form: FileForm, base: PathBuf) -> Self {
        Self { base, form }
    }

    /// The file of `address`.
    pub fn path_of(&self, address: &Address) -> PathBuf {
        self.base.join(address.relative_path(self.form.extension()))
    }

    /// Stores `content` at `address` in place of what was there.
    ///
    /// Crash-safe: at any moment the file is whole; what a crash leaves beside it begins with `.`.
    pub fn store(&self, address: &Address, content: Content<'_>) -> Result<Stored, IoError> {
        let path = self.path_of(address);
        let failed = |source| IoError::Write { path: path.clone(), source };
        let folder = path.parent().unwrap_or(&self.base);
        self.make_folder(folder).map_err(failed)?;
        let temporary = tempfile::Builder::new()
            .prefix(".writing-")
            // Other programs read the results; the umask still takes away what it should.
            .permissions(std::fs::Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(failed)?;

        let mut writer = Writer::new(temporary.as_file(), &path);
        let rows = match self.form {
            FileForm::Json => writer.json(content)?,
            FileForm::Csv => Some(writer.csv(content)?),
        };
        reach("file:begun");
        let (bytes, hash, notes) = writer.finish()?;

        temporary.as_file().sync_all().map_err(failed)?;
        reach("file:written");
        temporary.persist(&path).map_err(|error| failed(error.error))?;
        reach("file:placed");
        // The rename itself is only on disk once its folder is.
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok(Stored { place: Place::File(path), bytes, rows, hash, notes })
    }

    /// Makes `folder` so that a crash does not take it away again with what was stored in it.
    fn make_folder(&self, folder: &Path) -> std::io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        std::fs::create_dir_all(folder)?;
        for parent in folder.ancestors().skip(1).take_while(|it| it.starts_with(&self.base)) {
            File::open(parent)?.sync_all()?;
        }
        Ok(())
    }

    /// What is stored at `address`.
    pub fn load(&self, address: &Address) -> Result<Loaded, IoError> {
        match self.source(address)? {
            TableFile::Json(path) => load_json(&path).map(Loaded::Json),
            TableFile::Csv(path) | TableFile::KeptCsv(path) => load_csv(&path).map(Loaded::Table),
            TableFile::Rows(path) => Table::from_rows_file(&path, JSON_MAX).map(Loaded::Table),
        }
        .map_err(IoError::Unreadable)
    }

    /// The file of `address` as a source that a SQL step reads; it must be there.
    pub fn source(&self, address: &Address) -> Result<TableFile, IoError> {
        let path = self.path_of(address);
        if !path.is_file() {
            return Err(IoError::missing(address, format!("there is no file {}", path.display())));
        }
        Ok(match self.form {
            FileForm::Json => TableFile::Json(path),
            FileForm::Csv => TableFile::KeptCsv(path),
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
    let mut reader = CsvReader::open(path, JSON_MAX, Quotes::Text)?;
    let mut rows = Vec::new();
    while reader.next()? {
        let value = |field: Field<'_>| field.text.map_or(Value::Null, Value::from);
        rows.push(reader.record().fields().map(value).collect());
    }
    Ok(Table { columns: reader.columns().to_vec(), rows })
}
