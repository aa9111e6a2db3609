//! A run is asked to stop.

use millstream_model::{EventBody, RunEvent, RunId, RunStatus, TenantId};
use millstream_store::{Batch, events, live};

use crate::{Control, ControlError};

/// How often a change is tried against others who change the same run.
pub(crate) const TRIES: u32 = 8;

impl Control {
    /// Asks a run to stop. One that waits is over at once; one in progress is over when its worker
    /// has stopped its steps. Asking twice is the same as asking once.
    pub async fn cancel(
        &self,
        tenant: &TenantId,
        run: RunId,
        by: &str,
    ) -> Result<RunStatus, ControlError> {
        for _ in 0..TRIES {
            let Some(live) = self.store.live_run(tenant, run).await? else {
                return match self.store.run(tenant, run).await? {
                    None => Err(ControlError::RunUnknown { run: run.to_string() }),
                    Some(row) => {
                        Err(ControlError::RunStatus { run, status: row.status, wanted: "canceled" })
                    }
                };
            };
            if live.cancel_requested {
                return Ok(live.status);
            }
            let status = live.status.after(RunEvent::CancelRequested)?;
            let mut batch = Batch::for_tenant(tenant);
            let asked = EventBody::CancelRequested { by: by.to_owned() };
            let mut log = vec![self.control_event(tenant, run, live.epoch, asked)];
            if status.is_terminal() {
                self.end_live(&mut batch, &live, status, (None, Self::WORKER_GONE)).await?;
                let over = EventBody::RunCanceled {};
                log.push(self.control_event(tenant, run, live.epoch, over));
            } else {
                live::ask_to_cancel(&mut batch, &live, status);
            }
            events::insert(&mut batch, tenant, &self.new_id().to_string(), &log);
            match self.store.apply(batch).await {
                Ok(_) => return Ok(status),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ControlError::Contended { run })
    }
}
