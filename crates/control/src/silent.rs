//! Schedules and sensors that do not tick in a tenant, because what the definitions say of the
//! tenant lacks what their templates name.
//!
//! The definitions page lists them, and who asks for one of them hears why.

use millstream_model::{Manifest, Switch, TenantId, TickKind};

use crate::absent::UNSCHEDULED;
use crate::{Control, ControlError};

/// The most that are listed.
const SILENT_MAX: usize = 100;

/// A schedule or a sensor that does not tick in a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silent {
    /// Whether it is a schedule or a sensor.
    pub kind: TickKind,
    /// Its name.
    pub name: String,
    /// Why, in words.
    pub why: String,
}

impl Control {
    /// The schedules and sensors that do not tick in a tenant for want of something that their
    /// templates name; at most 100.
    pub async fn silent(&self, tenant: &TenantId) -> Result<Vec<Silent>, ControlError> {
        let catalog = self.catalog().await?;
        let mut found = Vec::new();
        for name in catalog.tenant(tenant).unscheduled {
            let (kind, why) = (TickKind::Schedule, UNSCHEDULED.to_owned());
            found.push(Silent { kind, name: name.to_string(), why });
        }
        let mut add = |kind, name: &str, manifest: &Manifest, switch: &Switch| {
            if let Some(why) = self.unclear(manifest, tenant, switch) {
                let why = format!("its `enabled` counts as off: {why}");
                found.push(Silent { kind, name: name.to_owned(), why });
            }
        };
        for (manifest, _, live) in catalog.schedules() {
            for it in live.iter().filter(|it| it.tenant == *tenant) {
                add(TickKind::Schedule, it.def.name.as_str(), manifest, &it.def.enabled);
            }
        }
        for (manifest, _, live) in catalog.sensors() {
            for it in live.iter().filter(|it| it.tenant == *tenant) {
                add(TickKind::Sensor, it.def.name.as_str(), manifest, &it.def.enabled);
            }
        }
        found.truncate(SILENT_MAX);
        Ok(found)
    }

    /// Why it is not known whether a file has something on for `tenant`, in words; nothing where it
    /// is known.
    pub(crate) fn unclear(
        &self,
        manifest: &Manifest,
        tenant: &TenantId,
        switch: &Switch,
    ) -> Option<String> {
        self.default_on(manifest, tenant, switch).err().map(|error| error.to_string())
    }
}
