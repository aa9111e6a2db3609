//! Tables of a Postgres database. Rows stream through `COPY`, a bounded number at a time.
//!
//! **Invariant.** A future that is dropped cancels what runs on the server too.

use bytes::Bytes;
use futures_util::{SinkExt, TryStreamExt};
use millstream_model::{ColumnType, LoadMode, ResourceDef};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Transaction};

use crate::columns::{Column, Shape};
use crate::crash::reach;
use crate::sql::{CancelOnDrop, Cell, Notices, RowsWriter, SqlError, connect, postgres_said};
use crate::tables::change::{Change, PARTITION, Present, change, doubted};
use crate::tables::ledger::{self, Entry, LEDGER};
use crate::tables::rows::FittedRows;
use crate::tables::{Keeper, ReadBack, TableIoError, TableName, TableRead, TableWrite, Written};
use crate::{Session, quote_identifier};

/// The bytes of rows that are sent at once.
const CHUNK: usize = 1 << 16;
/// How many of them wait for the server.
const CHUNKS_MAX: usize = 4;

/// Writes rows into a table of a Postgres database.
///
/// Crash-safe: the server rolls back what was not committed when the connection ends.
pub async fn write_postgres(write: &TableWrite) -> Result<Written, TableIoError> {
    let shape = write.shape_in_thread().await?;
    let (mut client, mut cancel) = open(&write.resource, &write.session).await?;
    let failed = |error| database(&write.table, "written", error);
    let transaction = client.transaction().await.map_err(failed)?;
    let into = OnTable { transaction: &transaction, table: &write.table };
    into.take_turns().await?;
    into.make_schema().await?;
    let was = match &write.keeper {
        None => None,
        Some(keeper) => into.claim(keeper).await?,
    };
    let mut present = into.present().await?;
    let wanted = write.wanted(&shape, present.as_deref())?;
    for column in doubted(write, present.as_mut(), &wanted) {
        column.is_null = into.is_null(&column.name).await?;
    }
    let was_whole = was.is_some_and(|entry| entry.partition == ledger::WHOLE);
    let change = change(write, present.as_deref(), &wanted, was_whole)?;
    let filled = into.prepare(write, &change, &wanted).await?;
    reach("table:emptied");
    let kept = change.left(present);
    into.copy(write, &filled, wanted, kept).await?;
    into.finish(write, &change, &filled).await?;
    reach("table:filled");
    if let Some(keeper) = &write.keeper {
        into.record(keeper, &shape, &change).await?;
    }
    reach("table:recorded");
    transaction.commit().await.map_err(failed)?;
    reach("table:stored");
    cancel.disarm();
    Ok(shape.into())
}

/// Copies the rows of an asset's result into a file.
pub async fn read_postgres(read: &TableRead) -> Result<ReadBack, TableIoError> {
    let (mut client, mut cancel) = open(&read.resource, &read.session).await?;
    let transaction = client
        .build_transaction()
        .read_only(true)
        .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
        .start()
        .await
        .map_err(|error| database(&read.table, "read", error))?;
    let from = OnTable { transaction: &transaction, table: &read.table };
    let missing = || ledger::missing(&read.keeper, &read.table);
    if !from.hold().await? || !from.has_entry(&read.keeper).await? {
        return Err(missing());
    }
    let present = from.present().await?.ok_or_else(missing)?;
    let back = from.export(read, &present).await?;
    cancel.disarm();
    Ok(back)
}

async fn open(
    resource: &ResourceDef,
    session: &Session,
) -> Result<(Client, CancelOnDrop), TableIoError> {
    match resource {
        ResourceDef::Postgres { url, .. } => Ok(connect(url, session, &Notices::default()).await?),
        ResourceDef::Sqlite { .. } | ResourceDef::Http(_) => {
            Err(SqlError::WrongResource { wanted: "postgres" }.into())
        }
    }
}

pub(super) fn database(table: &TableName, action: &'static str, error: Error) -> TableIoError {
    TableIoError::Database { table: table.to_string(), action, source: postgres_said(error, "") }
}

/// A table in a transaction.
pub(super) struct OnTable<'a> {
    pub(super) transaction: &'a Transaction<'a>,
    pub(super) table: &'a TableName,
}

/// What the server says of a table that is not there.
const ABSENT: &[SqlState] = &[SqlState::UNDEFINED_TABLE, SqlState::INVALID_SCHEMA_NAME];

