//! The definitions that are live now, merged and kept until a location's version changes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use millstream_decide::queue::Limits;
use millstream_model::view::TenantRow;
use millstream_model::{
    AssetDef, AssetKey, ContentHash, FileManifest, FileVersion, JobName, LocationName, Manifest,
    PartitionsName, PoolDef, PoolName, ScheduleCron, ScheduleDef, TenantDef, TenantId,
};
use millstream_plan::selection::select;
use millstream_store::StoreError;
use millstream_store::definitions::{StoredFile, StoredLocation};

use crate::live_schedules::LiveSchedules;
use crate::live_sensors::LiveSensors;
use crate::{Control, ControlError};

/// The live definitions of every code location.
#[derive(Debug, Default)]
pub struct Catalog {
    locations: BTreeMap<LocationName, Entry>,
    limits: Arc<Limits>,
    pools: BTreeMap<(TenantId, PoolName), PoolDef>,
}

#[derive(Debug, Clone)]
struct Entry {
    version: i64,
    manifest: Arc<Manifest>,
    /// The file that each job stands in, with its version.
    files_of_jobs: Arc<BTreeMap<JobName, FileVersion>>,
    schedules: Arc<LiveSchedules>,
    sensors: Arc<LiveSensors>,
    /// How many files have errors in their newest content.
    broken: u64,
}

/// The catalog that was built last.
#[derive(Default)]
pub(crate) struct CatalogCache(Mutex<Arc<Catalog>>);

impl Catalog {
    fn new(locations: BTreeMap<LocationName, Entry>) -> Self {
        let (mut limits, mut pools) = (Limits::default(), BTreeMap::new());
        for manifest in locations.values().map(|entry| &entry.manifest) {
            limits.add(manifest.tenants.keys(), &manifest.queue);
            for (id, tenant) in &manifest.tenants {
                limits.weights.entry(id.clone()).or_insert(tenant.weight);
                for (name, pool) in &manifest.pools {
                    pools.entry((id.clone(), name.clone())).or_insert(*pool);
                }
            }
        }
        Self { locations, limits: Arc::new(limits), pools }
    }

    /// What all definitions say that limits the queue.
    pub fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    /// The pools of each tenant.
    pub fn pools(&self) -> &BTreeMap<(TenantId, PoolName), PoolDef> {
        &self.pools
    }

    /// The manifests by location.
    pub fn manifests(&self) -> impl Iterator<Item = &Arc<Manifest>> {
        self.locations.values().map(|entry| &entry.manifest)
    }

    /// The manifests that say what a tenant's history is about: those that declare the tenant, and
    /// all of them where none does.
    pub fn of_tenant(&self, tenant: &TenantId) -> impl Iterator<Item = &Arc<Manifest>> {
        let declares = |manifest: &Arc<Manifest>| manifest.tenants.contains_key(tenant);
        let is_declared = self.manifests().any(declares);
        self.manifests().filter(move |manifest| !is_declared || declares(manifest))
    }

    /// The definition of an asset in a tenant that declares it, where it has a step.
    pub(crate) fn step_of(&self, tenant: &TenantId, asset: &AssetKey) -> Option<&AssetDef> {
        let mut ours = self.manifests().filter(|manifest| manifest.tenants.contains_key(tenant));
        let def = ours.find_map(|manifest| manifest.assets.get(asset));
        def.filter(|def| def.step.is_some())
    }

    /// The manifest that declares `job` for `tenant`; any manifest when none does, so that
    /// planning says what is wrong.
    pub(crate) fn for_job(&self, tenant: &TenantId, job: &JobName) -> Option<&Arc<Manifest>> {
        self.pick(tenant, |manifest| manifest.jobs.contains_key(job))
    }

    /// The manifest in which `selection` selects something for `tenant`; any that has the tenant
    /// when none does, so that selecting says what is wrong.
    pub(crate) fn for_selection(
        &self,
        tenant: &TenantId,
        selection: &str,
    ) -> Option<&Arc<Manifest>> {
        self.pick(tenant, |manifest| {
            select(manifest, selection).is_ok_and(|assets| !assets.is_empty())
        })
    }

