//! What pages and the API show of runs and assets: projections joined with definitions.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_decide::why::{Because, Tries, Try, missing_words, stale, tries_words};
use millstream_model::view::{
    AssetRow, FailedTry, MaterializationRow, PartitionRow, PartitionState, RunRow, StepRow,
};
use millstream_model::{
    AssetDef, AssetKey, PartitionKey, RunId, RunPlan, RunStatus, StepEvent, StepKey, StepStatus,
    TenantId, Timestamp, nearest,
};
use millstream_plan::PlanError;
use millstream_store::gone::PartitionsOf;
use millstream_store::steps::StoredStep;
use serde::Serialize;

use crate::catalog::Catalog;
use crate::stale::mark_stale;
use crate::why::maker;
use crate::{Control, ControlError};

/// Why a step is tried again whose worker is gone.
const LOST: &str = "lost with its worker, and done again by the next";

/// Digits that a short run id has at least.
const SHORT_MIN: usize = 4;

/// The group of an asset that no file declares any more.
const NO_GROUP: &str = "no longer declared";

/// Materializations that a page shows.
const HISTORY_MAX: u32 = 50;

/// A run with its steps.
#[derive(Debug, Clone, PartialEq)]
pub struct RunView {
    /// The run.
    pub run: RunRow,
    /// Its place among those of its tenant that wait, from 1, while it is queued.
    pub place: Option<u32>,
    /// Its steps in the order of its plan.
    pub steps: Vec<StepRow>,
    /// What it made.
    pub materializations: Vec<MaterializationRow>,
}

/// An asset with its history.
#[derive(Debug, Clone, PartialEq)]
pub struct AssetView {
    /// The asset.
    pub asset: AssetRow,
    /// The assets that are made from it.
    pub feeds: Vec<AssetKey>,
    /// Its newest materializations.
    pub history: Vec<MaterializationRow>,
    /// Its partitions, touched or not, in the order of their keys.
    pub partitions: Vec<PartitionRow>,
    /// Its tries since it was made, newest first; none of an asset with partitions.
    pub tries: Tries,
    /// Its partitions whose newest tries made nothing and did not fail, the newest first.
    pub in_vain: Vec<(PartitionKey, Try)>,
    /// Those of what it is made from that were never made, each with what makes it.
    pub never_made: Vec<NeverMade>,
    /// What says that it is stale.
    pub stale: Vec<Because>,
    /// The first runs that have yet to make it, and how each stands.
    pub coming: Vec<Because>,
}

/// An asset that was never made and that another is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NeverMade {
    /// The asset.
    pub asset: AssetKey,
    /// That it was never made, and the command that makes it.
    pub text: String,
}

impl Control {
    /// A run with its steps, or an error that says it does not exist for this tenant.
    pub async fn run_view(&self, tenant: &TenantId, run: RunId) -> Result<RunView, ControlError> {
        let (mut row, plan, mut steps) = self.stored_run(tenant, run).await?;
        self.tell_waits(tenant, std::slice::from_mut(&mut row)).await?;
        let materializations = self.store.materializations_of_run(tenant, run, HISTORY_MAX).await?;
        let place = match row.status {
            RunStatus::Queued => self.place(tenant, run).await?,
            _ => None,
        };
        if plan.steps.iter().any(|step| step.pool.is_some()) {
            self.name_pools((tenant, run), &mut steps).await?;
        }
        if row.status == RunStatus::Started {
            self.name_places(plan.max_parallel, &mut steps);
        }
        let worker = match self.silence_words(&row) {
            Some(_) => Some("its run's worker, which is silent"),
            None => has_no_worker(row.status).then_some("its run's next worker"),
        };
        if let Some(worker) = worker {
            say_due(&mut steps, worker, self.now());
        }
        Ok(RunView { run: row, place, steps, materializations })
    }

    /// A run with its plan and its steps, and no word of what they wait for; or an error that says
    /// it does not exist for this tenant.
    pub async fn stored_run(
        &self,
        tenant: &TenantId,
        run: RunId,
    ) -> Result<(RunRow, Arc<RunPlan>, Vec<StepRow>), ControlError> {
        let unknown = || ControlError::RunUnknown { run: run.to_string() };
        let row = self.store.run(tenant, run).await?.ok_or_else(unknown)?;
        let order = self.store.run_order(tenant, run).await?.ok_or_else(unknown)?;
        let plan = self.plan_of(tenant, run, &order).await?;
        let mut stored = self.store.steps_of_run_with((tenant, run), plan.steps.len()).await?;
        let steps: Vec<StepRow> = plan
            .steps
            .iter()
            .map(|step| {
                let shape = StepShape {
                    kind: step.step.kind(),
                    depends_on: &step.depends_on,
                    attempts: step.retry.attempts(),
                };
                let mut shown = step_row(&step.key, &shape, stored.remove(&step.key));
                // A run that ended before its worker could say so has steps that never will.
                if row.status.is_terminal() && !shown.status.is_terminal() {
                    shown.status = StepStatus::Canceled;
                }
                say_lost(row.status, &mut shown);
                shown
            })
            .collect();
        Ok((row, plan, steps))
    }

