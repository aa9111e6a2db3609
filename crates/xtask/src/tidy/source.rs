//! A Rust file taken apart: its code without texts, its comments, its literals, its test lines.
//!
//! A scanner, not a parser: it has to see into macros too, which is where most of the statements
//! and codes stand. It never fails; what is no Rust gives odd findings and a compiler's error.

use std::ops::RangeInclusive;

/// What marks a test module.
const TEST_MARK: &str = "#[cfg(test)]";

/// A text with the line, from 1, that it starts on.
pub(super) type Placed = (usize, String);

/// The parts of a Rust file.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// The code, line by line as in the file; every comment and text is blanked.
    pub(super) code: String,
    /// The comments, with their slashes.
    pub(super) comments: Vec<Placed>,
    /// The contents of the string literals, as written.
    pub(super) literals: Vec<Placed>,
    tests: Vec<RangeInclusive<usize>>,
    line: usize,
}

impl Source {
    /// Takes `text` apart.
    pub(super) fn scan(text: &str) -> Self {
        let mut source = Self { line: 1, ..Self::default() };
        let mut rest = text;
        while !rest.is_empty() {
            rest = source.next(rest);
        }
        source.tests = test_ranges(&source.code);
        source
    }

    /// Each line of code with its number from 1.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Whether the line belongs to a `#[cfg(test)]` item.
    pub(super) fn is_test_line(&self, line: usize) -> bool {
        self.tests.iter().any(|range| range.contains(&line))
    }

    /// How many lines belong to `#[cfg(test)]` items.
    pub(super) fn test_line_count(&self) -> usize {
        self.tests.iter().map(|range| range.end() + 1 - range.start()).sum()
    }

    /// Takes one comment, literal or character off `rest`.
    fn next<'a>(&mut self, rest: &'a str) -> &'a str {
        if rest.starts_with("//") {
            let end = rest.find('\n').unwrap_or(rest.len());
            return self.take(rest, end, Kind::Comment);
        }
        if rest.starts_with("/*") {
            return self.take(rest, block_comment_end(rest), Kind::Comment);
        }
        if rest.starts_with('"') {
            return self.take(rest, string_end(rest), Kind::Literal { quotes: 1 });
        }
        if let Some(hashes) = self.raw_string_hashes(rest) {
            let close = format!("\"{}", "#".repeat(hashes));
            let open = hashes + 2;
            let body = rest.get(open..).unwrap_or_default();
            let end = body.find(&close).map_or(rest.len(), |at| open + at + close.len());
            return self.take(rest, end, Kind::Literal { quotes: hashes + 1 });
        }
        if let Some(end) = char_literal_end(rest) {
            return self.take(rest, end, Kind::Character);
        }
        let end = rest.chars().next().map_or(rest.len(), char::len_utf8);
        self.take(rest, end, Kind::Code)
    }

    fn take<'a>(&mut self, rest: &'a str, end: usize, kind: Kind) -> &'a str {
        let (taken, rest) = rest.split_at_checked(end).unwrap_or((rest, ""));
        match kind {
            Kind::Code => self.code.push_str(taken),
            Kind::Comment => self.comments.push((self.line, taken.to_owned())),
            Kind::Literal { quotes } => {
                let inner = taken.trim_start_matches('r').trim_start_matches('#');
                let inner = inner.strip_prefix('"').unwrap_or(inner);
                let inner = inner.get(..inner.len().saturating_sub(quotes)).unwrap_or_default();
                self.literals.push((self.line, inner.to_owned()));
            }
            Kind::Character => {}
        }
        if kind != Kind::Code {
            let blank = |character| if character == '\n' { '\n' } else { ' ' };
            self.code.extend(taken.chars().map(blank));
        }
        self.line += taken.matches('\n').count();
        rest
    }

    /// How many hashes open a raw string here, if one starts here.
    fn raw_string_hashes(&self, rest: &str) -> Option<usize> {
        let after_r = rest.strip_prefix('r')?;
        let body = after_r.trim_start_matches('#');
        let in_word = self.code.ends_with(|c: char| c.is_alphanumeric() && c != 'b' || c == '_');
        (body.starts_with('"') && !in_word).then(|| after_r.len() - body.len())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Literal { quotes: usize },
    Character,
}

fn block_comment_end(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(rest) = text.get(at..) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else if let Some(next) = rest.chars().next() {
            at += next.len_utf8();
        } else {
            break;
        }
    }
    text.len()
}

fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Where a character literal ends; `None` for a lifetime and for everything else.
fn char_literal_end(text: &str) -> Option<usize> {
    let body = text.strip_prefix('\'')?;
    let first = body.chars().next()?;
    if first == '\\' {
        let end = body.get(2..)?.find('\'')?;
        return Some(end + 4);
    }
    let close = 1 + first.len_utf8();
    text.get(close..)?.starts_with('\'').then_some(close + 1)
}

/// The lines of every `#[cfg(test)]` item, from its attribute to its closing brace or semicolon.
fn test_ranges(code: &str) -> Vec<RangeInclusive<usize>> {
    let mut ranges = Vec::new();
    let mut line = 1;
    let mut rest = code;
    while let Some((before, after)) = rest.split_once(TEST_MARK) {
        line += before.matches('\n').count();
        let length = item_length(after);
        let (item, tail) = after.split_at_checked(length).unwrap_or((after, ""));
        let end = line + item.matches('\n').count();
        ranges.push(line..=end);
        line = end;
        rest = tail;
    }
    ranges
}

/// How many bytes the first item of `code` has.
fn item_length(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, character) in code.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_texts_leave_blanks_of_their_size() {
        let source = Source::scan("let a = \"x // y\"; // say \"z\"\nlet b = r#\"q\"w\"#;\n");
        let code: Vec<&str> = source.code.lines().map(str::trim_end).collect();
        assert_eq!(code, ["let a =         ;", "let b =         ;"]);
        assert_eq!(source.comments, [(1, "// say \"z\"".to_owned())]);
        assert_eq!(source.literals, [(1, "x // y".to_owned()), (2, "q\"w".to_owned())]);
    }

    #[test]
    fn a_quote_in_a_character_and_a_lifetime_open_no_text() {
        let source = Source::scan("fn f<'a>(x: &'a str) -> char { '\"' } // end\nlet c = '\\'';");
        assert!(source.literals.is_empty());
        assert_eq!(source.comments.len(), 1);
    }

    #[test]
    fn lines_are_counted_across_texts_and_nested_comments() {
        let source = Source::scan("/* a /* b */\n c */ \"one\ntwo\"\n\"three\"");
        assert_eq!(source.literals, [(2, "one\ntwo".to_owned()), (4, "three".to_owned())]);
    }

    #[test]
    fn a_test_module_ends_at_its_own_brace() {
        let source = Source::scan("fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() {}\n}\nfn c() {}");
        let tests: Vec<usize> = (1..=6).filter(|line| source.is_test_line(*line)).collect();
        assert_eq!(tests, [2, 3, 4, 5]);
        assert_eq!(source.test_line_count(), 4);
    }
}
