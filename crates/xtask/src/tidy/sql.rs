//! SQL stands in the crates that own it, and a statement can be read at a glance.

use super::Finding;
use super::tree::File;

/// The crates with statements: our tables, users' data, and what tests both.
const OWNERS: &[&str] = &["crates/store/", "crates/io/", "crates/testkit/"];
/// Lines of one statement.
const STATEMENT_MAX: usize = 40;

/// Statements are found by how they begin.
pub(super) fn statements(file: &File) -> Vec<Finding> {
    let Some(source) = &file.source else { return Vec::new() };
    let owner = OWNERS.iter().any(|owner| file.path.starts_with(owner));
    let mut found = Vec::new();
    for (line, text) in source.literals.iter().filter(|(_, text)| is_statement(text)) {
        let in_test = file.is_test() || source.is_test_line(*line);
        if !owner && !in_test {
            let fix = "ask the store, or an IO manager, in the domain's words";
            found.push(Finding::new(&file.path, *line, "a SQL statement", fix));
        }
        if owner && text.trim().lines().count() > STATEMENT_MAX {
            let wrong = format!("a statement of more than {STATEMENT_MAX} lines");
            found.push(Finding::new(&file.path, *line, wrong, "divide it, or name its parts"));
        }
        if file.path.starts_with("crates/store/src/") && !in_test && text.contains("SELECT *") {
            let fix = "name the columns, so that a new one changes nothing by itself";
            found.push(Finding::new(&file.path, *line, "`SELECT *`", fix));
        }
    }
    found
}

fn is_statement(text: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().take(4).collect();
    match words.as_slice() {
        ["SELECT", ..] => text.contains("FROM "),
        ["INSERT", "INTO" | "OR", ..] | ["DELETE", "FROM", ..] => true,
        ["UPDATE", ..] => text.contains("SET"),
        ["WITH", ..] => text.contains(" AS ("),
        ["CREATE" | "ALTER" | "DROP", "TABLE" | "INDEX" | "UNIQUE" | "VIEW" | "SCHEMA", ..] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, text: &str) -> usize {
        statements(&File::new(path, text)).len()
    }

    #[test]
    fn a_statement_outside_its_crates_is_found() {
        let text = "const A: &str = \"\n  UPDATE runs\n  SET status = $1\";";
        assert_eq!(count("crates/server/src/a.rs", text), 1);
        assert_eq!(count("crates/store/src/a.rs", text), 0);
        let sentence = "const A: &str = \"SELECT\"; const B: &str = \"UPDATE the page\";";
        assert_eq!(count("crates/server/src/a.rs", sentence), 0);
    }

    #[test]
    fn tests_may_show_a_users_statement() {
        let text = "#[cfg(test)]\nmod tests { const A: &str = \"SELECT 1 FROM t\"; }";
        assert_eq!(count("crates/definition/src/a.rs", text), 0);
    }

    #[test]
    fn the_store_names_its_columns_and_keeps_statements_short() {
        assert_eq!(count("crates/store/src/a.rs", "const A: &str = \"SELECT * FROM runs\";"), 1);
        let long = format!("const A: &str = \"SELECT a FROM b{}WHERE c\";", "\n".repeat(50));
        assert_eq!(count("crates/store/src/a.rs", &long), 1);
    }
}
