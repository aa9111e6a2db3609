//! One pass over what is due: decide the ticks, request their runs, move the cursors.
//!
//! Due work of all tenants is one question; what a tenant's schedules come to is stored in batches
//! of many ticks. A tick, its runs, their places in the queue and the cursor are one batch: a
//! daemon may die anywhere, and of two that decide the same tick the second stores nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use millstream_decide::schedule::{DueTick, TickPolicy, TickVerdict, decide};
use millstream_model::{
    ErrorCode, JobName, LocationName, Manifest, RunId, ScheduleTarget, SkipReason, TenantId,
    TickKind, TickStatus, TickWarning, Timestamp,
};
use millstream_store::StoreError;
use millstream_store::leases::Held;
use millstream_store::sources::{CursorMove, StoredSource};
use millstream_store::ticks::{NewTick, forget};

use crate::adopted::Adopted;
use crate::catalog::Catalog;
use crate::jobs::is_job_on;
use crate::lease::HeldLease;
use crate::live_schedules::{LiveSchedule, source_of};
use crate::tick_batches::Storing;
use crate::tick_runs::{Asked, TickPlans, Wish};
use crate::tick_waits::TickWaits;
use crate::{Control, ControlError};

/// The lease of whoever lets schedules tick.
pub(crate) const LEASE: &str = "schedules";

/// Due schedules, or sensors, that one pass looks at.
const DUE_MAX: u32 = 10_000;

/// Requests that were made before, or warnings, after which a tick names no more of them.
const REPEATED_NAMED: usize = 10;

/// How long ticks are kept.
const KEPT_FOR: Duration = Duration::from_hours(30 * 24);

/// How often old ticks are looked for.
const FORGET_EVERY: Duration = Duration::from_mins(10);

/// Old ticks of one tenant that one look forgets.
const FORGOTTEN_AT_ONCE: u32 = 5_000;

/// What one daemon remembers between its passes.
#[derive(Debug, Default)]
pub struct TickWatch {
    lease: HeldLease,
    adopted: Adopted,
    /// The schedules whose ticks wait until a run has ended.
    waits: TickWaits,
    forgot_at: Option<Duration>,
}

/// What a pass came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TickPass {
    /// Ticks that requested runs.
    pub launched: usize,
    /// Ticks that requested nothing.
    pub skipped: usize,
    /// Ticks that should have requested runs and could not.
    pub failed: usize,
    /// Schedules whose ticks could not be stored; they are still due.
    pub unsettled: usize,
    /// When the next schedule is due, as far as is known.
    pub next_due: Option<Timestamp>,
    /// Schedules whose ticks wait until runs have ended, which another pass may find.
    pub waiting: usize,
    /// Whether this daemon is the one that lets schedules tick.
    pub is_holder: bool,
}

/// What becomes of one due schedule.
#[derive(Debug, Clone)]
pub(crate) struct Settled {
    pub(crate) tenant: TenantId,
    pub(crate) cursor: CursorMove,
    pub(crate) ticks: Vec<(NewTick, Vec<Wish>)>,
    /// The limit that has its next tick wait, where it does.
    pub(crate) waits_for: Option<u32>,
}

/// What a pass has loaded of one tenant.
#[derive(Debug, Default)]
struct TenantView {
    /// The jobs that somebody switched, by location.
    words: BTreeMap<LocationName, BTreeMap<JobName, bool>>,
    /// The runs of its schedules that are not over.
    active: Option<BTreeMap<(LocationName, String), u32>>,
}

impl Control {
    /// Lets the schedules that are due tick, if this daemon holds their lease.
    ///
    /// Crash-safe: what is not stored is still due. The lease only keeps daemons from doing the
    /// same work twice; that nothing ticks twice is the cursor's doing.
    pub async fn tick_schedules(
        &self,
        me: &str,
        watch: &mut TickWatch,
        time_to_live: Duration,
    ) -> Result<TickPass, ControlError> {
        let held = self.hold_lease(LEASE, me, &mut watch.lease, time_to_live).await?;
        let Some(fence) = held else { return Ok(TickPass::default()) };
        let held = Held { lease: LEASE, holder: me.to_owned(), fence };
        watch.adopted.begin(&held, self.now());
        let catalog = self.catalog().await?;
        self.adopt_schedules(&catalog, &mut watch.adopted).await?;
        let mut due = self.due_sources(TickKind::Schedule, self.now()).await?;
        due.extend(self.with_room(&mut watch.waits).await?);
        let mut pass = TickPass { is_holder: true, ..TickPass::default() };
        if !due.is_empty() {
            let settled = self.settle(&catalog, due).await?;
            let storing = Storing { limits: catalog.limits(), held: &held };
            let stored = self.store_settled(storing, settled, &mut pass).await;
            self.remember_waiting(&mut watch.waits, &stored).await?;
        }
        pass.waiting = watch.waits.count();
        self.forget_old_ticks(&catalog, watch).await?;
        pass.next_due = if watch.waits.have_room() {
            Some(self.now())
        } else {
            self.store.next_due(TickKind::Schedule).await?
        };
        Ok(pass)
    }

