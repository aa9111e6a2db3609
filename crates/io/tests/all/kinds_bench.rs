//! One IO manager of every kind, on real files and databases, and what tests ask of them.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use millstream_io::sql_child::{self, ChildRequest};
use millstream_io::{
    Address, FileForm, IoError, IoManager, IoSettings, Output, RunChild, Session, Stored, Table,
    TableAnswer, TableFile, open,
};
use millstream_model::{PartitionKey, ResourceDef};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::postgres_url::postgres_url;

static COUNT: AtomicU32 = AtomicU32::new(0);

fn next() -> u32 {
    COUNT.fetch_add(1, Ordering::Relaxed)
}

/// The SQL child, in this process: what it does is the same.
pub(crate) struct InProcess(PathBuf);

impl RunChild for InProcess {
    fn run(&self, request: ChildRequest) -> BoxFuture<'_, Result<TableAnswer, IoError>> {
        let number = next();
        let path = self.0.join(format!("request.{number}"));
        let answer = self.0.join(format!("answer.{number}"));
        let work = tokio::task::spawn_blocking(move || {
            sql_child::write_request(&path, request, &answer).unwrap();
            sql_child::main(&path);
            sql_child::read_answer(&answer).unwrap()
        });
        work.map(|answer| Ok(answer.unwrap())).boxed()
    }
}

/// A kind of IO manager with nothing in it.
pub(crate) struct Bench {
    pub(crate) kind: &'static str,
    settings: Box<dyn Fn(&str) -> IoSettings + Send + Sync>,
    child: InProcess,
    folder: TempDir,
}

impl Bench {
    /// One of every kind; without a Postgres its kind is left out.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = vec![Self::folder("json"), Self::folder("csv"), Self::sqlite()];
        all.extend(Self::postgres());
        all
    }

    /// Those that keep tables.
    pub(crate) fn tables() -> Vec<Self> {
        std::iter::once(Self::sqlite()).chain(Self::postgres()).collect()
    }

    fn folder(kind: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("lake");
        let form = if kind == "json" { FileForm::Json } else { FileForm::Csv };
        let settings = Box::new(move |_: &str| IoSettings::Folder { form, base: base.clone() });
        Self { kind, settings, child: InProcess(folder.path().to_owned()), folder }
    }

    fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lake.db").to_str().unwrap().to_owned();
        let settings = Box::new(move |schema: &str| IoSettings::Table {
            resource: Box::new(ResourceDef::Sqlite { path: path.clone() }),
            schema: Some(schema.to_owned()),
            columns: [("declared".to_owned(), millstream_model::ColumnType::Text)].into(),
            session: Session::default(),
        });
        Self { kind: "sqlite", settings, child: InProcess(folder.path().to_owned()), folder }
    }

    fn postgres() -> Option<Self> {
        let url = postgres_url()?;
        let folder = tempfile::tempdir().unwrap();
        let own = format!("IO \"{}\" {}", std::process::id(), next());
        let settings = Box::new(move |schema: &str| IoSettings::Table {
            resource: Box::new(ResourceDef::Postgres { url: url.clone(), schema: None }),
            schema: Some(format!("{own} {schema}")),
            columns: [("declared".to_owned(), millstream_model::ColumnType::Text)].into(),
            session: Session::default(),
        });
        let child = InProcess(folder.path().to_owned());
        Some(Self { kind: "postgres", settings, child, folder })
    }

    /// The same without declared columns.
    pub(crate) fn undeclared(self) -> Self {
        let Self { kind, settings: declared, child, folder } = self;
        let settings = Box::new(move |schema: &str| match declared(schema) {
            IoSettings::Table { resource, schema, session, .. } => {
                let columns = std::collections::BTreeMap::new();
                IoSettings::Table { resource, schema, columns, session }
            }
            folder @ IoSettings::Folder { .. } => folder,
        });
        Self { kind, settings, child, folder }
    }

    /// The settings with `schema` as its schema, if it has one.
    pub(crate) fn settings(&self, schema: &str) -> IoSettings {
        (self.settings)(schema)
    }

    /// The IO manager as tenant `tenant` has it.
    pub(crate) fn manager(&self, tenant: &str) -> Box<dyn IoManager + '_> {
        open(self.settings(tenant), &self.child)
    }

    /// Stores a table.
    pub(crate) async fn store(&self, address: &Address, table: &Table) -> Result<Stored, IoError> {
        let path = self.copy();
        write_rows(&path, table);
        self.manager(address.tenant.as_str()).store(address, Output::Rows(path)).await
    }

    /// What is stored, as a table.
    pub(crate) async fn load(&self, address: &Address) -> Result<Table, IoError> {
        let copy = self.copy();
        let file = self.manager(address.tenant.as_str()).rows(address, &copy).await?;
        Ok(read(&file))
    }

    /// A path for a copy of rows.
    pub(crate) fn copy(&self) -> PathBuf {
        self.folder.path().join(format!("copy.{}", next()))
    }

    /// `value` as this kind gives it back; CSV has only text to who reads it with any library.
    pub(crate) fn comes_back(&self, value: &Value) -> Value {
        match (self.kind, value) {
            ("csv", Value::String(text)) if text.is_empty() => Value::Null,
            ("csv", Value::String(_) | Value::Null) => value.clone(),
            ("csv", other) => Value::String(other.to_string()),
            _ => value.clone(),
        }
    }
}

pub(crate) fn write_rows(path: &Path, table: &Table) {
    let lines = table.rows.iter().map(|row| json!(row).to_string() + "\n");
    let text = json!(table.columns).to_string() + "\n" + &lines.collect::<String>();
    std::fs::write(path, text).unwrap();
}

fn read(file: &TableFile) -> Table {
    let text = std::fs::read_to_string(file.path()).unwrap();
    match file {
        TableFile::Json(_) => Table::from_json(&serde_json::from_str(&text).unwrap()).unwrap(),
        TableFile::Rows(path) => Table::from_rows_file(path, 1 << 30).unwrap(),
        TableFile::Csv(_) | TableFile::KeptCsv(_) => {
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            let columns = reader.headers().unwrap().iter().map(str::to_owned).collect();
            let value = |field: &str| if field.is_empty() { Value::Null } else { json!(field) };
            let rows = reader.records().map(|row| row.unwrap().iter().map(value).collect());
            Table { columns, rows: rows.collect() }
        }
    }
}

pub(crate) fn address(tenant: &str, asset: &str, partition: Option<&str>) -> Address {
    Address {
        tenant: tenant.parse().unwrap(),
        asset: asset.parse().unwrap(),
        partition: partition.map(|key| key.parse::<PartitionKey>().unwrap()),
    }
}

pub(crate) fn table(columns: &[&str], rows: impl Into<Value>) -> Table {
    let columns: Vec<&str> = columns.to_vec();
    Table::from_json(&json!({ "columns": columns, "rows": rows.into() })).unwrap()
}

/// Rows in an order of their own: tables have none.
pub(crate) fn sorted(mut table: Table) -> Table {
    table.rows.sort_by_key(|row| json!(row).to_string());
    table
}
