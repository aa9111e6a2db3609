//! The loop over sensors: who is due is asked beside the others, and none is asked twice at once.
//!
//! Asking takes as long as it takes, up to the sensor's timeout; other sensors do not wait for it,
//! but for the places of their tenant. Sensors that the store alone answers tick in groups.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use millstream_control::{
    Control, ControlError, Sensor, SensorAsking, SensorPass, SensorReply, SensorTicked,
    SensorWatch, StoreError, TickWish, Wished,
};
use millstream_model::view::SensorTest;
use millstream_model::{DaemonAnswer, ErrorCode, TenantId, TickRow, TickSource, TickWarning};
use tokio::sync::{Semaphore, watch};
use tokio::task::{Id, JoinError, JoinSet};

use crate::Settings;
use crate::pulse::Pulses;
use crate::senses::{Replied, Senses, one_line};

/// Questions that are asked at the same time.
const ASKED_AT_ONCE: usize = 32;

/// Of these, those of one tenant.
const ASKED_OF_TENANT: usize = 16;

/// Groups of sensors that read the store alone, which go on at the same time, and the sensors of
/// one.
const READ_AT_ONCE: usize = 2;
const GROUP_MAX: usize = 64;

/// The least time between two looks at who is due.
const PASS_MIN: Duration = Duration::from_millis(50);

/// How long a sensor rests whose tick could not be stored.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// What a line of the log begins with that has what a program wrote beside its answer.
const WROTE: &str = "a sensor's program wrote";

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
        let mut rounds = self.pulses.rounds();
        let mut watch = SensorWatch::default();
        let mut running = Running::default();
        loop {
            self.pulses.beat("sensors").await;
            changes.mark_unchanged();
            rounds.mark_seen();
            let (due, next_due) = self.pass(&mut watch, &running).await;
            for group in due {
                running.start(group.clone(), ticks.clone().tick(group));
            }
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                () = self.pulses.rest(PASS_MIN, async { tokio::select! {
                    _ = changes.changed() => {}
                    () = rounds.next(next_due) => {}
                    Some(ended) = running.under_way.join_next_with_id() => running.free(ended),
                } }) => {}
            }
            while let Some(ended) = running.under_way.try_join_next_with_id() {
                running.free(ended);
            }
        }
        running.under_way.shutdown().await;
        if let Err(error) = self.control.release_sensors(&self.settings.name).await {
            tracing::debug!(%error, "the sensors' lease runs out by itself");
        }
    }

    /// Who is due and not being asked, those that tick together as a group, and when to look again
    /// at the latest.
    async fn pass(
        &self,
        watch: &mut SensorWatch,
        running: &Running,
    ) -> (Vec<Vec<Sensor>>, Option<Duration>) {
        let time_to_live = self.settings.patience.time_to_live;
        match self.control.due_sensors(&self.settings.name, watch, time_to_live).await {
            Ok(pass) => {
                let next = pass.next_due.map(|due| due.since(self.control.now()));
                (running.groups(pass), next)
            }
            Err(error) => {
                tracing::error!(%error, "a pass over the sensors failed; it is repeated");
                (Vec::new(), Some(AFTER_FAILURE))
            }
        }
    }
}

/// The sensors that tick now.
#[derive(Default)]
struct Running {
    /// Each gives back those that rest before they are looked at again.
    under_way: JoinSet<Vec<Sensor>>,
    groups: HashMap<Id, Vec<Sensor>>,
    busy: BTreeSet<Sensor>,
    /// Those whose group broke: each ticks alone until it has done so once without breaking.
    alone: BTreeSet<Sensor>,
}

impl Running {
    /// Those of a pass that do not tick already, in the groups in which they are to tick.
    fn groups(&self, pass: SensorPass) -> Vec<Vec<Sensor>> {
        let is_free = |sensor: &Sensor| !self.busy.contains(sensor);
        let (alone, together): (Vec<Sensor>, Vec<Sensor>) =
            pass.readers.into_iter().filter(is_free).partition(|it| self.alone.contains(it));
        let groups = together.chunks(GROUP_MAX).map(<[Sensor]>::to_vec);
        let asked = pass.due.into_iter().filter(is_free);
        groups.chain(alone.into_iter().chain(asked).map(|sensor| vec![sensor])).collect()
    }

