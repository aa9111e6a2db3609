//! One tick of a sensor: who is due, what it asks, and the commit of what came of it.
//!
//! A daemon asks outside of any transaction ([`Control::begin_sensor`] says what). The runs that a
//! tick requests, the keys that it adds and removes, the moved cursor and the tick itself are one
//! batch ([`Control::settle_sensor`]), stored against the cursor's time and the definition's
//! version that it was asked with: of two daemons that ask, one stores its answer, and one only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use millstream_decide::sensor::{Draft, DraftRequest, without_known};
use millstream_model::view::{SensorTest, TickRequest, TickTest};
use millstream_model::worker_api::Assignment;
use millstream_model::{
    Cause, CommandStep, ContentHash, ErrorCode, Event, JobName, LocationName, Manifest,
    PartitionKey, PartitionsDef, RunRequest, ScheduleTarget, SensorDef, SensorQuestion, SkipReason,
    StepConfig, TenantId, TickKind, TickRun, TickSource, TickStatus, TickWarning, Timestamp,
};
use millstream_plan::selection::select;
use millstream_plan::{PartitionChoice, plan_assets, plan_job, plan_question};
use millstream_store::sensors::{SensorMove, settle};
use millstream_store::ticks::NewTick;
use millstream_store::{Batch, StoreError, events, partitions};
use serde_json::{Map, Value, json};

use crate::launch::Planned;
use crate::lease::HeldLease;
use crate::sensor_replies::{Outcome, SensorReply};
use crate::sensors::TICK;
use crate::{Control, ControlError};

/// The lease of whoever asks sensors.
const LEASE: &str = "sensors";

/// Due sensors that one pass looks at.
const DUE_MAX: u32 = 10_000;

/// The longest cursor that a program gets as a variable; a longer one stands in its context.
const VARIABLE_MAX: usize = 100 << 10;

/// What one daemon remembers between its passes over the sensors.
#[derive(Debug, Default)]
pub struct SensorWatch {
    lease: HeldLease,
    /// The versions of the locations whose sensors are in the store.
    adopted: BTreeMap<LocationName, i64>,
}

/// Who is due.
#[derive(Debug, Clone, Default)]
pub struct SensorPass {
    /// The sensors that are due, the longest due first.
    pub due: Vec<(TenantId, TickSource)>,
    /// When the next of the others is due, as far as is known.
    pub next_due: Option<Timestamp>,
    /// Whether this daemon is the one that asks.
    pub is_holder: bool,
}

/// A sensor that is being asked.
#[derive(Debug, Clone)]
pub struct SensorAsking {
    /// The tenant.
    pub tenant: TenantId,
    /// Which sensor.
    pub source: TickSource,
    /// The time that the tick is known by.
    pub nominal: Timestamp,
    /// What it remembers.
    pub cursor: Option<String>,
    /// Its definition.
    pub def: Arc<SensorDef>,
    pub(crate) manifest: Arc<Manifest>,
    version: ContentHash,
    from: Timestamp,
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
    /// Nothing was stored: the sensor has ticked, was edited or was switched meanwhile.
    Replaced,
}

