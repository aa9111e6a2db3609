//! The filters that a template names: those that exist nowhere are found at load.
//!
//! Used by [`crate::template`] for templates whose syntax is right and which are not too complex.

use std::collections::BTreeMap;

use millstream_model::{STEP_FILTERS, nearest};
use minijinja::{Environment, Value};

use crate::template::tag_length;

/// Filters of the template language itself that are suggested in place of an unknown one.
const OFTEN_MEANT: &[&str] =
    &["default", "first", "int", "join", "last", "length", "lower", "replace", "trim", "upper"];

/// The filters in `text` that exist nowhere, in order.
pub(crate) fn unknown_in(text: &str) -> Vec<&str> {
    let mut unknown = named_in(text);
    unknown.retain(|name| !STEP_FILTERS.contains(name));
    if unknown.is_empty() {
        return unknown;
    }
    let environment = Environment::new();
    let Ok(is_filter) = environment.compile_expression("name is filter") else {
        return Vec::new();
    };
    unknown.retain(|name| {
        let given = BTreeMap::from([("name".to_owned(), Value::from(*name))]);
        is_filter.eval(Value::from(given)).is_ok_and(|it| !it.is_true())
    });
    unknown
}

/// What to do about an unknown filter.
pub(crate) fn help(name: &str) -> String {
    match nearest(name, STEP_FILTERS.iter().chain(OFTEN_MEANT).copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            format!("there are `{}`, and those of the language Jinja", STEP_FILTERS.join("`, `"))
        }
    }
}

/// The names behind each `|` and each `filter` in the tags of `text`.
fn named_in(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(start) = ["{{", "{%", "{#"].iter().filter_map(|open| rest.find(open)).min() {
        let tag = rest.get(start..).unwrap_or_default();
        let length = match tag.get(..2) {
            Some("{#") => tag.find("#}").map_or(tag.len(), |end| end + 2),
            Some("{%") => tag_length(tag.as_bytes(), *b"%}"),
            _ => tag_length(tag.as_bytes(), *b"}}"),
        };
        let (tag, after) = tag.split_at_checked(length).unwrap_or((tag, ""));
        let inner = tag.trim_start_matches(['{', '%', '-', '+']).trim_start();
        if inner.starts_with("raw") {
            // What follows may be no tags.
            return names;
        }
        if tag.starts_with("{%") && inner.split_whitespace().next() == Some("filter") {
            // A block that is filtered as a whole.
            names.extend(name_in(inner.trim_start_matches("filter")));
        }
        if !tag.starts_with("{#") {
            behind_bars(tag, &mut names);
        }
        rest = after;
    }
    names
}

/// Adds the names behind each `|` of `tag` that is in no quotes.
fn behind_bars<'t>(tag: &'t str, names: &mut Vec<&'t str>) {
    let mut quote = None;
    let mut is_escaped = false;
    for (place, letter) in tag.char_indices() {
        match (quote, letter) {
            (Some(_), _) if is_escaped => is_escaped = false,
            (Some(_), '\\') => is_escaped = true,
            (Some(open), letter) if open == letter => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(letter),
            (None, '|') => {
                names.extend(name_in(tag.get(place + 1..).unwrap_or_default()));
            }
            (None, _) => {}
        }
    }
}

/// The name that `text` begins with.
fn name_in(text: &str) -> Option<&str> {
    let text = text.trim_start();
    let is_name = |letter: char| letter == '_' || letter.is_alphanumeric();
    let end = text.find(|it| !is_name(it)).unwrap_or(text.len());
    text.get(..end).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_found_in_tags_and_nowhere_else() {
        let text = "a | b {# x | c #}{{ '|d' ~ e|shel(2) | upper }}{% if f | lenght > 1 %}\
                    {{ \"\\\"|g\" }}{% endif %}{{ h | default('|i') | snake }}";
        assert_eq!(named_in(text), ["shel", "upper", "lenght", "default", "snake"]);
        assert_eq!(unknown_in(text), ["shel", "lenght"]);
        assert_eq!(unknown_in("{% raw %}{{ a | shel }}{% endraw %}"), [""; 0]);
        let blocks = "{% filter shel %}a{% endfilter %}{%-filter\tlenght(1)|nope %}b{% endfilter %}\
                      {{ filter }}{{ filter | upper }}{% if filters %}{% endif %}";
        assert_eq!(named_in(blocks), ["shel", "lenght", "nope", "upper"]);
        assert_eq!(unknown_in(blocks), ["shel", "lenght", "nope"]);
        assert_eq!(help("shel"), "did you mean `shell`?");
        assert_eq!(help("lenght"), "did you mean `length`?");
    }
}
