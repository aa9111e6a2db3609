//! What a text that is not YAML most likely lacks: quotes around a template, the end of a quote or
//! the end of a bracket.
//!
//! Called by [`crate::yaml`] for a text that its parser refuses, which often does so far behind the
//! mistake. It only guesses, so nothing but the words and the place of one finding come from it.

use crate::finding::Spot;

/// The likely cause.
#[derive(Debug, PartialEq)]
pub(crate) struct Blame {
    pub(crate) spot: Spot,
    /// What is wrong, to be put after the parser's name.
    pub(crate) message: String,
    pub(crate) help: String,
}

/// Why `text` is no YAML at `at`, if there is a guess.
pub(crate) fn of(text: &str, at: Spot) -> Option<Blame> {
    let mut scan = Scan::default();
    for (number, line) in (1..).zip(text.lines()) {
        scan.line(number, line);
    }
    scan.template(at).or_else(|| scan.quote(at)).or_else(|| scan.bracket(at)).or_else(|| {
        let line = text.lines().nth(usize::try_from(at.line).ok()?.checked_sub(1)?)?;
        letter(line, at)
    })
}

/// What is wrong with what stands at `at` in `line`.
fn letter(line: &str, at: Spot) -> Option<Blame> {
    let blame = |spot, message: &str, help: &str| {
        Some(Blame { spot, message: message.to_owned(), help: help.to_owned() })
    };
    let indentation = line.chars().take_while(|letter| letter.is_whitespace());
    if let Some((column, _)) = (1..).zip(indentation).find(|(_, letter)| *letter == '\t') {
        let spot = Spot { line: at.line, column };
        return blame(spot, "a tab stands before the line", "YAML is indented by spaces alone");
    }
    let column = usize::try_from(at.column).ok()?;
    let found = line.chars().nth(column.checked_sub(1)?)?;
    if matches!(found, '@' | '`' | '%') {
        let message = format!("a value cannot begin with `{found}`");
        let help = format!("write it in quotes: `\"{found}…\"`");
        return blame(at, &message, &help);
    }
    None
}

/// A quoted text.
struct Quote {
    open: Spot,
    /// The line of its end, if it has one.
    end: Option<u32>,
}

/// What the lines so far hold, read roughly.
#[derive(Default)]
struct Scan {
    quotes: Vec<Quote>,
    /// The quote that is open.
    open: Option<char>,
    /// The brackets that are open.
    brackets: Vec<(char, Spot)>,
    /// The bracket that another one's end follows.
    mismatched: Option<(char, Spot)>,
    /// Templates outside of quotes.
    templates: Vec<(Spot, String)>,
    /// The indentation of the key whose text stands in the lines below it.
    block: Option<usize>,
}

impl Scan {
    fn line(&mut self, number: u32, line: &str) {
        let indentation = line.len() - line.trim_start().len();
        if self.block.is_some_and(|key| indentation > key || line.trim().is_empty()) {
            return;
        }
        self.block = None;
        let letters: Vec<char> = line.chars().collect();
        let (mut index, mut before, mut is_spaced) = (0, None, true);
        while let Some(letter) = letters.get(index).copied() {
            let spot = Spot { line: number, column: u32::try_from(index + 1).unwrap_or(u32::MAX) };
            let next = letters.get(index + 1).copied();
            if let Some(quote) = self.open {
                index += self.in_quote((quote, letter), next, number);
                (before, is_spaced) = (Some(letter), false);
                continue;
            }
            if letter == '#' && is_spaced {
                break;
            }
            let is_value = match before {
                None | Some(',' | '[' | '{') => true,
                Some(':' | '-') => is_spaced,
                Some(_) => false,
            };
            index += match (letter, next) {
                ('{', Some('{' | '%')) => self.open_template(spot, letters.get(index..)),
                ('"' | '\'', _) if is_value => {
                    self.open = Some(letter);
                    self.quotes.push(Quote { open: spot, end: None });
                    1
                }
                ('{' | '[', _) if is_value || !self.brackets.is_empty() => {
                    self.brackets.push((letter, spot));
                    1
                }
                ('}' | ']', _) => {
                    self.close(letter);
                    1
                }
                _ => 1,
            };
            is_spaced = letter.is_whitespace();
            before = if is_spaced { before } else { Some(letter) };
        }
        if self.open.is_none() && begins_block(line) {
            self.block = Some(indentation);
        }
    }

