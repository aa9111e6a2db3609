//! The rows of a write on their way into its table: columns in order, each value of its type.

use millstream_model::{ColumnType, PartitionKey};
use serde_json::Value;

use crate::columns::{Column, Shape, fit};
use crate::stream::RowStream;
use crate::tables::change::{PARTITION, Present};
use crate::tables::{TableIoError, TableName, TableWrite, Written};
use crate::{IdentifierError, quote_identifier};

impl From<Shape> for Written {
    fn from(shape: Shape) -> Self {
        let Shape { rows, bytes, hash, notes, columns: _ } = shape;
        Self { rows, bytes, hash, notes }
    }
}

impl TableName {
    /// The error of a name that the database does not take.
    pub(super) fn unusable(&self, source: IdentifierError) -> TableIoError {
        TableIoError::Name { table: self.to_string(), source }
    }

    /// Columns as they are written in a statement.
    pub(super) fn list<'n>(
        &self,
        names: impl Iterator<Item = &'n str>,
    ) -> Result<String, TableIoError> {
        let quoted: Result<Vec<String>, _> = names.map(quote_identifier).collect();
        Ok(quoted.map_err(|source| self.unusable(source))?.join(", "))
    }

    /// The question whether a column holds nothing but null.
    pub(super) fn is_null_text(&self, column: &str) -> Result<String, TableIoError> {
        let table = self.quoted().map_err(|source| self.unusable(source))?;
        let column = self.list([column].into_iter())?;
        Ok(format!("SELECT NOT EXISTS (SELECT 1 FROM {table} WHERE {column} IS NOT NULL)"))
    }
}

impl TableWrite {
    /// What a first reading of the rows finds.
    pub(super) fn shape(&self) -> Result<Shape, TableIoError> {
        Shape::of(&self.source, &self.columns).map_err(|source| self.unread(source))
    }

    /// The same, without holding up the thread that asks.
    pub(super) async fn shape_in_thread(&self) -> Result<Shape, TableIoError> {
        let reading = self.clone();
        let shape = tokio::task::spawn_blocking(move || reading.shape()).await;
        shape.map_err(|_| TableIoError::ReaderEnded { table: self.table.to_string() })?
    }

    fn unread(&self, source: crate::TableError) -> TableIoError {
        TableIoError::Source { table: self.table.to_string(), source }
    }

    /// The table as it is written in a statement.
    pub(super) fn quoted(&self) -> Result<String, TableIoError> {
        self.table.quoted().map_err(|source| self.table.unusable(source))
    }

    /// The columns that the table needs for the rows; those it has when nothing else is known.
    pub(super) fn wanted(
        &self,
        shape: &Shape,
        present: Option<&[Present]>,
    ) -> Result<Vec<Column>, TableIoError> {
        let mut wanted = shape.columns.clone();
        if wanted.is_empty() {
            let known = present.unwrap_or_default().iter().filter(|it| it.name != PARTITION);
            wanted = known.map(|it| Column { name: it.name.clone(), kind: it.kind }).collect();
        }
        // The table of a partition without rows gets its columns with those of another one.
        let is_empty_partition = self.partition().is_some() && shape.rows == 0;
        if wanted.is_empty() && !is_empty_partition {
            return Err(TableIoError::NoColumns { table: self.table.to_string() });
        }
        if self.keeper.is_some() {
            if wanted.iter().any(|column| column.name.eq_ignore_ascii_case(PARTITION)) {
                return Err(TableIoError::Reserved { column: PARTITION });
            }
            if self.partition().is_some() {
                let name = PARTITION.to_owned();
                wanted.push(Column { name, kind: Some(ColumnType::Text) });
            }
        }
        Ok(wanted)
    }

    /// The partition whose rows are written, where an IO manager keeps several in the table.
    pub(super) fn partition(&self) -> Option<&str> {
        self.keeper.as_ref()?.partition.as_ref().map(PartitionKey::as_str)
    }

    /// A column with its type, as it is written in a statement.
    pub(super) fn column_text(
        &self,
        column: &Column,
        type_name: impl Fn(Option<ColumnType>) -> &'static str,
    ) -> Result<String, TableIoError> {
        let name = self.table.list([column.name.as_str()].into_iter())?;
        Ok(format!("{name} {}", type_name(column.kind)))
    }

    /// The statement that makes the table as `quoted`.
    pub(super) fn create_text(
        &self,
        quoted: &str,
        wanted: &[Column],
        type_name: impl Fn(Option<ColumnType>) -> &'static str,
    ) -> Result<String, TableIoError> {
        let columns: Result<Vec<String>, TableIoError> =
            wanted.iter().map(|column| self.column_text(column, &type_name)).collect();
        Ok(format!("CREATE TABLE {quoted} ({})", columns?.join(", ")))
    }

    /// The columns' names, as they are written in a statement.
    pub(super) fn names_text(&self, wanted: &[Column]) -> Result<String, TableIoError> {
        self.table.list(wanted.iter().map(|column| column.name.as_str()))
    }

    /// The rows, with a value for each column in `wanted`, of the type that the column has.
    pub(super) fn fitted(
        &self,
        wanted: &[Column],
        present: &[Present],
    ) -> Result<FittedRows<'_>, TableIoError> {
        let kind = |column: &Column| {
            let has = present.iter().find(|it| it.name == column.name);
            (column.name.clone(), has.map_or(column.kind, |has| has.kind.or(column.kind)))
        };
        let stream = RowStream::open(&self.source).map_err(|source| self.unread(source))?;
        Ok(FittedRows { write: self, stream, kinds: wanted.iter().map(kind).collect() })
    }
}

/// Rows with values of their columns' types.
pub(super) struct FittedRows<'a> {
    write: &'a TableWrite,
    stream: RowStream,
    kinds: Vec<(String, Option<ColumnType>)>,
}

impl FittedRows<'_> {
    /// The next row, or `None` at the end.
    pub(super) fn next_row(&mut self) -> Result<Option<Vec<Value>>, TableIoError> {
        let row = self.stream.next_row().map_err(|source| self.write.unread(source))?;
        let Some(mut row) = row else { return Ok(None) };
        if let Some(key) = self.write.partition() {
            row.push(Value::String(key.to_owned()));
        }
        let mut fitted = Vec::with_capacity(row.len());
        for (value, (column, kind)) in row.into_iter().zip(&self.kinds) {
            let value = match kind {
                None => Ok(value),
                Some(kind) => fit(*kind, value),
            };
            fitted.push(value.map_err(|problem| self.refused(column, problem))?);
        }
        Ok(Some(fitted))
    }

    /// The error of a value in the row that was read last.
    pub(super) fn refused(&self, column: &str, problem: String) -> TableIoError {
        TableIoError::Value {
            table: self.write.table.to_string(),
            row: self.stream.number(),
            column: column.to_owned(),
            problem,
        }
    }

    /// The name of the column at `index`.
    pub(super) fn column(&self, index: usize) -> &str {
        self.kinds.get(index).map_or("", |(name, _)| name)
    }
}
