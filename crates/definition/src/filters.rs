//! The words of the template language: those that exist nowhere are found at load.
//!
//! Used by [`crate::template`], which knows which of the product's own filters are there.

use std::collections::BTreeMap;

use millstream_model::nearest;
use minijinja::{Environment, Value};

use crate::template_tree::{Asked, Word};

/// Those of the language itself that are suggested in place of an unknown one.
const OFTEN_MEANT: &[(Word, &[&str])] = &[
    (
        Word::Filter,
        &["default", "first", "int", "join", "last", "length", "lower", "replace", "trim", "upper"],
    ),
    (Word::Test, &["defined", "undefined", "none", "number", "string", "in", "odd", "even"]),
    (Word::Function, &["range", "dict", "namespace"]),
];

/// The words in `asked` that exist nowhere; `own` are the filters beside the language's.
pub(crate) fn unknown_in<'a>(asked: &'a Asked, own: &[&str]) -> Vec<(Word, &'a str)> {
    let mut unknown: Vec<(Word, &str)> =
        asked.words.iter().map(|(word, name)| (*word, name.as_str())).collect();
    unknown.retain(|(word, name)| *word != Word::Filter || !own.contains(name));
    if unknown.is_empty() {
        return unknown;
    }
    let environment = Environment::new();
    unknown.retain(|(word, name)| match word {
        Word::Filter => !is("name is filter", name, &environment),
        Word::Test => !is("name is test", name, &environment),
        Word::Function => !environment.globals().any(|(global, _)| global == *name),
    });
    unknown
}

/// Whether the language says `question` of `name`; yes where it cannot be asked.
fn is(question: &'static str, name: &str, environment: &Environment<'_>) -> bool {
    let given = BTreeMap::from([("name".to_owned(), Value::from(name))]);
    let asked = environment.compile_expression(question).and_then(|it| it.eval(Value::from(given)));
    asked.map_or(true, |answer| answer.is_true())
}

/// What is wrong with an unknown word, and what to do about it.
pub(crate) fn told((word, name): (Word, &str), own: &[&str]) -> (String, String) {
    let (kind, verb) = match word {
        Word::Filter => ("filter", "names"),
        Word::Test => ("test", "names"),
        Word::Function => ("function", "calls"),
    };
    let message = format!("The template {verb} the {kind} `{name}`, which does not exist");
    let own = if word == Word::Filter { own } else { &[] };
    let often = OFTEN_MEANT.iter().find(|(of, _)| *of == word).map_or(&[][..], |(_, names)| names);
    // A single letter is like everything that begins with it.
    let likely = own.iter().chain(often).copied().filter(|it| it.len() > 1);
    let help = match nearest(name, likely) {
        Some(near) => format!("did you mean `{near}`?"),
        None if word == Word::Function => format!("there are `{}`", often.join("`, `")),
        None if own.is_empty() => format!("there are the {kind}s of the language Jinja"),
        None => format!("there are `{}`, and those of the language Jinja", own.join("`, `")),
    };
    (message, help)
}

#[cfg(test)]
mod tests {
    use millstream_model::STEP_FILTERS;

    use super::*;
    use crate::template_tree::asked_in;

    #[test]
    fn unknown_words_are_told_with_what_may_be_meant() {
        let asked = asked_in(
            "{{ a | shel | upper | snake | map('uper') | select('defind') }}\
             {{ 1 is divisibleby(2) }}{{ rnge(3) }}{{ dict(a=1) }}{{ 1 is nosuch }}{{ now() }}",
        )
        .unwrap();
        let told: Vec<String> = unknown_in(&asked, STEP_FILTERS)
            .into_iter()
            .map(|word| {
                let (message, help) = told(word, STEP_FILTERS);
                format!("{message}; {help}").replace(", which does not exist", "")
            })
            .collect();
        assert_eq!(
            told,
            [
                "The template names the filter `shel`; did you mean `shell`?",
                "The template names the filter `uper`; did you mean `upper`?",
                "The template names the test `defind`; did you mean `defined`?",
                "The template names the test `nosuch`; there are the tests of the language Jinja",
                "The template calls the function `now`; there are `range`, `dict`, `namespace`",
                "The template calls the function `rnge`; did you mean `range`?",
            ]
        );
        assert_eq!(unknown_in(&asked_in("{{ a | shell }}").unwrap(), &["default"]).len(), 1);
        let (_, help) = super::told((Word::Filter, "date"), STEP_FILTERS);
        assert!(help.starts_with("there are `snake`, "), "no letter alone: {help}");
    }

    #[test]
    fn the_filters_that_the_reference_lists_are_there() {
        let page = include_str!("../../../docs/reference/steps.md");
        let (_, list) = page.split_once("The usual ones are Jinja's:").unwrap();
        let (list, _) = list.split_once(".\n").unwrap();
        let listed: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
        assert!(listed.len() > 30, "{listed:?}");
        for name in listed {
            let asked = asked_in(&format!("{{{{ a | {name} }}}}")).unwrap();
            assert_eq!(unknown_in(&asked, STEP_FILTERS), []);
        }
    }
}
