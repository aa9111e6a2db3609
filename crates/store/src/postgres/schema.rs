//! The schema on the server: how far it is, bringing it up to date, and whether all texts fit it.

use deadpool_postgres::{GenericClient, Object};
use tokio_postgres::Error;

use super::failure;
use super::text::Texts;
use super::value::is_ours;
use crate::dialect::Dialect;
use crate::migrate::{self, CREATE_MIGRATION_TABLE, MIGRATIONS, Witness};
use crate::{SchemaState, StoreError};

/// One migration at a time: the lock is the transaction's, and waiting for it may take a while.
const LOCK: &str = "
    SET LOCAL lock_timeout = '5min';
    SET LOCAL statement_timeout = '30min';
    SELECT pg_advisory_xact_lock(7234017283807667300)";

#[expect(clippy::needless_pass_by_value, reason = "it is the function of a map_err")]
fn failed(error: Error) -> StoreError {
    failure::of("migrate", &error).error
}

/// How the schema stands to what this program needs.
pub(super) async fn state(connection: &Object) -> Result<SchemaState, StoreError> {
    let table = "SELECT to_regclass('migration') IS NOT NULL";
    let is_there: bool = connection.query_one(table, &[]).await.map_err(failed)?.get(0);
    if !is_there {
        return Ok(SchemaState::Behind { found: 0 });
    }
    migrate::state(&applied(connection).await?, Dialect::Postgres)
}

/// Brings the schema up to date in one transaction; returns how many migrations were applied.
pub(super) async fn migrate(
    connection: &mut Object,
    witness: Witness<'_>,
) -> Result<u32, StoreError> {
    let transaction = connection.transaction().await.map_err(failed)?;
    transaction.batch_execute(LOCK).await.map_err(failed)?;
    transaction.batch_execute(CREATE_MIGRATION_TABLE).await.map_err(failed)?;
    let found = match migrate::state(&applied(&transaction).await?, Dialect::Postgres)? {
        SchemaState::Current => return Ok(0),
        SchemaState::Ahead { found } => return Err(migrate::too_new(found)),
        SchemaState::Behind { found } => found,
    };
    let mut count = 0;
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > found) {
        transaction.batch_execute(&migration.sql(Dialect::Postgres)).await.map_err(failed)?;
        let checksum = migration.checksum(Dialect::Postgres);
        let remember = "INSERT INTO migration (version, name, checksum) VALUES ($1, $2, $3)";
        transaction
            .execute(remember, &[&migration.version, &migration.name, &checksum])
            .await
            .map_err(failed)?;
        witness(migration.name);
        count += 1;
    }
    transaction.commit().await.map_err(failed)?;
    Ok(count)
}

async fn applied(connection: &impl GenericClient) -> Result<Vec<(i64, String)>, StoreError> {
    let asked = "SELECT version, checksum FROM migration ORDER BY version";
    let rows = connection.query(asked, &[]).await.map_err(failed)?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Prepares every statement, also with its check of the rows touched; returns how many there are.
pub(super) async fn prepare_all(connection: &Object, texts: &Texts) -> Result<usize, StoreError> {
    let mut count = 0;
    for sql in crate::all_statements() {
        for text in texts.all_of(sql) {
            let prepared = connection.prepare(text).await;
            let statement = prepared.map_err(|error| failure::of(sql.name, &error).error)?;
            let columns = statement.columns().iter().map(tokio_postgres::Column::type_);
            if let Some(kind) = statement.params().iter().chain(columns).find(|kind| !is_ours(kind))
            {
                let message = format!("it has a parameter or column of type {kind}");
                return Err(StoreError::Refused { statement: sql.name, message });
            }
        }
        count += 1;
    }
    Ok(count)
}
