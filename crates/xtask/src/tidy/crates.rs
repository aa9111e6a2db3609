//! The crate table of ARCHITECTURE.md against what cargo says, and the walls of the pure crates.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use cargo_metadata::{DependencyKind, MetadataCommand};

use super::Finding;
use super::tree::Tree;

/// Where the table stands.
const PAGE: &str = "ARCHITECTURE.md";
/// The crates that decide and never do.
const PURE: &[&str] = &["model", "definition", "plan", "decide"];
/// What a pure crate never depends on.
const DOING: &[&str] = &[
    "tokio",
    "rusqlite",
    "tokio-postgres",
    "deadpool-postgres",
    "reqwest",
    "axum",
    "hyper",
    "rustix",
    "notify",
    "walkdir",
    "tempfile",
    "rand",
];
/// What stands at the front of our packages' names.
const OURS: &str = "millstream-";

/// The names that each crate of the workspace depends on, outside its tests.
pub(super) type Packages = BTreeMap<String, Vec<String>>;

/// The crates of the workspace and their dependencies; ours without `millstream-`.
pub(super) fn packages(root: &Path) -> anyhow::Result<Packages> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("`cargo metadata` failed")?;
    let short = |name: &str| name.strip_prefix(OURS).unwrap_or(name).to_owned();
    let packages = metadata.packages.iter().map(|package| {
        let normal = package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal);
        (short(&package.name), normal.map(|dependency| dependency.name.clone()).collect())
    });
    Ok(packages.collect())
}

/// Every crate has a row, every row a crate, and no crate uses more than its row allows.
pub(super) fn table(page: &str, packages: &Packages) -> Vec<Finding> {
    let rows = rows(page);
    let mut found = Vec::new();
    for (name, (line, allowed)) in &rows {
        let Some(dependencies) = packages.get(name) else {
            let fix = "remove the row, or add the crate";
            found.push(Finding::new(PAGE, *line, format!("there is no crate `{name}`"), fix));
            continue;
        };
        for used in dependencies.iter().filter_map(|name| name.strip_prefix(OURS)) {
            if allowed.iter().all(|allowed| allowed != used && allowed != "all") {
                let wrong = format!("`{name}` uses `{used}`, which its row does not allow");
                let fix = format!("take it out of crates/{name}/Cargo.toml");
                found.push(Finding::new(PAGE, *line, wrong, fix));
            }
        }
    }
    for name in packages.keys().filter(|name| !rows.contains_key(*name)) {
        let fix = "say what it holds, may use and never knows";
        found.push(Finding::new(PAGE, 1, format!("crate `{name}` has no row"), fix));
    }
    found
}

/// The rows of the table: the line, and the crates that may be used.
fn rows(page: &str) -> BTreeMap<String, (usize, Vec<String>)> {
    let mut lines = page.lines().enumerate();
    let in_table = lines.by_ref().any(|(_, line)| line.starts_with("| crate | holds | may use |"));
    let rows = lines.skip(1).take_while(|(_, line)| in_table && line.starts_with('|'));
    rows.filter_map(|(index, line)| {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        let name = cells.next()?.trim_matches('`').to_owned();
        let allowed = cells.nth(1)?.split([',', ' ']).map(str::to_owned);
        Some((name, (index + 1, allowed.filter(|name| !name.is_empty()).collect())))
    })
    .collect()
}

/// A pure crate has nothing to do with, one and the same list of forbidden calls, and an error of
/// its own.
pub(super) fn walls(tree: &Tree, packages: &Packages) -> Vec<Finding> {
    let mut found = Vec::new();
    let model = "crates/model/clippy.toml";
    for name in PURE {
        let manifest = format!("crates/{name}/Cargo.toml");
        let dependencies = packages.get(*name).into_iter().flatten();
        for used in dependencies.filter(|used| DOING.contains(&used.as_str())) {
            let wrong = format!("`{name}` is pure and uses `{used}`");
            let fix = "take its work to a crate that does";
            found.push(Finding::new(&manifest, 1, wrong, fix));
        }
        let lints = format!("crates/{name}/clippy.toml");
        let text = tree.text(&lints);
        if !text.contains("disallowed-methods") || !text.contains("disallowed-types") {
            let fix = format!("copy {model}");
            found.push(Finding::new(&lints, 1, "the lists of forbidden calls are missing", fix));
        } else if text != tree.text(model) {
            let fix = format!("make it the same as {model}");
            found.push(Finding::new(&lints, 1, "the pure crates' lists differ", fix));
        }
    }
    for (name, dependencies) in packages {
        if name != "xtask" && dependencies.iter().any(|used| used == "anyhow") {
            let fix = "write an error enum that says what the caller can do";
            let manifest = format!("crates/{name}/Cargo.toml");
            found.push(Finding::new(&manifest, 1, "`anyhow` outside xtask", fix));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE_TEXT: &str = "\
# A
| crate | holds | may use | never knows |
| --- | --- | --- | --- |
| model | words | – | SQL |
| plan | plans | model | runs |

| other | table |
";

    fn packages_of(list: &[(&str, &[&str])]) -> Packages {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        list.iter().map(|(name, uses)| ((*name).to_owned(), owned(uses))).collect()
    }

    #[test]
    fn a_crate_uses_what_its_row_allows_and_the_fields_libraries() {
        let good = packages_of(&[("model", &["serde"]), ("plan", &["millstream-model"])]);
        assert_eq!(table(PAGE_TEXT, &good), []);
        let bad = packages_of(&[("model", &["millstream-plan"]), ("plan", &[])]);
        let found = table(PAGE_TEXT, &bad);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 4);
    }

    #[test]
    fn a_row_without_a_crate_and_a_crate_without_a_row_are_found() {
        let found = table(PAGE_TEXT, &packages_of(&[("model", &[]), ("store", &[])]));
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn a_pure_crate_neither_does_nor_forgets_its_wall() {
        let lists = "disallowed-types = []\ndisallowed-methods = []\n";
        let paths: Vec<String> =
            PURE.iter().map(|name| format!("crates/{name}/clippy.toml")).collect();
        let mut files: Vec<(&str, &str)> =
            paths.iter().map(|path| (path.as_str(), lists)).collect();
        let pure = packages_of(&[("model", &["serde"]), ("store", &["tokio"])]);
        assert_eq!(walls(&Tree::of(&files), &pure), []);
        let doing = packages_of(&[("plan", &["tokio"]), ("store", &["anyhow"])]);
        assert_eq!(walls(&Tree::of(&files), &doing).len(), 2);
        files.pop();
        assert_eq!(walls(&Tree::of(&files), &pure).len(), 1);
    }
}
