//! Why rows do not get into a table, or out of it.

use millstream_model::{ErrorCode, chain};
use serde::{Deserialize, Serialize};

use crate::sql::SqlError;
use crate::{IdentifierError, IoError, TableError};

/// A failed way into a table or out of it. Nothing of it is committed.
#[derive(Debug, thiserror::Error)]
pub enum TableIoError {
    /// The database cannot be opened or reached, or the rows file not be written.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// A name is none that the database takes.
    #[error("table {table} cannot be used")]
    Name {
        /// The table.
        table: String,
        /// Why.
        #[source]
        source: IdentifierError,
    },
    /// The rows cannot be read.
    #[error("the rows for table {table} cannot be read")]
    Source {
        /// The table.
        table: String,
        /// Why.
        #[source]
        source: TableError,
    },
    /// There are no rows, no declared columns, and no table yet.
    #[error(
        "table {table} cannot be made: there are no rows to see its columns by; declare them \
         under `columns`, or let the asset say `output_required: false`"
    )]
    NoColumns {
        /// The table.
        table: String,
    },
    /// The name of a column is one that this program needs.
    #[error("column {column:?} cannot be kept, because the partition stands in it; rename it")]
    Reserved {
        /// The column.
        column: &'static str,
    },
    /// A value is not of its column's type.
    #[error(
        "row {row}, column {column:?} of table {table}: {problem}; mend the value, or declare \
         another type under `columns`"
    )]
    Value {
        /// The table.
        table: String,
        /// Which row, from 1.
        row: u64,
        /// The column.
        column: String,
        /// What it is, shortened.
        problem: String,
    },
    /// The table has another type for a column, and rows that stay.
    #[error(
        "column {column:?} of table {table} is of type `{has}`, and the new rows hold `{wanted}`; \
         {remedy}"
    )]
    ColumnChanged {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The type that it has.
        has: &'static str,
        /// What the rows have.
        wanted: &'static str,
        /// What there is to do.
        remedy: String,
    },
    /// A table of that name is there, and no IO manager made it.
    #[error(
        "table {table} exists and holds no asset, so it is left alone; give the IO manager another \
         `schema`, or drop the table"
    )]
    NotKept {
        /// The table.
        table: String,
    },
    /// The table is another's.
    #[error(
        "table {table} holds the asset {asset} of tenant {tenant}; give each tenant its own, with \
         `{{{{ tenant.id }}}}` in the IO manager's `schema` or in the resource"
    )]
    KeptForAnother {
        /// The table.
        table: String,
        /// Whose it is.
        tenant: String,
        /// What it holds.
        asset: String,
    },
    /// There is nothing to read.
    #[error("there is no {what} in table {table}")]
    Missing {
        /// The table.
        table: String,
        /// Rows, or those of a partition.
        what: String,
    },
    /// What a statement reads was never made.
    #[error(transparent)]
    Input(Box<IoError>),
    /// The database refused.
    #[error("table {table} cannot be {action}")]
    Database {
        /// The table.
        table: String,
        /// What was to be done.
        action: &'static str,
        /// What the database said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The thread that reads the rows ended.
    #[error("the rows for table {table} were not read to their end")]
    ReaderEnded {
        /// The table.
        table: String,
    },
    /// The resource is no database that this build can load into.
    #[error("the resource keeps no tables; name one of kind `sqlite` or `postgres`")]
    Unsupported,
}

impl TableIoError {
    /// The code for the user.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Sql(error) => error.code(),
            Self::Missing { .. } => ErrorCode::StepInput,
            Self::Input(error) => error.code(),
            Self::Source { .. } | Self::NoColumns { .. } | Self::Value { .. } => {
                ErrorCode::StepResult
            }
            Self::Unsupported => ErrorCode::StepResource,
            _ => ErrorCode::StepSql,
        }
    }
}

/// A [`TableIoError`] as a value that can be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableFailure {
    /// The code, whose page explains it.
    pub code: ErrorCode,
    /// What happened, in words, with its causes.
    pub message: String,
}

impl From<&TableIoError> for TableFailure {
    fn from(error: &TableIoError) -> Self {
        Self { code: error.code(), message: chain(error) }
    }
}
