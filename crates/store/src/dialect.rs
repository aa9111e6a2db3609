//! What must differ between SQLite and Postgres, and nothing else may ask which one it is.

use crate::log;

/// The two databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// `text` as this database takes it.
    ///
    /// SQLite reads `$2` as a *name* and would bind parameters in the order of their appearance,
    /// so every `$n` becomes `?n`. Holes:
    /// - `/*pairs $n*/`: the rows (first, second) of a JSON array of two-element text arrays.
    /// - `/*texts $n*/`: the rows of a JSON array of texts.
    /// - `/*rows $n text int bool …*/`: the rows of a JSON array of arrays, whose columns have
    ///   these types.
    /// - `/*among table $n column …*/`: the rows of `table` whose columns are those texts of a JSON
    ///   array of arrays.
    /// - `/*keyed table list column …*/` stands after `FROM`, and `/*key table list column …*/` is
    ///   the condition with it: the rows of `table` that have the columns of one of `list`; one
    ///   written `column=$n` has that value.
    /// - `/*each table alias if condition*/`: joins the rows of `table` that a row before it finds;
    ///   `/*any table alias if condition*/` keeps the row that finds none. Where several indexes
    ///   could serve, `by column = value` behind the condition names the one that has that column.
    /// - `/*log b e if condition*/` stands after `FROM`: the batches `b` that meet the condition in
    ///   the order of their positions, each with its events `e`. The condition stands again after
    ///   `WHERE`, and `/*places b $n $m*/` behind it, where the positions are from `$n` to `$m`.
    /// - `/*order b e*/`: the order of the log.
    /// - `/*batch b of e*/`: joins the batch `b` of the event `e`, which has its position.
    /// - `/*batch table*/`: the table that has the positions of batches.
    /// - `/*batch positions*/`: selects the positions, each once; `/*behind $n*/` stands behind the
    ///   condition that they are behind `$n`, and `/*batch order*/` is their order.
    /// - `/*last position*/`: the newest position, 0 before the first.
    /// - `/*batch row*/`: stores the row of a new batch, where batches have rows.
    /// - `/*publish*/`: gives positions to the first `$1` batches that have none, where a publisher
    ///   does, and `/*unpublished*/` is the condition that a batch has none.
    /// - `/*held*/`: keeps the rows that a subquery found as they are until the commit.
    /// - `/*place column*/` and `/*place of $n, $m*/`: the place in the log of an event of the
    ///   batch `$m` of tenant `$n` that is being stored, where the one that stores it gives it.
    /// - `/*setting name*/`: what the server has of this setting; an embedded database has neither.
    pub(crate) fn render(self, text: &str) -> String {
        let mut rendered = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("/*") {
            rendered.push_str(before);
            let (hole, tail) = after.split_once("*/").unwrap_or((after, ""));
            rendered.push_str(&self.fill(hole.trim()));
            rest = tail;
        }
        rendered.push_str(rest);
        match self {
            Self::Sqlite => rendered.replace('$', "?"),
            Self::Postgres => rendered,
        }
    }

    /// The common part of a migration as this database takes it.
    ///
    /// SQLite compares texts byte by byte. Postgres does so only under the collation `C`; under
    /// another one the order of keys, and so every page of a list, would depend on the database.
    pub(crate) fn render_schema(self, text: &str) -> String {
        match self {
            Self::Sqlite => text.to_owned(),
            Self::Postgres => text.replace(" TEXT", " TEXT COLLATE \"C\""),
        }
    }

    fn fill(self, hole: &str) -> String {
        let (name, argument) = hole.split_once(' ').unwrap_or((hole, ""));
        match (self, name) {
            (Self::Sqlite, "pairs") => {
                format!("SELECT value ->> 0, value ->> 1 FROM jsonb_each({argument})")
            }
            (Self::Postgres, "pairs") => self.rows(&format!("{argument} text text")),
            (Self::Sqlite, "texts") => format!("SELECT value FROM json_each({argument})"),
            (Self::Postgres, "texts") => format!(
                "SELECT e.value \
                 FROM jsonb_array_elements_text(CAST({argument} AS TEXT)::jsonb) AS e"
            ),
            (_, "rows") => self.rows(argument),
            (_, "among") => self.among(argument),
            (_, "keyed") => self.keyed(argument),
            (_, "key") => self.key(argument),
            (_, "each") => self.each(argument),
            (_, "any") => self.any(argument),
            // One writer needs no lock: nobody is between its statements.
            (Self::Sqlite, "held") => String::new(),
            (Self::Postgres, "held") => "FOR SHARE".to_owned(),
            // It is opened so that each commit is on the disk.
            (Self::Sqlite, "setting") => "'on'".to_owned(),
            (Self::Postgres, "setting") => format!("current_setting('{argument}')"),
            (Self::Sqlite, _) => log::on_sqlite(name, argument).unwrap_or_else(|| none(hole)),
            (Self::Postgres, _) => log::on_postgres(name, argument).unwrap_or_else(|| none(hole)),
        }
    }

    /// A query whose rows are those of a JSON array: `argument` is its parameter and the types.
    fn rows(self, argument: &str) -> String {
        let mut words = argument.split_whitespace();
        let parameter = words.next().unwrap_or_default();
        let columns: Vec<String> = words
            .enumerate()
            .map(|(place, kind)| match (self, kind) {
                (Self::Sqlite, _) => format!("e.value ->> {place}"),
                (Self::Postgres, "int") => format!("CAST(e.value ->> {place} AS BIGINT)"),
                (Self::Postgres, "bool") => format!("CAST(e.value ->> {place} AS BOOLEAN)"),
                (Self::Postgres, _) => format!("e.value ->> {place}"),
            })
            .collect();
        let columns = columns.join(", ");
        match self {
            // As SQLite keeps parsed JSON: as text each element would be written and read again.
            Self::Sqlite => format!("SELECT {columns} FROM jsonb_each({parameter}) AS e"),
            // Fenced, because a column that is computed from JSON may not look into an index behind
            // a wall between tenants; and with a condition that always holds and that the planner
            // expects of one row in 200, so that it goes from the list to the rows and never from
            // all rows to the list.
            Self::Postgres => format!(
                "SELECT given.* FROM (SELECT {columns} \
                 FROM jsonb_array_elements(CAST({parameter} AS TEXT)::jsonb) AS e \
                 WHERE jsonb_typeof(e.value) = 'array' OFFSET 0) AS given"
            ),
        }
    }

    fn among(self, argument: &str) -> String {
        let (table, parameter, columns) = three(argument);
        let list = self.rows(&format!("{parameter}{}", " text".repeat(columns.len())));
        let names = columns.join(", ");
        match self {
            Self::Sqlite => format!("({names}) IN ({list})"),
            Self::Postgres => {
                let found = found(table, &columns);
                let list = format!("({list}) AS l({names})");
                format!("{table}.ctid IN (SELECT k.place FROM {list} {found})")
            }
        }
    }

    fn keyed(self, argument: &str) -> String {
        let (table, list, columns) = three(argument);
        match self {
            Self::Sqlite => list.to_owned(),
            Self::Postgres => {
                let found = found(table, &columns);
                format!("(SELECT l.*, k.place FROM {list} AS l {found} OFFSET 0) AS {list}")
            }
        }
    }

    fn key(self, argument: &str) -> String {
        let (table, list, columns) = three(argument);
        match self {
            Self::Sqlite => same(table, list, &columns),
            Self::Postgres => format!("{table}.ctid = {list}.place"),
        }
    }

    fn each(self, argument: &str) -> String {
        match self {
            Self::Sqlite => format!("CROSS JOIN {}", at_once(argument)),
            Self::Postgres => format!("CROSS JOIN {}", one_by_one(argument)),
        }
    }

    fn any(self, argument: &str) -> String {
        match self {
            Self::Sqlite => format!("LEFT JOIN {}", at_once(argument)),
            Self::Postgres => format!("LEFT JOIN {} ON TRUE", one_by_one(argument)),
        }
    }
}

