//! The database that a goal is measured on: the embedded one, or the Postgres that was named.

use std::fmt;

/// A database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Database<'url> {
    /// The file in the goal's own folder.
    Embedded,
    /// The database at this address.
    Postgres(&'url str),
}

impl<'url> Database<'url> {
    /// Rows that a batch of events has beside those of its events: the one whose position a
    /// publisher sets.
    pub(super) fn batch_rows(self) -> u32 {
        match self {
            Self::Embedded => 0,
            Self::Postgres(_) => 1,
        }
    }

    /// Each in turn: the embedded one, and the one at `postgres` where that was named.
    pub(super) fn each(postgres: Option<&'url str>) -> impl Iterator<Item = Self> {
        [Self::Embedded].into_iter().chain(postgres.map(Self::Postgres))
    }

    /// The address that the settings name; the embedded one has none.
    pub(super) fn url(self) -> Option<String> {
        match self {
            Self::Embedded => None,
            Self::Postgres(url) => Some(url.to_owned()),
        }
    }
}

impl fmt::Display for Database<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Embedded => "SQLite",
            Self::Postgres(_) => "Postgres",
        })
    }
}
