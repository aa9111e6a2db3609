//! Holding a lease: which daemon does the work that only one may do at a time.
//!
//! Called by each pass that needs one. What the holder then writes names the lease's fence, so that
//! having lost the lease meanwhile does no harm.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use millstream_decide::lease::{
    LeaseMove, LeaseSeen, LeaseUse, LeaseView, LeaseWaited, LeaseWatch,
};
use millstream_decide::liveness::Watchers;
use millstream_model::{DaemonRow, LeaseLeft};
use millstream_store::leases::{Held, Lease};
use millstream_store::{Batch, StoreError, leases};

use crate::Control;

/// A lease as its holder remembers it, so that not every pass has to raise it.
#[derive(Debug, Default)]
pub(crate) struct HeldLease {
    watch: LeaseWatch,
    cell: Option<Arc<Cell>>,
}

/// What a holder and its daemon's signs of life both know of a lease.
#[derive(Debug)]
struct Cell {
    name: String,
    holder: String,
    holding: Mutex<Option<Holding>>,
    /// What is seen of it while another daemon holds it, and after which time-to-live it is taken.
    waited: Mutex<Option<(LeaseSeen, Duration)>>,
}

#[derive(Debug, Clone, Copy)]
struct Holding {
    fence: i64,
    time_to_live: Duration,
    at: LeaseUse,
}

/// The leases that this process holds, which its daemons' signs of life raise along with them.
#[derive(Debug, Default)]
pub(crate) struct Leases(Mutex<Vec<Weak<Cell>>>);

/// Leases that one sign of life raises.
pub(crate) struct Raised(Vec<(Arc<Cell>, i64)>);

impl HeldLease {
    /// Somebody else may hold it by now: look before the next pass.
    pub(crate) fn doubt(&mut self) {
        if let Some(cell) = &self.cell {
            *cell.holding() = None;
        }
    }
}

impl Cell {
    fn holding(&self) -> MutexGuard<'_, Option<Holding>> {
        self.holding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waited(&self) -> MutexGuard<'_, Option<(LeaseSeen, Duration)>> {
        self.waited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leases {
    fn cell(&self, name: &str, holder: &str) -> Arc<Cell> {
        let (name, holder) = (name.to_owned(), holder.to_owned());
        let (holding, waited) = (Mutex::default(), Mutex::default());
        let cell = Arc::new(Cell { name, holder, holding, waited });
        let mut cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cells.retain(|cell| cell.strong_count() > 0);
        cells.push(Arc::downgrade(&cell));
        cell
    }

    /// Under which lease called `name` this process works, if it holds it as far as it knows.
    pub(crate) fn held(&self, name: &'static str) -> Option<Held> {
        let cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut named = cells.iter().filter_map(Weak::upgrade).filter(|cell| cell.name == name);
        named.find_map(|cell| {
            let fence = (*cell.holding())?.fence;
            Some(Held { lease: name, holder: cell.holder.clone(), fence })
        })
    }

    /// What this process sees of the lease called `name` while it waits for it, and after which
    /// time-to-live it takes that over.
    fn waited(&self, name: &str) -> Option<(LeaseSeen, Duration)> {
        let cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut named = cells.iter().filter_map(Weak::upgrade).filter(|cell| cell.name == name);
        named.find_map(|cell| *cell.waited())
    }

    /// Adds to `batch` that the leases of `holder` are raised whose loops get around.
    pub(crate) fn raise(&self, batch: &mut Batch, holder: &str, elapsed: Duration) -> Raised {
        let cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = cells.iter().filter_map(Weak::upgrade).filter(|cell| cell.holder == holder);
        let raised = mine.filter_map(|cell| {
            let holding = (*cell.holding())?;
            let is_used = holding.at.is_used(elapsed, holding.time_to_live);
            is_used.then_some((cell, holding.fence))
        });
        let raised: Vec<(Arc<Cell>, i64)> = raised.collect();
        for (cell, fence) in &raised {
            batch.append(leases::raise(&cell.name, holder, *fence));
        }
        Raised(raised)
    }
}

impl Raised {
    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// They are raised, as of `elapsed`.
    pub(crate) fn done(self, elapsed: Duration) {
        for (cell, fence) in self.0 {
            if let Some(holding) = &mut *cell.holding()
                && holding.fence == fence
            {
                holding.at = LeaseUse { raised: elapsed, is_kept: true, ..holding.at };
            }
        }
    }

