//! Checking `{{ … }}` templates at load: their syntax, and names where these can be known.
//!
//! What a name resolves to is known only when a step starts; the worker renders templates then.
//!
//! **Invariant.** Only texts within the bounds of [`too_complex`] reach the template parser: it
//! recurses once for each `-` or `not` of an expression, and `{{ ----…` would end the stack.

use std::collections::BTreeSet;

use millstream_model::{ErrorCode, nearest, yes_or_no};

use crate::fields::Field;
use crate::filters;
use crate::finding::{Findings, Spot, listed_words};
use crate::places::Places;
use crate::sight::Sight;
use crate::template_tree::{Asked, Path, asked_in};
use crate::tree::{Node, Value};

/// The longest single `{{ … }}` or `{% … %}`, in bytes.
const TAG_MAX: usize = 300;

/// The most `{% … %}` of one text.
const BLOCKS_MAX: usize = 100;

/// The shortest name that is taken for a slip of another one where any name may be there.
const SLIP_MIN: usize = 5;

/// Whether `text` is rendered before it is used.
fn is_template(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark))
}

/// Checks every template in `node`: its syntax, and that it names nothing but what `sight` has.
pub(crate) fn check(node: &Node, sight: &Sight, findings: &mut Findings) {
    node.for_each_text(&mut |spot, text| {
        let Some(asked) = read(text, (spot, sight.filters), findings) else { return };
        if sight.is_open {
            warn_of_slips(&asked, (spot, sight), findings);
        } else {
            refuse_names(&asked, (spot, sight), findings);
        }
        for (name, field) in &asked.needed {
            let (known, Some(field)) = (sight.fields(name), field) else { continue };
            if known.is_empty() || known.contains(&field.as_str()) {
                continue;
            }
            let message = format!("The template names `{name}.{field}`, which does not exist");
            let help = meant_field(name, field, known.iter().copied());
            findings.error(ErrorCode::DefinitionTemplate, spot, message).help(help);
        }
    });
}

/// Reports the names that are not there.
fn refuse_names(asked: &Asked, (spot, sight): (Spot, &Sight), findings: &mut Findings) {
    for name in asked.names.iter().filter(|name| !sight.listed().any(|it| it == *name)) {
        let help = match nearest(name, sight.listed()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("templates here see {}", listed(sight)),
        };
        let message = format!("The template names `{name}`, which does not exist here");
        findings.error(ErrorCode::DefinitionTemplate, spot, message).help(help);
    }
}

/// Warns of names that are like others and may be there only if a run is started with them.
fn warn_of_slips(asked: &Asked, (spot, sight): (Spot, &Sight), findings: &mut Findings) {
    let needed: BTreeSet<&String> = asked.needed.iter().map(|(name, _)| name).collect();
    for name in needed.into_iter().filter(|name| asked.names.contains(*name)) {
        if name.len() < SLIP_MIN || sight.listed().any(|known| known == name) {
            continue;
        }
        // `book_id` is as good a name as `job_id`.
        let likely = sight.listed().filter(|known| !known.contains('_'));
        let Some(near) = nearest(name, likely) else { continue };
        let message =
            format!("The template names `{name}`, which is there only if a run is given it");
        let help = format!("did you mean `{near}`? What a run is started with is `trigger.{name}`");
        findings.warning(ErrorCode::DefinitionTemplate, spot, message).help(help);
    }
}

/// What to do about the unknown `field` of `name`, which has those that are `known`.
pub(crate) fn meant_field<'a>(
    name: &str,
    field: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> String {
    if let Some(near) = nearest(field, known.clone()) {
        return format!("did you mean `{name}.{near}`?");
    }
    let fields: Vec<String> = known.map(|field| format!("`{name}.{field}`")).collect();
    if fields.is_empty() {
        return format!("`{name}` has no fields here");
    }
    format!("there is {}", listed_words(&fields))
}

