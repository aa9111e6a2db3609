//! One tick of a sensor: who is due, what it asks, and the commit of what came of it.
//!
//! A daemon asks outside of any transaction ([`Control::begin_sensor`] says what). The runs that a
//! tick requests, the keys that it adds and removes, the moved cursor and the tick itself are one
//! batch ([`Control::settle_sensor`]), stored against the cursor's time and the definition's
//! version that it was asked with: of two daemons that ask, one stores its answer, and one only.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream_decide::sensor::{Draft, DraftRequest, Unfit, without_known};
use millstream_model::view::{SensorTest, TickRequest, TickTest};
use millstream_model::{
    ErrorCode, Event, SensorDef, SensorName, SensorQuestion, SkipReason, TenantId, TickKind,
    TickRun, TickStatus, TickWarning, Timestamp,
};
use millstream_store::leases::Held;
use millstream_store::sensors::{SensorMove, is_repeated, settle};
use millstream_store::sources::look_soon_unless;
use millstream_store::ticks::NewTick;
use millstream_store::{Applied, Batch, StoreError, events, partitions};

use crate::adopted::Adopted;
use crate::launch::{NewRuns, Planned};
use crate::lease::HeldLease;
use crate::sensor_asking::SensorAsking;
use crate::sensor_groups::Sensor;
use crate::sensor_replies::{Outcome, SensorReply};
use crate::sensor_rest::resting;
use crate::sensor_runs::run_request;
use crate::webhooks::Handled;
use crate::{Control, ControlError, webhooks};

/// The lease of whoever asks sensors.
pub(crate) const LEASE: &str = "sensors";

/// What one daemon remembers between its passes over the sensors.
#[derive(Debug, Default)]
pub struct SensorWatch {
    lease: HeldLease,
    adopted: Adopted,
}

/// The sensors that are due.
#[derive(Debug, Clone, Default)]
pub struct SensorPass {
    /// Those whose question somebody has to answer, the longest due first.
    pub due: Vec<Sensor>,
    /// Those that the store alone answers, the longest due first.
    pub readers: Vec<Sensor>,
    /// When the next of the others is due, as far as is known.
    pub next_due: Option<Timestamp>,
    /// Whether this daemon is the one that asks.
    pub is_holder: bool,
}

/// What came of a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SensorTicked {
    /// It requested so many runs.
    Launched(usize),
    /// It requested nothing.
    Skipped,
    /// It failed.
    Failed,
    /// Nothing was stored: the sensor has ticked, was edited or was switched meanwhile, or is gone.
    Replaced,
}

/// A tick on its way into the store.
pub(crate) struct Settled {
    pub(crate) batch: Batch,
    pub(crate) came_to: CameTo,
}

/// What came of a tick, if it is stored.
pub(crate) struct CameTo {
    sensor: (TenantId, SensorName),
    ticked: SensorTicked,
    /// What a log says of it.
    said: Vec<String>,
    /// Why it failed.
    failed: Option<TickWarning>,
}

impl CameTo {
    /// What came of the tick now that its batch has been applied.
    pub(crate) fn once(
        self,
        applied: Result<Applied, StoreError>,
    ) -> Result<SensorTicked, StoreError> {
        let mut applied = match applied {
            Ok(applied) => applied,
            Err(error) if error.is_conflict() => return Ok(SensorTicked::Replaced),
            Err(error) => return Err(error),
        };
        let (tenant, sensor) = &self.sensor;
        if let Some(TickWarning { code, message, .. }) = &self.failed {
            // A sensor that fails for long is no news each time.
            if is_repeated(&mut applied) {
                tracing::debug!(%tenant, %sensor, "a sensor's tick failed again: {message}");
            } else {
                let code = code.as_str();
                tracing::warn!(%tenant, %sensor, code, "a sensor's tick failed: {message}");
            }
        }
        for line in &self.said {
            tracing::info!(%tenant, %sensor, "{line}");
        }
        Ok(self.ticked)
    }
}

/// A tick as it would be stored.
struct Settling {
    tick: NewTick,
    runs: Vec<(DraftRequest, Arc<Planned>)>,
    outcome: Outcome,
    /// What becomes of the deliveries that were read.
    handled: Handled,
}

