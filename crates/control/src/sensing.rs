//! The sensors that a change of definitions has begin or stop in some tenants.
//!
//! Pure: [`crate::changes_between`] asks it. A sensor that comes or goes itself is a change of its
//! own, and not told of here; what a template under `enabled` comes to is not known.

use std::collections::BTreeSet;

use millstream_model::{Manifest, SensorDef, Switch, TenantId};
use millstream_plan::changes::{ChangeKind, Sensing, renamed_sensors};

use crate::taking_part::{Tenants, Ticks, apart};

/// The sensors of both that tick in other tenants than before. One that is renamed is the same.
pub(crate) fn sensing(old: &Manifest, new: &Manifest) -> Vec<Sensing> {
    let (tenants, names) = (Tenants::of(old, new), renamed_sensors(old, new));
    let taking_part = |manifest: &Manifest, sensor: &SensorDef| -> BTreeSet<TenantId> {
        if sensor.enabled == Switch::Fixed(false) {
            return BTreeSet::new();
        }
        tenants.taking_part(manifest, &sensor.tenants)
    };
    let mut found = Vec::new();
    for sensor in new.sensors.values() {
        let name = names.get(&sensor.name).copied().unwrap_or(&sensor.name);
        let Some(before) = old.sensors.get(name) else { continue };
        let (before, after) = (taking_part(old, before), taking_part(new, sensor));
        for (name, ticks) in apart(&format!("sensor {}", sensor.name), &before, &after) {
            let change = match ticks {
                Ticks::Before => ChangeKind::Removed,
                Ticks::After => ChangeKind::Added,
                Ticks::Both => continue,
            };
            found.push(Sensing { name, change });
        }
    }
    found
}
