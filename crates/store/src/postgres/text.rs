//! Statements as Postgres takes them, rendered once.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::gather::{self, ROWS};
use crate::Sql;
use crate::batch::{Expect, Step};
use crate::dialect::Dialect;

/// The texts of all statements.
pub(super) struct Texts(HashMap<&'static str, Text>);

struct Text {
    /// As it stands.
    plain: String,
    /// With the check that it touches one row, which is what most statements must do.
    one: String,
    /// For [`ROWS`] rows, with the check that it touches them; where it inserts one row of values.
    many: Option<String>,
    /// The tables that it reads or writes.
    tables: HashSet<String>,
}

impl Texts {
    pub(super) fn new() -> Self {
        let texts = crate::all_statements().map(|sql| {
            let plain = Dialect::Postgres.render(sql.text);
            let one = counted(&plain, 1);
            let many = gather::rows_of(&plain, ROWS).map(|text| counted(&text, ROWS));
            let tables = gather::tables_in(&plain);
            (sql.text, Text { plain, one, many, tables })
        });
        Self(texts.collect())
    }

    /// The text that runs `step` and checks the rows it touches.
    pub(super) fn of(&self, step: &Step) -> Cow<'_, str> {
        match (self.0.get(step.sql.text), step.expect) {
            (Some(text), Expect::Any) => Cow::Borrowed(&text.plain),
            (Some(text), Expect::Rows(1)) => Cow::Borrowed(&text.one),
            (Some(Text { many: Some(text), .. }), Expect::Rows(ROWS)) => Cow::Borrowed(text),
            (_, Expect::Any) => Cow::Owned(Dialect::Postgres.render(step.sql.text)),
            (_, Expect::Rows(wanted)) => {
                Cow::Owned(counted(&Dialect::Postgres.render(step.sql.text), wanted))
            }
        }
    }

    /// Every text of `sql` that may ever be prepared.
    pub(super) fn all_of(&self, sql: &Sql) -> Vec<&str> {
        let Some(text) = self.0.get(sql.text) else { return Vec::new() };
        if is_question(&text.plain) {
            return vec![&text.plain];
        }
        let many = text.many.as_deref();
        [&text.plain, &text.one].map(String::as_str).into_iter().chain(many).collect()
    }

    /// Whether `sql` may see or change rows of `table`.
    pub(super) fn may_see(&self, sql: &Sql, table: &str) -> bool {
        self.0.get(sql.text).is_none_or(|text| text.tables.contains(table))
    }

    /// Whether `sql` inserts one row of values, and has a text for [`ROWS`] of them.
    pub(super) fn inserts_one(&self, sql: &Sql) -> bool {
        self.0.get(sql.text).is_some_and(|text| text.many.is_some())
    }
}

fn is_question(text: &str) -> bool {
    let text = text.trim_start();
    let writes = ["INSERT INTO", "UPDATE ", "DELETE FROM"];
    text.starts_with("SELECT")
        || (text.starts_with("WITH") && !writes.iter().any(|write| text.contains(write)))
}

/// `text` with a check that it touches `wanted` rows. Its first column is their number; the
/// columns that `text` itself returns follow it.
///
/// The check stands on the left of the join, where it is evaluated even when there is no row.
fn counted(text: &str, wanted: u32) -> String {
    if text.contains("RETURNING") || is_question(text) {
        return format!(
            "WITH effect AS ({text}), \
             found AS (SELECT millstream_expect((SELECT COUNT(*) FROM effect), {wanted}) AS rows) \
             SELECT found.rows, effect.* FROM found LEFT JOIN effect ON TRUE"
        );
    }
    format!(
        "WITH effect AS ({text} RETURNING 1) \
         SELECT millstream_expect(COUNT(*), {wanted}) FROM effect"
    )
}
