//! Documents name what exists: their links, ARCHITECTURE.md's files, the recipes' files, and the
//! record of libraries.

use super::Finding;
use super::tree::{File, Tree};

/// The most files that a recipe may touch; more, and the design is wrong.
const RECIPE_FILES_MAX: usize = 5;
/// Lines of ARCHITECTURE.md.
const ARCHITECTURE_MAX: usize = 250;
/// The record with one line for each library.
const LIBRARIES: &str = "docs/decisions/0002-libraries.md";

/// Every relative link leads to a file.
pub(super) fn links(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for page in tree.pages() {
        for (line, text) in prose(page) {
            for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let path = target.split('#').next().unwrap_or_default();
                if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
                    continue;
                }
                if !tree.has(&resolved(&page.path, path)) {
                    let wrong = format!("the link to {path} leads nowhere");
                    found.push(Finding::new(&page.path, line, wrong, "mend or remove the link"));
                }
            }
        }
    }
    found
}

/// The lines of a page outside code blocks, with their numbers from 1.
fn prose(page: &File) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    page.text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        (!in_code && !fence).then_some((index + 1, line))
    })
}

/// `target` as seen from the folder of `page`, below the root.
fn resolved(page: &str, target: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The map is short and names only what is there.
pub(super) fn architecture(tree: &Tree) -> Vec<Finding> {
    let page = File::new("ARCHITECTURE.md", tree.text("ARCHITECTURE.md"));
    let lines = page.text.lines().count();
    let mut found = missing_paths(tree, &page);
    if lines == 0 || lines > ARCHITECTURE_MAX {
        let wrong = format!("{lines} lines, 1 to {ARCHITECTURE_MAX} are allowed");
        let fix = "keep the map; move details to the `//!` of the files they are about";
        found.push(Finding::new(&page.path, 1, wrong, fix));
    }
    found
}

fn missing_paths(tree: &Tree, page: &File) -> Vec<Finding> {
    let lines = prose(page).flat_map(|(line, text)| paths(text).map(move |path| (line, path)));
    lines
        .filter(|(_, path)| !tree.has(stable_part(path)))
        .map(|(line, path)| {
            let wrong = format!("{path} does not exist");
            Finding::new(&page.path, line, wrong, "name the file that took its place")
        })
        .collect()
}

/// The part of a path before what a reader fills in: `docs/errors/` of `docs/errors/<code>.md`.
fn stable_part(path: &str) -> &str {
    path.find('<')
        .and_then(|at| path.get(..at))
        .map_or(path, |before| before.rsplit_once('/').map_or("", |(folder, _)| folder))
}

/// What stands between backticks in `text` and is a path below one of the root's folders.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    let folders = ["crates/", "docs/", "examples/", "deploy/", "python/", "bench/", ".ci/"];
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(move |span| folders.iter().any(|folder| span.starts_with(folder)))
        .filter(|span| !span.contains([' ', '*', '{']))
}

/// Each recipe of CONTRIBUTING.md names at most five files, and they exist.
pub(super) fn recipes(tree: &Tree) -> Vec<Finding> {
    let page = File::new("CONTRIBUTING.md", tree.text("CONTRIBUTING.md"));
    let mut found = missing_paths(tree, &page);
    let mut recipe: Option<(usize, &str, Vec<&str>)> = None;
    let end = (page.text.lines().count(), "## ");
    let mut count = 0;
    for (line, text) in prose(&page).chain([end]) {
        if text.starts_with("## ") {
            found.extend(recipe.take().and_then(|(line, title, files)| {
                count += 1;
                let wrong = format!("the recipe `{title}` names {} files", files.len());
                let fix = "1 to 5 are right; where more are needed, the design is wrong";
                let right = (1..=RECIPE_FILES_MAX).contains(&files.len());
                (!right).then(|| Finding::new(&page.path, line, wrong, fix))
            }));
            recipe = text.strip_prefix("## Add ").map(|title| (line, title, Vec::new()));
        } else if let Some((_, _, files)) = &mut recipe {
            files.extend(paths(text));
            files.sort_unstable();
            files.dedup();
        }
    }
    if count == 0 {
        let fix = "write sections that start with `## Add`";
        found.push(Finding::new(&page.path, 1, "there is no recipe", fix));
    }
    found
}

