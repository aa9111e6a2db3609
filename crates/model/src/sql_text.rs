//! `:name` placeholders in SQL texts, found without being misled by quotes, comments and casts.
//!
//! SQLite reads `:name` itself; Postgres needs `$1`, so [`numbered`] rewrites a statement. The scan
//! knows what a name can hide in, and nothing else of SQL. `io` has statements rewritten, and
//! definitions are checked for names that no step provides.

/// A statement with numbered placeholders, and the names in the order of their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbered {
    /// The text with `$1`, `$2`, … in it; the same name has the same number.
    pub text: String,
    /// The names; `$1` is the first.
    pub names: Vec<String>,
    /// A placeholder that was in the text already (`$1`, `?`), if there was one.
    pub nameless: Option<String>,
    /// Whether text follows a `;` that ends the statement.
    pub several: bool,
}

/// Whether `text` has nothing but white space, comments and semicolons.
pub fn is_blank(text: &str) -> bool {
    let mut scan = Scan { rest: text, before: ' ' };
    std::iter::from_fn(|| scan.next())
        .all(|token| matches!(token, Token::Comment(_) | Token::Space(_) | Token::End))
}

/// The first two words of `text` in capitals, after comments; empty where there are none.
pub fn words(text: &str) -> [String; 2] {
    let mut scan = Scan { rest: text, before: ' ' };
    let mut tokens = std::iter::from_fn(|| scan.next())
        .filter(|token| !matches!(token, Token::Comment(_) | Token::Space(_)))
        .map(|token| match token {
            Token::Other(text) => text.to_uppercase(),
            _ => String::new(),
        });
    [tokens.next().unwrap_or_default(), tokens.next().unwrap_or_default()]
}

/// `text` with each `:name` replaced by its number.
pub fn numbered(text: &str) -> Numbered {
    let mut found = Numbered {
        text: String::with_capacity(text.len()),
        names: Vec::new(),
        nameless: None,
        several: false,
    };
    let mut scan = Scan { rest: text, before: ' ' };
    let mut is_over = false;
    while let Some(token) = scan.next() {
        if is_over && !matches!(token, Token::Comment(_) | Token::Space(_) | Token::End) {
            found.several = true;
        }
        match token {
            Token::Comment(text) | Token::Space(text) | Token::Other(text) => {
                found.text.push_str(text);
            }
            Token::Nameless(text) => {
                found.nameless.get_or_insert_with(|| text.to_owned());
                found.text.push_str(text);
            }
            Token::Name(name) => {
                let known = found.names.iter().position(|known| known == name);
                let index = known.unwrap_or_else(|| {
                    found.names.push(name.to_owned());
                    found.names.len() - 1
                });
                found.text.push('$');
                found.text.push_str(&(index + 1).to_string());
            }
            Token::End => {
                is_over = true;
                found.text.push(';');
            }
        }
    }
    found
}

/// What a database takes for quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quotes {
    /// Those of the standard, and dollar quotes.
    Standard,
    /// Backquotes and square brackets too, as SQLite does.
    Sqlite,
}

/// Whether a part of `text` between the two marks begins in quotes or in a comment, or does not end
/// where it begins. The marks are characters that mean nothing in SQL.
///
/// What stands between dollar quotes is read as SQL again.
pub fn is_hidden(text: &str, (begin, end): (char, char), quotes: Quotes) -> bool {
    let mut scan = Scan { rest: text, before: ' ' };
    let (mut is_back, mut brackets) = (false, 0_usize);
    while let Some(token) = scan.next() {
        let (Token::Comment(part) | Token::Other(part)) = token else { continue };
        match part {
            "`" if quotes == Quotes::Sqlite => is_back = !is_back,
            "[" if quotes == Quotes::Sqlite => brackets += 1,
            "]" => brackets = brackets.saturating_sub(1),
            _ if !part.contains(begin) => {}
            _ if is_back || brackets > 0 || matches!(token, Token::Comment(_)) => return true,
            _ if part.starts_with(begin) => {}
            _ if !part.starts_with('$') => return true,
            _ if part.matches(begin).count() != part.matches(end).count() => return true,
            block => {
                let (_, body) =
                    block.get(1..).and_then(|it| it.split_once('$')).unwrap_or_default();
                if is_hidden(body, (begin, end), quotes) {
                    return true;
                }
            }
        }
    }
    false
}

