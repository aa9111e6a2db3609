//! Keys of tenants that take no part, which a wish for every partition leaves out.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::{Manifest, PartitionsName, TenantId};
use millstream_plan::named_tenant;
use millstream_plan::selection::select;
use serde::Serialize;

use crate::launch::{REQUESTS_MAX, partitions_of};
use crate::{Control, ControlError};

/// Keys that a wish for every partition leaves out, because their tenant takes no part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The tenant.
    pub tenant: TenantId,
    /// How many keys of it there are.
    pub keys: usize,
    /// Why, in words.
    pub text: String,
}

impl Control {
    /// What a wish of `tenant` for every partition of a selection leaves out.
    pub async fn left_out(
        &self,
        tenant: &TenantId,
        selection: &str,
    ) -> Result<Vec<LeftOut>, ControlError> {
        let catalog = self.catalog().await?;
        let Some(manifest) = catalog.for_selection(tenant, selection) else {
            return Ok(Vec::new());
        };
        let assets = select(manifest, selection).unwrap_or_default();
        let mut counts: BTreeMap<TenantId, usize> = BTreeMap::new();
        for name in partitions_of(manifest, &assets) {
            for idle in self.idle_tenants(manifest, name) {
                let of = (&idle, name);
                let keys = self.some_partition_keys(&catalog, of, REQUESTS_MAX).await?;
                let count = counts.entry(idle.clone()).or_default();
                *count = keys.len().max(*count);
            }
        }
        let of = |(tenant, keys): (TenantId, usize)| LeftOut {
            text: words(manifest, &tenant, keys),
            tenant,
            keys,
        };
        Ok(counts.into_iter().filter(|(_, keys)| *keys > 0).map(of).collect())
    }

    /// The tenants that take no part: those that are disabled, and those that only keys of
    /// `name` name.
    fn idle_tenants(&self, manifest: &Manifest, name: &PartitionsName) -> BTreeSet<TenantId> {
        let Some(def) = manifest.partitions.get(name) else { return BTreeSet::new() };
        if def.tenant_dimension().is_none() {
            return BTreeSet::new();
        }
        let keys = def.keys(self.now(), None, usize::MAX);
        let named = keys.iter().filter_map(|key| named_tenant(manifest, name, key).ok().flatten());
        let declared = manifest.tenants.keys().cloned();
        let takes_part = |id: &TenantId| manifest.tenants.get(id).is_some_and(|it| it.enabled);
        named.chain(declared).filter(|id| !takes_part(id)).collect()
    }
}

fn words(manifest: &Manifest, tenant: &TenantId, keys: usize) -> String {
    let left = if keys == 1 { "1 key".to_owned() } else { format!("{keys} keys") };
    let are = if keys == 1 { "is" } else { "are" };
    let why = if manifest.tenants.contains_key(tenant) { "disabled" } else { "not declared" };
    format!("{left} of tenant {tenant} {are} left out: the tenant is {why}")
}
