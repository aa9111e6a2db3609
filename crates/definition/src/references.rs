//! What files say of each other's things: dependencies, partitions, resources, IO managers,
//! handlers.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::{
    AssetDef, AssetKey, ErrorCode, HandlerDef, IoDef, JobShape, LoadMode, LoadStep, OpDef,
    PartitionsDef, PartitionsName, PoolDef, PoolUse, ResourceDef, ResourceName, SensorDef,
    SensorQuestion, Severity, StepConfig, TableIo, nearest,
};

use crate::circles;
use crate::draft::Names;
use crate::location::{Finding, Tried};
use crate::partitions::CADENCES;
use crate::reporter::Reporter;
use crate::sensors::step_of;
use crate::template_names;
use crate::triggers;

/// The names that a wrong one is compared with to find the one that was meant.
const COMPARED_MAX: usize = 1_000;

/// The findings about missing handlers of one file.
const HANDLER_FINDINGS_MAX: usize = 3;

/// Reports each reference that leads nowhere, and each circle of assets. Things in `doubts` are
/// declared, and nothing else of them is certain: no finding is made of what they are.
pub(crate) fn check(files: &[Tried<'_>], doubts: &Names) -> Vec<Finding> {
    let known = Known::new(files);
    let mut findings = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let report = Reporter { index, file, doubts, findings: &mut findings };
        let mut about = About { known: &known, report };
        for asset in &file.manifest.assets {
            about.asset(asset);
        }
        about.io();
        about.jobs();
        for sensor in &file.manifest.sensors {
            about.sensor(sensor);
        }
        about.handlers();
        about.report.tenant_fields_beside_steps(&known.tenant_fields);
    }
    triggers::check(files, doubts, &mut findings);
    circles::check(files, &mut findings);
    findings
}

/// Everything that the files of a location declare.
struct Known<'a> {
    assets: BTreeMap<&'a AssetKey, &'a AssetDef>,
    asset_names: Vec<String>,
    partitions: BTreeMap<&'a str, &'a PartitionsDef>,
    resources: BTreeMap<&'a str, &'a ResourceDef>,
    io: BTreeMap<&'a str, &'a IoDef>,
    tenant_fields: BTreeSet<&'a str>,
    pools: BTreeMap<&'a str, &'a PoolDef>,
    /// The first asset of each table, by IO manager and by name without regard to case.
    kept: BTreeMap<(&'a str, String), &'a AssetKey>,
    handlers: Vec<&'a HandlerDef>,
    /// The first file of which nothing is known, which may have handlers.
    unread: Option<&'a str>,
}

