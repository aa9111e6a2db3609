//! From a selection to the assets that a manifest has for it.

use std::collections::{HashMap, VecDeque};

use millstream_model::{AssetDef, AssetKey, Manifest};

use super::tree::{Node, Reach, Selection};
use crate::PlanError;
use crate::assets::asset_unknown;

/// The assets that `text` selects, in the order of their keys; none is a valid answer.
pub fn select(manifest: &Manifest, text: &str) -> Result<Vec<AssetKey>, PlanError> {
    let selection: Selection = text.parse()?;
    let graph = Graph::of(manifest);
    let chosen = graph.evaluate(&selection.0)?;
    Ok(graph.assets.iter().zip(chosen).filter(|(_, c)| *c).map(|(a, _)| a.key.clone()).collect())
}

/// The assets of a manifest by place, with their neighbours.
struct Graph<'a> {
    manifest: &'a Manifest,
    assets: Vec<&'a AssetDef>,
    places: HashMap<&'a AssetKey, usize>,
    upstream: Vec<Vec<usize>>,
    downstream: Vec<Vec<usize>>,
}

/// For each place, whether the asset is chosen.
type Chosen = Vec<bool>;

impl<'a> Graph<'a> {
    fn of(manifest: &'a Manifest) -> Self {
        let assets: Vec<&AssetDef> = manifest.assets.values().collect();
        let places: HashMap<&AssetKey, usize> =
            assets.iter().enumerate().map(|(place, asset)| (&asset.key, place)).collect();
        let upstream: Vec<Vec<usize>> = assets
            .iter()
            .map(|asset| asset.deps.iter().filter_map(|dep| places.get(dep).copied()).collect())
            .collect();
        let mut downstream = vec![Vec::new(); assets.len()];
        for (place, above) in upstream.iter().enumerate() {
            for above in above {
                if let Some(below) = downstream.get_mut(*above) {
                    below.push(place);
                }
            }
        }
        Self { manifest, assets, places, upstream, downstream }
    }

    /// Recursion ends: the parser limits how deep a selection is.
    fn evaluate(&self, node: &Node) -> Result<Chosen, PlanError> {
        Ok(match node {
            Node::Key(key) => {
                let place = self.places.get(key).copied();
                let place = place.ok_or_else(|| asset_unknown(self.manifest, key))?;
                (0..self.assets.len()).map(|other| other == place).collect()
            }
            Node::KeyLike(pattern) => self.filter(|a| pattern.matches(&a.key.to_string())),
            Node::Group(pattern) => self.filter(|a| pattern.matches(&a.group)),
            Node::Kind(pattern) => self.filter(|a| a.kinds.iter().any(|k| pattern.matches(k))),
            Node::Owner(pattern) => self.filter(|a| a.owners.iter().any(|o| pattern.matches(o))),
            Node::Tag { name, value } => self.filter(|asset| {
                asset.tags.iter().any(|(tag, text)| {
                    name.matches(tag) && value.as_ref().is_none_or(|value| value.matches(text))
                })
            }),
            Node::Not(inner) => self.evaluate(inner)?.into_iter().map(|chosen| !chosen).collect(),
            Node::And(parts) => self.combine(parts, |left, right| left & right)?,
            Node::Or(parts) => self.combine(parts, |left, right| left | right)?,
            Node::Around { center, up, down } => {
                let center = self.evaluate(center)?;
                let above = reach(&center, &self.upstream, *up);
                let below = reach(&center, &self.downstream, *down);
                above.into_iter().zip(below).map(|(above, below)| above | below).collect()
            }
        })
    }

    fn filter(&self, fits: impl Fn(&AssetDef) -> bool) -> Chosen {
        self.assets.iter().map(|asset| fits(asset)).collect()
    }

    fn combine(&self, parts: &[Node], with: fn(bool, bool) -> bool) -> Result<Chosen, PlanError> {
        let mut all: Option<Chosen> = None;
        for part in parts {
            let chosen = self.evaluate(part)?;
            all = Some(match all {
                None => chosen,
                Some(before) => before.into_iter().zip(chosen).map(|(l, r)| with(l, r)).collect(),
            });
        }
        Ok(all.unwrap_or_default())
    }
}

/// What is within `limit` levels of `from`, itself included.
fn reach(from: &[bool], neighbours: &[Vec<usize>], limit: Reach) -> Chosen {
    let mut chosen = from.to_vec();
    let mut queue: VecDeque<(usize, u32)> = from
        .iter()
        .enumerate()
        .filter(|(_, chosen)| **chosen)
        .map(|(place, _)| (place, 0))
        .collect();
    while let Some((place, level)) = queue.pop_front() {
        if level >= limit.0 {
            continue;
        }
        for next in neighbours.get(place).into_iter().flatten() {
            if let Some(seen) = chosen.get_mut(*next)
                && !*seen
            {
                *seen = true;
                queue.push_back((*next, level.saturating_add(1)));
            }
        }
    }
    chosen
}