    /// Takes a letter within a quoted text; the answer is how many letters were taken.
    fn in_quote(&mut self, (quote, letter): (char, char), next: Option<char>, line: u32) -> usize {
        if letter == '\\' && quote == '"' {
            return 2;
        }
        if letter != quote {
            return 1;
        }
        if quote == '\'' && next == Some('\'') {
            return 2;
        }
        self.open = None;
        if let Some(last) = self.quotes.last_mut() {
            last.end = Some(line);
        }
        1
    }

    /// Takes a template, as far as it stands on its line; the answer is its length.
    fn open_template(&mut self, spot: Spot, rest: Option<&[char]>) -> usize {
        let rest = rest.unwrap_or_default();
        let end = rest.windows(2).position(|pair| matches!(pair, ['}' | '%', '}']));
        let length = end.map_or(rest.len(), |end| end + 2);
        self.templates.push((spot, rest.iter().take(length).collect()));
        length
    }

    fn close(&mut self, letter: char) {
        if let Some((open, spot)) = self.brackets.pop()
            && closing(open) != letter
        {
            self.mismatched.get_or_insert((open, spot));
        }
    }

    fn template(&self, at: Spot) -> Option<Blame> {
        // The parser may stop at the second of its brackets.
        let is_before = |spot: &Spot| spot.line == at.line && spot.column <= at.column;
        let (spot, written) = self.templates.iter().rfind(|(spot, _)| is_before(spot))?;
        Some(Blame {
            spot: *spot,
            message: "a value that holds a template must stand in quotes".to_owned(),
            help: format!(
                "write quotes around the whole value: `\"{written}\"`; without them `{{` begins an \
                 object of YAML"
            ),
        })
    }

    fn quote(&self, at: Spot) -> Option<Blame> {
        let is_cause = |quote: &&Quote| {
            let is_long = quote.end.is_none_or(|end| end > quote.open.line && end >= at.line);
            quote.open.line <= at.line && is_long
        };
        let quote = self.quotes.iter().rfind(is_cause)?;
        Some(Blame {
            spot: quote.open,
            message: "the quote that opens here is not closed on its line".to_owned(),
            help: "close it at the end of the value; a text of several lines stands below `|`, \
                   without quotes"
                .to_owned(),
        })
    }

    fn bracket(&self, at: Spot) -> Option<Blame> {
        let is_cause = |(_, spot): &&(char, Spot)| *spot <= at;
        let cause = self.mismatched.as_ref().filter(is_cause);
        let (open, spot) = cause.or_else(|| self.brackets.iter().rfind(is_cause))?;
        let end = closing(*open);
        Some(Blame {
            spot: *spot,
            message: format!("the `{open}` that opens here is not closed"),
            help: format!("write `{end}` where it ends; all that follows is read as part of it"),
        })
    }
}

fn closing(open: char) -> char {
    if open == '[' { ']' } else { '}' }
}

/// Whether the lines below `line` are its value as they stand.
fn begins_block(line: &str) -> bool {
    let last = line.split_whitespace().next_back().unwrap_or_default();
    let mark = last.trim_end_matches(|letter: char| matches!(letter, '+' | '-' | '0'..='9'));
    matches!(mark, "|" | ">")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line, the column and the message of what is blamed.
    fn blamed(text: &str, line: u32, column: u32) -> Option<(u32, u32, String)> {
        let blame = of(text, Spot { line, column })?;
        Some((blame.spot.line, blame.spot.column, blame.message))
    }

    #[test]
    fn an_apostrophe_in_a_text_and_lines_below_a_bar_open_no_quote() {
        let text = "a: it's [so\nb: |\n  \"x {\nc: # 'no\nd: \"x\" \"y\"\n";
        assert_eq!(blamed(text, 5, 8), None);
    }

    #[test]
    fn a_bracket_that_another_one_closes_is_blamed_before_those_around_it() {
        let (line, column, message) = blamed("a: {b: [1, {c: 2]}\n", 1, 17).unwrap();
        assert_eq!((line, column), (1, 12));
        assert_eq!(message, "the `{` that opens here is not closed");
    }

    #[test]
    fn a_tab_and_a_letter_that_begins_no_value_are_named() {
        assert_eq!(blamed("a:\n \tb: 1\n", 2, 2).unwrap().1, 2);
        assert_eq!(blamed("a: @daily\n", 1, 4).unwrap().2, "a value cannot begin with `@`");
    }
}