impl<'a> Known<'a> {
    fn new(files: &[Tried<'a>]) -> Self {
        let manifests = || files.iter().map(|file| file.manifest);
        let all_assets = || manifests().flat_map(|manifest| &manifest.assets);
        let mut known = Self {
            assets: all_assets().map(|asset| (&asset.key, asset)).collect(),
            asset_names: all_assets().take(COMPARED_MAX).map(|a| a.key.to_string()).collect(),
            partitions: manifests()
                .flat_map(|manifest| &manifest.partitions)
                .map(|(name, def)| (name.as_str(), def))
                .collect(),
            tenant_fields: template_names::fields_of(
                manifests().flat_map(|it| it.tenants.values()),
            ),
            resources: manifests()
                .flat_map(|manifest| &manifest.resources)
                .map(|(name, resource)| (name.as_str(), resource))
                .collect(),
            io: manifests()
                .flat_map(|manifest| &manifest.io)
                .map(|(name, io)| (name.as_str(), io))
                .collect(),
            pools: manifests()
                .flat_map(|manifest| &manifest.pools)
                .map(|(name, pool)| (name.as_str(), pool))
                .collect(),
            kept: BTreeMap::new(),
            handlers: manifests().flat_map(|manifest| &manifest.handlers).collect(),
            unread: files.iter().find(|file| file.is_unknown()).map(|file| file.name),
        };
        for asset in all_assets() {
            if let Some(place) = known.table_of(asset) {
                known.kept.entry(place).or_insert(&asset.key);
            }
        }
        known
    }

    /// The IO manager of tables that keeps `asset`, and the table.
    fn table_of(&self, asset: &'a AssetDef) -> Option<(&'a str, String)> {
        let io = asset.io.as_ref()?.as_str();
        let name = || TableIo::table_of(&asset.key).to_lowercase();
        self.io.get(io)?.resource().map(|_| (io, name()))
    }
}

/// The findings about one file.
struct About<'f, 'a> {
    known: &'f Known<'a>,
    report: Reporter<'f, 'a>,
}

impl<'a> About<'_, 'a> {
    fn asset(&mut self, asset: &AssetDef) {
        let key = asset.key.to_string();
        for dep in asset.deps.iter().filter(|dep| !self.known.assets.contains_key(dep)) {
            let dep = dep.to_string();
            let message = format!("Asset `{key}` depends on `{dep}`, which no file declares");
            let help = meant(&dep, self.known.asset_names.iter().map(String::as_str));
            self.report.missing(("asset", &dep), &["asset", &key, "deps", &dep], message, help);
        }
        self.mapping(asset, &key);
        if let Some(name) = &asset.partitions
            && !self.known.partitions.contains_key(name.as_str())
        {
            let message =
                format!("Asset `{key}` names the partitions `{name}`, which no file declares");
            let help = if CADENCES.contains(&name.as_str()) {
                format!("write its start too: `partitions: {{kind: {name}, start: 2025-01-01}}`")
            } else {
                meant(name.as_str(), self.known.partitions.keys().copied())
            };
            let thing = ("partitions", name.as_str());
            self.report.missing(thing, &["asset", &key, "partitions"], message, help);
        }
        if let Some(name) = &asset.io
            && !self.known.io.contains_key(name.as_str())
        {
            let message =
                format!("Asset `{key}` names the IO manager `{name}`, which no file declares");
            let help = meant(name.as_str(), self.known.io.keys().copied());
            self.report.missing(("io", name.as_str()), &["asset", &key, "io"], message, help);
        }
        if let Some(pool) = &asset.pool {
            self.pool(pool, &["asset", &key, "pool"], &format!("Asset `{key}`"));
        }
        if let Some(step) = &asset.step {
            let path = ["asset", &key, "step"];
            self.step(step, &path, &format!("Asset `{key}`"));
            if self.report.doubts.has("asset", &key) {
                return;
            }
            let deps: BTreeSet<&AssetKey> = asset.deps.iter().collect();
            // Of one that no file declares, the name is what is wrong.
            let is_missing =
                |it: &&AssetKey| !deps.contains(*it) && self.known.assets.contains_key(*it);
            for upstream in step.reads().into_iter().filter(is_missing) {
                let message = format!("Asset `{key}` reads `{upstream}` without depending on it");
                self.report.error(&path, message, format!("add `{upstream}` to its `deps`"));
            }
            if let StepConfig::Load(load) = step {
                self.load(load, asset, &path);
            }
            if let Some(io) = asset.io.as_ref().and_then(|io| self.known.io.get(io.as_str())) {
                self.report.rows_to_keep(&key, step, io);
            }
            self.names_in_step(step, asset);
        }
    }

    /// The names in the templates of the asset's step.
    fn names_in_step(&mut self, step: &StepConfig, asset: &AssetDef) {
        let names = template_names::named_in(step);
        let key = asset.key.to_string();
        let of_step = ["asset", &key, "step"];
        self.report.tenant_fields(&names, &self.known.tenant_fields, &of_step);
        let is_doubtful = self.report.doubts.has("asset", &key);
        let by = asset.partitions.as_ref().map(PartitionsName::as_str);
        let def = by.and_then(|by| self.known.partitions.get(by).copied());
        let is_divided_anyhow = by.is_some_and(|by| self.report.doubts.has("partitions", by));
        if !is_doubtful && !is_divided_anyhow && (by.is_none() || def.is_some()) {
            let parts = def.map(PartitionsDef::part_names).unwrap_or_default();
            let parts = parts.iter().map(|part| format!("partition_{part}"));
            self.parameters(
                step,
                (&of_step, &format!("Asset `{key}`")),
                &parts.collect::<Vec<_>>(),
            );
        }
        if !is_doubtful {
            self.report.upstream_fields(&names, asset);
        }
        match asset.partitions.as_ref().map(PartitionsName::as_str) {
            None if is_doubtful => {}
            None => self.report.partition_fields(&names, asset, None),
            Some(name) if self.report.doubts.has("partitions", name) => {}
            Some(name) => {
                if let Some(def) = self.known.partitions.get(name) {
                    self.report.partition_fields(&names, asset, Some(def));
                }
            }
        }
    }