    /// The sources of a kind that are due, the longest due first.
    pub(crate) async fn due_sources(
        &self,
        kind: TickKind,
        now: Timestamp,
    ) -> Result<Vec<StoredSource>, StoreError> {
        // Mostly nothing is due, and one row says so.
        let next = self.store.next_due(kind).await?;
        if next.is_none_or(|next| next > now) {
            return Ok(Vec::new());
        }
        self.store.due_sources(kind, now, DUE_MAX).await
    }

    /// Gives the lease of schedules back, so that the next daemon need not wait for it.
    pub async fn release_schedules(&self, me: &str) -> Result<(), StoreError> {
        self.release_lease(LEASE, me).await
    }

    /// Decides what becomes of each due schedule.
    async fn settle(
        &self,
        catalog: &Arc<Catalog>,
        due: Vec<StoredSource>,
    ) -> Result<Vec<Settled>, StoreError> {
        let mut by_tenant: BTreeMap<TenantId, Vec<StoredSource>> = BTreeMap::new();
        for source in due {
            by_tenant.entry(source.tenant.clone()).or_default().push(source);
        }
        let mut plans = TickPlans::default();
        let mut settled = Vec::new();
        for (tenant, sources) in by_tenant {
            let mut view = TenantView::default();
            for source in sources {
                let found = catalog.schedules_of(&source.source.location);
                let live = found.and_then(|(manifest, live)| {
                    Some((manifest, live.get(&tenant, &source.source.name)?))
                });
                // One that left the definitions since is taken out when they are adopted.
                let Some((manifest, schedule)) = live else { continue };
                if *schedule.timing.hash() != source.timing {
                    continue;
                }
                let one = (manifest, schedule, &source);
                settled.push(self.settle_one(one, &mut view, &mut plans).await?);
            }
        }
        Ok(settled)
    }

    async fn settle_one(
        &self,
        (manifest, schedule, stored): (&Arc<Manifest>, &LiveSchedule, &StoredSource),
        view: &mut TenantView,
        plans: &mut TickPlans,
    ) -> Result<Settled, StoreError> {
        let def = &schedule.def;
        let policy = TickPolicy {
            catch_up: def.catch_up,
            deadline: def.deadline,
            max_active_runs: def.max_active_runs,
            active_runs: self.active_runs(schedule, stored, view).await?,
        };
        let now = self.now();
        let decided = decide(&schedule.timing, &policy, stored.cursor, now);
        let is_on = self.may_run_in(manifest, schedule, view).await?;
        let mut settled = Vec::with_capacity(decided.ticks.len());
        let mut requested = BTreeSet::new();
        for DueTick { nominal, verdict } in decided.ticks {
            let asked = match verdict {
                TickVerdict::Skip(reason) => Asked::Nothing(reason),
                TickVerdict::Fire if !is_on => Asked::Nothing(SkipReason::JobDisabled {}),
                TickVerdict::Fire => self.asked_by(manifest, schedule, nominal, plans).await?,
            };
            let tick = NewTick {
                source: source_of(manifest, schedule),
                nominal,
                decided_at: now,
                status: TickStatus::Skipped,
                skipped: None,
                error: None,
                warnings: Vec::new(),
                runs: Vec::new(),
            };
            settled.push(self.settle_tick(schedule, tick, (asked, &mut requested)).await?);
        }
        let cursor = CursorMove {
            source: stored.source.clone(),
            timing: stored.timing.clone(),
            from: stored.cursor,
            is_on: stored.next_due.is_some(),
            to: decided.cursor,
            next_due: decided.next_due,
        };
        let (tenant, waits_for) = (schedule.tenant.clone(), decided.waits_for);
        Ok(Settled { tenant, cursor, ticks: settled, waits_for })
    }

