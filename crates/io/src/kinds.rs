//! What every IO manager does, and the one place that knows their kinds.
//!
//! The worker opens one by its definition, with every template resolved, and then only stores and
//! reads. To add a kind is an arm of [`open`] and a type that implements [`IoManager`].
//!
//! **Invariant.** A result is stored as a whole or not at all, and readers see the old or the new.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use millstream_model::{ColumnType, ContentHash, PartitionKey, ResourceDef};
use serde_json::Value;

use crate::files::FileForm;
use crate::tables::TableName;
use crate::{Address, Content, FileIo, IoError, Session, TableFile, TableKeeper};

/// Keeps the results of assets and gives them back.
pub trait IoManager: Send + Sync {
    /// Where the result of `address` is. Nothing secret is in it.
    fn place(&self, address: &Address) -> Place;

    /// Stores `output` at `address` in place of what was there.
    fn store<'a>(
        &'a self,
        address: &'a Address,
        output: Output,
    ) -> BoxFuture<'a, Result<Stored, IoError>>;

    /// A file with the rows at `address`: its own, or else a copy at `copy`.
    fn rows<'a>(
        &'a self,
        address: &'a Address,
        copy: &'a Path,
    ) -> BoxFuture<'a, Result<TableFile, IoError>>;
}

/// What a step leaves to be kept.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// A value.
    Value(Value),
    /// Rows in a file of the rows form.
    Rows(PathBuf),
}

/// Where a result is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a file.
    File(PathBuf),
    /// In a table, of which it may be a part.
    Table {
        /// The table.
        table: TableName,
        /// The partition whose rows it is; all of them when absent.
        partition: Option<PartitionKey>,
    },
}

/// What was stored, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The file or table.
    pub place: Place,
    /// Its size; of rows in a table, that of their JSON.
    pub bytes: u64,
    /// How many rows it has, when it is a table.
    pub rows: Option<u64>,
    /// The hash of its content: the version of the data.
    pub hash: ContentHash,
    /// Further lines for the step's log.
    pub notes: Vec<String>,
}

impl Stored {
    /// The line for the step's log.
    pub fn log_line(&self) -> String {
        match &self.place {
            Place::File(path) => format!("Wrote to {}", path.display()),
            Place::Table { table, partition: None } => format!("Wrote to {table}"),
            Place::Table { table, partition: Some(key) } => {
                format!("Wrote to {table}, partition {key}")
            }
        }
    }
}

/// An IO manager's definition with every template resolved and every path absolute.
#[derive(Debug, Clone, PartialEq)]
pub enum IoSettings {
    /// A file for each result below `base`.
    Folder {
        /// The form of the files.
        form: FileForm,
        /// The folder.
        base: PathBuf,
    },
    /// A table for each asset.
    Table {
        /// The database.
        resource: Box<ResourceDef>,
        /// The schema, if not the resource's own.
        schema: Option<String>,
        /// The types of columns whose values do not say them.
        columns: BTreeMap<String, ColumnType>,
        /// How the server knows the step.
        session: Session,
    },
}

/// The IO manager of `settings`; SQLite's work is done by `child`.
pub fn open<'c>(settings: IoSettings, child: &'c dyn RunChild) -> Box<dyn IoManager + 'c> {
    match settings {
        IoSettings::Folder { form, base } => Box::new(FileIo::new(form, base)),
        IoSettings::Table { resource, schema, columns, session } => {
            Box::new(TableKeeper { resource: *resource, schema, columns, session, child })
        }
    }
}

/// Runs work on a SQLite file in a process of its own.
pub trait RunChild: Send + Sync {
    /// Has `request` done by [`crate::sql_child`].
    fn run(
        &self,
        request: crate::sql_child::ChildRequest,
    ) -> BoxFuture<'_, Result<crate::TableAnswer, IoError>>;
}

impl IoManager for FileIo {
    fn place(&self, address: &Address) -> Place {
        Place::File(self.path_of(address))
    }

    fn store<'a>(
        &'a self,
        address: &'a Address,
        output: Output,
    ) -> BoxFuture<'a, Result<Stored, IoError>> {
        let (io, address) = (self.clone(), address.clone());
        let store = move || match &output {
            Output::Value(value) => FileIo::store(&io, &address, Content::Json(value)),
            Output::Rows(path) => FileIo::store(&io, &address, Content::RowsFile(path)),
        };
        // Nothing is written for a caller that does not wait.
        let storing = async { tokio::task::spawn_blocking(store).await };
        storing.map(|stored| stored.map_err(|_| IoError::Interrupted)?).boxed()
    }

    fn rows<'a>(
        &'a self,
        address: &'a Address,
        _copy: &'a Path,
    ) -> BoxFuture<'a, Result<TableFile, IoError>> {
        std::future::ready(self.source(address)).boxed()
    }
}
