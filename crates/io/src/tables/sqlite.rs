//! Tables of a SQLite file. Blocking, and meant for a process of its own, as SQL steps are.

use std::path::Path;

use millstream_model::{ColumnType, LoadMode, ResourceDef};
use rusqlite::{Connection, OptionalExtension, params_from_iter};
use serde_json::Value;

use crate::columns::{Column, Shape, endless};
use crate::crash::reach;
use crate::sql::{RowsWriter, SqlError, bound, open_sqlite, sqlite_said};
use crate::tables::change::{Change, PARTITION, Present, change, doubted};
use crate::tables::ledger::{self, Entry, LEDGER};
use crate::tables::{Keeper, ReadBack, TableIoError, TableName, TableRead, TableWrite, Written};

/// Writes rows into a table of a SQLite file.
///
/// Crash-safe: SQLite undoes what was not committed when the file is next opened.
pub fn write_sqlite(write: &TableWrite) -> Result<Written, TableIoError> {
    let shape = write.shape()?;
    let connection = open_sqlite(file_of(&write.resource)?, false)?;
    let into = OnTable { connection: &connection, table: &write.table };
    into.run("written", "BEGIN IMMEDIATE")?;
    let was = match &write.keeper {
        None => None,
        Some(keeper) => into.claim(keeper)?,
    };
    let mut present = into.present()?;
    let wanted = write.wanted(&shape, present.as_deref())?;
    for column in doubted(write, present.as_mut(), &wanted) {
        column.is_null = into.is_null(&column.name)?;
    }
    let was_whole = was.is_some_and(|entry| entry.partition == ledger::WHOLE);
    let change = change(write, present.as_deref(), &wanted, was_whole)?;
    let notes = into.carry_out(write, &change, &wanted)?;
    reach("table:emptied");
    into.insert(write, &wanted, &change.left(present))?;
    reach("table:filled");
    if let Some(keeper) = &write.keeper {
        into.record(keeper, &shape, &change)?;
    }
    reach("table:recorded");
    into.run("written", "COMMIT")?;
    reach("table:stored");
    let mut written = Written::from(shape);
    written.notes.extend(notes);
    Ok(written)
}

/// Copies the rows of an asset's result into a file.
pub fn read_sqlite(read: &TableRead) -> Result<ReadBack, TableIoError> {
    let path = file_of(&read.resource)?;
    if !path.exists() {
        return Err(ledger::missing(&read.keeper, &read.table));
    }
    let connection = open_sqlite(path, true)?;
    let from = OnTable { connection: &connection, table: &read.table };
    from.run("read", "BEGIN")?;
    if !from.has_entry(&read.keeper)? {
        return Err(ledger::missing(&read.keeper, &read.table));
    }
    let Some(present) = from.present()? else {
        return Err(ledger::missing(&read.keeper, &read.table));
    };
    from.export(read, &present)
}

fn file_of(resource: &ResourceDef) -> Result<&Path, TableIoError> {
    match resource {
        ResourceDef::Sqlite { path } => Ok(Path::new(path)),
        ResourceDef::Postgres { .. } | ResourceDef::Http(_) => {
            Err(SqlError::WrongResource { wanted: "sqlite" }.into())
        }
    }
}

/// A table in a transaction.
pub(super) struct OnTable<'a> {
    pub(super) connection: &'a Connection,
    pub(super) table: &'a TableName,
}

