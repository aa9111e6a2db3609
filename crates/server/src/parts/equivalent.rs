//! What the command line and the API say for what a page shows or does.

use askama::Template;

use crate::parts::part;

/// One action by other means.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "parts/equivalent.html")]
pub struct Equivalent {
    rows: Vec<(String, String)>,
}

part!(Equivalent);

impl Equivalent {
    /// No action yet.
    pub fn new() -> Self {
        Self { rows: Vec::new() }
    }

    /// The same with one more line: what it does, and the command or request that does it.
    pub fn with(mut self, what: &str, how: String) -> Self {
        self.rows.push((what.to_owned(), how));
        self
    }
}

impl Default for Equivalent {
    fn default() -> Self {
        Self::new()
    }
}

/// `text` as one word of a shell command.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,|".contains(c);
    if !text.is_empty() && text.chars().all(|c| plain(c) && c != '|') {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_split_or_expand_is_quoted() {
        assert_eq!(shell_word("jfk::day::flights"), "jfk::day::flights");
        assert_eq!(shell_word("a|b c"), "'a|b c'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
    }
}
