//! Checking `{{ … }}` templates at load: their syntax, and names where these can be known.
//!
//! What a name resolves to is known only when a step starts; the worker renders templates then.
//!
//! **Invariant.** Only texts within the bounds of [`too_complex`] reach the template parser: it
//! recurses once for each `-` or `not` of an expression, and `{{ ----…` would end the stack.

use std::collections::BTreeSet;

use millstream_model::{ErrorCode, nearest, yes_or_no};
use minijinja::Environment;

use crate::fields::Field;
use crate::filters;
use crate::finding::{Findings, Spot, listed_words};
use crate::tree::{Node, Value};

/// The names that templates of resources and IO managers may use: what is known without a run.
pub(crate) const SETTING_NAMES: &[&str] = &["env", "tenant"];

/// What templates can call without naming anything.
const FUNCTIONS: &[&str] = &["range", "dict", "namespace"];

/// The longest single `{{ … }}` or `{% … %}`, in bytes.
const TAG_MAX: usize = 300;

/// The most `{% … %}` of one text.
const BLOCKS_MAX: usize = 100;

/// Whether `text` is rendered before it is used.
fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// Checks the syntax of every template in `node`.
pub(crate) fn check_all(node: &Node, findings: &mut Findings) {
    node.for_each_text(&mut |spot, text| {
        if is_template(text) {
            names_in(text, spot, findings);
        }
    });
}

/// Checks the syntax of every template in `node`, and that it names `env` and `tenant` alone.
pub(crate) fn check_setting(node: &Node, findings: &mut Findings) {
    check_named(node, SETTING_NAMES, findings);
}

/// Checks the syntax of every template in `node`, and that it names nothing but `known`.
pub(crate) fn check_named(node: &Node, known: &[&str], findings: &mut Findings) {
    let is_known =
        |name: &&String| known.contains(&name.as_str()) || FUNCTIONS.contains(&name.as_str());
    node.for_each_text(&mut |spot, text| {
        if !is_template(text) {
            return;
        }
        let names = names_in(text, spot, findings);
        for name in names.iter().filter(|name| !is_known(name)) {
            let help = match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("templates here see {}", listed(known)),
            };
            let message = format!("The template names `{name}`, which does not exist here");
            findings.error(ErrorCode::DefinitionTemplate, spot, message).help(help);
        }
    });
}

/// Checks a condition: a template that names nothing but `known`, or a plain yes or no.
pub(crate) fn check_condition(field: &Field<'_>, known: &[&str], findings: &mut Findings) {
    check_named(field.node, known, findings);
    let Value::Text(text) = &field.node.value else { return };
    if is_template(text) || yes_or_no(text).is_some() {
        return;
    }
    let message = format!("`{}` says {text:?}, which is neither true nor false", field.name);
    let example = known.first().copied().unwrap_or_default();
    findings.error(ErrorCode::DefinitionTemplate, field.node.spot, message).help(format!(
        "write a template over {}, like `{{{{ {example}.… == '…' }}}}`",
        listed(known)
    ));
}

/// Names as a sentence lists them.
fn listed(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    if quoted.is_empty() { "no names".to_owned() } else { listed_words(&quoted) }
}

/// The steps whose results the template `text` cannot do without, sorted. What has a default, is
/// asked whether it is there, or stands in a branch, can be missing.
pub(crate) fn upstream_in(text: &str) -> Vec<String> {
    needed_in(text, "upstream.")
}

/// The fields of its partition that the template `text` cannot do without, sorted.
pub(crate) fn partition_fields_in(text: &str) -> Vec<String> {
    needed_in(text, "partition.")
}

/// What the template `text` needs of the name that `path` begins with, sorted.
fn needed_in(text: &str, path: &str) -> Vec<String> {
    if !text.contains(path) || !is_template(text) || too_complex(text) {
        return Vec::new();
    }
    let can_be_missing = |tag: &str| {
        ["{%", "default", "d(", "defined", " if "].iter().any(|word| tag.contains(word))
    };
    if tags_in(text).any(can_be_missing) {
        return Vec::new();
    }
    let environment = Environment::empty();
    let Ok(template) = environment.template_from_str(text) else { return Vec::new() };
    let paths = template.undeclared_variables(true);
    let field = |it: &String| it.strip_prefix(path)?.split('.').next().map(str::to_owned);
    let fields: BTreeSet<String> = paths.iter().filter_map(field).collect();
    fields.into_iter().collect()
}

/// The `{{ … }}` and `{% … %}` of `text`.
fn tags_in(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = ["{{", "{%"].iter().filter_map(|open| rest.find(open)).min()?;
        let (_, tag) = rest.split_at(start);
        let end = if tag.starts_with("{%") { *b"%}" } else { *b"}}" };
        // Where it ends within a letter, it does not end.
        let (tag, after) = tag.split_at_checked(tag_length(tag.as_bytes(), end))?;
        rest = after;
        Some(tag)
    })
}

