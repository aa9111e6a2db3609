//! What a SQL step on Postgres reads, under names of its own: a file's rows as a temporary table,
//! and an asset that is kept in the same database as a view on its rows.
//!
//! Made before the step's transaction begins, so that one that only reads can use them too.

use std::collections::BTreeMap;

use millstream_model::LoadMode;
use tokio_postgres::Client;

use crate::sql::{Session, SqlRequest};
use crate::tables::change::PARTITION;
use crate::tables::ledger;
use crate::tables::postgres::{OnTable, database, type_name};
use crate::tables::{Kept, TableIoError, TableName, TableWrite};
use crate::{Address, IoError, TableFile};

/// The schema that Postgres takes for a session's own.
const TEMPORARY: &str = "pg_temp";

/// Makes the temporary tables and views of `request`; the notes are for the step's log.
pub(crate) async fn make_inputs(
    client: &mut Client,
    request: &SqlRequest,
) -> Result<Vec<String>, TableIoError> {
    let mut notes = Vec::new();
    for (name, kept) in &request.kept {
        make_view(client, name, kept).await?;
    }
    for (name, file) in &request.read {
        let told = fill(client, name, file, request).await?;
        notes.extend(told.into_iter().filter(|_| !request.emptied.contains(name)));
    }
    Ok(notes)
}

async fn fill(
    client: &mut Client,
    name: &str,
    file: &TableFile,
    request: &SqlRequest,
) -> Result<Vec<String>, TableIoError> {
    let write = TableWrite {
        resource: request.resource.clone(),
        table: TableName { schema: Some(TEMPORARY.to_owned()), table: name.to_owned() },
        columns: BTreeMap::new(),
        mode: LoadMode::Append,
        source: file.clone(),
        keeper: None,
        session: Session::default(),
    };
    let shape = write.shape_in_thread().await?;
    let wanted = write.wanted(&shape, None)?;
    let failed = |error| database(&write.table, "filled", error);
    let transaction = client.transaction().await.map_err(failed)?;
    let into = OnTable { transaction: &transaction, table: &write.table };
    let table = write.quoted()?;
    into.run("made", &write.create_text(&table, &wanted, type_name)?).await?;
    if !request.emptied.contains(name) {
        into.copy(&write, &table, wanted, Vec::new()).await?;
    }
    transaction.commit().await.map_err(failed)?;
    Ok(shape.notes)
}

async fn make_view(client: &mut Client, name: &str, kept: &Kept) -> Result<(), TableIoError> {
    let failed = |error| database(&kept.table, "read", error);
    let transaction = client.transaction().await.map_err(failed)?;
    let from = OnTable { transaction: &transaction, table: &kept.table };
    let missing = || {
        let reason = ledger::missing(&kept.keeper, &kept.table).to_string();
        TableIoError::Input(Box::new(IoError::missing(&Address::from(&kept.keeper), reason)))
    };
    if !from.hold().await? || !from.has_entry(&kept.keeper).await? {
        return Err(missing());
    }
    let present = from.present().await?.ok_or_else(missing)?;
    let names = present.iter().map(|it| it.name.as_str()).filter(|name| *name != PARTITION);
    let list = kept.table.list(names)?;
    let view = TableName { schema: Some(TEMPORARY.to_owned()), table: name.to_owned() };
    let quoted = |table: &TableName| table.quoted().map_err(|source| table.unusable(source));
    let mut text =
        format!("CREATE VIEW {} AS SELECT {list} FROM {}", quoted(&view)?, quoted(&kept.table)?);
    if let Some(key) = &kept.keeper.partition {
        // A view has no parameters.
        let key = key.as_str().replace('\\', "\\\\").replace('\'', "''");
        for part in [" WHERE ", PARTITION, " = E'", key.as_str(), "'"] {
            text.push_str(part);
        }
    }
    from.run("read", &text).await?;
    transaction.commit().await.map_err(failed)
}
