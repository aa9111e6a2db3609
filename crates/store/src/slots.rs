//! Slots of pools: a row for each attempt that waits for some or holds them.
//!
//! A row is made when a worker asks, granted under the queue's lease, and removed in the batch that
//! stores the attempt's end. There is no counter. The batch that takes a run from its worker frees
//! what its steps hold and leaves their rows as places in line, of epoch 0: they get nothing until
//! the run's next worker asks for them, and it asks from where they are.

use std::collections::BTreeMap;

use millstream_model::worker_api::WaitingStep;
use millstream_model::{HoldReason, PoolName, PoolUse, RunId, StepKey, TenantId, Timestamp};

use crate::batch::Expect;
use crate::statement::statements;
use crate::value::json;
use crate::{Batch, Row, Scope, Store, StoreError, Value};

statements! {
    // An attempt that has started, or a step that is over, asks for nothing any more: a question
    // that was delivered late must leave no row that nobody removes.
    ASK_SLOTS = "
        INSERT INTO slot (tenant, run, step, attempt, epoch, pool, slots, priority, asked_at,
                          granted)
        SELECT $1, $2, $3, CAST($4 AS BIGINT), CAST($5 AS BIGINT), $6, CAST($7 AS BIGINT),
               priority, CAST($8 AS BIGINT), FALSE
        FROM live_run
        WHERE tenant = $1 AND run = $2 AND epoch = $5 AND status IN ('STARTING', 'STARTED')
          AND NOT EXISTS (SELECT 1 FROM step
                          WHERE step.tenant = $1 AND step.run = $2 AND step.step = $3
                            AND (step.attempt >= $4
                                 OR step.status NOT IN ('PENDING', 'RETRYING')))
        ON CONFLICT (tenant, run, step) DO UPDATE
        SET attempt = excluded.attempt, epoch = excluded.epoch WHERE slot.epoch = 0";
    // Changes nothing: it must find the slots that the attempt holds.
    SLOTS_ARE_HELD = "
        UPDATE slot SET granted = TRUE
        WHERE tenant = $1 AND run = $2 AND step = $3 AND attempt = $4 AND granted = TRUE";
    FREE_SLOTS = "DELETE FROM slot WHERE tenant = $1 AND run = $2 AND step = $3";
    KEEP_PLACES = "
        UPDATE slot SET granted = FALSE, epoch = 0, hold = NULL WHERE tenant = $1 AND run = $2";
    FREE_SLOTS_OF_RUN = "DELETE FROM slot WHERE tenant = $1 AND run = $2";
    SLOTS_OF_RUN = "
        SELECT tenant, run, step, attempt, epoch, pool, slots, priority, asked_at, granted, hold
        FROM slot WHERE tenant = $1 AND run = $2 ORDER BY step";
    FIRST_SLOT_WAITED_FOR = "
        SELECT tenant, run, step, attempt, epoch, pool, slots, priority, asked_at, granted, hold
        FROM slot WHERE tenant = $1 AND pool = $2 AND granted = FALSE AND epoch > 0
        ORDER BY priority DESC, asked_at, run, step LIMIT 1";
    SLOTS_HELD = "
        SELECT tenant, run, step, attempt, epoch, pool, slots, priority, asked_at, granted, hold
        FROM slot WHERE granted = TRUE ORDER BY tenant, pool, run, step";
    SLOTS_WAITED_FOR = "
        SELECT tenant, run, step, attempt, epoch, pool, slots, priority, asked_at, granted, hold
        FROM (SELECT w.*, ROW_NUMBER() OVER (PARTITION BY w.tenant, w.pool
                                             ORDER BY w.priority DESC, w.asked_at, w.run, w.step)
                          AS place
              FROM slot w WHERE w.granted = FALSE AND w.epoch > 0) AS waiting
        WHERE place <= $1 ORDER BY tenant, pool, place";
    SLOTS_OF_TENANT = "
        SELECT tenant, run, step, attempt, epoch, pool, slots, priority, asked_at, granted, hold
        FROM slot WHERE tenant = $1
        ORDER BY pool, granted DESC, priority DESC, asked_at, run, step LIMIT $2";
    SLOTS_HELD_BY_TENANTS = "
        SELECT tenant, pool, CAST(SUM(slots) AS BIGINT) FROM slot
        WHERE tenant IN (/*texts $1*/) AND pool IN (/*texts $2*/) AND granted = TRUE
        GROUP BY tenant, pool";
    GRANT_SLOTS = "
        UPDATE slot SET granted = TRUE, hold = NULL
        WHERE /*among slot $1 tenant run step*/ AND granted = FALSE AND epoch > 0
          AND EXISTS (SELECT 1 FROM lease
                      WHERE name = 'queue' AND holder = $2 AND fence = $3 /*held*/)";
    SET_SLOT_HOLD = "
        UPDATE slot SET hold = $4
        WHERE tenant = $1 AND run = $2 AND step = $3 AND granted = FALSE";
}

