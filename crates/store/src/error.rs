//! What a call of the store can fail with, sorted by what the caller can do.

use millstream_model::ErrorCode;

/// A failed store call.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database did not answer. Retrying later may help; daemons do, requests answer 503.
    #[error("the database is not available: {0}")]
    Unavailable(String),

    /// The way to the database is not encrypted as its address asks. Another try does not help.
    #[error("the connection to the database is refused: {0}")]
    Tls(String),

    /// A statement of the batch touched another number of rows than it must: someone was faster.
    /// Nothing of the batch is stored; load again and decide again.
    #[error("`{statement}` found the row changed by someone else")]
    Conflict {
        /// The statement's name.
        statement: &'static str,
    },

    /// A unique key is taken: what should be stored is there already.
    #[error("`{statement}` found the key taken")]
    Duplicate {
        /// The statement's name.
        statement: &'static str,
    },

    /// A row holds a value this version cannot read: newer data, or a hand-made edit.
    #[error("`{statement}` read {value} in column {column}, which this version does not know")]
    UnknownValue {
        /// The statement's name.
        statement: &'static str,
        /// The column, from 1.
        column: usize,
        /// What was there.
        value: String,
    },

    /// Another process owns the embedded database file.
    #[error("{path} is in use by process {owner}; stop it, or talk to it with `--url`")]
    Owned {
        /// The file.
        path: String,
        /// Who owns it.
        owner: String,
    },

    /// The schema is not this version's.
    #[error("the database has schema version {found}, this program needs {needed}; {help}")]
    Schema {
        /// The version found.
        found: i64,
        /// The version needed.
        needed: i64,
        /// What to do.
        help: &'static str,
    },

    /// The database refused a statement: a defect of this program.
    #[error("the database refused `{statement}`: {message}")]
    Refused {
        /// The statement's name.
        statement: &'static str,
        /// What it said.
        message: String,
    },
}

impl StoreError {
    /// The code of the page that explains it.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Unavailable(_) => ErrorCode::DatabaseUnavailable,
            Self::Tls(_) => ErrorCode::DatabaseTls,
            Self::UnknownValue { .. } => ErrorCode::DatabaseValue,
            Self::Owned { .. } => ErrorCode::DatabaseOwned,
            Self::Schema { .. } => ErrorCode::DatabaseSchema,
            Self::Conflict { .. } | Self::Duplicate { .. } | Self::Refused { .. } => {
                ErrorCode::Internal
            }
        }
    }

    /// Whether someone else was faster, so that loading and deciding again is the answer.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. } | Self::Duplicate { .. })
    }
}
