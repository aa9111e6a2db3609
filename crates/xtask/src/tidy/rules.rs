//! Runs every rule on the repository.
#![expect(clippy::print_stdout, reason = "the findings are for the person who runs it")]

use std::path::Path;

use anyhow::bail;

use super::tree::{File, Tree};
use super::{Finding, crates, docs, errors, names, samples, size, smells, sql, words};

/// A rule that looks at one Rust file at a time.
type RustRule = fn(&File) -> Vec<Finding>;

const RUST_RULES: &[RustRule] = &[
    size::rust_file,
    size::long_lines,
    size::bodies_in_lib,
    names::header,
    names::boolean_parameters,
    words::identifiers,
    smells::suppressed_lints,
    smells::bare_todo,
    smells::tests_that_wait,
    smells::printing,
    smells::clocks_and_dice,
    smells::unbounded_channels,
    sql::statements,
];

/// Every breach in the repository at `root`, sorted by place.
pub fn findings(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let tree = Tree::read(root)?;
    let packages = crates::packages(root)?;
    let mut all: Vec<Finding> =
        tree.rust().flat_map(|file| RUST_RULES.iter().flat_map(move |rule| rule(file))).collect();
    all.extend(tree.files().flat_map(|file| names::forbidden(&file.path)));
    all.extend(tree.files().flat_map(size::template));
    all.extend(tree.files().flat_map(names::template_header));
    all.extend(names::root_entries(root)?);
    all.extend(crates::table(tree.text("ARCHITECTURE.md"), &packages));
    all.extend(crates::walls(&tree, &packages));
    all.extend(docs::libraries(&tree)?);
    all.extend(docs::links(&tree));
    all.extend(docs::architecture(&tree));
    all.extend(docs::recipes(&tree));
    all.extend(samples::definitions(&tree));
    all.extend(errors::pages(&tree));
    all.extend(words::glossary(tree.text(words::GLOSSARY)));
    all.sort();
    Ok(all)
}

/// Prints every breach, and fails when there is one.
pub fn report(root: &Path) -> anyhow::Result<()> {
    let findings = findings(root)?;
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        1 => bail!("tidy found one thing to mend"),
        count => bail!("tidy found {count} things to mend"),
    }
}
