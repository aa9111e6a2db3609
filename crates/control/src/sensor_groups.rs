//! Sensors that the store alone answers tick in groups: what they ask is asked once, and their
//! ticks are stored in few commits.
//!
//! Each tick is still a batch of its own: one that cannot be stored, or read, harms no other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use millstream_model::view::EventRow;
use millstream_model::{
    EventPosition, JobName, LocationName, RunId, ScheduleTarget, TenantId, TickSource,
};
use millstream_store::StoreError;
use millstream_store::sensors::{LogPlace, RunFacts};

use crate::Control;
use crate::launch::Planned;
use crate::sensor_asking::SensorAsking;
use crate::sensor_replies::SensorReply;
use crate::sensor_ticks::{SensorTicked, Settled};

/// Events that one tick reads.
pub(crate) const EVENTS_AT_ONCE: u32 = 1_000;

/// Pages of the log that a group keeps at hand; sensors that look as often stand at one place.
const PAGES_KEPT: usize = 4;

/// Statements that one commit of a group has, and the last tick's.
const STATEMENTS_MAX: usize = 2_000;

/// A sensor of a tenant.
pub type Sensor = (TenantId, TickSource);

/// A part of the log, with the runs that it is about.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) rows: Vec<EventRow>,
    pub(crate) runs: BTreeMap<RunId, RunFacts>,
}

