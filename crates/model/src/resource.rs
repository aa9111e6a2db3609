//! Resources and IO managers: what steps talk to and where results live.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{AssetKey, HttpResource, ResourceName};

/// What a step talks to.
///
/// Texts may hold templates over `tenant` and `env`; they are resolved when a step starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ResourceDef {
    /// A SQLite file.
    Sqlite {
        /// Its path, relative to the definition root.
        path: String,
    },
    /// A Postgres database.
    Postgres {
        /// The connection URL, as libpq writes it.
        url: String,
        /// The schema that stands first in the search path.
        #[serde(default)]
        schema: Option<String>,
    },
    /// An HTTP service.
    Http(HttpResource),
}

impl ResourceDef {
    /// The kinds' names as definition files write them.
    pub const KINDS: &[&str] = &["sqlite", "postgres", "http"];
}

/// Where the results of assets live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum IoDef {
    /// A JSON document for each result.
    Json(FolderIo),
    /// Rows as CSV with a header line.
    Csv(FolderIo),
    /// A table of a database for each asset.
    Table(TableIo),
}

impl IoDef {
    /// The kinds' names as definition files write them.
    pub const KINDS: &[&str] = &["json", "csv", "table"];

    /// The database that it keeps results in, if it does not keep files.
    pub fn resource(&self) -> Option<&ResourceName> {
        match self {
            Self::Json(_) | Self::Csv(_) => None,
            Self::Table(table) => Some(&table.resource),
        }
    }
}

/// A folder with a file for each result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FolderIo {
    /// The folder, relative to the definition root; a template over `env` and `tenant`.
    pub base: String,
}

/// Tables of a database, `{schema}.{table}`, one for each asset.
///
/// Texts may hold templates over `env` and `tenant`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableIo {
    /// The database: a resource of kind `sqlite` or `postgres`.
    pub resource: ResourceName,
    /// The schema; that of the resource, or else `public`, when absent. On SQLite, which has none,
    /// the tables' names begin with it.
    #[serde(default)]
    pub schema: Option<String>,
    /// The types of columns whose values do not say them, by the columns' names.
    #[serde(default)]
    pub columns: BTreeMap<String, ColumnType>,
}

impl TableIo {
    /// The name of the table that keeps `asset`: the parts of its key, joined by `__`.
    pub fn table_of(asset: &AssetKey) -> String {
        asset.parts().join("__")
    }
}

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// Whole numbers of 64 bits.
    Integer,
    /// Numbers with a fraction, of double precision.
    Real,
    /// Text, dates and times among it.
    Text,
    /// True and false.
    Boolean,
    /// Any JSON.
    Json,
}

impl ColumnType {
    /// Every type.
    pub const ALL: [Self; 5] = [Self::Integer, Self::Real, Self::Text, Self::Boolean, Self::Json];

    /// The name as definition files write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Real => "real",
            Self::Text => "text",
            Self::Boolean => "boolean",
            Self::Json => "json",
        }
    }
}
