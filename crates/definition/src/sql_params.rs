//! The parameters in statements of SQL that no step provides, found when files are put together,
//! and the items that hold two statements.
//!
//! Called by [`crate::references`] for each step of kind `sql`: the partitions of an asset give its
//! step parameters, and other files may declare them. [`crate::steps`] asks for the statements.

use std::collections::BTreeSet;

use millstream_model::sql_text::{numbered, words};
use millstream_model::{ResourceDef, SqlStep, nearest};

use crate::finding::listed_words;
use crate::places::Places;
use crate::reporter::Reporter;
use crate::template::without_tags;
use crate::tree::{Node, Value};

/// What every statement may bind.
pub(crate) const EVERYWHERE: &[&str] = &["tenant", "run_id", "partition_key"];

/// What the names of a partition's dimensions begin with.
const DIMENSION: &str = "partition_";

/// What stands for a template in a statement.
const FILLED: &str = "__template__";

/// What lets SQLite have other names than the scan for parameters finds.
const OF_SQLITE: &[char] = &['[', '`', '$'];

/// The names behind colons in `statement`, as far as no template hides them.
fn named_in(statement: &str) -> BTreeSet<String> {
    if !statement.contains(':') {
        return BTreeSet::new();
    }
    let Some(text) = without_tags(statement, FILLED) else { return BTreeSet::new() };
    numbered(&text).names.into_iter().filter(|name| !name.contains(FILLED)).collect()
}

/// Whether `statement` surely has text behind the `;` that ends it, whichever database runs it.
pub(crate) fn is_several(statement: &str) -> bool {
    if !statement.contains(';') || statement.contains(OF_SQLITE) {
        return false;
    }
    // A trigger has statements of its own.
    let [first, _] = words(statement);
    let is_trigger = first == "CREATE" && statement.to_lowercase().contains("begin");
    // A template may come to nothing.
    !is_trigger && without_tags(statement, " ").is_some_and(|text| numbered(&text).several)
}

/// Remembers where statements in `node`, a step, name parameters, below `path`.
pub(crate) fn note_parameters(node: &Node, path: &[&str], places: &mut Places) {
    let Value::Map(entries) = &node.value else { return };
    for entry in entries {
        match entry.key.as_str() {
            "statements" => entry.value.for_each_text(&mut |spot, text| {
                for name in named_in(text) {
                    places.note_first(&[path, &["statements", &name]].concat(), spot);
                }
            }),
            "config" | "query" | "source" => note_parameters(&entry.value, path, places),
            _ => {}
        }
    }
}

impl Reporter<'_, '_> {
    /// Reports the parameters that `step` does not have; `more` are those that it has beside its
    /// own and everybody's, and `path` leads to where its statements stand.
    pub(crate) fn sql_parameters(
        &mut self,
        (step, resource): (&SqlStep, Option<&ResourceDef>),
        (path, who): (&[&str], &str),
        more: &[String],
    ) {
        let mut known: Vec<&str> = step.params.keys().map(String::as_str).collect();
        known.extend(EVERYWHERE);
        known.extend(more.iter().map(String::as_str));
        let is_postgres = matches!(resource, Some(ResourceDef::Postgres { .. }));
        let is_certain = |text: &&String| is_postgres || !text.contains(OF_SQLITE);
        let named: BTreeSet<String> =
            step.statements.iter().filter(is_certain).flat_map(|text| named_in(text)).collect();
        for name in named.iter().filter(|name| !known.contains(&name.as_str())) {
            let message =
                format!("{who} names the parameter `:{name}`, which its step does not have");
            let listed = || {
                let known: Vec<String> = known.iter().map(|it| format!("`:{it}`")).collect();
                format!("there are {}; declare more under `params`", listed_words(&known))
            };
            let near = nearest(name, known.iter().copied());
            let help = if more.is_empty() && name.starts_with(DIMENSION) {
                format!("it has no partitions with dimensions; {}", listed())
            } else {
                near.map_or_else(listed, |near| format!("did you mean `:{near}`?"))
            };
            self.error(&[path, &["statements", name]].concat(), message, help);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_no_template_quote_or_cast_makes() {
        for (text, names) in [
            ("select :a, ':b', c::date -- :d", "a"),
            ("select {{ {'x':y} }}, :a{{ z }}, :{{ z }}, :b", "b"),
            ("{% if x %}select :a{% endif %}", ""),
            ("{# :a #} select :b", ""),
        ] {
            let found: Vec<String> = named_in(text).into_iter().collect();
            assert_eq!(found.join(" "), names, "{text}");
        }
    }

    #[test]
    fn only_what_is_more_than_one_statement_everywhere_is_several() {
        assert!(is_several("create table t (a); insert into t values (1)"));
        for one in [
            "select ';' ; -- done",
            "select 1; {{ trigger.more }}",
            "select 1;{% if trigger.more %} select 2{% endif %}",
            "create trigger t after insert on a begin select 1; select 2; end",
            "select [a;b] from t",
        ] {
            assert!(!is_several(one), "{one}");
        }
    }
}
