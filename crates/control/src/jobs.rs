//! Jobs in lists, and switching one on or off by hand.

use std::collections::BTreeMap;

use millstream_model::view::{JobRow, ScheduleRow};
use millstream_model::{JobDef, JobName, JobShape, LocationName, Manifest, TenantId};
use millstream_plan::PlanError;
use millstream_plan::selection::{select, selection_help};
use millstream_store::overrides::{self, JobOverride};

use crate::{Control, ControlError, DefinitionProblem};

impl Control {
    /// What is wrong with the selection of a job, if it has one and something is; it is asked when
    /// definitions are loaded.
    pub fn selection_problem(manifest: &Manifest, job: &JobDef) -> Option<DefinitionProblem> {
        let JobShape::Select(selection) = &job.shape else { return None };
        let error = match select(manifest, selection) {
            Ok(assets) if !assets.is_empty() => return None,
            Ok(_) => PlanError::SelectionEmpty { selection: selection.clone() },
            Err(error) => error,
        };
        let (code, message) = (error.code(), format!("job {}: {error}", job.name));
        let help = selection_help(manifest, &error);
        Some(DefinitionProblem { key: "select", code, message, help })
    }

    /// The jobs of a tenant, by location and name.
    pub async fn job_rows(&self, tenant: &TenantId) -> Result<Vec<JobRow>, ControlError> {
        let catalog = self.catalog().await?;
        let schedules = self.schedule_rows(tenant).await?;
        let mut rows = Vec::new();
        for manifest in catalog.manifests() {
            if !manifest.tenants.contains_key(tenant) {
                continue;
            }
            let words = self.store.job_words(tenant, &manifest.location).await?;
            for job in manifest.jobs.values() {
                let word = words.get(&job.name).cloned();
                let enabled = word.as_ref().map_or(job.enabled, |word| word.on);
                let of_job = schedules.iter().filter(|row| {
                    row.location == manifest.location && row.job.as_ref() == Some(&job.name)
                });
                let soonest = |row: &&ScheduleRow| (row.due_at().is_none(), row.due_at());
                let first = of_job.min_by_key(soonest);
                let cron = first.map(|row| row.cron.clone());
                let Some(file) = catalog.file_of_job(&manifest.location, &job.name) else {
                    continue;
                };
                rows.push(JobRow {
                    location: manifest.location.clone(),
                    name: job.name.clone(),
                    description: job.description.clone(),
                    enabled,
                    enabled_override: word,
                    schedule: job.schedule.clone().or(cron),
                    next_at: first.filter(|_| enabled).and_then(ScheduleRow::due_at),
                    late_since: first.filter(|_| enabled).and_then(|first| first.late_since),
                    steps: match &job.shape {
                        JobShape::Ops(ops) => u32::try_from(ops.len()).unwrap_or(u32::MAX),
                        JobShape::Select(_) => 0,
                    },
                    file: file.name.clone(),
                    version: file.hash.clone(),
                });
            }
        }
        Ok(rows)
    }

    /// Sets whether a job may run, against its file's word; `None` gives the word back to the file.
    pub async fn override_job(
        &self,
        tenant: &TenantId,
        (location, job): (&LocationName, &JobName),
        enabled: Option<bool>,
        by: &str,
    ) -> Result<(), ControlError> {
        let now = self.now();
        let word = JobOverride { location, job, enabled, by };
        let mut batch = overrides::set(tenant, &word, now);
        self.wake_sensors_of(&mut batch, tenant, (&word, now)).await?;
        self.store.apply(batch).await?;
        Ok(())
    }
}

/// Whether `job` may run: by what somebody said, or else by its file. One that is gone is not off:
/// who wants a run of it hears that it is gone, and not that somebody could switch it on.
pub(crate) fn is_job_on(
    manifest: &Manifest,
    words: &BTreeMap<JobName, bool>,
    job: &JobName,
) -> bool {
    let word = words.get(job).copied();
    word.unwrap_or_else(|| manifest.jobs.get(job).is_none_or(|def| def.enabled))
}