    /// The parameters that a step's statements name.
    fn parameters(&mut self, step: &StepConfig, place: (&[&str], &str), more: &[String]) {
        if let StepConfig::Sql(step) = step {
            let resource = self.known.resources.get(step.resource.as_str()).copied();
            self.report.sql_parameters((step, resource), place, more);
        }
    }

    /// Reports what the asset reads of which no partition follows from its own: no run of it can be
    /// planned.
    fn mapping(&mut self, asset: &AssetDef, key: &str) {
        let is_known = |by: &PartitionsName| self.known.partitions.contains_key(by.as_str());
        let doubts = self.report.doubts;
        if asset.step.is_none()
            || doubts.has("asset", key)
            || asset.partitions.as_ref().is_some_and(|own| !is_known(own))
        {
            return;
        }
        for dep in asset.deps.iter().filter(|dep| !doubts.has("asset", &dep.to_string())) {
            let upstream = self.known.assets.get(dep).and_then(|it| it.partitions.as_ref());
            let Some(by) = upstream.filter(|by| Some(*by) != asset.partitions.as_ref()) else {
                continue;
            };
            let own = match &asset.partitions {
                Some(own) => format!("divided by `{own}`"),
                None => "not divided".to_owned(),
            };
            let message = format!(
                "Asset `{key}` is {own} and depends on `{dep}`, which is divided by `{by}`: no \
                 partition of it follows"
            );
            let help = "give both the same partitions, or let the step read what it needs by \
                        itself and leave the asset out of `deps`";
            let (code, path) =
                (ErrorCode::PartitionMapping, ["asset", key, "deps", &dep.to_string()]);
            self.report.tell((code, Severity::Error), &path, message, help.to_owned());
        }
    }

    fn jobs(&mut self) {
        for job in &self.report.file.manifest.jobs {
            let JobShape::Ops(ops) = &job.shape else { continue };
            for op in ops {
                let path = ["job", job.name.as_str(), op.id.as_str()];
                if let Some(pool) = &op.pool {
                    let path = [path.as_slice(), &["pool"]].concat();
                    self.pool(pool, &path, &format!("Node `{}`", op.id));
                }
                self.step(&op.step, &path, &format!("Node `{}`", op.id));
                self.parameters(&op.step, (&path, &format!("Node `{}`", op.id)), &[]);
                let names = template_names::named_in(&op.step);
                self.report.tenant_fields(&names, &self.known.tenant_fields, &path);
                if let StepConfig::Load(_) = op.step {
                    let message = format!("Node `{}` loads rows and is no asset", op.id);
                    let help = "a step of kind `load` belongs to an asset, which says in `deps` \
                                whose rows it loads";
                    self.report.error(&path, message, help.to_owned());
                }
            }
        }
    }

    /// The resource of a step and the assets whose rows it reads.
    fn step(&mut self, step: &StepConfig, path: &[&str], who: &str) {
        match step {
            StepConfig::Http(step) => self.service(&step.resource, path, who),
            StepConfig::Sql(step) => {
                self.database(&step.resource, path, [who, "runs SQL on"]);
            }
            StepConfig::Load(step) => {
                self.database(&step.resource, path, [who, "loads rows into"]);
            }
            StepConfig::Local(_)
            | StepConfig::Command(_)
            | StepConfig::Python(_)
            | StepConfig::Lambda(_)
            | StepConfig::Noop(_) => {}
        }
        for upstream in step.reads() {
            self.kept(upstream, path, who);
        }
    }