    /// The run that a person means by an id or by its last digits.
    pub async fn find_run(&self, tenants: &[TenantId], text: &str) -> Result<RunRow, ControlError> {
        let unknown = || ControlError::RunUnknown { run: text.to_owned() };
        if let Ok(run) = text.parse::<RunId>() {
            for tenant in tenants {
                if let Some(row) = self.store.run(tenant, run).await? {
                    return Ok(row);
                }
            }
            return Err(unknown());
        }
        // The short form is the end of an id: hexadecimal digits, and enough of them to mean one.
        if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(unknown());
        }
        if text.len() < SHORT_MIN {
            return Err(ControlError::RunShort { text: text.to_owned(), min: SHORT_MIN });
        }
        let runs = self.store.runs_by_short_id(tenants, text).await?;
        match runs.as_slice() {
            [] => Err(unknown()),
            [row] => Ok(row.clone()),
            _ => Err(ControlError::RunAmbiguous { short: text.to_owned(), runs }),
        }
    }

    /// The assets of a tenant with their newest materializations and counts of partitions.
    pub async fn asset_rows(&self, tenant: &TenantId) -> Result<Vec<AssetRow>, ControlError> {
        let catalog = self.catalog().await?;
        self.asset_rows_in(&catalog, tenant).await
    }

    /// The same of the assets in `catalog`.
    pub(crate) async fn asset_rows_in(
        &self,
        catalog: &Catalog,
        tenant: &TenantId,
    ) -> Result<Vec<AssetRow>, ControlError> {
        let manifests = || catalog.of_tenant(tenant);
        let is_declared = catalog.tenant(tenant).declared;
        let mut latest = self.store.latest_materializations(tenant).await?;
        let mut parts = self.part_counts(catalog, tenant).await?;
        let mut rows = Vec::new();
        for asset in manifests().flat_map(|manifest| manifest.assets.values()) {
            let (made, counts) = (latest.remove(&asset.key), parts.touched.remove(&asset.key));
            // Of a tenant that no file declares there is only what it has.
            if !is_declared && made.is_none() && counts.is_none() {
                continue;
            }
            let mut row = AssetRow { latest: made, ..defined(tenant, asset) };
            if let Some(name) = &asset.partitions {
                row.counts = counts.unwrap_or_default();
                row.gone_partitions = parts.gone.remove(&asset.key).unwrap_or_default();
                let seen: u64 = row.counts.values().sum();
                let keys = parts.keys.get(name).copied().filter(|_| is_declared);
                *row.counts.entry(PartitionState::Missing).or_insert(0) +=
                    keys.unwrap_or_default().saturating_sub(seen);
            }
            rows.push(row);
        }
        if !is_declared {
            let gone = |(key, made)| AssetRow { latest: Some(made), ..undefined(tenant, key) };
            rows.extend(latest.into_iter().map(gone));
        }
        Ok(rows)
    }

    /// An asset with its history and partitions, or an error that names the nearest one.
    pub async fn asset_view(
        &self,
        tenant: &TenantId,
        key: &AssetKey,
    ) -> Result<AssetView, ControlError> {
        let catalog = self.catalog().await?;
        let mut rows = self.asset_rows_in(&catalog, tenant).await?;
        mark_stale(&catalog, tenant, &mut rows);
        let feeds =
            rows.iter().filter(|row| row.deps.contains(key)).map(|row| row.asset.clone()).collect();
        let known: Vec<AssetKey> = rows.iter().map(|row| row.asset.clone()).collect();
        let deps = rows.iter().find(|row| row.asset == *key).map(|row| row.deps.clone());
        let never_made = never_made(&catalog, tenant, &rows, &deps.unwrap_or_default());
        let Some(mut asset) = rows.iter().find(|row| row.asset == *key).cloned() else {
            let likely = known.iter().map(ToString::to_string).collect::<Vec<_>>();
            let likely = nearest(&key.to_string(), likely.iter().map(String::as_str));
            let nearest = likely.and_then(|text| text.parse().ok());
            return Err(PlanError::AssetUnknown { asset: key.clone(), nearest, known }.into());
        };
        let history = self.store.materializations_of_asset(tenant, key, None, HISTORY_MAX).await?;
        let gone = self.gone_of(&catalog, tenant, &asset).await?;
        let parts = gone.as_deref().map(|gone| PartitionsOf { asset: key, gone });
        let partitions = match (&asset.partitions, &parts) {
            (Some(name), Some(parts)) => {
                let keys = if catalog.tenant(tenant).declared {
                    self.all_partition_keys(&catalog, tenant, name).await?
                } else {
                    Vec::new()
                };
                self.partition_rows(tenant, parts, keys).await?
            }
            _ => Vec::new(),
        };
        let tries = self.tries(&catalog, tenant, &asset).await?;
        let in_vain = self.parts_in_vain(&catalog, &asset, parts.as_ref()).await?;
        let failed = tries_words(&tries).and(tries.newest.first());
        asset.failed_try = failed.map(|it| FailedTry { run_id: it.run, at: it.at });
        let stale =
            stale(&asset, &self.sources((&catalog, &rows), (&asset, parts.as_ref())).await?);
        asset.is_stale = Some(!stale.is_empty());
        asset.stale_upstream.take_if(|_| !stale.is_empty());
        let coming = self.coming_words(tenant, key).await?;
        self.tell_checks(tenant, std::slice::from_mut(&mut asset)).await?;
        Ok(AssetView {
            asset,
            feeds,
            history,
            partitions,
            tries,
            in_vain,
            never_made,
            stale,
            coming,
        })
    }
}