/// The names that the template `text` looks up, sorted; none after reporting that it is invalid.
fn names_in(text: &str, spot: Spot, findings: &mut Findings) -> Vec<String> {
    if too_complex(text) {
        findings.error(ErrorCode::DefinitionTemplate, spot, "The template is too complex").help(
            format!(
                "one `{{{{ … }}}}` has at most {TAG_MAX} bytes, and a text {BLOCKS_MAX} `{{% … %}}`"
            ),
        );
        return Vec::new();
    }
    let environment = Environment::empty();
    match environment.template_from_str(text) {
        Ok(template) => {
            for name in filters::unknown_in(text) {
                let message =
                    format!("The template names the filter `{name}`, which does not exist");
                let help = filters::help(name);
                findings.error(ErrorCode::DefinitionTemplate, spot, message).help(help);
            }
            let mut names: Vec<String> = template.undeclared_variables(false).into_iter().collect();
            names.sort_unstable();
            names
        }
        Err(error) => {
            let detail = error.detail().unwrap_or("it cannot be read");
            let message = format!("The template is not valid: {detail}");
            findings
                .error(ErrorCode::DefinitionTemplate, spot, message)
                .help("close what was opened; a literal `{{` is written `{{ '{{' }}`");
            Vec::new()
        }
    }
}

/// Whether `text` has a tag that is too long, or too many blocks.
fn too_complex(text: &str) -> bool {
    let mut rest = text.as_bytes();
    let mut blocks = 0;
    while let Some(start) = rest.windows(2).position(|two| matches!(two, b"{{" | b"{%" | b"{#")) {
        let (_, tag) = rest.split_at(start);
        let is_block = tag.starts_with(b"{%");
        // Inside `raw` nothing is a tag, so that where tags end is no longer plain to see.
        if is_block && text.len() > TAG_MAX && starts_raw(tag) {
            return true;
        }
        let length = if tag.starts_with(b"{#") {
            tag.windows(2).position(|two| two == b"#}").map_or(tag.len(), |end| end + 2)
        } else {
            blocks += usize::from(is_block);
            let length = tag_length(tag, if is_block { *b"%}" } else { *b"}}" });
            if length > TAG_MAX || blocks > BLOCKS_MAX {
                return true;
            }
            length
        };
        rest = tag.get(length..).unwrap_or_default();
    }
    false
}

fn starts_raw(tag: &[u8]) -> bool {
    let inner = tag.get(2..).unwrap_or_default().trim_ascii_start();
    inner
        .strip_prefix(b"-")
        .or(inner.strip_prefix(b"+"))
        .unwrap_or(inner)
        .trim_ascii_start()
        .starts_with(b"raw")
}

/// The length of the tag that `tag` begins with; all of it when it does not end.
///
/// As in the template's own grammar, brackets and quotes inside hide an `end`.
pub(crate) fn tag_length(tag: &[u8], end: [u8; 2]) -> usize {
    let mut depth = 0_usize;
    let mut quote = None;
    let mut index = 2;
    while let Some(byte) = tag.get(index) {
        match (quote, byte) {
            (Some(_), b'\\') => index += 1,
            (Some(open), byte) if open == byte => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, _) if depth == 0 && tag.get(index..index + 2) == Some(&end) => return index + 2,
            (None, b'(' | b'[' | b'{') => depth += 1,
            (None, b')' | b']' | b'}') => depth = depth.saturating_sub(1),
            (None, _) => {}
        }
        index += 1;
    }
    tag.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_with_short_tags_are_simple() {
        let sql = "select '{{ tenant.id }}', {% if x %}1{% else %}{ { 2 }{% endif %} -- }} ";
        assert!(!too_complex(&sql.repeat(30)));
        assert!(!too_complex(
            "{{ {'a': {'b': \"}}\"}} }}{# a comment {{ #}{% raw %}{{{% endraw %}"
        ));
    }

    #[test]
    fn long_tags_are_complex_wherever_they_hide() {
        let long = "-".repeat(TAG_MAX);
        for text in [
            format!("{{{{ {long} }}}}"),
            format!("{{{{ {long}"),
            format!("{{% if {long}"),
            format!("{{{{ '}}}}' {long} }}}}"),
            format!("{{{{ \"\\\"}}}}\" {long} }}}}"),
            format!("{{{{ {{'a': {{}}}} {long} }}}}"),
            format!("{{# {{{{ #}}{{{{ {long} }}}}"),
            format!("{{% raw %}}{{{{ \"{{% endraw %}}{{{{ \"}}}}\" {long} }}}}"),
            format!("{{%- raw %}}{{{{ \"{{% endraw %}}{{{{ \"}}}}\" {long} }}}}"),
            "{% if x %}".repeat(BLOCKS_MAX + 1),
        ] {
            assert!(too_complex(&text), "{text}");
        }
    }
}
