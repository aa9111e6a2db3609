//! Statements as constants that know their name, so that one test prepares every one of them.

use crate::dialect::Dialect;

/// A statement in the text that both databases share.
///
/// Parameters are written `$1`, `$2`, …; holes like `/*pairs $3*/` are filled by `dialect`.
#[derive(Debug, PartialEq, Eq)]
pub struct Sql {
    /// The constant's name, for errors and logs.
    pub name: &'static str,
    /// The text.
    pub text: &'static str,
}

impl Sql {
    /// The text as SQLite takes it, for whoever asks how it runs the statement.
    pub fn on_sqlite(&self) -> String {
        Dialect::Sqlite.render(self.text)
    }

    /// The text as Postgres takes it, for whoever asks how it runs the statement.
    pub fn on_postgres(&self) -> String {
        Dialect::Postgres.render(self.text)
    }
}

/// Declares statements as constants and lists them in `ALL`.
macro_rules! statements {
    ($($(#[$doc:meta])* $visibility:vis $name:ident = $text:expr;)*) => {
        $($(#[$doc])* $visibility static $name: $crate::Sql =
            $crate::Sql { name: stringify!($name), text: $text };)*
        /// Every statement of this file.
        pub(crate) static ALL: &[&$crate::Sql] = &[$(&$name,)*];
    };
}
pub(crate) use statements;

/// Every statement of the store.
pub fn all_statements() -> impl Iterator<Item = &'static Sql> {
    [
        crate::attention::ALL,
        crate::dead_letters::ALL,
        crate::definitions::ALL,
        crate::deliveries::ALL,
        crate::events::ALL,
        crate::gone::ALL,
        crate::instance::ALL,
        crate::leases::ALL,
        crate::live::ALL,
        crate::loops::ALL,
        crate::materializations::ALL,
        crate::outdated::ALL,
        crate::overrides::ALL,
        crate::partitions::ALL,
        crate::plans::ALL,
        crate::probe::ALL,
        crate::queue::ALL,
        crate::reports::ALL,
        crate::runs::ALL,
        crate::sensors::ALL,
        crate::slots::ALL,
        crate::sources::ALL,
        crate::steps::ALL,
        crate::ticks::ALL,
        crate::versions::ALL,
    ]
    .into_iter()
    .flatten()
    .copied()
}
