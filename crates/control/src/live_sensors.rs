//! Sensors as the definitions have them: what is asked in which tenant, and what is wrong with one.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_decide::renamed::stored_as;
use millstream_decide::sensor::version;
use millstream_model::{
    ContentHash, ErrorCode, LocationName, Manifest, PartitionsDef, SensorDef, SensorName,
    SensorQuestion, TenantId, TickKind, TickSource,
};
use millstream_plan::PlanError;
use millstream_plan::selection::{select, selection_help};

use crate::live_schedules::division;
use crate::{Control, DefinitionProblem};

/// A sensor in one tenant.
#[derive(Debug, Clone)]
pub(crate) struct LiveSensor {
    pub(crate) tenant: TenantId,
    pub(crate) def: Arc<SensorDef>,
    pub(crate) version: ContentHash,
}

/// The sensors of a location, by tenant and name.
#[derive(Debug, Default)]
pub(crate) struct LiveSensors(pub(crate) BTreeMap<(TenantId, String), LiveSensor>);

impl LiveSensors {
    /// The sensors of `manifest` in every tenant that takes part.
    pub(crate) fn of(manifest: &Manifest) -> Self {
        let mut all = BTreeMap::new();
        for def in manifest.sensors.values() {
            let (def, version) = (Arc::new(def.clone()), version(def));
            for (id, _) in manifest.enabled_tenants() {
                if !def.tenants.is_empty() && !def.tenants.contains(id) {
                    continue;
                }
                let (def, version) = (Arc::clone(&def), version.clone());
                let live = LiveSensor { tenant: id.clone(), def, version };
                all.insert((id.clone(), live.def.name.to_string()), live);
            }
        }
        Self(all)
    }

    /// The sensor of this name in a tenant.
    pub(crate) fn get(&self, tenant: &TenantId, name: &str) -> Option<&LiveSensor> {
        self.0.get(&(tenant.clone(), name.to_owned()))
    }

    /// The sensor that was called so in a tenant, by its definition.
    pub(crate) fn renamed(&self, tenant: &TenantId, before: &str) -> Option<&LiveSensor> {
        let mut of_tenant = self.iter().filter(|it| it.tenant == *tenant);
        of_tenant.find(|it| it.def.renamed_from.as_ref().is_some_and(|it| it.as_str() == before))
    }

    /// The name under which the store has what `sensor` has done.
    pub(crate) fn stored_as<'a>(
        &self,
        sensor: &'a LiveSensor,
        is_stored: impl Fn(&str) -> bool,
    ) -> &'a str {
        let before = sensor.def.renamed_from.as_ref().map(SensorName::as_str);
        let names = (sensor.def.name.as_str(), before);
        stored_as(names, is_stored, |name| self.get(&sensor.tenant, name).is_some())
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &LiveSensor> {
        self.0.values()
    }
}

impl Control {
    /// What is wrong with a sensor among all the definitions of its location; it is asked when
    /// definitions are loaded.
    pub fn sensor_problem(manifest: &Manifest, def: &SensorDef) -> Option<DefinitionProblem> {
        let name = &def.name;
        let told = |key, error: &PlanError| {
            let (code, message) = (error.code(), format!("sensor {name}: {error}"));
            let help = selection_help(manifest, error);
            Some(DefinitionProblem { key, code, message, help })
        };
        match &def.question {
            SensorQuestion::Asset { select: text } => match select(manifest, text) {
                Err(error) => return told("select", &error),
                Ok(assets) if assets.is_empty() => {
                    let error = PlanError::SelectionEmpty { selection: text.clone() };
                    return told("select", &error);
                }
                Ok(_) => {}
            },
            SensorQuestion::PartitionSync(sync) => {
                let known = manifest.partitions.get(&sync.partitions);
                if known.is_some_and(|def| !matches!(def, PartitionsDef::Dynamic(_))) {
                    return Some(DefinitionProblem {
                        key: "partitions",
                        code: ErrorCode::PartitionUnknown,
                        message: format!("the partitions `{}` are not dynamic", sync.partitions),
                        help: Some("only keys of dynamic partitions come and go".to_owned()),
                    });
                }
            }
            _ => {}
        }
        let target = def.request.target.as_ref()?;
        let by = match division(manifest, target) {
            Ok(division) => division?,
            Err(error) => return told("request", &error),
        };
        if def.question.names_partitions() || def.request.partition.is_some() {
            return None;
        }
        Some(DefinitionProblem {
            key: "request",
            code: ErrorCode::PartitionNeeded,
            message: format!(
                "`{target}` is partitioned by `{by}`, and what sensor `{name}` finds names none"
            ),
            help: Some(
                "say it in its request: `partition:` with a template over what the sensor finds"
                    .to_owned(),
            ),
        })
    }
}

/// What ticks in the store where `sensor` does in the definitions.
pub(crate) fn source_of(location: &LocationName, sensor: &LiveSensor) -> TickSource {
    tick_source(location, sensor.def.name.as_str())
}

/// The sensor called `name` in the store.
pub(crate) fn tick_source(location: &LocationName, name: &str) -> TickSource {
    TickSource { kind: TickKind::Sensor, location: location.clone(), name: name.to_owned() }
}