/// No SQL: preparing every statement in a test finds it.
fn none(hole: &str) -> String {
    format!("there is no hole {hole}")
}

/// The table, its alias, the condition and the index's last column of `table alias if condition by
/// column = value`.
fn looked_up(argument: &str) -> (&str, &str, &str, Option<(&str, &str)>) {
    let (what, condition) = argument.split_once(" if ").unwrap_or((argument, "TRUE"));
    let (table, alias) = what.split_once(' ').unwrap_or((what, what));
    let (condition, last) = condition.split_once(" by ").unwrap_or((condition, ""));
    (table, alias, condition, last.split_once(" = "))
}

/// On SQLite: a join.
fn at_once(argument: &str) -> String {
    let (table, alias, condition, last) = looked_up(argument);
    let last = last.map(|(column, value)| format!(" AND {column} = {value}")).unwrap_or_default();
    format!("{table} {alias} ON {condition}{last}")
}

/// On Postgres: the rows that are looked up for each row before them, which leaves no other order.
///
/// The last column is asked for as a range in its order, which only the index with it has: for an
/// empty table one that has fewer of the columns seems cheaper.
fn one_by_one(argument: &str) -> String {
    let (table, alias, condition, last) = looked_up(argument);
    let last = last.map(|(column, value)| {
        format!(" AND {column} >= {value} AND {column} <= {value} ORDER BY {column}")
    });
    let last = last.unwrap_or_default();
    let rows = format!("SELECT {alias}.* FROM {table} {alias} WHERE {condition}{last} OFFSET 0");
    format!("LATERAL ({rows}) AS {alias}")
}

/// The first two words of a hole's argument, and the others.
fn three(argument: &str) -> (&str, &str, Vec<&str>) {
    let mut words = argument.split_whitespace();
    (words.next().unwrap_or_default(), words.next().unwrap_or_default(), words.collect())
}

fn same(one: &str, other: &str, columns: &[&str]) -> String {
    let pairs = columns.iter().map(|column| match column.split_once('=') {
        Some((column, value)) => format!("{one}.{column} = {value}"),
        None => format!("{one}.{column} = {other}.{column}"),
    });
    pairs.collect::<Vec<_>>().join(" AND ")
}

/// On Postgres: the places of the rows of `table` that have the key of a row of `l`.
///
/// Looked up one by one, which leaves the planner no choice. Given a join it went over all rows of
/// the table and over the whole list for each, wherever the last statistics said that the table was
/// small: 1 s for 500 of 5,000. A row that somebody changes meanwhile has another place; it may be
/// missed.
fn found(table: &str, columns: &[&str]) -> String {
    let keys = same("t", "l", columns);
    format!(
        "CROSS JOIN LATERAL (SELECT t.ctid AS place FROM {table} AS t WHERE {keys} OFFSET 0) AS k"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_keep_their_numbers_and_holes_are_filled_for_each_database() {
        let text = "SELECT a FROM t WHERE b = $2 AND (c, d) IN (/*pairs $1*/)";
        assert_eq!(
            Dialect::Sqlite.render(text),
            "SELECT a FROM t WHERE b = ?2 AND (c, d) IN \
             (SELECT value ->> 0, value ->> 1 FROM jsonb_each(?1))"
        );
        assert!(Dialect::Postgres.render(text).contains("b = $2"));
        assert!(Dialect::Postgres.render(text).contains("jsonb_array_elements(CAST($1 AS TEXT)"));
    }
}
