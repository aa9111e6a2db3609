//! How a program of a step speaks Dagster Pipes with its worker.

use serde::{Deserialize, Serialize};

/// What a step says about Pipes; without a word it may be spoken through a file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipesConfig {
    /// Where the program writes its messages.
    #[serde(default)]
    pub messages: PipesChannel,
    /// What the program finds as extras of its context, beside those that every step has.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub extras: serde_json::Map<String, serde_json::Value>,
}

impl PipesConfig {
    /// Whether the author said nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Where a program writes its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PipesChannel {
    /// Into a file of the attempt's own.
    #[default]
    File,
    /// To standard output, among what else stands there.
    Stdout,
    /// To standard error, among what else stands there.
    Stderr,
    /// To standard output, all at its end.
    BufferedStdout,
    /// To standard error, all at its end.
    BufferedStderr,
    /// Nowhere: the program is told nothing of Pipes.
    Off,
}

impl PipesChannel {
    /// The channels by the words of definition files.
    pub const WORDS: &[(&'static str, Self)] = &[
        ("file", Self::File),
        ("stdout", Self::Stdout),
        ("stderr", Self::Stderr),
        ("buffered_stdout", Self::BufferedStdout),
        ("buffered_stderr", Self::BufferedStderr),
        ("off", Self::Off),
    ];
}