impl OnTable<'_> {
    pub(super) fn failed(&self, action: &'static str, error: rusqlite::Error) -> TableIoError {
        let table = self.table.to_string();
        TableIoError::Database { table, action, source: sqlite_said(error) }
    }

    pub(super) fn run(&self, action: &'static str, text: &str) -> Result<(), TableIoError> {
        self.connection.execute_batch(text).map_err(|error| self.failed(action, error))
    }

    fn exists(&self, table: &str) -> Result<bool, TableIoError> {
        let text = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' \
                    AND name = ?1 COLLATE NOCASE)";
        self.connection
            .query_row(text, [table], |row| row.get(0))
            .map_err(|error| self.failed("found", error))
    }

    /// Makes sure that the table is the keeper's; what the ledger says of it.
    fn claim(&self, keeper: &Keeper) -> Result<Option<Entry>, TableIoError> {
        self.run("written", &ledger::create(LEDGER))?;
        let entry = self.entry()?;
        ledger::check(keeper, self.table, entry.as_ref(), self.exists(&self.table.table)?)?;
        Ok(entry)
    }

    fn entry(&self) -> Result<Option<Entry>, TableIoError> {
        let entry = |row: &rusqlite::Row<'_>| {
            Ok(Entry { tenant: row.get(0)?, asset: row.get(1)?, partition: row.get(2)? })
        };
        self.connection
            .query_row(&ledger::find(LEDGER), [&self.table.table], entry)
            .optional()
            .map_err(|error| self.failed("found", error))
    }

    fn has_entry(&self, keeper: &Keeper) -> Result<bool, TableIoError> {
        if !self.exists(LEDGER)? {
            return Ok(false);
        }
        let found = |error| self.failed("read", error);
        let tenant = keeper.tenant.to_string();
        let asset = keeper.asset.to_string();
        let values = [&self.table.table, ledger::partition(keeper), &tenant, &asset];
        self.connection
            .query_row(&ledger::has(LEDGER), values, |row| row.get::<_, i64>(0))
            .map(|count| count > 0)
            .map_err(found)
    }

    fn present(&self) -> Result<Option<Vec<Present>>, TableIoError> {
        let failed = |error| self.failed("found", error);
        let text = "SELECT name, type FROM pragma_table_info(?1)";
        let mut statement = self.connection.prepare(text).map_err(failed)?;
        let rows = statement.query_map([&self.table.table], |row| {
            let name: String = row.get(0)?;
            let declared: String = row.get(1)?;
            Ok(Present { name, kind: kind_of(&declared), is_null: false })
        });
        let present: Vec<Present> =
            rows.map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
        Ok((!present.is_empty()).then_some(present))
    }

    /// Whether the column `name` holds nothing but null.
    fn is_null(&self, name: &str) -> Result<bool, TableIoError> {
        let text = self.table.is_null_text(name)?;
        let answer = self.connection.query_row(&text, [], |row| row.get(0));
        answer.map_err(|error| self.failed("found", error))
    }

    /// Makes the table ready for its rows; lines for the step's log.
    fn carry_out(
        &self,
        write: &TableWrite,
        change: &Change,
        wanted: &[Column],
    ) -> Result<Vec<String>, TableIoError> {
        let table = write.quoted()?;
        let mut notes = Vec::new();
        match change {
            Change::Create => self.run("made", &write.create_text(&table, wanted, type_name)?)?,
            Change::Swap => {
                self.run("replaced", &format!("DROP TABLE {table}"))?;
                self.run("made", &write.create_text(&table, wanted, type_name)?)?;
            }
            Change::Keep { add, widen, retype } => {
                notes = self.widen(widen)?;
                // No column can be given another type here, and nothing is lost with one of nulls.
                for column in retype {
                    let name = self.table.list([column.name.as_str()].into_iter())?;
                    self.run("changed", &format!("ALTER TABLE {table} DROP COLUMN {name}"))?;
                }
                for column in add.iter().chain(retype) {
                    let definition = write.column_text(column, type_name)?;
                    self.run("changed", &format!("ALTER TABLE {table} ADD COLUMN {definition}"))?;
                }
                self.empty(write, &table)?;
            }
        }
        Ok(notes)
    }

    fn empty(&self, write: &TableWrite, table: &str) -> Result<(), TableIoError> {
        let partition = write.keeper.as_ref().and_then(|keeper| keeper.partition.as_ref());
        let failed = |error| self.failed("emptied", error);
        match (write.mode, partition) {
            (LoadMode::Append, _) => Ok(()),
            (LoadMode::Replace, None) => self.run("emptied", &format!("DELETE FROM {table}")),
            (LoadMode::Replace, Some(key)) => self
                .connection
                .execute(&format!("DELETE FROM {table} WHERE {PARTITION} = ?1"), [key.as_str()])
                .map(drop)
                .map_err(failed),
        }
    }

    fn insert(
        &self,
        write: &TableWrite,
        wanted: &[Column],
        present: &[Present],
    ) -> Result<(), TableIoError> {
        let failed = |error| self.failed("filled", error);
        let holes = vec!["?"; wanted.len()].join(", ");
        let text = format!(
            "INSERT INTO {} ({}) VALUES ({holes})",
            write.quoted()?,
            write.names_text(wanted)?
        );
        let mut statement = self.connection.prepare(&text).map_err(failed)?;
        let mut rows = write.fitted(wanted, present)?;
        while let Some(row) = rows.next_row()? {
            for (index, value) in row.iter().enumerate() {
                statement.raw_bind_parameter(index + 1, bound(value)).map_err(failed)?;
            }
            statement.raw_execute().map_err(failed)?;
        }
        Ok(())
    }

    fn record(&self, keeper: &Keeper, shape: &Shape, change: &Change) -> Result<(), TableIoError> {
        let failed = |error| self.failed("recorded", error);
        let [forget_one, forget_all] = ledger::forget(LEDGER);
        let name = self.table.table.as_str();
        let partition = ledger::partition(keeper);
        let forgotten = if *change == Change::Swap || keeper.partition.is_none() {
            self.connection.execute(&forget_all, [name])
        } else {
            self.connection.execute(&forget_one, [name, partition])
        };
        forgotten.map_err(failed)?;
        let values = [
            name.to_owned(),
            partition.to_owned(),
            keeper.tenant.to_string(),
            keeper.asset.to_string(),
            shape.rows.to_string(),
            shape.hash.to_string(),
        ];
        self.connection
            .execute(&ledger::record(LEDGER), params_from_iter(values))
            .map(drop)
            .map_err(failed)
    }

    fn export(&self, read: &TableRead, present: &[Present]) -> Result<ReadBack, TableIoError> {
        let failed = |error| self.failed("read", error);
        let columns: Vec<&Present> = present.iter().filter(|it| it.name != PARTITION).collect();
        let names: Vec<String> = columns.iter().map(|it| it.name.clone()).collect();
        let table = self.table.quoted().map_err(|source| self.table.unusable(source))?;
        let mut list = self.table.list(names.iter().map(String::as_str))?;
        if list.is_empty() {
            // Postgres takes a list of none.
            list.push_str("NULL");
        }
        let mut text = format!("SELECT {list} FROM {table}");
        if read.keeper.partition.is_some() {
            text.push_str(" WHERE ");
            text.push_str(PARTITION);
            text.push_str(" = ?1");
        }
        let mut statement = self.connection.prepare(&text).map_err(failed)?;
        if let Some(key) = &read.keeper.partition {
            statement.raw_bind_parameter(1, key.as_str()).map_err(failed)?;
        }
        let mut writer = RowsWriter::create(&read.rows, 1, &names)?;
        let mut rows = statement.raw_query();
        let mut values: Vec<Value> = Vec::with_capacity(columns.len());
        while let Some(row) = rows.next().map_err(failed)? {
            values.clear();
            for (index, column) in columns.iter().enumerate() {
                let cell = row.get_ref(index).map_err(failed)?;
                values.push(json(cell, column.kind));
            }
            writer.row(&values)?;
        }
        let (rows, _) = writer.finish()?;
        Ok(ReadBack { rows })
    }
}