/// Checks a condition: a template that names nothing but what `sight` has, or a plain yes or no.
pub(crate) fn check_condition(field: &Field<'_>, sight: &Sight, findings: &mut Findings) {
    check(field.node, sight, findings);
    let Value::Text(text) = &field.node.value else { return };
    if is_template(text) || yes_or_no(text).is_some() {
        return;
    }
    let message = format!("`{}` says {text:?}, which is neither true nor false", field.name);
    let example = sight.listed().next().unwrap_or_default();
    findings.error(ErrorCode::DefinitionTemplate, field.node.spot, message).help(format!(
        "write a template over {}, like `{{{{ {example}.… == '…' }}}}`",
        listed(sight)
    ));
}

/// The names of `sight` as a sentence lists them.
fn listed(sight: &Sight) -> String {
    listed_words(&sight.listed().map(|name| format!("`{name}`")).collect::<Vec<_>>())
}

/// The names that the template `text` cannot do without, with the fields that it takes of them.
pub(crate) fn needed_in(text: &str) -> BTreeSet<Path> {
    if !is_template(text) || too_complex(text) {
        return BTreeSet::new();
    }
    asked_in(text).map(|asked| asked.needed).unwrap_or_default()
}

/// Remembers where templates in `node` name what, below `path`.
pub(crate) fn note_names(node: &Node, path: &[&str], places: &mut Places) {
    node.for_each_text(&mut |spot, text| {
        for (name, field) in needed_in(text) {
            let path: Vec<&str> =
                path.iter().copied().chain([name.as_str()]).chain(field.as_deref()).collect();
            places.note_first(&path, spot);
        }
    });
}

/// `text` with `filled` in the place of each `{{ … }}`; none where other tags leave open what of it
/// counts.
pub(crate) fn without_tags(text: &str, filled: &str) -> Option<String> {
    if ["{%", "{#"].iter().any(|mark| text.contains(mark)) {
        return None;
    }
    let (mut rest, mut whole) = (text, String::new());
    while let Some((before, _)) = rest.split_once("{{") {
        let (_, tag) = rest.split_at(before.len());
        let (_, after) = tag.split_at_checked(tag_length(tag.as_bytes(), *b"}}"))?;
        whole.extend([before, filled]);
        rest = after;
    }
    whole.push_str(rest);
    Some(whole)
}

/// What the template `text` asks for; none where it is no template, or after reporting that it is
/// invalid. `own` are the filters beside the language's.
fn read(text: &str, (spot, own): (Spot, &[&str]), findings: &mut Findings) -> Option<Asked> {
    if !is_template(text) {
        return None;
    }
    if too_complex(text) {
        findings.error(ErrorCode::DefinitionTemplate, spot, "The template is too complex").help(
            format!(
                "one `{{{{ … }}}}` has at most {TAG_MAX} bytes, and a text {BLOCKS_MAX} `{{% … %}}`"
            ),
        );
        return None;
    }
    match asked_in(text) {
        Ok(asked) => {
            for word in filters::unknown_in(&asked, own) {
                let (message, help) = filters::told(word, own);
                findings.error(ErrorCode::DefinitionTemplate, spot, message).help(help);
            }
            for what in &asked.glued {
                let message = format!("The template joins {what} to a text with `~`");
                findings.error(ErrorCode::DefinitionTemplate, spot, message).help(
                    "that would write it as Python does; write the two beside each other, as in \
                     `{{ a }}{{ b }}`",
                );
            }
            Some(asked)
        }
        Err(error) => {
            let detail = error.detail().unwrap_or("it cannot be read");
            let message = format!("The template is not valid: {detail}");
            let mut opened = ["{{", "{%", "{#"].into_iter().filter(|mark| text.contains(mark));
            let literal = opened.next_back().unwrap_or("{{");
            findings.error(ErrorCode::DefinitionTemplate, spot, message).help(format!(
                "close what was opened; a literal `{literal}` is written `{{{{ '{literal}' }}}}`"
            ));
            None
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
fn tag_length(tag: &[u8], end: [u8; 2]) -> usize {
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
