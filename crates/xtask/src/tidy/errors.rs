//! Every error code has its page, and every page a code.

use std::collections::BTreeMap;

use millstream_model::ErrorCode;

use super::Finding;
use super::tree::Tree;

/// Where the pages stand.
const FOLDER: &str = "docs/errors/";
/// What every page has, in this order.
const SECTIONS: &[&str] = &["## Cause", "## Example", "## Fix"];

/// Codes and pages are one-to-one, and each page is whole and its own.
pub(super) fn pages(tree: &Tree) -> Vec<Finding> {
    let codes: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    pages_for(tree, &codes)
}

fn pages_for(tree: &Tree, codes: &[&str]) -> Vec<Finding> {
    let mut found = Vec::new();
    for code in codes {
        let path = format!("{FOLDER}{code}.md");
        if !tree.has(&path) {
            let fix = "write its cause, an example and the fix";
            found.push(Finding::new(&path, 1, "an error code without a page", fix));
        }
    }
    let mut bodies: BTreeMap<&str, &str> = BTreeMap::new();
    let in_folder = |path: &str| path.starts_with(FOLDER) && !path.ends_with("/README.md");
    for page in tree.pages().filter(|page| in_folder(&page.path)) {
        let slug = page.name().trim_end_matches(".md");
        if !codes.contains(&slug) {
            let fix = "remove the page, or add the code to crates/model/src/code.rs";
            found.push(Finding::new(&page.path, 1, "a page without an error code", fix));
        }
        found.extend(shape(&page.path, &page.text, slug));
        let body = page.text.split_once("## Cause").map_or("", |(_, body)| body.trim());
        if let Some(first) = bodies.insert(body, &page.path).filter(|_| !body.is_empty()) {
            let wrong = format!("a copy of {first}");
            found.push(Finding::new(&page.path, 1, wrong, "write what is true of this code"));
        }
    }
    found
}

/// A page is its title, one sentence, and the sections with text in each.
fn shape(path: &str, text: &str, slug: &str) -> Option<Finding> {
    let fix = "follow docs/errors/job-unknown.md";
    let title = format!("# {slug}");
    let Some(mut rest) = text.strip_prefix(title.as_str()) else {
        return Some(Finding::new(path, 1, format!("the page does not start with `{title}`"), fix));
    };
    for section in SECTIONS {
        let Some((before, after)) = rest.split_once(section) else {
            return Some(Finding::new(path, 1, format!("`{section}` is missing here"), fix));
        };
        if before.trim().is_empty() {
            return Some(Finding::new(path, 1, format!("no text before `{section}`"), fix));
        }
        rest = after;
    }
    let empty = rest.trim().is_empty();
    empty.then(|| Finding::new(path, 1, "the last section is empty", fix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(slug: &str, cause: &str) -> String {
        format!("# {slug}\n\nIt.\n\n## Cause\n\n{cause}\n\n## Example\n\nb\n\n## Fix\n\nc\n")
    }

    #[test]
    fn codes_and_pages_are_one_to_one() {
        let (one, two) = (page("one", "a"), page("two", "b"));
        let tree = Tree::of(&[("docs/errors/one.md", &one), ("docs/errors/two.md", &two)]);
        assert_eq!(pages_for(&tree, &["one", "two"]), []);
        assert_eq!(pages_for(&tree, &["one"]).len(), 1);
        assert_eq!(pages_for(&tree, &["one", "two", "three"]).len(), 1);
    }

    #[test]
    fn a_copied_page_and_an_empty_section_are_found() {
        let (one, two) = (page("one", "a"), page("two", "a"));
        let tree = Tree::of(&[("docs/errors/one.md", &one), ("docs/errors/two.md", &two)]);
        assert_eq!(pages_for(&tree, &["one", "two"]).len(), 1);
        let empty = page("one", "");
        assert_eq!(pages_for(&Tree::of(&[("docs/errors/one.md", &empty)]), &["one"]).len(), 1);
    }
}
