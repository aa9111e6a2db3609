//! What is wrong with a definition, where, and what to do.

use serde::{Deserialize, Serialize};

use crate::ErrorCode;

/// One finding in a definition file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// The stable code; its page is `docs/errors/<code>.md`.
    pub code: ErrorCode,
    /// Whether the file can be used all the same.
    pub severity: Severity,
    /// What is wrong, in one sentence.
    pub message: String,
    /// Where.
    pub place: Place,
    /// What to write instead, when that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The file is not used; the last good version stays live.
    Error,
    /// The file is used.
    Warning,
}

/// A place in a definition file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The file's path below the root, with `/` between parts.
    pub file: String,
    /// Line from 1; 0 when the finding is about the whole file.
    pub line: u32,
    /// Column from 1, in characters; 0 with line 0.
    pub column: u32,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}:{}", self.file, self.column),
        }
    }
}

/// The candidate that `text` was probably meant to be, if one is close enough to suggest.
pub fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (likeness(text, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// The end of a message about an unknown `name`: which one may be meant, if any.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map(|near| format!(" (did you mean {near}?)")).unwrap_or_default()
}

/// How likely `text` was meant to be `candidate`, from 0 to 1.
fn likeness(text: &str, candidate: &str) -> f64 {
    let likeness = strsim::jaro_winkler(text, candidate);
    // One letter that is missing, too much, another one or in the wrong place is a slip, which in
    // a short name changes much.
    let is_slip = text.len() > 1
        && text.len().max(candidate.len()) > 2
        && strsim::osa_distance(text, candidate) == 1;
    if is_slip { likeness.max(0.9 + likeness / 100.0) } else { likeness }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_suggested_and_a_far_one_is_not() {
        let keys = ["depends_on", "config", "type", "id"];
        assert_eq!(nearest("depend_on", keys), Some("depends_on"));
        assert_eq!(nearest("zebra", keys), None);
        assert_eq!(nearest("dya", ["site", "day"]), Some("day"));
        assert_eq!(nearest("dy", ["dya2", "day"]), Some("day"));
        assert_eq!(nearest("b", ["a", "ab"]), None);
        assert_eq!(did_you_mean("dya", ["site", "day"]), " (did you mean day?)");
        assert_eq!(did_you_mean("zebra", keys), "");
    }
}
