//! Sensors as people see them: lists, switches, cursors, tests.
//!
//! [`crate::sensor_standing`] says where each stands; what a tick does is
//! [`crate::sensor_ticks`]'s.

use millstream_decide::liveness::not_started;
use millstream_model::view::{SensorLag, SensorRow, SensorStand};
use millstream_model::{
    CURSOR_MAX, HoldReason, LocationName, Manifest, ScheduleTarget, SensorQuestion, TenantId,
    TickKind, TickRow, TickSource, Timestamp, did_you_mean, shell_word,
};
use millstream_store::StoreError;
use millstream_store::sensors;
use millstream_store::sources::{self, SourceWord, StoredSource};

use crate::adopted::Adopted;
use crate::jobs::is_job_on;
use crate::live_sensors::{LiveSensor, tick_source};
use crate::sensor_events::{LAG_SHOWN, kinds_of, place_of};
use crate::sensor_standing::SENSORS_MAX;
use crate::sensor_ticks::LEASE;
use crate::sensor_wishes::TickWish;
use crate::switches::Switched;
use crate::{Control, ControlError};

/// How often a change is tried while the sensor ticks.
pub(crate) const TRIES: u32 = 5;

impl Control {
    /// The sensors of a tenant, by location and name.
    pub async fn sensor_rows(&self, tenant: &TenantId) -> Result<Vec<SensorRow>, ControlError> {
        let sensors = self.stored_sensors_of(tenant).await?;
        Ok(sensors.into_iter().map(|(row, _)| row).collect())
    }

    /// The same, each with what the store has of it, which may be under the name it had before.
    pub(crate) async fn stored_sensors_of(
        &self,
        tenant: &TenantId,
    ) -> Result<Vec<(SensorRow, TickSource)>, ControlError> {
        let catalog = self.catalog().await?;
        let kind = TickKind::Sensor;
        let mut stored = self.store.sources_of_tenant(kind, tenant, SENSORS_MAX).await?;
        let mut last = self.store.last_ticks(tenant, kind, SENSORS_MAX).await?;
        let daemons = self.watchers().await?;
        let no_daemon = daemons.as_ref().and_then(not_started);
        let mut rows = Vec::new();
        for (manifest, _, live) in catalog.sensors() {
            let words = self.store.job_overrides(tenant, &manifest.location).await?;
            for sensor in live.iter().filter(|sensor| sensor.tenant == *tenant) {
                let of_name = |name: &str| tick_source(&manifest.location, name);
                let name = live.stored_as(sensor, |name| stored.contains_key(&of_name(name)));
                let source = of_name(name);
                let stored = stored.remove(&source);
                let mut row = self.sensor_row(manifest, sensor, stored, last.remove(&source));
                row.waits_for = no_daemon.clone().filter(|_| row.enabled);
                row.job_off = match &sensor.def.request.target {
                    Some(ScheduleTarget::Job(job)) => !is_job_on(manifest, &words, job),
                    _ => false,
                };
                rows.push((row, source));
            }
        }
        let now = self.now();
        let is_due = |row: &SensorRow| {
            row.enabled && row.waits_for.is_none() && row.next_at.is_none_or(|at| at <= now)
        };
        if rows.iter().any(|(row, _)| is_due(row))
            && let Some(left) = self.lease_left(LEASE, daemons.as_ref()).await?
        {
            for (row, _) in rows.iter_mut().filter(|(row, _)| is_due(row)) {
                row.waits_for = Some(HoldReason::LeaseLeft(left.clone()));
            }
        }
        for (row, _) in &mut rows {
            row.waits = row.waits_for.as_ref().map(HoldReason::to_string);
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
        let file = (def.name.as_str(), &def.enabled);
        let Switched { enabled, enabled_default, enabled_override } =
            Switched::of(file, stored.as_ref(), word.flatten(), by_file);
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
            query: def.question.query(),
            when: def.when.clone(),
            guard: def.question.guard(),
            enabled,
            enabled_default,
            unclear: self.unclear(manifest, &sensor.tenant, &def.enabled),
            enabled_override,
            job_off: false,
            waits: None,
            waits_for: None,
            next_at: stored.and_then(|stored| stored.next_due),
            last_tick,
        }
    }

    /// The sensor of a tenant that is called `name`, or an error with its new name or that of the
    /// nearest one.
    pub async fn sensor_view(
        &self,
        tenant: &TenantId,
        name: &str,
    ) -> Result<SensorRow, ControlError> {
        Ok(self.find_sensor(tenant, name).await?.0)
    }

    /// The same with what the store has of it.
    pub(crate) async fn find_sensor(
        &self,
        tenant: &TenantId,
        name: &str,
    ) -> Result<(SensorRow, TickSource), ControlError> {
        let all = self.stored_sensors_of(tenant).await?;
        let near = did_you_mean(name, all.iter().map(|(row, _)| row.name.as_str()));
        if let Some(found) = all.into_iter().find(|(row, _)| row.name.as_str() == name) {
            return Ok(found);
        }
        let renamed = self.renamed(TickKind::Sensor, tenant, name).await?;
        let absent = self.absent(TickKind::Sensor, tenant, name).await?;
        Err(renamed.or(absent).unwrap_or_else(|| {
            let (tenant, sensor) = (tenant.clone(), name.to_owned());
            ControlError::SensorUnknown { tenant, sensor, near }
        }))
    }

