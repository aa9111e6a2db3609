//! Partition keys: which exist, and adding and removing dynamic ones.

use std::collections::BTreeSet;

use millstream_model::{
    JobName, JobShape, Manifest, PartitionKey, PartitionsDef, PartitionsName, TenantId, Timestamp,
    did_you_mean,
};
use millstream_plan::selection::select;
use millstream_plan::{PlanError, is_key_of, parts_of, tenant_of};
use millstream_store::{Batch, partitions};

use crate::catalog::Catalog;
use crate::launch::partitions_of;
use crate::{Control, ControlError};

/// Keys that one request may add or remove.
const KEYS_MAX: usize = 10_000;

/// Keys of which is said why they were not removed.
const TOLD_MAX: usize = 20;

/// What a partition's key is asked for.
#[derive(Debug, Clone, Copy)]
pub enum KeyFor<'a> {
    /// The keys of this definition.
    Partitions(&'a PartitionsName),
    /// The assets of a selection.
    Selection(&'a str),
    /// A job.
    Job(&'a JobName),
    /// Anything.
    Any,
}

impl KeyFor<'_> {
    /// The definitions of `manifest` that the key may be of.
    fn definitions<'m>(
        &self,
        manifest: &'m Manifest,
    ) -> Vec<(&'m PartitionsName, &'m PartitionsDef)> {
        let of_assets = |selection: &str| {
            let assets = select(manifest, selection).unwrap_or_default();
            partitions_of(manifest, &assets)
        };
        let names: BTreeSet<&PartitionsName> = match self {
            Self::Partitions(name) => manifest.partitions.keys().filter(|it| it == name).collect(),
            Self::Selection(selection) => of_assets(selection),
            Self::Job(name) => match manifest.jobs.get(*name).map(|job| &job.shape) {
                Some(JobShape::Select(selection)) => of_assets(selection),
                // Its ops take whichever key.
                Some(JobShape::Ops(_)) => manifest.partitions.keys().collect(),
                None => BTreeSet::new(),
            },
            Self::Any => manifest.partitions.keys().collect(),
        };
        names.into_iter().filter_map(|name| manifest.partitions.get_key_value(name)).collect()
    }
}

/// What is done to each key.
type Change = fn(&mut Batch, &TenantId, &PartitionsName, &PartitionKey, Timestamp);

impl Control {
    /// Adds keys; those that are there stay. Returns the keys that are new.
    ///
    /// A key whose definition names a tenant must name `tenant`: the caller's right was checked
    /// there and nowhere else.
    pub async fn add_partitions(
        &self,
        tenant: &TenantId,
        name: &PartitionsName,
        keys: &[PartitionKey],
    ) -> Result<Vec<PartitionKey>, ControlError> {
        self.change_partitions(tenant, name, keys, partitions::add).await
    }

    /// Removes keys; their history stays. Returns the keys that were there.
    pub async fn remove_partitions(
        &self,
        tenant: &TenantId,
        name: &PartitionsName,
        keys: &[PartitionKey],
    ) -> Result<Vec<PartitionKey>, ControlError> {
        self.change_partitions(tenant, name, keys, partitions::remove).await
    }

    /// Why each of `keys`, of which none can be removed, is there still or never was, in words.
    pub async fn why_not_removed(
        &self,
        tenant: &TenantId,
        name: &PartitionsName,
        keys: &[PartitionKey],
    ) -> Result<Vec<String>, ControlError> {
        let catalog = self.catalog().await?;
        let Some(manifest) = catalog.for_partitions(name) else { return Ok(Vec::new()) };
        let Some(def) = manifest.partitions.get(name) else { return Ok(Vec::new()) };
        let files = self.live_files(&manifest.location).await?;
        let file = files.iter().find(|(_, file)| file.partitions.contains_key(name));
        let file = file.map_or("its file", |(version, _)| version.name.as_str());
        let mut words = Vec::with_capacity(keys.len());
        for key in keys.iter().take(TOLD_MAX) {
            if def.declared_keys().contains(key) {
                words.push(format!("`{key}` stands in {file}, under the `keys` of `{name}`"));
                continue;
            }
            let choice = self.choice(manifest, tenant, Some(key)).await?;
            let added = choice.map(|choice| choice.near).unwrap_or_default();
            let ours = |key: &PartitionKey| is_key_of(manifest, (tenant, name), key);
            let near = def.near(key, self.now(), (&added, &ours));
            let (key, partitions) = (key.clone(), name.clone());
            let unknown = PlanError::PartitionUnknown { key, partitions, near, ends: None };
            words.push(unknown.to_string());
        }
        Ok(words)
    }