    fn start(
        &mut self,
        group: Vec<Sensor>,
        ticks: impl Future<Output = Vec<Sensor>> + Send + 'static,
    ) {
        self.busy.extend(group.iter().cloned());
        let handle = self.under_way.spawn(ticks);
        self.groups.insert(handle.id(), group);
    }

    fn free(&mut self, ended: Result<(Id, Vec<Sensor>), JoinError>) {
        let is_broken = ended.is_err();
        let (id, resting) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!(%error, "a sensor's tick broke; it is asked again");
                let group = self.groups.get(&error.id()).into_iter().flatten();
                self.alone.extend(group.cloned());
                (error.id(), Vec::new())
            }
        };
        for sensor in self.groups.remove(&id).into_iter().flatten() {
            if !is_broken {
                self.alone.remove(&sensor);
            }
            self.busy.remove(&sensor);
        }
        if !resting.is_empty() {
            self.start(resting, async {
                tokio::time::sleep(AFTER_FAILURE).await;
                Vec::new()
            });
        }
    }
}

impl Ticks {
    /// Has the sensors of a group tick: one that is asked, or some that read the store. Those are
    /// given back that rest now.
    async fn tick(self, group: Vec<Sensor>) -> Vec<Sensor> {
        let ticked = self.try_tick(&group).await;
        let ticked = group.into_iter().zip(ticked);
        ticked.filter(|(sensor, ticked)| !told(sensor, ticked)).map(|(sensor, _)| sensor).collect()
    }

    /// What came of each.
    async fn try_tick(&self, group: &[Sensor]) -> Vec<Result<Option<SensorTicked>, StoreError>> {
        if let [sensor] = group {
            match self.try_ask(sensor).await {
                Ok(Asked::Ticked(ticked)) => return vec![Ok(ticked)],
                Ok(Asked::Reads) => {}
                Err(error) => return vec![Err(error)],
            }
        }
        // It is never closed.
        let _place = self.read.acquire().await.ok();
        self.control.tick_readers(group).await
    }

    /// Asks a sensor, unless the store alone has the answer.
    async fn try_ask(&self, (tenant, source): &Sensor) -> Result<Asked, StoreError> {
        let Some(asking) = self.control.begin_sensor(tenant, source).await? else {
            return Ok(Asked::Ticked(None));
        };
        if asking.def.question.reads_store() {
            return Ok(Asked::Reads);
        }
        let mut held = Vec::new();
        for place in self.places(tenant) {
            // They are never closed.
            held.extend(place.acquire_owned().await.ok());
        }
        // Time may have passed while it waited for its place.
        let Some(asking) = self.control.begin_sensor(tenant, source).await? else {
            return Ok(Asked::Ticked(None));
        };
        let Replied { reply, said } = self.senses.reply(&self.control, &asking).await;
        if reply.is_ok() && !said.is_empty() {
            let said = one_line(&said);
            // Of one that ticks each second it would be all that the log says.
            tracing::debug!(%tenant, sensor = source.name, "{WROTE}: {said}");
        }
        self.control.settle_sensor(&asking, reply).await.map(|ticked| Asked::Ticked(Some(ticked)))
    }

    /// The places that a question takes: one of its tenant's first, so that a tenant whose
    /// questions hang keeps none from the others.
    fn places(&self, tenant: &TenantId) -> Vec<Arc<Semaphore>> {
        let mut all = self.asked_of.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Semaphore::new(ASKED_OF_TENANT));
        vec![Arc::clone(all.entry(tenant.clone()).or_insert_with(new)), Arc::clone(&self.asked)]
    }
}

/// What became of a question.
enum Asked {
    /// It was asked, or the sensor is gone or known otherwise by now.
    Ticked(Option<SensorTicked>),
    /// Nobody is to be asked.
    Reads,
}

