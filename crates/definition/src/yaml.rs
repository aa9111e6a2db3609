//! YAML text to a [`Node`], by the core schema of YAML 1.2: `yes` is text, `1e3` is a number.
//!
//! Called by [`crate::parse_file`]. Aliases, tags and several documents in a file are refused: an
//! alias can make a small file large beyond bounds, and the other two mean nothing here.

use millstream_model::ErrorCode;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag};

use crate::blame::{self, Blame};
use crate::finding::{Findings, Spot};
use crate::json::too_deep;
use crate::source::DEPTH_MAX;
use crate::tree::{Entry, Node, Number, Value, without_duplicates};

/// The tree of `text`, or `None` after reporting why it is no YAML that is read here, or that there
/// is nothing in it.
pub(crate) fn parse(text: &str, findings: &mut Findings) -> Option<Node> {
    let root = parse_any(text, findings)?;
    if root.value != Value::Null {
        return Some(root);
    }
    let message = "YAML parse error: the file is empty";
    findings
        .error(ErrorCode::DefinitionYaml, Spot::FILE, message)
        .help("write at least `nodes: [{id: first, type: noop}]`");
    None
}

/// The same where there may be nothing, which is null.
pub(crate) fn parse_any(text: &str, findings: &mut Findings) -> Option<Node> {
    let mut builder = Builder { text, open: Vec::new(), root: None, documents: 0, findings };
    let mut parser = Parser::new_from_str(text);
    while let Some(next) = parser.next_event() {
        match next {
            Ok((event, span)) => builder.event(event, span)?,
            Err(error) => {
                let help = match error.info() {
                    info if info.contains("unknown anchor") => {
                        "a value that begins with `*` stands in quotes, like `\"*/5 * * * *\"`; \
                         without them it repeats what `&` has marked before"
                    }
                    _ => {
                        "this is the first place that is not YAML; often the indentation before \
                         it, a missing space after `:` or a `: ` in a value without quotes is to \
                         blame"
                    }
                };
                builder.refuse(spot_of(error.marker()), error.info(), help)?;
            }
        }
    }
    Some(builder.root.unwrap_or(Node { spot: Spot::FILE, value: Value::Null }))
}

fn spot_of(marker: &Marker) -> Spot {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Spot { line: number(marker.line()).max(1), column: number(marker.col()).saturating_add(1) }
}

/// A list or an object whose end has not come yet.
enum Open {
    List { spot: Spot, items: Vec<Node> },
    Map { spot: Spot, entries: Vec<Entry>, key: Option<(String, Spot)> },
}

struct Builder<'f> {
    text: &'f str,
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    findings: &'f mut Findings,
}