/// An attempt that waits for slots or holds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotRow {
    /// The tenant.
    pub tenant: TenantId,
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: StepKey,
    /// The attempt.
    pub attempt: u32,
    /// The epoch of its worker; 0 where that was lost, and this is its place for the next.
    pub epoch: i64,
    /// The pool.
    pub pool: PoolName,
    /// How many of its slots.
    pub slots: u32,
    /// The run's priority.
    pub priority: i64,
    /// When a worker asked first.
    pub asked_at: Timestamp,
    /// Whether it holds them; otherwise it waits.
    pub granted: bool,
    /// Why it waits, where it is its tenant's first for the pool; what others have is out of date.
    pub hold: Option<HoldReason>,
}

impl SlotRow {
    /// Whether it only keeps the step's place until the run's next worker asks.
    pub fn is_kept_place(&self) -> bool {
        self.epoch == 0
    }
}

/// A step of a run, by its key.
pub type StepRef = (TenantId, RunId, StepKey);

fn key(tenant: &TenantId, run: RunId, step: &StepKey) -> Vec<Value> {
    vec![tenant.into(), (&run).into(), step.into()]
}

/// Has an attempt wait for slots, unless it does already, has started, or is not its worker's.
pub fn ask(
    batch: &mut Batch,
    (tenant, run, epoch): (&TenantId, RunId, i64),
    step: &WaitingStep,
    pool: &PoolUse,
    now: Timestamp,
) {
    let mut params = key(tenant, run, &step.step);
    params.extend([
        step.attempt.into(),
        epoch.into(),
        pool.name.as_str().into(),
        pool.slots.into(),
        now.into(),
    ]);
    batch.push(&ASK_SLOTS, params, Expect::Any);
    batch.wakes_daemon = true;
}

/// Conflicts unless the attempt holds its slots: nothing starts without them.
pub fn must_hold(batch: &mut Batch, tenant: &TenantId, run: RunId, step: &WaitingStep) {
    let mut params = key(tenant, run, &step.step);
    params.push(step.attempt.into());
    batch.push(&SLOTS_ARE_HELD, params, Expect::Rows(1));
}

/// Frees what a step holds or waits for.
pub fn free(batch: &mut Batch, tenant: &TenantId, run: RunId, step: &StepKey) {
    batch.push(&FREE_SLOTS, key(tenant, run, step), Expect::Any);
    batch.wakes_daemon = true;
}

/// Frees what the steps of a run hold, which goes back to the queue. Each keeps its place in line
/// for the run's next worker.
pub fn keep_places(batch: &mut Batch, tenant: &TenantId, run: RunId) {
    batch.push(&KEEP_PLACES, vec![tenant.into(), (&run).into()], Expect::Any);
    batch.wakes_daemon = true;
}

/// Frees what the steps of a run hold or wait for.
pub fn free_all(batch: &mut Batch, tenant: &TenantId, run: RunId) {
    batch.push(&FREE_SLOTS_OF_RUN, vec![tenant.into(), (&run).into()], Expect::Any);
    batch.wakes_daemon = true;
}

