//! Which daemons there are, and whether each of their loops still gets around.

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use millstream_decide::liveness::{DaemonLook, DaemonWatch, LoopBeat, Watchers, standing};
use millstream_model::DaemonRow;
use millstream_store::events::PUBLISHER_LEASE;
use millstream_store::loops::{self, StoredLoop};
use millstream_store::{Batch, StoreError};

use crate::{Control, queue, sensor_ticks, ticks};

/// Loops that are shown.
const LOOPS_MAX: u32 = 1_000;

/// How long a daemon that is gone is still shown.
const SHOWN_FOR: Duration = Duration::from_hours(1);

/// A loop that says how long ago it got around.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoopSaid {
    /// Its name: that of its lease, where it needs one.
    pub name: &'static str,
    /// How long it may be silent.
    pub silence_max: Duration,
    /// How long it has been silent.
    pub silent_for: Duration,
}

impl Control {
    /// A daemon begins, and its loops are as `said`: on an embedded database, whoever was there
    /// before owned this file, is over, and makes room in the same commit. One that says nothing of
    /// its loops is there for one command, and takes nobody's place.
    pub async fn begin_loops(&self, daemon: &str, said: &[LoopSaid]) -> Result<(), StoreError> {
        if self.needs_publisher() || said.is_empty() {
            return self.keep_loops(daemon, said).await;
        }
        self.own_daemon.get_or_init(|| daemon.to_owned());
        let mut batch = loops::forget_all();
        batch.append(self.told(daemon, said));
        self.store.apply(batch).await.map(|_| ())
    }

    /// A daemon of this process starts runs and notices the loss of their workers, whether it is
    /// listed or there for one command.
    pub fn begin_runs(&self) {
        self.misses_workers.get_or_init(|| ());
    }

    /// Stores how the loops of `daemon` are, and raises the leases that they hold in the same
    /// commit. Where there may be others, it looks at them as often.
    pub async fn keep_loops(&self, daemon: &str, said: &[LoopSaid]) -> Result<(), StoreError> {
        let keep = self.told(daemon, said);
        let elapsed = self.seams.clock.elapsed();
        let mut batch = keep.clone();
        let raised = self.leases.raise(&mut batch, daemon, elapsed);
        match self.store.apply(batch).await {
            Ok(_) => raised.done(elapsed),
            Err(error) if error.is_conflict() && !raised.is_empty() => {
                raised.doubt();
                self.store.apply(keep).await?;
            }
            Err(error) => return Err(error),
        }
        if self.needs_publisher() {
            self.loop_beats().await?;
        }
        Ok(())
    }

    fn daemons_seen(&self) -> MutexGuard<'_, DaemonWatch> {
        self.daemons_seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is written of the loops of `daemon`.
    fn told(&self, daemon: &str, said: &[LoopSaid]) -> Batch {
        self.daemons_seen().is_own(daemon);
        let now = self.now();
        let stored: Vec<StoredLoop> = said
            .iter()
            .map(|it| StoredLoop {
                daemon: daemon.to_owned(),
                name: it.name.to_owned(),
                silence_max: it.silence_max,
                beat_at: now.before(it.silent_for),
            })
            .collect();
        loops::keep(&stored, now.before(SHOWN_FOR))
    }

    /// A daemon ends.
    pub async fn end_loops(&self, daemon: &str) -> Result<(), StoreError> {
        self.store.apply(loops::forget(daemon, self.now())).await.map(|_| ())
    }

    /// The daemons and their loops, by name.
    pub async fn daemons(&self) -> Result<Vec<DaemonRow>, StoreError> {
        let (mut leases, mut holders) = (Vec::new(), BTreeMap::new());
        for name in [queue::LEASE, ticks::LEASE, sensor_ticks::LEASE, PUBLISHER_LEASE] {
            if let Some(lease) = self.store.lease(name).await? {
                holders.insert(name.to_owned(), lease.holder.clone());
                leases.push((name, lease));
            }
        }
        let beats = self.loop_beats().await?;
        let daemons = self.standing(&beats, &holders, &BTreeMap::new());
        let left = leases.iter().filter_map(|(name, lease)| {
            let left = self.left_by_holder(name, lease, &daemons)?;
            Some((left.lease, left.silent_for.0))
        });
        let left: BTreeMap<String, Duration> = left.collect();
        if left.is_empty() {
            return Ok(daemons);
        }
        Ok(self.standing(&beats, &holders, &left))
    }

    /// The daemons that may start runs and notice the loss of a worker, without who holds the
    /// leases; `None` where that is this process itself.
    pub(crate) async fn watchers(&self) -> Result<Option<Watchers>, StoreError> {
        if self.misses_workers.get().is_some() {
            return Ok(None);
        }
        let daemons = self.listed_daemons().await?;
        let ended_at = self.store.last_daemon_end().await?;
        Ok(Some(Watchers { daemons, ended_at, are_alone: !self.needs_publisher() }))
    }

    /// The daemons and their loops, by name, without who holds the leases.
    pub(crate) async fn listed_daemons(&self) -> Result<Vec<DaemonRow>, StoreError> {
        let beats = self.loop_beats().await?;
        Ok(self.standing(&beats, &BTreeMap::new(), &BTreeMap::new()))
    }

    fn standing(
        &self,
        beats: &[LoopBeat],
        holders: &BTreeMap<String, String>,
        left: &BTreeMap<String, Duration>,
    ) -> Vec<DaemonRow> {
        let (watch, now) = (self.daemons_seen().clone(), self.now());
        let elapsed = self.seams.clock.elapsed();
        standing(beats, DaemonLook { holders, left, watch: &watch, now, elapsed })
    }

    /// What the loops of all daemons have said of themselves, which this process has seen then.
    async fn loop_beats(&self) -> Result<Vec<LoopBeat>, StoreError> {
        let stored = self.store.daemon_loops(LOOPS_MAX).await?;
        // A database of one process has no other daemon than that of this one.
        let is_over = |daemon: &String| {
            !self.needs_publisher() && self.own_daemon.get().is_none_or(|own| own != daemon)
        };
        let beats: Vec<LoopBeat> = stored
            .into_iter()
            .map(|it| LoopBeat {
                is_over: is_over(&it.daemon),
                daemon: it.daemon,
                name: it.name,
                silence_max: it.silence_max,
                beat_at: it.beat_at,
            })
            .collect();
        self.daemons_seen().look(&beats, self.seams.clock.elapsed());
        Ok(beats)
    }
}
