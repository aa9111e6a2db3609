//! Tables outside of databases: rows with named columns, in memory and in files.
//!
//! SQL steps write their rows in the rows form (one JSON array a line, the columns' names first,
//! so that it streams), IO managers keep them as CSV or JSON, and [`TableFile`] names a file that a
//! SQL step reads. Nothing here decides what a value means: types are the databases' business.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use millstream_model::ExactJson;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::sql::JSON_MAX;

/// Rows with named columns.
///
/// **Invariant.** Every row has as many values as there are columns, wherever this crate made it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// The columns' names, in their order.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<Value>>,
}

/// A file with rows in it that a SQL step reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableFile {
    /// CSV with a header line, gzipped when the name ends in `.gz`.
    Csv(PathBuf),
    /// CSV that an IO manager wrote: what stands in quotes is text.
    KeptCsv(PathBuf),
    /// A JSON document: `{"columns": […], "rows": [[…]]}` or a list of objects.
    Json(PathBuf),
    /// The rows form: a JSON array a line, the columns' names first.
    Rows(PathBuf),
}

/// Why a file cannot be read as rows.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// There is no such file.
    #[error("{} does not exist", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A line is not what the format allows, or not what the header promises.
    #[error("{} line {line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// The content is no table.
    #[error("{} has no rows and columns: {problem}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// What was found instead, and what is taken.
        problem: String,
    },
    /// The rows that a step left have columns that are none; the file is its scratch.
    #[error("{problem}")]
    Columns {
        /// What is wrong with them.
        problem: String,
    },
    /// The file is larger than what is held in memory.
    #[error("{} is larger than {limit} bytes, the most that is read at once", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
}

impl TableFile {
    /// The file's path.
    pub fn path(&self) -> &Path {
        match self {
            Self::Csv(path) | Self::KeptCsv(path) | Self::Json(path) | Self::Rows(path) => path,
        }
    }
}

impl Table {
    /// The table that `value` spells out: `{"columns": […], "rows": [[…]]}` or objects, whose keys
    /// are the columns; `Err` says what stood there instead.
    pub fn from_json(value: &Value) -> Result<Self, String> {
        match value {
            Value::Object(map) if map.contains_key("columns") && map.contains_key("rows") => {
                let table = Self::deserialize(value).map_err(|error| error.to_string())?;
                table.check()
            }
            Value::Array(items) => Self::from_objects(items),
            _ => Err("write `{\"columns\": […], \"rows\": [[…]]}` or a list of objects".to_owned()),
        }
    }

    fn from_objects(items: &[Value]) -> Result<Self, String> {
        let mut columns: Vec<String> = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let Value::Object(map) = item else {
                return Err(format!("item {index} of the list is no object"));
            };
            for key in map.keys() {
                if !columns.contains(key) {
                    columns.push(key.clone());
                }
            }
            if columns.len() > COLUMNS_MAX {
                return Err(format!("its objects have more than {COLUMNS_MAX} different keys"));
            }
        }
        let cell = |item: &Value, column: &String| item.get(column).cloned().unwrap_or(Value::Null);
        let row = |item: &Value| columns.iter().map(|column| cell(item, column)).collect();
        let rows = items.iter().map(row).collect();
        Ok(Self { columns, rows })
    }

    fn check(self) -> Result<Self, String> {
        if self.columns.len() > COLUMNS_MAX {
            return Err(format!("it has more than {COLUMNS_MAX} columns"));
        }
        match self.rows.iter().position(|row| row.len() != self.columns.len()) {
            Some(index) => {
                let found = self.rows.get(index).map_or(0, Vec::len);
                let wanted = self.columns.len();
                Err(format!("row {index} has {found} values for {wanted} columns"))
            }
            None => Ok(self),
        }
    }

    /// The table in a file of the rows form, as a SQL step leaves it; `limit` is in bytes.
    pub fn from_rows_file(path: &Path, limit: u64) -> Result<Self, TableError> {
        let mut lines = RowLines::open(path, limit)?;
        let columns = lines.columns()?;
        let mut rows = Vec::new();
        while let Some(line) = lines.next_line()? {
            rows.push(lines.parse(&line)?);
        }
        Ok(Self { columns, rows })
    }
}