    /// The manifest that declares `asset` for `tenant`; any that has the tenant when none does.
    pub(crate) fn for_asset(&self, tenant: &TenantId, asset: &AssetKey) -> Option<&Arc<Manifest>> {
        self.pick(tenant, |manifest| manifest.assets.contains_key(asset))
    }

    /// The manifest that declares `partitions`.
    pub(crate) fn for_partitions(&self, name: &PartitionsName) -> Option<&Arc<Manifest>> {
        self.manifests().find(|manifest| manifest.partitions.contains_key(name))
    }

    fn pick(
        &self,
        tenant: &TenantId,
        declares: impl Fn(&Manifest) -> bool,
    ) -> Option<&Arc<Manifest>> {
        let has_tenant = |manifest: &&Arc<Manifest>| manifest.tenants.contains_key(tenant);
        self.manifests()
            .filter(has_tenant)
            .find(|manifest| declares(manifest))
            .or_else(|| self.manifests().find(has_tenant))
            .or_else(|| self.manifests().next())
    }

    /// The schedules of each location, with the location's version.
    pub(crate) fn schedules(
        &self,
    ) -> impl Iterator<Item = (&Arc<Manifest>, i64, &Arc<LiveSchedules>)> {
        self.locations.values().map(|entry| (&entry.manifest, entry.version, &entry.schedules))
    }

    /// The schedules of a location with its manifest.
    pub(crate) fn schedules_of(
        &self,
        location: &LocationName,
    ) -> Option<(&Arc<Manifest>, &Arc<LiveSchedules>)> {
        self.locations.get(location).map(|entry| (&entry.manifest, &entry.schedules))
    }

    /// The sensors of each location, with the location's version.
    pub(crate) fn sensors(&self) -> impl Iterator<Item = (&Arc<Manifest>, i64, &Arc<LiveSensors>)> {
        self.locations.values().map(|entry| (&entry.manifest, entry.version, &entry.sensors))
    }

    /// The sensors of a location with its manifest.
    pub(crate) fn sensors_of(
        &self,
        location: &LocationName,
    ) -> Option<(&Arc<Manifest>, &Arc<LiveSensors>)> {
        self.locations.get(location).map(|entry| (&entry.manifest, &entry.sensors))
    }

    /// The file that a job stands in, with its version.
    pub(crate) fn file_of_job(
        &self,
        location: &LocationName,
        job: &JobName,
    ) -> Option<&FileVersion> {
        self.locations.get(location)?.files_of_jobs.get(job)
    }

    /// How many files have errors, so that what is new in them is not live.
    pub fn broken_files(&self) -> u64 {
        self.locations.values().map(|entry| entry.broken).sum()
    }

    /// Every tenant that a location declares, the disabled ones included.
    pub fn tenants(&self) -> Vec<TenantRow> {
        let mut all = BTreeMap::new();
        for manifest in self.manifests() {
            for (id, tenant) in &manifest.tenants {
                all.entry(id.clone()).or_insert_with(|| declared(manifest, id, tenant));
            }
        }
        all.into_values().collect()
    }

    /// The tenant of this id; one that no location declares has history alone.
    pub fn tenant(&self, id: &TenantId) -> TenantRow {
        self.manifests()
            .find_map(|manifest| Some(declared(manifest, id, manifest.tenants.get(id)?)))
            .unwrap_or_else(|| undeclared(id.clone()))
    }

    /// The ids of every declared tenant.
    pub fn tenant_ids(&self) -> Vec<TenantId> {
        self.tenants().into_iter().map(|row| row.id).collect()
    }
}

