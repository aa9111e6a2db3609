//! What is wrong with a job, a schedule or a sensor among all the definitions of its location.
//!
//! `Control` answers with it when the daemon's loader asks; the loader knows the file and the line.

use millstream_model::ErrorCode;

/// What is wrong with a definition, and with which of its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionProblem {
    /// The key that it is about.
    pub key: &'static str,
    /// The stable code.
    pub code: ErrorCode,
    /// What is wrong.
    pub message: String,
    /// The way out.
    pub help: Option<String>,
}