type Params<'p> = &'p [&'p (dyn ToSql + Sync)];

impl OnTable<'_> {
    fn schema(&self) -> &str {
        self.table.schema.as_deref().unwrap_or("public")
    }

    fn beside(&self, table: &str) -> Result<String, TableIoError> {
        self.table.sibling(table).map_err(|source| self.table.unusable(source))
    }

    pub(super) async fn run(&self, action: &'static str, text: &str) -> Result<(), TableIoError> {
        let failed = |error| database(self.table, action, error);
        self.transaction.batch_execute(text).await.map_err(failed)
    }

    async fn execute(
        &self,
        action: &'static str,
        text: &str,
        params: Params<'_>,
    ) -> Result<(), TableIoError> {
        let failed = |error| database(self.table, action, error);
        self.transaction.execute(text, params).await.map(drop).map_err(failed)
    }

    /// Keeps the table from being exchanged until the transaction ends; whether it is there.
    ///
    /// It comes before every look: a look fixes what the transaction sees of the catalog, while a
    /// table is found by its name as it is now, and the two might then have other columns.
    pub(super) async fn hold(&self) -> Result<bool, TableIoError> {
        let table = self.table.quoted().map_err(|source| self.table.unusable(source))?;
        let text = format!("LOCK TABLE {table} IN ACCESS SHARE MODE");
        match self.transaction.batch_execute(&text).await {
            Ok(()) => Ok(true),
            Err(error) if error.code().is_some_and(|code| ABSENT.contains(code)) => Ok(false),
            Err(error) => Err(database(self.table, "read", error)),
        }
    }

    async fn exists(&self, table: &str) -> Result<bool, TableIoError> {
        let text = "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c \
                    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                    WHERE n.nspname = $1 AND c.relname = $2)";
        let failed = |error| database(self.table, "found", error);
        let row = self.transaction.query_one(text, &[&self.schema(), &table]).await;
        Ok(row.map_err(failed)?.get(0))
    }

    /// Waits for other writers of the schema: of one table there shall be one at a time, and two
    /// that make the same schema or ledger would fail each other.
    async fn take_turns(&self) -> Result<(), TableIoError> {
        let text = "SELECT pg_catalog.pg_advisory_xact_lock(\
                    pg_catalog.hashtext('millstream'), pg_catalog.hashtext($1))";
        self.execute("locked", text, &[&self.table.to_string()]).await?;
        if self.exists(LEDGER).await? {
            return Ok(());
        }
        self.execute("locked", text, &[&self.schema()]).await
    }

    async fn make_schema(&self) -> Result<(), TableIoError> {
        let text = "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)";
        let failed = |error| database(self.table, "found", error);
        let row = self.transaction.query_one(text, &[&self.schema()]).await.map_err(failed)?;
        if row.get(0) {
            return Ok(());
        }
        let schema =
            quote_identifier(self.schema()).map_err(|source| self.table.unusable(source))?;
        self.run("given its schema", &format!("CREATE SCHEMA IF NOT EXISTS {schema}")).await
    }

    /// Makes sure that the table is the keeper's; what the ledger says of it.
    async fn claim(&self, keeper: &Keeper) -> Result<Option<Entry>, TableIoError> {
        let ledger = self.beside(LEDGER)?;
        if !self.exists(LEDGER).await? {
            self.run("written", &ledger::create(&ledger)).await?;
        }
        let failed = |error| database(self.table, "found", error);
        let row = self
            .transaction
            .query_opt(&ledger::find(&ledger), &[&self.table.table])
            .await
            .map_err(failed)?;
        let entry =
            row.map(|row| Entry { tenant: row.get(0), asset: row.get(1), partition: row.get(2) });
        let is_present = self.exists(&self.table.table).await?;
        ledger::check(keeper, self.table, entry.as_ref(), is_present)?;
        Ok(entry)
    }

    pub(super) async fn has_entry(&self, keeper: &Keeper) -> Result<bool, TableIoError> {
        if !self.exists(LEDGER).await? {
            return Ok(false);
        }
        let text = ledger::has(&self.beside(LEDGER)?);
        let (tenant, asset) = (keeper.tenant.to_string(), keeper.asset.to_string());
        let partition = ledger::partition(keeper);
        let params: Params<'_> = &[&self.table.table, &partition, &tenant, &asset];
        let failed = |error| database(self.table, "read", error);
        let row = self.transaction.query_one(&text, params).await.map_err(failed)?;
        Ok(row.get::<_, i64>(0) > 0)
    }

    pub(super) async fn present(&self) -> Result<Option<Vec<Present>>, TableIoError> {
        let text = "SELECT a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod) \
                    FROM pg_catalog.pg_attribute a \
                    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
                    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                    WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 \
                    AND NOT a.attisdropped ORDER BY a.attnum";
        let failed = |error| database(self.table, "found", error);
        let params: Params<'_> = &[&self.schema(), &self.table.table];
        let rows = self.transaction.query(text, params).await.map_err(failed)?;
        let present: Vec<Present> = rows
            .iter()
            .map(|row| Present { name: row.get(0), kind: kind_of(row.get(1)), is_null: false })
            .collect();
        Ok((!present.is_empty()).then_some(present))
    }

    /// Whether the column `name` holds nothing but null.
    async fn is_null(&self, name: &str) -> Result<bool, TableIoError> {
        let text = self.table.is_null_text(name)?;
        let failed = |error| database(self.table, "found", error);
        let row = self.transaction.query_one(&text, &[]).await.map_err(failed)?;
        Ok(row.get(0))
    }

    /// Makes the table ready; the name, quoted, of the one that rows go into.
    async fn prepare(
        &self,
        write: &TableWrite,
        change: &Change,
        wanted: &[Column],
    ) -> Result<String, TableIoError> {
        let table = write.quoted()?;
        match change {
            Change::Create => {
                self.run("made", &write.create_text(&table, wanted, type_name)?).await?;
                Ok(table)
            }
            // Beside it: dropping takes a lock that readers wait for, so that comes at the end.
            Change::Swap => {
                let staged = self.beside(&staged_name(self.table))?;
                self.run("made", &write.create_text(&staged, wanted, type_name)?).await?;
                Ok(staged)
            }
            Change::Keep { add, widen, retype } => {
                let mut changes = Vec::new();
                for column in add {
                    changes.push(format!("ADD COLUMN {}", write.column_text(column, type_name)?));
                }
                for name in widen {
                    let name = self.table.list([name.as_str()].into_iter())?;
                    changes.push(format!("ALTER COLUMN {name} TYPE double precision"));
                }
                for column in retype {
                    let name = self.table.list([column.name.as_str()].into_iter())?;
                    let kind = type_name(column.kind);
                    changes.push(format!("ALTER COLUMN {name} TYPE {kind} USING NULL::{kind}"));
                }
                if !changes.is_empty() {
                    let text = format!("ALTER TABLE {table} {}", changes.join(", "));
                    self.run("changed", &text).await?;
                }
                self.empty(write, &table).await?;
                Ok(table)
            }
        }
    }

    async fn empty(&self, write: &TableWrite, table: &str) -> Result<(), TableIoError> {
        match (write.mode, write.partition()) {
            (LoadMode::Append, _) => Ok(()),
            // Not TRUNCATE: readers that began before would see an empty table.
            (LoadMode::Replace, None) => self.run("emptied", &format!("DELETE FROM {table}")).await,
            (LoadMode::Replace, Some(key)) => {
                let text = format!("DELETE FROM {table} WHERE {PARTITION} = $1");
                self.execute("emptied", &text, &[&key]).await
            }
        }
    }

    async fn finish(
        &self,
        write: &TableWrite,
        change: &Change,
        filled: &str,
    ) -> Result<(), TableIoError> {
        if *change != Change::Swap {
            return Ok(());
        }
        let table = write.quoted()?;
        let name = self.table.list([self.table.table.as_str()].into_iter())?;
        let text = format!("DROP TABLE {table}; ALTER TABLE {filled} RENAME TO {name}");
        self.run("replaced", &text).await
    }

    /// Sends the rows to the table `filled`.
    pub(super) async fn copy(
        &self,
        write: &TableWrite,
        filled: &str,
        wanted: Vec<Column>,
        present: Vec<Present>,
    ) -> Result<(), TableIoError> {
        let failed = |error| database(self.table, "filled", error);
        let text = format!("COPY {filled} ({}) FROM STDIN", write.names_text(&wanted)?);
        let sink = self.transaction.copy_in(&text).await.map_err(failed)?;
        let mut sink = std::pin::pin!(sink);
        let (sender, mut chunks) = mpsc::channel::<Bytes>(CHUNKS_MAX);
        let reading = write.clone();
        let reader = tokio::task::spawn_blocking(move || {
            send_rows(reading.fitted(&wanted, &present)?, &sender)
        });
        while let Some(chunk) = chunks.recv().await {
            sink.send(chunk).await.map_err(failed)?;
        }
        let ended = |_| TableIoError::ReaderEnded { table: self.table.to_string() };
        reader.await.map_err(ended)??;
        sink.finish().await.map(drop).map_err(failed)
    }

    async fn record(
        &self,
        keeper: &Keeper,
        shape: &Shape,
        change: &Change,
    ) -> Result<(), TableIoError> {
        let ledger = self.beside(LEDGER)?;
        let [forget_one, forget_all] = ledger::forget(&ledger);
        let name = &self.table.table;
        let partition = ledger::partition(keeper);
        if *change == Change::Swap || keeper.partition.is_none() {
            self.execute("recorded", &forget_all, &[name]).await?;
        } else {
            self.execute("recorded", &forget_one, &[name, &partition]).await?;
        }
        let (tenant, asset) = (keeper.tenant.to_string(), keeper.asset.to_string());
        let rows = i64::try_from(shape.rows).unwrap_or(i64::MAX);
        let hash = shape.hash.to_string();
        let params: Params<'_> = &[name, &partition, &tenant, &asset, &rows, &hash];
        self.execute("recorded", &ledger::record(&ledger), params).await
    }

    async fn export(
        &self,
        read: &TableRead,
        present: &[Present],
    ) -> Result<ReadBack, TableIoError> {
        let failed = |error| database(self.table, "read", error);
        let columns = present.iter().map(|it| &it.name).filter(|name| *name != PARTITION);
        let names: Vec<String> = columns.cloned().collect();
        let table = self.table.quoted().map_err(|source| self.table.unusable(source))?;
        let list = self.table.list(names.iter().map(String::as_str))?;
        let mut text = format!("SELECT {list} FROM {table}");
        let mut params: Vec<&str> = Vec::new();
        if let Some(key) = &read.keeper.partition {
            text.push_str(" WHERE ");
            text.push_str(PARTITION);
            text.push_str(" = $1");
            params.push(key.as_str());
        }
        let mut writer = RowsWriter::create(&read.rows, 1, &names)?;
        let rows = self.transaction.query_raw(&text, params).await.map_err(failed)?;
        let mut rows = std::pin::pin!(rows);
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            let mut values: Vec<Value> = Vec::with_capacity(names.len());
            for index in 0..names.len() {
                let Cell(value) = row.try_get(index).map_err(failed)?;
                values.push(value);
            }
            writer.row(&values)?;
        }
        let (rows, _) = writer.finish()?;
        Ok(ReadBack { rows })
    }
}

