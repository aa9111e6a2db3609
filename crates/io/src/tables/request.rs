//! What is asked of tables and what is answered: values that cross a process boundary as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use millstream_model::{
    AssetKey, ColumnType, ContentHash, LoadMode, PartitionKey, ResourceDef, TenantId,
};
use serde::{Deserialize, Serialize};

use crate::sql::Session;
use crate::tables::TableFailure;
use crate::{Address, IdentifierError, TableFile, quote_identifier};

/// A table's name in its database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableName {
    /// The schema; none on SQLite.
    pub schema: Option<String>,
    /// The table.
    pub table: String,
}

impl TableName {
    /// `table` in `resource`, below `schema` or else the resource's own.
    ///
    /// SQLite has no schemas, so there a name begins with it: `jfk__orders`.
    pub fn new(resource: &ResourceDef, schema: Option<&str>, table: String) -> Self {
        match (resource, schema) {
            (ResourceDef::Sqlite { .. }, Some(schema)) => {
                Self { schema: None, table: format!("{schema}__{table}") }
            }
            // Nothing is written to what is no database.
            (ResourceDef::Sqlite { .. }, None) | (ResourceDef::Http(_), _) => {
                Self { schema: None, table }
            }
            (ResourceDef::Postgres { schema: own, .. }, schema) => {
                let schema = schema.or(own.as_deref()).unwrap_or("public");
                Self { schema: Some(schema.to_owned()), table }
            }
        }
    }

    /// The name as it is written in a statement.
    pub fn quoted(&self) -> Result<String, IdentifierError> {
        self.sibling(&self.table)
    }

    /// Another table beside this one, as it is written in a statement.
    pub(super) fn sibling(&self, table: &str) -> Result<String, IdentifierError> {
        let table = quote_identifier(table)?;
        match &self.schema {
            Some(schema) => Ok(format!("{}.{table}", quote_identifier(schema)?)),
            None => Ok(table),
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.table),
            None => f.write_str(&self.table),
        }
    }
}

/// Whose result a table keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keeper {
    /// The tenant.
    pub tenant: TenantId,
    /// The asset.
    pub asset: AssetKey,
    /// The partition; `None` for an asset that is one whole.
    pub partition: Option<PartitionKey>,
}

impl From<&Address> for Keeper {
    fn from(address: &Address) -> Self {
        let Address { tenant, asset, partition } = address.clone();
        Self { tenant, asset, partition }
    }
}

impl From<&Keeper> for Address {
    fn from(keeper: &Keeper) -> Self {
        let Keeper { tenant, asset, partition } = keeper.clone();
        Self { tenant, asset, partition }
    }
}

/// A result in a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// The table.
    pub table: TableName,
    /// Whose result.
    pub keeper: Keeper,
}

/// Rows that are to be in a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableWrite {
    /// The database; a SQLite path is absolute.
    pub resource: ResourceDef,
    /// The table.
    pub table: TableName,
    /// The types of columns whose values do not say them.
    #[serde(default)]
    pub columns: BTreeMap<String, ColumnType>,
    /// What becomes of the rows that the table has.
    pub mode: LoadMode,
    /// The rows.
    pub source: TableFile,
    /// Whose result it is, where an IO manager keeps it: of its table it owns every row, and the
    /// rows of other partitions stay.
    #[serde(default)]
    pub keeper: Option<Keeper>,
    /// How the server knows the step.
    #[serde(default)]
    pub session: Session,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// How many rows.
    pub rows: u64,
    /// How many bytes they take as JSON.
    pub bytes: u64,
    /// The hash of the rows: the version of the data.
    pub hash: ContentHash,
    /// Lines for the step's log.
    pub notes: Vec<String>,
}

/// A table whose rows are wanted in a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableRead {
    /// The database; a SQLite path is absolute.
    pub resource: ResourceDef,
    /// The table.
    pub table: TableName,
    /// Whose result.
    pub keeper: Keeper,
    /// Where its rows go, in the rows form.
    pub rows: PathBuf,
    /// How the server knows the step.
    #[serde(default)]
    pub session: Session,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadBack {
    /// How many rows.
    pub rows: u64,
}

/// What the child process leaves behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableAnswer {
    /// The rows are in the table.
    Wrote(Written),
    /// The rows are in the file.
    Read(ReadBack),
    /// Nothing is changed.
    Failed(TableFailure),
}