/// Each library of the workspace is used, and has a line that says what it saves and costs.
pub(super) fn libraries(tree: &Tree) -> anyhow::Result<Vec<Finding>> {
    let manifest: toml::Table = tree.text("Cargo.toml").parse()?;
    let dependencies = manifest
        .get("workspace")
        .and_then(|workspace| workspace.get("dependencies"))
        .and_then(toml::Value::as_table);
    let names = dependencies.into_iter().flat_map(toml::Table::keys);
    Ok(names
        .filter(|name| !name.starts_with("millstream-"))
        .flat_map(|name| library(tree, name))
        .collect())
}

fn library(tree: &Tree, name: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    if !tree.text(LIBRARIES).lines().any(|line| line.starts_with(&format!("| {name} |"))) {
        let fix = "say what it saves and what it costs to compile";
        found.push(Finding::new(LIBRARIES, 1, format!("`{name}` has no line"), fix));
    }
    let takes =
        |line: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['.', ' ']));
    let mut manifests = tree.files().filter(|file| file.path.ends_with("/Cargo.toml"));
    if !manifests.any(|file| file.text.lines().any(takes)) {
        let fix = "remove it until a crate needs it";
        found.push(Finding::new("Cargo.toml", 1, format!("no crate uses `{name}`"), fix));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_followed_from_its_own_page() {
        let page = "[a](../b.md#top) [c](https://example.org) [d](#here)\n```\n[x](no.md)\n```\n";
        assert_eq!(links(&Tree::of(&[("docs/e/f.md", page), ("docs/b.md", "")])), []);
        assert_eq!(links(&Tree::of(&[("docs/e/f.md", page)])).len(), 1);
    }

    #[test]
    fn the_map_names_files_that_exist() {
        let map = "Read `crates/a/src/b.rs` and `docs/errors/<code>.md`; run `cargo test`.\n";
        let files = [("ARCHITECTURE.md", map), ("crates/a/src/b.rs", ""), ("docs/errors/x.md", "")];
        assert_eq!(architecture(&Tree::of(&files)), []);
        assert_eq!(architecture(&Tree::of(&files[..1])).len(), 2);
        assert_eq!(architecture(&Tree::of(&files[1..])).len(), 1);
    }

    #[test]
    fn a_recipe_is_short() {
        let good = "## Add a page\n1. `crates/a.rs`\n2. `crates/a.rs` and `crates/b.rs`\n";
        let files = [("crates/a.rs", ""), ("crates/b.rs", "")];
        let check =
            |text: &str| recipes(&Tree::of(&[files[0], files[1], ("CONTRIBUTING.md", text)])).len();
        assert_eq!(check(good), 0);
        let six = "`crates/<1>` `crates/<2>` `crates/<3>` `crates/<4>`\n";
        assert_eq!(check(&format!("{good}{six}")), 1);
        assert_eq!(check("## Before you start\n"), 1);
    }

    #[test]
    fn a_library_has_its_line_and_a_crate_that_uses_it() {
        let manifest = "[workspace.dependencies]\nserde = \"1\"\nmillstream-a = \"1\"\n";
        let files = [
            ("Cargo.toml", manifest),
            (LIBRARIES, "| serde | much | little |\n"),
            ("crates/a/Cargo.toml", "[dependencies]\nserde.workspace = true\n"),
        ];
        assert_eq!(libraries(&Tree::of(&files)).unwrap(), []);
        assert_eq!(libraries(&Tree::of(&files[..2])).unwrap().len(), 1);
        assert_eq!(libraries(&Tree::of(&files[..1])).unwrap().len(), 2);
    }
}