    /// What a sensor remembers, and how far it is behind.
    pub async fn sensor_stand(
        &self,
        tenant: &TenantId,
        name: &str,
    ) -> Result<SensorStand, ControlError> {
        let (row, source) = self.find_sensor(tenant, name).await?;
        let catalog = self.catalog().await?;
        let live = catalog.sensors_of(&row.location).and_then(|(_, live)| live.get(tenant, name));
        let memory = self.store.sensor_memory(tenant, &source).await?;
        let cursor = memory.and_then(|memory| memory.cursor);
        if live.is_some_and(|live| matches!(live.def.question, SensorQuestion::Webhook(_))) {
            let (events, since) = self.store.count_deliveries(tenant, &source, LAG_SHOWN).await?;
            let set_aside = self.store.count_set_aside(tenant, &source, LAG_SHOWN).await?;
            let (lag, set_aside) = (Some(SensorLag { events, since }), Some(set_aside));
            return Ok(SensorStand { cursor, lag, set_aside });
        }
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
        Ok(SensorStand { cursor, lag, set_aside: None })
    }

    /// The newest ticks of a sensor before `before`.
    pub async fn sensor_ticks(
        &self,
        tenant: &TenantId,
        name: &str,
        before: Option<Timestamp>,
        limit: u32,
    ) -> Result<Vec<TickRow>, ControlError> {
        let source = match self.find_sensor(tenant, name).await {
            Ok((_, source)) => source,
            // What one did that is in no file any more is still known.
            Err(error @ ControlError::Absent { .. }) => {
                self.remembered(TickKind::Sensor, tenant, name).await?.ok_or(error)?
            }
            Err(error) => return Err(error),
        };
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
        self.stored_sensor(tenant, &row.location, name).await?;
        let sensor = (&row.tenant, tick_source(&row.location, row.name.as_str()));
        self.ask_daemon("sensor_test", &serde_json::json!(sensor)).await
    }

    /// Asks a daemon to have a sensor tick now, whenever it is due; returns the request's id, whose
    /// answer can be waited for.
    pub async fn ask_for_sensor_tick(
        &self,
        tenant: &TenantId,
        name: &str,
    ) -> Result<String, ControlError> {
        let row = self.sensor_view(tenant, name).await?;
        if !row.enabled {
            let (sensor, word) = (name.to_owned(), shell_word(name));
            return Err(ControlError::SensorOff { sensor, word });
        }
        for _ in 0..TRIES {
            let Some(stored) = self.stored_sensor(tenant, &row.location, name).await? else {
                continue;
            };
            let (from, asked_at) = (stored.cursor, self.now());
            let wish = TickWish { sensor: (stored.tenant, stored.source), from, asked_at };
            return self.ask_daemon("sensor_tick", &serde_json::json!(wish)).await;
        }
        Err(ControlError::SensorContended { sensor: name.to_owned() })
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
            let Some(stored) = self.stored_sensor(tenant, &row.location, name).await? else {
                continue;
            };
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
        let size = cursor.map_or(0, str::len);
        if size > CURSOR_MAX {
            let (count, what, limit) = (size, "bytes of a cursor", CURSOR_MAX);
            return Err(ControlError::TooMany { count, what, limit });
        }
        for _ in 0..TRIES {
            let row = self.sensor_view(tenant, name).await?;
            let catalog = self.catalog().await?;
            let all = catalog.sensors_of(&row.location);
            let live = all.and_then(|(_, live)| live.get(tenant, name));
            if live.is_some_and(|live| !live.def.question.keeps_cursor()) {
                let (sensor, kind) = (name.to_owned(), row.kind);
                return Err(ControlError::NoCursor { sensor, kind });
            }
            let Some(stored) = self.stored_sensor(tenant, &row.location, name).await? else {
                continue;
            };
            let now = self.now().max(stored.cursor.after(TICK));
            match self.store.apply(sensors::set_cursor(&stored, cursor, now)).await {
                Ok(_) => return Ok(()),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ControlError::SensorContended { sensor: name.to_owned() })
    }

    /// A sensor as stored; one that no daemon has seen yet, as it is by now, is taken over first.
    pub(crate) async fn stored_sensor(
        &self,
        tenant: &TenantId,
        location: &LocationName,
        name: &str,
    ) -> Result<Option<StoredSource>, StoreError> {
        let source = tick_source(location, name);
        let catalog = self.catalog().await?;
        let live = catalog.sensors_of(location).and_then(|(_, live)| live.get(tenant, name));
        if let Some(memory) = self.store.sensor_memory(tenant, &source).await?
            && live.is_none_or(|live| live.version == memory.stored.timing)
        {
            return Ok(Some(memory.stored));
        }
        self.adopt_sensors(&catalog, &mut Adopted::default()).await?;
        Ok(None)
    }
}

/// The least time between two ticks of one sensor, whatever the clock says.
pub(crate) const TICK: std::time::Duration = std::time::Duration::from_micros(1);
