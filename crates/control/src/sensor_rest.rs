//! What becomes of a sensor's finds while the job is off that they are for: they wait.
//!
//! A sensor all of whose runs are of one job is not asked while that is off, and stays where it is.
//! Where others are asked, and an answer wants runs of a job that is off, [`crate::sensor_ticks`]
//! says so; its cursor moves only when something else could be requested.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_decide::sensor::{Draft, DraftRequest, resting_for};
use millstream_model::{ErrorCode, JobName, ScheduleTarget, SkipReason, shell_word};
use millstream_store::StoreError;

use crate::Control;
use crate::jobs::is_job_on;
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
