//! Names of files and folders, the first line of every file, and the shape of public functions.

use std::path::Path;

use anyhow::Context as _;

use super::Finding;
use super::tree::File;

/// Names that say nothing about what is inside, or that a history wrote.
const FORBIDDEN: &[&str] = &[
    "util", "utils", "common", "helper", "helpers", "misc", "types", "manager", "managers",
    "services", "models", "v2", "temp", "tmp",
];
/// Endings and beginnings that a history wrote.
const HISTORY: &[&str] = &["_old", "_new", "_final", "_v2", "_copy", "_backup", "_utils"];
/// What may stand at the root beside hidden files.
const ROOT: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "STYLE.md",
    "CHANGELOG.md",
    "LICENSE",
    "clippy.toml",
    "rustfmt.toml",
    "rust-toolchain.toml",
    "deny.toml",
    "crates",
    "docs",
    "examples",
    "deploy",
    "python",
    "bench",
    "target",
    // What the README's first command unpacks.
    "millstream-demo",
];
/// A first line shorter than this many words says no more than the file's name.
const HEADER_WORDS_MIN: usize = 3;

/// A file is named after its subject.
pub(super) fn forbidden(path: &str) -> Vec<Finding> {
    let is_bad = |part: &str| {
        let stem = part.split('.').next().unwrap_or(part);
        FORBIDDEN.contains(&stem)
            || stem.starts_with("new_")
            || HISTORY.iter().any(|ending| stem.ends_with(ending))
    };
    let fix = "name it after what it holds";
    path.split('/')
        .find(|part| is_bad(part))
        .map(|part| Finding::new(path, 1, format!("`{part}` names no subject"), fix))
        .into_iter()
        .collect()
}

/// The root is the project's front door.
pub(super) fn root_entries(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let mut found = Vec::new();
    for entry in root.read_dir().context("the root cannot be listed")? {
        found.extend(root_entry(&entry?.file_name().to_string_lossy()));
    }
    Ok(found)
}

fn root_entry(name: &str) -> Option<Finding> {
    if name.starts_with('.') || ROOT.contains(&name) {
        return None;
    }
    let fix = "move it to the folder of its subject, or name it in crates/xtask/src/tidy/names.rs";
    Some(Finding::new(name, 1, "an entry at the root that nobody expects there", fix))
}

/// Every file opens by saying what it is.
pub(super) fn header(file: &File) -> Vec<Finding> {
    let first = file.text.lines().next().unwrap_or_default();
    let wrong = match first.strip_prefix("//!") {
        None => "the file does not open with `//!`",
        Some(text) if says_nothing(text, &file.path) => "the first line only names the file",
        Some(_) => return Vec::new(),
    };
    let fix = "write what it is, who calls it, what it never does, and what always holds";
    vec![Finding::new(&file.path, 1, wrong, fix)]
}

fn says_nothing(text: &str, path: &str) -> bool {
    let stems: Vec<&str> = path.split(['/', '.']).collect();
    let filler = ["the", "a", "module", "file", "for", "of", "crate", "and", "tests"];
    let words: Vec<String> = text
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    words.len() < HEADER_WORDS_MIN
        || words.iter().all(|word| filler.contains(&&**word) || stems.contains(&&**word))
}

/// A template says when to use it; a page says which frame it fills.
pub(super) fn template_header(file: &File) -> Vec<Finding> {
    let starts = ["{#", "{% extends"].iter().any(|start| file.text.starts_with(start));
    if !file.path.contains("/templates/") || starts {
        return Vec::new();
    }
    let fix = "begin with {# what it shows. When to use it. #}";
    vec![Finding::new(&file.path, 1, "the template does not say what it is for", fix)]
}

/// `launch(run, true)` says nothing where it is called; an enum of two says it all.
pub(super) fn boolean_parameters(file: &File) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut lines = file.code_lines().peekable();
    while let Some((line, text)) = lines.next() {
        let mut signature = text.trim_start().to_owned();
        if !is_public_function(&signature) {
            continue;
        }
        while !signature.contains(['{', ';']) {
            let Some((_, more)) = lines.next() else { break };
            signature.push_str(more);
        }
        let parameters = signature.split("->").next().unwrap_or_default();
        if parameters.contains(": bool") {
            let fix = "take an enum whose variants say what they mean";
            found.push(Finding::new(&file.path, line, "a boolean parameter", fix));
        }
    }
    found
}

fn is_public_function(line: &str) -> bool {
    let rest = line.strip_prefix("pub ").unwrap_or_default();
    ["fn ", "async fn ", "const fn "].iter().any(|start| rest.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_subject_is_found_in_folders_too() {
        for path in ["crates/a/src/utils.rs", "crates/common/src/lib.rs", "docs/plan_old.md"] {
            assert_eq!(forbidden(path).len(), 1, "{path}");
        }
        for path in ["crates/a/src/run.rs", "crates/model/src/worker_api.rs"] {
            assert_eq!(forbidden(path), [], "{path}");
        }
    }

    #[test]
    fn a_file_at_the_root_is_expected_or_found() {
        assert_eq!(root_entry("README.md"), None);
        assert_eq!(root_entry(".gitignore"), None);
        assert_eq!(root_entry("millstream-demo"), None, "the checks may follow the demo");
        assert!(root_entry("PLAN.md").is_some());
    }

    #[test]
    fn a_header_says_more_than_the_name_of_its_file() {
        let check = |text| header(&File::new("crates/a/src/queue.rs", text)).len();
        assert_eq!(check("//! Which queued runs may start now.\n"), 0);
        assert_eq!(check("//! The queue module.\n"), 1);
        assert_eq!(check("//! placeholder\n"), 1);
        assert_eq!(check("use std::fmt;\n"), 1);
    }

    #[test]
    fn a_template_says_what_it_is_for() {
        let check =
            |text| template_header(&File::new("crates/server/templates/a.html", text)).len();
        assert_eq!(check("{# One status. Use it in every list. #}\n<b></b>"), 0);
        assert_eq!(check("{% extends \"frame.html\" %}"), 0);
        assert_eq!(check("<b></b>"), 1);
    }

    #[test]
    fn a_boolean_parameter_is_found_across_lines_and_a_boolean_answer_is_not() {
        let check = |text| boolean_parameters(&File::new("crates/a/src/b.rs", text)).len();
        assert_eq!(check("pub fn a(\n    b: u8,\n    c: bool,\n) -> u8 {\n"), 1);
        assert_eq!(check("pub fn a(b: u8) -> bool {\n}\nfn c(d: bool) {}\n"), 0);
    }
}
