//! JSON text to a [`Node`]: strict JSON, no comments and no trailing commas.
//!
//! Called by [`crate::parse_file`]. What is nested deeper than [`DEPTH_MAX`] is refused before the
//! parser, which recurses, sees it.

use jsonc_parser::ast;
use jsonc_parser::common::Ranged;
use jsonc_parser::errors::{ParseError, ParseErrorKind};
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use millstream_model::ErrorCode;

use crate::finding::{Findings, Spot};
use crate::source::{DEPTH_MAX, Lines};
use crate::tree::{Entry, Node, Number, Value, without_duplicates};

const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// The tree of `text`, or `None` after reporting why it is not JSON.
pub(crate) fn parse(text: &str, findings: &mut Findings) -> Option<Node> {
    if let Some(offset) = too_deep_at(text) {
        too_deep(Lines::new(text).spot(offset), findings);
        return None;
    }
    let parsed = match parse_to_ast(text, &CollectOptions::default(), &STRICT) {
        Ok(parsed) => parsed,
        Err(error) => {
            report(text, &error, findings);
            return None;
        }
    };
    let Some(value) = parsed.value else {
        findings
            .error(ErrorCode::DefinitionJson, Spot::FILE, "JSON parse error: the file is empty")
            .help("write at least `{\"nodes\": [{\"id\": \"first\", \"type\": \"noop\"}]}`");
        return None;
    };
    Builder { lines: Lines::new(text), findings }.node(value)
}

/// The offset of the first bracket that opens a level too many.
fn too_deep_at(text: &str) -> Option<usize> {
    let (mut depth, mut in_text, mut is_escaped) = (0_usize, false, false);
    for (offset, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return Some(offset);
        }
    }
    None
}

fn report(text: &str, error: &ParseError, findings: &mut Findings) {
    let spot = Lines::new(text).spot(error.range().start);
    findings
        .error(ErrorCode::DefinitionJson, spot, format!("JSON parse error: {}", error.kind()))
        .help(match error.kind() {
            ParseErrorKind::CommentsNotAllowed => "JSON has no comments; a `.yaml` file may",
            ParseErrorKind::TrailingCommasNotAllowed => "remove the comma before the bracket",
            ParseErrorKind::SingleQuotedStringsNotAllowed => "write \"…\" around texts",
            ParseErrorKind::ExpectedComma => "separate the two values by a comma",
            ParseErrorKind::UnterminatedObject => "close the object that starts here by `}`",
            ParseErrorKind::UnterminatedArray => "close the list that starts here by `]`",
            _ => {
                "the text is read as strict JSON; this is the first place that is none: is a quote \
                 or a comma missing before it?"
            }
        });
}

/// Reports that the value at `spot` is nested too deeply.
pub(crate) fn too_deep(spot: Spot, findings: &mut Findings) {
    let message = format!("the file nests objects and lists deeper than {DEPTH_MAX} levels");
    findings
        .error(ErrorCode::DefinitionTooLarge, spot, message)
        .help("move what is nested here into the step's own files");
}

struct Builder<'a, 'f> {
    lines: Lines<'a>,
    findings: &'f mut Findings,
}

impl Builder<'_, '_> {
    /// The node of `value`; called in the order of the text, as [`Lines`] asks for.
    fn node(&mut self, value: ast::Value<'_>) -> Option<Node> {
        let spot = self.lines.spot(value.range().start);
        let value = match value {
            ast::Value::NullKeyword(_) => Value::Null,
            ast::Value::BooleanLit(flag) => Value::Bool(flag.value),
            ast::Value::StringLit(text) => Value::Text(text.value.into_owned()),
            ast::Value::NumberLit(number) => self.number(spot, number.value)?,
            ast::Value::Array(list) => {
                let items: Option<Vec<Node>> =
                    list.elements.into_iter().map(|item| self.node(item)).collect();
                Value::List(items?)
            }
            ast::Value::Object(map) => {
                let mut entries = Vec::with_capacity(map.properties.len());
                for property in map.properties {
                    let key_spot = self.lines.spot(property.range.start);
                    let key = property.name.into_string();
                    let value = self.node(property.value)?;
                    entries.push(Entry { key, key_spot, value });
                }
                Value::Map(without_duplicates(entries, self.findings))
            }
        };
        Some(Node { spot, value })
    }

    fn number(&mut self, spot: Spot, written: &str) -> Option<Value> {
        if let Ok(value) = written.parse() {
            return Some(Value::Number(Number { value, written: written.to_owned() }));
        }
        let message = format!("JSON parse error: {written} is not a number of JSON");
        self.findings
            .error(ErrorCode::DefinitionJson, spot, message)
            .help("write it like `12`, `-1.5` or `2e3`");
        None
    }
}
