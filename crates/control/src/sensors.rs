//! Sensors as people see them: lists, switches, cursors; and where each stands by its definition.
//!
//! A daemon takes the definitions over into the store ([`Control::adopt_sensors`]); whoever shows a
//! sensor reads both. What a tick does is [`crate::sensor_ticks`]'s.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_decide::sensor::{forgets, version};
use millstream_model::view::{SensorLag, SensorRow, SensorStand};
use millstream_model::{
    ContentHash, ErrorCode, LocationName, Manifest, PartitionsDef, ScheduleTarget, SensorDef,
    SensorQuestion, TenantId, TickKind, TickRow, TickSource, Timestamp,
};
use millstream_plan::PlanError;
use millstream_plan::selection::select;
use millstream_store::sensors::{self, AdoptedSensor};
use millstream_store::sources::{self, SourceWord, StoredSource};
use millstream_store::{Batch, StoreError};

use crate::catalog::Catalog;
use crate::live_schedules::division;
use crate::sensor_events::{LAG_SHOWN, kinds_of, place_of};
use crate::switches::{Switched, did_you_mean};
use crate::{Control, ControlError};

/// Sensors of one location, over all tenants.
const SENSORS_MAX: u32 = 100_000;

/// Sensors that are stored in one batch.
const ADOPTED_AT_ONCE: usize = 1_000;

/// How often a change is tried while the sensor ticks.
const TRIES: u32 = 5;

/// A sensor in one tenant.
#[derive(Debug, Clone)]
pub(crate) struct LiveSensor {
    pub(crate) tenant: TenantId,
    pub(crate) def: Arc<SensorDef>,
    pub(crate) version: ContentHash,
}

/// The sensors of a location, by tenant and name.
#[derive(Debug, Default)]
pub(crate) struct LiveSensors(BTreeMap<(TenantId, String), LiveSensor>);

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

    fn iter(&self) -> impl Iterator<Item = &LiveSensor> {
        self.0.values()
    }
}

/// What is wrong with a sensor, and with which of its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SensorProblem {
    /// The key that it is about.
    pub key: &'static str,
    /// The stable code.
    pub code: ErrorCode,
    /// What is wrong.
    pub message: String,
    /// The way out.
    pub help: Option<String>,
}

