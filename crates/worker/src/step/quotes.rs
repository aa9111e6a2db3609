//! Where a value that a filter has quoted may stand: the quotes of the filter begin a word of the
//! shell or a name of SQL only where no others are open, and in a comment they mean nothing.
//!
//! Used by [`super::template`] alone. A formatter marks where such a value begins and ends, with
//! characters that Unicode keeps for a program's own use; once the whole text is there it is read
//! as the shell or SQL would, and the marks are taken out.

use std::collections::VecDeque;
use std::iter::Peekable;
use std::str::Chars;

use millstream_model::sql_text::{self, Quotes};

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
pub(super) fn sql(statement: &str, quotes: Quotes) -> Result<String, &'static str> {
    if sql_text::is_hidden(statement, (BEGIN, END), quotes) {
        return Err(match quotes {
            Quotes::Standard => "quotes or a comment",
            Quotes::Sqlite => "quotes, a comment, backquotes or square brackets",
        });
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
    /// `((…))`, where quotes do not quote.
    Sum,
    /// `${…}`
    Brace,
    /// `"${…}"`, in which shells differ.
    QuotedBrace,
}

/// A here-document whose text begins with the next line.
struct Here {
    end: String,
    has_tabs: bool,
}

/// A line for the shell, read as POSIX (Shell Command Language, 2.2, 2.3 and 2.7.4) has it. What
/// it cannot read for certain, it takes for a place where no value may stand.
struct Line<'a> {
    rest: Peekable<Chars<'a>>,
    before: char,
    /// The letters of the word so far.
    word: String,
    open: Vec<Open>,
    here: VecDeque<Here>,
    /// What a value may not stand in from here on, because where it ends is not certain.
    endless: Option<&'static str>,
}

impl<'a> Line<'a> {
    fn new(line: &'a str) -> Self {
        Self {
            rest: line.chars().peekable(),
            before: '\n',
            word: String::new(),
            open: Vec::new(),
            here: VecDeque::new(),
            endless: None,
        }
    }

    /// What the first marked value stands in that would not be one word there.
    fn first_hidden(mut self) -> Option<&'static str> {
        while let Some(c) = self.rest.next() {
            if c == BEGIN
                && let Some(place) = self.place()
            {
                return Some(place);
            }
            if c == '\\' && self.open.last() != Some(&Open::Single) {
                match self.rest.next() {
                    Some(BEGIN) => return Some("text behind a backslash"),
                    // The line goes on as if neither were there.
                    Some('\n') => continue,
                    _ => {}
                }
            } else if let Some(place) = self.step(c) {
                return Some(place);
            }
            self.before = c;
        }
        None
    }

    /// What is open here that a value may not stand in.
    fn place(&self) -> Option<&'static str> {
        if self.before == '$' {
            return Some(DOLLAR_QUOTES);
        }
        let hides = |open: &Open| match open {
            Open::Back => Some("backquotes"),
            Open::Sum => Some("arithmetic"),
            Open::QuotedBrace => Some("quotes"),
            Open::Single | Open::Double | Open::Round | Open::Brace => None,
        };
        self.open.iter().find_map(hides).or(match self.open.last() {
            Some(Open::Single | Open::Double) => Some("quotes"),
            _ => self.endless,
        })
    }

    /// Takes in `c`; what a marked value stands in, if this finds one.
    fn step(&mut self, c: char) -> Option<&'static str> {
        let is_named = self.before == '$';
        match (self.open.last(), c) {
            (Some(Open::Single), '\'') | (Some(Open::Double), '"') | (Some(Open::Back), '`') => {
                self.open.pop();
            }
            (Some(Open::Brace | Open::QuotedBrace), '}') => drop(self.open.pop()),
            (Some(Open::Single | Open::Back), _) => {}
            (_, '`') => self.open.push(Open::Back),
            (_, '(') if is_named => self.bracket(),
            (Some(Open::Double | Open::QuotedBrace), '{') if is_named => {
                self.open.push(Open::QuotedBrace);
            }
            (Some(Open::QuotedBrace), '"' | '\'') => self.endless = Some("quotes"),
            (Some(Open::Double | Open::QuotedBrace), _) => {}
            (None | Some(Open::Round | Open::Sum | Open::Brace), _) => return self.plain(c),
        }
        None
    }

    /// The same where no quotes are open.
    fn plain(&mut self, c: char) -> Option<&'static str> {
        let before = self.before;
        if c.is_whitespace() && self.word == "case" && self.open.contains(&Open::Round) {
            // The brackets of its patterns close nothing.
            self.endless = Some("`case` within brackets");
        }
        let is_letter = c.is_alphabetic();
        if is_letter {
            self.word.push(c);
        } else {
            self.word.clear();
        }
        let top = self.open.last();
        match c {
            '\'' if before == '$' => self.endless = Some(DOLLAR_QUOTES),
            '[' if before == '$' => self.endless = Some("arithmetic"),
            '{' if before == '$' => self.open.push(Open::Brace),
            '\'' => self.open.push(Open::Single),
            '"' => self.open.push(Open::Double),
            '(' => self.bracket(),
            ')' if matches!(top, Some(Open::Round | Open::Sum)) => drop(self.open.pop()),
            '#' if top != Some(&Open::Brace) && begins_word(before) => {
                while let Some(c) = self.rest.next_if(|c| *c != '\n') {
                    if c == BEGIN {
                        return Some("a comment");
                    }
                }
            }
            '<' if before == '<' && !self.open.contains(&Open::Sum) => self.note_here(),
            '\n' => return self.skip_here(),
            _ => {}
        }
        None
    }

    /// Takes in an opening bracket, or two of them.
    fn bracket(&mut self) {
        match self.rest.next_if_eq(&'(') {
            Some(_) => self.open.extend([Open::Sum, Open::Sum]),
            None if self.open.last() == Some(&Open::Sum) => self.open.push(Open::Sum),
            None => self.open.push(Open::Round),
        }
    }

    /// Notes what ends the here-document that `<<` begins; `<<<` begins none.
    fn note_here(&mut self) {
        if self.rest.next_if_eq(&'<').is_some() {
            return;
        }
        let has_tabs = self.rest.next_if_eq(&'-').is_some();
        while self.rest.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
        let mut end = String::new();
        while let Some(c) = self.rest.next_if(|c| !c.is_whitespace() && !";&|()<>".contains(*c)) {
            end.push(c);
        }
        let quote = end.chars().next().filter(|c| matches!(c, '\'' | '"'));
        let bare = quote.and_then(|quote| end.strip_prefix(quote)?.strip_suffix(quote));
        let end = bare.unwrap_or(&end).to_owned();
        if end.is_empty() || !end.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c)) {
            self.endless = Some(HERE_DOCUMENT);
        } else {
            self.here.push_back(Here { end, has_tabs });
        }
    }

    /// Goes on behind the here-documents that begin here; what a value in one stands in.
    fn skip_here(&mut self) -> Option<&'static str> {
        while let Some(Here { end, has_tabs }) = self.here.pop_front() {
            loop {
                let mut line = String::new();
                while let Some(c) = self.rest.next_if(|c| *c != '\n') {
                    line.push(c);
                }
                if line.contains(BEGIN) {
                    return Some(HERE_DOCUMENT);
                }
                let text = if has_tabs { line.trim_start_matches('\t') } else { &line };
                if text == end {
                    break;
                }
                self.rest.next()?;
            }
            if !self.here.is_empty() {
                self.rest.next()?;
            }
        }
        None
    }
}