/// Grants steps their slots, if the lease still holds.
pub fn grant(steps: impl Iterator<Item = StepRef>, holder: &str, fence: i64) -> Batch {
    let triples: Vec<[String; 3]> = steps
        .map(|(tenant, run, step)| [tenant.to_string(), run.to_string(), step.to_string()])
        .collect();
    let mut batch = Batch::new(Scope::Daemon)
        .then(&GRANT_SLOTS, vec![json(&triples), holder.into(), fence.into()]);
    batch.grants_slots = true;
    batch
}

/// Stores why a step waits; one that waits no more is passed over.
pub fn set_hold(batch: &mut Batch, (tenant, run, step): &StepRef, hold: &HoldReason) {
    let mut params = key(tenant, *run, step);
    params.push(json(hold));
    batch.push(&SET_SLOT_HOLD, params, Expect::Any);
}

fn slot_row(mut row: Row) -> Result<SlotRow, StoreError> {
    Ok(SlotRow {
        tenant: row.parse()?,
        run: row.parse()?,
        step: row.parse()?,
        attempt: row.count()?,
        epoch: row.int()?,
        pool: row.parse()?,
        slots: row.count()?,
        priority: row.int()?,
        asked_at: row.time()?,
        granted: row.truth()?,
        hold: row.json_opt()?,
    })
}

impl Store {
    /// What the steps of a run hold and wait for.
    pub async fn slots_of_run(
        &self,
        tenant: &TenantId,
        run: RunId,
    ) -> Result<Vec<SlotRow>, StoreError> {
        let params = vec![tenant.into(), (&run).into()];
        let rows = self.read_few(Scope::tenant(tenant), &SLOTS_OF_RUN, params).await?;
        rows.into_iter().map(slot_row).collect()
    }

    /// The attempt of a tenant that waits for `pool` first, if one does.
    pub async fn first_waiting(
        &self,
        tenant: &TenantId,
        pool: &PoolName,
    ) -> Result<Option<SlotRow>, StoreError> {
        let params = vec![tenant.into(), pool.as_str().into()];
        let rows = self.read_few(Scope::tenant(tenant), &FIRST_SLOT_WAITED_FOR, params).await?;
        rows.into_iter().next().map(slot_row).transpose()
    }

    /// Everything that holds slots. All of it: what was left out would be held twice.
    pub async fn slots_held(&self) -> Result<Vec<SlotRow>, StoreError> {
        let rows = self.read_few(Scope::Daemon, &SLOTS_HELD, Vec::new()).await?;
        rows.into_iter().map(slot_row).collect()
    }

    /// How many slots of `pools` the steps of each of `tenants` hold.
    pub async fn slots_held_by(
        &self,
        tenants: &[TenantId],
        pools: &[PoolName],
    ) -> Result<BTreeMap<(TenantId, PoolName), u32>, StoreError> {
        let texts = |names: Vec<&str>| json(&names);
        let params = vec![
            texts(tenants.iter().map(TenantId::as_str).collect()),
            texts(pools.iter().map(PoolName::as_str).collect()),
        ];
        let scope = Scope::Tenants(tenants.to_vec());
        let rows = self.read_few(scope, &SLOTS_HELD_BY_TENANTS, params).await?;
        rows.into_iter().map(|mut row| Ok(((row.parse()?, row.parse()?), row.count()?))).collect()
    }

    /// The first `limit` attempts of each tenant that wait for each pool.
    pub async fn slots_waited_for(&self, limit: u32) -> Result<Vec<SlotRow>, StoreError> {
        let rows = self.read_few(Scope::Daemon, &SLOTS_WAITED_FOR, vec![limit.into()]).await?;
        rows.into_iter().map(slot_row).collect()
    }

    /// The first `limit` attempts of a tenant that hold slots or wait for some: by pool, and those
    /// that wait in their order.
    pub async fn slots_of_tenant(
        &self,
        tenant: &TenantId,
        limit: u32,
    ) -> Result<Vec<SlotRow>, StoreError> {
        let params = vec![tenant.into(), limit.into()];
        let rows = self.read_few(Scope::tenant(tenant), &SLOTS_OF_TENANT, params).await?;
        rows.into_iter().map(slot_row).collect()
    }
}
