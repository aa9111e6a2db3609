//! What a rule says: where, what is wrong, and what to do.

use std::fmt;

/// One breach of a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file below the root.
    pub path: String,
    /// The line from 1; 1 as well for what concerns the whole file.
    pub line: usize,
    /// What is wrong.
    pub wrong: String,
    /// What to do about it.
    pub fix: String,
}

impl Finding {
    /// A finding at `line` of `path`.
    pub(crate) fn new(
        path: &str,
        line: usize,
        wrong: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { path: path.to_owned(), line: line.max(1), wrong: wrong.into(), fix: fix.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.path, self.line, self.wrong, self.fix)
    }
}
