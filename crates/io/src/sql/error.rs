//! Why a SQL step fails, sorted by what its author can do about it.

use std::path::PathBuf;

use millstream_model::ErrorCode;

use crate::{IdentifierError, TableError, TableIoError};

/// A failed SQL step. Nothing of it is committed.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// The resource is of another kind than the function that was called.
    #[error("the resource is not a {wanted} database")]
    WrongResource {
        /// The kind that was needed.
        wanted: &'static str,
    },
    /// The step is to read a database file that nothing has made yet.
    #[error(
        "database file {} does not exist, and a step with `read_only` does not make it; run the \
         step that writes it first",
        path.display()
    )]
    DatabaseMissing {
        /// The file.
        path: PathBuf,
    },
    /// The database cannot be opened or reached.
    #[error("database {database} cannot be opened")]
    Open {
        /// The file, or host and database name.
        database: String,
        /// What was said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The schema that the resource names is not there, so tables would land in another.
    #[error("schema {schema:?} does not exist; create it with `CREATE SCHEMA`")]
    SchemaMissing {
        /// The schema.
        schema: String,
    },
    /// What the step reads cannot be had.
    #[error(transparent)]
    Input(#[from] Box<TableIoError>),
    /// A file for a temporary table cannot be read.
    #[error("table {table:?} cannot be read")]
    Read {
        /// The temporary table.
        table: String,
        /// Why.
        #[source]
        source: TableError,
    },
    /// A temporary table cannot be made.
    #[error("table {table:?} cannot be filled")]
    Fill {
        /// The temporary table.
        table: String,
        /// What SQLite said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The name of a temporary table is not one.
    #[error("a table under `read` has no usable name")]
    ReadName(#[source] IdentifierError),
    /// The step has nothing to run.
    #[error("the step has no statements")]
    NoStatements,
    /// A statement is empty, or only a comment.
    #[error("statement {number} is empty")]
    Empty {
        /// Which, from 1.
        number: usize,
    },
    /// A text has several statements, of which rows and numbers could not be told apart.
    #[error("statement {number} holds more than one; write each as its own item of `statements`")]
    Several {
        /// Which, from 1.
        number: usize,
    },
    /// The database refused a statement.
    #[error("statement {number} failed")]
    Statement {
        /// Which, from 1.
        number: usize,
        /// What the database said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A statement does what a step may not.
    #[error("statement {number} is refused: {reason}")]
    Refused {
        /// Which, from 1.
        number: usize,
        /// What it wanted, and what to do instead.
        reason: String,
    },
    /// A statement names a parameter that is not there.
    #[error("statement {number} names the parameter `:{name}`, which is not there; {help}")]
    UnknownParameter {
        /// Which, from 1.
        number: usize,
        /// The parameter.
        name: String,
        /// The parameters there are, in words.
        help: String,
    },
    /// A statement has a placeholder without a name.
    #[error("statement {number} has the placeholder `{found}`; parameters are written `:name`")]
    NamelessParameter {
        /// Which, from 1.
        number: usize,
        /// What stands there.
        found: String,
    },
    /// A value does not fit where its parameter stands.
    #[error("statement {number}: parameter `:{name}` cannot be bound: {problem}")]
    Parameter {
        /// Which, from 1.
        number: usize,
        /// The parameter.
        name: String,
        /// Why not.
        problem: String,
    },
    /// The rows of a statement were asked for that gives none.
    #[error("statement {number} gives no rows; `rows` needs a last statement that selects some")]
    NoRows {
        /// Which, from 1.
        number: usize,
    },
    /// A value in the rows has no form in JSON.
    #[error("statement {number}: column {column:?} holds {what}; convert it in the statement")]
    Value {
        /// Which, from 1.
        number: usize,
        /// The column.
        column: String,
        /// What it holds.
        what: String,
    },
    /// The rows are more than a step may return.
    #[error("the rows of statement {number} take more than {limit} bytes; keep them in a table")]
    TooManyRows {
        /// Which, from 1.
        number: usize,
        /// The limit.
        limit: u64,
    },
    /// The rows cannot be written.
    #[error("rows cannot be written to {}", path.display())]
    RowsFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The database did not begin or commit the transaction.
    #[error("the transaction could not {what}")]
    Transaction {
        /// What was to happen.
        what: &'static str,
        /// What the database said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl SqlError {
    /// The code for the user.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::WrongResource { .. } => ErrorCode::StepResource,
            Self::DatabaseMissing { .. } | Self::Read { .. } => ErrorCode::StepInput,
            Self::Input(error) => error.code(),
            _ => ErrorCode::StepSql,
        }
    }

    /// The statement it happened in, from 1.
    pub fn statement(&self) -> Option<usize> {
        match self {
            Self::Empty { number }
            | Self::Several { number }
            | Self::Statement { number, .. }
            | Self::Refused { number, .. }
            | Self::UnknownParameter { number, .. }
            | Self::NamelessParameter { number, .. }
            | Self::Parameter { number, .. }
            | Self::NoRows { number }
            | Self::Value { number, .. }
            | Self::TooManyRows { number, .. } => Some(*number),
            _ => None,
        }
    }

    /// `name` is not among `known`.
    pub(super) fn unknown_parameter<'a>(
        number: usize,
        name: &str,
        known: impl Iterator<Item = &'a String>,
    ) -> Self {
        let known: Vec<String> = known.map(|known| format!("`:{known}`")).collect();
        let help = if known.is_empty() {
            "the step has no parameters; declare it under `params`".to_owned()
        } else {
            format!("there are {}; declare more under `params`", known.join(", "))
        };
        Self::UnknownParameter { number, name: name.to_owned(), help }
    }
}