    /// The resources that a sensor asks, and the partitions that it keeps.
    fn sensor(&mut self, sensor: &SensorDef) {
        let (name, who) = (sensor.name.as_str(), format!("Sensor `{}`", sensor.name));
        let path = ["sensor", name, "query"];
        if let Some(step) = step_of(&sensor.question) {
            self.step(step, &path, &who);
            self.parameters(step, (&path, &who), &["cursor".to_owned()]);
        }
        if let SensorQuestion::PartitionSync(sync) = &sensor.question
            && !self.known.partitions.contains_key(sync.partitions.as_str())
        {
            let message =
                format!("{who} names the partitions `{}`, which no file declares", sync.partitions);
            let help = meant(sync.partitions.as_str(), self.known.partitions.keys().copied());
            let thing = ("partitions", sync.partitions.as_str());
            self.report.missing(thing, &["sensor", name, "partitions"], message, help);
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
            let path = [path, &["resource"]].concat();
            self.report.missing(("resource", name.as_str()), &path, message, help);
        }
        found.filter(|_| !self.report.doubts.has("resource", name.as_str()))
    }

    /// Reports a resource that is no HTTP service.
    fn service(&mut self, name: &ResourceName, path: &[&str], who: &str) {
        match self.resource(name, path, who) {
            None | Some(ResourceDef::Http(_)) => {}
            Some(_) => {
                let message = format!("{who} sends a request to `{name}`, which is a database");
                let help = "name a resource of kind `http`, or use a step of kind `sql`";
                self.report.error(&[path, &["resource"]].concat(), message, help.to_owned());
            }
        }
    }

    /// The pool of a step: it is there, and large enough.
    fn pool(&mut self, pool: &PoolUse, path: &[&str], who: &str) {
        let (name, needs) = (pool.name.as_str(), pool.slots);
        match self.known.pools.get(name) {
            None => {
                let message = format!("{who} names the pool `{name}`, which no file declares");
                let known = self.known.pools.keys().copied();
                let help = match nearest(name, known.take(COMPARED_MAX)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("say how many steps it lets run: `pools: {{{name}: 4}}`"),
                };
                self.report.missing(("pool", name), path, message, help);
            }
            Some(_) if self.report.doubts.has("pool", name) => {}
            // A pool of no slots is closed for now, which is no mistake of the step's.
            Some(PoolDef { slots: 0, .. }) => {}
            Some(PoolDef { slots, .. }) if *slots < needs => {
                let message = format!("{who} needs {needs} slots of the pool `{name}`");
                self.report.error(path, message, format!("the pool has {slots}"));
            }
            Some(_) => {}
        }
    }

    /// Reports a resource that is no database; `does` says what `who` needs it for.
    fn database(&mut self, name: &ResourceName, path: &[&str], [who, does]: [&str; 2]) {
        if let Some(ResourceDef::Http(_)) = self.resource(name, path, who) {
            let message = format!("{who} {does} `{name}`, which is no database");
            let help = "name a resource of kind `sqlite` or `postgres`";
            self.report.error(&[path, &["resource"]].concat(), message, help.to_owned());
        }
    }

    /// An asset whose rows are read must be kept somewhere.
    fn kept(&mut self, upstream: &AssetKey, path: &[&str], who: &str) {
        let key = upstream.to_string();
        let help = "an asset whose rows are read has a `step` with rows and an `io`".to_owned();
        match self.known.assets.get(upstream) {
            None => {
                let message = format!("{who} reads the asset `{key}`, which no file declares");
                let known = self.known.asset_names.iter().map(String::as_str);
                let near = nearest(&key, known).map(|near| format!("did you mean `{near}`?"));
                let help = near.unwrap_or(help);
                self.report.missing(("asset", &key), path, message, help);
            }
            Some(AssetDef { io: None, .. }) if !self.report.doubts.has("asset", &key) => {
                let message = format!("{who} reads the asset `{key}`, which no IO manager keeps");
                self.report.error(path, message, help);
            }
            Some(_) => {}
        }
    }

