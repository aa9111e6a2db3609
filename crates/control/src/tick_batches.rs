//! How what became of the due schedules is stored: in batches of many ticks.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use millstream_decide::queue::Limits;
use millstream_model::{Event, TenantId, TickRun, TickSource, TickStatus};
use millstream_store::leases::Held;
use millstream_store::sources::{CursorMove, look_soon_unless, move_cursors};
use millstream_store::{Batch, StoreError, events, ticks};

use crate::Control;
use crate::launch::NewRuns;
use crate::tick_waits::TickWaits;
use crate::ticks::{Settled, TickPass};

/// Schedules whose ticks are stored in one batch, unless their runs are more than
/// [`RUNS_AT_ONCE`].
const SCHEDULES_AT_ONCE: usize = 500;

/// Runs after which a batch is closed; the ticks of one schedule are never in two.
const RUNS_AT_ONCE: usize = 500;

/// Batches that are on their way at the same time.
const BATCHES_AT_ONCE: usize = 4;

/// What the ticks of a pass are stored with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Storing<'p> {
    /// Those of the queues that their runs come to.
    pub(crate) limits: &'p Limits,
    /// The lease under which they were decided.
    pub(crate) held: &'p Held,
}

impl Control {
    /// Stores what became of the due schedules, many in a batch. A batch that does not hold is
    /// stored schedule by schedule, so that a bad one harms only itself. Returns those that are.
    pub(crate) async fn store_settled(
        &self,
        storing: Storing<'_>,
        settled: Vec<Settled>,
        pass: &mut TickPass,
    ) -> Vec<Settled> {
        let groups = grouped(settled);
        let mut outcomes = futures_util::stream::iter(groups)
            .map(|group| async move {
                let first = self.apply_settled(storing, &group).await;
                let Err(error) = first else { return (group, 0) };
                if group.len() == 1 {
                    told(&group, &error);
                    return (Vec::new(), 1);
                }
                let (mut stored, mut unsettled) = (Vec::new(), 0);
                for one in group {
                    let one = vec![one];
                    match self.apply_settled(storing, &one).await {
                        Ok(()) => stored.extend(one),
                        Err(error) => {
                            told(&one, &error);
                            unsettled += 1;
                        }
                    }
                }
                (stored, unsettled)
            })
            .buffer_unordered(BATCHES_AT_ONCE);
        let mut all = Vec::new();
        while let Some((stored, unsettled)) = outcomes.next().await {
            pass.unsettled += unsettled;
            for (tick, _) in stored.iter().flat_map(|one| &one.ticks) {
                match tick.status {
                    TickStatus::Launched => pass.launched += 1,
                    // No schedule changes partitions.
                    TickStatus::Skipped | TickStatus::Synced => pass.skipped += 1,
                    TickStatus::Failed => pass.failed += 1,
                }
            }
            all.extend(stored);
        }
        all
    }

    /// Remembers which of these schedules wait until runs have ended, and that the others do not.
    pub(crate) async fn remember_waiting(
        &self,
        waits: &mut TickWaits,
        stored: &[Settled],
    ) -> Result<(), StoreError> {
        let mut waiting: BTreeMap<&TenantId, Vec<(TickSource, u32)>> = BTreeMap::new();
        for one in stored {
            match one.waits_for {
                Some(limit) => {
                    let source = one.cursor.source.clone();
                    waiting.entry(&one.tenant).or_default().push((source, limit));
                }
                None => waits.forget(&one.tenant, &one.cursor.source),
            }
        }
        for (tenant, sources) in waiting {
            self.wait(waits, tenant, &sources).await?;
        }
        Ok(())
    }

    /// Stores the ticks of some schedules of one tenant: all of it or nothing.
    async fn apply_settled(
        &self,
        Storing { limits, held }: Storing<'_>,
        group: &[Settled],
    ) -> Result<(), StoreError> {
        let Some(first) = group.first() else { return Ok(()) };
        let tenant = &first.tenant;
        let mut batch = Batch::for_tenant(tenant);
        let moves: Vec<CursorMove> = group.iter().map(|one| one.cursor.clone()).collect();
        // First of all: whoever is too late stops here.
        move_cursors(&mut batch, tenant, &moves);
        let mut new = Vec::new();
        let mut queued: Vec<Event> = Vec::new();
        let mut runs = NewRuns::new(&mut batch, limits);
        for (tick, wishes) in group.iter().flat_map(|one| &one.ticks) {
            let mut tick = tick.clone();
            for wish in wishes {
                let (launched, event) = self.add_run(&mut runs, &wish.request, &wish.planned);
                queued.push(event);
                tick.runs.push(TickRun {
                    run_key: wish.run_key.clone(),
                    run_id: launched.run_id,
                    partition: launched.partition,
                });
            }
            new.push(tick);
        }
        if !new.is_empty() {
            ticks::insert(&mut batch, tenant, &new);
        }
        if !queued.is_empty() {
            events::insert(&mut batch, tenant, &self.new_id().to_string(), &queued);
        }
        // Last of all: somebody who takes the lease over then has not looked yet.
        let sources = moves.iter().map(|one| &one.source);
        look_soon_unless(held, &mut batch, tenant, sources);
        self.store.apply(batch).await.map(|_| ())
    }
}

fn told(group: &[Settled], error: &StoreError) {
    let Some(one) = group.first() else { return };
    let (tenant, schedule) = (&one.tenant, &one.cursor.source.name);
    if error.is_conflict() {
        tracing::debug!(%tenant, schedule, %error, "somebody else was faster");
    } else {
        tracing::error!(%tenant, schedule, %error, "its ticks could not be stored; it stays due");
    }
}

/// `settled` in groups of one tenant's, none of them too large.
fn grouped(settled: Vec<Settled>) -> Vec<Vec<Settled>> {
    let mut groups: Vec<Vec<Settled>> = Vec::new();
    let mut runs = 0;
    for one in settled {
        let count: usize = one.ticks.iter().map(|(_, wishes)| wishes.len()).sum();
        let fits = groups.last().is_some_and(|group| {
            group.len() < SCHEDULES_AT_ONCE
                && runs + count <= RUNS_AT_ONCE
                && group.first().is_some_and(|first| first.tenant == one.tenant)
        });
        match groups.last_mut() {
            Some(group) if fits => {
                group.push(one);
                runs += count;
            }
            _ => {
                groups.push(vec![one]);
                runs = count;
            }
        }
    }
    groups
}
