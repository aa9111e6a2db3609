//! Whose results the tables of a schema keep: a table of its own beside them.
//!
//! Without it a tenant could be given another's rows by a wrong `schema`, and a partition without
//! rows would look like one that was never made.

use crate::tables::{Keeper, TableIoError, TableName};

/// The table's name.
pub(super) const LEDGER: &str = "millstream_tables";

/// The partition of an asset that is one whole; no key is empty.
pub(super) const WHOLE: &str = "";

/// The statement that makes it.
pub(super) fn create(ledger: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {ledger} (name TEXT NOT NULL, partition TEXT NOT NULL, \
         tenant TEXT NOT NULL, asset TEXT NOT NULL, row_count BIGINT NOT NULL, \
         version TEXT NOT NULL, PRIMARY KEY (name, partition))"
    )
}

/// The statement that finds whose table it is, and whether it keeps one whole.
pub(super) fn find(ledger: &str) -> String {
    format!(
        "SELECT tenant, asset, partition FROM {ledger} WHERE name = $1 ORDER BY partition LIMIT 1"
    )
}

/// The statement that counts a keeper's results of one partition.
pub(super) fn has(ledger: &str) -> String {
    format!(
        "SELECT count(*) FROM {ledger} WHERE name = $1 AND partition = $2 AND tenant = $3 \
         AND asset = $4"
    )
}

/// The statement that says that a result is there.
pub(super) fn record(ledger: &str) -> String {
    format!("INSERT INTO {ledger} VALUES ($1, $2, $3, $4, $5, $6)")
}

/// The statements that forget results: of one partition, and of all.
pub(super) fn forget(ledger: &str) -> [String; 2] {
    [
        format!("DELETE FROM {ledger} WHERE name = $1 AND partition = $2"),
        format!("DELETE FROM {ledger} WHERE name = $1"),
    ]
}

/// What the ledger says of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) tenant: String,
    pub(super) asset: String,
    pub(super) partition: String,
}

/// Refuses a table that is there and is not the keeper's.
pub(super) fn check(
    keeper: &Keeper,
    table: &TableName,
    entry: Option<&Entry>,
    is_present: bool,
) -> Result<(), TableIoError> {
    match entry {
        None if is_present => Err(TableIoError::NotKept { table: table.to_string() }),
        None => Ok(()),
        Some(entry)
            if entry.tenant == keeper.tenant.as_str()
                && entry.asset == keeper.asset.to_string() =>
        {
            Ok(())
        }
        Some(entry) => Err(TableIoError::KeptForAnother {
            table: table.to_string(),
            tenant: entry.tenant.clone(),
            asset: entry.asset.clone(),
        }),
    }
}

/// The partition of `keeper` as the ledger has it.
pub(super) fn partition(keeper: &Keeper) -> &str {
    keeper.partition.as_ref().map_or(WHOLE, |key| key.as_str())
}

/// The error when `keeper` has nothing in `table`.
pub(super) fn missing(keeper: &Keeper, table: &TableName) -> TableIoError {
    let what = match &keeper.partition {
        None => format!("result of asset {}", keeper.asset),
        Some(key) => format!("result of asset {} for partition {key}", keeper.asset),
    };
    TableIoError::Missing { table: table.to_string(), what }
}
