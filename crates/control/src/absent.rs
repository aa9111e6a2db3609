//! Schedules and sensors that a tenant does not have, though something is known of them: who asks
//! for one hears why it does not tick there.

use millstream_model::{Manifest, TenantId, TickKind, TickSource, shell_word};
use millstream_store::StoreError;

use crate::schedule_standing::SCHEDULES_MAX;
use crate::sensor_standing::SENSORS_MAX;
use crate::{Control, ControlError};

impl Control {
    /// The error that says why the schedule or sensor called `name` does not tick in a tenant;
    /// nothing where nothing is known of it.
    pub(crate) async fn absent(
        &self,
        kind: TickKind,
        tenant: &TenantId,
        name: &str,
    ) -> Result<Option<ControlError>, ControlError> {
        let catalog = self.catalog().await?;
        let is_unscheduled = kind == TickKind::Schedule
            && catalog.tenant(tenant).unscheduled.iter().any(|it| it.as_str() == name);
        let why = if is_unscheduled {
            Some(UNSCHEDULED.to_owned())
        } else {
            let mut manifests: Vec<&Manifest> = match kind {
                TickKind::Schedule => catalog.schedules().map(|(it, _, _)| &**it).collect(),
                TickKind::Sensor => catalog.sensors().map(|(it, _, _)| &**it).collect(),
            };
            let defines = |it: &&Manifest| tenants_of(it, kind, name).is_some();
            let is_defined = manifests.iter().any(defines);
            manifests.retain(|it| it.tenants.contains_key(tenant));
            let is_gone = manifests.is_empty() && is_defined;
            let left_out = manifests.into_iter().find_map(|it| left_out(it, kind, tenant, name));
            match left_out {
                Some(why) => Some(why),
                None if is_gone => Some("the tenant is in no definition file".to_owned()),
                None => self.remembered(kind, tenant, name).await?.map(|_| {
                    let word = shell_word(name);
                    format!(
                        "it is in no definition file any more; `millstream {kind} ticks {word}` \
                         shows what it did"
                    )
                }),
            }
        };
        let (tenant, name) = (tenant.clone(), name.to_owned());
        Ok(why.map(|why| ControlError::Absent { tenant, kind, name, why }))
    }

    /// What the store remembers as the schedule or sensor called `name`, in whatever location.
    pub(crate) async fn remembered(
        &self,
        kind: TickKind,
        tenant: &TenantId,
        name: &str,
    ) -> Result<Option<TickSource>, StoreError> {
        let most = match kind {
            TickKind::Schedule => SCHEDULES_MAX,
            TickKind::Sensor => SENSORS_MAX,
        };
        let stored = self.store.sources_of_tenant(kind, tenant, most).await?;
        Ok(stored.into_keys().find(|source| source.name == name))
    }
}

/// Why a schedule does not tick in a tenant that has no `schedule`.
pub(crate) const UNSCHEDULED: &str =
    "its `cron` is `{{ tenant.schedule }}`, and the tenant has no `schedule`";

/// Why a schedule or sensor of `manifest` does not tick in a tenant, if there is one of that name.
fn left_out(manifest: &Manifest, kind: TickKind, tenant: &TenantId, name: &str) -> Option<String> {
    let tenants = tenants_of(manifest, kind, name)?;
    if !tenants.is_empty() && !tenants.contains(tenant) {
        let listed: Vec<&str> = tenants.iter().map(TenantId::as_str).collect();
        return Some(format!("its `tenants` are {}", listed.join(", ")));
    }
    let is_off = manifest.tenants.get(tenant).is_some_and(|tenant| !tenant.enabled);
    is_off.then(|| format!("the file of tenant {tenant} has it off (`enabled: false`)"))
}

/// The tenants that the schedule or sensor of this name is for, if there is one; all when empty.
fn tenants_of<'m>(manifest: &'m Manifest, kind: TickKind, name: &str) -> Option<&'m [TenantId]> {
    Some(match kind {
        TickKind::Schedule => {
            &manifest.schedules.values().find(|def| def.name.as_str() == name)?.tenants
        }
        TickKind::Sensor => {
            &manifest.sensors.values().find(|def| def.name.as_str() == name)?.tenants
        }
    })
}
