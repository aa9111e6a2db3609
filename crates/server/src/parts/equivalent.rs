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
