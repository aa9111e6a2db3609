//! Circles among the assets of a location, which may lead through several of its files.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::{AssetDef, AssetKey, Diagnostic, ErrorCode, Severity};

use crate::finding::Spot;
use crate::graph;
use crate::location::{Finding, Needs, Tried};

/// Reports each circle of assets to every file with a new version that takes part in it.
pub(crate) fn check(files: &[Tried<'_>], findings: &mut Vec<Finding>) {
    let assets: Vec<(usize, &AssetDef)> = files
        .iter()
        .enumerate()
        .flat_map(|(index, file)| file.manifest.assets.iter().map(move |a| (index, a)))
        .collect();
    let numbers: BTreeMap<&AssetKey, usize> =
        assets.iter().enumerate().map(|(number, (_, asset))| (&asset.key, number)).collect();
    let mut after = vec![Vec::new(); assets.len()];
    for (number, (_, asset)) in assets.iter().enumerate() {
        for upstream in asset.deps.iter().filter_map(|dep| numbers.get(dep)) {
            if let Some(list) = after.get_mut(*upstream) {
                list.push(number);
            }
        }
    }
    for circle in graph::circles(&after) {
        let members: Vec<(usize, String)> = circle
            .iter()
            .filter_map(|number| assets.get(*number))
            .map(|(index, asset)| (*index, asset.key.to_string()))
            .collect();
        let names: Vec<&str> = members.iter().map(|(_, name)| name.as_str()).collect();
        let path = graph::path_text(&names);
        let mut told = BTreeSet::new();
        for (index, name) in &members {
            let Some(file) = files.get(*index) else { continue };
            if file.is_live || !told.insert(*index) {
                continue;
            }
            let places = file.places;
            let spot = places.map_or(Spot::FILE, |places| places.spot(&["asset", name]));
            let diagnostic = Diagnostic {
                code: ErrorCode::DefinitionCycle,
                severity: Severity::Error,
                message: format!("Assets depend on each other in a circle: {path}"),
                place: spot.place(file.name),
                help: Some("remove one of these dependencies".to_owned()),
            };
            findings.push(Finding { file: *index, diagnostic, needs: Needs::Nothing });
        }
    }
}
