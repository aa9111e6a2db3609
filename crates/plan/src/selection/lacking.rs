//! What a selection that selects nothing may have meant.

use std::collections::BTreeSet;

use millstream_model::{AssetDef, Manifest};

use super::evaluate::select;
use super::pattern::Pattern;
use super::tree::{Node, Selection};
use crate::{PlanError, choices};

/// What to write instead of a selection that selects nothing: what the first part of it that fits
/// no asset may have meant, and what there is. Of other errors nothing, and nothing of a selection
/// of assets that have no step.
pub fn selection_help(manifest: &Manifest, error: &PlanError) -> Option<String> {
    let PlanError::SelectionEmpty { selection } = error else { return None };
    if !select(manifest, selection).is_ok_and(|assets| assets.is_empty()) {
        return None;
    }
    if manifest.assets.is_empty() {
        return Some("there are no assets yet; they are declared under `assets`".to_owned());
    }
    let tree: Selection = selection.parse().ok()?;
    let assets: Vec<&AssetDef> = manifest.assets.values().collect();
    let lack = lacking(&tree.0, &assets);
    Some(lack.unwrap_or_else(|| "each part of it fits assets, and no asset fits them all".into()))
}

/// What the first part of `node` that fits no asset lacks. Recursion ends: the parser limits how
/// deep a selection is.
fn lacking(node: &Node, assets: &[&AssetDef]) -> Option<String> {
    let of = |what: &str, pattern: &Pattern, texts: &dyn Fn(&AssetDef) -> Vec<String>| {
        let known: BTreeSet<String> = assets.iter().flat_map(|asset| texts(asset)).collect();
        if known.iter().any(|text| pattern.matches(text)) {
            return None;
        }
        let (text, known): (_, Vec<String>) = (pattern.to_string(), known.into_iter().collect());
        Some(format!("no asset has the {what} `{text}`{}", choices(&text, &known)))
    };
    match node {
        Node::KeyLike(pattern) => of("key", pattern, &|it| vec![it.key.to_string()]),
        Node::Group(pattern) => of("group", pattern, &|it| vec![it.group.clone()]),
        Node::Kind(pattern) => of("kind", pattern, &|it| it.kinds.clone()),
        Node::Owner(pattern) => of("owner", pattern, &|it| it.owners.clone()),
        Node::Tag { name, value } => {
            let names = |it: &AssetDef| it.tags.keys().cloned().collect();
            let values = |it: &AssetDef| {
                let tags = it.tags.iter().filter(|(tag, _)| name.matches(tag));
                tags.map(|(_, text)| text.clone()).collect()
            };
            let value = || of(&format!("tag `{name}` with"), value.as_ref()?, &values);
            of("tag", name, &names).or_else(value)
        }
        Node::And(parts) | Node::Or(parts) => parts.iter().find_map(|it| lacking(it, assets)),
        Node::Around { center, .. } => lacking(center, assets),
        // A key that is none is an error of its own; what is left out need not exist.
        Node::Key(_) | Node::Not(_) => None,
    }
}
