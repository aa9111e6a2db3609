//! What must differ between SQLite and Postgres, and nothing else may ask which one it is.

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
    /// - `/*held*/`: keeps the rows that a subquery found as they are until the commit.
    /// - `/*position column*/` and `/*position value*/`: the position of an event batch that is
    ///   being stored, where the one that stores it also gives it.
    /// - `/*setting name*/`: what the server has of this setting; an embedded database has neither.
    /// - `/*arrival*/`: the column that tells the order in which rows were written.
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
                format!("SELECT value ->> 0, value ->> 1 FROM json_each({argument})")
            }
            (Self::Postgres, "pairs") => format!(
                "SELECT e.value ->> 0, e.value ->> 1 \
                 FROM jsonb_array_elements(CAST({argument} AS TEXT)::jsonb) AS e"
            ),
            (Self::Sqlite, "texts") => format!("SELECT value FROM json_each({argument})"),
            (Self::Postgres, "texts") => format!(
                "SELECT e.value \
                 FROM jsonb_array_elements_text(CAST({argument} AS TEXT)::jsonb) AS e"
            ),
            (_, "rows") => self.rows(argument),
            // One writer needs no lock: nobody is between its statements.
            (Self::Sqlite, "held") => String::new(),
            (Self::Postgres, "held") => "FOR SHARE".to_owned(),
            (Self::Sqlite, "position") if argument == "column" => ", position".to_owned(),
            (Self::Sqlite, "position") => {
                ", (SELECT COALESCE(MAX(position), 0) + 1 FROM event_batch)".to_owned()
            }
            // A publisher gives it, and nobody else may.
            (Self::Postgres, "position") => String::new(),
            // It is opened so that each commit is on the disk.
            (Self::Sqlite, "setting") => "'on'".to_owned(),
            (Self::Postgres, "setting") => format!("current_setting('{argument}')"),
            // Its writer gives positions itself, so nobody asks.
            (Self::Sqlite, "arrival") => "id".to_owned(),
            (Self::Postgres, "arrival") => "arrival".to_owned(),
            // No SQL: preparing every statement in a test finds it.
            _ => format!("there is no hole {hole}"),
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
        let from = match self {
            Self::Sqlite => format!("json_each({parameter}) AS e"),
            Self::Postgres => {
                format!("jsonb_array_elements(CAST({parameter} AS TEXT)::jsonb) AS e")
            }
        };
        format!("SELECT {} FROM {from}", columns.join(", "))
    }
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
             (SELECT value ->> 0, value ->> 1 FROM json_each(?1))"
        );
        assert!(Dialect::Postgres.render(text).contains("b = $2"));
        assert!(Dialect::Postgres.render(text).contains("jsonb_array_elements(CAST($1 AS TEXT)"));
    }
}