/// A tick as it would be stored.
struct Settling {
    tick: NewTick,
    runs: Vec<(DraftRequest, Arc<Planned>)>,
    outcome: Outcome,
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
        if self.hold_lease(LEASE, me, &mut watch.lease, time_to_live).await?.is_none() {
            return Ok(SensorPass::default());
        }
        let catalog = self.catalog().await?;
        self.adopt_sensors(&catalog, &mut watch.adopted).await?;
        let now = self.now();
        let due = self.store.due_sources(TickKind::Sensor, now, DUE_MAX).await?;
        Ok(SensorPass {
            due: due.into_iter().map(|stored| (stored.tenant, stored.source)).collect(),
            next_due: self.store.next_sensor_after(now).await?,
            is_holder: true,
        })
    }

    /// Gives the lease of sensors back, so that the next daemon need not wait for it.
    pub async fn release_sensors(&self, me: &str) -> Result<(), StoreError> {
        self.release_lease(LEASE, me).await
    }

    /// What a sensor is to be asked with; `None` when it is gone or known otherwise by now.
    pub async fn begin_sensor(
        &self,
        tenant: &TenantId,
        source: &TickSource,
    ) -> Result<Option<SensorAsking>, StoreError> {
        let catalog = self.catalog().await?;
        let Some((manifest, live)) = catalog.sensors_of(&source.location) else { return Ok(None) };
        let Some(sensor) = live.get(tenant, &source.name) else { return Ok(None) };
        let Some(memory) = self.store.sensor_memory(tenant, source).await? else {
            return Ok(None);
        };
        if memory.stored.timing != sensor.version {
            return Ok(None);
        }
        let from = memory.stored.cursor;
        Ok(Some(SensorAsking {
            tenant: tenant.clone(),
            source: source.clone(),
            nominal: self.now().max(from.after(TICK)),
            cursor: memory.cursor,
            def: Arc::clone(&sensor.def),
            manifest: Arc::clone(manifest),
            version: sensor.version.clone(),
            from,
        }))
    }

    /// The step that answers a sensor's question, as an assignment that is no run's; `None` where
    /// no step does. The inner error says why it cannot be asked.
    pub fn question_of(&self, asking: &SensorAsking) -> Option<Result<Assignment, TickWarning>> {
        let step = match &asking.def.question {
            SensorQuestion::Own { step } | SensorQuestion::Rows { step, .. } => (**step).clone(),
            SensorQuestion::PartitionSync(sync) => sync.source.clone(),
            SensorQuestion::Files(_)
            | SensorQuestion::Asset { .. }
            | SensorQuestion::RunStatus { .. } => return None,
        };
        let step = with_cursor(step, asking);
        let step = (step, asking.def.timeout);
        let plan = match plan_question(&asking.manifest, &asking.tenant, step) {
            Ok(plan) => plan,
            Err(error) => {
                let (code, message) = (error.code(), error.to_string());
                return Some(Err(TickWarning { partition: None, code, message }));
            }
        };
        let context = json!({
            "sensor": asking.def.name,
            "cursor": asking.cursor,
            "nominal": asking.nominal.to_string(),
        });
        Some(Ok(Assignment {
            tenant: asking.tenant.clone(),
            run: self.new_id(),
            epoch: 1,
            plan,
            context: context.as_object().cloned().unwrap_or_default(),
            queued_at: asking.nominal,
            progress: Vec::new(),
        }))
    }

    /// Stores what came of a tick: all of it or nothing.
    ///
    /// Crash-safe: what is not stored is asked again, from the same cursor.
    pub async fn settle_sensor(
        &self,
        asking: &SensorAsking,
        reply: Result<SensorReply, TickWarning>,
    ) -> Result<SensorTicked, StoreError> {
        let settling = self.settling(asking, reply).await?;
        let catalog = self.catalog().await?;
        let now = self.now();
        let is_partial = settling.outcome.is_partial && settling.tick.status != TickStatus::Failed;
        let wait = if is_partial { Duration::ZERO } else { asking.def.every.0 };
        let due = asking.nominal.after(wait).max(now);
        let to = SensorMove {
            source: asking.source.clone(),
            version: asking.version.clone(),
            from: asking.from,
            cursor: settling.outcome.cursor.clone(),
            next_due: due,
        };
        let Settling { mut tick, runs, outcome } = settling;
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
        for (request, planned) in &runs {
            let order = run_request(asking, request);
            let (launched, event) = self.add_run(&mut rest, catalog.limits(), &order, planned);
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
        if !queued.is_empty() {
            events::insert(&mut batch, tenant, &self.new_id().to_string(), &queued);
        }
        match self.store.apply(batch).await {
            Ok(_) => {}
            Err(error) if error.is_conflict() => return Ok(SensorTicked::Replaced),
            Err(error) => return Err(error),
        }
        for line in &outcome.said {
            tracing::info!(%tenant, sensor = %asking.def.name, "{line}");
        }
        Ok(match tick.status {
            TickStatus::Launched => SensorTicked::Launched(runs.len()),
            TickStatus::Skipped => SensorTicked::Skipped,
            TickStatus::Failed => SensorTicked::Failed,
        })
    }

    /// What a tick would come to; nothing is stored.
    pub async fn try_sensor(
        &self,
        asking: &SensorAsking,
        reply: Result<SensorReply, TickWarning>,
    ) -> Result<SensorTest, StoreError> {
        let Settling { tick, runs, outcome } = self.settling(asking, reply).await?;
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
            },
            cursor_before: asking.cursor.clone(),
            cursor_after: outcome.cursor,
            partitions: outcome.partitions,
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
            Ok(reply) => self.outcome_of(asking, reply).await?,
            Err(error) => Err(error),
        };
        let mut outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                (tick.status, tick.error) = (TickStatus::Failed, Some(error));
                let outcome = Outcome { cursor: asking.cursor.clone(), ..Outcome::default() };
                return Ok(Settling { tick, runs: Vec::new(), outcome });
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
        let (runs, is_off) = self.planned(asking, &outcome, &mut draft).await?;
        let is_hard = |warning: &TickWarning| warning.code != ErrorCode::RunKeyKnown;
        if !runs.is_empty() {
            tick.status = TickStatus::Launched;
        } else if let Some(at) = draft.warnings.iter().position(is_hard) {
            // Nothing of it could be done, so that it is tried again with the same cursor.
            tick.status = TickStatus::Failed;
            tick.error = Some(draft.warnings.remove(at));
            let outcome = Outcome { cursor: asking.cursor.clone(), ..Outcome::default() };
            tick.warnings = draft.warnings;
            return Ok(Settling { tick, runs, outcome });
        } else {
            tick.skipped = Some(why_nothing(&outcome, &draft, is_off));
        }
        tick.warnings = draft.warnings;
        Ok(Settling { tick, runs, outcome })
    }

    /// The plans of what is requested; what cannot be planned becomes a warning. Also whether
    /// something was left out because its job is switched off.
    async fn planned(
        &self,
        asking: &SensorAsking,
        outcome: &Outcome,
        draft: &mut Draft,
    ) -> Result<(Vec<(DraftRequest, Arc<Planned>)>, bool), StoreError> {
        let requests = std::mem::take(&mut draft.requests);
        if requests.is_empty() {
            return Ok((Vec::new(), false));
        }
        let words = self.store.job_overrides(&asking.tenant, &asking.manifest.location).await?;
        let existing = self.existing_keys(asking, outcome, &requests).await?;
        let mut plans: BTreeMap<(ScheduleTarget, Option<PartitionKey>), Arc<Planned>> =
            BTreeMap::new();
        let mut runs = Vec::with_capacity(requests.len());
        let mut is_off = false;
        for request in requests {
            if let ScheduleTarget::Job(job) = &request.target
                && !is_job_on(&asking.manifest, &words, job)
            {
                is_off = true;
                continue;
            }
            let key = (request.target.clone(), request.partition.clone());
            if let Some(planned) = plans.get(&key) {
                runs.push((request, Arc::clone(planned)));
                continue;
            }
            let choice = request.partition.as_ref().map(|key| {
                let mut choice = PartitionChoice::new(key.clone(), self.now());
                let asked =
                    asking.manifest.partitions.values().flat_map(|def| def.dynamic_keys(key));
                choice.added.extend(asked.filter(|key| existing.contains(key)));
                choice
            });
            let plan = match &request.target {
                ScheduleTarget::Job(job) => {
                    plan_job(&asking.manifest, &asking.tenant, job, choice.as_ref())
                }
                ScheduleTarget::Select(text) => select(&asking.manifest, text).and_then(|assets| {
                    plan_assets(&asking.manifest, &asking.tenant, &assets, choice.as_ref())
                }),
            };
            match plan {
                // A partition of another tenant is that tenant's to ask for.
                Ok(plan) if plan.tenant != asking.tenant => {
                    let message = format!("the partition belongs to tenant {}", plan.tenant);
                    draft.warn(request.partition, ErrorCode::PartitionUnknown, message);
                }
                Ok(plan) => {
                    let planned = Arc::new(Planned::new(plan)?);
                    plans.insert(key, Arc::clone(&planned));
                    runs.push((request, planned));
                }
                Err(error) => draft.warn(request.partition, error.code(), error.to_string()),
            }
        }
        Ok((runs, is_off))
    }

    /// The dynamic keys among the requests' partitions that exist, or will once the tick is stored.
    async fn existing_keys(
        &self,
        asking: &SensorAsking,
        outcome: &Outcome,
        requests: &[DraftRequest],
    ) -> Result<BTreeSet<PartitionKey>, StoreError> {
        let mut existing = BTreeSet::new();
        let wanted: BTreeSet<&PartitionKey> =
            requests.iter().filter_map(|request| request.partition.as_ref()).collect();
        if wanted.is_empty() {
            return Ok(existing);
        }
        for (name, def) in &asking.manifest.partitions {
            let asked: BTreeSet<PartitionKey> =
                wanted.iter().flat_map(|key| def.dynamic_keys(key)).collect();
            if asked.is_empty() {
                continue;
            }
            let asked: Vec<PartitionKey> = asked.into_iter().collect();
            let known = self.store.dynamic_partitions_known(&asking.tenant, name, &asked).await?;
            existing.extend(known);
            if let (PartitionsDef::Dynamic(_), Some(change)) = (def, outcome.partitions.get(name)) {
                existing.extend(change.add.iter().cloned());
                existing.retain(|key| !change.remove.contains(key));
            }
        }
        Ok(existing)
    }
}

