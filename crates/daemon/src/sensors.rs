//! The loop over sensors: who is due is asked beside the others, and none is asked twice at once.
//!
//! Asking takes as long as it takes, up to the sensor's timeout; other sensors do not wait for it,
//! but for the places of their tenant.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use millstream_control::{Control, SensorTicked, SensorWatch, StoreError};
use millstream_model::view::SensorTest;
use millstream_model::{DaemonAnswer, ErrorCode, TenantId, TickSource, TickWarning};
use tokio::sync::{Semaphore, watch};
use tokio::task::{Id, JoinSet};

use crate::Settings;
use crate::pulse::Pulses;
use crate::senses::Senses;

/// Questions that are asked at the same time.
const ASKED_AT_ONCE: usize = 32;

/// Of these, those of one tenant.
const ASKED_OF_TENANT: usize = 16;

/// Ticks that read the store alone and go on at the same time.
const READ_AT_ONCE: usize = 8;

/// The least time between two looks at who is due.
const PASS_MIN: Duration = Duration::from_millis(50);

/// How long a sensor rests whose tick could not be stored.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// A sensor of a tenant.
type Sensor = (TenantId, TickSource);

/// The loop.
pub(crate) struct SensorLoop {
    pub(crate) control: Control,
    pub(crate) settings: Settings,
    pub(crate) senses: Senses,
    pub(crate) pulses: Pulses,
}

/// What ticks share.
#[derive(Clone)]
struct Ticks {
    control: Control,
    senses: Senses,
    asked: Arc<Semaphore>,
    asked_of: Arc<Mutex<BTreeMap<TenantId, Arc<Semaphore>>>>,
    read: Arc<Semaphore>,
}

impl SensorLoop {
    /// Runs until it is told to stop; what is being asked then is dropped and asked again later.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        let ticks = Ticks {
            control: self.control.clone(),
            senses: self.senses.clone(),
            asked: Arc::new(Semaphore::new(ASKED_AT_ONCE)),
            asked_of: Arc::default(),
            read: Arc::new(Semaphore::new(READ_AT_ONCE)),
        };
        let mut changes = self.control.store().daemon_changes();
        let mut watch = SensorWatch::default();
        let mut busy: BTreeSet<Sensor> = BTreeSet::new();
        let mut running: JoinSet<()> = JoinSet::new();
        let mut names: HashMap<Id, Sensor> = HashMap::new();
        loop {
            self.pulses.beat("sensors").await;
            changes.mark_unchanged();
            let wait = self.pass(&mut watch, &busy).await;
            let (due, wait) = wait;
            for sensor in due {
                busy.insert(sensor.clone());
                let one = running.spawn(ticks.clone().tick(sensor.clone()));
                names.insert(one.id(), sensor);
            }
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                () = tokio::time::sleep(PASS_MIN) => {}
            }
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                _ = changes.changed() => {}
                () = tokio::time::sleep(wait.saturating_sub(PASS_MIN)) => {}
                Some(ended) = running.join_next_with_id() => {
                    free(ended, &mut names, &mut busy);
                }
            }
            while let Some(ended) = running.try_join_next_with_id() {
                free(ended, &mut names, &mut busy);
            }
        }
        running.shutdown().await;
        if let Err(error) = self.control.release_sensors(&self.settings.name).await {
            tracing::debug!(%error, "the sensors' lease runs out by itself");
        }
    }

    /// Who is due and not being asked, and when to look again at the latest.
    async fn pass(
        &self,
        watch: &mut SensorWatch,
        busy: &BTreeSet<Sensor>,
    ) -> (Vec<Sensor>, Duration) {
        let time_to_live = self.settings.patience.time_to_live;
        match self.control.due_sensors(&self.settings.name, watch, time_to_live).await {
            Ok(pass) => {
                let idle = time_to_live / 3;
                let next = pass.next_due.map(|due| due.since(self.control.now()));
                let due = pass.due.into_iter().filter(|sensor| !busy.contains(sensor)).collect();
                (due, next.unwrap_or(idle).min(idle))
            }
            Err(error) => {
                tracing::error!(%error, "a pass over the sensors failed; it is repeated");
                (Vec::new(), AFTER_FAILURE)
            }
        }
    }
}