/// Hands over the rows in the text form of `COPY`, until nobody takes them any more.
fn send_rows(mut rows: FittedRows<'_>, chunks: &mpsc::Sender<Bytes>) -> Result<(), TableIoError> {
    let mut text = String::with_capacity(2 * CHUNK);
    while let Some(row) = rows.next_row()? {
        for (index, value) in row.iter().enumerate() {
            if index > 0 {
                text.push('\t');
            }
            let written = copy_text(value, &mut text);
            written.map_err(|problem| rows.refused(rows.column(index), problem.to_owned()))?;
        }
        text.push('\n');
        if text.len() >= CHUNK {
            let full = std::mem::replace(&mut text, String::with_capacity(2 * CHUNK));
            if chunks.blocking_send(full.into()).is_err() {
                return Ok(());
            }
        }
    }
    // Whoever stopped taking them has an error of its own to tell.
    chunks.blocking_send(text.into()).ok();
    Ok(())
}

/// Appends `value` as `COPY` reads it.
fn copy_text(value: &Value, text: &mut String) -> Result<(), &'static str> {
    match value {
        Value::Null => text.push_str("\\N"),
        Value::Bool(true) => text.push('t'),
        Value::Bool(false) => text.push('f'),
        Value::Number(number) => text.push_str(&number.to_string()),
        Value::String(string) => return escape(string, text),
        Value::Array(_) | Value::Object(_) => return escape(&value.to_string(), text),
    }
    Ok(())
}

fn escape(string: &str, text: &mut String) -> Result<(), &'static str> {
    for character in string.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\0' => return Err("it has a NUL character, which Postgres does not keep"),
            other => text.push(other),
        }
    }
    Ok(())
}

/// The name of the table that another is filled under before it takes the place of `table`.
fn staged_name(table: &TableName) -> String {
    let hash = millstream_model::ContentHash::of(table.table.as_bytes());
    format!("millstream_new_{}", hash.as_str().get(..16).unwrap_or_default())
}

pub(super) fn type_name(kind: Option<ColumnType>) -> &'static str {
    match kind {
        Some(ColumnType::Integer) => "bigint",
        Some(ColumnType::Real) => "double precision",
        Some(ColumnType::Boolean) => "boolean",
        Some(ColumnType::Json) => "jsonb",
        Some(ColumnType::Text) | None => "text",
    }
}

fn kind_of(declared: &str) -> Option<ColumnType> {
    ColumnType::ALL.into_iter().find(|kind| type_name(Some(*kind)) == declared)
}