/// The step with the cursor where its kind looks for it.
fn with_cursor(step: StepConfig, asking: &SensorAsking) -> StepConfig {
    match step {
        StepConfig::Sql(mut sql) => {
            sql.params.entry("cursor".to_owned()).or_insert_with(|| json!("{{ trigger.cursor }}"));
            StepConfig::Sql(sql)
        }
        StepConfig::Command(CommandStep { command, mut env, cwd, pipes }) => {
            let short = asking.cursor.as_ref().is_none_or(|cursor| cursor.len() < VARIABLE_MAX);
            if short {
                let cursor = || "{{ trigger.cursor or '' }}".to_owned();
                env.entry("MILLSTREAM_CURSOR".to_owned()).or_insert_with(cursor);
            }
            StepConfig::Command(CommandStep { command, env, cwd, pipes })
        }
        other => other,
    }
}

fn run_request(asking: &SensorAsking, request: &DraftRequest) -> RunRequest {
    let name = asking.def.name.to_string();
    let mut tags = request.tags.clone();
    tags.insert("dagster/sensor_name".to_owned(), name.clone());
    tags.insert("tenant".to_owned(), asking.tenant.to_string());
    let mut context: Map<String, Value> = request.context.clone();
    if let Some(run) = request.of {
        context.entry("triggered_by").or_insert_with(|| run.to_string().into());
    }
    RunRequest {
        tenant: asking.tenant.clone(),
        cause: Cause::Sensor { name, nominal: asking.nominal, of: request.of },
        partition: request.partition.clone(),
        context,
        tags,
    }
}

fn is_job_on(manifest: &Manifest, words: &BTreeMap<JobName, bool>, job: &JobName) -> bool {
    let word = words.get(job).copied();
    word.unwrap_or_else(|| manifest.jobs.get(job).is_none_or(|def| def.enabled))
}

/// Why a tick that did not fail requests nothing.
fn why_nothing(outcome: &Outcome, draft: &Draft, is_off: bool) -> SkipReason {
    if let Some(said) = &outcome.skipped {
        return said.clone();
    }
    if is_off {
        return SkipReason::JobDisabled {};
    }
    match &draft.unfit {
        Some((count, first)) => SkipReason::NoneFits { count: *count, first: first.clone() },
        None if draft.warnings.is_empty() => SkipReason::NoNews {},
        None => SkipReason::Requested {},
    }
}
