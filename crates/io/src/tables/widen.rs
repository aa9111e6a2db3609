//! Columns of whole numbers that become real in a SQLite table. No column can be given another
//! type there, so the table is made anew inside the transaction of its writer.
//!
//! Called by [`crate::tables::sqlite`]. A table whose text holds more than columns and types, as
//! a key or a check, is its users' own and stays: nothing that they wrote may get lost.

use rusqlite::OptionalExtension;

use crate::quote_identifier;
use crate::tables::TableIoError;
use crate::tables::sqlite::OnTable;

/// The table that becomes the new one.
const STAGED: &str = "millstream_staged";

/// A column as the table's text has it.
struct Declared {
    name: String,
    kind: String,
}

impl OnTable<'_> {
    /// Makes the columns `widen` real, for the rows that are there too; lines for the step's log.
    ///
    /// Indexes and triggers are made again, and views find the new table by its name.
    pub(super) fn widen(&self, widen: &[String]) -> Result<Vec<String>, TableIoError> {
        if widen.is_empty() {
            return Ok(Vec::new());
        }
        let mut columns = self.declared()?;
        let name = self.table.table.as_str();
        if !self.is_plain(&self.create_text(name, &columns)?)? {
            return Ok(widen.iter().map(|column| self.stays(column)).collect());
        }
        for column in columns.iter_mut().filter(|it| widen.contains(&it.name)) {
            "REAL".clone_into(&mut column.kind);
        }
        let around = self.around()?;
        let [table, staged] = [self.beside(name)?, self.beside(STAGED)?];
        let list = self.table.list(columns.iter().map(|it| it.name.as_str()))?;
        let made = self.create_text(STAGED, &columns)?;
        self.run("changed", &made)?;
        let text = format!("INSERT INTO {staged} ({list}) SELECT {list} FROM {table}");
        self.run("changed", &text)?;
        self.run("changed", &format!("DROP TABLE {table}"))?;
        // Otherwise a view on the table, which for a moment is not there, refuses the new name.
        self.run("changed", "PRAGMA legacy_alter_table = ON")?;
        self.run("changed", &format!("ALTER TABLE {staged} RENAME TO {table}"))?;
        self.run("changed", "PRAGMA legacy_alter_table = OFF")?;
        for text in around {
            self.run("changed", &text)?;
        }
        Ok(Vec::new())
    }

    fn beside(&self, table: &str) -> Result<String, TableIoError> {
        self.table.sibling(table).map_err(|source| self.table.unusable(source))
    }

    fn stays(&self, column: &str) -> String {
        format!(
            "column {column:?} of table {} stays one of whole numbers, since the table was made \
             with more than columns and types: 3.0 is kept in it as 3; declare the column REAL",
            self.table
        )
    }

    fn declared(&self) -> Result<Vec<Declared>, TableIoError> {
        let failed = |error| self.failed("found", error);
        let text = "SELECT name, type FROM pragma_table_info(?1)";
        let mut statement = self.connection.prepare(text).map_err(failed)?;
        let column =
            |row: &rusqlite::Row<'_>| Ok(Declared { name: row.get(0)?, kind: row.get(1)? });
        let rows = statement.query_map([&self.table.table], column).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    /// The statement that makes a table of nothing but `columns`.
    fn create_text(&self, table: &str, columns: &[Declared]) -> Result<String, TableIoError> {
        let column = |it: &Declared| Ok(format!("{} {}", quote_identifier(&it.name)?, it.kind));
        let columns: Result<Vec<String>, _> = columns.iter().map(column).collect();
        let columns = columns.map_err(|source| self.table.unusable(source))?.join(", ");
        Ok(format!("CREATE TABLE {} ({columns})", self.beside(table)?))
    }

    /// Whether the table was made by `text`, but for quotes, spaces and case.
    fn is_plain(&self, text: &str) -> Result<bool, TableIoError> {
        let made = "SELECT sql FROM sqlite_schema WHERE type = 'table' \
                    AND name = ?1 COLLATE NOCASE";
        let made: Option<String> = self
            .connection
            .query_row(made, [&self.table.table], |row| row.get(0))
            .optional()
            .map_err(|error| self.failed("found", error))?;
        Ok(made.is_some_and(|made| bare(&made) == bare(text)))
    }

    /// What makes the table's indexes and triggers.
    fn around(&self) -> Result<Vec<String>, TableIoError> {
        let failed = |error| self.failed("found", error);
        let text = "SELECT sql FROM sqlite_schema WHERE type IN ('index', 'trigger') \
                    AND tbl_name = ?1 COLLATE NOCASE AND sql IS NOT NULL ORDER BY rowid";
        let mut statement = self.connection.prepare(text).map_err(failed)?;
        let rows = statement.query_map([&self.table.table], |row| row.get(0)).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }
}

fn bare(text: &str) -> String {
    let says = |c: &char| !c.is_whitespace() && !['"', '\'', '`', '[', ']'].contains(c);
    text.chars().filter(says).flat_map(char::to_lowercase).collect()
}