/// How a place is called where bash reads backslashes in single quotes.
const DOLLAR_QUOTES: &str = "`$'…'`";

/// How the text behind `<<` is called.
const HERE_DOCUMENT: &str = "a here-document";

/// Whether what stands behind `c` begins a word.
fn begins_word(c: char) -> bool {
    c.is_whitespace() || ";&|()".contains(c)
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
            "# it's\n# that's\necho @",
            "cat > q.sql <<'SQL'\nit's\nSQL\npsql -f q.sql @",
            "cat <<A <<-B > @\n\"\nA\n'\n\tB\nls @",
            "x=$((1 << 2)); echo \"${x:-y} $((x + 1))\" @",
            "case $x in a) ls @;; esac",
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
            ("cat <<-'E'\n\t@\n\tE", "a here-document"),
            ("echo $'it\\'s @'", "`$'…'`"),
            ("echo $@", "`$'…'`"),
            ("# a\n# it doesn't\necho '@'", "quotes"),
            ("# a\n# @", "a comment"),
            ("echo a \\\n# don't\necho '@'", "quotes"),
            ("echo \"${NAME:-\"@\"}\"", "quotes"),
            ("echo \"${NAME:-'\"}@", "quotes"),
            ("echo \"$(case $x in a) echo \"@\";; esac)\"", "`case` within brackets"),
            ("echo $(( @ + 1 ))", "arithmetic"),
            ("echo $[ @ + 1 ]", "arithmetic"),
            ("cat <<A\nx\n@", "a here-document"),
            ("cat <<\"$x\"\nx\n@", "a here-document"),
        ] {
            assert_eq!(shell(&with(line, "'x'")), Err(place), "{line}");
        }
        let marked = format!("'x{BEGIN}'");
        assert_eq!(shell(&with("echo @", &marked)), Err("quotes"), "a value has no marks");
    }

    #[test]
    fn a_quoted_name_does_not_stand_in_quotes_and_comments_of_sql() {
        for statement in ["SELECT * FROM @ -- it's", "SELECT 'it''s', a[1], @.x FROM @"] {
            let filled = sql(&with(statement, "\"a'b\""), Quotes::Sqlite);
            assert_eq!(filled, Ok(statement.replace('@', "\"a'b\"")));
        }
        let list = with("SELECT ARRAY[@, 'x']", "\"a\"");
        assert!(sql(&list, Quotes::Standard).is_ok());
        let block = "DO $x$ BEGIN DROP TABLE @; END $x$";
        assert_eq!(sql(&with(block, "\"a\""), Quotes::Standard), Ok(block.replace('@', "\"a\"")));
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
            assert!(sql(&with(statement, value), Quotes::Sqlite).is_err(), "{statement}");
        }
    }
}
