//! The generated parts of the documents, each between two markers in a written page, and the
//! generated files beside them.
//!
//! `cargo xtask generate` writes them; `cargo xtask check` and `tests/tidy.rs` compare. A page says
//! where a part goes with `<!-- generated: NAME -->` and where it ends with `<!-- end -->`.
#![expect(clippy::print_stdout, reason = "the written paths are for the person who runs it")]

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use millstream_model::{ErrorCode, run_status_table, step_status_table};

/// Where a generated part ends.
const END: &str = "<!-- end -->";

/// What the source with the pages of codes begins with.
const ERROR_PAGES: &str = r#"//! The pages of error codes, as `cargo xtask generate` lists them.
//!
//! `errors` prints them. A code without a page does not compile.

use millstream_model::ErrorCode;

macro_rules! pages {
    ($($variant:ident = $slug:literal,)*) => {
        /// The page that explains `code`.
        pub(super) fn page(code: ErrorCode) -> &'static str {
            match code {
                $(ErrorCode::$variant => {
                    include_str!(concat!("../../../../docs/errors/", $slug, ".md"))
                })*
            }
        }
    };
}

"#;

/// A generated part: the page it stands in, its name, and its text.
struct Part {
    page: &'static str,
    name: &'static str,
    text: String,
}

fn parts(root: &Path) -> anyhow::Result<Vec<Part>> {
    let states = "docs/concepts/run-states.md";
    Ok(vec![
        Part { page: states, name: "run states", text: fenced(&run_status_table()) },
        Part { page: states, name: "step states", text: fenced(&step_status_table()) },
        Part { page: "docs/errors/README.md", name: "error index", text: error_index(root)? },
    ])
}

/// The generated files: the path and the whole text.
fn files() -> anyhow::Result<Vec<(&'static str, String)>> {
    let schema = serde_json::to_string_pretty(&millstream_definition::schema())?;
    Ok(vec![
        ("docs/reference/definition.schema.json", format!("{schema}\n")),
        ("crates/app/src/commands/error_pages.rs", error_pages()),
    ])
}

/// The source that puts the pages of all codes into the program.
fn error_pages() -> String {
    let codes = ErrorCode::ALL.iter().map(|code| format!("    {code:?} = \"{code}\",\n"));
    format!("{ERROR_PAGES}pages! {{\n{}}}\n", codes.collect::<String>())
}

fn fenced(text: &str) -> String {
    format!("```text\n{text}```\n")
}

/// One line a code: its slug, linked to its page, and the page's first sentence.
fn error_index(root: &Path) -> anyhow::Result<String> {
    let mut codes = ErrorCode::ALL.to_vec();
    codes.sort_by_key(|code| code.as_str());
    let mut table = vec!["| code | what it says |\n| --- | --- |\n".to_owned()];
    for code in codes {
        let path = root.join("docs/errors").join(format!("{code}.md"));
        let page = fs::read_to_string(&path)
            .with_context(|| format!("{} cannot be read; write the page", path.display()))?;
        let summary = page.lines().skip(1).find(|line| !line.trim().is_empty()).unwrap_or("");
        table.push(format!("| [`{code}`]({code}.md) | {summary} |\n"));
    }
    Ok(table.concat())
}

/// Writes every generated part into its page.
pub fn write(root: &Path) -> anyhow::Result<()> {
    for part in parts(root)? {
        let (old, new) = both(root, &part)?;
        if old != new {
            fs::write(root.join(part.page), new)
                .with_context(|| format!("{} cannot be written", part.page))?;
            println!("{}: {}", part.page, part.name);
        }
    }
    for (path, text) in files()? {
        if fs::read_to_string(root.join(path)).ok().as_ref() != Some(&text) {
            fs::write(root.join(path), text)
                .with_context(|| format!("{path} cannot be written"))?;
            println!("{path}");
        }
    }
    Ok(())
}

/// Fails when a generated part is not what [`write()`] would write.
pub fn compare(root: &Path) -> anyhow::Result<()> {
    for part in parts(root)? {
        let (old, new) = both(root, &part)?;
        if old != new {
            bail!("{}: `{}` is out of date; run `cargo xtask generate`", part.page, part.name);
        }
    }
    for (path, text) in files()? {
        if fs::read_to_string(root.join(path)).ok().as_ref() != Some(&text) {
            bail!("{path} is out of date; run `cargo xtask generate`");
        }
    }
    Ok(())
}

/// The page as it is and as it should be.
fn both(root: &Path, part: &Part) -> anyhow::Result<(String, String)> {
    let old = fs::read_to_string(root.join(part.page))
        .with_context(|| format!("{} cannot be read", part.page))?;
    let new = replaced(&old, part.name, &part.text).with_context(|| {
        format!("{} has no `<!-- generated: {} -->` followed by `{END}`", part.page, part.name)
    })?;
    Ok((old, new))
}

/// `page` with the part `name` replaced by `text`, if it has the part's two markers.
fn replaced(page: &str, name: &str, text: &str) -> Option<String> {
    let start = format!("<!-- generated: {name} -->\n");
    let (before, rest) = page.split_once(&start)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{start}\n{text}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_replaced_between_its_own_markers_and_nothing_else_changes() {
        let page = "a\n<!-- generated: x -->\nold\n<!-- end -->\nb\n";
        let new = replaced(page, "x", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- generated: x -->\n\nnew\n\n<!-- end -->\nb\n");
        assert_eq!(replaced(&new, "x", "new\n").unwrap(), new);
    }

    #[test]
    fn a_page_without_the_markers_is_not_guessed_at() {
        assert_eq!(replaced("a\n<!-- generated: x -->\n", "x", "new"), None);
    }
}
