//! From the text of a selection to its tree.

use std::iter::Peekable;
use std::str::{CharIndices, FromStr};

use super::pattern::Pattern;
use super::tree::{Node, Reach, Selection, SelectionError};

/// Longest text in bytes.
const TEXT_MAX: usize = 10_000;

/// Deepest nesting of brackets and `not`.
const DEPTH_MAX: u32 = 50;

impl FromStr for Selection {
    type Err = SelectionError;

    fn from_str(text: &str) -> Result<Self, SelectionError> {
        let mut parser = Parser { text, rest: text.char_indices().peekable(), depth: 0 };
        if text.len() > TEXT_MAX {
            return Err(parser.fail(0, format!("the text is longer than {TEXT_MAX} bytes")));
        }
        let node = parser.either()?;
        match parser.peek_word() {
            None => Ok(Self(node)),
            Some(')') => Err(parser.fail_here("this `)` closes nothing")),
            Some(_) => Err(parser.fail_here(
                "expected `,`, `and`, `or` or the end; a key with a blank in it stands in quotes \
                 of its own: `\"a key\"`",
            )),
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    rest: Peekable<CharIndices<'a>>,
    depth: u32,
}

type Parsed = Result<Node, SelectionError>;

impl Parser<'_> {
    /// Parts with `,` or `or` between them.
    fn either(&mut self) -> Parsed {
        let mut parts = vec![self.both()?];
        loop {
            let more = self.peek_word() == Some(',') && self.rest.next().is_some();
            if !more && !self.take_keyword("or") {
                return Ok(single(parts, Node::Or));
            }
            parts.push(self.both()?);
        }
    }

    /// Parts with `and` between them.
    fn both(&mut self) -> Parsed {
        let mut parts = vec![self.negated()?];
        while self.take_keyword("and") {
            parts.push(self.negated()?);
        }
        Ok(single(parts, Node::And))
    }

    fn negated(&mut self) -> Parsed {
        if self.take_keyword("not") {
            let inner = self.nested(Self::negated)?;
            return Ok(Node::Not(Box::new(inner)));
        }
        self.around()
    }

    /// One asset, attribute or bracket with what stands before and after it.
    fn around(&mut self) -> Parsed {
        self.peek_word();
        let up = self.reach_before()?;
        let center = if self.rest.next_if(|(_, c)| *c == '(').is_some() {
            let inner = self.nested(Self::either)?;
            if self.peek_word() != Some(')') {
                return Err(self.fail_here("expected `)`"));
            }
            self.rest.next();
            inner
        } else {
            self.atom()?
        };
        let down = self.reach_after()?;
        if up == Reach::NONE && down == Reach::NONE {
            return Ok(center);
        }
        Ok(Node::Around { center: Box::new(center), up, down })
    }

    /// `+`, `2+` or `*` before a part.
    fn reach_before(&mut self) -> Result<Reach, SelectionError> {
        let from = self.position();
        let ahead = self.text.get(from..).unwrap_or_default();
        let digits = ahead.len() - ahead.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if ahead.get(digits..).is_some_and(|after| after.starts_with('+')) {
            let levels = ahead.get(..digits).unwrap_or_default();
            self.skip(digits + 1);
            return self.levels(levels, from);
        }
        // A star before a slash or the end stands for any text; before a part it means upstream.
        let next = ahead.strip_prefix('*').and_then(|after| after.chars().next());
        if next.is_some_and(|c| !(is_end(c) || matches!(c, '/' | '+')) || c == '(') {
            self.skip(1);
            return Ok(Reach::ALL);
        }
        Ok(Reach::NONE)
    }

    /// `+`, `+2` or `*` directly after a part.
    fn reach_after(&mut self) -> Result<Reach, SelectionError> {
        let from = self.position();
        if self.rest.next_if(|(_, c)| *c == '*').is_some() {
            return self.end_of_part(Reach::ALL);
        }
        if self.rest.next_if(|(_, c)| *c == '+').is_none() {
            return Ok(Reach::NONE);
        }
        let mut levels = String::new();
        while let Some((_, digit)) = self.rest.next_if(|(_, c)| c.is_ascii_digit()) {
            levels.push(digit);
        }
        let reach = self.levels(&levels, from)?;
        self.end_of_part(reach)
    }

    fn end_of_part(&mut self, reach: Reach) -> Result<Reach, SelectionError> {
        match self.rest.peek() {
            Some((_, c)) if !is_end(*c) => Err(self.fail_here(
                "expected the end of this part; put a key with `+` or `*` in it in quotes",
            )),
            _ => Ok(reach),
        }
    }

    fn levels(&self, digits: &str, at: usize) -> Result<Reach, SelectionError> {
        match digits.parse() {
            _ if digits.is_empty() => Ok(Reach::ALL),
            Ok(0) => Err(self.fail(at, "0 levels are none; leave the `+0` away")),
            Ok(levels) => Ok(Reach(levels)),
            Err(_) => Err(self.fail(at, "so many levels cannot be counted; write `+` for all")),
        }
    }

    fn atom(&mut self) -> Parsed {
        let from = self.position();
        let name = self.word()?;
        let attribute = match self.rest.peek() {
            Some((_, ':')) if !name.quoted && is_attribute(&name.text) => {
                let ahead = self.text.get(self.position()..).unwrap_or_default();
                !ahead.starts_with("::")
            }
            _ => false,
        };
        if attribute {
            self.rest.next();
            return self.attribute(&name.text, from);
        }
        let mut word = name;
        while let Some((_, colon)) = self.rest.next_if(|(_, c)| *c == ':') {
            word.text.push(colon);
            let more = self.word()?;
            word.text.push_str(&more.text);
        }
        self.key(&word, from)
    }

    fn key(&mut self, word: &Word, from: usize) -> Parsed {
        if word.text.is_empty() && !word.quoted {
            return Err(match self.rest.peek().copied() {
                None => self.fail(from, "expected an asset; `*` selects all"),
                Some((_, c)) => self.fail(from, format!("expected an asset, not `{c}`")),
            });
        }
        if word.text.contains('*') && !word.quoted {
            return Ok(Node::KeyLike(Pattern::new(&word.text)));
        }
        match word.text.parse() {
            Ok(key) => Ok(Node::Key(key)),
            Err(error) => Err(self.fail(from, format!("{error}"))),
        }
    }

    fn attribute(&mut self, name: &str, from: usize) -> Parsed {
        let mut text = String::new();
        loop {
            let word = self.word()?;
            text.push_str(&word.text);
            let more = self.rest.next_if(|(_, c)| matches!(c, ':' | '*'));
            let Some((_, c)) = more else { break };
            text.push(c);
        }
        if text.is_empty() {
            return Err(self.fail_here("expected a text after the `:`"));
        }
        let pattern = Pattern::new(&text);
        match name {
            "key" => Ok(Node::KeyLike(pattern)),
            "group" => Ok(Node::Group(pattern)),
            "kind" => Ok(Node::Kind(pattern)),
            "owner" => Ok(Node::Owner(pattern)),
            "tag" => Ok(match text.split_once('=') {
                Some((name, value)) => {
                    Node::Tag { name: Pattern::new(name), value: Some(Pattern::new(value)) }
                }
                None => Node::Tag { name: pattern, value: None },
            }),
            _ => Err(self.fail(
                from,
                format!("there is no `{name}:`; there are key, tag, group, kind and owner"),
            )),
        }
    }

    /// Text up to a blank, a bracket, a comma, a `+`, a `:` or a star that ends the part.
    fn word(&mut self) -> Result<Word, SelectionError> {
        let mut word = Word { text: String::new(), quoted: false };
        while let Some((at, c)) = self.rest.peek().copied() {
            if is_end(c) || matches!(c, '+' | ':') {
                break;
            }
            let after = self.text.get(at + c.len_utf8()..).and_then(|rest| rest.chars().next());
            let ends_part = after.is_none_or(is_end);
            if c == '*' && ends_part && !word.text.is_empty() && !word.text.ends_with('/') {
                break;
            }
            self.rest.next();
            if c == '"' {
                word.quoted = true;
                self.quoted(at, &mut word.text)?;
            } else {
                word.text.push(c);
            }
        }
        Ok(word)
    }

    fn quoted(&mut self, from: usize, text: &mut String) -> Result<(), SelectionError> {
        for (_, c) in self.rest.by_ref() {
            if c == '"' {
                return Ok(());
            }
            text.push(c);
        }
        Err(self.fail(from, "this quote is not closed"))
    }

    fn nested(&mut self, parse: fn(&mut Self) -> Parsed) -> Parsed {
        if self.depth >= DEPTH_MAX {
            return Err(self.fail_here(&format!("nested deeper than {DEPTH_MAX} levels")));
        }
        self.depth += 1;
        let node = parse(self);
        self.depth -= 1;
        node
    }

    /// Takes the keyword if it is the next word.
    fn take_keyword(&mut self, keyword: &str) -> bool {
        self.peek_word();
        let ahead = self.text.get(self.position()..).unwrap_or_default();
        let found = ahead.get(..keyword.len()).is_some_and(|w| w.eq_ignore_ascii_case(keyword))
            && ahead.get(keyword.len()..).and_then(|r| r.chars().next()).is_none_or(is_end);
        if found {
            self.skip(keyword.len());
        }
        found
    }

    /// Skips blanks and looks at what comes next.
    fn peek_word(&mut self) -> Option<char> {
        while self.rest.next_if(|(_, c)| c.is_whitespace()).is_some() {}
        self.rest.peek().map(|(_, c)| *c)
    }

    fn skip(&mut self, bytes: usize) {
        let end = self.position() + bytes;
        while self.rest.next_if(|(at, _)| *at < end).is_some() {}
    }

    fn position(&mut self) -> usize {
        self.rest.peek().map_or(self.text.len(), |(at, _)| *at)
    }

    fn fail_here(&mut self, problem: &str) -> SelectionError {
        let at = self.position();
        self.fail(at, problem)
    }

    fn fail(&self, at: usize, problem: impl Into<String>) -> SelectionError {
        let before = self.text.get(..at).unwrap_or(self.text);
        SelectionError {
            text: self.text.chars().take(200).collect(),
            position: before.chars().count() + 1,
            problem: problem.into(),
        }
    }
}

/// A piece of text between the signs of the grammar.
struct Word {
    text: String,
    quoted: bool,
}

fn is_end(c: char) -> bool {
    c.is_whitespace() || matches!(c, '(' | ')' | ',')
}

/// Whether a word before a `:` was meant as an attribute; keys with a `:` look otherwise.
fn is_attribute(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase())
}

fn single(mut parts: Vec<Node>, many: fn(Vec<Node>) -> Node) -> Node {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            many(parts)
        }
        None => many(parts),
    }
}
