//! Plans of runs: stored once for each tenant and content.

use millstream_model::{ContentHash, RunPlan, TenantId};

use crate::batch::Expect;
use crate::statement::statements;
use crate::{Batch, Scope, Store, StoreError};

statements! {
    INSERT_PLAN = "
        INSERT INTO plan (tenant, hash, json) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    PLAN = "SELECT json FROM plan WHERE tenant = $1 AND hash = $2";
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
}