impl Builder<'_> {
    /// Takes the next event; `None` after an error that ends the reading.
    fn event(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        let spot = spot_of(&span.start);
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return self.refuse(spot, "more than one document", "remove the line `---`");
                }
                Some(())
            }
            Event::Alias(_) => self.refuse(
                spot,
                "aliases (`*name`) are not allowed",
                "repeat the value, or give it a name of its own under `partitions`, `resources` \
                 or `io`",
            ),
            Event::Scalar(text, style, _, tag) => self.scalar(spot, &text, style, tag.as_deref()),
            Event::SequenceStart(_, tag) => {
                self.start(spot, tag.as_deref(), Open::List { spot, items: Vec::new() })
            }
            Event::MappingStart(_, tag) => {
                self.start(spot, tag.as_deref(), Open::Map { spot, entries: Vec::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Some(()),
        }
    }

    /// Reports what is no YAML that is read here: by its likely cause, or else as `what`.
    fn refuse(&mut self, spot: Spot, what: &str, help: &str) -> Option<()> {
        let as_seen = || Blame { spot, message: what.to_owned(), help: help.to_owned() };
        let Blame { spot, message, help } = blame::of(self.text, spot).unwrap_or_else(as_seen);
        let message = format!("YAML parse error: {message}");
        self.findings.error(ErrorCode::DefinitionYaml, spot, message).help(help);
        None
    }

    fn start(&mut self, spot: Spot, tag: Option<&Tag>, open: Open) -> Option<()> {
        if tag.is_some_and(|tag| !tag.is_yaml_core_schema()) {
            return self.refuse(spot, "tags (`!name`) are not allowed", "remove the tag");
        }
        if matches!(self.open.last(), Some(Open::Map { key: None, .. })) {
            return self.refuse(
                spot,
                "a key must be text, not a list or an object",
                "write quotes around a key that starts with `[` or `{`",
            );
        }
        if self.open.len() >= DEPTH_MAX {
            too_deep(spot, self.findings);
            return None;
        }
        self.open.push(open);
        Some(())
    }

    fn end(&mut self) -> Option<()> {
        let node = match self.open.pop()? {
            Open::List { spot, items } => Node { spot, value: Value::List(items) },
            Open::Map { spot, entries, .. } => {
                Node { spot, value: Value::Map(without_duplicates(entries, self.findings)) }
            }
        };
        self.put(node);
        Some(())
    }

    fn scalar(
        &mut self,
        spot: Spot,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
    ) -> Option<()> {
        if let Some(Open::Map { key: key @ None, .. }) = self.open.last_mut() {
            *key = Some((text.to_owned(), spot));
            return Some(());
        }
        let value = match tag {
            None if style == ScalarStyle::Plain => plain(text),
            None => Value::Text(text.to_owned()),
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => {
                Value::Text(text.to_owned())
            }
            Some(_) => {
                return self.refuse(spot, "tags (`!name`) are not allowed", "remove the tag");
            }
        };
        self.put(Node { spot, value });
        Some(())
    }

    fn put(&mut self, node: Node) {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => {
                if let Some((key, key_spot)) = key.take() {
                    entries.push(Entry { key, key_spot, value: node });
                }
            }
        }
    }
}

/// What an unquoted text means.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => match number(text) {
            Some(value) => Value::Number(Number { value, written: text.to_owned() }),
            None => Value::Text(text.to_owned()),
        },
    }
}

fn number(text: &str) -> Option<serde_json::Number> {
    if let Some(digits) = text.strip_prefix("0x") {
        return based(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return based(digits, 8);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_number = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.contains(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e' | 'E'));
    if !is_number {
        return None;
    }
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.into());
    }
    if let Ok(whole) = text.parse::<u64>() {
        return Some(whole.into());
    }
    text.parse::<f64>().ok().and_then(serde_json::Number::from_f64)
}

fn based(digits: &str, radix: u32) -> Option<serde_json::Number> {
    // `from_str_radix` takes a sign, which may not stand after the prefix.
    let is_plain = digits.starts_with(|c: char| c.is_ascii_hexdigit());
    u64::from_str_radix(digits, radix).ok().filter(|_| is_plain).map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> serde_json::Value {
        let mut findings = Findings::new("x.yaml");
        let node = parse(text, &mut findings).unwrap();
        assert_eq!(findings.error_count(), 0);
        node.json()
    }

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        let json = read("[yes, 1e3, 007, 0x1F, .5, 1.2.3, 2025-01-01, ~, True, '12', +4, 1-2]");
        let expected = serde_json::json!([
            "yes",
            1000.0,
            7,
            31,
            0.5,
            "1.2.3",
            "2025-01-01",
            null,
            true,
            "12",
            4,
            "1-2"
        ]);
        assert_eq!(json, expected);
    }

    #[test]
    fn places_are_those_of_the_keys_and_values() {
        let mut findings = Findings::new("x.yaml");
        let root = parse("a: 1\nbé: {c: [x]}\n", &mut findings).unwrap();
        let entry = root.entry("bé").unwrap();
        assert_eq!(entry.key_spot, Spot { line: 2, column: 1 });
        assert_eq!(entry.value.spot, Spot { line: 2, column: 5 });
        assert_eq!(entry.value.entry("c").unwrap().value.spot, Spot { line: 2, column: 9 });
    }
}