impl Control {
    /// The sensors that are due, if this daemon holds their lease.
    ///
    /// Crash-safe: what is not stored is still due. The lease only keeps daemons from asking twice;
    /// that nothing ticks twice is the cursor's doing.
    pub async fn due_sensors(
        &self,
        me: &str,
        watch: &mut SensorWatch,
        time_to_live: Duration,
    ) -> Result<SensorPass, ControlError> {
        let held = self.hold_lease(LEASE, me, &mut watch.lease, time_to_live).await?;
        let Some(fence) = held else { return Ok(SensorPass::default()) };
        let held = Held { lease: LEASE, holder: me.to_owned(), fence };
        watch.adopted.begin(&held, self.now());
        let catalog = self.catalog().await?;
        self.adopt_sensors(&catalog, &mut watch.adopted).await?;
        let now = self.now();
        let due = self.due_sources(TickKind::Sensor, now).await?;
        let reads_store = |(tenant, source): &Sensor| {
            let live = catalog.sensors_of(&source.location);
            let live = live.and_then(|(_, live)| live.get(tenant, &source.name));
            live.is_some_and(|live| live.def.question.reads_store())
        };
        let (readers, due) =
            due.into_iter().map(|stored| (stored.tenant, stored.source)).partition(reads_store);
        Ok(SensorPass {
            due,
            readers,
            next_due: self.store.next_sensor_after(now).await?,
            is_holder: true,
        })
    }

    /// Gives the lease of sensors back, so that the next daemon need not wait for it.
    pub async fn release_sensors(&self, me: &str) -> Result<(), StoreError> {
        self.release_lease(LEASE, me).await
    }

    /// Stores what came of a tick: all of it or nothing.
    ///
    /// Crash-safe: what is not stored is asked again, from the same cursor.
    pub async fn settle_sensor(
        &self,
        asking: &SensorAsking,
        reply: Result<SensorReply, TickWarning>,
    ) -> Result<SensorTicked, StoreError> {
        let Settled { batch, came_to } = self.settled(asking, reply).await?;
        came_to.once(self.store.apply(batch).await)
    }

    /// The batch that stores a tick, and what came of it once that is stored.
    pub(crate) async fn settled(
        &self,
        asking: &SensorAsking,
        reply: Result<SensorReply, TickWarning>,
    ) -> Result<Settled, StoreError> {
        let catalog = self.catalog().await?;
        let asking = &*asking.among(&catalog);
        let settling = self.settling(asking, reply).await?;
        let now = self.now();
        // A nominal time is never before the last one, which a clock that was ahead may have given.
        let began = asking.nominal.min(now);
        let due = began.after(wait_after(&asking.def, &settling)).max(now);
        let to = SensorMove {
            source: asking.source.clone(),
            version: asking.version.clone(),
            from: asking.from,
            cursor: settling.outcome.cursor.clone(),
            next_due: due,
        };
        let Settling { mut tick, runs, mut outcome, handled } = settling;
        let tenant = &asking.tenant;
        let mut batch = Batch::for_tenant(tenant);
        let mut queued: Vec<Event> = Vec::with_capacity(runs.len());
        let mut rest = Batch::for_tenant(tenant);
        for (name, change) in &outcome.partitions {
            for key in &change.add {
                partitions::add(&mut rest, tenant, name, key, now);
            }
            for key in &change.remove {
                partitions::remove(&mut rest, tenant, name, key, now);
            }
        }
        let mut into = NewRuns::new(&mut rest, catalog.limits());
        for (request, planned) in &runs {
            let order = run_request(asking, request);
            let (launched, event) = self.add_run(&mut into, &order, planned);
            queued.push(event);
            tick.runs.push(TickRun {
                run_key: request.run_key.clone(),
                run_id: launched.run_id,
                partition: launched.partition,
            });
        }
        // First of all: whoever is too late stops here.
        settle(&mut batch, tenant, (&to, &tick));
        batch.append(rest);
        if matches!(asking.def.question, SensorQuestion::Webhook(_)) {
            asking.take(&mut batch, &handled);
            outcome.said.extend(handled.given_up());
        }
        if !queued.is_empty() {
            events::insert(&mut batch, tenant, &self.new_id().to_string(), &queued);
        }
        if let Some(held) = &asking.held {
            look_soon_unless(held, &mut batch, tenant, std::iter::once(&to.source));
        }
        let ticked = match tick.status {
            TickStatus::Launched => SensorTicked::Launched(runs.len()),
            TickStatus::Skipped | TickStatus::Synced => SensorTicked::Skipped,
            TickStatus::Failed => SensorTicked::Failed,
        };
        let sensor = (tenant.clone(), asking.def.name.clone());
        let came_to = CameTo { sensor, ticked, said: outcome.said, failed: tick.error };
        Ok(Settled { batch, came_to })
    }

    /// What a tick would come to; nothing is stored.
    pub async fn try_sensor(
        &self,
        asking: &SensorAsking,
        reply: Result<SensorReply, TickWarning>,
    ) -> Result<SensorTest, StoreError> {
        let asking = &asking.clone().by_hand();
        let Settling { tick, runs, outcome, .. } = self.settling(asking, reply).await?;
        let request = |(request, _): (DraftRequest, Arc<Planned>)| TickRequest {
            run_key: request.run_key,
            partition: request.partition,
            tags: request.tags,
            is_known: false,
        };
        Ok(SensorTest {
            tick: TickTest {
                nominal: tick.nominal,
                status: tick.status,
                skipped: tick.skipped,
                error: tick.error,
                warnings: tick.warnings,
                requests: runs.into_iter().map(request).collect(),
                enabled: asking.enabled,
                in_the_way: None,
            },
            cursor_before: asking.cursor.clone(),
            cursor_after: outcome.cursor,
            partitions: outcome.real,
            output: String::new(),
        })
    }

