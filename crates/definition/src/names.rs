//! Names are unique in a code location: who keeps one that two files declare.

use std::borrow::Cow;
use std::collections::BTreeMap;

use millstream_model::{Diagnostic, ErrorCode, FileManifest, Severity, is_library};

use crate::finding::Spot;
use crate::location::{Finding, Tried};

/// A kind of thing and the name of one.
type Name<'a> = (&'static str, Cow<'a, str>);

/// Reports each name that another file keeps: a live version before a new one, a library before
/// other files, then by file name.
pub(crate) fn check(files: &[Tried<'_>]) -> Vec<Finding> {
    let mut order: Vec<(usize, &Tried<'_>)> = files.iter().enumerate().collect();
    order.sort_by_key(|(_, file)| (!file.is_live, !is_library(file.name), file.name));
    let mut owners: BTreeMap<Name<'_>, &str> = BTreeMap::new();
    let mut findings = Vec::new();
    for (index, file) in order {
        for name in names(file.version.manifest) {
            match owners.get(&name) {
                Some(owner) if *owner != file.name => {
                    findings.push((index, taken(file, &name, owner)));
                }
                Some(_) => {}
                None => {
                    owners.insert(name, file.name);
                }
            }
        }
    }
    findings
}

fn names(manifest: &FileManifest) -> impl Iterator<Item = Name<'_>> {
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
    let spot = file.version.places.map_or(Spot::FILE, |places| places.spot(&[kind, name]));
    Diagnostic {
        code: ErrorCode::DefinitionNameTaken,
        severity: Severity::Error,
        message: format!("The {thing} `{name}` is already declared in `{owner}`"),
        place: spot.place(file.name),
        help: Some(format!("rename one of them; `{owner}` keeps the name until then")),
    }
}