fn free(
    ended: Result<(Id, ()), tokio::task::JoinError>,
    names: &mut HashMap<Id, Sensor>,
    busy: &mut BTreeSet<Sensor>,
) {
    let id = match ended {
        Ok((id, ())) => id,
        Err(error) => {
            tracing::error!(%error, "a sensor's tick broke; it is asked again");
            error.id()
        }
    };
    if let Some(sensor) = names.remove(&id) {
        busy.remove(&sensor);
    }
}

impl Ticks {
    async fn tick(self, (tenant, source): Sensor) {
        let ticked = self.try_tick(&tenant, &source).await;
        let name = &source.name;
        match ticked {
            Ok(Some(SensorTicked::Launched(runs))) => {
                tracing::info!(%tenant, sensor = name, runs, "a sensor requested runs");
            }
            Ok(Some(SensorTicked::Failed)) => {
                tracing::warn!(%tenant, sensor = name, "a sensor's tick failed; its page says why");
            }
            Ok(Some(SensorTicked::Skipped)) => {}
            Ok(Some(SensorTicked::Replaced)) => {
                tracing::debug!(%tenant, sensor = name, "somebody else was faster");
            }
            // What is stored and what is defined meet again when the definitions are taken over.
            Ok(None) => tokio::time::sleep(AFTER_FAILURE).await,
            Err(error) => {
                tracing::error!(%tenant, sensor = name, %error, "its tick could not be stored");
                tokio::time::sleep(AFTER_FAILURE).await;
            }
        }
    }

    async fn try_tick(
        &self,
        tenant: &TenantId,
        source: &TickSource,
    ) -> Result<Option<SensorTicked>, StoreError> {
        let Some(asking) = self.control.begin_sensor(tenant, source).await? else {
            return Ok(None);
        };
        let reads = asking.def.question.reads_store();
        let places = if reads { vec![Arc::clone(&self.read)] } else { self.places(tenant) };
        let mut held = Vec::new();
        for place in places {
            // They are never closed.
            held.extend(place.acquire_owned().await.ok());
        }
        // Time may have passed while it waited for its place.
        let Some(asking) = self.control.begin_sensor(tenant, source).await? else {
            return Ok(None);
        };
        let reply = self.senses.reply(&self.control, &asking).await;
        self.control.settle_sensor(&asking, reply).await.map(Some)
    }

    /// The places that a question takes: one of its tenant's first, so that a tenant whose
    /// questions hang keeps none from the others.
    fn places(&self, tenant: &TenantId) -> Vec<Arc<Semaphore>> {
        let mut all = self.asked_of.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Semaphore::new(ASKED_OF_TENANT));
        vec![Arc::clone(all.entry(tenant.clone()).or_insert_with(new)), Arc::clone(&self.asked)]
    }
}

/// The answer to a wish to try a sensor: what its tick would do.
pub(crate) async fn try_sensor(
    control: &Control,
    senses: Option<&Senses>,
    body: &str,
) -> DaemonAnswer<SensorTest> {
    let (tenant, source): Sensor = match serde_json::from_str(body) {
        Ok(sensor) => sensor,
        Err(error) => return DaemonAnswer::failed(ErrorCode::BadRequest, error.to_string()),
    };
    let asking = match control.begin_sensor(&tenant, &source).await {
        Ok(Some(asking)) => asking,
        Ok(None) => {
            let message = "the sensor has just changed; try again";
            return DaemonAnswer::failed(ErrorCode::SensorUnknown, message);
        }
        Err(error) => return DaemonAnswer::failed(error.code(), error.to_string()),
    };
    let reply = match senses {
        Some(senses) => senses.reply(control, &asking).await,
        None => Err(TickWarning {
            partition: None,
            code: ErrorCode::SensorAsk,
            message: "this daemon asks nothing".to_owned(),
        }),
    };
    match control.try_sensor(&asking, reply).await {
        Ok(test) => DaemonAnswer::Done(test),
        Err(error) => DaemonAnswer::failed(error.code(), error.to_string()),
    }
}
