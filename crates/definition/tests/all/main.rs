//! The crate as its callers see it: files in, manifests and findings out.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what tests share fails as the tests themselves do"
)]

mod bad;
mod broken;
mod dags;
mod docs;
mod http;
mod limits;
mod location;
mod schema;
mod sections;
mod templates;

use millstream_definition::{ParsedFile, parse_file};
use millstream_model::{Diagnostic, FileManifest, Severity};

/// What `text` declares; fails the test when it has errors.
fn load(path: &str, text: &str) -> FileManifest {
    let parsed: ParsedFile = parse_file(path, text.as_bytes());
    let findings = &parsed.diagnostics;
    parsed.manifest.unwrap_or_else(|| panic!("{path} does not load: {findings:#?}"))
}

/// The errors of `text`.
fn errors(path: &str, text: &str) -> Vec<Diagnostic> {
    let parsed = parse_file(path, text.as_bytes());
    let is_error = |it: &Diagnostic| it.severity == Severity::Error;
    assert_eq!(parsed.manifest.is_none(), parsed.diagnostics.iter().any(is_error), "{path}");
    parsed.diagnostics.into_iter().filter(is_error).collect()
}