    /// `tick` with what it asks for, of which the runs that were asked for before, or by an earlier
    /// tick of this pass, are left out.
    async fn settle_tick(
        &self,
        schedule: &LiveSchedule,
        tick: NewTick,
        (asked, requested): (Asked, &mut BTreeSet<String>),
    ) -> Result<(NewTick, Vec<Wish>), StoreError> {
        Ok(match asked {
            Asked::Nothing(reason) => (NewTick { skipped: Some(reason), ..tick }, Vec::new()),
            Asked::Failed(error, warnings) => {
                let (status, error) = (TickStatus::Failed, Some(error));
                (NewTick { status, error, warnings, ..tick }, Vec::new())
            }
            Asked::Runs(mut wishes, mut warnings) => {
                // Without a template the key names the tick, which was never decided before.
                if schedule.def.run_key.is_some() {
                    let keys: Vec<&str> = wishes.iter().map(|it| it.run_key.as_str()).collect();
                    let tenant = &schedule.tenant;
                    let known = self.store.runs_of_keys(tenant, &tick.source, &keys).await?;
                    wishes.retain(|wish| {
                        let run = known.get(&wish.run_key).copied();
                        let is_new = run.is_none() && requested.insert(wish.run_key.clone());
                        if !is_new && warnings.len() < REPEATED_NAMED {
                            warnings.push(requested_before(wish, run));
                        }
                        is_new
                    });
                }
                if wishes.is_empty() {
                    let skipped = Some(SkipReason::Requested {});
                    return Ok((NewTick { skipped, warnings, ..tick }, wishes));
                }
                (NewTick { status: TickStatus::Launched, warnings, ..tick }, wishes)
            }
        })
    }

    async fn active_runs(
        &self,
        schedule: &LiveSchedule,
        stored: &StoredSource,
        view: &mut TenantView,
    ) -> Result<u32, StoreError> {
        if schedule.def.max_active_runs.is_none() {
            return Ok(0);
        }
        let active = match view.active.take() {
            Some(active) => active,
            None => self.store.active_runs(&schedule.tenant, TickKind::Schedule).await?,
        };
        let key = (stored.source.location.clone(), stored.source.name.clone());
        let count = active.get(&key).copied().unwrap_or(0);
        view.active = Some(active);
        Ok(count)
    }

    /// Whether the job that a schedule runs may run, asked for this one alone.
    pub(crate) async fn may_run(
        &self,
        manifest: &Manifest,
        schedule: &LiveSchedule,
    ) -> Result<bool, StoreError> {
        self.may_run_in(manifest, schedule, &mut TenantView::default()).await
    }

    /// The same with what is kept for all schedules of the tenant.
    async fn may_run_in(
        &self,
        manifest: &Manifest,
        schedule: &LiveSchedule,
        view: &mut TenantView,
    ) -> Result<bool, StoreError> {
        let ScheduleTarget::Job(job) = &schedule.def.target else { return Ok(true) };
        let location = &manifest.location;
        if let Some(words) = view.words.get(location) {
            return Ok(is_job_on(manifest, words, job));
        }
        let words = self.store.job_overrides(&schedule.tenant, location).await?;
        let is_on = is_job_on(manifest, &words, job);
        view.words.insert(location.clone(), words);
        Ok(is_on)
    }

    /// Forgets ticks that are older than is kept, a portion at a time.
    async fn forget_old_ticks(
        &self,
        catalog: &Catalog,
        watch: &mut TickWatch,
    ) -> Result<(), StoreError> {
        let elapsed = self.seams.clock.elapsed();
        let last = *watch.forgot_at.get_or_insert(elapsed);
        if elapsed.saturating_sub(last) < FORGET_EVERY {
            return Ok(());
        }
        let kept = i64::try_from(KEPT_FOR.as_micros()).unwrap_or(i64::MAX);
        let before = Timestamp::from_micros(self.now().as_micros().saturating_sub(kept));
        let mut is_done = true;
        for tenant in catalog.tenant_ids() {
            let mut applied = self.store.apply(forget(&tenant, before, FORGOTTEN_AT_ONCE)).await?;
            is_done &= applied.rows(0).len() < FORGOTTEN_AT_ONCE as usize;
        }
        if is_done {
            watch.forgot_at = Some(elapsed);
        }
        Ok(())
    }
}

/// That a request was made before, with its key and the run that has it.
fn requested_before(wish: &Wish, run: Option<RunId>) -> TickWarning {
    let key = &wish.run_key;
    let message = match run {
        Some(run) => format!("deduplicated: run {} has the key {key}", run.short()),
        None => format!("deduplicated: key {key}, requested at the same time"),
    };
    let partition = wish.request.partition.clone();
    TickWarning { partition, code: ErrorCode::RunKeyKnown, message }
}
