//! The repository's own files, read once.
//!
//! Build output, hidden folders and what package managers unpack are left out. What is not text is
//! known by its path alone.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use walkdir::{DirEntry, WalkDir};

use super::source::Source;

/// Folders that hold nothing written here.
const NOT_OURS: &[&str] = &["target", "node_modules", "millstream-demo"];

/// A text file of the repository.
pub(super) struct File {
    /// Its path below the root, with `/` between parts.
    pub(super) path: String,
    /// Its text; empty for what is not UTF-8.
    pub(super) text: String,
    /// Its code, comments and literals, when it is Rust.
    pub(super) source: Option<Source>,
}

impl File {
    /// A file as the rules see it.
    pub(super) fn new(path: &str, text: &str) -> Self {
        let mut file = Self { path: path.to_owned(), text: text.to_owned(), source: None };
        file.source = file.has_ending("rs").then(|| Source::scan(text));
        file
    }

    fn has_ending(&self, ending: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == ending)
    }

    /// The last part of the path.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Whether all of the file is test code: integration tests, `tests.rs`, and the test kit.
    pub(super) fn is_test(&self) -> bool {
        self.path.contains("/tests/")
            || self.path.ends_with("/tests.rs")
            || self.path.starts_with("crates/testkit/")
    }

    /// Each line of code outside tests, with its number from 1; comments and texts are blank.
    pub(super) fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let source = if self.is_test() { None } else { self.source.as_ref() };
        source
            .into_iter()
            .flat_map(|source| source.lines().filter(move |(line, _)| !source.is_test_line(*line)))
    }

    /// Each line of test code, with its number from 1; comments and texts are blank.
    pub(super) fn test_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let whole = self.is_test();
        self.source.iter().flat_map(move |source| {
            source.lines().filter(move |(line, _)| whole || source.is_test_line(*line))
        })
    }
}

/// The files by path.
pub(super) struct Tree(BTreeMap<String, File>);

impl Tree {
    /// Reads the files below `root`.
    pub(super) fn read(root: &Path) -> anyhow::Result<Self> {
        let mut files = BTreeMap::new();
        for entry in WalkDir::new(root).into_iter().filter_entry(is_ours) {
            let entry = entry.context("the repository cannot be walked")?;
            if !entry.file_type().is_file() {
                continue;
            }
            let path = entry.path().strip_prefix(root)?.to_string_lossy().into_owned();
            let bytes = std::fs::read(entry.path()).with_context(|| format!("reading {path}"))?;
            let text = String::from_utf8(bytes).unwrap_or_default();
            files.insert(path.clone(), File::new(&path, &text));
        }
        Ok(Self(files))
    }

    /// A tree of the given paths and texts, for tests.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), File::new(path, text)));
        Self(files.collect())
    }

    /// Every file.
    pub(super) fn files(&self) -> impl Iterator<Item = &File> {
        self.0.values()
    }

    /// Every Rust file.
    pub(super) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files().filter(|file| file.source.is_some())
    }

    /// Every Markdown page.
    pub(super) fn pages(&self) -> impl Iterator<Item = &File> {
        self.files().filter(|file| file.has_ending("md"))
    }

    /// The text of the file at `path`; empty when there is none, which each rule then reports.
    pub(super) fn text(&self, path: &str) -> &str {
        self.0.get(path).map_or("", |file| file.text.as_str())
    }

    /// Whether there is a file at `path`, or a folder with a file in it.
    pub(super) fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let below = format!("{path}/");
        let first_below = self.0.range(below.clone()..).next();
        path.is_empty()
            || self.0.contains_key(path)
            || first_below.is_some_and(|(found, _)| found.starts_with(&below))
    }
}

fn is_ours(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    let hidden = entry.depth() > 0 && name.starts_with('.') && name != ".ci" && name != ".cargo";
    let unpacked = entry.file_type().is_dir() && NOT_OURS.contains(&name.as_ref());
    !hidden && !unpacked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_exists_when_a_file_is_in_it() {
        let tree = Tree::of(&[("docs/errors/a.md", "")]);
        assert!(tree.has("docs/errors/") && tree.has("docs") && tree.has("docs/errors/a.md"));
        assert!(!tree.has("docs/err"));
    }

    #[test]
    fn code_and_tests_of_one_file_are_told_apart() {
        let file = File::new("crates/a/src/b.rs", "fn a() {}\n#[cfg(test)]\nmod tests {\n}\n");
        assert_eq!(file.code_lines().map(|(line, _)| line).collect::<Vec<_>>(), [1]);
        assert_eq!(file.test_lines().map(|(line, _)| line).collect::<Vec<_>>(), [2, 3, 4]);
    }
}
