//! What the documents show as a definition file is one, as the product's own loader reads it.

use millstream_definition::parse_file;

use super::Finding;
use super::tree::{File, Tree};

/// A code block of a page.
struct Block {
    /// The line of its fence, from 1.
    line: usize,
    language: String,
    text: String,
}

/// Every block in YAML or JSON is loaded. A broken or shortened one is marked as `text`.
pub(super) fn definitions(tree: &Tree) -> Vec<Finding> {
    let pages =
        tree.pages().filter(|page| page.path.starts_with("docs/") || !page.path.contains('/'));
    pages
        .flat_map(|page| blocks(page).into_iter().flat_map(|block| problems(page, &block)))
        .collect()
}

fn problems(page: &File, block: &Block) -> Vec<Finding> {
    if !["yaml", "json"].contains(&block.language.as_str()) {
        return Vec::new();
    }
    let parsed = parse_file(&format!("sample.{}", block.language), block.text.as_bytes());
    parsed
        .diagnostics
        .into_iter()
        .map(|found| {
            let line = block.line + usize::try_from(found.place.line).unwrap_or_default();
            let fix = "mend the sample, or mark it as `text` if it shall be wrong";
            Finding::new(&page.path, line, found.message, fix)
        })
        .collect()
}

fn blocks(page: &File) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = page.text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let Some(language) = line.strip_prefix("```") else { continue };
        let body = lines.by_ref().map(|(_, line)| line);
        let body: Vec<&str> = body.take_while(|line| !line.starts_with("```")).collect();
        let (line, language) = (index + 1, language.trim().to_owned());
        blocks.push(Block { line, language, text: body.join("\n") });
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_that_the_loader_refuses_is_found_at_its_line() {
        let good = "```yaml\nassets:\n  orders: { group: sales }\n```\n";
        assert_eq!(definitions(&Tree::of(&[("docs/a.md", good)])), []);
        let bad = good.replace("group", "gruop");
        let found = definitions(&Tree::of(&[("docs/a.md", &bad)]));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 3);
        let shown = bad.replace("yaml", "text");
        assert_eq!(definitions(&Tree::of(&[("docs/a.md", &shown)])), []);
    }
}