/// An asset of a tenant as its definition has it, of which nothing is stored.
fn defined(tenant: &TenantId, asset: &AssetDef) -> AssetRow {
    AssetRow {
        group: asset.group.clone(),
        description: asset.description.clone(),
        kinds: asset.kinds.clone(),
        owners: asset.owners.clone(),
        deps: asset.deps.clone(),
        partitions: asset.partitions.clone(),
        ..undefined(tenant, asset.key.clone())
    }
}

/// An asset of a tenant that no file declares any more.
fn undefined(tenant: &TenantId, asset: AssetKey) -> AssetRow {
    AssetRow {
        tenant: tenant.clone(),
        asset,
        group: NO_GROUP.to_owned(),
        description: None,
        kinds: Vec::new(),
        owners: Vec::new(),
        deps: Vec::new(),
        partitions: None,
        latest: None,
        counts: BTreeMap::new(),
        gone_partitions: 0,
        is_stale: None,
        stale_upstream: None,
        failed_checks: Vec::new(),
        failed_try: None,
    }
}

/// Those of `deps` that were never made, each with what makes it.
fn never_made(
    catalog: &Catalog,
    tenant: &TenantId,
    rows: &[AssetRow],
    deps: &[AssetKey],
) -> Vec<NeverMade> {
    let never = rows.iter().filter(|row| row.latest.is_none() && deps.contains(&row.asset));
    let told = |row: &AssetRow| NeverMade {
        asset: row.asset.clone(),
        text: missing_words(&row.asset, maker(catalog, tenant, row)),
    };
    never.map(told).collect()
}

/// Says of a step that its worker left running, while the run waits for the next worker, that it is
/// done again: that worker stores it when it begins.
fn say_lost(run: RunStatus, step: &mut StepRow) {
    if has_no_worker(run) && step.status == StepStatus::Started {
        step.status = step.status.after(StepEvent::WorkerLost).unwrap_or(step.status);
        step.reason = Some(LOST.to_owned());
    }
}

/// Says of each step whose next attempt is due that it waits for this worker to begin it.
fn say_due(steps: &mut [StepRow], worker: &str, now: Timestamp) {
    for step in steps.iter_mut().filter(|step| step.reason.is_none()) {
        if let Some(due) = step.retry_at.filter(|at| *at <= now)
            && step.status == StepStatus::Retrying
        {
            let attempt = step.attempt.saturating_add(1);
            step.reason = Some(format!("waiting for {worker}: attempt {attempt} was due at {due}"));
        }
    }
}

/// Whether a run waits for a worker, so that no step of it runs.
pub(crate) fn has_no_worker(run: RunStatus) -> bool {
    matches!(run, RunStatus::Queued | RunStatus::Starting)
}

/// What the plan says of a step.
struct StepShape<'a> {
    kind: &'static str,
    depends_on: &'a [StepKey],
    attempts: u32,
}

fn step_row(key: &StepKey, shape: &StepShape<'_>, stored: Option<StoredStep>) -> StepRow {
    let stored = stored.unwrap_or(StoredStep {
        status: StepStatus::Pending,
        attempt: 0,
        started_at: None,
        ended_at: None,
        retry_at: None,
        error: None,
        reason: None,
        result: serde_json::Value::Null,
        result_ref: None,
    });
    StepRow {
        step: key.clone(),
        kind: shape.kind.to_owned(),
        depends_on: shape.depends_on.to_vec(),
        status: stored.status,
        attempt: stored.attempt,
        attempts: shape.attempts,
        started_at: stored.started_at,
        ended_at: stored.ended_at,
        retry_at: stored.retry_at,
        error: stored.error,
        reason: stored.reason,
        result: stored.result,
        result_ref: stored.result_ref,
    }
}