/// What a page is a part of: whose log, behind which place, and which kinds of events.
type PageKey = (TenantId, LogPlace, Vec<&'static str>);

/// What sensors have read that tick at the same time, for each of them to see.
#[derive(Debug, Default)]
pub(crate) struct Shared(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// The position up to which all of them read.
    upto: Option<EventPosition>,
    pages: Vec<(PageKey, Arc<Page>)>,
    words: BTreeMap<(TenantId, LocationName), Arc<BTreeMap<JobName, bool>>>,
    /// Plans of runs without a partition.
    plans: BTreeMap<(TenantId, LocationName, ScheduleTarget), Arc<Planned>>,
}

impl Shared {
    fn with<T>(&self, use_it: impl FnOnce(&mut Known) -> T) -> T {
        use_it(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A plan that was made for one of them.
    pub(crate) fn plan(&self, asking: &SensorAsking, of: &ScheduleTarget) -> Option<Arc<Planned>> {
        self.with(|known| known.plans.get(&plan_key(asking, of)).cloned())
    }

    /// Keeps a plan for the others.
    pub(crate) fn keep_plan(
        &self,
        asking: &SensorAsking,
        of: &ScheduleTarget,
        planned: &Arc<Planned>,
    ) {
        self.with(|known| known.plans.insert(plan_key(asking, of), Arc::clone(planned)));
    }
}

fn plan_key(
    asking: &SensorAsking,
    of: &ScheduleTarget,
) -> (TenantId, LocationName, ScheduleTarget) {
    (asking.tenant.clone(), asking.manifest.location.clone(), of.clone())
}

impl Control {
    /// The position up to which the sensor, and all that tick with it, read the log.
    pub(crate) async fn read_upto(
        &self,
        asking: &SensorAsking,
    ) -> Result<EventPosition, StoreError> {
        if let Some(upto) = asking.shared.with(|known| known.upto) {
            return Ok(upto);
        }
        let upto = self.store.last_position().await?;
        Ok(asking.shared.with(|known| *known.upto.get_or_insert(upto)))
    }

    /// The part of the log between two places that the sensor asks for.
    pub(crate) async fn page(
        &self,
        asking: &SensorAsking,
        (after, upto): (LogPlace, EventPosition),
        kinds: &[&'static str],
    ) -> Result<Arc<Page>, StoreError> {
        let key = (asking.tenant.clone(), after, kinds.to_vec());
        let kept = |known: &mut Known| known.pages.iter().find(|(of, _)| *of == key).cloned();
        if let Some((_, page)) = asking.shared.with(kept) {
            return Ok(page);
        }
        let tenant = &asking.tenant;
        let rows = self.store.news(tenant, (after, upto), kinds, EVENTS_AT_ONCE).await?;
        let ids: BTreeSet<RunId> = rows.iter().map(|row| row.event.run).collect();
        let ids: Vec<RunId> = ids.into_iter().collect();
        let runs = if ids.is_empty() {
            BTreeMap::new()
        } else {
            self.store.runs_with_context(tenant, &ids).await?
        };
        let page = Arc::new(Page { rows, runs });
        asking.shared.with(|known| {
            if known.pages.len() >= PAGES_KEPT {
                known.pages.remove(0);
            }
            known.pages.push((key, Arc::clone(&page)));
        });
        Ok(page)
    }

    /// What people say about the jobs of the sensor's location.
    pub(crate) async fn words_for(
        &self,
        asking: &SensorAsking,
    ) -> Result<Arc<BTreeMap<JobName, bool>>, StoreError> {
        let key = (asking.tenant.clone(), asking.manifest.location.clone());
        if let Some(words) = asking.shared.with(|known| known.words.get(&key).cloned()) {
            return Ok(words);
        }
        let words = Arc::new(self.store.job_overrides(&key.0, &key.1).await?);
        asking.shared.with(|known| known.words.insert(key, Arc::clone(&words)));
        Ok(words)
    }

    /// Has sensors that the store alone answers tick, each for itself: what came of each, in their
    /// order. `None` for one that is gone, or known otherwise by now.
    ///
    /// Crash-safe: what is not stored is read again, from the same cursor.
    pub async fn tick_readers(
        &self,
        sensors: &[Sensor],
    ) -> Vec<Result<Option<SensorTicked>, StoreError>> {
        let mut ticked: Vec<Result<Option<SensorTicked>, StoreError>> =
            sensors.iter().map(|_| Ok(None)).collect();
        let mut settled: Vec<(usize, Settled)> = Vec::new();
        for (place, asking) in self.begin_readers(sensors).await.into_iter().enumerate() {
            let read = match asking {
                Ok(None) => continue,
                Ok(Some(asking)) => self.settled(&asking, Ok(SensorReply::None)).await,
                Err(error) => Err(error),
            };
            match read {
                Ok(one) => settled.push((place, one)),
                Err(error) => put(&mut ticked, place, Err(error)),
            }
            let statements: usize = settled.iter().map(|(_, one)| one.batch.len()).sum();
            if statements >= STATEMENTS_MAX {
                self.store_ticks(std::mem::take(&mut settled), &mut ticked).await;
            }
        }
        self.store_ticks(settled, &mut ticked).await;
        ticked
    }

    async fn store_ticks(
        &self,
        settled: Vec<(usize, Settled)>,
        ticked: &mut [Result<Option<SensorTicked>, StoreError>],
    ) {
        let (batches, told): (Vec<_>, Vec<_>) = settled
            .into_iter()
            .map(|(place, Settled { batch, came_to })| (batch, (place, came_to)))
            .unzip();
        let applied = self.store.apply_each(batches).await;
        for ((place, came_to), applied) in told.into_iter().zip(applied) {
            put(ticked, place, came_to.once(applied).map(Some));
        }
    }

    /// What each of `sensors` is asked with, but for those whose question another has to answer.
    async fn begin_readers(
        &self,
        sensors: &[Sensor],
    ) -> Vec<Result<Option<SensorAsking>, StoreError>> {
        let begun = match self.begin_sensors(sensors).await {
            Ok(begun) => begun.into_iter().map(Ok).collect(),
            // One that cannot be read is no reason for the others to rest.
            Err(error) if sensors.len() > 1 => {
                tracing::debug!(%error, "sensors are looked up one by one");
                let mut begun = Vec::with_capacity(sensors.len());
                for (tenant, source) in sensors {
                    begun.push(self.begin_sensor(tenant, source).await);
                }
                begun
            }
            Err(error) => vec![Err(error)],
        };
        let reads = |asking: &SensorAsking| asking.def.question.reads_store();
        begun.into_iter().map(|begun| begun.map(|it| it.filter(reads))).collect()
    }
}

fn put<T>(all: &mut [T], place: usize, one: T) {
    if let Some(at) = all.get_mut(place) {
        *at = one;
    }
}