enum Token<'a> {
    /// White space.
    Space(&'a str),
    /// A comment with its marks.
    Comment(&'a str),
    /// A placeholder by name, without its colon.
    Name(&'a str),
    /// `$1`: a placeholder that has no name.
    Nameless(&'a str),
    /// A `;` outside of everything.
    End,
    /// Anything else, as it stands.
    Other(&'a str),
}

struct Scan<'a> {
    rest: &'a str,
    before: char,
}

impl<'a> Scan<'a> {
    fn next(&mut self) -> Option<Token<'a>> {
        let first = self.rest.chars().next()?;
        let second = self.rest.chars().nth(1);
        let token = match (first, second) {
            (';', _) => {
                self.take(1);
                Token::End
            }
            ('-', Some('-')) => Token::Comment(self.take(line_end(self.rest))),
            ('/', Some('*')) => Token::Comment(self.take(comment_end(self.rest))),
            ('\'', _) => {
                let escapes = matches!(self.before, 'e' | 'E');
                Token::Other(self.take(quote_end(self.rest, '\'', escapes)))
            }
            ('"', _) => Token::Other(self.take(quote_end(self.rest, '"', false))),
            (':', Some(':')) => Token::Other(self.take(2)),
            (':', Some(next)) if is_name_start(next) => {
                let length = 1 + name_length(self.rest.get(1..).unwrap_or(""));
                Token::Name(self.take(length).get(1..).unwrap_or(""))
            }
            ('$', _) if !is_name_part(self.before) => self.dollar(),
            (c, _) if c.is_whitespace() => Token::Space(self.take(c.len_utf8())),
            (c, _) if is_name_start(c) || c.is_ascii_digit() => {
                Token::Other(self.take(name_length(self.rest).max(c.len_utf8())))
            }
            (c, _) => Token::Other(self.take(c.len_utf8())),
        };
        Some(token)
    }

    /// A dollar quote whole, a numbered placeholder, or the sign alone.
    fn dollar(&mut self) -> Token<'a> {
        let after = self.rest.get(1..).unwrap_or("");
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 {
            return Token::Nameless(self.take(1 + digits));
        }
        let tag = name_length(after);
        if after.get(tag..).is_some_and(|rest| rest.starts_with('$')) {
            let mark = self.rest.get(..tag + 2).unwrap_or("");
            let body = self.rest.get(tag + 2..).unwrap_or("");
            let length = body.find(mark).map_or(self.rest.len(), |at| at + 2 * mark.len());
            return Token::Other(self.take(length));
        }
        Token::Other(self.take(1))
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.before = taken.chars().next_back().unwrap_or(' ');
        self.rest = rest;
        taken
    }
}

fn is_name_start(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn is_name_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn name_length(text: &str) -> usize {
    text.find(|c| !is_name_part(c)).unwrap_or(text.len())
}

fn line_end(text: &str) -> usize {
    text.find('\n').unwrap_or(text.len())
}

/// The end of a block comment; Postgres nests them.
fn comment_end(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth = depth.saturating_sub(1);
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The end of a quoted text, where a doubled quote, and in `E'…'` a backslash, does not end it.
fn quote_end(text: &str, quote: char, escapes: bool) -> usize {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        if escapes && c == '\\' {
            characters.next();
        } else if c == quote {
            match characters.peek() {
                Some((_, next)) if *next == quote => {
                    characters.next();
                }
                _ => return at + 1,
            }
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, rewritten: &str, names: &[&str]) {
        let found = numbered(text);
        assert_eq!(found.text, rewritten);
        assert_eq!(found.names, names, "{text}");
        assert_eq!((found.nameless, found.several), (None, false), "{text}");
    }

    #[test]
    fn a_name_gets_one_number_however_often_it_stands() {
        check("SELECT :a, :b, :a", "SELECT $1, $2, $1", &["a", "b"]);
        check("WHERE x=:partition_day::date", "WHERE x=$1::date", &["partition_day"]);
    }

    #[test]
    fn casts_slices_quotes_and_comments_hide_no_names() {
        for text in [
            "SELECT now()::date",
            "SELECT '12:30', 'it''s :a', \":a\", E'\\':a'",
            "SELECT 1 -- :a 'x",
            "SELECT 1 /* :a /* :b */ :c */",
            "SELECT $$ :a $$, $tag$ :a $$ :b $tag$",
            "SELECT a[1:2], tag$1x",
        ] {
            check(text, text, &[]);
        }
        check("SELECT E'\\\\' , :a", "SELECT E'\\\\' , $1", &["a"]);
        check("SELECT 'x' -- it's\n, :a", "SELECT 'x' -- it's\n, $1", &["a"]);
    }

    #[test]
    fn a_placeholder_without_a_name_and_a_second_statement_are_seen() {
        assert_eq!(numbered("SELECT $1").nameless.as_deref(), Some("$1"));
        assert!(numbered("SELECT 1; SELECT 2").several);
        assert!(!numbered("SELECT ';' ; -- done\n ;").several);
    }

    #[test]
    fn comments_and_semicolons_alone_are_blank() {
        assert!(is_blank(" -- nothing\n ; /* at all */"));
        assert!(!is_blank("-- something\nSELECT 1"));
    }
}