    /// The tick as it is to be stored, with the runs that are planned for it.
    async fn settling(
        &self,
        asking: &SensorAsking,
        reply: Result<SensorReply, TickWarning>,
    ) -> Result<Settling, StoreError> {
        let mut tick = NewTick {
            source: asking.source.clone(),
            nominal: asking.nominal,
            decided_at: self.now(),
            status: TickStatus::Skipped,
            skipped: None,
            error: None,
            warnings: Vec::new(),
            runs: Vec::new(),
        };
        let outcome = match reply {
            _ if self.settles_as_resting(asking).await? => Ok(resting(asking)),
            Ok(reply) => self.outcome_of(asking, reply).await?,
            Err(error) => Err(error),
        };
        let mut outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                (tick.status, tick.error) = (TickStatus::Failed, Some(error));
                let outcome = Outcome { cursor: asking.cursor.clone(), ..Outcome::default() };
                let (runs, handled) = (Vec::new(), Handled::default());
                return Ok(Settling { tick, runs, outcome, handled });
            }
        };
        let keys: Vec<&str> =
            outcome.draft.requests.iter().map(|request| request.run_key.as_str()).collect();
        let known = if keys.is_empty() {
            BTreeMap::new()
        } else {
            self.store.runs_of_keys(&asking.tenant, &asking.source, &keys).await?
        };
        let mut draft = without_known(std::mem::take(&mut outcome.draft), &known);
        let is_off = self.leave_out_jobs_off(asking, &mut draft).await?;
        let runs = self.planned_for(asking, &outcome, &mut draft).await?;
        let read = std::mem::take(&mut outcome.read);
        let mut handled = asking.handled(read, std::mem::take(&mut draft.failed));
        tick.warnings = draft.told();
        let hard = tick.warnings.iter().position(is_hard).filter(|_| known.is_empty());
        if !runs.is_empty() {
            tick.status = TickStatus::Launched;
            tick.skipped = beside_runs(&outcome, &draft);
        } else if let Some(at) = hard {
            // Nothing of it could be done, now or before, so that it is tried again: with the same
            // cursor, or each delivery when it is due.
            tick.status = TickStatus::Failed;
            tick.error = Some(tick.warnings.remove(at));
            let outcome = Outcome { cursor: asking.cursor.clone(), ..Outcome::default() };
            return Ok(Settling { tick, runs, outcome, handled });
        } else if known.is_empty() && is_off {
            (outcome, handled) = (resting(asking), Handled::default());
            tick.skipped = outcome.skipped.clone();
        } else {
            let reason = why_nothing(&outcome, &draft);
            if reason.is_change() {
                tick.status = TickStatus::Synced;
            }
            tick.skipped = Some(reason);
        }
        tick.warnings.extend(outcome.note.take());
        Ok(Settling { tick, runs, outcome, handled })
    }
}

/// Whether a warning is about what can neither be requested now, nor was before, nor waits.
fn is_hard(warning: &TickWarning) -> bool {
    !matches!(warning.code, ErrorCode::RunKeyKnown | ErrorCode::JobDisabled)
}

/// How long a sensor rests after a tick.
fn wait_after(def: &SensorDef, settling: &Settling) -> Duration {
    let is_failed = settling.tick.status == TickStatus::Failed;
    if settling.outcome.is_partial && !is_failed { Duration::ZERO } else { longest_wait(def) }
}

/// The longest that a sensor rests after a tick.
pub(crate) fn longest_wait(def: &SensorDef) -> Duration {
    match &def.question {
        SensorQuestion::Webhook(_) => webhooks::rest(def.every.0),
        _ => def.every.0,
    }
}

/// What a tick that requests runs left out, or did to partitions.
fn beside_runs(outcome: &Outcome, draft: &Draft) -> Option<SkipReason> {
    let changed = outcome.skipped.clone().filter(SkipReason::is_change);
    changed.or_else(|| draft.unfit.as_ref().map(none_fits))
}

fn none_fits(Unfit { what, count, first }: &Unfit) -> SkipReason {
    SkipReason::NoneFits { what: *what, count: *count, first: first.clone() }
}

/// Why a tick that did not fail requests nothing.
fn why_nothing(outcome: &Outcome, draft: &Draft) -> SkipReason {
    if let Some(said) = &outcome.skipped {
        return said.clone();
    }
    match &draft.unfit {
        Some(unfit) => none_fits(unfit),
        None if draft.warnings.is_empty() => SkipReason::NoNews {},
        None => SkipReason::Requested {},
    }
}