/// The most columns of a table, which is SQLite's own limit.
pub(crate) const COLUMNS_MAX: usize = 2_000;

/// The lines of a file in the rows form.
pub(crate) struct RowLines {
    path: PathBuf,
    lines: std::io::Lines<BufReader<std::io::Take<File>>>,
    line: u64,
}

impl RowLines {
    /// Opens `path`, refusing a file of more than `limit` bytes.
    pub(crate) fn open(path: &Path, limit: u64) -> Result<Self, TableError> {
        let file = open(path, limit)?;
        let lines = BufReader::new(file.take(limit)).lines();
        Ok(Self { path: path.to_owned(), lines, line: 0 })
    }

    /// The first line: the columns' names.
    pub(crate) fn columns(&mut self) -> Result<Vec<String>, TableError> {
        let Some(line) = self.next_line()? else {
            return Err(TableError::Shape {
                path: self.path.clone(),
                problem: "the file is empty".to_owned(),
            });
        };
        self.parse(&line)
    }

    /// The next line as it stands, or `None` at the end.
    pub(crate) fn next_line(&mut self) -> Result<Option<String>, TableError> {
        self.line += 1;
        self.lines
            .next()
            .transpose()
            .map_err(|source| TableError::Unreadable { path: self.path.clone(), source })
    }

    /// `line` read as JSON.
    pub(crate) fn parse<'a, T: Deserialize<'a>>(&self, line: &'a str) -> Result<T, TableError> {
        serde_json::from_str(line).map_err(|error| TableError::Line {
            path: self.path.clone(),
            line: self.line,
            problem: error.to_string(),
        })
    }
}

/// The table in the JSON document at `path`.
///
/// What became text in it is a line for the step's log.
pub(crate) fn json_table(path: &Path) -> Result<(Table, Option<String>), TableError> {
    let shape = |problem: String| TableError::Shape { path: path.to_owned(), problem };
    let mut json = Vec::new();
    let read = open(path, JSON_MAX)?.take(JSON_MAX).read_to_end(&mut json);
    read.map_err(|source| TableError::Unreadable { path: path.to_owned(), source })?;
    let ExactJson { value, note } =
        ExactJson::read(&json).map_err(|error| shape(error.to_string()))?;
    drop(json);
    let note = note.map(|note| format!("{}: {note}", path.display()));
    Ok((Table::from_json(&value).map_err(shape)?, note))
}

/// Opens `path` for reading; a missing file and one above `limit` bytes are told apart.
pub(crate) fn open(path: &Path, limit: u64) -> Result<File, TableError> {
    let unreadable = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => TableError::Missing { path: path.to_owned() },
        _ => TableError::Unreadable { path: path.to_owned(), source },
    };
    let file = File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.len() > limit {
        return Err(TableError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(file)
}

/// What keeps `columns` from being those of a table, if anything does.
pub(crate) fn unusable(columns: &[String]) -> Option<String> {
    if columns.len() > COLUMNS_MAX {
        return Some(format!("there are more than {COLUMNS_MAX} columns"));
    }
    if let Some(index) = columns.iter().position(String::is_empty) {
        return Some(format!("column {} has no name", index + 1));
    }
    repeated(columns).map(|name| {
        format!("two columns are called {name:?}; names are compared without regard to case")
    })
}

/// A name that stands twice among `columns`, without regard to case.
pub(crate) fn repeated(columns: &[String]) -> Option<&String> {
    let mut seen = std::collections::HashSet::new();
    columns.iter().find(|name| !seen.insert(name.to_lowercase()))
}
