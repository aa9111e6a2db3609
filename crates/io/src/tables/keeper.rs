//! The IO manager of kind `table`: an asset is a table, and a partition some of its rows.

use std::collections::BTreeMap;
use std::path::Path;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use millstream_model::{ColumnType, ErrorCode, LoadMode, ResourceDef, TableIo};

use crate::kinds::{IoManager, Output, Place, RunChild, Stored};
use crate::sql_child::ChildRequest;
use crate::tables::{
    Keeper, TableAnswer, TableFailure, TableIoError, TableName, TableRead, TableWrite, Written,
    read_postgres, write_postgres,
};
use crate::{Address, IoError, Session, Table, TableFile};

/// An IO manager that keeps tables.
pub struct TableKeeper<'c> {
    pub(crate) resource: ResourceDef,
    pub(crate) schema: Option<String>,
    pub(crate) columns: BTreeMap<String, ColumnType>,
    pub(crate) session: Session,
    pub(crate) child: &'c dyn RunChild,
}

impl TableKeeper<'_> {
    fn table(&self, address: &Address) -> TableName {
        let table = TableIo::table_of(&address.asset);
        TableName::new(&self.resource, self.schema.as_deref(), table)
    }

    async fn write(&self, address: &Address, output: Output) -> Result<Stored, IoError> {
        let mut spooled = None;
        let source = match output {
            Output::Rows(path) => TableFile::Rows(path),
            Output::Value(value) => {
                let table =
                    Table::from_json(&value).map_err(|problem| IoError::NoTable { problem })?;
                let file = spool(&table)?;
                TableFile::Rows(spooled.insert(file).path().to_owned())
            }
        };
        let table = self.table(address);
        let write = TableWrite {
            resource: self.resource.clone(),
            table: table.clone(),
            columns: self.columns.clone(),
            mode: LoadMode::Replace,
            source,
            keeper: Some(Keeper::from(address)),
            session: self.session.clone(),
        };
        let Written { rows, bytes, hash, notes } = write_table(write, self.child).await?;
        let place = Place::Table { table, partition: address.partition.clone() };
        Ok(Stored { place, bytes, rows: Some(rows), hash, notes })
    }

    async fn read(&self, address: &Address, copy: &Path) -> Result<TableFile, IoError> {
        let read = TableRead {
            resource: self.resource.clone(),
            table: self.table(address),
            keeper: Keeper::from(address),
            rows: copy.to_owned(),
            session: self.session.clone(),
        };
        let answer = match &self.resource {
            ResourceDef::Postgres { .. } => match read_postgres(&read).await {
                Ok(back) => TableAnswer::Read(back),
                Err(error) => TableAnswer::Failed(TableFailure::from(&error)),
            },
            ResourceDef::Sqlite { .. } => self.child.run(ChildRequest::Read(read)).await?,
            ResourceDef::Http(_) => {
                TableAnswer::Failed(TableFailure::from(&TableIoError::Unsupported))
            }
        };
        match answer {
            TableAnswer::Read(_) => Ok(TableFile::Rows(copy.to_owned())),
            TableAnswer::Failed(failure) if failure.code == ErrorCode::StepInput => {
                Err(IoError::missing(address, failure.message))
            }
            TableAnswer::Failed(failure) => Err(IoError::Table(failure)),
            TableAnswer::Wrote(_) => Err(IoError::Interrupted),
        }
    }
}

impl IoManager for TableKeeper<'_> {
    fn place(&self, address: &Address) -> Place {
        Place::Table { table: self.table(address), partition: address.partition.clone() }
    }

    fn store<'a>(
        &'a self,
        address: &'a Address,
        output: Output,
    ) -> BoxFuture<'a, Result<Stored, IoError>> {
        self.write(address, output).boxed()
    }

    fn rows<'a>(
        &'a self,
        address: &'a Address,
        copy: &'a Path,
    ) -> BoxFuture<'a, Result<TableFile, IoError>> {
        self.read(address, copy).boxed()
    }
}

/// Writes rows into a table, on Postgres from here and on SQLite by `child`.
pub async fn write_table(write: TableWrite, child: &dyn RunChild) -> Result<Written, IoError> {
    let answer = match &write.resource {
        ResourceDef::Postgres { .. } => {
            let failed = |error: TableIoError| IoError::Table(TableFailure::from(&error));
            return write_postgres(&write).await.map_err(failed);
        }
        ResourceDef::Sqlite { .. } => child.run(ChildRequest::Write(write)).await?,
        ResourceDef::Http(_) => TableAnswer::Failed(TableFailure::from(&TableIoError::Unsupported)),
    };
    match answer {
        TableAnswer::Wrote(written) => Ok(written),
        TableAnswer::Failed(failure) => Err(IoError::Table(failure)),
        TableAnswer::Read(_) => Err(IoError::Interrupted),
    }
}

/// The rows of `table` in a file, as all writing takes them.
fn spool(table: &Table) -> Result<tempfile::NamedTempFile, IoError> {
    use std::io::Write;
    let failed = |source| IoError::Write { path: std::env::temp_dir(), source };
    let file = tempfile::NamedTempFile::new().map_err(failed)?;
    let mut writer = std::io::BufWriter::new(file);
    let mut line = |values: String| writeln!(writer, "{values}").map_err(failed);
    line(serde_json::Value::from(table.columns.clone()).to_string())?;
    for row in &table.rows {
        line(serde_json::Value::from(row.clone()).to_string())?;
    }
    writer.into_inner().map_err(|error| failed(error.into_error()))
}