    /// One of them is somebody else's: each pass looks for itself.
    pub(crate) fn doubt(self) {
        for (cell, _) in self.0 {
            *cell.holding() = None;
        }
    }
}

impl Control {
    /// Holds the lease called `name` if it can be held now; returns its fence.
    ///
    /// A holder raises it a few times in the time-to-live, by itself or with its daemon's signs of
    /// life. What it does in between names the fence, so that having lost the lease meanwhile does
    /// no harm.
    pub(crate) async fn hold_lease(
        &self,
        name: &str,
        me: &str,
        lease: &mut HeldLease,
        time_to_live: Duration,
    ) -> Result<Option<i64>, StoreError> {
        let elapsed = self.seams.clock.elapsed();
        let cell = Arc::clone(lease.cell.get_or_insert_with(|| self.leases.cell(name, me)));
        if let Some(holding) = &mut *cell.holding()
            && holding.at.is_fresh(elapsed, time_to_live)
        {
            holding.at.used = elapsed;
            return Ok(Some(holding.fence));
        }
        let fence = self.move_lease(name, me, &mut lease.watch, time_to_live).await?;
        *cell.holding() = fence.map(|fence| Holding {
            fence,
            time_to_live,
            at: LeaseUse { raised: elapsed, used: elapsed, is_kept: false },
        });
        let seen = lease.watch.seen().filter(|_| fence.is_none());
        *cell.waited() = seen.map(|seen| (seen, time_to_live));
        Ok(fence)
    }

    /// That a silent daemon holds the lease called `name`, so that nothing is done under it;
    /// nothing where this process or a daemon that may live does. `watchers` are those of other
    /// processes, absent where this one takes it over.
    pub(crate) async fn lease_left(
        &self,
        name: &'static str,
        watchers: Option<&Watchers>,
    ) -> Result<Option<LeaseLeft>, StoreError> {
        if !self.may_be_left(name) {
            return Ok(None);
        }
        let Some(lease) = self.store.lease(name).await? else { return Ok(None) };
        let daemons = match watchers {
            Some(watchers) => watchers.daemons.clone(),
            None => self.listed_daemons().await?,
        };
        Ok(self.left_by_holder(name, &lease, &daemons))
    }

    /// The same of a lease as it is stored, by what is known of `daemons`.
    pub(crate) fn left_by_holder(
        &self,
        name: &'static str,
        lease: &Lease,
        daemons: &[DaemonRow],
    ) -> Option<LeaseLeft> {
        if !self.may_be_left(name) {
            return None;
        }
        let seen = self.leases.waited(name);
        let waited = LeaseWaited { name, view: &view(lease), seen, daemons };
        waited.left(self.now(), self.seams.clock.elapsed())
    }

    /// Whether this process neither holds it nor would take it over and has yet to see it.
    fn may_be_left(&self, name: &'static str) -> bool {
        let has_seen = self.leases.waited(name).is_some() || self.misses_workers.get().is_none();
        has_seen && self.leases.held(name).is_none()
    }

    async fn move_lease(
        &self,
        name: &str,
        me: &str,
        watch: &mut LeaseWatch,
        time_to_live: Duration,
    ) -> Result<Option<i64>, StoreError> {
        let stored = self.store.lease(name).await?;
        let view = stored.as_ref().map(view);
        let elapsed = self.seams.clock.elapsed();
        let (batch, fence) = match (watch.decide(view.as_ref(), me, elapsed, time_to_live), &stored)
        {
            (LeaseMove::Wait, _) | (LeaseMove::Take, None) => return Ok(None),
            (LeaseMove::Create, _) => (leases::create(name, me), 1),
            (LeaseMove::Raise { fence }, _) => (leases::raise(name, me, fence), fence),
            (LeaseMove::Take, Some(seen)) => (leases::take(name, me, seen), seen.fence + 1),
        };
        match self.store.apply(batch).await {
            Ok(_) => Ok(Some(fence)),
            Err(error) if error.is_conflict() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives the lease called `name` back if `me` holds it.
    pub(crate) async fn release_lease(&self, name: &str, me: &str) -> Result<(), StoreError> {
        if let Some(lease) = self.store.lease(name).await?
            && lease.holder == me
        {
            self.store.apply(leases::release(name, me, lease.fence)).await?;
        }
        Ok(())
    }
}

fn view(lease: &Lease) -> LeaseView {
    LeaseView { holder: lease.holder.clone(), fence: lease.fence, beat: lease.beat }
}