    /// What a load step leaves to be known from its asset.
    fn load(&mut self, load: &LoadStep, asset: &AssetDef, path: &[&str]) {
        let key = &asset.key;
        match (&load.asset, asset.deps.as_slice()) {
            (Some(_), _) => {}
            (None, [upstream]) => self.kept(upstream, path, &format!("Asset `{key}`")),
            (None, deps) => {
                let count = deps.len();
                let message = format!(
                    "Asset `{key}` loads the rows of one asset, and depends on {count} of them"
                );
                let help = "name it: `asset: orders`, and have it among the `deps`";
                self.report.error(path, message, help.to_owned());
            }
        }
        let is_one_table = !load.table.contains("{{") && !load.table.contains("{%");
        if asset.partitions.is_some() && load.mode == LoadMode::Replace && is_one_table {
            let message = format!(
                "Asset `{key}` is partitioned and replaces the table `{}` as a whole, so that it \
                 keeps one partition",
                load.table
            );
            let help = "put the partition into the name, as in `orders_{{ partition }}`, or \
                        keep the asset in an `io` of kind `table`, which keeps all partitions";
            self.report.warning(path, message, help.to_owned());
        }
    }

    /// The resources of IO managers, and assets that would share a table.
    fn io(&mut self) {
        for (name, io) in &self.report.file.manifest.io {
            if let Some(resource) = io.resource() {
                let who = format!("IO manager `{name}`");
                self.database(resource, &["io", name.as_str()], [&who, "keeps tables in"]);
            }
        }
        for asset in &self.report.file.manifest.assets {
            let Some(place) = self.known.table_of(asset) else { continue };
            if let Some(first) = self.known.kept.get(&place).filter(|first| **first != &asset.key) {
                let message = format!(
                    "Assets `{first}` and `{}` would both be kept in the table `{}`",
                    asset.key, place.1
                );
                let help = "give one of them another name or another `io`".to_owned();
                self.report.error(&["asset", &asset.key.to_string(), "io"], message, help);
            }
        }
    }

    /// Warns of modules that the handler table does not resolve; runs of their steps will fail.
    fn handlers(&mut self) {
        let manifest = self.report.file.manifest;
        let of_jobs = manifest.jobs.iter().flat_map(|job| {
            let ops = match &job.shape {
                JobShape::Ops(ops) => ops.as_slice(),
                JobShape::Select(_) => &[],
            };
            let path =
                move |op: &OpDef| ["job", job.name.as_str(), op.id.as_str()].map(str::to_owned);
            ops.iter().map(move |op| (path(op), &op.step))
        });
        let of_assets = manifest.assets.iter().filter_map(|asset| {
            let path = ["asset".to_owned(), asset.key.to_string(), "step".to_owned()];
            Some((path, asset.step.as_ref()?))
        });
        let mut missing = BTreeMap::new();
        for (path, step) in of_jobs.chain(of_assets) {
            if let StepConfig::Local(step) = step {
                missing.entry(step.module.as_str()).or_insert(path);
            }
        }
        if self.report.doubts.any("handler") {
            return;
        }
        missing.retain(|module, _| !self.known.handlers.iter().any(|row| row.matches(module)));
        let total = missing.len();
        for (module, path) in missing.into_iter().take(HANDLER_FINDINGS_MAX) {
            let rest = total.saturating_sub(HANDLER_FINDINGS_MAX);
            let more = if rest > 0 { format!(" (and {rest} more)") } else { String::new() };
            let mut message = format!("No handler is called `{module}`{more}; its steps will fail");
            let mut help =
                format!("say what it runs: `handlers: {{\"{module}\": {{command: [./run.sh]}}}}`");
            let names = self.known.handlers.iter().map(|row| row.pattern.as_str());
            let names = names.filter(|name| !name.ends_with('*'));
            if let Some(near) = nearest(module, names.take(COMPARED_MAX)) {
                help = format!("did you mean `{near}`? Otherwise {help}");
            }
            if let Some(file) = self.known.unread {
                message = format!("{message}, unless `{file}`, which cannot be read, has it");
                help = format!("correct `{file}` first; otherwise {help}");
            }
            let kind = (ErrorCode::HandlerUnknown, Severity::Warning);
            self.report.tell(kind, &path.each_ref().map(String::as_str), message, help);
        }
    }
}

/// A way out for a name that no file declares.
pub(crate) fn meant<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    match nearest(name, known.take(COMPARED_MAX)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "declare it in a file of this root".to_owned(),
    }
}
