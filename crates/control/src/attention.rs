//! What the pages of a tenant say first: what failed and is open, and what goes on.

use millstream_model::view::RunRow;
use millstream_model::{JobName, TenantId};
use millstream_store::attention::Among;

use crate::{Control, ControlError};

/// Open dead letters that are looked at for what needs attention.
const LETTERS_MAX: u32 = 1_000;

/// Newest runs that are looked at for it, beside the last run of each job.
const NEWEST_MAX: u32 = 2_000;

/// Runs in progress that are listed.
const IN_PROGRESS_MAX: u32 = 20;

/// Queued runs that are listed.
const QUEUED_MAX: u32 = 10;

/// The runs of a tenant that are not over.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GoingOn {
    /// How many are in progress.
    pub in_progress: u32,
    /// How many are in the queue.
    pub queued: u32,
    /// The first of each: in progress, the oldest first, at most 20; then in the order of the
    /// queue, at most 10. Each with what it waits for.
    pub runs: Vec<RunRow>,
}

impl Control {
    /// The things that need attention, each as its last run, newest first: a job, an asset or any
    /// other selection whose last run that came to an end of its own failed, for the partition that
    /// it was about.
    ///
    /// It is looked at the last run of each job that the files have, at the open dead letters and
    /// at the newest runs. Who launched a run makes no difference. A cancelled run made nothing
    /// good and says nothing. What was put aside, and what others have made since, needs none.
    pub async fn attention(&self, tenant: &TenantId) -> Result<Vec<RunRow>, ControlError> {
        let catalog = self.catalog().await?;
        let manifests = catalog.manifests().filter(|it| it.tenants.contains_key(tenant));
        let jobs: Vec<&JobName> = manifests.flat_map(|manifest| manifest.jobs.keys()).collect();
        let among = Among { jobs: &jobs, letters: LETTERS_MAX, newest: NEWEST_MAX };
        let failed = self.store.last_failed(tenant, among).await?;
        Ok(self.not_made_good(tenant, failed).await?)
    }

    /// What of a tenant goes on.
    pub async fn going_on(&self, tenant: &TenantId) -> Result<GoingOn, ControlError> {
        let in_progress = self.store.count_in_progress_of(tenant).await?;
        let queued = self.store.count_waiting(tenant).await?;
        let mut first = self.store.first_in_progress(tenant, IN_PROGRESS_MAX).await?;
        first.extend(self.store.first_in_queue(tenant, QUEUED_MAX).await?);
        let mut runs = self.store.runs_among(tenant, &first).await?;
        // One may have ended meanwhile.
        runs.retain(|run| !run.status.is_terminal());
        self.tell_waits(tenant, &mut runs).await?;
        Ok(GoingOn { in_progress, queued, runs })
    }
}
