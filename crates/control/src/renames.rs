//! The new names of schedules and sensors that are asked for by their old ones.
//!
//! Whoever looks for one by its name asks here when there is none. What the definitions do not say
//! any more is not known.

use millstream_model::{ScheduleName, SensorName, TenantId, TickKind};

use crate::{Control, ControlError};

impl Control {
    /// The error that gives the new name of what `name` was called in a tenant, if something was.
    pub(crate) async fn renamed(
        &self,
        kind: TickKind,
        tenant: &TenantId,
        name: &str,
    ) -> Result<Option<ControlError>, ControlError> {
        let catalog = self.catalog().await?;
        let now = match kind {
            TickKind::Schedule => {
                let live = catalog.schedules().flat_map(|(_, _, live)| live.iter());
                let mut names = live.filter(|it| it.tenant == *tenant).map(|it| {
                    (it.def.renamed_from.as_ref().map(ScheduleName::as_str), it.def.name.as_str())
                });
                names.find(|(before, _)| *before == Some(name)).map(|(_, now)| now.to_owned())
            }
            TickKind::Sensor => {
                let live = catalog.sensors().flat_map(|(_, _, live)| live.iter());
                let mut names = live.filter(|it| it.tenant == *tenant).map(|it| {
                    (it.def.renamed_from.as_ref().map(SensorName::as_str), it.def.name.as_str())
                });
                names.find(|(before, _)| *before == Some(name)).map(|(_, now)| now.to_owned())
            }
        };
        Ok(now.map(|now| ControlError::Renamed {
            tenant: tenant.clone(),
            kind,
            before: name.to_owned(),
            now,
        }))
    }
}
