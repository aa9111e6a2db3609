//! What people set by hand against a file's word: whether a job may run.

use std::collections::BTreeMap;

use millstream_model::view::SwitchWord;
use millstream_model::{JobName, LocationName, TenantId, Timestamp};

use crate::statement::statements;
use crate::{Batch, Row, Scope, Store, StoreError};

statements! {
    SET_JOB_OVERRIDE = "
        INSERT INTO job_override (tenant, location, job, enabled, set_by, set_at)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (tenant, location, job) DO UPDATE
        SET enabled = excluded.enabled, set_by = excluded.set_by, set_at = excluded.set_at";
    CLEAR_JOB_OVERRIDE = "
        DELETE FROM job_override WHERE tenant = $1 AND location = $2 AND job = $3";
    JOB_OVERRIDES = "
        SELECT job, enabled, set_by, set_at FROM job_override WHERE tenant = $1 AND location = $2";
}

/// Somebody's word on whether a job may run.
#[derive(Debug, Clone)]
pub struct JobOverride<'a> {
    /// The code location.
    pub location: &'a LocationName,
    /// The job.
    pub job: &'a JobName,
    /// The word; `None` takes an earlier one back, so that the file's counts again.
    pub enabled: Option<bool>,
    /// Who said it.
    pub by: &'a str,
}

/// Stores somebody's word, or takes it back.
pub fn set(tenant: &TenantId, word: &JobOverride<'_>, now: Timestamp) -> Batch {
    let batch = Batch::for_tenant(tenant);
    let key = vec![tenant.into(), word.location.into(), word.job.into()];
    match word.enabled {
        None => batch.then(&CLEAR_JOB_OVERRIDE, key),
        Some(enabled) => {
            let mut params = key;
            params.extend([enabled.into(), word.by.into(), now.into()]);
            batch.then_one(&SET_JOB_OVERRIDE, params)
        }
    }
}

impl Store {
    /// The overrides of a tenant in a location, by job.
    pub async fn job_overrides(
        &self,
        tenant: &TenantId,
        location: &LocationName,
    ) -> Result<BTreeMap<JobName, bool>, StoreError> {
        let words = self.job_words(tenant, location).await?;
        Ok(words.into_iter().map(|(job, word)| (job, word.on)).collect())
    }

    /// The same with who said each and when.
    pub async fn job_words(
        &self,
        tenant: &TenantId,
        location: &LocationName,
    ) -> Result<BTreeMap<JobName, SwitchWord>, StoreError> {
        let params = vec![tenant.into(), location.into()];
        let rows = self.read_few(Scope::tenant(tenant), &JOB_OVERRIDES, params).await?;
        let word = |mut row: Row| {
            let job = row.parse()?;
            Ok((job, SwitchWord { on: row.truth()?, by: row.text()?, at: row.time()? }))
        };
        rows.into_iter().map(word).collect()
    }
}
