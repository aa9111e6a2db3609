//! What becomes of a sensor's finds while the job is off that they are for: they wait.
//!
//! A sensor all of whose runs are of one job is not asked while that is off, and stays where it is.
//! Where others are asked, and an answer wants runs of a job that is off, [`crate::sensor_ticks`]
//! says so; its cursor moves only when something else could be requested.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_decide::sensor::{Draft, DraftRequest, resting_for};
use millstream_model::{
    ErrorCode, JobName, SENSOR_EVERY_MIN, ScheduleTarget, SkipReason, TenantId, Timestamp,
    shell_word,
};
use millstream_store::overrides::JobOverride;
use millstream_store::{Batch, StoreError, sensors};

use crate::Control;
use crate::jobs::is_job_on;
use crate::live_sensors::LiveSensor;
use crate::sensor_asking::SensorAsking;
use crate::sensor_replies::Outcome;

impl Control {
    /// Whether a sensor is not to be asked now, because the job is off that all it finds is for.
    pub async fn rests(&self, asking: &SensorAsking) -> Result<bool, StoreError> {
        // Not what is kept for the tick: by the time of the answer that may have changed.
        let words = self.store.job_overrides(&asking.tenant, &asking.manifest.location);
        rests_by(asking, async { words.await.map(Arc::new) }).await
    }

    /// As [`Control::rests`], with what is kept for all that tick together.
    pub(crate) async fn settles_as_resting(
        &self,
        asking: &SensorAsking,
    ) -> Result<bool, StoreError> {
        rests_by(asking, self.words_for(asking)).await
    }

    /// Has the sensors of a job that `word` switches on look at once for what has waited for it.
    pub(crate) async fn wake_sensors_of(
        &self,
        batch: &mut Batch,
        tenant: &TenantId,
        (word, now): (&JobOverride<'_>, Timestamp),
    ) -> Result<(), StoreError> {
        let &JobOverride { location, job, enabled, by: _ } = word;
        let catalog = self.catalog().await?;
        let Some((manifest, live)) = catalog.sensors_of(location) else { return Ok(()) };
        let before = self.store.job_overrides(tenant, location).await?;
        let after: BTreeMap<JobName, bool> =
            enabled.map(|on| (job.clone(), on)).into_iter().collect();
        if is_job_on(manifest, &before, job) || !is_job_on(manifest, &after, job) {
            return Ok(());
        }
        let of_job = |sensor: &&LiveSensor| match &sensor.def.request.target {
            Some(ScheduleTarget::Job(target)) => sensor.tenant == *tenant && target == job,
            _ => false,
        };
        let names: Vec<&str> =
            live.iter().filter(of_job).map(|sensor| sensor.def.name.as_str()).collect();
        if !names.is_empty() {
            sensors::wake(batch, tenant, (location, &names), (SENSOR_EVERY_MIN.0, now));
        }
        Ok(())
    }

    /// Takes the requests out of `draft` whose jobs are off, with one warning for each such job;
    /// whether there were any.
    pub(crate) async fn leave_out_jobs_off(
        &self,
        asking: &SensorAsking,
        draft: &mut Draft,
    ) -> Result<bool, StoreError> {
        if draft.requests.is_empty() {
            return Ok(false);
        }
        let words = self.words_for(asking).await?;
        let mut left_out: BTreeMap<JobName, u32> = BTreeMap::new();
        let mut is_on = |request: &DraftRequest| match &request.target {
            ScheduleTarget::Job(job) if !is_job_on(&asking.manifest, &words, job) => {
                *left_out.entry(job.clone()).or_default() += 1;
                false
            }
            ScheduleTarget::Job(_) | ScheduleTarget::Select(_) => true,
        };
        draft.requests.retain(&mut is_on);
        for (job, count) in &left_out {
            draft.warn(None, ErrorCode::JobDisabled, off_words(job, *count));
        }
        Ok(!left_out.is_empty())
    }
}

/// What a tick comes to that leaves everything where it is, because its job is off.
pub(crate) fn resting(asking: &SensorAsking) -> Outcome {
    let (cursor, skipped) = (asking.cursor.clone(), Some(SkipReason::JobDisabled {}));
    Outcome { cursor, skipped, ..Outcome::default() }
}

/// Whether a sensor rests by what people say about jobs, which is asked for only where it counts.
async fn rests_by(
    asking: &SensorAsking,
    words: impl Future<Output = Result<Arc<BTreeMap<JobName, bool>>, StoreError>>,
) -> Result<bool, StoreError> {
    match resting_for(&asking.def, asking.cursor.as_deref()) {
        Some(job) => Ok(!is_job_on(&asking.manifest, &*words.await?, job)),
        None => Ok(false),
    }
}

fn off_words(job: &JobName, count: u32) -> String {
    let requests = if count == 1 { "a request".to_owned() } else { format!("{count} requests") };
    let word = shell_word(job.as_str());
    format!(
        "{requests} of the job {job} left out: it is off, and `millstream job start {word}` \
         switches it on"
    )
}