/// Says what came of a tick; whether the sensor need not rest.
fn told(
    (tenant, TickSource { name, .. }): &Sensor,
    ticked: &Result<Option<SensorTicked>, StoreError>,
) -> bool {
    match ticked {
        Ok(Some(SensorTicked::Launched(runs))) => {
            tracing::info!(%tenant, sensor = name, runs, "a sensor requested runs");
        }
        // Why it failed was said when it was stored.
        Ok(Some(SensorTicked::Failed | SensorTicked::Skipped)) => {}
        Ok(Some(SensorTicked::Replaced)) => {
            tracing::debug!(%tenant, sensor = name, "somebody else was faster");
        }
        // What is stored and what is defined meet again when the definitions are taken over.
        Ok(None) => return false,
        Err(error) => {
            tracing::error!(%tenant, sensor = name, %error, "its tick could not be stored");
            return false;
        }
    }
    true
}

/// The answer to a wish to try a sensor: what its tick would do.
pub(crate) async fn try_sensor(
    control: &Control,
    senses: Option<&Senses>,
    body: &str,
) -> DaemonAnswer<SensorTest> {
    let asking = match wished(control, body).await {
        Ok(wished) => wished,
        Err((code, message)) => return DaemonAnswer::failed(code, message),
    };
    let Replied { reply, said } = replied(control, senses, &asking).await;
    match control.try_sensor(&asking, reply).await {
        Ok(test) => DaemonAnswer::Done(SensorTest { output: said, ..test }),
        Err(error) => DaemonAnswer::failed(error.code(), error.to_string()),
    }
}

/// The answer to a wish to have a sensor tick now: the tick.
pub(crate) async fn tick_sensor(
    control: &Control,
    senses: Option<&Senses>,
    body: &str,
) -> DaemonAnswer<TickRow> {
    let wish: TickWish = match serde_json::from_str(body) {
        Ok(wish) => wish,
        Err(error) => return DaemonAnswer::failed(ErrorCode::BadRequest, error.to_string()),
    };
    match ticked_for(control, senses, &wish).await {
        Ok(tick) => DaemonAnswer::Done(tick),
        Err(error) => DaemonAnswer::failed(error.code(), error.to_string()),
    }
}

/// The tick that was wished for, by this daemon or by another.
async fn ticked_for(
    control: &Control,
    senses: Option<&Senses>,
    wish: &TickWish,
) -> Result<TickRow, ControlError> {
    let asking = match control.begin_wish(wish).await? {
        Wished::Ask(asking) => asking,
        Wished::Ticked(tick) => return Ok(*tick),
    };
    let Replied { reply, .. } = if asking.def.question.reads_store() {
        Replied::of(Ok(SensorReply::None))
    } else {
        replied(control, senses, &asking).await
    };
    let (ticked, tick) = control.settle_wish(wish, &asking, reply).await?;
    told(&wish.sensor, &Ok(Some(ticked)));
    Ok(tick)
}

/// What the sensor is asked with that a wish is about, or why it cannot be asked.
async fn wished(control: &Control, body: &str) -> Result<SensorAsking, (ErrorCode, String)> {
    let (tenant, source): Sensor =
        serde_json::from_str(body).map_err(|error| (ErrorCode::BadRequest, error.to_string()))?;
    let begun = control.begin_sensor(&tenant, &source).await;
    let begun = begun.map_err(|error| (error.code(), error.to_string()))?;
    begun.ok_or_else(|| {
        (ErrorCode::SensorUnknown, "the sensor has just changed; try again".to_owned())
    })
}

/// What is said to a sensor's question, for somebody who waits for it, by a daemon that may not be
/// one that asks.
async fn replied(control: &Control, senses: Option<&Senses>, asking: &SensorAsking) -> Replied {
    match senses {
        Some(senses) => {
            let replied = senses.reply(control, asking).await;
            if replied.reply.is_ok() && !replied.said.is_empty() {
                let (tenant, sensor) = (&asking.tenant, &asking.source.name);
                tracing::info!(%tenant, sensor, "{WROTE}: {}", one_line(&replied.said));
            }
            replied
        }
        None => Replied::of(Err(TickWarning {
            partition: None,
            code: ErrorCode::SensorAsk,
            message: "this daemon asks nothing".to_owned(),
        })),
    }
}
