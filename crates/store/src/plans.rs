//! Plans of runs: stored once for each tenant and content.

use millstream_model::{ContentHash, RunPlan, TenantId};

use crate::batch::Expect;
use crate::statement::statements;
use crate::{Batch, Scope, Store, StoreError};

statements! {
    INSERT_PLAN = "
        INSERT INTO plan (tenant, hash, json) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    PLAN = "SELECT json FROM plan WHERE tenant = $1 AND hash = $2";
    PLANS_OF_LIVE_RUNS = "
        SELECT DISTINCT r.plan_hash FROM live_run l
        JOIN run r ON r.tenant = l.tenant AND r.id = l.run
        WHERE l.tenant = $1 AND r.plan_hash > $2 ORDER BY r.plan_hash LIMIT $3";
}

/// Stores a plan, given as its JSON, unless it is there already.
pub fn insert(batch: &mut Batch, tenant: &TenantId, hash: &ContentHash, json: &str) {
    let params = vec![tenant.into(), hash.into(), json.into()];
    batch.push(&INSERT_PLAN, params, Expect::Any);
}

impl Store {
    /// The plan with this hash.
    pub async fn plan(
        &self,
        tenant: &TenantId,
        hash: &ContentHash,
    ) -> Result<Option<RunPlan>, StoreError> {
        let params = vec![tenant.into(), hash.into()];
        let rows = self.read_few(Scope::tenant(tenant), &PLAN, params).await?;
        rows.into_iter().next().map(|mut row| row.json()).transpose()
    }
    /// The first `limit` hashes after `after` of the plans of a tenant's runs that are not over.
    pub async fn plans_of_live_runs(
        &self,
        tenant: &TenantId,
        after: &str,
        limit: u32,
    ) -> Result<Vec<ContentHash>, StoreError> {
        let params = vec![tenant.into(), after.into(), limit.into()];
        let rows = self.read(Scope::tenant(tenant), &PLANS_OF_LIVE_RUNS, params).await?;
        rows.into_iter().map(|mut row| Ok(ContentHash::from_stored(row.text()?))).collect()
    }
}
