//! Where a value that a filter has quoted may stand: the quotes of the filter begin a word of the
//! shell or a name of SQL only where no others are open, and in a comment they mean nothing.
//!
//! Used by [`super::template`] alone. A formatter marks where such a value begins and ends, with
//! characters that Unicode keeps for a program's own use; once the whole text is there it is read
//! as the shell or SQL would, and the marks are taken out.

use std::iter::Peekable;
use std::str::Chars;

use millstream_model::sql_text;

/// Stands before a value that a filter has quoted.
pub(super) const BEGIN: char = '\u{FDD0}';

/// Stands behind it.
pub(super) const END: char = '\u{FDD1}';

/// `line`, for the shell, without its marks; the error says what a marked value stands in.
pub(super) fn shell(line: &str) -> Result<String, &'static str> {
    match Line::new(line).first_hidden() {
        Some(place) => Err(place),
        None => Ok(unmarked(line)),
    }
}

/// `statement`, of SQL, without its marks; the error says what a marked value stands in.
pub(super) fn sql(statement: &str) -> Result<String, &'static str> {
    if sql_text::is_hidden(statement, (BEGIN, END)) {
        return Err("quotes or a comment");
    }
    Ok(unmarked(statement))
}

fn unmarked(text: &str) -> String {
    text.replace([BEGIN, END], "")
}

/// What is open at a place of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    /// `'…'`
    Single,
    /// `"…"`
    Double,
    /// `` `…` ``
    Back,
    /// `(…)`, where quotes count anew.
    Round,
}

/// A line for the shell, read as POSIX (Shell Command Language, 2.2 and 2.3) has it.
struct Line<'a> {
    rest: Peekable<Chars<'a>>,
    open: Vec<Open>,
    /// What a value may not stand in from here on, because where it ends is not looked for.
    endless: Option<&'static str>,
}

impl<'a> Line<'a> {
    fn new(line: &'a str) -> Self {
        Self { rest: line.chars().peekable(), open: Vec::new(), endless: None }
    }

    /// What the first marked value stands in that would not be one word there.
    fn first_hidden(mut self) -> Option<&'static str> {
        let mut before = ' ';
        while let Some(c) = self.rest.next() {
            let place = if before == '$' { Some("`$'…'`") } else { self.place() };
            if c == BEGIN
                && let Some(place) = place
            {
                return Some(place);
            }
            if c == '\\' && self.open.last() != Some(&Open::Single) {
                if self.rest.next() == Some(BEGIN) {
                    return Some("text behind a backslash");
                }
            } else if let Some(place) = self.step(before, c) {
                return Some(place);
            }
            before = c;
        }
        None
    }

    /// What is open here that a value may not stand in.
    fn place(&self) -> Option<&'static str> {
        if self.open.contains(&Open::Back) {
            return Some("backquotes");
        }
        match self.open.last() {
            Some(Open::Single | Open::Double) => Some("quotes"),
            _ => self.endless,
        }
    }

    /// Takes in `c`, behind `before`; what a marked value stands in, if this finds one.
    fn step(&mut self, before: char, c: char) -> Option<&'static str> {
        match (self.open.last(), c) {
            (Some(Open::Single), '\'') | (Some(Open::Double), '"') | (Some(Open::Back), '`') => {
                self.open.pop();
            }
            (Some(Open::Single | Open::Back), _) => {}
            (_, '`') => self.open.push(Open::Back),
            (Some(Open::Double), '(') if before == '$' => self.open.push(Open::Round),
            (Some(Open::Double), _) => {}
            (None | Some(Open::Round), _) => return self.plain(before, c),
        }
        None
    }

    /// The same where no quotes are open.
    fn plain(&mut self, before: char, c: char) -> Option<&'static str> {
        match c {
            '\'' if before == '$' => self.endless = Some("`$'…'`"),
            '\'' => self.open.push(Open::Single),
            '"' => self.open.push(Open::Double),
            '(' => self.open.push(Open::Round),
            ')' => drop(self.open.pop()),
            '#' if before.is_whitespace() || ";&|()".contains(before) => {
                let mut comment = self.rest.by_ref().take_while(|c| *c != '\n');
                return comment.any(|c| c == BEGIN).then_some("a comment");
            }
            '<' if before == '<' => match self.rest.next_if_eq(&'<') {
                Some(_) => {}
                None => self.endless = Some("a here-document"),
            },
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `text` with a quoted value in the place of `@`.
    fn with(text: &str, value: &str) -> String {
        text.replace('@', &format!("{BEGIN}{value}{END}"))
    }

    #[test]
    fn a_quoted_word_stands_where_the_shell_reads_a_word() {
        for line in [
            "echo @",
            "echo 'a' \"b\" --to=@ | grep -c x # it's",
            "x=\"$(cat @)\"; (cd @ && ls) > @",
            "echo \\' @ \\\" it\\'s $# ${#x} ${x:-@}",
            "cat <<< @",
            "printf '%s\\n' @",
        ] {
            let word = r"'it'\''s (a) # `b`'";
            assert_eq!(shell(&with(line, word)), Ok(line.replace('@', word)), "{line}");
        }
    }

    #[test]
    fn a_quoted_word_does_not_stand_in_quotes_comments_and_here_documents() {
        for (line, place) in [
            ("echo '@'", "quotes"),
            ("echo \"a @\"", "quotes"),
            ("echo \"$(echo \"@\")\"", "quotes"),
            ("echo `ls @`", "backquotes"),
            ("echo \"`ls @`\"", "backquotes"),
            ("echo \\@", "text behind a backslash"),
            ("ls # @", "a comment"),
            ("ls;# @", "a comment"),
            ("cat <<END\n@\nEND", "a here-document"),
            ("echo $'it\\'s @'", "`$'…'`"),
            ("echo $@", "`$'…'`"),
        ] {
            assert_eq!(shell(&with(line, "'x'")), Err(place), "{line}");
        }
        let marked = format!("'x{BEGIN}'");
        assert_eq!(shell(&with("echo @", &marked)), Err("quotes"), "a value has no marks");
    }

    #[test]
    fn a_quoted_name_does_not_stand_in_quotes_and_comments_of_sql() {
        for statement in ["SELECT * FROM @ -- it's", "SELECT 'it''s', a[1], @.x FROM @"] {
            assert_eq!(sql(&with(statement, "\"a'b\"")), Ok(statement.replace('@', "\"a'b\"")));
        }
        let block = "DO $x$ BEGIN DROP TABLE @; END $x$";
        assert_eq!(sql(&with(block, "\"a\"")), Ok(block.replace('@', "\"a\"")));
        for (statement, value) in [
            ("SELECT '@'", "\"a\""),
            ("SELECT E'it\\'s @'", "\"a\""),
            ("SELECT \"@\"", "\"a\""),
            ("SELECT `@`", "\"a\""),
            ("SELECT [@]", "\"a\""),
            ("SELECT 1 -- @", "\"a\""),
            ("SELECT 1 /* @ */", "\"a\""),
            ("DO $x$ BEGIN PERFORM '@'; END $x$", "\"a\""),
            (block, "\"$x$; DROP TABLE b; --\""),
        ] {
            assert!(sql(&with(statement, value)).is_err(), "{statement}");
        }
    }
}