    /// The tenant that `key` names in the definitions of what it is for; `None` where none of them
    /// has tenants in its keys.
    ///
    /// A tenant that the caller does not see is refused like one that does not exist.
    pub async fn owner_of_partition(
        &self,
        key: &PartitionKey,
        asked: KeyFor<'_>,
        sees: impl Fn(&TenantId) -> bool,
    ) -> Result<Option<TenantId>, ControlError> {
        let catalog = self.catalog().await?;
        let names_none = catalog.manifests().all(|it| asked.definitions(it).is_empty());
        // Who asks for what is not there hears that in the tenant that the key names.
        let asked = match asked {
            KeyFor::Selection(_) | KeyFor::Job(_) if names_none => KeyFor::Any,
            asked => asked,
        };
        let mut refusal = None;
        let mut is_of_all = false;
        for manifest in catalog.manifests() {
            for (name, def) in asked.definitions(manifest) {
                match tenant_of(manifest, name, key) {
                    Ok(Some(tenant)) if sees(&tenant) => return Ok(Some(tenant)),
                    Err(PlanError::TenantDisabled { tenant }) if sees(&tenant) => {
                        refusal = Some(PlanError::TenantDisabled { tenant }.into());
                    }
                    Ok(Some(tenant)) | Err(PlanError::TenantDisabled { tenant }) => {
                        refusal = Some(ControlError::TenantUnknown { tenant: tenant.to_string() });
                    }
                    Err(PlanError::TenantUnknown { tenant }) => {
                        refusal = Some(ControlError::TenantUnknown { tenant });
                    }
                    // Another definition may find a tenant in it.
                    Ok(None) if def.parse_key(key).is_ok() => is_of_all = true,
                    Err(error) if matches!(asked, KeyFor::Partitions(_)) => {
                        refusal = Some(error.into());
                    }
                    Ok(None) | Err(_) => {}
                }
            }
        }
        refusal.filter(|_| !is_of_all).map_or(Ok(None), Err)
    }

    async fn change_partitions(
        &self,
        tenant: &TenantId,
        name: &PartitionsName,
        keys: &[PartitionKey],
        change: Change,
    ) -> Result<Vec<PartitionKey>, ControlError> {
        self.check_keys(tenant, name, keys).await?;
        let now = self.now();
        let mut batch = Batch::for_tenant(tenant);
        for key in keys {
            change(&mut batch, tenant, name, key, now);
        }
        let mut applied = self.store.apply(batch).await?;
        let rows = (0..keys.len()).flat_map(|index| applied.rows(index));
        rows.map(|mut row| Ok(row.parse()?)).collect()
    }

    /// Whether each key has the form of its definition and is the tenant's.
    async fn check_keys(
        &self,
        tenant: &TenantId,
        name: &PartitionsName,
        keys: &[PartitionKey],
    ) -> Result<(), ControlError> {
        if keys.len() > KEYS_MAX {
            let (count, what, limit) = (keys.len(), "partition keys", KEYS_MAX);
            return Err(ControlError::TooMany { count, what, limit });
        }
        let catalog = self.catalog().await?;
        let unknown = || {
            let dynamic = catalog
                .manifests()
                .flat_map(|manifest| &manifest.partitions)
                .filter(|(_, def)| matches!(def, PartitionsDef::Dynamic(_)));
            let known: Vec<PartitionsName> = dynamic.map(|(name, _)| name.clone()).collect();
            let near = did_you_mean(name.as_str(), known.iter().map(PartitionsName::as_str));
            ControlError::PartitionsUnknown { name: name.clone(), near, known }
        };
        let manifest = catalog.for_partitions(name).ok_or_else(unknown)?;
        let def = manifest.partitions.get(name).ok_or_else(unknown)?;
        if !matches!(def, PartitionsDef::Dynamic(_)) {
            return Err(unknown());
        }
        for key in keys {
            parts_of((name, def), key, self.now())?;
            let owner = tenant_of(manifest, name, key)?;
            if let Some(owner) = owner.filter(|owner| owner != tenant) {
                let (key, tenant) = (key.clone(), tenant.clone());
                return Err(PlanError::PartitionOfOther { key, owner, tenant }.into());
            }
        }
        Ok(())
    }

    /// The keys of a partitions definition for a tenant, those of the definition first: at most
    /// `limit` after `after` of those that contain `text`.
    pub async fn partition_keys(
        &self,
        tenant: &TenantId,
        name: &PartitionsName,
        (after, text): (&str, &str),
        limit: usize,
    ) -> Result<Vec<PartitionKey>, ControlError> {
        let catalog = self.catalog().await?;
        // Keys are not declared in the order of their text, so that each page looks at all.
        self.keys_in(&catalog, (tenant, name), ((after, text), usize::MAX), limit).await
    }

    /// The keys of a definition in `catalog` for a tenant, those of the definition first: at most
    /// `limit`, which are any where there are more.
    pub(crate) async fn some_partition_keys(
        &self,
        catalog: &Catalog,
        (tenant, name): (&TenantId, &PartitionsName),
        limit: usize,
    ) -> Result<Vec<PartitionKey>, ControlError> {
        let is_shared = |def: &PartitionsDef| def.tenant_dimension().is_none();
        let def = catalog.for_partitions(name).and_then(|manifest| manifest.partitions.get(name));
        // Where keys name tenants, those of this one may be the last.
        let looked_at = if def.is_some_and(is_shared) { limit } else { usize::MAX };
        self.keys_in(catalog, (tenant, name), (("", ""), looked_at), limit).await
    }

    async fn keys_in(
        &self,
        catalog: &Catalog,
        (tenant, name): (&TenantId, &PartitionsName),
        ((after, text), looked_at): ((&str, &str), usize),
        limit: usize,
    ) -> Result<Vec<PartitionKey>, ControlError> {
        let Some(manifest) = catalog.for_partitions(name) else { return Ok(Vec::new()) };
        let Some(def) = manifest.partitions.get(name) else { return Ok(Vec::new()) };
        let cap = u32::try_from(limit).unwrap_or(u32::MAX);
        let stored = self.store.dynamic_partitions(tenant, name, (after, text), cap).await?;
        let mut keys: std::collections::BTreeSet<PartitionKey> = stored.into_iter().collect();
        for key in def.keys(self.now(), None, looked_at) {
            let ours = is_key_of(manifest, (tenant, name), &key);
            if ours && key.as_str() > after && key.as_str().contains(text) {
                keys.insert(key);
            }
        }
        Ok(keys.into_iter().take(limit).collect())
    }
}