/// A tenant that `manifest` declares.
fn declared(manifest: &Manifest, id: &TenantId, tenant: &TenantDef) -> TenantRow {
    let is_silent = |schedule: &&ScheduleDef| {
        schedule.cron == ScheduleCron::OfTenant
            && (schedule.tenants.is_empty() || schedule.tenants.contains(id))
    };
    let may_tick = tenant.enabled && tenant.schedule.is_none();
    let schedules = manifest.schedules.values().filter(|_| may_tick).filter(is_silent);
    let unscheduled = schedules.map(|schedule| schedule.name.clone()).collect();
    TenantRow { id: id.clone(), tenant: tenant.clone(), declared: true, unscheduled }
}

/// A tenant that no location declares.
pub(crate) fn undeclared(id: TenantId) -> TenantRow {
    let tenant = TenantDef { enabled: false, ..TenantDef::default() };
    TenantRow { id, tenant, declared: false, unscheduled: Vec::new() }
}

impl Control {
    /// The definitions that are live now.
    pub async fn catalog(&self) -> Result<Arc<Catalog>, StoreError> {
        let stored = self.store.locations().await?;
        let cached = self.catalogs.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let current = |location: &StoredLocation| {
            cached.locations.get(&location.name).is_some_and(|e| e.version == location.version)
        };
        if stored.len() == cached.locations.len() && stored.iter().all(current) {
            return Ok(cached);
        }
        let mut locations = BTreeMap::new();
        for location in &stored {
            let entry = match cached.locations.get(&location.name) {
                Some(entry) if entry.version == location.version => entry.clone(),
                _ => self.load(location).await?,
            };
            locations.insert(location.name.clone(), entry);
        }
        let catalog = Arc::new(Catalog::new(locations));
        *self.catalogs.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&catalog);
        Ok(catalog)
    }

    async fn load(&self, location: &StoredLocation) -> Result<Entry, StoreError> {
        let files = self.store.definition_files(&location.name).await?;
        let broken = files.iter().filter(|file| file.row.state.is_broken()).count();
        let contents = self.contents_of(files).await?;
        let mut files_of_jobs = BTreeMap::new();
        for (version, content) in &contents {
            for job in &content.jobs {
                files_of_jobs.entry(job.name.clone()).or_insert_with(|| version.clone());
            }
        }
        let files = contents.iter().map(|(version, content)| (version.clone(), content));
        let manifest = Manifest::merge(location.name.clone(), files);
        let schedules = Arc::new(LiveSchedules::of(&manifest));
        let sensors = Arc::new(LiveSensors::of(&manifest));
        Ok(Entry {
            version: location.version,
            manifest: Arc::new(manifest),
            schedules,
            sensors,
            files_of_jobs: Arc::new(files_of_jobs),
            broken: u64::try_from(broken).unwrap_or(u64::MAX),
        })
    }

    /// The live content of each file of a location, sorted by the files' names.
    pub async fn live_files(
        &self,
        location: &LocationName,
    ) -> Result<Vec<(FileVersion, FileManifest)>, StoreError> {
        self.contents_of(self.store.definition_files(location).await?).await
    }

    async fn contents_of(
        &self,
        files: Vec<StoredFile>,
    ) -> Result<Vec<(FileVersion, FileManifest)>, StoreError> {
        let live: Vec<(String, ContentHash)> = files
            .into_iter()
            .filter_map(|file| file.row.version.map(|version| (file.row.name, version)))
            .collect();
        let hashes: Vec<ContentHash> = live.iter().map(|(_, hash)| hash.clone()).collect();
        let contents = self.store.definition_contents(&hashes).await?;
        Ok(live
            .into_iter()
            .filter_map(|(name, hash)| {
                let content = contents.get(&hash).cloned()?;
                Some((FileVersion { name, hash }, content))
            })
            .collect())
    }

    /// The tenants called `ids`, or an error that names the first that is not declared.
    pub async fn known_tenant(&self, id: &TenantId) -> Result<(), ControlError> {
        let catalog = self.catalog().await?;
        if catalog.manifests().any(|manifest| manifest.tenants.contains_key(id)) {
            return Ok(());
        }
        Err(ControlError::TenantUnknown { tenant: id.to_string() })
    }
}
