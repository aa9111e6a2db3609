//! The project's rules as tests, so that `cargo test` alone keeps them.

use std::path::Path;

use xtask::{generate, tidy};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

#[test]
fn the_repository_keeps_its_own_rules() {
    let findings = tidy::findings(root()).unwrap();
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}

#[test]
fn generated_texts_are_up_to_date() {
    generate::compare(root()).unwrap();
}