impl Control {
    /// What is wrong with a sensor among all the definitions of its location; it is asked when
    /// definitions are loaded.
    pub fn sensor_problem(manifest: &Manifest, def: &SensorDef) -> Option<SensorProblem> {
        let name = &def.name;
        let told = |key, error: &PlanError| {
            let (code, message) = (error.code(), format!("sensor {name}: {error}"));
            Some(SensorProblem { key, code, message, help: None })
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
                    return Some(SensorProblem {
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
        division(manifest, target).err().and_then(|error| told("request", &error))
    }

    /// Takes the sensors of `catalog` over into the store where they are new, edited, switched by a
    /// variable, renamed or gone. A daemon that knows older definitions changes nothing.
    pub(crate) async fn adopt_sensors(
        &self,
        catalog: &Catalog,
        adopted: &mut BTreeMap<LocationName, i64>,
    ) -> Result<(), StoreError> {
        for (manifest, version, live) in catalog.sensors() {
            let location = &manifest.location;
            if adopted.get(location) == Some(&version) {
                continue;
            }
            let mut known = self.stored_sensors(location).await?;
            if self.rename_sensors(live, &known).await? {
                known = self.stored_sensors(location).await?;
            }
            let mut changed = self.changed_sensors((manifest, version), live, &known);
            changed.extend(gone_sensors(version, live, known));
            changed.sort_by(|a, b| a.stored.tenant.cmp(&b.stored.tenant));
            for of_tenant in changed.chunk_by(|a, b| a.stored.tenant == b.stored.tenant) {
                for chunk in of_tenant.chunks(ADOPTED_AT_ONCE) {
                    let Some(first) = chunk.first() else { continue };
                    let mut batch = Batch::for_tenant(&first.stored.tenant);
                    sensors::adopt(&mut batch, chunk);
                    self.store.apply(batch).await?;
                }
            }
            adopted.insert(location.clone(), version);
        }
        Ok(())
    }

    async fn stored_sensors(
        &self,
        location: &LocationName,
    ) -> Result<BTreeMap<(TenantId, String), StoredSource>, StoreError> {
        let stored = self.store.sources_of_location(TickKind::Sensor, location, SENSORS_MAX);
        let by_name =
            stored.await?.into_iter().map(|it| ((it.tenant.clone(), it.source.name.clone()), it));
        Ok(by_name.collect())
    }

    /// Gives what is stored the new names; whether anything had an old one.
    async fn rename_sensors(
        &self,
        live: &LiveSensors,
        known: &BTreeMap<(TenantId, String), StoredSource>,
    ) -> Result<bool, StoreError> {
        let mut renamed = false;
        for sensor in live.iter() {
            let Some(old) = &sensor.def.renamed_from else { continue };
            let key = |name: &str| (sensor.tenant.clone(), name.to_owned());
            let name = sensor.def.name.as_str();
            let is_taken =
                known.contains_key(&key(name)) || live.0.contains_key(&key(old.as_str()));
            if let (Some(stored), false) = (known.get(&key(old.as_str())), is_taken) {
                let batch = sources::rename(&sensor.tenant, &stored.source, name);
                match self.store.apply(batch).await {
                    Ok(_) => renamed = true,
                    Err(error) if error.is_conflict() => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(renamed)
    }

    fn changed_sensors(
        &self,
        (manifest, version): (&Manifest, i64),
        live: &LiveSensors,
        known: &BTreeMap<(TenantId, String), StoredSource>,
    ) -> Vec<AdoptedSensor> {
        let now = self.now();
        let mut changed = Vec::new();
        for sensor in live.iter() {
            let name = sensor.def.name.to_string();
            let stored = known.get(&(sensor.tenant.clone(), name.clone()));
            let default_on = self
                .default_on(manifest, &sensor.tenant, &sensor.def.enabled)
                .unwrap_or_else(|error| {
                    tracing::warn!(sensor = name, %error, "it is taken as off");
                    false
                });
            let override_on = stored.and_then(|stored| stored.override_on);
            let is_on = override_on.unwrap_or(default_on);
            let was_on = stored.is_some_and(|stored| stored.next_due.is_some());
            let is_edited = stored.is_none_or(|stored| stored.timing != sensor.version);
            let is_switched = stored.is_some_and(|stored| stored.default_on != default_on);
            if !is_edited && !is_switched && was_on == is_on {
                continue;
            }
            let source = source_of(&manifest.location, sensor);
            changed.push(AdoptedSensor {
                forgets: stored.is_some_and(|stored| forgets(&stored.timing, &sensor.version)),
                stored: StoredSource {
                    tenant: sensor.tenant.clone(),
                    source,
                    version,
                    timing: sensor.version.clone(),
                    cursor: stored.map_or(now, |stored| stored.cursor),
                    next_due: is_on.then(|| due_at(sensor, stored, now)),
                    default_on,
                    override_on,
                },
            });
        }
        changed
    }

    /// The sensors of a tenant, by location and name.
    pub async fn sensor_rows(&self, tenant: &TenantId) -> Result<Vec<SensorRow>, ControlError> {
        let catalog = self.catalog().await?;
        let kind = TickKind::Sensor;
        let mut stored = self.store.sources_of_tenant(kind, tenant, SENSORS_MAX).await?;
        let mut last = self.store.last_ticks(tenant, kind, SENSORS_MAX).await?;
        let mut rows = Vec::new();
        for (manifest, _, live) in catalog.sensors() {
            for sensor in live.iter().filter(|sensor| sensor.tenant == *tenant) {
                let source = source_of(&manifest.location, sensor);
                let stored = stored.remove(&source);
                rows.push(self.sensor_row(manifest, sensor, stored, last.remove(&source)));
            }
        }
        Ok(rows)
    }

    fn sensor_row(
        &self,
        manifest: &Manifest,
        sensor: &LiveSensor,
        stored: Option<(StoredSource, Option<SourceWord>)>,
        last_tick: Option<TickRow>,
    ) -> SensorRow {
        let def = &sensor.def;
        let (stored, word) = stored.unzip();
        let by_file = || self.default_on(manifest, &sensor.tenant, &def.enabled);
        let Switched { enabled, enabled_default, enabled_override } =
            Switched::of(stored.as_ref(), word.flatten(), by_file);
        SensorRow {
            tenant: sensor.tenant.clone(),
            location: manifest.location.clone(),
            name: def.name.clone(),
            description: def.description.clone(),
            kind: def.question.kind().to_owned(),
            asks: def.question.to_string(),
            every: def.every,
            timeout: def.timeout,
            target: def.request.target.as_ref().map(ScheduleTarget::to_string),
            enabled,
            enabled_default,
            enabled_override,
            next_at: stored.and_then(|stored| stored.next_due),
            last_tick,
        }
    }

    /// The sensor of a tenant that is called `name`, or an error that names the nearest one.
    pub async fn sensor_view(
        &self,
        tenant: &TenantId,
        name: &str,
    ) -> Result<SensorRow, ControlError> {
        let rows = self.sensor_rows(tenant).await?;
        let near = did_you_mean(name, rows.iter().map(|row| row.name.as_str()));
        rows.into_iter().find(|row| row.name.as_str() == name).ok_or_else(|| {
            let (tenant, sensor) = (tenant.clone(), name.to_owned());
            ControlError::SensorUnknown { tenant, sensor, near }
        })
    }

    /// What a sensor remembers, and how far it is behind.
    pub async fn sensor_stand(
        &self,
        tenant: &TenantId,
        name: &str,
    ) -> Result<SensorStand, ControlError> {
        let row = self.sensor_view(tenant, name).await?;
        let catalog = self.catalog().await?;
        let live = catalog.sensors_of(&row.location).and_then(|(_, live)| live.get(tenant, name));
        let source = tick_source(&row.location, name);
        let memory = self.store.sensor_memory(tenant, &source).await?;
        let cursor = memory.and_then(|memory| memory.cursor);
        let kinds = live.map(|live| kinds_of(&live.def.question)).unwrap_or_default();
        let lag = match cursor.as_deref().and_then(place_of) {
            Some(after) if !kinds.is_empty() => {
                let upto = self.store.last_position().await?;
                let counted = self.store.count_news(tenant, (after, upto), &kinds, LAG_SHOWN);
                let (events, since) = counted.await?;
                Some(SensorLag { events, since })
            }
            _ => None,
        };
        Ok(SensorStand { cursor, lag })
    }

    /// The newest ticks of a sensor before `before`.
    pub async fn sensor_ticks(
        &self,
        tenant: &TenantId,
        name: &str,
        before: Option<Timestamp>,
        limit: u32,
    ) -> Result<Vec<TickRow>, ControlError> {
        let row = self.sensor_view(tenant, name).await?;
        let source = tick_source(&row.location, name);
        Ok(self.store.ticks(tenant, &source, before, limit).await?)
    }

    /// Asks a daemon what a tick of a sensor would do; returns the request's id, whose answer can
    /// be waited for.
    pub async fn ask_for_sensor_test(
        &self,
        tenant: &TenantId,
        name: &str,
    ) -> Result<String, ControlError> {
        let row = self.sensor_view(tenant, name).await?;
        self.stored_sensor(&row).await?;
        let sensor = (tenant, tick_source(&row.location, name));
        self.ask_daemon("sensor_test", &serde_json::json!(sensor)).await
    }

    /// Starts or stops a sensor against its file's word; `None` gives the word back to the file.
    ///
    /// A tick that is under way meanwhile is not stored.
    pub async fn switch_sensor(
        &self,
        tenant: &TenantId,
        name: &str,
        (word, by): (Option<bool>, &str),
    ) -> Result<SensorRow, ControlError> {
        for _ in 0..TRIES {
            let row = self.sensor_view(tenant, name).await?;
            let Some(stored) = self.stored_sensor(&row).await? else { continue };
            let is_on = word.unwrap_or(stored.default_on);
            let now = self.now().max(stored.cursor.after(TICK));
            let by = SourceWord { by: by.to_owned(), at: now };
            let batch = sources::switch(&stored, (word, &by), (now, is_on.then_some(now)));
            match self.store.apply(batch).await {
                Ok(_) => return self.sensor_view(tenant, name).await,
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ControlError::SensorContended { sensor: name.to_owned() })
    }

    /// Gives a sensor another cursor; none lets it begin anew.
    pub async fn set_sensor_cursor(
        &self,
        tenant: &TenantId,
        name: &str,
        cursor: Option<&str>,
    ) -> Result<(), ControlError> {
        for _ in 0..TRIES {
            let row = self.sensor_view(tenant, name).await?;
            let Some(stored) = self.stored_sensor(&row).await? else { continue };
            let now = self.now().max(stored.cursor.after(TICK));
            match self.store.apply(sensors::set_cursor(&stored, cursor, now)).await {
                Ok(_) => return Ok(()),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ControlError::SensorContended { sensor: name.to_owned() })
    }

    /// A sensor as stored; one that no daemon has seen yet is taken over first.
    async fn stored_sensor(&self, row: &SensorRow) -> Result<Option<StoredSource>, StoreError> {
        let source = tick_source(&row.location, row.name.as_str());
        if let Some(memory) = self.store.sensor_memory(&row.tenant, &source).await? {
            return Ok(Some(memory.stored));
        }
        let catalog = self.catalog().await?;
        self.adopt_sensors(&catalog, &mut BTreeMap::new()).await?;
        Ok(None)
    }
}

/// The least time between two ticks of one sensor, whatever the clock says.
pub(crate) const TICK: std::time::Duration = std::time::Duration::from_micros(1);

/// What ticks in the store where `sensor` does in the definitions.
pub(crate) fn source_of(location: &LocationName, sensor: &LiveSensor) -> TickSource {
    tick_source(location, sensor.def.name.as_str())
}

fn tick_source(location: &LocationName, name: &str) -> TickSource {
    TickSource { kind: TickKind::Sensor, location: location.clone(), name: name.to_owned() }
}

/// When a sensor that is on is due: a new one and one that was started at once, an edited one as
/// long after its last tick as it now says.
fn due_at(sensor: &LiveSensor, stored: Option<&StoredSource>, now: Timestamp) -> Timestamp {
    match stored {
        Some(stored) if stored.next_due.is_some_and(|due| due > now) => {
            stored.cursor.after(sensor.def.every.0).max(now)
        }
        _ => now,
    }
}

/// What is stored and in no definition any more: it stays with its cursor, and is never due.
fn gone_sensors(
    version: i64,
    live: &LiveSensors,
    known: BTreeMap<(TenantId, String), StoredSource>,
) -> impl Iterator<Item = AdoptedSensor> {
    known
        .into_iter()
        .filter(|(key, stored)| !live.0.contains_key(key) && stored.next_due.is_some())
        .map(move |(_, stored)| {
            let stored = StoredSource { version, next_due: None, default_on: false, ..stored };
            AdoptedSensor { stored, forgets: false }
        })
}