/// The type of a column as SQLite is told it. Its affinity keeps every value that is put into it.
fn type_name(kind: Option<ColumnType>) -> &'static str {
    match kind {
        Some(ColumnType::Integer) => "INTEGER",
        Some(ColumnType::Real) => "REAL",
        Some(ColumnType::Boolean) => "BOOLEAN",
        Some(ColumnType::Json) => "JSON_TEXT",
        Some(ColumnType::Text) | None => "TEXT",
    }
}

fn kind_of(declared: &str) -> Option<ColumnType> {
    ColumnType::ALL.into_iter().find(|kind| type_name(Some(*kind)).eq_ignore_ascii_case(declared))
}

/// `cell` as the value that was stored in a column of `kind`.
fn json(cell: rusqlite::types::ValueRef<'_>, kind: Option<ColumnType>) -> Value {
    use rusqlite::types::ValueRef;
    match (cell, kind) {
        (ValueRef::Null, _) => Value::Null,
        (ValueRef::Integer(whole), Some(ColumnType::Boolean)) => (whole != 0).into(),
        (ValueRef::Integer(whole), _) => whole.into(),
        (ValueRef::Real(real), _) => {
            serde_json::Number::from_f64(real).map_or_else(|| endless(real).into(), Value::Number)
        }
        (ValueRef::Text(text) | ValueRef::Blob(text), kind) => {
            let text = String::from_utf8_lossy(text).into_owned();
            match kind {
                // Somebody else may have put in what is no JSON.
                Some(ColumnType::Json) => {
                    serde_json::from_str(&text).unwrap_or(Value::String(text))
                }
                _ => Value::String(text),
            }
        }
    }
}
