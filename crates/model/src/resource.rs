//! Resources and IO managers: what steps talk to and where results live.

use serde::{Deserialize, Serialize};

use crate::HttpResource;

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
pub struct IoDef {
    /// The form they are written in.
    pub kind: IoKind,
    /// The folder they are below, relative to the definition root; a template over `env`, `tenant`.
    pub base: String,
}

/// The forms of stored results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IoKind {
    /// One JSON document.
    Json,
    /// Rows as CSV with a header line.
    Csv,
}

impl IoKind {
    /// The kinds' names as definition files write them.
    pub const KINDS: &[&str] = &["json", "csv"];

    /// The file name extension, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
        }
    }
}
