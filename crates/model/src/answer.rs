//! What a daemon answers to a request that the server has written down for it.
//!
//! The daemon writes it and the server reads it, perhaps in another process and of another version.

use serde::{Deserialize, Serialize};

use crate::{Diagnostic, ErrorCode};

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum DaemonAnswer<T> {
    /// It was not done.
    Failed {
        /// Why.
        error: String,
        /// The code, where one is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<ErrorCode>,
    },
    /// What came of it.
    Done(T),
}

/// What became of a rollback.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollbackOutcome {
    /// The version is live.
    Live {
        /// What there is to warn of, in other files too.
        warnings: Vec<Diagnostic>,
    },
    /// The version does not fit the other files; nothing has changed.
    Refused {
        /// Why not.
        diagnostics: Vec<Diagnostic>,
    },
}

impl<T> DaemonAnswer<T> {
    /// That it was not done, and why.
    pub fn failed(code: ErrorCode, error: impl Into<String>) -> Self {
        Self::Failed { error: error.into(), code: Some(code) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_reads_back_whether_it_was_done_or_not() {
        let live = RollbackOutcome::Live { warnings: Vec::new() };
        for answer in [
            DaemonAnswer::Done(live),
            DaemonAnswer::failed(ErrorCode::BadRequest, "no"),
            DaemonAnswer::Failed { error: "no".to_owned(), code: None },
        ] {
            let text = serde_json::to_string(&answer).unwrap();
            let back: DaemonAnswer<RollbackOutcome> = serde_json::from_str(&text).unwrap();
            assert_eq!(back, answer, "{text}");
        }
    }
}
