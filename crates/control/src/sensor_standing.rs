//! Where sensors stand in the store: taken over from their definitions when these change.

use std::collections::BTreeMap;

use millstream_decide::sensor::forgets;
use millstream_model::{LocationName, Manifest, SensorQuestion, TenantId, TickKind, Timestamp};
use millstream_store::deliveries;
use millstream_store::sensors::{self, AdoptedSensor};
use millstream_store::sources::{self, StoredSource, look_soon_unless};
use millstream_store::{Batch, StoreError};

use crate::Control;
use crate::adopted::Adopted;
use crate::catalog::Catalog;
use crate::live_sensors::{LiveSensor, LiveSensors, source_of};
use crate::sensor_ticks::longest_wait;

/// Sensors of one location, over all tenants.
pub(crate) const SENSORS_MAX: u32 = 100_000;

/// Sensors that are stored in one batch.
const ADOPTED_AT_ONCE: usize = 1_000;

impl Control {
    /// Takes the sensors of `catalog` over into the store where they are new, edited, switched by a
    /// variable, renamed or gone. A daemon that knows older definitions changes nothing.
    pub(crate) async fn adopt_sensors(
        &self,
        catalog: &Catalog,
        adopted: &mut Adopted,
    ) -> Result<(), StoreError> {
        for (manifest, version, live) in catalog.sensors() {
            let location = &manifest.location;
            if adopted.versions.get(location) == Some(&version) {
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
                    if let Some(held) = &adopted.held {
                        let sources = chunk.iter().map(|it| &it.stored.source);
                        look_soon_unless(held, &mut batch, &first.stored.tenant, sources);
                    }
                    for it in chunk {
                        if is_webhook(live, &it.stored) {
                            // Whoever mended the definition does not wait for the next try.
                            deliveries::due_again(&mut batch, &it.stored.tenant, &it.stored.source);
                        }
                    }
                    self.store.apply(batch).await?;
                }
            }
            adopted.versions.insert(location.clone(), version);
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
            let key = |name: &str| (sensor.tenant.clone(), name.to_owned());
            let old = live.stored_as(sensor, |name| known.contains_key(&key(name)));
            let name = sensor.def.name.as_str();
            if let (true, Some(stored)) = (old != name, known.get(&key(old))) {
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
            let override_on = stored.and_then(|stored| stored.override_on);
            let (switch, named) =
                ((manifest, &sensor.def.enabled), (&sensor.tenant, name.as_str()));
            let (default_on, is_on) = self.on_by_file_and_word(switch, named, override_on);
            let was_on = stored.is_some_and(|stored| stored.next_due.is_some());
            let is_edited = stored.is_none_or(|stored| stored.timing != sensor.version);
            let is_switched = stored.is_some_and(|stored| stored.default_on != default_on);
            let latest = now.after(longest_wait(&sensor.def));
            // By a clock that was ahead.
            let is_ahead = stored.and_then(|stored| stored.next_due).is_some_and(|it| it > latest);
            if !is_edited && !is_switched && !is_ahead && was_on == is_on {
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
}

fn is_webhook(live: &LiveSensors, stored: &StoredSource) -> bool {
    let found = live.get(&stored.tenant, &stored.source.name);
    found.is_some_and(|it| matches!(it.def.question, SensorQuestion::Webhook(_)))
}

/// When a sensor that is on is due: a new one and one that was started at once, an edited one as
/// long after its last tick as it now says.
fn due_at(sensor: &LiveSensor, stored: Option<&StoredSource>, now: Timestamp) -> Timestamp {
    match stored {
        Some(stored) if stored.next_due.is_some_and(|due| due > now) => {
            stored.cursor.min(now).after(sensor.def.every.0).max(now)
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
