//! What files say of each other's things: dependencies, partitions, resources, IO managers,
//! handlers.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::{
    AssetDef, AssetKey, Diagnostic, ErrorCode, HandlerDef, HttpStep, IoName, JobShape,
    PartitionsName, ReadSource, ResourceDef, ResourceName, Severity, SqlStep, StepConfig, nearest,
};

use crate::finding::Spot;
use crate::graph;
use crate::location::{Finding, Tried};
use crate::partitions::CADENCES;
use crate::triggers;

/// The names that a wrong one is compared with to find the one that was meant.
const COMPARED_MAX: usize = 1_000;

/// The findings about missing handlers of one file.
const HANDLER_FINDINGS_MAX: usize = 3;

/// Reports each reference that leads nowhere, and each circle of assets.
pub(crate) fn check(files: &[Tried<'_>]) -> Vec<Finding> {
    let known = Known::new(files);
    let mut findings = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let mut about = About { index, file, known: &known, findings: &mut findings };
        for asset in &file.version.manifest.assets {
            about.asset(asset);
        }
        about.jobs();
        about.handlers();
    }
    triggers::check(files, &mut findings);
    circles(files, &mut findings);
    findings
}

/// Everything that the files of a location declare.
struct Known<'a> {
    assets: BTreeMap<&'a AssetKey, &'a AssetDef>,
    asset_names: Vec<String>,
    partitions: BTreeSet<&'a str>,
    resources: BTreeMap<&'a str, &'a ResourceDef>,
    io: BTreeSet<&'a str>,
    handlers: Vec<&'a HandlerDef>,
}

impl<'a> Known<'a> {
    fn new(files: &[Tried<'a>]) -> Self {
        let manifests = || files.iter().map(|file| file.version.manifest);
        let all_assets = || manifests().flat_map(|manifest| &manifest.assets);
        Self {
            assets: all_assets().map(|asset| (&asset.key, asset)).collect(),
            asset_names: all_assets().take(COMPARED_MAX).map(|a| a.key.to_string()).collect(),
            partitions: manifests()
                .flat_map(|manifest| manifest.partitions.keys())
                .map(PartitionsName::as_str)
                .collect(),
            resources: manifests()
                .flat_map(|manifest| &manifest.resources)
                .map(|(name, resource)| (name.as_str(), resource))
                .collect(),
            io: manifests().flat_map(|manifest| manifest.io.keys()).map(IoName::as_str).collect(),
            handlers: manifests().flat_map(|manifest| &manifest.handlers).collect(),
        }
    }
}

/// The findings about one file.
struct About<'f, 'a> {
    index: usize,
    file: &'f Tried<'a>,
    known: &'f Known<'a>,
    findings: &'f mut Vec<Finding>,
}

impl<'a> About<'_, 'a> {
    fn asset(&mut self, asset: &AssetDef) {
        let key = asset.key.to_string();
        for dep in asset.deps.iter().filter(|dep| !self.known.assets.contains_key(dep)) {
            let dep = dep.to_string();
            let message = format!("Asset `{key}` depends on `{dep}`, which no file declares");
            let help = meant(&dep, self.known.asset_names.iter().map(String::as_str));
            self.error(&["asset", &key, "deps", &dep], message, help);
        }
        if let Some(name) = &asset.partitions
            && !self.known.partitions.contains(name.as_str())
        {
            let message =
                format!("Asset `{key}` names the partitions `{name}`, which no file declares");
            let help = if CADENCES.contains(&name.as_str()) {
                format!("write its start too: `partitions: {{kind: {name}, start: 2025-01-01}}`")
            } else {
                meant(name.as_str(), self.known.partitions.iter().copied())
            };
            self.error(&["asset", &key, "partitions"], message, help);
        }
        if let Some(name) = &asset.io
            && !self.known.io.contains(name.as_str())
        {
            let message =
                format!("Asset `{key}` names the IO manager `{name}`, which no file declares");
            let help = meant(name.as_str(), self.known.io.iter().copied());
            self.error(&["asset", &key, "io"], message, help);
        }
        let path = ["asset", &key, "step"];
        if let Some(StepConfig::Http(step)) = &asset.step {
            self.http(step, &path, &format!("Asset `{key}`"));
        }
        if let Some(StepConfig::Sql(step)) = &asset.step {
            self.sql(step, &path, &format!("Asset `{key}`"));
            let deps: BTreeSet<&AssetKey> = asset.deps.iter().collect();
            for upstream in upstreams(step).filter(|upstream| !deps.contains(upstream)) {
                let message = format!("Asset `{key}` reads `{upstream}` without depending on it");
                self.error(&path, message, format!("add `{upstream}` to its `deps`"));
            }
        }
    }

    fn jobs(&mut self) {
        for job in &self.file.version.manifest.jobs {
            let JobShape::Ops(ops) = &job.shape else { continue };
            for op in ops {
                let path = ["job", job.name.as_str(), op.id.as_str()];
                let who = format!("Node `{}`", op.id);
                match &op.step {
                    StepConfig::Sql(step) => self.sql(step, &path, &who),
                    StepConfig::Http(step) => self.http(step, &path, &who),
                    _ => {}
                }
            }
        }
    }

