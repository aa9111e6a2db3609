//! Names are unique in a code location: who keeps one that two files declare.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use millstream_model::{Diagnostic, ErrorCode, FileManifest, Severity, is_library};

use crate::draft::Names;
use crate::finding::Spot;
use crate::location::{Finding, Needs, Tried};

/// A kind of thing and the name of one.
type Name<'a> = (&'static str, Cow<'a, str>);

/// Reports each name that another file keeps: the one whose live version has it, a live version
/// before a new one, one that has errors after others, a library before other files, then by file
/// name. Answers with those names too.
pub(crate) fn check(files: &[Tried<'_>]) -> (Vec<Finding>, Names) {
    let mut order: Vec<(usize, &Tried<'_>)> = files.iter().enumerate().collect();
    order.sort_by_key(|(_, file)| {
        (!file.is_live, file.draft.is_some(), !is_library(file.name), file.name)
    });
    let mut owners: BTreeMap<Name<'_>, &str> = BTreeMap::new();
    for (_, file) in &order {
        owners.extend(kept(file).map(|name| (name, file.name)));
    }
    let (mut findings, mut contested) = (Vec::new(), Names::default());
    for (index, file) in order {
        for name in declared(file.manifest) {
            match owners.get(&name) {
                Some(owner) if *owner != file.name => {
                    contested.insert(name.0, &name.1);
                    let diagnostic = taken(file, &name, owner);
                    let thing = (name.0, name.1.into_owned());
                    let needs = Needs::Name { thing, owner: (*owner).to_owned() };
                    findings.push(Finding { file: index, diagnostic, needs });
                }
                Some(_) => {}
                None => {
                    owners.insert(name, file.name);
                }
            }
        }
    }
    (findings, contested)
}

/// What a new version of a file declares that its live one has too.
fn kept<'a>(file: &Tried<'a>) -> impl Iterator<Item = Name<'a>> {
    let live = file.live.filter(|_| !file.is_live);
    let had: BTreeSet<Name<'a>> =
        live.into_iter().flat_map(|live| declared(live.manifest)).collect();
    let new = live.map(|_| file.manifest);
    new.into_iter().flat_map(declared).filter(move |name| had.contains(name))
}

/// What a file declares, by kind and name.
pub(crate) fn declared(manifest: &FileManifest) -> impl Iterator<Item = Name<'_>> {
    let assets = manifest.assets.iter().map(|asset| ("asset", asset.key.to_string().into()));
    let jobs = manifest.jobs.iter().map(|job| ("job", job.name.as_str().into()));
    let partitions = manifest.partitions.keys().map(|name| ("partitions", name.as_str().into()));
    let resources = manifest.resources.keys().map(|name| ("resource", name.as_str().into()));
    let io = manifest.io.keys().map(|name| ("io", name.as_str().into()));
    let tenants = manifest.tenants.keys().map(|id| ("tenant", id.as_str().into()));
    let pools = manifest.pools.keys().map(|name| ("pool", name.as_str().into()));
    let schedules = manifest.schedules.iter().map(|it| ("schedule", it.name.as_str().into()));
    let sensors = manifest.sensors.iter().map(|it| ("sensor", it.name.as_str().into()));
    let calendars = manifest.calendars.keys().map(|name| ("calendar", name.as_str().into()));
    let sources = assets.chain(jobs).chain(partitions).chain(resources).chain(io).chain(tenants);
    sources.chain(pools).chain(schedules).chain(sensors).chain(calendars)
}

fn taken(file: &Tried<'_>, (kind, name): &Name<'_>, owner: &str) -> Diagnostic {
    let thing = match *kind {
        "partitions" => "partitions definition",
        "io" => "IO manager",
        other => other,
    };
    let spot = file.places.map_or(Spot::FILE, |places| places.spot(&[kind, name]));
    Diagnostic {
        code: ErrorCode::DefinitionNameTaken,
        severity: Severity::Error,
        message: format!("The {thing} `{name}` is already declared in `{owner}`"),
        place: spot.place(file.name),
        help: Some(format!("rename one of them; `{owner}` keeps the name until then")),
    }
}
