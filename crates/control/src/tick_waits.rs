//! Schedules whose ticks wait until a run of theirs has ended, as one daemon remembers them.
//!
//! A pass over the schedules asks here, of [`crate::ticks`]. The end of a run wakes the daemon, and
//! the run is found to be gone: whoever ends it writes nothing for that, and no daemon that dies
//! takes anything with it, since each such schedule is looked at again after a while anyway.
//!
//! **Invariant.** What is remembered was not over after the decision that had the schedule wait, so
//! no end is overlooked.

use std::collections::BTreeMap;

use millstream_model::{RunId, TenantId, TickKind, TickSource};
use millstream_store::StoreError;
use millstream_store::sources::StoredSource;

use crate::Control;

/// Runs of one schedule whose ends are watched, the oldest: where more may be under way, the end of
/// another one is noticed when the schedule is looked at anyway.
const WATCHED: usize = 100;

/// Runs whose ends are watched in all, so that a pass asks about no more, however many schedules
/// wait: those beyond are looked at when they are anyway.
const WATCHED_IN_ALL: usize = 2_000;

/// Schedules whose ticks wait, each with the runs that it waits for.
#[derive(Debug, Default)]
pub(crate) struct TickWaits(BTreeMap<(TenantId, TickSource), Watched>);

#[derive(Debug)]
struct Watched {
    runs: Vec<RunId>,
    /// With fewer of them left there is room.
    full: usize,
}

impl TickWaits {
    /// How many wait.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether some have room already: a tick that they were counting on requested nothing, or a
    /// run has ended since.
    pub(crate) fn have_room(&self) -> bool {
        self.0.values().any(|it| it.runs.len() < it.full)
    }

    /// Does not remember `source` any more.
    pub(crate) fn forget(&mut self, tenant: &TenantId, source: &TickSource) {
        self.0.remove(&(tenant.clone(), source.clone()));
    }
}

impl Control {
    /// The schedules that wait, for which there is room now, and that are not due by themselves;
    /// they are not remembered any more.
    pub(crate) async fn with_room(
        &self,
        waits: &mut TickWaits,
    ) -> Result<Vec<StoredSource>, StoreError> {
        if waits.0.is_empty() {
            return Ok(Vec::new());
        }
        let watched = waits.0.iter();
        let runs: Vec<(&TenantId, RunId)> =
            watched.flat_map(|((id, _), it)| it.runs.iter().map(move |run| (id, *run))).collect();
        let live = self.store.live_among(&runs).await?;
        let has_room =
            |it: &Watched| it.runs.iter().filter(|run| live.contains(run)).count() < it.full;
        // Those are decided now. One that cannot be stored is looked at again after a while.
        let roomy = waits.0.extract_if(.., |_, it| has_room(it)).map(|(key, _)| key);
        let roomy: Vec<(TenantId, TickSource)> = roomy.collect();
        if roomy.is_empty() {
            return Ok(Vec::new());
        }
        self.store.sources_ahead(&roomy, self.now()).await
    }

    /// Remembers that these schedules of a tenant wait until fewer runs than each one's limit are
    /// under way, as far as there is place for their runs.
    pub(crate) async fn wait(
        &self,
        waits: &mut TickWaits,
        tenant: &TenantId,
        waiting: &[(TickSource, u32)],
    ) -> Result<(), StoreError> {
        let sources: Vec<&TickSource> = waiting.iter().map(|(source, _)| source).collect();
        let mut runs = self.store.runs_not_over(tenant, TickKind::Schedule, &sources).await?;
        for source in sources {
            waits.forget(tenant, source);
        }
        let watched: usize = waits.0.values().map(|it| it.runs.len()).sum();
        let mut left = WATCHED_IN_ALL.saturating_sub(watched);
        for (source, limit) in waiting {
            let key = (source.location.clone(), source.name.clone());
            let mut runs = runs.remove(&key).unwrap_or_default();
            let limit = usize::try_from(*limit).unwrap_or(usize::MAX);
            // Where more than the limit are under way, there is no room before one of these ends.
            let full = limit.min(WATCHED);
            runs.truncate(full);
            let Some(rest) = left.checked_sub(runs.len()) else { continue };
            left = rest;
            waits.0.insert((tenant.clone(), source.clone()), Watched { runs, full });
        }
        Ok(())
    }
}