    /// The resource called `name`; reports one that no file declares.
    fn resource(
        &mut self,
        name: &ResourceName,
        path: &[&str],
        who: &str,
    ) -> Option<&'a ResourceDef> {
        let found = self.known.resources.get(name.as_str()).copied();
        if found.is_none() {
            let message = format!("{who} names the resource `{name}`, which no file declares");
            let help = meant(name.as_str(), self.known.resources.keys().copied());
            self.error(path, message, help);
        }
        found
    }

    /// The resource of an HTTP step.
    fn http(&mut self, step: &HttpStep, path: &[&str], who: &str) {
        match self.resource(&step.resource, path, who) {
            None | Some(ResourceDef::Http(_)) => {}
            Some(_) => {
                let message =
                    format!("{who} sends a request to `{}`, which is a database", step.resource);
                let help = "name a resource of kind `http`, or use a step of kind `sql`";
                self.error(path, message, help.to_owned());
            }
        }
    }

    /// The resource of a SQL step and the sources of its tables.
    fn sql(&mut self, step: &SqlStep, path: &[&str], who: &str) {
        match self.resource(&step.resource, path, who) {
            None => {}
            Some(ResourceDef::Postgres { .. }) if !step.read.is_empty() => {
                let message = format!("{who} has `read`, which only works with SQLite");
                let help = "load the rows into a SQLite resource, or into a table by a command";
                self.error(path, message, help.to_owned());
            }
            Some(ResourceDef::Http(_)) => {
                let message =
                    format!("{who} runs SQL on `{}`, which is no database", step.resource);
                let help = "name a resource of kind `sqlite` or `postgres`";
                self.error(path, message, help.to_owned());
            }
            Some(_) => {}
        }
        for upstream in upstreams(step) {
            let problem = match self.known.assets.get(upstream) {
                None => "which no file declares",
                Some(AssetDef { io: None, .. }) => "which no IO manager keeps",
                Some(_) => continue,
            };
            let message = format!("{who} reads the asset `{upstream}`, {problem}");
            let help = "an asset whose rows are read has a `step` with rows and an `io`";
            self.error(path, message, help.to_owned());
        }
    }

    /// Warns of modules that the handler table does not resolve; runs of their steps will fail.
    fn handlers(&mut self) {
        let manifest = self.file.version.manifest;
        let of_jobs = manifest.jobs.iter().flat_map(|job| {
            let ops = match &job.shape {
                JobShape::Ops(ops) => ops.as_slice(),
                JobShape::Select(_) => &[],
            };
            ops.iter().map(|op| (vec!["job", job.name.as_str()], &op.step))
        });
        let of_assets =
            manifest.assets.iter().filter_map(|asset| Some((vec![], asset.step.as_ref()?)));
        let mut missing = BTreeMap::new();
        for (path, step) in of_jobs.chain(of_assets) {
            if let StepConfig::Local(step) = step {
                missing.entry(step.module.as_str()).or_insert(path);
            }
        }
        missing.retain(|module, _| !self.known.handlers.iter().any(|row| row.matches(module)));
        let total = missing.len();
        for (module, path) in missing.into_iter().take(HANDLER_FINDINGS_MAX) {
            let rest = total.saturating_sub(HANDLER_FINDINGS_MAX);
            let more = if rest > 0 { format!(" (and {rest} more)") } else { String::new() };
            let diagnostic = Diagnostic {
                code: ErrorCode::HandlerUnknown,
                severity: Severity::Warning,
                message: format!("No handler is called `{module}`{more}; its steps will fail"),
                place: self.spot(&path).place(self.file.name),
                help: Some(format!(
                    "say what it runs: `handlers: {{\"{module}\": {{command: [./run.sh]}}}}`"
                )),
            };
            self.findings.push((self.index, diagnostic));
        }
    }

    fn spot(&self, path: &[&str]) -> Spot {
        self.file.version.places.map_or(Spot::FILE, |places| places.spot(path))
    }

    fn error(&mut self, path: &[&str], message: String, help: String) {
        let diagnostic = Diagnostic {
            code: ErrorCode::DefinitionReference,
            severity: Severity::Error,
            message,
            place: self.spot(path).place(self.file.name),
            help: Some(help),
        };
        self.findings.push((self.index, diagnostic));
    }
}

fn upstreams(step: &SqlStep) -> impl Iterator<Item = &AssetKey> {
    step.read.values().filter_map(|source| match source {
        ReadSource::Asset(key) => Some(key),
        ReadSource::Csv(_) => None,
    })
}

/// A way out for a name that no file declares.
pub(crate) fn meant<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    match nearest(name, known.take(COMPARED_MAX)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "declare it in a file of this root".to_owned(),
    }
}

/// Reports each circle of assets to every file with a new version that takes part in it.
fn circles(files: &[Tried<'_>], findings: &mut Vec<Finding>) {
    let assets: Vec<(usize, &AssetDef)> = files
        .iter()
        .enumerate()
        .flat_map(|(index, file)| file.version.manifest.assets.iter().map(move |a| (index, a)))
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
            let places = file.version.places;
            let spot = places.map_or(Spot::FILE, |places| places.spot(&["asset", name]));
            let diagnostic = Diagnostic {
                code: ErrorCode::DefinitionCycle,
                severity: Severity::Error,
                message: format!("Assets depend on each other in a circle: {path}"),
                place: spot.place(file.name),
                help: Some("remove one of these dependencies".to_owned()),
            };
            findings.push((*index, diagnostic));
        }
    }
}
